/**
 * Causal contexts as clients hold them: opaque bytes that say what a read of one key has seen, handed back with
 * the write that replaces just that. The picture: a cloakroom ticket, good for one coat only.
 *
 * ```
 * u8 version (1), u32 hash of the row key, u16 count and the version vector, u8 0 or 1 and the register's event,
 * u32 CRC-32 of all before it
 * ```
 */

import { ByteReader, ByteWriter, readU32 } from '../base/bytes.ts';
import { crc32 } from '../base/crc32.ts';
import { CodedError } from '../base/errors.ts';
import { murmur3 } from '../base/murmur3.ts';
import type { CausalContext, WriteEvent } from '../causality/version-set.ts';
import { compareEvents, contextOf } from '../causality/version-set.ts';
import type { RowKey } from './key.ts';
import { type RowVersions, readEvent, writeEvent } from './siblings.ts';

/** Actors a version vector may have; beyond it writes of the key are refused. */
export const VECTOR_ENTRIES_MAX = 128;

const eventBytes = 20;
const formatVersion = 1;

/** A longer context is not one of ours. */
export const CONTEXT_BYTES_MAX: number = 12 + (VECTOR_ENTRIES_MAX * 2 + 1) * eventBytes;

/** The context of a reader that has seen `set`. */
export function encodeContext(rowKey: RowKey, set: RowVersions): Uint8Array {
  const { vector, register } = contextOf(set);
  const writer = new ByteWriter(16 + (vector.length + 1) * eventBytes);
  writer.u8(formatVersion);
  writer.u32(murmur3(rowKey));
  writer.u16(vector.length);
  for (const event of vector) writeEvent(writer, event);
  writer.u8(register === undefined ? 0 : 1);
  if (register !== undefined) writeEvent(writer, register);
  writer.u32(crc32(writer.view()));
  return writer.take();
}

function invalid(why: string): CodedError {
  return new CodedError(
    'invalid',
    'fail',
    `the causal context ${why}; nothing was written; read the key again for a fresh one`,
  );
}

/**
 * Reads a context back.
 * @param timeMax no write it has seen may be stamped later than this, milliseconds
 * @throws CodedError `invalid` for one that is damaged, of another key, or of the future
 */
export function decodeContext(rowKey: RowKey, bytes: Uint8Array, timeMax: number): CausalContext {
  if (bytes.length < 12 || bytes.length > CONTEXT_BYTES_MAX || bytes[0] !== formatVersion) {
    throw invalid('is not one that this cluster gave');
  }
  const end = bytes.length - 4;
  if (readU32(bytes, end) !== crc32(bytes.subarray(0, end))) throw invalid('is damaged');
  if (readU32(bytes, 1) !== murmur3(rowKey)) throw invalid('belongs to another key');
  const reader = new ByteReader(bytes, 5, end);
  const vector: WriteEvent[] = [];
  let register: WriteEvent | undefined;
  try {
    for (let left = reader.u16(); left > 0; left--) vector.push(readEvent(reader));
    if (reader.u8() === 1) register = readEvent(reader);
  } catch (error) {
    if (error instanceof CodedError) throw invalid('is cut short');
    throw error;
  }
  if (reader.remaining > 0) throw invalid('is too long');
  const latest = [...vector, ...(register === undefined ? [] : [register])];
  if (latest.some(({ time }) => time > timeMax)) throw invalid('has seen writes that are not made yet');
  if (vector.some(({ actor }, i) => i > 0 && actor <= vector[i - 1]!.actor)) throw invalid('is out of order');
  return { vector, register };
}

/** The latest write a context has seen by the clock; undefined if none. */
export function latestOf(context: CausalContext): WriteEvent | undefined {
  let latest = context.register;
  for (const event of context.vector) {
    if (latest === undefined || compareEvents(event, latest) > 0) latest = event;
  }
  return latest;
}
