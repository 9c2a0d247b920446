/**
 * Requests on many keys: scan, count, flush. They ask replicas of every partition, or every member, and are
 * refused by the same rules as requests on one key (`requests.ts`).
 */

import { CodedError } from '../base/errors.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import type { CountDone, FlushDone, RequestOptions, ScanDone } from './api.ts';
import type { NodeContext } from './context.ts';
import { FlushFlight } from './flush-flight.ts';
import type { LocalScans } from './local-scans.ts';
import type { Policies } from './policies.ts';
import type { Requests } from './requests.ts';
import { CountFlight, ScanFlight } from './scan-flight.ts';

const hashSpan = 0x1_0000_0000;

/** What a count may take if the request does not say, milliseconds. */
const countTimeoutMs = 30_000;

export class WideRequests {
  readonly #context: NodeContext;
  readonly #policies: Policies;
  readonly #requests: Requests;
  readonly #scans: LocalScans;

  constructor(context: NodeContext, policies: Policies, requests: Requests, scans: LocalScans) {
    this.#context = context;
    this.#policies = policies;
    this.#requests = requests;
    this.#scans = scans;
  }

  /** See `NodeApi.scan`. */
  scan(cursor: number, count: number, options: RequestOptions, done: ScanDone): void {
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      done(refusal, undefined);
      return;
    }
    if (!(cursor >= 0 && cursor < SLOT_COUNT * hashSpan)) {
      done(undefined, { cursor: 0, entries: [] });
      return;
    }
    const { r } = options.policy ?? this.#policies.fallback;
    const bounded = Math.max(1, Math.min(10_000, count));
    const deadline = this.#deadline(options);
    new ScanFlight(this.#context, this.#scans, cursor, bounded, r, deadline, done).start();
  }

  /** See `NodeApi.count`. */
  count(slotFrom: number, slotTo: number, options: RequestOptions, done: CountDone): void {
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      done(refusal, 0);
      return;
    }
    // A count walks all rows: the deadline of a request on one key would never do.
    const deadline = this.#deadline({ timeoutMs: countTimeoutMs, ...options });
    const ranges = [slotFrom, slotTo];
    new CountFlight(this.#context, this.#scans, ranges, [], deadline, done).start();
  }

  /** See `NodeApi.flush`. */
  flush(options: RequestOptions, done: FlushDone): void {
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      done(new CodedError(refusal.code, 'fail', refusal.message));
      return;
    }
    const { flushW, flushWLeast } = this.#policies;
    const { policy } = options;
    const [most, least] = policy === undefined ? [flushW, flushWLeast] : [policy.w, policy.w];
    new FlushFlight(this.#context, most, least, this.#deadline(options), done).start();
    this.#scans.sweepFromStart();
  }

  #deadline(options: RequestOptions): number {
    return this.#context.now() + (options.timeoutMs ?? this.#context.limits.requestTimeoutMs);
  }

  #refusal(): CodedError | undefined {
    const { open, refusalWords } = this.#requests;
    if (!open) return new CodedError('unavailable', 'none', `${refusalWords}; nothing was done`);
    if (!this.#requests.isFull) return this.#context.replica.failure;
    this.#context.tally.failuresOverload++;
    return new CodedError('overloaded', 'none', 'too many requests are under way at this node; try again');
  }
}
