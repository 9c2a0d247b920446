/**
 * A bucket of a comparison as the answering side reads it: what the asker holds there, and what turns out when the
 * own rows are held against it.
 */

import type { ByteReader } from '../base/bytes.ts';
import type { RowKey } from '../rows/key.ts';
import type { Stamp } from '../rows/row.ts';
import { readShort } from '../wire/repair-messages.ts';
import { type BucketPart, readBucketPart, readCount, readVersion, type Version } from './codec.ts';
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
