/**
 * A key read once: its chars packed into words of 4 bytes, and its hash.
 *
 * The picture: a stencil. A key comes as a string, often one just glued together, and looking at a char of
 * it is what costs. So its chars are looked at once, and hashing, comparing with a stored key and
 * storing work on the words.
 *
 * The hash is HalfSipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, in its
 * 32-bit form) under a secret seed: keys come from clients, and with a plain mixing hash keys that all
 * collide, whatever the seed, are easy to make.
 */

import type { ByteString } from '../base/bytes.ts';

export class KeyWords {
  /** The chars, the first in the lowest byte of the first word; the last word is filled up with zeros. */
  words: Int32Array = new Int32Array(64);
  /** Words that count. */
  count = 0;
  /** Chars of the key. */
  length = 0;
  /** A signed 32-bit integer. */
  hash = 0;
  readonly #seed0: number;
  readonly #seed1: number;

  /** The seed: two 32-bit integers. */
  constructor(seed0: number, seed1: number) {
    this.#seed0 = seed0 | 0;
    this.#seed1 = seed1 | 0;
  }

  /** Reads a key in place of the one before. */
  read(key: ByteString): void {
    const length = key.length;
    const full = length >>> 2;
    const count = (length + 3) >>> 2;
    if (count > this.words.length) this.words = new Int32Array(count * 2);
    const words = this.words;
    let i = 0;
    for (let at = 0; at < full; at++, i += 4) {
      words[at] =
        key.charCodeAt(i) |
        (key.charCodeAt(i + 1) << 8) |
        (key.charCodeAt(i + 2) << 16) |
        (key.charCodeAt(i + 3) << 24);
    }
    let tail = 0;
    for (let shift = 0; i < length; i++, shift += 8) tail |= key.charCodeAt(i) << shift;
    if (count > full) words[full] = tail;
    this.length = length;
    this.count = count;
    this.hash = this.#hashOf(words, full, tail | (length << 24));
  }

  /** One round a word; then, after the word `last`, three more to mix. */
  #hashOf(words: Int32Array, full: number, last: number): number {
    let v0 = this.#seed0;
    let v1 = this.#seed1;
    let v2 = 0x6c796765 ^ v0;
    let v3 = 0x74656462 ^ v1;
    for (let at = 0; at <= full + 3; at++) {
      const word = at < full ? words[at]! : at === full ? last : 0;
      if (at === full + 1) v2 ^= 0xff;
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    return v1 ^ v3;
  }
}
