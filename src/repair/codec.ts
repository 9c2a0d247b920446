/**
 * The bodies of the messages of a comparison (`src/wire/repair-messages.ts` has their heads), as the two
 * machines exchange them.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { NodeHash } from '../merkle/hash-forest.ts';
import type { RowHash } from '../merkle/row-hash.ts';
import { foldTime } from '../merkle/row-hash.ts';
import { isRowKey, type RowKey } from '../rows/key.ts';
import { isRowIntact, type Row, STAMP_BYTES, type Stamp } from '../rows/row.ts';
import { readAscending, readShort, writeAscending, writeShort } from '../wire/repair-messages.ts';
import type { TreeNode } from './tree.ts';
import { isLeaf, type Shortening } from './tree.ts';

/** Entries of one side in a bucket or a part of one are at most so many. */
export const ENTRIES_MAX = 8192;
/** Buckets in one message. */
export const BUCKETS_MAX = 64;
export const NODES_MAX = 1024;
/** Partitions in one message. */
export const ROOTS_MAX = 512;
export const PARTS_LOG_MAX = 16;
/** Bytes of rows in one message. */
export const ROWS_BYTES_MAX: number = 256 * 1024;
/** The same while all rows of a partition are carried away: both sides serve clients between two of them. */
export const PAGE_BYTES_MAX: number = 64 * 1024;

/** In place of a count of buckets: all rows of a partition are asked for, from a key on. */
export const FETCH_ALL = 0xffff;

export interface FetchAll {
  readonly partition: number;
  /** The last row that came; empty for none. */
  readonly after: RowKey;
}

export function writeFetchAll(writer: ByteWriter, { partition, after }: FetchAll): void {
  writer.u16(FETCH_ALL);
  writer.u16(partition);
  writer.text(after);
}

/** Reads what follows `FETCH_ALL`. */
export function readFetchAll(reader: ByteReader, partitionCount: number): FetchAll {
  const partition = reader.u16();
  const after = reader.text();
  if (partition >= partitionCount || (after !== '' && !isRowKey(after))) throw nonsense('no partition');
  return { partition, after };
}

/** A bucket, or the part of one whose short key hashes begin with the `partsLog` bits of `part`. */
export interface BucketPart {
  readonly leaf: number;
  readonly partsLog: number;
  readonly part: number;
}

export function writeHash(writer: ByteWriter, hash: NodeHash): void {
  writer.u32(hash.a);
  writer.u32(hash.b);
}

export function readHash(reader: ByteReader): NodeHash {
  const a = reader.u32();
  return { a, b: reader.u32() };
}

/**
 * What a comparison by full hashes rests on at the side that answers. It is told with the first answer and
 * said again with every question about the same roots, since that side keeps nothing in between.
 */
export interface Footing {
  /** `LocalRows.token` as the first question came: what others hand over later may be in no hash. */
  readonly token: number;
  /** Leaves weighed from then on count, monotonic milliseconds of the answering side. */
  readonly since: number;
}

export function writeFooting(writer: ByteWriter, footing: Footing): void {
  writer.u32(footing.token);
  // Rounded up: a leaf that was weighed earlier must not count.
  writer.u48(Math.ceil(footing.since));
}

export function readFooting(reader: ByteReader): Footing {
  const token = reader.u32();
  return { token, since: reader.u48() };
}

/** Sixteen bits that tell one horizon from another. */
export function horizonMark(horizon: number): number {
  return foldTime(0, 0, horizon)[0] & 0xffff;
}

/** A small count: one byte mostly. */
export function writeCount(writer: ByteWriter, count: number): void {
  writeAscending(writer, count, -1);
}

export function readCount(reader: ByteReader): number {
  return readAscending(reader, -1);
}

export function writeNodeHash(writer: ByteWriter, short: Shortening, hash: NodeHash): void {
  if (short.wide) writeHash(writer, hash);
  else writeShort(writer, short.node(hash), 3);
}

/** Reads a hash of a node and tells whether it is `own`'s. */
export function readEqualNodeHash(reader: ByteReader, short: Shortening): (own: NodeHash) => boolean {
  if (short.wide) {
    const theirs = readHash(reader);
    return (own) => own.a === theirs.a && own.b === theirs.b;
  }
  const theirs = readShort(reader, 3);
  return (own) => short.node(own) === theirs;
}

export function writeTreeNode(writer: ByteWriter, node: TreeNode): void {
  writeShort(writer, node, 3);
}

export function readTreeNode(reader: ByteReader): TreeNode {
  return readShort(reader, 3);
}

const flagSkipped = 0x80;

export function writeBucketPart(writer: ByteWriter, item: BucketPart, skipped: boolean): void {
  writeShort(writer, item.leaf, 3);
  writer.u8(item.partsLog | (skipped ? flagSkipped : 0));
  if (item.partsLog > 0) writer.u16(item.part);
}

