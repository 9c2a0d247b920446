/**
 * The store of an embedded node: operations on keys go to the node in this process.
 *
 * The picture: the shopkeeper's own cupboard. What one replica may answer, and this node is one, is taken from it
 * without a letter to anybody (`NodeApi.readNow`): no request is made, no frame sent, no turn waited for. Everything
 * else is a request to the node as any door makes it.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { RetryBudget, type RetryBudgetOptions } from '../client/backoff.ts';
import type { CallOptions } from '../client/call.ts';
import { DureError, invalid } from '../client/errors.ts';
import type { Prefix, RawVersions, ScanPage, WriteWords } from '../client/operations.ts';
import type { SpaceTally, Store } from '../client/store.ts';
import { deadlineMsMax } from '../client/within.ts';
import { type ByteString, byteString, bytesOf, utf8Bytes, utf8Text } from '../src/base/bytes.ts';
import { CodedError, type Outcome } from '../src/base/errors.ts';
import type { Policy } from '../src/coordinator/policy.ts';
import { policyFromText } from '../src/coordinator/policy-text.ts';
import type { NodeApi, RequestOptions } from '../src/node/api.ts';
import { REQUEST_DEFAULTS, UpdateError } from '../src/node/api.ts';
import { BODY_TOMBSTONE, KIND_STRING, type Row, type RowBody, rowKind, rowValue } from '../src/rows/row.ts';
import { type Attempt, type CallHost, errorOf, LocalCall } from './local-call.ts';

/** Counts since the node was made, of the calls of the application. */
export interface NodeMetrics {
  /** Calls that became a request to the node: all that were not answered at once. */
  readonly requests: number;
  /** Gets and peeks that were answered from the replica in this process, at once. */
  readonly localReads: number;
  readonly failures: number;
  readonly retries: number;
  /** Repetitions that were wanted and not made, because the budget was used up. */
  readonly retriesRefused: number;
  /** Siblings that were merged and written back, and writings back that failed. */
  readonly mergesWritten: number;
  readonly mergesFailed: number;
  readonly callsUnderWay: number;
}

export interface LocalStoreOptions {
  readonly deadlineMs: number;
  readonly callsMax: number;
  readonly retryBudget: RetryBudgetOptions;
  /** What the node gives a request that has no deadline of its own, milliseconds. */
  readonly requestTimeoutMs: number;
}

/** Consistencies that calls may say before the oldest is worked out anew. */
const policiesMax = 64;
const pageKeysMax = 10_000;
/** Gets, after which the event loop is let go round. */
const readsInARowMax = 1024;
/** Wall time from which on a value is gone, milliseconds: no row can say more (48 bits). */
const expireAtMax = 2 ** 48 - 1;
const wrongType = 'the key holds a value of another kind';

class Tally implements SpaceTally {
  requests = 0;
  localReads = 0;
  failures = 0;
  retries = 0;
  retriesRefused = 0;
  nearHits = 0;
  nearMisses = 0;
  nearShared = 0;
  mergesWritten = 0;
  mergesFailed = 0;
}

export class LocalStore implements Store, CallHost {
  readonly deadlineMs: number;
  readonly requestTimeoutMs: number;
  readonly tally: Tally = new Tally();
  readonly #node: NodeApi;
  readonly #options: LocalStoreOptions;
  readonly #budget: RetryBudget;
  readonly #calls: Set<LocalCall<unknown>> = new Set();
  readonly #requests: Map<string, RequestOptions> = new Map();
  #prefixLast: Prefix = [];
  #requestLast: RequestOptions = REQUEST_DEFAULTS;
  #readsInARow = 0;
  #failure: string | undefined;
  #closed = false;
  /** Told once when the last call under way has ended. */
  #idle: (() => void) | undefined;

  constructor(node: NodeApi, options: LocalStoreOptions) {
    this.#node = node;
    this.#options = options;
    this.deadlineMs = options.deadlineMs;
    this.requestTimeoutMs = options.requestTimeoutMs;
    this.#budget = new RetryBudget(options.retryBudget);
  }

