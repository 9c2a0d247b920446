/**
 * Measures what a comparison of two replicas costs: bytes of metadata, bytes of rows, messages, time. The
 * real machines run over real memory engines; only the wire is a counter.
 */

import { SystemClock } from '../../src/adapters/clock.ts';
import { SecureRandom } from '../../src/adapters/random.ts';
import { MemoryStorage } from '../../src/adapters/storage-memory.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Storage } from '../../src/ports/storage.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { FRAME_BYTES, Pair, rowOf, totals } from '../../test/support/repair-pair.ts';

export interface RepairCost {
  readonly rows: number;
  readonly differences: number;
  /** Differing rows found, and rows exchanged. */
  readonly found: number;
  readonly exchanged: number;
  readonly messages: number;
  /** All bytes but those of keys and rows, with a frame for every message. */
  readonly metadataBytes: number;
  readonly metadataBytesPerRow: number;
  /** Bytes of rows and their keys that were sent, by the least that had to be. */
  readonly rowShare: number;
  readonly comparisonMs: number;
  /** A second round, in which all is equal: bytes a partition, both directions together. */
  readonly equalBytesPerPartition: number;
}

const batchRows = 1000;
const partitionCount = 1024;
/** Rows are stamped within so long, and newer versions of them so much later. */
const timesMs = 400_000;
/** As the rounds do (`src/repair/peer-book.ts`). */
const stretch = 256;

/** Two replicas with `rows` rows of `valueBytes` bytes, which differ in `differences` of them. */
export function measureRepairCost(rows: number, differences: number, valueBytes: number): RepairCost {
  const storages = [engine(), engine()] as const;
  const pair = new Pair({ partitionCount, storages });
  const value = 'v'.repeat(valueBytes);
  const prng = new Prng(differences * 31 + rows);
  const odd = new Set<number>();
  while (odd.size < differences) odd.add(prng.below(rows));
  let least = 0;
  const keyOf = (i: number): string => `user:${i}:name`;
  for (let from = 0; from < rows; from += batchRows) {
    const batches: { key: string; value: Uint8Array }[][] = [[], []];
    for (let i = from; i < Math.min(rows, from + batchRows); i++) {
      const key = rowKeyOf(keyOf(i));
      const row = rowOf(key, i % timesMs, value);
      // A third each: lacking at b, older at b, older at a.
      const kind = odd.has(i) ? i % 3 : -1;
      if (kind >= 0) least += key.length + row.length;
      const newer = kind > 0 ? rowOf(key, timesMs + (i % timesMs), value) : row;
      batches[0]!.push({ key, value: kind === 1 ? newer : row });
      if (kind !== 0) batches[1]!.push({ key, value: kind === 2 ? newer : row });
    }
    storages[0].write(batches[0]!, 'interval', () => undefined);
    storages[1].write(batches[1]!, 'interval', () => undefined);
  }
  const round = (): { bytes: number; messages: number; sum: ReturnType<typeof totals> } => {
    const outcomes = [];
    const [bytes, messages] = [pair.bytes, pair.messages];
    for (let first = 0; first < partitionCount; first += stretch) {
      const partitions = Array.from({ length: stretch }, (_, i) => first + i);
      const compared = pair.compare(pair.a, { partitions });
      if (compared.error !== undefined) throw compared.error;
      outcomes.push(...compared.outcomes);
    }
    return { bytes: pair.bytes - bytes, messages: pair.messages - messages, sum: totals(outcomes) };
  };
  const began = performance.now();
  const first = round();
  const comparisonMs = performance.now() - began;
  const second = round();
  if (second.sum.equal !== partitionCount) throw new Error('the replicas are not equal after a round');
  const exchanged = first.sum.sent + first.sum.taken;
  const metadataBytes = first.bytes - first.sum.rowBytes + first.messages * FRAME_BYTES;
  return {
    rows,
    differences,
    found: first.sum.differing,
    exchanged,
    messages: first.messages,
    metadataBytes,
    metadataBytesPerRow: metadataBytes / Math.max(1, differences),
    rowShare: first.sum.rowBytes / Math.max(1, least),
    comparisonMs,
    equalBytesPerPartition: (second.bytes + second.messages * FRAME_BYTES) / partitionCount,
  };
}

function engine(): Storage {
  return new MemoryStorage({ clock: new SystemClock(), random: new SecureRandom() });
}
