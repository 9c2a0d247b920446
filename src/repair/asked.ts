/**
 * Questions of a comparison as the answering side reads them: roots, and buckets with what the asker holds there and
 * what turns out when the own rows are held against it.
 */

import type { ByteReader } from '../base/bytes.ts';
import type { RowKey } from '../rows/key.ts';
import { type Row, rowStamp, rowTime, type Stamp } from '../rows/row.ts';
import { readAscending, readShort } from '../wire/repair-messages.ts';
import {
  type BucketPart,
  ENTRIES_MAX,
  nonsense,
  ROOTS_MAX,
  readBucketPart,
  readCount,
  readHash,
  readVersion,
  type Version,
} from './codec.ts';
import type { Shortening } from './tree.ts';

export interface AskedBucket {
  readonly item: BucketPart;
  /** Index of each entry by short key hash; -1 for those to be left alone. */
  readonly indices: Map<number, number>;
  readonly versions: Version[];
  readonly found: boolean[];
  readonly others: { index: number; stamp: Stamp }[];
  readonly only: { key: number; time: number }[];
  readonly drops: { key: RowKey; stamp: Stamp }[];
  damaged: number;
}

/** A row of ours that lies in a bucket, and its short hashes. */
export interface MetRow {
  readonly key: number;
  readonly version: Version;
  readonly rowKey: RowKey;
  readonly row: Row;
}

/**
 * A row of ours meets the list of the asker.
 * @param settledThere it is from before a horizon of theirs that is ahead of ours: if they hold nothing, it was
 *   deleted, and its tombstone collected
 * @param isKept a named bug: it is kept all the same
 */
export function meetBucket(
  bucket: AskedBucket,
  { key, version, rowKey, row }: MetRow,
  settledThere: boolean,
  isKept: boolean,
): void {
  if (bucket.only.length + bucket.others.length > ENTRIES_MAX) return;
  const index = bucket.indices.get(key);
  if (index === -1) return;
  if (index === undefined) {
    if (settledThere && isKept) return;
    if (settledThere) bucket.drops.push({ key: rowKey, stamp: rowStamp(row).slice() });
    else bucket.only.push({ key, time: rowTime(row) });
    return;
  }
  bucket.found[index] = true;
  const asked = bucket.versions[index]!;
  if (asked.a === version.a && asked.b === version.b) return;
  bucket.others.push({ index, stamp: rowStamp(row).slice() });
}

export function readAskedBucket(reader: ByteReader, short: Shortening): AskedBucket {
  const { item, skipped } = readBucketPart(reader);
  const indices = new Map<number, number>();
  const versions: Version[] = [];
  for (let left = readCount(reader); left > 0; left--) {
    indices.set(readShort(reader, short.keyBytes), versions.length);
    versions.push(readVersion(reader, short));
  }
  if (skipped) {
    for (let left = readCount(reader); left > 0; left--) indices.set(readShort(reader, short.keyBytes), -1);
  }
  const found = versions.map(() => false);
  return { item, indices, versions, found, others: [], only: [], drops: [], damaged: 0 };
}

export interface AskedRoot {
  readonly partition: number;
  readonly a: number;
  readonly b: number;
  readonly horizon: number;
}

/** Roots are asked about in ascending order of their partitions. */
export function readAskedRoots(reader: ByteReader, wide: boolean, partitionCount: number): AskedRoot[] {
  const asked: AskedRoot[] = [];
  let before = -1;
  const count = readCount(reader);
  if (count > ROOTS_MAX) throw nonsense('too many partitions');
  for (let left = count; left > 0; left--) {
    const partition = readAscending(reader, before);
    if (partition <= before || partition >= partitionCount) throw nonsense('no partition');
    before = partition;
    const { a, b } = readHash(reader);
    asked.push({ partition, a, b, horizon: wide ? reader.u48() : 0 });
  }
  return asked;
}
