/** Style and script of the page. Nothing is loaded from anywhere. */

export const PAGE_STYLE = `
:root { color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2126; --soft: #666d76; --line: #e4e2dc;
  --ok: #2f7d5d; --ok-soft: #2f7d5d26; --bad: #c0392b; --fail: #e39ac2; --unknown: #97175d;
  --kill: #c0392b; --freeze: #2b74c0; --cut: #b9770e; --disk: #7d4bb3; --healed: #2f7d5d;
  --p50: #2f7d5d; --p99: #39424d; --max: #8b929b; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171b; --card: #1b1f25; --ink: #e6e8ea; --soft: #98a0aa; --line: #2c323a;
  --ok: #58b98d; --ok-soft: #58b98d26; --bad: #ec6b5c; --fail: #f3b8d5; --unknown: #e0479b;
  --kill: #ec6b5c; --freeze: #62a6ee; --cut: #e0a63f; --disk: #b48ae6; --healed: #58b98d;
  --p50: #58b98d; --p99: #d3d9e0; --max: #7f8893; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 17px; margin: 36px 0 10px; }
p { margin: 0 0 12px; max-width: 75ch; } .soft { color: var(--soft); }
.verdict { display: inline-block; padding: 3px 12px; border-radius: 99px; font-weight: 600; margin: 14px 0 18px;
  border: 1.5px solid currentColor; }
.verdict.good { color: var(--ok); } .verdict.bad { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 10px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.tile b { display: block; font-size: 22px; line-height: 1.25; font-weight: 600; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; } .tile.bad b { color: var(--bad); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow-x: auto; }
.figure { position: relative; padding: 8px 6px 4px; margin-top: 22px; }
svg { display: block; width: 100%; min-width: 760px; height: auto; outline-offset: -2px; }
svg text { font: 11.5px system-ui, sans-serif; fill: var(--soft); }
svg .title { font-size: 13px; font-weight: 600; fill: var(--ink); } svg .name { font-size: 11px; fill: var(--ink); }
.grid { stroke: var(--line); } .axis { stroke: var(--soft); stroke-opacity: 0.6; }
.band { fill-opacity: 0.13; } .bar { fill-opacity: 0.9; } .band.healed { fill-opacity: 0.07; }
.kill { fill: var(--kill); } .freeze { fill: var(--freeze); } .cut { fill: var(--cut); }
.disk { fill: var(--disk); } .healed { fill: var(--healed); }
.ok-area { fill: var(--ok-soft); } .ok-line { fill: none; stroke: var(--ok); stroke-width: 1.6; }
.sent-line { fill: none; stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 3; }
.fail { fill: var(--fail); } .unknown { fill: var(--unknown); }
.p50, .p99 { fill: none; stroke-width: 1.5; } .p50 { stroke: var(--p50); } .p99 { stroke: var(--p99); }
.max { fill: var(--max); } .deadline { stroke: var(--bad); stroke-dasharray: 5 4; stroke-opacity: 0.7; }
.cross { stroke: var(--ink); stroke-opacity: 0; } .cross.on { stroke-opacity: 0.55; }
#tip { position: absolute; pointer-events: none; display: none; background: var(--card); border: 1px solid var(--soft);
  border-radius: 6px; padding: 7px 10px; font-size: 12.5px; line-height: 1.45; white-space: nowrap; z-index: 1;
  box-shadow: 0 3px 14px #0003; font-variant-numeric: tabular-nums; }
#tip b { font-weight: 600; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; padding: 6px 12px 10px; color: var(--soft); font-size: 13px; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px; background: currentColor; }
.key b { font-weight: 600; color: var(--ink); min-width: 56px; } .key + .key { padding-top: 0; }
.key .k-kill i { color: var(--kill); } .key .k-freeze i { color: var(--freeze); } .key .k-cut i { color: var(--cut); }
.key .k-disk i { color: var(--disk); } .key .k-healed i { color: var(--healed); opacity: 0.25; }
.key .k-fail i { color: var(--fail); } .key .k-unknown i { color: var(--unknown); }
.key .k-ok i, .key .k-p99 i, .key .k-sent i { width: 18px; height: 0; border-radius: 0; background: none;
  border-top: 2px solid currentColor; vertical-align: 4px; }
.key .k-ok i { color: var(--ok); } .key .k-p99 i { color: var(--p99); } .key .k-sent i { border-top-style: dotted; }
.key .k-max i { color: var(--max); width: 6px; height: 6px; border-radius: 50%; vertical-align: 2px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 12px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; font-size: 13px; color: var(--soft); } tr:last-child td { border-bottom: 0; }
th.word, td.word { text-align: left; } td .dot { display: inline-block; width: 9px; height: 9px; border-radius: 2px;
  margin-right: 8px; } .dot.kill { background: var(--kill); } .dot.freeze { background: var(--freeze); }
.dot.cut { background: var(--cut); } .dot.disk { background: var(--disk); }
pre { margin: 0; padding: 12px 14px; white-space: pre-wrap; overflow-wrap: anywhere; font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace; }
code { font: 0.92em ui-monospace, Menlo, Consolas, monospace; }
`;

