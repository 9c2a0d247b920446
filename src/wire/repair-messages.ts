/**
 * Messages of anti-entropy (family 4): questions of the side that compares, and their answers.
 *
 * The picture: two librarians on the telephone. "Do we agree on these shelves?" (ROOTS) "Not on the
 * third." "What of its quarters?" (NODES, over and over) "I have these cards in that drawer" (ENTRIES)
 * "I lack the second, and have another you do not name." Only then books travel: PUSH and FETCH.
 *
 * The answering side keeps nothing between two messages. Every question names how short its hashes are
 * (`wide`), their salt, and how old the leaves may be that answer it.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';

export const REPAIR_ROOTS = 40;
export const REPAIR_ROOTS_REPLY = 41;
export const REPAIR_NODES = 42;
export const REPAIR_NODES_REPLY = 43;
export const REPAIR_ENTRIES = 44;
export const REPAIR_ENTRIES_REPLY = 45;
export const REPAIR_FETCH = 46;
export const REPAIR_ROWS = 47;
export const REPAIR_PUSH = 48;
export const REPAIR_PUSHED = 49;

/** What every question says first. */
export interface RepairHead {
  /** Full hashes: for what decides about horizons, where a collision must not be. */
  readonly wide: boolean;
  /** Somebody waits: a larger share of time may be spent. */
  readonly urgent: boolean;
  /** All rows are to be read again, whatever the leaves say. */
  readonly rescan: boolean;
  /** Another one each round, so that a collision of short hashes does not last. */
  readonly salt: number;
  /** Leaves weighed so long ago are good enough, milliseconds. */
  readonly ageMs: number;
}

const flagWide = 1;
const flagUrgent = 2;
const flagRescan = 4;
const ageMax = 0xffff_ffff;

/**
 * Begins the body of a question. Bodies are blobs, so that one that nobody waits for any more can be passed
 * over.
 */
export function writeRepairHead(writer: ByteWriter, head: RepairHead): void {
  writer.u8((head.wide ? flagWide : 0) | (head.urgent ? flagUrgent : 0) | (head.rescan ? flagRescan : 0));
  writer.u16(head.salt);
  writer.u32(Math.max(0, Math.min(ageMax, Math.floor(head.ageMs))));
}

export function readRepairHead(reader: ByteReader): RepairHead {
  const flags = reader.u8();
  const salt = reader.u16();
  return {
    wide: (flags & flagWide) !== 0,
    urgent: (flags & flagUrgent) !== 0,
    rescan: (flags & flagRescan) !== 0,
    salt,
    ageMs: reader.u32(),
  };
}

/** How the body of an answer begins; what follows depends on its type, and is nothing after another status. */
export const REPAIR_OK = 0;
/** Too much is under way; ask again later. */
export const REPAIR_BUSY = 1;
/** Storage does not answer. */
export const REPAIR_FAILED = 2;
/** Frames of the asker were lost, and perhaps questions in them: no answer to one, it goes under id 0. */
export const REPAIR_MISSED = 3;

/** A hash of `bytes` bytes: the low ones of a 32-bit integer. */
export function writeShort(writer: ByteWriter, hash: number, bytes: number): void {
  for (let shift = (bytes - 1) * 8; shift >= 0; shift -= 8) writer.u8((hash >>> shift) & 0xff);
}

export function readShort(reader: ByteReader, bytes: number): number {
  let hash = 0;
  for (let i = 0; i < bytes; i++) hash = hash * 256 + reader.u8();
  return hash;
}

/** Writes a number above `before`, of an ascending list, in one byte if it can; begin with `before` -1. */
export function writeAscending(writer: ByteWriter, value: number, before: number): void {
  const step = value - before;
  if (step < 0xff) writer.u8(step);
  else {
    writer.u8(0xff);
    writer.u16(value);
  }
}

export function readAscending(reader: ByteReader, before: number): number {
  const step = reader.u8();
  return step < 0xff ? before + step : reader.u16();
}

/** Writes one bit a flag, eight in a byte. */
export function writeBits(writer: ByteWriter, bits: readonly boolean[]): void {
  for (let at = 0; at < bits.length; at += 8) {
    let byte = 0;
    for (let i = 0; i < 8; i++) if (bits[at + i]) byte |= 1 << i;
    writer.u8(byte);
  }
}

export function readBits(reader: ByteReader, count: number): boolean[] {
  const bits: boolean[] = [];
  let byte = 0;
  for (let i = 0; i < count; i++) {
    if (i % 8 === 0) byte = reader.u8();
    bits.push((byte & (1 << (i % 8))) !== 0);
  }
  return bits;
}
