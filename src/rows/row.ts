/**
 * Rows: the unit that is stored, replicated, merged and repaired.
 *
 * A row *is* its encoded bytes: it is read from disk, compared, merged, sent and stored without being
 * taken apart. The picture: a sealed envelope with the postmark (the stamp) on the outside.
 *
 * ```
 * offset size
 *   0     1   format version (1)
 *   1     1   kind: 0 tombstone, 1 string, 2 siblings, 3 siblings of which none is left
 *   2     6   stamp: time, milliseconds (HLC)          ┐
 *   8     2   stamp: logical counter (HLC)             │ the 20 stamp bytes: their byte
 *  10     6   stamp: actor that issued it              │ order is the order of stamps
 *  16     6   dot counter of that actor                ┘ (22 - 2); of siblings a digest, see `siblings.ts`
 *  22     6   expireAt, milliseconds since 1970; 0 never
 *  28     4   CRC-32 of the row key, the 28 bytes before, and the value
 *  32     …   value
 * ```
 */

import { readU32, readU48, writeU32, writeU48 } from '../base/bytes.ts';
import { crc32, crc32Short, crc32Text } from '../base/crc32.ts';
import type { RowKey } from './key.ts';

/** An encoded row. Never changed once made. */
export type Row = Uint8Array;

/** The 20 stamp bytes of a row. */
export type Stamp = Uint8Array;

export const ROW_HEADER_BYTES = 32;
export const STAMP_BYTES = 20;
const formatVersion = 1;
const stampStart = 2;
const stampEnd = stampStart + STAMP_BYTES;

export const KIND_TOMBSTONE = 0;
export const KIND_STRING = 1;
/** A version set (`siblings.ts`): with values to show, and with none. */
export const KIND_SIBLINGS = 2;
export const KIND_SIBLINGS_DEAD = 3;

/** The stamp below every stamp: of a row that is not there. */
export const STAMP_NONE: Stamp = new Uint8Array(STAMP_BYTES);

/** What a row says, without its postmark: what a request writes and an update function sees. */
export interface RowBody {
  /** `KIND_STRING`, or `KIND_TOMBSTONE` for a delete. */
  readonly kind: number;
  readonly value: Uint8Array;
  /** Wall time in milliseconds from which on the row is dead; 0 never. */
  readonly expireAt: number;
}

/** The body of a delete. */
export const BODY_TOMBSTONE: RowBody = { kind: KIND_TOMBSTONE, value: new Uint8Array(0), expireAt: 0 };

/** Who wrote when: the parts of a stamp. */
export interface StampParts {
  readonly time: number;
  readonly logical: number;
  readonly actor: number;
  readonly counter: number;
}

/** New rows are cut from slabs: memory of its own for each would cost more than the rest of its making. */
const slabBytes = 65_536;
let slab = new ArrayBuffer(slabBytes);
let slabUsed = 0;

function rowBytes(length: number): Uint8Array {
  if (length > slabBytes / 4) return new Uint8Array(length);
  if (slabUsed + length > slabBytes) {
    slab = new ArrayBuffer(slabBytes);
    slabUsed = 0;
  }
  const bytes = new Uint8Array(slab, slabUsed, length);
  slabUsed += (length + 7) & ~7;
  return bytes;
}

/**
 * Encodes a row. The value is copied. The row's memory is part of a slab: whoever keeps a row for long
 * copies it (storage engines do).
 */
export function encodeRow(rowKey: RowKey, body: RowBody, stamp: StampParts): Row {
  const row = rowBytes(ROW_HEADER_BYTES + body.value.length);
  row[0] = formatVersion;
  row[1] = body.kind;
  writeU48(row, 2, stamp.time);
  row[8] = stamp.logical >>> 8;
  row[9] = stamp.logical;
  writeU48(row, 10, stamp.actor);
  writeU48(row, 16, stamp.counter);
  writeU48(row, 22, body.expireAt);
  row.set(body.value, ROW_HEADER_BYTES);
  writeU32(row, 28, checksum(rowKey, row));
  return row;
}

/** Encodes the 20 bytes of a stamp alone. */
export function encodeStamp(stamp: StampParts): Stamp {
  const bytes = new Uint8Array(STAMP_BYTES);
  writeU48(bytes, 0, stamp.time);
  bytes[6] = stamp.logical >>> 8;
  bytes[7] = stamp.logical;
  writeU48(bytes, 8, stamp.actor);
  writeU48(bytes, 14, stamp.counter);
  return bytes;
}

