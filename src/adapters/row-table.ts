/**
 * What the memory engine knows of each row beside its bytes: four numbers, side by side in one typed
 * array, found by the row's number.
 *
 * The picture: a ledger with one short line a row. An object a row would be a heap object to reach, to
 * mark and to move for the garbage collector; a line of the ledger is 16 bytes, never across two cache
 * lines, and no work for the collector at all. Lines of rows that are gone are used again.
 */

/** Words a row takes in `words`. */
export const ROW_WORDS = 4;
/** The slab the row lies in (or, for a line that is free, the next free line). */
export const ROW_SLAB = 0;
/** Where in the slab, in words of 4 bytes. */
export const ROW_AT = 1;
/** Time of the last use, in ticks (`eviction.ts`). */
export const ROW_USED = 2;
/** Place in the dense list of rows that may be evicted, or -1: not there. */
export const ROW_PLACE = 3;

const rowsInitial = 64;

export class RowTable {
  /** `words[row * ROW_WORDS + ROW_…]`. A new array when the table grows: never keep it over an `add`. */
  words: Int32Array = new Int32Array(rowsInitial * ROW_WORDS);
  /** Logarithmic count of uses, by row; only kept (and only that long) when asked for. */
  counters: Uint8Array;
  readonly #counted: boolean;
  /** First row number never given out; 0 is none's. */
  #next = 1;
  #free = 0;

  constructor(counted: boolean) {
    this.#counted = counted;
    this.counters = new Uint8Array(counted ? rowsInitial : 0);
  }

  /** The number of a new row, 1 or more; its numbers are yet to be set. */
  add(): number {
    const row = this.#free;
    if (row !== 0) {
      this.#free = this.words[row * ROW_WORDS + ROW_SLAB]!;
      return row;
    }
    if ((this.#next + 1) * ROW_WORDS > this.words.length) this.#grow();
    return this.#next++;
  }

  /** Gives the number of a row back. */
  remove(row: number): void {
    this.words[row * ROW_WORDS + ROW_SLAB] = this.#free;
    this.#free = row;
    // Nowhere: the arena's cleaning takes it for gone.
    this.words[row * ROW_WORDS + ROW_AT] = -1;
  }

  clear(): void {
    this.words = new Int32Array(rowsInitial * ROW_WORDS);
    this.counters = new Uint8Array(this.#counted ? rowsInitial : 0);
    this.#next = 1;
    this.#free = 0;
  }

  #grow(): void {
    const words = new Int32Array(this.words.length * 2);
    words.set(this.words);
    this.words = words;
    if (!this.#counted) return;
    const counters = new Uint8Array(this.counters.length * 2);
    counters.set(this.counters);
    this.counters = counters;
  }
}
