/**
 * Micro benchmarks of hash trees: what a mark costs a write, and what weighing a row costs a comparison. One
 * iteration is one row. `repair-marks.ts` compares whole writes side by side.
 */

import { bytesOf } from '../../src/base/bytes.ts';
import { HashForest } from '../../src/merkle/hash-forest.ts';
import { RowHash } from '../../src/merkle/row-hash.ts';
import { RepairMarks } from '../../src/node/repair-marks.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { encodeRow, KIND_STRING, type RowBody } from '../../src/rows/row.ts';
import type { MicroBenchmark } from './benchmark.ts';

const rows = 16_384;
const body: RowBody = { kind: KIND_STRING, value: bytesOf('x'.repeat(1024)), expireAt: 0 };
const rowKeys = Array.from({ length: rows }, (_, i) => rowKeyOf(`key:${String(i).padStart(12, '0')}`));

function weigh(iterations: number): void {
  const hash = new RowHash();
  const forest = new HashForest();
  const row = encodeRow(rowKeys[0]!, body, { time: 1, logical: 0, actor: 7, counter: 1 });
  forest.begin(0, 0);
  for (let i = 0; i < iterations; i++) {
    hash.key(rowKeys[i % rows]!);
    hash.stamp(row, 2);
    forest.add(hash.bucket, hash.a, hash.b);
  }
  forest.end();
}

function mark(iterations: number): void {
  const forest = new HashForest();
  const marks = new RepairMarks(forest, false);
  for (let i = 0; i < iterations; i++) marks.rowChanged(rowKeys[i % rows]!, false);
  if (!forest.isMarked(0)) throw new Error('nothing was marked');
}

export const benchmarks: readonly MicroBenchmark[] = [
  { name: 'repair: mark', run: mark },
  { name: 'repair: weigh a row', run: weigh },
];
