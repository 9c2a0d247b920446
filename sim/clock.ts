/**
 * A simulated node's two clocks. Wall time may be wrong (skew), run fast or slow (drift) and jump;
 * monotonic time only drifts, and starts at an arbitrary number in each life of a process.
 */

import type { Clock } from '../src/ports/clock.ts';
import type { Schedule } from './schedule.ts';

/** What a right wall clock shows when a run begins, milliseconds since 1970. */
export const EPOCH_MS = 1_750_000_000_000;

export interface ClockFaults {
  /** How far the wall clock is ahead (behind, if negative) at the start, milliseconds. */
  readonly skewMs: number;
  /** How much faster (slower, if negative) both clocks run, parts in a million. */
  readonly driftPpm: number;
}

export class SimClock implements Clock {
  readonly #schedule: Schedule;
  readonly #rate: number;
  #skewMs: number;
  #monotonicStart = 0;

  constructor(schedule: Schedule, faults: ClockFaults) {
    this.#schedule = schedule;
    this.#skewMs = faults.skewMs;
    this.#rate = (1 + faults.driftPpm / 1e6) / 1000;
  }

  wall(): number {
    return EPOCH_MS + Math.floor(this.#skewMs + this.#schedule.now * this.#rate);
  }

  monotonic(): number {
    return this.#monotonicStart + this.#schedule.now * this.#rate;
  }

  /** Sets how far the wall clock is off, milliseconds: the wall jumps. */
  setSkew(skewMs: number): void {
    this.#skewMs = skewMs;
  }

  /** A new process: monotonic time starts somewhere else. */
  reboot(monotonicStart: number): void {
    this.#monotonicStart = monotonicStart;
  }
}
