/**
 * MurmurHash3 x86 32-bit (Austin Appleby, public domain): an even spread of keys, not a checksum.
 * Used for positions within a slot (SCAN cursors) and to break ties in placement, the same on every
 * node for ever: changing it would move data.
 */

import type { ByteString } from './bytes.ts';

/** The hash of a byte string, an unsigned 32-bit integer. */
export function murmur3(text: ByteString, seed = 0): number {
  let h = seed | 0;
  const blocks = text.length & ~3;
  for (let i = 0; i < blocks; i += 4) {
    const k =
      text.charCodeAt(i) |
      (text.charCodeAt(i + 1) << 8) |
      (text.charCodeAt(i + 2) << 16) |
      (text.charCodeAt(i + 3) << 24);
    h ^= scramble(k);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let i = text.length - 1; i >= blocks; i--) tail = (tail << 8) | text.charCodeAt(i);
  if (blocks !== text.length) h ^= scramble(tail);
  h ^= text.length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function scramble(block: number): number {
  let k = Math.imul(block, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  return Math.imul(k, 0x1b873593);
}
