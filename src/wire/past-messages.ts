/**
 * The messages by which members remind each other of their past (`src/node/past-desk.ts`): the family of
 * lost and restored disks.
 *
 * The picture: coming home after an accident. "What do you know of me?" one asks each neighbour; each tells
 * the last thing it saw; and once the one is sure of itself, it says now and then how far it has come, so
 * that the neighbours have something to tell the next time.
 *
 * ```
 * ASK     —                                        answered by TELL with the same id
 * TELL    20 bytes floor | u8 known | past, if known
 * MARK    past                                     "this is what I hold durably, and I am sure of it"
 * past    u32 generation | u48 actor | u48 reserved | u48 time, u16 logical of the mark
 * ```
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { writeFamilyHead } from './messages.ts';

const stampBytes = 20;

export const PAST_ASK = 60;
export const PAST_TELL = 61;
export const PAST_MARK = 62;

/** Where a member stood when it was last sure of itself. */
export interface Past {
  /** How often it had lost its disk. */
  readonly generation: number;
  readonly actor: number;
  /** Counters of that actor below this may have been issued. */
  readonly reserved: number;
  /** The greatest clock reading that its disk is known to have reached. */
  readonly time: number;
  readonly logical: number;
}

export function writePastAsk(writer: ByteWriter, id: number): void {
  writeFamilyHead(writer, PAST_ASK, id);
}

/**
 * @param floor the stamp of the last flush: whoever lost its disk must know it before it answers
 * @param past undefined: "I never met you".
 */
export function writePastTell(
  writer: ByteWriter,
  id: number,
  floor: Uint8Array,
  past: Past | undefined,
): void {
  writeFamilyHead(writer, PAST_TELL, id);
  writer.raw(floor);
  writer.u8(past === undefined ? 0 : 1);
  if (past !== undefined) writePast(writer, past);
}

export function writePastMark(writer: ByteWriter, past: Past): void {
  writeFamilyHead(writer, PAST_MARK, 0);
  writePast(writer, past);
}

/** Bytes of a past, in messages and in the notes that keep it. */
export const PAST_BYTES = 24;

export function writePast(writer: ByteWriter, past: Past): void {
  writer.u32(past.generation);
  writer.u48(past.actor);
  writer.u48(past.reserved);
  writer.u48(past.time);
  writer.u16(past.logical);
}

/** @throws CodedError `protocol` when bytes are missing. */
export function readPast(reader: ByteReader): Past {
  const generation = reader.u32();
  const actor = reader.u48();
  const reserved = reader.u48();
  const time = reader.u48();
  return { generation, actor, reserved, time, logical: reader.u16() };
}

/** @throws CodedError `protocol` when bytes are missing. */
export function readPastTell(reader: ByteReader): {
  readonly floor: Uint8Array;
  readonly past: Past | undefined;
} {
  const floor = reader.raw(stampBytes);
  return { floor, past: reader.u8() === 0 ? undefined : readPast(reader) };
}
