/**
 * An arena for rows: many short records, cut from few large slabs.
 *
 * A byte array with memory of its own costs about 2 µs of CPU to make and to collect at 1 KiB (an
 * allocation outside the heap, which the collector has to track and free); a stretch of a slab costs
 * the copy alone. The price is garbage: a slab stays as long as one row in it does. So each slab counts
 * its live bytes, and one that falls below half is emptied: its survivors are copied into the slab being
 * filled, as a log-structured store cleans its segments (Rosenblum and Ousterhout 1992; for memory,
 * Rumble, Kejriwal and Ousterhout, "Log-structured Memory", FAST 2014).
 *
 * The picture: a notepad from which sheets are torn when most lines are crossed out, after the few
 * lines still good were copied to the newest sheet.
 *
 * A record is `row number, key length, value length` (a word of 4 bytes each), the key, filled up to whole
 * words, and the value. The key lies right before the value so that comparing it brings in the cache line
 * that the reader of the value wants next. Where a row's record is stands in the table
 * (`row-table.ts`); a record that the table does not point to is garbage.
 *
 * Bytes once placed are never changed, so a view handed to a reader stays true for as long as the
 * reader keeps it, whatever happens to the row.
 */

import { type ByteString, byteString } from '../base/bytes.ts';
import type { KeyWords } from './key-words.ts';
import { ROW_AT, ROW_SLAB, ROW_WORDS, type RowTable } from './row-table.ts';

export const slabBytes = 262_144;
/** Records longer than this get a slab of their own. */
const recordBytesMax = slabBytes / 8;
const headerWords = 3;

/** One slab: a stretch of memory, seen as bytes and as words. */
interface Slab {
  readonly memory: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** Bytes cut off so far. */
  used: number;
  /** Bytes of them that still belong to a row. */
  live: number;
  queued: boolean;
}

/** Bytes a record takes: whole multiples of 8. */
function roomOf(keyLength: number, valueLength: number): number {
  return (headerWords * 4 + ((keyLength + 3) & ~3) + valueLength + 7) & ~7;
}

function slabNew(length: number): Slab {
  const memory = new ArrayBuffer(length);
  return {
    memory,
    bytes: new Uint8Array(memory),
    words: new Int32Array(memory),
    used: 0,
    live: 0,
    queued: false,
  };
}

export class ByteArena {
  readonly #table: RowTable;
  /** By number; undefined where a slab was given back. */
  readonly #slabs: (Slab | undefined)[] = [];
  readonly #numbersFree: number[] = [];
  readonly #sparse: number[] = [];
  #current = 0;
  #bytes = 0;

  /** Where rows are is kept in `table`. */
  constructor(table: RowTable) {
    this.#table = table;
    this.#current = this.#slabAdd(slabBytes);
  }

  /** Bytes of memory taken, garbage included. At most about twice the live bytes and one slab. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the row's key is `key`. */
  isKey(row: number, key: KeyWords): boolean {
    const table = this.#table.words;
    const words = this.#slabs[table[row * ROW_WORDS + ROW_SLAB]!]!.words;
    const at = table[row * ROW_WORDS + ROW_AT]!;
    if (words[at + 1] !== key.length) return false;
    const wanted = key.words;
    const first = at + headerWords;
    for (let i = key.count - 1; i >= 0; i--) if (words[first + i] !== wanted[i]) return false;
    return true;
  }

  /** A view of the row's value. */
  value(row: number): Uint8Array {
    const table = this.#table.words;
    const slab = this.#slabs[table[row * ROW_WORDS + ROW_SLAB]!]!;
    const at = table[row * ROW_WORDS + ROW_AT]!;
    const keyWords = (slab.words[at + 1]! + 3) >>> 2;
    return new Uint8Array(slab.memory, (at + headerWords + keyWords) * 4, slab.words[at + 2]!);
  }

  valueLength(row: number): number {
    const table = this.#table.words;
    const slab = this.#slabs[table[row * ROW_WORDS + ROW_SLAB]!]!;
    return slab.words[table[row * ROW_WORDS + ROW_AT]! + 2]!;
  }

