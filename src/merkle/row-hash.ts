/**
 * The hash of a row as hash trees and comparisons see it: of its row key and the 20 bytes of its stamp.
 * The value is left out: two rows of one key with one stamp are one row (an expired one may have lost its
 * value already).
 *
 * Two 32-bit hashes are made in one pass, with the rounds of MurmurHash3 (Austin Appleby, public domain)
 * and different constants. They are sent and compared, never stored: a change needs a new protocol
 * version and nothing else.
 */

import type { ByteString } from '../base/bytes.ts';

const stampWords = 5;

/** Gives the hash of the row that was last handed to it. One object, used over and over: no garbage. */
export class RowHash {
  /** Hash of the row key. */
  keyA = 0;
  keyB = 0;
  /** Hash of row key and stamp: the two lanes, unsigned 32-bit integers. */
  a = 0;
  b = 0;

  /** The bucket of the row last hashed, 0 to 15. */
  get bucket(): number {
    return this.keyA >>> 28;
  }

  /** Hashes a row key. */
  key(text: ByteString): void {
    let a = 0x3c6ef372;
    let b = 0x1b873593;
    const length = text.length;
    const blocks = length & ~3;
    for (let i = 0; i < blocks; i += 4) {
      const k =
        text.charCodeAt(i) |
        (text.charCodeAt(i + 1) << 8) |
        (text.charCodeAt(i + 2) << 16) |
        (text.charCodeAt(i + 3) << 24);
      a = roundA(a, k);
      b = roundB(b, k);
    }
    let tail = 0;
    for (let i = length - 1; i >= blocks; i--) tail = (tail << 8) | text.charCodeAt(i);
    a = roundA(a, tail) ^ length;
    b = roundB(b, tail) ^ length;
    this.keyA = finish((a + b) | 0);
    this.keyB = finish((b ^ this.keyA) | 0);
  }

  /** Adds the stamp that begins at `offset` of `bytes` to the hash of the key. */
  stamp(bytes: Uint8Array, offset: number): void {
    let a = this.keyA;
    let b = this.keyB;
    for (let i = 0; i < stampWords; i++) {
      const at = offset + i * 4;
      const k = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
      a = roundA(a, k);
      b = roundB(b, k);
    }
    this.a = finish((a + b) | 0);
    this.b = finish((b ^ this.a) | 0);
  }

  /** Stands for a row that is there and cannot be read: it equals nothing of `seed`'s peers. */
  damaged(seed: number): void {
    this.a = finish(this.keyA ^ seed);
    this.b = finish(this.keyB + seed);
  }

  /** A short hash of the key, 32 bits, another one for each `salt`. */
  shortKey(salt: number): number {
    return finish((this.keyA + Math.imul(this.keyB, salt * 2 + 1)) | 0);
  }

  /** A short hash of key and stamp, 32 bits, another one for each `salt`. */
  shortVersion(salt: number): number {
    return finish((this.a + Math.imul(this.b, salt * 2 + 1)) | 0);
  }
}

/** Mixes the 64 bits of a hash with a time into a new one: `[a, b]`. */
export function foldTime(a: number, b: number, time: number): [number, number] {
  const low = (time % 0x1_0000_0000) | 0;
  const high = Math.floor(time / 0x1_0000_0000) | 0;
  const folded = finish(roundA(roundA(a, low), high));
  return [folded, finish(roundB(roundB(b ^ folded, low), high))];
}

function roundA(h: number, block: number): number {
  let k = Math.imul(block, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const mixed = h ^ k;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

function roundB(h: number, block: number): number {
  let k = Math.imul(block, 0xab0e9789);
  k = Math.imul((k << 16) | (k >>> 16), 0x38b34ae5);
  const mixed = h ^ k;
  return (Math.imul((mixed << 17) | (mixed >>> 15), 5) + 0x0bcaa747) | 0;
}

function finish(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
