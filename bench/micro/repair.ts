/**
 * Micro benchmarks of hash trees: what they cost on the path of a write, and what weighing a row costs a
 * comparison. The writes of both kinds go through a real replica into a memory engine, in batches of 64, as
 * at the end of a turn; they differ in whether a watcher marks the slots. One iteration is one row.
 */

import { SystemClock } from '../../src/adapters/clock.ts';
import { SecureRandom } from '../../src/adapters/random.ts';
import { MemoryStorage } from '../../src/adapters/storage-memory.ts';
import { bytesOf } from '../../src/base/bytes.ts';
import { HashForest } from '../../src/merkle/hash-forest.ts';
import { RowHash } from '../../src/merkle/row-hash.ts';
import { RepairMarks } from '../../src/node/repair-marks.ts';
import { Replica } from '../../src/replica/replica.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { encodeRow, KIND_STRING, type RowBody } from '../../src/rows/row.ts';
import type { MicroBenchmark } from './benchmark.ts';

const rows = 16_384;
const batchRows = 64;
const body: RowBody = { kind: KIND_STRING, value: bytesOf('x'.repeat(1024)), expireAt: 0 };
const rowKeys = Array.from({ length: rows }, (_, i) => rowKeyOf(`key:${String(i).padStart(12, '0')}`));

function writes(forest: HashForest | undefined): MicroBenchmark['run'] {
  let replica: Replica | undefined;
  let time = 1_700_000_000_000;
  return (iterations) => {
    replica ??= new Replica({
      storage: new MemoryStorage({ clock: new SystemClock(), random: new SecureRandom() }),
      durability: 'interval',
      log: { write: () => undefined },
      wake: () => undefined,
      noteOfCommit: () => undefined,
      ...(forest === undefined ? {} : { watcher: new RepairMarks(forest, false) }),
      mutants: new Set<string>(),
    });
    for (let i = 0; i < iterations; i++) {
      const rowKey = rowKeys[i % rows]!;
      const row = encodeRow(rowKey, body, { time: ++time, logical: 0, actor: 7, counter: i });
      replica.merge(rowKey, row, undefined);
      if (i % batchRows === batchRows - 1) replica.commit();
    }
    replica.commit();
  };
}

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
  for (let i = 0; i < iterations; i++) marks.rowChanged(rowKeys[i % rows]!);
  if (!forest.isMarked(0)) throw new Error('nothing was marked');
}

export const benchmarks: readonly MicroBenchmark[] = [
  { name: 'repair: write a row, no hash trees', run: writes(undefined) },
  { name: 'repair: write a row, its slot marked', run: writes(new HashForest()) },
  { name: 'repair: mark', run: mark },
  { name: 'repair: weigh a row', run: weigh },
];
