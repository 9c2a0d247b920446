/**
 * Rows of keys under policy `siblings`: a version set (`src/causality/version-set.ts`) as the value of one row.
 *
 * Such a row's stamp is made, not issued: the latest clock reading of all writes it knows of, then a digest of
 * what it knows. So equal stamps mean equal rows here too, and hash trees, reads and hints compare these rows as
 * they compare all others. Their order by stamps says nothing about which has seen which: two different ones are
 * always merged, and exchanged both ways (`isMade`).
 *
 * ```
 * value:  u8 version (1)
 *         u16 count, then the version vector: actor, counter, time u48 each, logical u16
 *         u8 0, or 1 and the register: event, expireAt u48, u8 0, or 1 and its value (kind u8, u32 length, bytes)
 *         u16 count, then the siblings: event, expireAt u48, kind u8, u32 length, bytes
 * ```
 *
 * A set in which a last-write-wins write is later by the clock than all others is that write's own row again
 * (all others are dead by it): `last-write-wins` and its short cuts need not know that there are siblings.
 */

import { ByteReader, ByteWriter, byteString } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { murmur3 } from '../base/murmur3.ts';
import type { Register, Sibling, VersionSet, WriteEvent } from '../causality/version-set.ts';
import { compareEvents, emptySet, versionsOf, withoutDead } from '../causality/version-set.ts';
import type { RowKey } from './key.ts';
import type { Row, RowBody, Stamp } from './row.ts';
import {
  compareStamps,
  encodeRow,
  encodeStamp,
  KIND_SIBLINGS,
  KIND_SIBLINGS_DEAD,
  KIND_STRING,
  KIND_TOMBSTONE,
  rowActor,
  rowCounter,
  rowExpireAt,
  rowKind,
  rowLogical,
  rowTime,
  rowValue,
  stampTime,
} from './row.ts';

/** The value of a sibling: what a `RowBody` says. */
export interface Version {
  readonly kind: number;
  readonly value: Uint8Array;
  readonly expireAt: number;
}

export type RowVersions = VersionSet<Version>;

const formatVersion = 1;
const bodyNone: Uint8Array = new Uint8Array(0);

/**
 * A row of siblings that a write makes has at most so many bytes. Merging adds up what nodes that did not hear of each
 * other made, and that still has to fit in a frame: 15 times this does (`FRAME_BYTES_MAX`).
 */
export const SIBLINGS_BYTES_MAX: number = 4 * 1024 * 1024;

/** The first bit of a made stamp's digest, which the actors of issued stamps do not have. */
const madeBit = 0x8000_0000_0000;

/** Whether a row is a version set. */
export function isSiblingsRow(row: Row): boolean {
  return rowKind(row) >= KIND_SIBLINGS;
}

/** The kind of value that readers see: siblings are strings. */
export function shownKind(row: Row): number {
  return isSiblingsRow(row) ? KIND_STRING : rowKind(row);
}

/** Whether a stamp was made of what a row of siblings knows; its order then says nothing. */
export function isMade(stamp: Stamp): boolean {
  return (stamp[8]! & 0x80) !== 0;
}

/** Writes an event: 20 bytes. */
export function writeEvent(writer: ByteWriter, event: WriteEvent): void {
  writer.u48(event.actor);
  writer.u48(event.counter);
  writer.u48(event.time);
  writer.u16(event.logical);
}

export function readEvent(reader: ByteReader): WriteEvent {
  const actor = reader.u48();
  const counter = reader.u48();
  const time = reader.u48();
  return { actor, counter, time, logical: reader.u16() };
}

/** The versions of any row; of a last-write-wins row a register alone. */
export function versionsOfRow(row: Row | undefined): RowVersions {
  if (row === undefined) return emptySet();
  if (isSiblingsRow(row)) return decode(rowValue(row));
  const event = {
    time: rowTime(row),
    logical: rowLogical(row),
    actor: rowActor(row),
    counter: rowCounter(row),
  };
  const expireAt = rowExpireAt(row);
  const dead = rowKind(row) === KIND_TOMBSTONE;
  const value = dead ? undefined : { kind: rowKind(row), value: rowValue(row), expireAt };
  return { vector: [], register: { event, expireAt, value }, siblings: [] };
}

/** @throws CodedError for what no row of this version holds. */
function decode(payload: Uint8Array): RowVersions {
  const reader = new ByteReader(payload);
  if (reader.u8() !== formatVersion)
    throw new CodedError('corrupt', 'none', 'a row of siblings of unknown form');
  const vector: WriteEvent[] = [];
  for (let left = reader.u16(); left > 0; left--) vector.push(readEvent(reader));
  let register: Register<Version> | undefined;
  if (reader.u8() === 1) {
    const event = readEvent(reader);
    const expireAt = reader.u48();
    register = { event, expireAt, value: reader.u8() === 1 ? readVersion(reader, expireAt) : undefined };
  }
  const siblings: Sibling<Version>[] = [];
  for (let left = reader.u16(); left > 0; left--) {
    const event = readEvent(reader);
    siblings.push({ event, value: readVersion(reader, reader.u48()) });
  }
  return { vector, register, siblings };
}

function readVersion(reader: ByteReader, expireAt: number): Version {
  const kind = reader.u8();
  return { kind, expireAt, value: reader.blob() };
}

