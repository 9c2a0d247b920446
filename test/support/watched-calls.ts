/**
 * Callbacks that are watched: each must be called, and once.
 *
 * The picture: a cloakroom. Every number that is given out comes back exactly once, in an order that can be
 * asked for; at the end of the evening no coat is left over.
 */

import assert from 'node:assert/strict';
import type { CodedError } from '../../src/base/errors.ts';
import type { UpdateReply, WriteProgress } from '../../src/node/api.ts';

/** A request's callback, watched. */
export interface Call<T> {
  readonly done: T;
  readonly isDone: boolean;
  /** Order in which calls were answered, from 1. */
  readonly order: number;
  readonly error: CodedError | undefined;
  /** What came after the error: a row, a page, a count, a progress. */
  readonly value: unknown;
  readonly progress: WriteProgress | undefined;
  readonly reply: UpdateReply;
}

class WatchedCall {
  readonly name: string;
  times = 0;
  order = 0;
  error: CodedError | undefined = undefined;
  value: unknown = undefined;
  progress: WriteProgress | undefined = undefined;
  readonly done: (error?: CodedError, value?: unknown, progress?: unknown) => void;

  constructor(name: string, nextOrder: () => number, then?: () => void) {
    this.name = name;
    this.done = (error, value, progress) => {
      this.times++;
      assert.equal(this.times, 1, `${name}: done was called ${this.times} times`);
      this.order = nextOrder();
      this.error = error;
      this.value = value;
      this.progress = (progress ?? value) as WriteProgress | undefined;
      then?.();
    };
  }

  get isDone(): boolean {
    return this.times > 0;
  }

  get reply(): UpdateReply {
    return this.value as UpdateReply;
  }
}

export class WatchedCalls {
  readonly #calls: WatchedCall[] = [];
  #orders = 0;

  /** A watched callback. Those of a killed node may be left unanswered: see `abandon`. */
  call<T>(name: string, then?: () => void): Call<T> {
    const call = new WatchedCall(name, () => ++this.#orders, then);
    this.#calls.push(call);
    return call as unknown as Call<T>;
  }

  /** Forgets calls that nobody can answer any more, because their node was killed. */
  abandon(...calls: readonly Call<unknown>[]): void {
    for (const call of calls) {
      const at = this.#calls.indexOf(call as unknown as WatchedCall);
      if (at >= 0) this.#calls.splice(at, 1);
    }
  }

  finish(): void {
    const open = this.#calls.filter((call) => call.times !== 1).map(({ name }) => name);
    assert.deepEqual(open, [], 'every call was answered exactly once');
  }
}