  key(row: number): ByteString {
    const table = this.#table.words;
    const slab = this.#slabs[table[row * ROW_WORDS + ROW_SLAB]!]!;
    const at = table[row * ROW_WORDS + ROW_AT]!;
    const first = (at + headerWords) * 4;
    return byteString(slab.bytes, first, first + slab.words[at + 1]!);
  }

  /** Copies a key and its value and notes their place under `row`, which must have none (new, or released). */
  place(row: number, key: KeyWords, value: Uint8Array): void {
    const room = roomOf(key.length, value.length);
    const { slab, at } = this.#room(row, room);
    const words = slab.words;
    words[at] = row;
    words[at + 1] = key.length;
    words[at + 2] = value.length;
    const first = at + headerWords;
    for (let i = 0; i < key.count; i++) words[first + i] = key.words[i]!;
    slab.bytes.set(value, (first + key.count) * 4);
  }

  /** Crosses out the row's record. A view of it stays readable for whoever still looks at it. */
  release(row: number): void {
    const table = this.#table.words;
    const number = table[row * ROW_WORDS + ROW_SLAB]!;
    const slab = this.#slabs[number]!;
    const at = table[row * ROW_WORDS + ROW_AT]!;
    slab.live -= roomOf(slab.words[at + 1]!, slab.words[at + 2]!);
    table[row * ROW_WORDS + ROW_AT] = -1;
    if (number !== this.#current) this.#weigh(number, slab);
  }

  /** Empties the slabs that fell below half. Call it after a batch; it copies half a slab each. */
  tidy(): void {
    while (this.#sparse.length > 0) {
      const number = this.#sparse.pop()!;
      const slab = this.#slabs[number]!;
      const { words, used } = slab;
      for (let at = 0; at * 4 < used; ) {
        const row = words[at]!;
        const room = roomOf(words[at + 1]!, words[at + 2]!);
        const table = this.#table.words;
        if (table[row * ROW_WORDS + ROW_AT] === at && table[row * ROW_WORDS + ROW_SLAB] === number) {
          const to = this.#room(row, room);
          to.slab.bytes.set(new Uint8Array(slab.memory, at * 4, room), to.at * 4);
        }
        at += room >>> 2;
      }
      this.#slabRemove(number, slab);
    }
  }

  clear(): void {
    this.#slabs.length = 0;
    this.#numbersFree.length = 0;
    this.#sparse.length = 0;
    this.#bytes = 0;
    this.#current = this.#slabAdd(slabBytes);
  }

  /** Cuts `room` bytes off for `row` and notes their place. */
  #room(row: number, room: number): { slab: Slab; at: number } {
    let number = this.#current;
    let slab = this.#slabs[number]!;
    if (room > recordBytesMax) {
      number = this.#slabAdd(room);
      slab = this.#slabs[number]!;
    } else if (slab.used + room > slabBytes) {
      this.#current = this.#slabAdd(slabBytes);
      this.#weigh(number, slab);
      number = this.#current;
      slab = this.#slabs[number]!;
    }
    const at = slab.used >>> 2;
    slab.used += room;
    slab.live += room;
    const table = this.#table.words;
    table[row * ROW_WORDS + ROW_SLAB] = number;
    table[row * ROW_WORDS + ROW_AT] = at;
    return { slab, at };
  }

  #slabAdd(length: number): number {
    const number = this.#numbersFree.pop() ?? this.#slabs.length;
    this.#slabs[number] = slabNew(length);
    this.#bytes += length;
    return number;
  }

  #slabRemove(number: number, slab: Slab): void {
    this.#slabs[number] = undefined;
    this.#numbersFree.push(number);
    this.#bytes -= slab.memory.byteLength;
  }

  /** Notes a slab, no longer being filled, that is mostly garbage. */
  #weigh(number: number, slab: Slab): void {
    if (slab.queued || slab.live * 2 >= slab.memory.byteLength) return;
    slab.queued = true;
    this.#sparse.push(number);
  }
}
