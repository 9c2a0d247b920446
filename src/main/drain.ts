/**
 * Draining: a node stops being used before it stops, so that nobody is cut off in the middle of something.
 *
 * The picture: a shop before closing time. First the sign at the door is turned (health says not ready), and everybody
 * is served on, newcomers too, since those who send them look at the sign only now and then. Then nobody is let in any
 * more and nothing more is sold: a command that comes now is told so at once (`ASK` or `LOADING`: nothing was done,
 * another node will do it), while what was begun is finished. Only then the lights go out. A command that meets a closed
 * connection instead would leave its client guessing whether it was done.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../ports/log.ts';

/** What is drained. */
export interface Drained {
  /** Health says why the node is not ready. */
  say(fault: string): void;
  /** No new clients. */
  shut(): void;
  /** Requests are refused from now on; those under way go on. */
  refuse(): void;
  /** Requests that are not answered yet. */
  waiting(): number;
}

/** Commands are refused for so long at least, milliseconds: what is on its way is told, and not cut off. */
const refusedMs = 100;
/** What is under way is waited for so long, milliseconds; then it is answered with an error that says so. */
const finishMaxMs = 2000;
const pollMs = 10;

export class Drain {
  readonly #house: Drained;
  readonly #log: Log;
  #under: Promise<number> | undefined;
  /** Until then everybody is served on. */
  #graceUntil: number = Number.POSITIVE_INFINITY;

  constructor(house: Drained, log: Log) {
    this.#house = house;
    this.#log = log;
  }

  /**
   * Drains, once; asked again it is the same draining, and a shorter grace shortens what is left of it.
   * @param graceMs everybody is served on for so long, milliseconds
   * @returns how many requests were not answered in time
   */
  run(graceMs: number): Promise<number> {
    this.#graceUntil = Math.min(this.#graceUntil, performance.now() + graceMs);
    this.#under ??= this.#run(graceMs);
    return this.#under;
  }

  async #run(graceMs: number): Promise<number> {
    const house = this.#house;
    this.#log.write('info', 'node-draining', { graceMs });
    house.say('the node is draining');
    while (performance.now() < this.#graceUntil) {
      await delay(Math.min(pollMs, this.#graceUntil - performance.now()));
    }
    house.shut();
    house.refuse();
    const refusedAt = performance.now();
    await delay(refusedMs);
    while (house.waiting() > 0 && performance.now() - refusedAt < finishMaxMs) await delay(pollMs);
    const unfinished = house.waiting();
    this.#log.write(unfinished === 0 ? 'info' : 'warn', 'node-drained', { unfinished });
    return unfinished;
  }
}
