/**
 * A call: one operation from the moment the program asks until its promise is settled, however often it
 * is sent meanwhile. It keeps the one thing that must not be lost between the attempts: whether a write
 * may have been applied by one of them.
 */

import type { Outcome } from '../src/base/errors.ts';
import type { RespValue } from '../src/resp/value.ts';
import type { Exchange, Word } from './connection.ts';
import { DureError } from './errors.ts';

/** Of every call. */
export interface CallOptions {
  /** Gives the call up. A write that was sent before may still be applied. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from now, for all attempts together. Default: that of the client. */
  readonly deadlineMs?: number | undefined;
}

/** What to send and how to read the answer. */
export interface Operation<T> {
  readonly words: readonly Word[];
  /** The slot of its key; -1 when any node will do. */
  readonly slot: number;
  readonly isWrite: boolean;
  /** Whether it may be sent again although it may have been applied already. */
  readonly isRepeatable: boolean;
  /** @throws DureError for an answer that cannot be read */
  read(reply: RespValue): T;
}

/** What a call tells the engine. */
export interface CallHost {
  replied(call: Call<unknown>, reply: RespValue): void;
  lost(call: Call<unknown>, sent: boolean, reason: string): void;
  settled(call: Call<unknown>, error: DureError | undefined): void;
}

export class Call<T> implements Exchange {
  readonly operation: Operation<T>;
  /** Monotonic milliseconds, both. */
  readonly startedAt: number;
  readonly deadlineAt: number;
  settled = false;
  /** Times it was handed to a connection. */
  attempts = 0;
  /** The node that has it, or had it last. */
  node = '';
  /** Nodes that failed it since the last time that all had. */
  readonly tried: string[] = [];
  /** Some attempt may have been applied, or may be later. */
  mayBeApplied = false;
  /** It was written and its answer is due. */
  isUnderWay = false;
  /** Why the last attempt failed. */
  lastProblem = '';

  readonly #host: CallHost;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: DureError) => void;
  readonly #signal: AbortSignal | undefined;

  constructor(
    operation: Operation<T>,
    times: { readonly startedAt: number; readonly deadlineAt: number },
    signal: AbortSignal | undefined,
    host: CallHost,
    resolve: (value: T) => void,
    reject: (error: DureError) => void,
  ) {
    this.operation = operation;
    this.startedAt = times.startedAt;
    this.deadlineAt = times.deadlineAt;
    this.#host = host;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get words(): readonly Word[] {
    return this.operation.words;
  }

  /** What a failure now would mean for the data. */
  get outcome(): Outcome {
    if (!this.operation.isWrite) return 'none';
    return this.mayBeApplied || this.isUnderWay ? 'unknown' : 'fail';
  }

  sending(): void {
    this.isUnderWay = true;
  }

  replied(reply: RespValue): void {
    this.isUnderWay = false;
    this.#host.replied(this as Call<unknown>, reply);
  }

  lost(sent: boolean, reason: string): void {
    if (sent) this.mayBeApplied = true;
    this.isUnderWay = false;
    this.#host.lost(this as Call<unknown>, sent, reason);
  }

  succeed(value: T): void {
    if (!this.#settle(undefined)) return;
    this.#resolve(value);
  }

  /** Fails with what is known of the data: see `outcome`. */
  fail(code: string, retryable: boolean, message: string, cause?: unknown): void {
    const problem =
      this.lastProblem === '' || message.includes(this.lastProblem) ? '' : `: ${this.lastProblem}`;
    const { outcome } = this;
    const unknown = outcome === 'unknown' && !message.includes('may or may not');
    const advice = unknown ? '; the write may or may not be applied; read the key to know' : '';
    this.failWith(new DureError(code, outcome, retryable, `${message}${problem}${advice}`, cause));
  }

  failWith(error: DureError): void {
    if (!this.#settle(error)) return;
    this.#reject(error);
  }

  #settle(error: DureError | undefined): boolean {
    if (this.settled) return false;
    this.settled = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#host.settled(this as Call<unknown>, error);
    return true;
  }

  readonly #onAbort = (): void => this.fail('aborted', false, 'the call was aborted', this.#signal?.reason);
}
