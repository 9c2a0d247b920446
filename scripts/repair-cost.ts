/**
 * Prints what anti-entropy costs at several sizes: `npm run repair:cost -- [--rows N] [--value BYTES]`.
 */

import { parseArgs } from 'node:util';
import { measureRepairCost } from './repair/cost.ts';

const { values } = parseArgs({
  options: { rows: { type: 'string' }, value: { type: 'string' } },
});
const rows = Number(values.rows ?? 1_000_000);
const valueBytes = Number(values.value ?? 100);

const columns = [
  ['rows', 9],
  ['differing', 10],
  ['exchanged', 10],
  ['metadata bytes', 15],
  ['a differing row', 16],
  ['row bytes / least', 18],
  ['messages', 9],
  ['equal partition', 16],
  ['ms', 7],
] as const;

const line = (cells: readonly string[]): string =>
  cells.map((cell, i) => cell.padStart(columns[i]![1])).join(' ');

process.stdout.write(`1024 partitions, values of ${valueBytes} bytes, two memory engines in one process\n\n`);
process.stdout.write(`${line(columns.map(([name]) => name))}\n`);
for (const differences of [0, 1, 100, 10_000]) {
  const cost = measureRepairCost(rows, differences, valueBytes);
  const share = differences === 0 ? '-' : cost.rowShare.toFixed(3);
  const each = differences === 0 ? '-' : cost.metadataBytesPerRow.toFixed(1);
  process.stdout.write(
    `${line([
      `${rows}`,
      `${differences}`,
      `${cost.exchanged}`,
      `${cost.metadataBytes}`,
      each,
      share,
      `${cost.messages}`,
      `${cost.equalBytesPerPartition.toFixed(1)} B`,
      cost.comparisonMs.toFixed(0),
    ])}\n`,
  );
}
