/**
 * CRC-32 (IEEE 802.3, the one of zlib and Ethernet): the checksum of rows and of frames.
 *
 * The table version here runs anywhere. Platforms have a far faster one (Node.js: `zlib.crc32`), so
 * the composition root may hand it in once with `accelerateCrc32`; both give the same number for the
 * same bytes, which is checked when it is handed in.
 */

import { assert } from './assert.ts';
import type { ByteString } from './bytes.ts';

const table = new Uint32Array(256);
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  table[n] = c >>> 0;
}

/** A CRC-32: `seed` is the checksum so far (0 to begin); the result is an unsigned 32-bit integer. */
export type Crc32 = (bytes: Uint8Array, seed: number) => number;

function crc32Table(bytes: Uint8Array, seed: number): number {
  let c = ~seed;
  for (let i = 0; i < bytes.length; i++) c = table[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
}

let accelerated: Crc32 = crc32Table;

/** CRC-32 of `bytes`, continuing from `seed`. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return accelerated(bytes, seed);
}

/** CRC-32 of `bytes[start..end)` for short runs, where a call out of JavaScript costs more. */
export function crc32Short(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let c = ~seed;
  for (let i = start; i < end; i++) c = table[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
}

/** CRC-32 of a byte string. */
export function crc32Text(text: ByteString, seed = 0): number {
  let c = ~seed;
  for (let i = 0; i < text.length; i++) c = table[(c ^ text.charCodeAt(i)) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
}

/**
 * Uses the platform's CRC-32 from now on. Refused if it disagrees with the table on any sample: a whole
 * array, a view into a larger one, none at all, each begun and continued.
 */
export function accelerateCrc32(platform: Crc32): void {
  const sample = Uint8Array.from({ length: 1031 }, (_, i) => (i * 131) & 0xff);
  for (const bytes of [sample, sample.subarray(3, 1000), sample.subarray(0, 0)]) {
    for (const seed of [0, 7, 0xffff_fffe]) {
      assert(platform(bytes, seed) === crc32Table(bytes, seed), 'the platform CRC-32 is the IEEE one');
    }
  }
  accelerated = platform;
}