/** The row of a version set; undefined for one that knows of no write. */
export function rowOfVersions(rowKey: RowKey, set: RowVersions): Row | undefined {
  const { register } = set;
  const latest = latestReading(set.vector);
  if (latest === undefined) {
    if (register === undefined) return undefined;
    // Later than all others, which are dead by it.
    const { kind, value } = register.value ?? { kind: KIND_TOMBSTONE, value: bodyNone };
    return encodeRow(rowKey, { kind, value, expireAt: register.expireAt }, register.event);
  }
  const causal = new ByteWriter(64 + set.vector.length * 20);
  const payload = new ByteWriter(payloadBytes(set));
  payload.u8(formatVersion);
  payload.u16(set.vector.length);
  for (const event of set.vector) writeEvent(payload, event);
  payload.u8(register === undefined ? 0 : 1);
  if (register !== undefined) {
    writeEvent(payload, register.event);
    payload.u48(register.expireAt);
    payload.u8(register.value === undefined ? 0 : 1);
  }
  causal.raw(payload.view());
  if (register?.value !== undefined) writeVersion(payload, register.value);
  payload.u16(set.siblings.length);
  for (const { event, value } of set.siblings) {
    writeEvent(causal, event);
    writeEvent(payload, event);
    payload.u48(value.expireAt);
    writeVersion(payload, value);
  }
  const { time, logical } = latest;
  const [actor, counter] = digestOf(causal.view());
  const versions = versionsOf(set);
  const body: RowBody = {
    kind: versions.length === 0 ? KIND_SIBLINGS_DEAD : KIND_SIBLINGS,
    value: payload.view(),
    expireAt: lastExpiry(versions),
  };
  return encodeRow(rowKey, body, { time, logical, actor, counter });
}

/** Room for the value of the row, so that large values are copied once. */
function payloadBytes({ vector, register, siblings }: RowVersions): number {
  let bytes = 64 + vector.length * 20 + (register?.value?.value.length ?? 0);
  for (const { value } of siblings) bytes += 31 + value.value.length;
  return bytes;
}

function writeVersion(writer: ByteWriter, version: Version): void {
  writer.u8(version.kind);
  writer.blob(version.value);
}

function latestReading(vector: readonly WriteEvent[]): WriteEvent | undefined {
  let latest: WriteEvent | undefined;
  for (const event of vector) if (isLater(event, latest)) latest = event;
  return latest;
}

function isLater(event: WriteEvent, other: WriteEvent | undefined): boolean {
  if (other === undefined) return true;
  return event.time > other.time || (event.time === other.time && event.logical > other.logical);
}

/** When the last of them is gone; 0 if one is for ever, or there is none. */
function lastExpiry(versions: readonly Sibling<Version>[]): number {
  let last = 0;
  for (const { value } of versions) {
    if (value.expireAt === 0) return 0;
    last = Math.max(last, value.expireAt);
  }
  return last;
}

/** 95 bits and the mark of a made stamp, as the actor and counter of a stamp. */
function digestOf(causal: Uint8Array): [number, number] {
  const text = byteString(causal);
  const [a, b, c] = [murmur3(text, 1), murmur3(text, 2), murmur3(text, 3)];
  const actor = madeBit + (a & 0x7fff) * 0x1_0000_0000 + b;
  return [actor, (a >>> 16) * 0x1_0000_0000 + c];
}

/**
 * The time of the oldest value a row of siblings still shows, or of the row: a state with it in may be as old as
 * that, whatever came later. Milliseconds.
 */
export function rowOldestTime(row: Row): number {
  if (rowKind(row) !== KIND_SIBLINGS) return rowTime(row);
  const oldestShown = rowTime(row);
  let set: RowVersions;
  try {
    set = versionsOfRow(row);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return oldestShown; // a damaged row, of which nothing is known
  }
  const { siblings, register } = set;
  let oldest = oldestShown;
  for (const { event } of siblings) oldest = Math.min(oldest, event.time);
  if (register?.value !== undefined) oldest = Math.min(oldest, register.event.time);
  return oldest;
}

/** The row without the values that a flush declared dead; itself if there are none. */
export function withoutFlushed(rowKey: RowKey, row: Row, floor: Stamp): Row {
  if (!isSiblingsRow(row) || rowOldestTime(row) > stampTime(floor)) return row;
  const set = versionsOfRow(row);
  const living = withoutDead(set, (event) => compareStamps(encodeStamp(event), floor) <= 0);
  return living === set ? row : rowOfVersions(rowKey, living)!;
}

/**
 * The row without the values from before `horizon` that `held` does not show; itself if there are none. Up to its
 * horizon a replica had all that the others had: what it does not show of that was overwritten, and whoever still
 * shows it has an old copy of a disk. The vector stays, so that he hears of it.
 * @param horizon milliseconds
 */
export function withoutSettled(rowKey: RowKey, row: Row, held: Row | undefined, horizon: number): Row {
  if (rowKind(row) !== KIND_SIBLINGS || rowOldestTime(row) > horizon) return row;
  const set = versionsOfRow(row);
  const shown = versionsOf(versionsOfRow(held));
  const living = withoutDead(
    set,
    (event) => event.time <= horizon && !shown.some((one) => compareEvents(one.event, event) === 0),
  );
  return living === set ? row : rowOfVersions(rowKey, living)!;
}

/** What a reader sees of a row, newest first: not what is past its time, nor what a flush declared dead. */
export function liveVersions(row: Row | undefined, wall: number, floor: Stamp): Sibling<Version>[] {
  return versionsOf(versionsOfRow(row)).filter(
    ({ event, value }) =>
      (value.expireAt === 0 || value.expireAt > wall) && compareStamps(encodeStamp(event), floor) > 0,
  );
}
