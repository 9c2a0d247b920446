/**
 * Which row to drop when memory is full: LRU and LFU, approximated as Redis does it.
 *
 * True LRU would need a list touched at every read. Instead a few rows are drawn at random, and the
 * best candidates of this and of earlier draws wait in a small pool; the best of the pool goes. With
 * samples of 5 and a pool of 16 this is close to true LRU (Redis, `evict.c`, since 3.0).
 *
 * LFU keeps one byte a row: a counter that grows ever more slowly (a hit raises it with probability
 * 1 / (counter × 10 + 1), so that 255 means about a million hits) and falls by one for each minute
 * that passes. A new row starts at 5, so that it gets a chance before it is compared.
 */

import type { Random } from '../ports/random.ts';
import { ROW_PLACE, ROW_USED, ROW_WORDS, type RowTable } from './row-table.ts';

export type EvictionPolicy = 'none' | 'lru' | 'lfu';

/**
 * The unit a row's last use is kept in, milliseconds. Ticks are 32-bit integers and wrap after 2.7 years,
 * longer than a row lies in a cache.
 */
export const tickMs = 20;
const minuteTicks = 60_000 / tickMs;
const sampleCount = 5;
const poolSize = 16;
const counterInitial = 5;
const counterMax = 255;
const logFactor = 10;
const u32 = 0x1_0000_0000;

/**
 * How rows were used, and which of them may go, with the pool of candidates. Adding, removing and drawing
 * are O(1). Rows are numbers; what is known of them stands in the table. `now` is in ticks.
 */
export class Evictor {
  readonly #table: RowTable;
  readonly #policy: EvictionPolicy;
  readonly #random: Random;
  readonly #rows: number[] = [];
  /** Candidates, the best last; `#scores` beside it. */
  readonly #pool: number[] = [];
  readonly #scores: number[] = [];

  constructor(table: RowTable, policy: EvictionPolicy, random: Random) {
    this.#table = table;
    this.#policy = policy;
    this.#random = random;
  }

  /** Sets what is known of a new row; `mayGo` whether it may be evicted. */
  add(row: number, now: number, mayGo: boolean): void {
    const words = this.#table.words;
    words[row * ROW_WORDS + ROW_USED] = now;
    words[row * ROW_WORDS + ROW_PLACE] = mayGo ? this.#rows.length : -1;
    if (mayGo) this.#rows.push(row);
    if (this.#policy === 'lfu') this.#table.counters[row] = counterInitial;
  }

  /** Forgets a row: the last one moves into its place. */
  remove(row: number): void {
    const words = this.#table.words;
    const place = words[row * ROW_WORDS + ROW_PLACE]!;
    if (place === -1) return;
    const last = this.#rows.pop()!;
    if (last !== row) {
      this.#rows[place] = last;
      words[last * ROW_WORDS + ROW_PLACE] = place;
    }
    // Its number may soon be another row's.
    const candidate = this.#pool.indexOf(row);
    if (candidate === -1) return;
    this.#pool.splice(candidate, 1);
    this.#scores.splice(candidate, 1);
  }

  /** Counts one use. Under LFU: decay first, then the logarithmic rise. */
  use(row: number, now: number): void {
    if (this.#policy === 'lfu') this.#raise(row, now);
    this.#table.words[row * ROW_WORDS + ROW_USED] = now;
  }

  /** Ticks since the last use. */
  idle(row: number, now: number): number {
    return (now - this.#table.words[row * ROW_WORDS + ROW_USED]!) >>> 0;
  }

  /** The counter of a row that is not used now: one less for each minute that began since its last use. */
  counterDecayed(row: number, now: number): number {
    const usedAt = this.#table.words[row * ROW_WORDS + ROW_USED]! >>> 0;
    const minutes = Math.floor(((usedAt % minuteTicks) + this.idle(row, now)) / minuteTicks);
    return Math.max(this.#table.counters[row]! - minutes, 0);
  }

  #raise(row: number, now: number): void {
    const counter = this.counterDecayed(row, now);
    const above = counter > counterInitial ? counter - counterInitial : 0;
    const rises = counter < counterMax && this.#random.u32() * (above * logFactor + 1) < u32;
    this.#table.counters[row] = rises ? counter + 1 : counter;
  }

  /** How good a candidate a row is: greater goes first. */
  #score(row: number, now: number): number {
    return this.#policy === 'lfu' ? counterMax - this.counterDecayed(row, now) : this.idle(row, now);
  }

  /** The row to drop now, or 0 when there is none. */
  choose(now: number): number {
    const rows = this.#rows;
    if (rows.length === 0) return 0;
    for (;;) {
      for (let i = 0; i < sampleCount; i++) {
        const row = rows[Math.floor((this.#random.u32() / u32) * rows.length)]!;
        this.#offer(row, this.#score(row, now));
      }
      while (this.#pool.length > 0) {
        const row = this.#pool.pop()!;
        const score = this.#scores.pop()!;
        // Used since it was drawn: not a candidate any more.
        if (this.#score(row, now) >= score) return row;
      }
    }
  }

  #offer(row: number, score: number): void {
    const pool = this.#pool;
    const scores = this.#scores;
    if (pool.length === poolSize && score <= scores[0]!) return;
    if (pool.includes(row)) return;
    if (pool.length === poolSize) {
      pool.shift();
      scores.shift();
    }
    let at = pool.length;
    while (at > 0 && scores[at - 1]! > score) at--;
    pool.splice(at, 0, row);
    scores.splice(at, 0, score);
  }

  clear(): void {
    this.#rows.length = 0;
    this.#pool.length = 0;
    this.#scores.length = 0;
  }
}