/** Reads \`data\` (see page.ts) and shows the values under the pointer, or moved to with the arrow keys. */
export const PAGE_SCRIPT = `
const svg = document.getElementById('chart'), tip = document.getElementById('tip');
const cross = document.getElementById('cross'), figure = svg.parentElement;
let index = -1;
const ms = (v) => v >= 1000 ? (v / 1000).toFixed(2) + ' s' : v.toFixed(v < 10 ? 1 : 0) + ' ms';
function show(i) {
  index = Math.max(0, Math.min(data.steps.length - 1, i));
  const [ok, fail, unknown, p50, p99, max] = data.steps[index];
  const from = index * data.stepMs, to = from + data.stepMs;
  const x = data.left + (Math.min(from + data.stepMs / 2, data.durationMs) / data.durationMs) * data.plotWidth;
  cross.setAttribute('x1', x); cross.setAttribute('x2', x); cross.classList.add('on');
  const per = 1000 / Math.min(data.stepMs, Math.max(1, data.durationMs - from));
  const faults = data.faults.filter((f) => f[1] < to && f[2] > from).map((f) => f[0]);
  const lines = ['<b>' + (from / 1000).toFixed(2) + ' s</b>' + (faults.length ? ' · ' + faults.join(' · ') : '')];
  lines.push('answered ' + Math.round(ok * per) + '/s');
  lines.push('failed ' + Math.round(fail * per) + '/s, unknown ' + Math.round(unknown * per) + '/s');
  lines.push(ok ? 'p50 ' + ms(p50) + ', p99 ' + ms(p99) + ', longest ' + ms(max) : 'no answers');
  tip.innerHTML = lines.join('<br>');
  tip.style.display = 'block';
  const box = svg.getBoundingClientRect(), frame = figure.getBoundingClientRect();
  const left = box.left - frame.left + figure.scrollLeft + x * (box.width / data.width);
  const room = figure.scrollLeft + figure.clientWidth;
  tip.style.left = (left + 14 + tip.offsetWidth > room ? left - 14 - tip.offsetWidth : left + 14) + 'px';
  tip.style.top = (box.top - frame.top + 36) + 'px';
}
function hide() { tip.style.display = 'none'; cross.classList.remove('on'); }
svg.addEventListener('pointermove', (event) => {
  const box = svg.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * data.width;
  const at = (x - data.left) / data.plotWidth * data.durationMs;
  if (at < 0 || at > data.durationMs) hide(); else show(Math.floor(at / data.stepMs));
});
svg.addEventListener('pointerleave', hide);
svg.addEventListener('blur', hide);
svg.addEventListener('keydown', (event) => {
  if (event.key === 'ArrowRight') show(index + 1);
  else if (event.key === 'ArrowLeft') show(index - 1);
  else if (event.key === 'Escape') hide();
  else return;
  event.preventDefault();
});
`;
