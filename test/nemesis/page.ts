/**
 * The page of a run: one self-contained HTML file with the verdict, the figures, the picture and a table
 * of faults, so that anyone can see the dip and the recovery.
 */

import { CHART, chartOf, faultClass, safeText } from './chart.ts';
import type { FaultFigures } from './figures.ts';
import { PAGE_SCRIPT, PAGE_STYLE } from './page-parts.ts';
import { verdictOf } from './report.ts';
import { DEADLINE_MS, type NemesisResult } from './run.ts';

/** The page as HTML. */
export function pageOf(result: NemesisResult): string {
  const { options, figures, plan } = result;
  const minutes = (figures.durationMs / 60_000).toFixed(1);
  const good = result.faults.length === 0;
  const counted = `${figures.faults.length} ${figures.faults.length === 1 ? 'fault' : 'faults'}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dure under attack: ${safeText(verdictOf(result))}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
<h1>${options.nodes} nodes under attack for ${minutes} minutes</h1>
<p class="soft">${counted} in ${(plan.healAtMs / 1000).toFixed(0)} seconds, then all is healed. Real processes
and disks; ${options.rate} requests a second by ioredis, an ioredis cluster client and plain sockets, each
with a deadline of ${DEADLINE_MS / 1000} s. Seed ${options.seed}.</p>
<div class="verdict ${good ? 'good' : 'bad'}">${safeText(verdictOf(result))}</div>
${tiles(result)}
${brokenPart(result)}
<div class="card figure">
${chartOf(figures, result.healedAtMs, DEADLINE_MS)}
<div id="tip" role="status"></div>
${key()}
</div>
<h2>Faults</h2>
${faultTable(figures.faults)}
<p class="soft" style="margin-top:10px"><b>Noticed</b>: every node that can tell takes the victim for down; a
dash where the fault was over first. <b>Recovered</b>: after the end of the fault, every node answers and sees
every other; a dash where the next fault came first. <b>Gap</b>, <b>failed</b> and <b>p99</b> are what the
clients felt until two seconds after it.</p>
<h2>Errors</h2>
${errorTable(result)}
<h2>Again</h2>
<div class="card"><pre>${safeText(commandOf(result))}</pre></div>
</main>
<script>const data = ${dataOf(result)};${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

function tiles(result: NemesisResult): string {
  const { figures, judgement } = result;
  const share = (figures.failed + figures.unknown) / Math.max(1, figures.requests);
  const returned = judgement.deletedReturned + judgement.expiredReturned;
  const strictBad = judgement.strictViolated + judgement.strictUnknown;
  const items: (readonly [string, string, boolean])[] = [
    [whole(figures.requests), 'requests', false],
    [whole(figures.acknowledged), 'acknowledged', false],
    [whole(judgement.lost), 'acknowledged writes lost', judgement.lost > 0],
    [whole(returned), 'deleted keys returned', returned > 0],
    [whole(judgement.readsBackwards), 'strict reads backwards', judgement.readsBackwards > 0],
    [
      `${judgement.strictKeys - strictBad} of ${judgement.strictKeys}`,
      'strict keys linearizable',
      strictBad > 0,
    ],
    [`${(share * 100).toFixed(2)} %`, 'errors', false],
    [ms(figures.worstGapMs), 'worst gap without an answer', false],
    [`${ms(figures.p50Ms)} / ${ms(figures.p99Ms)}`, 'latency, median / p99', false],
    [ms(result.progressMs), 'until all clients were served, healed', result.progressMs === undefined],
  ];
  if (result.convergedMs !== undefined) {
    items.push([ms(result.convergedMs), 'until replicas were equal, healed', false]);
  }
  const tile = ([value, name, bad]: (typeof items)[number]): string =>
    `<div class="tile${bad ? ' bad' : ''}"><b>${safeText(value)}</b><span>${safeText(name)}</span></div>`;
  return `<div class="tiles">${items.map(tile).join('')}</div>`;
}

function brokenPart({ faults, skipped }: NemesisResult): string {
  const lines = [...skipped, ...faults.map((fault) => `BROKEN: ${fault}`)];
  if (lines.length === 0) return '';
  return `<h2>${faults.length > 0 ? 'What was broken' : 'What was not done'}</h2>
<div class="card"><pre>${safeText(lines.join('\n\n'))}</pre></div>`;
}

function key(): string {
  const faults = [
    ['kill', 'killed (kill -9)'],
    ['freeze', 'frozen (SIGSTOP)'],
    ['cut', 'links cut'],
    ['disk', 'disk full'],
    ['healed', 'all healed'],
  ];
  const requests = [
    ['ok', 'answered; median latency'],
    ['sent', 'sent'],
    ['fail', 'not applied'],
    ['unknown', 'not known'],
    ['p99', '99th percentile'],
    ['max', 'longest'],
  ];
  const row = (name: string, items: string[][]): string => {
    const spans = items.map(([mark, text]) => `<span class="k-${mark}"><i></i>${text}</span>`);
    return `<div class="key"><b>${name}</b>${spans.join('')}</div>`;
  };
  return row('Faults', faults) + row('Clients', requests);
}

function faultTable(faults: readonly FaultFigures[]): string {
  const row = (fault: FaultFigures, i: number): string => {
    const cells = [
      String(i + 1),
      `${(fault.from / 1000).toFixed(1)} s`,
      `${((fault.to - fault.from) / 1000).toFixed(1)} s`,
      ms(fault.detectedMs),
      ms(fault.recoveredMs),
      ms(fault.worstGapMs),
      `${fault.failed} of ${whole(fault.requests)}`,
      ms(fault.p99Ms),
    ].map((cell) => `<td>${cell}</td>`);
    const name = `<td class="word"><span class="dot ${faultClass(fault.kind)}"></span>${safeText(fault.name)}</td>`;
    return `<tr>${cells[0]}${name}${cells.slice(1).join('')}</tr>`;
  };
  const head = ['at', 'for', 'noticed', 'recovered', 'gap', 'failed', 'p99'].map(
    (name) => `<th>${name}</th>`,
  );
  return `<div class="card"><table><thead><tr><th></th><th class="word">fault</th>${head.join('')}</tr></thead>
<tbody>${faults.map(row).join('\n')}</tbody></table></div>`;
}

function errorTable({ figures }: NemesisResult): string {
  const errors = Object.entries(figures.errors).sort((a, b) => b[1] - a[1]);
  if (errors.length === 0) return '<p>None.</p>';
  const meaning: Readonly<Record<string, string>> = {
    fail: 'certainly not applied',
    unknown: 'may have been applied',
  };
  const rows = errors.map(([name, count]) => {
    const [outcome = '', code = ''] = name.split(' ');
    return `<tr><td class="word">${safeText(code)}</td><td class="word">${outcome}: ${meaning[outcome] ?? 'never ended'}</td><td>${whole(count)}</td></tr>`;
  });
  return `<div class="card"><table><thead><tr><th class="word">error</th><th class="word">meaning for the data</th>
<th>requests</th></tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}

function commandOf({ options }: NemesisResult): string {
  const { minutes, nodes, seed, faults, rate } = options;
  return `npm run nemesis -- --minutes ${minutes} --nodes ${nodes} --seed ${seed} --faults ${faults.join(',')} --rate ${rate} --html nemesis.html`;
}

/** What the script needs, as JSON that cannot end the script. */
function dataOf({ figures }: NemesisResult): string {
  const round = (value: number): number => Math.round(value * 100) / 100;
  const data = {
    width: CHART.width,
    left: CHART.left,
    plotWidth: CHART.width - CHART.left - CHART.right,
    stepMs: figures.stepMs,
    durationMs: figures.durationMs,
    steps: figures.steps.map((step) => [
      step.ok,
      step.fail,
      step.unknown,
      round(step.p50),
      round(step.p99),
      round(step.max),
    ]),
    faults: figures.faults.map(({ name, from, to }) => [safeText(name), round(from), round(to)]),
  };
  return JSON.stringify(data).replaceAll('<', '\\u003c');
}

function whole(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

function ms(value: number | undefined): string {
  if (value === undefined) return '–';
  return value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`;
}
