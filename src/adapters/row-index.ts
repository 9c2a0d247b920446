/**
 * An index from hashes of keys to row numbers, laid out for few cache misses.
 *
 * The picture: a long shelf of pigeonholes, two numbers in each: the hash of a key and the number of its
 * row. A key's search starts at the hole its hash names and walks to the right until it meets its hash or
 * an empty hole: nearly always within the one cache line that the first look brought in. A `Map` of
 * strings goes through a bucket, an entry and the stored string for the same answer, each a miss of its
 * own once the rows are many.
 *
 * Open addressing with linear probing; deleting moves the followers back, so there are no tombstones
 * (Knuth, The Art of Computer Programming, volume 3, 6.4, algorithm R). The hash's low bits name the hole,
 * so that doubling reads the old shelf in order and writes the new one as two streams in order.
 *
 * The index knows no keys: rows whose hashes are equal are told apart by who asks.
 */

import { assert } from '../base/assert.ts';

const slotsInitial = 64;
/** Longer probes cost more than the memory is worth: 2.5 holes a miss at this load, 1.8 a hit. */
const loadMax = 0.6;

export class RowIndex {
  /** Pairs of hash and row; row 0 marks an empty hole. */
  #holes = new Int32Array(slotsInitial * 2);
  /** Index of the last word of `#holes`, so that a place in words wraps by one `&`. */
  #mask = slotsInitial * 2 - 1;
  #count = 0;
  #countMax = Math.floor(slotsInitial * loadMax);

  /** Rows that are here. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of memory taken. */
  get bytes(): number {
    return this.#holes.length * 4;
  }

  /**
   * The first row with `hash` (a signed 32-bit integer), or with `after`, a row found before, the next one;
   * 0 when there is none.
   */
  find(hash: number, after = 0): number {
    const holes = this.#holes;
    const mask = this.#mask;
    let waiting = after !== 0;
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const row = holes[at + 1]!;
      if (row === 0) return 0;
      if (holes[at] !== hash) continue;
      if (!waiting) return row;
      if (row === after) waiting = false;
    }
  }

  /** Adds a row (1 to 2^31 - 1) that is not here yet. */
  insert(hash: number, row: number): void {
    if (this.#count === this.#countMax) this.#grow();
    insertInto(this.#holes, this.#mask, hash, row);
    this.#count++;
  }

  /** Takes out a row that is here under `hash`. */
  remove(hash: number, row: number): void {
    const holes = this.#holes;
    const mask = this.#mask;
    let gap = (hash << 1) & mask;
    while (holes[gap + 1] !== row) {
      assert(holes[gap + 1] !== 0, 'a row that is taken out of the index is in it');
      gap = (gap + 2) & mask;
    }
    for (let at = (gap + 2) & mask; holes[at + 1] !== 0; at = (at + 2) & mask) {
      const home = (holes[at]! << 1) & mask;
      // It may move back only if its search passes the gap: home is not between the gap and here.
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      holes[gap] = holes[at]!;
      holes[gap + 1] = holes[at + 1]!;
      gap = at;
    }
    holes[gap + 1] = 0;
    this.#count--;
  }

  /** Forgets all rows and gives their memory back. */
  clear(): void {
    this.#setSlots(slotsInitial);
    this.#count = 0;
  }

  #setSlots(slots: number): void {
    this.#holes = new Int32Array(slots * 2);
    this.#mask = slots * 2 - 1;
    this.#countMax = Math.floor(slots * loadMax);
  }

  #grow(): void {
    const old = this.#holes;
    this.#setSlots(old.length);
    for (let at = 0; at < old.length; at += 2) {
      const row = old[at + 1]!;
      if (row !== 0) insertInto(this.#holes, this.#mask, old[at]!, row);
    }
  }
}

function insertInto(holes: Int32Array, mask: number, hash: number, row: number): void {
  let at = (hash << 1) & mask;
  while (holes[at + 1] !== 0) at = (at + 2) & mask;
  holes[at] = hash;
  holes[at + 1] = row;
}