/** Whether the bytes are a row of this version, whole, and meant for this row key. */
export function isRowIntact(rowKey: RowKey, row: Row): boolean {
  return (
    row.length >= ROW_HEADER_BYTES && row[0] === formatVersion && readU32(row, 28) === checksum(rowKey, row)
  );
}

function checksum(rowKey: RowKey, row: Row): number {
  const seed = crc32Short(row, 0, 28, crc32Text(rowKey));
  const length = row.length - ROW_HEADER_BYTES;
  if (length <= 64) return crc32Short(row, ROW_HEADER_BYTES, row.length, seed);
  return crc32(new Uint8Array(row.buffer, row.byteOffset + ROW_HEADER_BYTES, length), seed);
}

export function rowKind(row: Row): number {
  return row[1]!;
}

/** Stamp time, milliseconds. */
export function rowTime(row: Row): number {
  return readU48(row, 2);
}

export function rowLogical(row: Row): number {
  return (row[8]! << 8) | row[9]!;
}

export function rowActor(row: Row): number {
  return readU48(row, 10);
}

export function rowCounter(row: Row): number {
  return readU48(row, 16);
}

/** Wall time of expiry in milliseconds; 0 never. */
export function rowExpireAt(row: Row): number {
  return readU48(row, 22);
}

/** The value, as a view. */
export function rowValue(row: Row): Uint8Array {
  return new Uint8Array(row.buffer, row.byteOffset + ROW_HEADER_BYTES, row.length - ROW_HEADER_BYTES);
}

/** The row's stamp, as a view. */
export function rowStamp(row: Row): Stamp {
  return new Uint8Array(row.buffer, row.byteOffset + stampStart, STAMP_BYTES);
}

/** Time of a bare stamp, milliseconds. */
export function stampTime(stamp: Stamp): number {
  return readU48(stamp, 0);
}

export function stampLogical(stamp: Stamp): number {
  return (stamp[6]! << 8) | stamp[7]!;
}

/** Order of two stamps: time, then logical counter, then actor, then dot counter. */
export function compareStamps(a: Stamp, b: Stamp): number {
  for (let i = 0; i < STAMP_BYTES; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Order of a row's stamp and a bare one. */
export function compareRowStamp(row: Row, stamp: Stamp): number {
  for (let i = 0; i < STAMP_BYTES; i++) {
    const difference = row[stampStart + i]! - stamp[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Order of two rows of one key by their stamps. */
export function compareRowStamps(a: Row, b: Row): number {
  for (let i = stampStart; i < stampEnd; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether the row says only that something is dead. */
export function isTombstone(row: Row): boolean {
  return row[1] === KIND_TOMBSTONE || row[1] === KIND_SIBLINGS_DEAD;
}

/**
 * Whether the row holds a value that expired before `wall` and that its stamp can do without. Siblings keep
 * theirs until they go as a whole: their stamp says which there are.
 */
export function isExpired(row: Row, wall: number): boolean {
  const expireAt = rowExpireAt(row);
  return row[1] === KIND_STRING && expireAt !== 0 && expireAt < wall;
}

/**
 * When a row died or will die, milliseconds: a deleted one at its stamp, one with an expiry then, never
 * before its stamp; Infinity for one that lasts.
 */
export function rowDeathTime(row: Row): number {
  const expireAt = rowExpireAt(row);
  if (expireAt === 0 && !isTombstone(row)) return Number.POSITIVE_INFINITY;
  return Math.max(expireAt, rowTime(row));
}

/**
 * The tombstone with a row's own stamp: what is left of it when its value is taken out. It keeps the time
 * of expiry, so that every replica agrees when it died.
 */
export function tombstoneOf(rowKey: RowKey, row: Row): Row {
  const time = rowTime(row);
  const body: RowBody = { kind: KIND_TOMBSTONE, value: BODY_TOMBSTONE.value, expireAt: rowExpireAt(row) };
  return encodeRow(rowKey, body, {
    time,
    logical: rowLogical(row),
    actor: rowActor(row),
    counter: rowCounter(row),
  });
}

/** Whether a reader sees something: not a tombstone, and not past its time. */
export function isRowLive(row: Row | undefined, wall: number): row is Row {
  if (row === undefined || isTombstone(row)) return false;
  const expireAt = rowExpireAt(row);
  return expireAt === 0 || expireAt > wall;
}

/** The body of a live row, or undefined for a dead or missing one. */
export function liveBody(row: Row | undefined, wall: number): RowBody | undefined {
  if (!isRowLive(row, wall)) return undefined;
  return { kind: rowKind(row), value: rowValue(row), expireAt: rowExpireAt(row) };
}
