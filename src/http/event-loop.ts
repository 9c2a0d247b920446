/**
 * How busy the event loop is, and how late its timers run.
 *
 * Both are figures of a stretch of time. A stretch ends with a look at it, but not before it is a second long:
 * of the next millisecond nobody can say anything (a look that follows another at once would read "no delay,
 * and busy all the time"), and two who look in turn must not take each other's figures away. Until then the
 * figures are those of the stretch before.
 */

import { type EventLoopUtilization, monitorEventLoopDelay } from 'node:perf_hooks';

export interface EventLoopFigures {
  /** Share of the time it was busy, 0 to 1. */
  readonly utilization: number;
  /** How late timers ran: median, 99th percentile and most, seconds. */
  readonly delays: readonly [median: number, p99: number, most: number];
}

const stretchMinMs = 1000;
/** Each sample wakes the process up, an idle one too. */
const resolutionMs = 50;

/** `close` must be called in the end. */
export class EventLoopWatch {
  readonly #delay: ReturnType<typeof monitorEventLoopDelay>;
  #utilization: EventLoopUtilization;
  #beganAt: number;
  #figures: EventLoopFigures | undefined = undefined;

  constructor() {
    this.#delay = monitorEventLoopDelay({ resolution: resolutionMs });
    this.#delay.enable();
    this.#utilization = performance.eventLoopUtilization();
    this.#beganAt = performance.now();
  }

  /** Undefined during the first second. */
  look(): EventLoopFigures | undefined {
    const now = performance.now();
    // Without a single sample the loop was blocked all the time: the timer that takes them is late itself.
    if (now - this.#beganAt < stretchMinMs || this.#delay.count === 0) return this.#figures;
    const utilization = performance.eventLoopUtilization();
    this.#figures = {
      utilization: performance.eventLoopUtilization(utilization, this.#utilization).utilization,
      delays: [this.#late(50), this.#late(99), this.#late(100)],
    };
    this.#utilization = utilization;
    this.#beganAt = now;
    this.#delay.reset();
    return this.#figures;
  }

  /** What is measured is the time between two runs of a timer. */
  #late(percentile: number): number {
    return Math.max(0, this.#delay.percentile(percentile) / 1e9 - resolutionMs / 1000);
  }

  close(): void {
    this.#delay.disable();
  }
}