  get metrics(): NodeMetrics {
    const { nearHits: _, nearMisses: _misses, nearShared: _shared, ...counts } = this.tally;
    return { ...counts, callsUnderWay: this.#calls.size };
  }

  isStrict(key: string): boolean {
    return this.#node.policyOf(keyOf(key)).strict;
  }

  async get(prefix: Prefix, key: string, options: CallOptions | undefined): Promise<Uint8Array | null> {
    this.#check('none', options);
    const bytes = keyOf(key);
    const request = this.#requestOf(prefix);
    if (++this.#readsInARow > readsInARowMax) await this.#giveWay();
    const now = this.#readNow(bytes, request);
    if (now !== undefined) return now;
    return this.#call(
      reading<Uint8Array | null>((timeoutMs, done) => {
        this.#node.read(bytes, within(request, timeoutMs), (error, row) => {
          if (error !== undefined) done(error, null);
          else if (row !== undefined && rowKind(row) !== KIND_STRING) done(kindError('none'), null);
          else done(undefined, row === undefined ? null : rowValue(row));
        });
      }),
      options,
    );
  }

  /** Lets the event loop go round: reads that are answered at once never do, and the node must hear of its peers. */
  async #giveWay(): Promise<void> {
    this.#readsInARow = 0;
    await turn();
  }

  /**
   * What the replica here says alone, as a read with R=1: the value, or null for none. Undefined when it cannot tell.
   * @throws DureError when the node is closed or failed
   */
  peek(prefix: Prefix, key: string): Uint8Array | null | undefined {
    this.#check('none', undefined);
    return this.#readNow(keyOf(key), this.#requestOf(prefix));
  }

  #readNow(key: ByteString, request: RequestOptions): Uint8Array | null | undefined {
    const row: Row | null | undefined = this.#node.readNow(key, request);
    if (row === undefined || (row !== null && rowKind(row) !== KIND_STRING)) return undefined;
    this.tally.localReads += 1;
    return row === null ? null : rowValue(row);
  }

  async getVersions(prefix: Prefix, key: string, options: CallOptions | undefined): Promise<RawVersions> {
    this.#check('none', options);
    const bytes = keyOf(key);
    const request = this.#requestOf(prefix);
    return this.#call(
      reading<RawVersions>((timeoutMs, done) => {
        this.#node.readVersions(bytes, within(request, timeoutMs), (error, read) => {
          if (error !== undefined || read === undefined) done(error, noVersions);
          else if (read.versions.some(({ kind }) => kind !== KIND_STRING))
            done(kindError('none'), noVersions);
          else done(undefined, { values: read.versions.map(({ value }) => value), context: read.context });
        });
      }),
      options,
    );
  }

  async put(
    prefix: Prefix,
    key: string,
    value: Uint8Array,
    { context, ttlMs, isRepeatable }: WriteWords,
    options: CallOptions | undefined,
  ): Promise<void> {
    const expireAt = ttlMs === undefined ? 0 : Math.min(this.#node.wall() + ttlMs, expireAtMax);
    const body: RowBody = { kind: KIND_STRING, value, expireAt };
    return this.#write(prefix, key, body, context, isRepeatable, options);
  }

  /** Without a context what its coordinator sees is deleted, as by DEL; with one, what that has seen. */
  async delete(
    prefix: Prefix,
    key: string,
    { context, isRepeatable }: Omit<WriteWords, 'ttlMs'>,
    options: CallOptions | undefined,
  ): Promise<void> {
    if (context !== undefined) {
      return this.#write(prefix, key, BODY_TOMBSTONE, context, isRepeatable, options);
    }
    this.#check('fail', options);
    const bytes = keyOf(key);
    const request = this.#requestOf(prefix);
    return this.#call(
      writing(isRepeatable, (timeoutMs, done) => {
        this.#node.update(bytes, 'del', [], within(request, timeoutMs), (error, reply) => {
          done(error ?? (reply instanceof UpdateError ? kindError('fail') : undefined));
        });
      }),
      options,
    );
  }

  async #write(
    prefix: Prefix,
    key: string,
    body: RowBody,
    context: Uint8Array | undefined,
    isRepeatable: boolean,
    options: CallOptions | undefined,
  ): Promise<void> {
    this.#check('fail', options);
    const bytes = keyOf(key);
    const plain = this.#requestOf(prefix);
    const request = context === undefined ? plain : { ...plain, context };
    return this.#call(
      writing(isRepeatable, (timeoutMs, done) => {
        this.#node.write(bytes, body, within(request, timeoutMs), (error) => done(error));
      }),
      options,
    );
  }

  async scan(
    cursor: string,
    keyPrefix: string,
    count: number,
    options: CallOptions | undefined,
  ): Promise<ScanPage> {
    this.#check('none', options);
    const prefix = keyOf(keyPrefix);
    return this.#call(
      reading<ScanPage>((timeoutMs, done) => {
        const request = within(REQUEST_DEFAULTS, timeoutMs);
        this.#node.scan(Number(cursor), Math.min(count, pageKeysMax), request, (error, page) => {
          if (error !== undefined || page === undefined) {
            done(error, lastPage);
            return;
          }
          const keys: string[] = [];
          for (const { key } of page.entries) if (key.startsWith(prefix)) keys.push(utf8Text(bytesOf(key)));
          done(undefined, { cursor: String(page.cursor), keys });
        });
      }),
      options,
    );
  }

  /** Storage failed: nothing can be asked any more. */
  fail(reason: string): void {
    this.#failure ??= reason;
    for (const call of this.#calls) call.end();
  }

  /** Refuses new calls, and waits until those under way have ended, at most so long. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    if (this.#calls.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, graceMs);
    this.#idle = resolve;
    await promise;
    clearTimeout(timer);
  }

  /** Gives up what is still under way after `close`. */
  endCalls(): void {
    for (const call of this.#calls) call.end();
  }

  gone(outcome: Outcome): DureError | undefined {
    const advice = outcome === 'unknown' ? '; the write may or may not be applied; read the key to know' : '';
    if (this.#failure !== undefined) {
      const message = `the storage of this node failed: ${this.#failure}${advice}`;
      return new DureError('storage-failed', outcome, false, message);
    }
    return this.#closed ? new DureError('closed', outcome, false, `the node is closed${advice}`) : undefined;
  }

  mayRepeat(attempts: number): boolean {
    if (attempts < this.#budget.attemptsMax && this.#budget.withdraw()) {
      this.tally.retries += 1;
      return true;
    }
    this.tally.retriesRefused += 1;
    return false;
  }

  settled(call: LocalCall<unknown>, failed: boolean): void {
    if (failed) this.tally.failures += 1;
    this.#calls.delete(call);
    if (this.#calls.size === 0) this.#idle?.();
  }

  /** @throws DureError for a call that cannot begin */
  #check(outcome: Outcome, options: CallOptions | undefined): void {
    if (this.#failure !== undefined || this.#closed) throw this.gone(outcome)!;
    if (options === undefined) return;
    const { signal, deadlineMs } = options;
    if (signal?.aborted === true) {
      throw new DureError('aborted', outcome, false, 'the call was aborted before it began', signal.reason);
    }
    if (deadlineMs === undefined) return;
    if (typeof deadlineMs !== 'number' || !(deadlineMs <= deadlineMsMax)) {
      throw invalid(`deadlineMs is a number of milliseconds up to ${deadlineMsMax}`);
    }
    if (deadlineMs > 0) return;
    const message = 'the deadline of the call passed before anything was done';
    throw new DureError('deadline-exceeded', outcome, true, message);
  }

  #call<T>(attempt: Attempt<T>, options: CallOptions | undefined): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#calls.size >= this.#options.callsMax) {
        const message = `${this.#calls.size} calls are under way; nothing was done; try again later`;
        reject(new DureError('overloaded', attempt.isWrite ? 'fail' : 'none', true, message));
        return;
      }
      const deadlineMs = options?.deadlineMs ?? this.deadlineMs;
      const call = new LocalCall(attempt, this, deadlineMs, options?.signal, resolve, reject);
      this.tally.requests += 1;
      this.#budget.deposit();
      this.#calls.add(call as LocalCall<unknown>);
      call.begin();
    });
  }

  /** A consistency in words as the node takes it; the same words give the same object, so that reads can share. */
  #requestOf(prefix: Prefix): RequestOptions {
    if (prefix.length === 0) return REQUEST_DEFAULTS;
    // Most say the same again: a space has one, and so has peek.
    if (prefix === this.#prefixLast) return this.#requestLast;
    const text = prefix.join(' ');
    let request = this.#requests.get(text);
    if (request === undefined) {
      request = { policy: this.#policyOf(text) };
      if (this.#requests.size >= policiesMax) this.#requests.delete(this.#requests.keys().next().value!);
      this.#requests.set(text, request);
    }
    this.#prefixLast = prefix;
    this.#requestLast = request;
    return request;
  }

  #policyOf(text: string): Policy {
    try {
      return policyFromText(text, this.#node.replicas);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      throw errorOf(error, 'none', false);
    }
  }
}

const noVersions: RawVersions = { values: [], context: new Uint8Array(0) };
const lastPage: ScanPage = { cursor: '0', keys: [] };

function reading<T>(run: Attempt<T>['run']): Attempt<T> {
  return { isWrite: false, isRepeatable: true, run };
}

function writing(
  isRepeatable: boolean,
  run: (timeoutMs: number | undefined, done: (error: Error | undefined) => void) => void,
): Attempt<void> {
  return {
    isWrite: true,
    isRepeatable,
    run: (timeoutMs, done) => run(timeoutMs, (error) => done(error, undefined)),
  };
}

function within(request: RequestOptions, timeoutMs: number | undefined): RequestOptions {
  return timeoutMs === undefined ? request : { ...request, timeoutMs };
}

function kindError(outcome: Outcome): DureError {
  return new DureError('WRONGTYPE', outcome, false, wrongType);
}

/** A key as the node knows it: its bytes in UTF-8. Text of plain letters is its own byte string. */
function keyOf(key: string): ByteString {
  for (let i = 0; i < key.length; i++) if (key.charCodeAt(i) > 0x7f) return byteString(utf8Bytes(key));
  return key;
}
