/**
 * Cursors of listings: opaque to clients, and good only with the prefix they were given for.
 *
 * ```
 * u8 version (1), u48 position of the scan, u32 hash of the prefix, u32 CRC-32 of all before it; in base64url
 * ```
 */

import type { ByteString } from '../../base/bytes.ts';
import { ByteWriter, readU32, readU48 } from '../../base/bytes.ts';
import { crc32 } from '../../base/crc32.ts';
import { murmur3 } from '../../base/murmur3.ts';
import { Problem } from './problem.ts';

const formatVersion = 1;
const cursorBytes = 15;

export function cursorText(position: number, prefix: ByteString): string {
  const writer = new ByteWriter(cursorBytes);
  writer.u8(formatVersion);
  writer.u48(position);
  writer.u32(murmur3(prefix));
  writer.u32(crc32(writer.view()));
  return Buffer.from(writer.view()).toString('base64url');
}

/** The position in a cursor. @throws Problem `invalid` for one that was not given for this prefix */
export function positionOf(text: string, prefix: ByteString): number {
  const bytes = Buffer.from(text, 'base64url');
  const end = cursorBytes - 4;
  const intact =
    bytes.length === cursorBytes &&
    // Node.js passes over letters that are none of base64url.
    bytes.toString('base64url') === text &&
    bytes[0] === formatVersion &&
    readU32(bytes, end) === crc32(bytes.subarray(0, end));
  if (!intact) throw new Problem('invalid', 'the cursor is not one that a listing gave');
  if (readU32(bytes, 7) !== murmur3(prefix)) {
    throw new Problem('invalid', 'the cursor belongs to a listing with another prefix');
  }
  return readU48(bytes, 1);
}
