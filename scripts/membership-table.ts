/**
 * Prints the figures of membership (`npm run membership:table`): bytes a node a second, how soon a killed
 * node is known to be down by all others, and how often a live one is called down, for clusters of 3 to
 * 100 nodes. The unmodified core runs on a virtual network; nothing else is written.
 *
 *   --node-hours H   simulated node-hours of each cell of false downs (default 20; 200 gives 1,000 a column)
 *   --sizes 3,10     only these sizes
 *   --seed S         another run
 *   --quick          a small sample, in seconds; exit code 1 if a goal is missed (so does the full table)
 */

import { parseArgs } from 'node:util';
import { type CellFigures, detectionOf, falseDownsOf, trafficOf } from './membership/network.ts';

const { values } = parseArgs({
  options: {
    'node-hours': { type: 'string', default: '20' },
    sizes: { type: 'string', default: '3,5,10,30,100' },
    seed: { type: 'string', default: '1' },
    quick: { type: 'boolean', default: false },
  },
});

const sizes = values.sizes.split(',').map(Number);
const nodeHours = values.quick ? 1 : Number(values['node-hours']);
const seed = Number(values.seed);
const detectionMaxMs = 5000;

interface Line {
  readonly cells: readonly string[];
  readonly bytes: number;
  readonly ok: boolean;
  readonly idle: CellFigures;
  readonly rough: CellFigures;
}

function line(size: number): Line {
  const kills = values.quick ? 12 : Math.max(30, Math.round(600 / size));
  const bytes = trafficOf(size, seed);
  const clean = detectionOf(size, kills, 0, seed);
  const lossy = detectionOf(size, kills, 0.05, seed + 1);
  const idle = falseDownsOf(size, nodeHours, 0, 0, seed + 2);
  const rough = falseDownsOf(size, nodeHours, 0.05, 60_000, seed + 3);
  const seconds = (ms: number): string => (ms / 1000).toFixed(2);
  const cells = [
    String(size),
    bytes.toFixed(0),
    seconds(clean.p50Ms),
    seconds(clean.p99Ms),
    seconds(lossy.p99Ms),
    `${idle.falseDowns} in ${idle.nodeHours.toFixed(0)} h`,
    `${rough.falseDowns} in ${rough.nodeHours.toFixed(0)} h`,
    String(rough.freezes),
    String(rough.suspicions),
  ];
  const missed = clean.missed + lossy.missed;
  const ok = missed === 0 && Math.max(clean.p99Ms, lossy.p99Ms) <= detectionMaxMs;
  return { cells, bytes, ok, idle, rough };
}

const HEAD = [
  'nodes',
  'bytes/node/s',
  'down after p50 s',
  'p99 s',
  'p99 s, 5 % loss',
  'false downs, idle',
  'with loss and freezes',
  'freezes',
  'suspicions',
];

function print(rows: readonly (readonly string[])[]): void {
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const text = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padStart(widths[column]!)).join(' | ')} |`;
  const [head, ...body] = rows;
  const rule = widths.map((width) => `${'-'.repeat(width - 1)}:`);
  for (const row of [head!, rule, ...body]) console.log(text(row));
}

function goals(lines: readonly Line[]): boolean {
  const sum = (of: (line: Line) => number): number => lines.reduce((total, each) => total + of(each), 0);
  const idleHours = sum((each) => each.idle.nodeHours);
  const roughHours = sum((each) => each.rough.nodeHours);
  const idleDowns = sum((each) => each.idle.falseDowns);
  const roughDowns = sum((each) => each.rough.falseDowns);
  const rough1000 = roughHours === 0 ? 0 : (roughDowns / roughHours) * 1000;
  const bytes = lines.map((each) => each.bytes);
  const report: [string, boolean][] = [
    [`detection p99 within ${detectionMaxMs} ms at every size`, lines.every((each) => each.ok)],
    [
      `bytes a node a second at most ${Math.max(...bytes).toFixed(0)} at every size`,
      Math.max(...bytes) < 8192,
    ],
    [`false downs idle: ${idleDowns} in ${idleHours.toFixed(0)} node-hours`, idleDowns === 0],
    [
      `false downs with 5 % loss and 2 s freezes: ${roughDowns} in ${roughHours.toFixed(0)} node-hours`,
      rough1000 <= 1,
    ],
  ];
  console.log('');
  for (const [goal, met] of report) console.log(`${met ? 'met   ' : 'MISSED'} ${goal}`);
  return report.every(([, met]) => met);
}

const lines = sizes.map(line);
print([HEAD, ...lines.map((each) => each.cells)]);
if (!goals(lines)) process.exitCode = 1;
