/**
 * What the controller decided and why, bounded: the newest entries, one for each change of mind. A controller
 * that looks every few seconds says the same for hours; what a reader wants is when it began to say so.
 */

import type { Measure } from './load.ts';

export type Action = 'grow' | 'shrink' | 'hold';

/**
 * - `unknown`: nobody tells the topology, or too few tell their load.
 * - `under-way`, `cooling-down`: a change goes on, or ended a short while ago.
 * - `obstacle`: a change cannot be made now: it would wait for a member that cannot be reached.
 * - `in-band`: neither too few nor too many.
 * - `above`, `below`: too few or too many, but not for long enough yet.
 * - `at-ceiling`, `at-floor`: a node more or less is not allowed.
 * - `samples-missing`: there may be too many; not every node tells.
 * - `none-removable`: too many, and none of them can be taken away.
 * - `failed`: what was asked for could not be begun; it is tried again.
 * - `below-floor`: there are fewer nodes than the floor.
 * - `load`: the load asks for it.
 */
export type DecisionCode =
  | 'unknown'
  | 'under-way'
  | 'cooling-down'
  | 'obstacle'
  | 'in-band'
  | 'above'
  | 'below'
  | 'at-ceiling'
  | 'at-floor'
  | 'samples-missing'
  | 'none-removable'
  | 'failed'
  | 'below-floor'
  | 'load';

export interface Decision {
  /** Of the clock that the observation was given with, milliseconds. */
  readonly at: number;
  readonly action: Action;
  readonly code: DecisionCode;
  /** Whom to take away; empty unless it is `shrink`. */
  readonly node: string;
  /** In words, with the figures that led to it. */
  readonly reason: string;
  /** Members. */
  readonly nodes: number;
  readonly epoch: number | undefined;
  readonly measures: readonly Measure[];
}

export class DecisionLog {
  readonly #entriesMax: number;
  #entries: Decision[] = [];
  #about = '';

  /** @param entriesMax older ones are forgotten. */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  /** Oldest first. */
  get entries(): readonly Decision[] {
    return this.#entries;
  }

  /**
   * Takes a decision down if it, or the reason for it, is not that of the one before.
   * @param about what the reason is about, beyond its code: the same text is the same reason.
   * @returns whether it was new.
   */
  add(decision: Decision, about: string): boolean {
    const last = this.#entries.at(-1);
    const same =
      last !== undefined &&
      last.action === decision.action &&
      last.code === decision.code &&
      last.node === decision.node &&
      this.#about === about;
    if (same) return false;
    this.#about = about;
    this.#entries.push(decision);
    if (this.#entries.length > this.#entriesMax) this.#entries.shift();
    return true;
  }
}
