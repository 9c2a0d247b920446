/**
 * Hash trees on the path of a write, side by side: `node bench/micro/repair-marks.ts`.
 *
 * Two replicas write into one memory engine, in batches of 64 rows of 1 KiB as at the end of a turn; one of
 * them marks slots. Slices of a few milliseconds take turns in random order, so that whatever disturbs the
 * machine disturbs both, and the order favours neither; what is told is the ratio of the medians.
 */

import { SystemClock } from '../../src/adapters/clock.ts';
import { SecureRandom } from '../../src/adapters/random.ts';
import { MemoryStorage } from '../../src/adapters/storage-memory.ts';
import { bytesOf } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { HashForest } from '../../src/merkle/hash-forest.ts';
import { RepairMarks } from '../../src/node/repair-marks.ts';
import { Replica } from '../../src/replica/replica.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { encodeRow, KIND_STRING, type RowBody } from '../../src/rows/row.ts';

const rows = 16_384;
const batchRows = 64;
const sliceRows = 2048;
const slices = 1500;
const warmUpSlices = 100;

const body: RowBody = { kind: KIND_STRING, value: bytesOf('x'.repeat(1024)), expireAt: 0 };
const rowKeys = Array.from({ length: rows }, (_, i) => rowKeyOf(`key:${String(i).padStart(12, '0')}`));
const storage = new MemoryStorage({ clock: new SystemClock(), random: new SecureRandom() });
const prng = new Prng(1);
let time = 1_700_000_000_000;

function replicaWith(marks: RepairMarks | undefined): Replica {
  return new Replica({
    storage,
    durability: 'interval',
    log: { write: () => undefined },
    wake: () => undefined,
    noteOfCommit: () => undefined,
    ...(marks === undefined ? {} : { watcher: marks }),
    mutants: new Set<string>(),
  });
}

/** Writes a slice. @returns nanoseconds a row */
function slice(replica: Replica): number {
  const began = performance.now();
  for (let i = 0; i < sliceRows; i++) {
    const rowKey = rowKeys[(time * 7) % rows]!;
    replica.merge(
      rowKey,
      encodeRow(rowKey, body, { time: ++time, logical: 0, actor: 7, counter: i }),
      undefined,
    );
    if (i % batchRows === batchRows - 1) replica.commit();
  }
  return ((performance.now() - began) * 1e6) / sliceRows;
}

const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[times.length >> 1]!;

const kinds = [replicaWith(undefined), replicaWith(new RepairMarks(new HashForest(), false))] as const;
const times: [number[], number[]] = [[], []];
for (let i = 0; i < slices; i++) {
  const first = prng.below(2) as 0 | 1;
  for (const kind of [first, (1 - first) as 0 | 1]) {
    const took = slice(kinds[kind]);
    if (i >= warmUpSlices) times[kind].push(took);
  }
}
const [without, marked] = times.map(median) as [number, number];
process.stdout.write(
  `a row written: ${without.toFixed(0)} ns without hash trees, ${marked.toFixed(0)} ns with its slot marked: ` +
    `${((marked / without - 1) * 100).toFixed(1)} %\n`,
);
