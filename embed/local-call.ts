/**
 * A call on the node in this process, from the moment the application asks until its promise is settled. The node
 * answers each attempt within its own deadline; what is decided here is whether to try again, as in the client
 * (`client/engine.ts`): what was certainly not done, after a wait, within the budget; what may have been done, if the
 * operation may be repeated.
 */

import { NOT_DONE, repeatWaitMs } from '../client/backoff.ts';
import { DureError } from '../client/errors.ts';
import type { Outcome } from '../src/base/errors.ts';
import { CodedError } from '../src/base/errors.ts';
import { ERROR_WORDS, replyOfError } from '../src/commands/replies.ts';

export type Done<T> = (error: Error | undefined, value: T) => void;

/** What is asked of the node. */
export interface Attempt<T> {
  readonly isWrite: boolean;
  /** Whether it may be done again although it may have been done already. */
  readonly isRepeatable: boolean;
  /** @param timeoutMs what is left of the time; undefined if that is more than the node takes anyway */
  run(timeoutMs: number | undefined, done: Done<T>): void;
}

/** What a call asks of the store. */
export interface CallHost {
  /** Why no attempt can help any more; undefined when the node serves. */
  gone(outcome: Outcome): DureError | undefined;
  /** Takes one repetition from the budget. */
  mayRepeat(attempts: number): boolean;
  settled(call: LocalCall<unknown>, failed: boolean): void;
  readonly requestTimeoutMs: number;
}

export class LocalCall<T> {
  readonly #attempt: Attempt<T>;
  readonly #host: CallHost;
  readonly #deadlineAt: number;
  readonly #signal: AbortSignal | undefined;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: Error) => void;
  #attempts = 0;
  #isUnderWay = false;
  /** Some attempt may have been applied, or may be later. */
  #mayBeApplied = false;
  #settled = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    attempt: Attempt<T>,
    host: CallHost,
    deadlineMs: number,
    signal: AbortSignal | undefined,
    resolve: (value: T) => void,
    reject: (error: Error) => void,
  ) {
    this.#attempt = attempt;
    this.#host = host;
    this.#deadlineAt = performance.now() + deadlineMs;
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  begin(): void {
    const leftMs = this.#deadlineAt - performance.now();
    this.#attempts += 1;
    this.#isUnderWay = true;
    this.#attempt.run(
      leftMs < this.#host.requestTimeoutMs ? Math.max(1, leftMs) : undefined,
      (error, value) => {
        this.#isUnderWay = false;
        if (this.#settled) return;
        if (error === undefined) this.#settle(undefined, value);
        else if (error instanceof CodedError) this.#failed(error);
        else this.#settle(error);
      },
    );
  }

  /** Gives up: the node is going. */
  end(): void {
    const gone = this.#host.gone(this.#outcome);
    if (gone !== undefined) this.#settle(gone);
  }

  /** What a failure now would mean for the data. */
  get #outcome(): Outcome {
    if (!this.#attempt.isWrite) return 'none';
    return this.#mayBeApplied || this.#isUnderWay ? 'unknown' : 'fail';
  }

  #failed(error: CodedError): void {
    const { isRepeatable, isWrite } = this.#attempt;
    if (error.outcome === 'unknown') this.#mayBeApplied = true;
    const mayHelp = error.outcome === 'unknown' ? isRepeatable : NOT_DONE.has(ERROR_WORDS[error.code].code);
    const gone = this.#host.gone(this.#outcome);
    const waitMs = repeatWaitMs(this.#attempts - 1, Math.random);
    const inTime = performance.now() + waitMs < this.#deadlineAt;
    if (gone !== undefined) this.#settle(gone);
    else if (mayHelp && inTime && this.#host.mayRepeat(this.#attempts)) {
      this.#timer = setTimeout(() => this.begin(), waitMs);
    } else this.#settle(errorOf(error, isWrite ? this.#outcome : 'none', mayHelp));
  }

  #settle(error: Error): void;
  #settle(error: undefined, value: T): void;
  #settle(error: Error | undefined, value?: T): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#host.settled(this as LocalCall<unknown>, error !== undefined);
    if (error === undefined) this.#resolve(value as T);
    else this.#reject(error);
  }

  readonly #onAbort = (): void => {
    this.#settle(
      new DureError('aborted', this.#outcome, false, 'the call was aborted', this.#signal?.reason),
    );
  };
}

/** What the node reported, as the application sees it: its code, but for the one that clients know by another. */
export function errorOf(error: CodedError, outcome: Outcome, retryable: boolean): DureError {
  if (error.code === 'siblings') {
    const message = 'the key has several values, written concurrently: give `merge`, or use getVersions';
    return new DureError('SIBLINGS', outcome, false, message, error);
  }
  const told = outcome === error.outcome ? error : new CodedError(error.code, outcome, error.message);
  return new DureError(error.code, outcome, retryable, replyOfError(told).message, error);
}
