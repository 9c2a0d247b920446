/**
 * The phi-accrual failure detector (Hayashibara, Défago, Yared and Katayama, 2004): how strange a silence
 * is, as a number, instead of "too long" or not.
 *
 * The picture: a neighbour who walks the dog every morning. If he always comes between 7:00 and 7:10, his
 * absence at 7:30 is odd; if he comes when he likes, it means nothing until noon. The detector remembers
 * the last intervals between signs of life, takes them for a normal distribution, and says by phi how
 * improbable it is that the next sign is only late: phi 1 is one in ten, phi 8 one in 10^8.
 *
 * Signs that come in a burst (a queue read at once, the frames of a busy turn) say nothing about the
 * rhythm: they end the silence, and only those at least half an interval apart are remembered.
 */

import { assert } from '../base/assert.ts';

export interface PhiOptions {
  /** Signs of life are expected about this often, milliseconds: the first guess, and the least mean. */
  readonly intervalMs: number;
  /** The deviation is never taken for less, milliseconds: no network is that regular. */
  readonly deviationMinMs: number;
  /** So many intervals are remembered. */
  readonly window: number;
}

export class Phi {
  #options: PhiOptions;
  /** The last intervals, as a ring. */
  readonly #intervals: Float64Array;
  #count = 0;
  #next = 0;
  #sum = 0;
  #squares = 0;
  /** When the last remembered sign came. */
  #beatAt: number;
  /** When anything was heard last. */
  #lastAt: number;

  /** Silence is counted from `now`: nobody is suspected before he could have spoken. */
  constructor(options: PhiOptions, now: number) {
    assert(options.window > 0 && options.intervalMs > 0, 'a detector has a window and a rhythm');
    this.#options = options;
    this.#intervals = new Float64Array(options.window);
    this.#beatAt = now;
    this.#lastAt = now;
  }

  /** Monotonic time of the last sign of life. */
  get lastAt(): number {
    return this.#lastAt;
  }

  /** A sign of life at `now`, which is never before the last one. */
  heard(now: number): void {
    this.#lastAt = now;
    const interval = now - this.#beatAt;
    if (interval * 2 < this.#options.intervalMs) return;
    this.#beatAt = now;
    const old = this.#intervals[this.#next]!;
    this.#intervals[this.#next] = interval;
    this.#next = this.#next + 1 === this.#intervals.length ? 0 : this.#next + 1;
    if (this.#count < this.#intervals.length) this.#count++;
    this.#sum += interval - old;
    this.#squares += interval * interval - old * old;
  }

  /** We ourselves were away for so long, milliseconds: that silence was ours. */
  excuse(pauseMs: number, now: number): void {
    this.#lastAt = Math.min(now, this.#lastAt + pauseMs);
    this.#beatAt = Math.min(now, this.#beatAt + pauseMs);
  }

  /**
   * Another rhythm is to be expected from now on; `window` stays. What is remembered counts on. A silence that was
   * usual until now does not become strange by that: it counts from now on.
   */
  adapt(options: PhiOptions, now: number): void {
    assert(options.window === this.#options.window, 'the window stays');
    const before = this.phi(now);
    this.#options = options;
    if (this.phi(now) > before) this.excuse(now - this.#lastAt, now);
  }

  /** Forgets the rhythm: a new process may have another one. */
  restart(now: number): void {
    this.#intervals.fill(0);
    this.#count = 0;
    this.#next = 0;
    this.#sum = 0;
    this.#squares = 0;
    this.#beatAt = now;
    this.#lastAt = now;
  }

  /** Mean interval between signs of life, milliseconds. */
  get meanMs(): number {
    const mean = this.#count === 0 ? 0 : this.#sum / this.#count;
    return Math.max(mean, this.#options.intervalMs);
  }

  get deviationMs(): number {
    if (this.#count < 2) return this.#options.deviationMinMs;
    const mean = this.#sum / this.#count;
    const variance = Math.max(0, this.#squares / this.#count - mean * mean);
    return Math.max(Math.sqrt(variance), this.#options.deviationMinMs);
  }

  /** -log10 of the probability that a sign of life is still to come; 0 and above, finite. */
  phi(now: number): number {
    const silence = now - this.#lastAt;
    // Cheap and common: a silence that is usual is no news.
    if (silence <= this.#options.intervalMs) return 0;
    return phiOf((silence - this.meanMs) / this.deviationMs);
  }
}

/**
 * phi of a silence that is `y` deviations longer than the mean: -log10(1 - F(y)), with the logistic
 * approximation of the normal distribution by Bowling and others (2009), as Akka has it.
 */
export function phiOf(y: number): number {
  const exponent = y * (1.5976 + 0.070566 * y * y);
  // log10(1 + e^x), which for large x is x * log10(e): never infinite.
  return exponent > 30 ? exponent * Math.LOG10E : Math.log1p(Math.exp(exponent)) * Math.LOG10E;
}
