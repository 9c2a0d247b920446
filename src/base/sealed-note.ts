/**
 * Sealed notes: what a node keeps about itself, with a checksum of its own.
 *
 * The picture: an envelope with wax on the flap. A row that rots is one row less, and the others mend it; a
 * floor or a horizon that rots would declare dead what is alive, here and, by hearsay, everywhere. So what
 * does not pass its checksum says nothing at all.
 */

import { readU32, writeU32 } from './bytes.ts';
import { crc32 } from './crc32.ts';

const crcBytes = 4;

/** The bytes to store for a note: itself and its CRC-32. */
export function sealed(body: Uint8Array): Uint8Array {
  const note = new Uint8Array(body.length + crcBytes);
  note.set(body);
  writeU32(note, body.length, crc32(body));
  return note;
}

/** What a stored note of any length says, as a copy; undefined if it is damaged, or was never sealed. */
export function unsealedBody(note: Uint8Array): Uint8Array | undefined {
  const end = note.length - crcBytes;
  if (end < 0) return undefined;
  const body = note.slice(0, end);
  return readU32(note, end) === crc32(body) ? body : undefined;
}

/**
 * The same of a note whose length is known. One without a seal, as those of its kind were before there were
 * seals, is believed: a bit that flips does not change its length.
 */
export function unsealed(note: Uint8Array, bodyBytes: number): Uint8Array | undefined {
  if (note.length === bodyBytes) return note.slice();
  return note.length === bodyBytes + crcBytes ? unsealedBody(note) : undefined;
}
