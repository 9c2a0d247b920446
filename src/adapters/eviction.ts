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

export type EvictionPolicy = 'none' | 'lru' | 'lfu';

/** What eviction knows about a row. */
export interface EvictionRow {
  /** Place in the dense list of rows that may be evicted, or -1: not there. */
  place: number;
  /** Time of the last use, milliseconds of the monotonic clock, whole. */
  usedAt: number;
  /** Logarithmic count of uses, 0 to 255 (only kept under LFU). */
  counter: number;
}

const sampleCount = 5;
const poolSize = 16;
const counterInitial = 5;
const counterMax = 255;
const logFactor = 10;
const decayMs = 60_000;
const u32 = 0x1_0000_0000;

/** The counter of a row that is not used now: one less for each minute that began since its last use. */
export function counterDecayed(row: EvictionRow, now: number): number {
  const counter = row.counter - (Math.floor(now / decayMs) - Math.floor(row.usedAt / decayMs));
  return Math.max(counter, 0);
}

/** Counts one use under LFU: decay first, then the logarithmic rise. */
export function counterRaise(row: EvictionRow, now: number, random: Random): void {
  const counter = counterDecayed(row, now);
  const above = counter > counterInitial ? counter - counterInitial : 0;
  const rises = counter < counterMax && random.u32() * (above * logFactor + 1) < u32;
  row.counter = rises ? counter + 1 : counter;
  row.usedAt = now;
}

export const COUNTER_NEW: number = counterInitial;

/** The rows that may go, and the pool of candidates. Adding, removing and drawing are O(1). */
export class Evictor<Row extends EvictionRow> {
  readonly #rows: Row[] = [];
  readonly #policy: EvictionPolicy;
  readonly #random: Random;
  /** Candidates, the best last; `#scores` beside it. */
  readonly #pool: Row[] = [];
  readonly #scores: number[] = [];

  constructor(policy: EvictionPolicy, random: Random) {
    this.#policy = policy;
    this.#random = random;
  }

  get count(): number {
    return this.#rows.length;
  }

  add(row: Row): void {
    row.place = this.#rows.length;
    this.#rows.push(row);
  }

  /** Takes a row out by moving the last one into its place. */
  remove(row: Row): void {
    const last = this.#rows.pop()!;
    if (last !== row) {
      this.#rows[row.place] = last;
      last.place = row.place;
    }
    row.place = -1;
  }

  /** How good a candidate a row is: greater goes first. */
  #score(row: Row, now: number): number {
    return this.#policy === 'lfu' ? counterMax - counterDecayed(row, now) : now - row.usedAt;
  }

  /** The row to drop now, or undefined when there is none. */
  choose(now: number): Row | undefined {
    const rows = this.#rows;
    if (rows.length === 0) return undefined;
    for (;;) {
      for (let i = 0; i < sampleCount; i++) {
        const row = rows[Math.floor((this.#random.u32() / u32) * rows.length)]!;
        this.#offer(row, this.#score(row, now));
      }
      while (this.#pool.length > 0) {
        const row = this.#pool.pop()!;
        const score = this.#scores.pop()!;
        // Gone since, or used since it was drawn: not a candidate any more.
        if (row.place !== -1 && this.#score(row, now) >= score) return row;
      }
    }
  }

  #offer(row: Row, score: number): void {
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