export function readBucketPart(reader: ByteReader): { item: BucketPart; skipped: boolean } {
  const leaf = readShort(reader, 3);
  const flags = reader.u8();
  const partsLog = flags & 0x7f;
  if (!isLeaf(leaf) || partsLog > PARTS_LOG_MAX) throw nonsense('a bucket that is none');
  return {
    item: { leaf, partsLog, part: partsLog > 0 ? reader.u16() : 0 },
    skipped: (flags & flagSkipped) !== 0,
  };
}

/** The version of an entry as sent: one number if narrow, both lanes if wide. */
export interface Version {
  readonly a: number;
  readonly b: number;
}

export function versionOf(hash: RowHash, short: Shortening): Version {
  return short.wide ? { a: hash.a, b: hash.b } : { a: short.version(hash), b: 0 };
}

export function writeVersion(writer: ByteWriter, short: Shortening, version: Version): void {
  if (short.wide) writeHash(writer, version);
  else writeShort(writer, version.a, 3);
}

export function readVersion(reader: ByteReader, short: Shortening): Version {
  return short.wide ? readHash(reader) : { a: readShort(reader, 3), b: 0 };
}

/** What the answering side found in a bucket. Indices are into the asker's entries. */
export interface BucketAnswer {
  /** It has more entries than fit: ask for parts. */
  readonly split: boolean;
  /** Rows it lacks. */
  readonly wants: readonly number[];
  /** Rows it holds in another version: this one. */
  readonly others: readonly { readonly index: number; readonly stamp: Stamp }[];
  /** Rows only it holds: short key hash, and the time of the stamp. */
  readonly only: readonly { readonly key: number; readonly time: number }[];
  /** Rows it dropped, rows that stay different this time, and rows of its that fail their checksum. */
  readonly dropped: number;
  readonly unresolved: number;
  readonly damaged: number;
}

const answerSplit = 1;
const answerWants = 2;
const answerOthers = 4;
const answerOnly = 8;
const answerLosses = 16;

export function writeBucketAnswer(
  writer: ByteWriter,
  short: Shortening,
  entryCount: number,
  answer: BucketAnswer,
): void {
  const { split, wants, others, only, dropped, unresolved, damaged } = answer;
  const losses = dropped + unresolved + damaged > 0;
  if (split) {
    writer.u8(answerSplit);
    return;
  }
  const index = (at: number): void => (entryCount < 256 ? writer.u8(at) : writer.u16(at));
  writer.u8(
    (wants.length > 0 ? answerWants : 0) |
      (others.length > 0 ? answerOthers : 0) |
      (only.length > 0 ? answerOnly : 0) |
      (losses ? answerLosses : 0),
  );
  if (wants.length > 0) {
    writeCount(writer, wants.length);
    for (const at of wants) index(at);
  }
  if (others.length > 0) {
    writeCount(writer, others.length);
    for (const other of others) {
      index(other.index);
      writer.raw(other.stamp);
    }
  }
  if (only.length > 0) {
    writeCount(writer, only.length);
    for (const { key, time } of only) {
      writeShort(writer, key, short.keyBytes);
      writer.u48(time);
    }
  }
  if (losses) for (const count of [dropped, unresolved, damaged]) writer.u16(Math.min(0xffff, count));
}

export function readBucketAnswer(reader: ByteReader, short: Shortening, entryCount: number): BucketAnswer {
  const flags = reader.u8();
  const wants: number[] = [];
  const others: { index: number; stamp: Stamp }[] = [];
  const only: { key: number; time: number }[] = [];
  const index = (): number => {
    const at = entryCount < 256 ? reader.u8() : reader.u16();
    if (at >= entryCount) throw nonsense('an entry that was not named');
    return at;
  };
  if (flags & answerWants) for (let left = readCount(reader); left > 0; left--) wants.push(index());
  if (flags & answerOthers) {
    for (let left = readCount(reader); left > 0; left--) {
      const at = index();
      others.push({ index: at, stamp: reader.raw(STAMP_BYTES).slice() });
    }
  }
  if (flags & answerOnly) {
    for (let left = readCount(reader); left > 0; left--) {
      const key = readShort(reader, short.keyBytes);
      only.push({ key, time: reader.u48() });
    }
  }
  const losses = (flags & answerLosses) !== 0;
  const dropped = losses ? reader.u16() : 0;
  const unresolved = losses ? reader.u16() : 0;
  const damaged = losses ? reader.u16() : 0;
  return { split: (flags & answerSplit) !== 0, wants, others, only, dropped, unresolved, damaged };
}

/** A row on the wire costs six bytes more than its key and its bytes. */
export function writeRow(writer: ByteWriter, rowKey: RowKey, row: Row): void {
  writer.text(rowKey);
  writer.blob(row);
}

/** @returns the row; `row` undefined if it fails its checksum. The bytes are the caller's own. */
export function readRow(reader: ByteReader): { rowKey: RowKey; row: Row | undefined } {
  const rowKey = reader.text();
  const row = reader.blob();
  if (!isRowKey(rowKey)) throw nonsense('a row without a row key');
  return { rowKey, row: isRowIntact(rowKey, row) ? row.slice() : undefined };
}

export function nonsense(what: string): CodedError {
  return new CodedError('protocol', 'none', `a comparison names ${what}`);
}
