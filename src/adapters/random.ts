/**
 * Secure randomness. A call into the system's generator costs microseconds, so it fills a pool of
 * 1024 numbers at a time and hands them out one by one.
 */

import { randomFillSync } from 'node:crypto';
import type { Random } from '../ports/random.ts';

export class SecureRandom implements Random {
  readonly #pool = new Uint32Array(1024);
  #next = 1024;

  u32(): number {
    if (this.#next === this.#pool.length) {
      randomFillSync(this.#pool);
      this.#next = 0;
    }
    const number = this.#pool[this.#next]!;
    // A number handed out is not kept: a dump of this memory tells nothing about the past.
    this.#pool[this.#next++] = 0;
    return number;
  }
}
