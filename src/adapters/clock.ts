/**
 * The real clock. `wall` is what the operating system believes the date to be; `monotonic` counts from
 * the start of the process and never goes back. Its twin under simulation bends both.
 */

import type { Clock } from '../ports/clock.ts';

export class SystemClock implements Clock {
  #last = 0;

  wall(): number {
    return Date.now();
  }

  monotonic(): number {
    this.#last = performance.now();
    return this.#last;
  }

  /** The driver asks for the time at every tick, so this is never much older. */
  coarse(): number {
    return this.#last;
  }
}
