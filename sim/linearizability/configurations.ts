/**
 * Where a search has been: the set of operations that took effect, and the memory of all configurations
 * (set, state) that were entered.
 *
 * The set is a bit set whose bits come in the order of calls, so at any time nearly all words at its
 * front are full and all at its end are empty: what is remembered of it is the few words between. Bits of
 * lost operations, which may stay out for ever, have words of their own. Sets are compared whole; the
 * hash, kept up to date bit by bit (Zobrist), only finds candidates.
 */

import type { Held } from './model.ts';

export class TakenSet {
  /** Words of operations that return, then words of the lost. */
  readonly #words: Int32Array;
  readonly #returning: number;
  readonly #returningWords: number;
  #firstOpenWord = 0;
  /** Words of operations that return, up to the last that is not empty. */
  #usedWords = 0;
  hash = 0;

  constructor(returning: number, lost: number) {
    this.#returning = returning;
    this.#returningWords = (returning + 31) >>> 5;
    this.#words = new Int32Array(this.#returningWords + ((lost + 31) >>> 5));
  }

  has(bit: number): boolean {
    const place = this.#placeOf(bit);
    return (this.#words[place >>> 5]! & (1 << (place & 31))) !== 0;
  }

  add(bit: number): void {
    const word = this.#flip(bit);
    if (word < this.#returningWords && word >= this.#usedWords) this.#usedWords = word + 1;
    while (this.#words[this.#firstOpenWord] === -1) this.#firstOpenWord++;
  }

  remove(bit: number): void {
    this.#firstOpenWord = Math.min(this.#firstOpenWord, this.#flip(bit));
    while (this.#usedWords > 0 && this.#words[this.#usedWords - 1] === 0) this.#usedWords--;
  }

  /** Words of the lost, index of the first word that is not full, and words from there to the last in use. */
  copy(): Int32Array {
    const words = this.#words;
    const from = Math.min(this.#firstOpenWord, this.#returningWords);
    const to = Math.max(from, this.#usedWords);
    const lost = words.length - this.#returningWords;
    const copy = new Int32Array(lost + 1 + to - from);
    for (let i = 0; i < lost; i++) copy[i] = words[this.#returningWords + i]!;
    copy[lost] = from;
    for (let i = from; i < to; i++) copy[lost + 1 + i - from] = words[i]!;
    return copy;
  }

  #placeOf(bit: number): number {
    return bit < this.#returning ? bit : bit - this.#returning + this.#returningWords * 32;
  }

  /** @returns the word of the bit */
  #flip(bit: number): number {
    const place = this.#placeOf(bit);
    const word = place >>> 5;
    this.#words[word] = this.#words[word]! ^ (1 << (place & 31));
    this.hash ^= mix(bit + 1);
    return word;
  }
}

interface Configuration {
  readonly state: Held;
  readonly set: Int32Array;
  /** Another of the same hash. */
  readonly next: Configuration | undefined;
}

export class Configurations {
  readonly #byHash: Map<number, Configuration> = new Map();
  count = 0;
  /** What the sets take. */
  setBytes = 0;

  /** Remembers a configuration. False when it was known. */
  enter(taken: TakenSet, state: Held): boolean {
    const key = (taken.hash ^ hashOf(state)) | 0;
    const first = this.#byHash.get(key);
    const set = taken.copy();
    for (let known = first; known !== undefined; known = known.next) {
      if (known.state === state && isSame(known.set, set)) return false;
    }
    this.#byHash.set(key, { state, set, next: first });
    this.count++;
    this.setBytes += set.byteLength;
    return true;
  }
}

/** Scatters a number over 32 bits (the finalizer of MurmurHash3). */
function mix(number: number): number {
  let hash = number | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function hashOf(state: Held): number {
  if (state === null) return 0;
  if (typeof state === 'number') return mix(state ^ 0x5bd1e995);
  let hash = 0;
  for (let i = 0; i < state.length; i++) hash = (Math.imul(hash, 31) + state.charCodeAt(i)) | 0;
  return mix(hash);
}

function isSame(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
