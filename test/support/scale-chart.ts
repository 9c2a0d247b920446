/**
 * The picture of a cluster that follows its load, as SVG by hand: above, operations a second, as they were sent and
 * against what the nodes should carry; below, the nodes, with each change as a bar and its cool-down behind it.
 */

export interface ScalePoint {
  /** Milliseconds since the beginning. */
  readonly at: number;
  readonly nodes: number;
  /** Operations a second of all clients since the point before. */
  readonly operations: number;
}

export interface ScaleChange {
  readonly kind: string;
  readonly node: string;
  readonly beganAt: number;
  readonly endedAt: number;
}

export interface ScaleRun {
  readonly points: readonly ScalePoint[];
  readonly changes: readonly ScaleChange[];
  /** Operations a second a node. */
  readonly target: number;
  readonly coolDownMs: number;
}

const width = 1000;
const left = 56;
const right = 16;
const rates = { top: 36, height: 190 };
const sizes = { top: 276, height: 130 };
const height = sizes.top + sizes.height + 34;

const style = `
text { font: 12px system-ui, sans-serif; fill: #57606a; } .title { font-size: 13px; font-weight: 600; fill: #1f2328; }
.axis { stroke: #d0d7de; } .load { fill: none; stroke: #0969da; stroke-width: 1.6; }
.target { fill: none; stroke: #bc4c00; stroke-width: 1.4; stroke-dasharray: 5 3; }
.band { fill: none; stroke: #bc4c00; stroke-width: 1; stroke-dasharray: 1 3; }
.nodes { fill: none; stroke: #1a7f37; stroke-width: 2; } .change { fill: #8250df; opacity: .55; } .cool { fill: #0969da; opacity: .13; }
@media (prefers-color-scheme: dark) { text { fill: #8b949e; } .title { fill: #e6edf3; } .axis { stroke: #30363d; }
.load { stroke: #58a6ff; } .target, .band { stroke: #f0883e; } .nodes { stroke: #3fb950; } .change { fill: #a371f7; } .cool { fill: #58a6ff; } }`;

/** The drawing. @throws when there is nothing to draw */
export function scaleChart({ points, changes, target, coolDownMs }: ScaleRun): string {
  const end = points.at(-1)!.at;
  const rateMax = niceAbove(Math.max(...points.map((p) => Math.max(p.operations, p.nodes * target))));
  const sizeMax = Math.max(...points.map(({ nodes }) => nodes)) + 1;
  const x = (ms: number): number => left + (Math.min(ms, end) / end) * (width - left - right);
  const rateY = (rate: number): number => rates.top + rates.height * (1 - rate / rateMax);
  const sizeY = (size: number): number => sizes.top + sizes.height * (1 - size / sizeMax);
  const parts: string[] = [];
  for (const { beganAt, endedAt, kind, node } of changes) {
    const bar = (cls: string, from: number, to: number): string =>
      `<rect class="${cls}" x="${fixed(x(from))}" width="${fixed(x(to) - x(from))}" y="${sizes.top}" height="${sizes.height}"/>`;
    parts.push(bar('cool', endedAt, endedAt + coolDownMs), bar('change', beganAt, endedAt));
    parts.push(`<text x="${fixed(x(beganAt))}" y="${sizes.top - 5}">${kind} ${node}</text>`);
  }
  for (let step = 0; step <= 4; step++) {
    const rate = (rateMax / 4) * step;
    parts.push(line('axis', left, rateY(rate), width - right, rateY(rate)));
    parts.push(`<text x="${left - 6}" y="${fixed(rateY(rate) + 4)}" text-anchor="end">${rate}</text>`);
  }
  for (let size = 0; size < sizeMax; size++) {
    parts.push(line('axis', left, sizeY(size), width - right, sizeY(size)));
    parts.push(`<text x="${left - 6}" y="${fixed(sizeY(size) + 4)}" text-anchor="end">${size}</text>`);
  }
  for (let at = 0; at <= end; at += stepOf(end)) {
    parts.push(`<text x="${fixed(x(at))}" y="${height - 12}" text-anchor="middle">${at / 1000} s</text>`);
  }
  const steps = (y: (point: ScalePoint) => number): string => stairs(points, ({ at }) => x(at), y);
  parts.push(
    `<path class="band" d="${steps(({ nodes }) => rateY(0.7 * (nodes - 1) * target))}"/>`,
    `<path class="target" d="${steps(({ nodes }) => rateY(nodes * target))}"/>`,
    `<path class="load" d="${points.map((p, i) => `${i === 0 ? 'M' : 'L'}${fixed(x(p.at))} ${fixed(rateY(p.operations))}`).join('')}"/>`,
    `<path class="nodes" d="${steps(({ nodes }) => sizeY(nodes))}"/>`,
    `<text class="title" x="${left}" y="18">Operations a second; dashed: nodes × ${target}, and below the dotted line one node less would do</text>`,
    `<text class="title" x="${left}" y="${sizes.top - 24}">Nodes; each change, and its cool-down of ${coolDownMs / 1000} s behind it</text>`,
  );
  const label = 'Operations a second and the number of nodes over time';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}"><style>${style}</style>\n${parts.join('\n')}\n</svg>\n`;
}

function stairs(
  points: readonly ScalePoint[],
  x: (point: ScalePoint) => number,
  y: (point: ScalePoint) => number,
): string {
  return points
    .map((point, i) =>
      i === 0 ? `M${fixed(x(point))} ${fixed(y(point))}` : `H${fixed(x(point))}V${fixed(y(point))}`,
    )
    .join('');
}

function line(cls: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${cls}" x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}"/>`;
}

function fixed(value: number): string {
  return value.toFixed(1);
}

/** 1, 2 or 4 times a power of ten, so that quarters of it are plain. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 4, 8, 10, 20].map((times) => times * power).find((nice) => nice >= value)!;
}

function stepOf(ms: number): number {
  return [5000, 10_000, 20_000, 60_000, 600_000].find((step) => ms / step <= 14)!;
}
