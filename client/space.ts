/**
 * A space: the keys with one prefix, with the codec, the resolver and the consistency that belong to them.
 * The client itself is the space of the empty prefix.
 *
 * The picture: a labelled drawer. Who opens it need not say each time what is in it and how it is kept.
 */

import type { CallOptions } from './call.ts';
import type { Codec } from './codec.ts';
import { type Consistency, consistencyWords, isStrict } from './consistency.ts';
import { DureError, invalid } from './errors.ts';
import { CALL_NAMES, checkNames, LINE_NAMES, SCAN_NAMES } from './names.ts';
import type { NearCache } from './near-cache.ts';
import { type Context, checkTtl, type Prefix, type RawVersions } from './operations.ts';
import type { Store } from './store.ts';
import { OwnLimitError, shared, within } from './within.ts';

/** Makes one value of several that were written concurrently (two at least). It must not lose any of them. */
export type Resolver<T> = (values: readonly T[]) => T;

/** How a space keeps its values. */
export interface SpaceOptions<T> {
  readonly codec: Codec<T>;
  /** Used by each `get` and `update` of the space that brings none of its own. */
  readonly merge?: Resolver<T> | undefined;
  /** Of every operation on a key that brings none of its own. Default: the policy of the cluster. */
  readonly consistency?: Consistency | undefined;
  /** Of each value written that brings none of its own, merged ones included. Default: that of the policy. */
  readonly ttlMs?: number | undefined;
  /**
   * Whether a put or delete is sent again when it is unknown whether it was applied. Default: yes, unless it is
   * under a strict consistency (docs/decisions/0015-client-repeats.md).
   */
  readonly repeatWrites?: boolean | undefined;
}

export interface GetOptions<T> extends CallOptions {
  readonly merge?: Resolver<T> | undefined;
  /** Goes past the near cache. */
  readonly consistency?: Consistency | undefined;
  /** Goes past the near cache. */
  readonly fresh?: boolean | undefined;
}

export interface WriteOptions extends CallOptions {
  readonly consistency?: Consistency | undefined;
  /** From `getVersions`: replaces what that read has seen, and nothing else. */
  readonly context?: Context | undefined;
  /** Whether it is sent again when it is unknown whether it was applied. Default: that of the space. */
  readonly repeat?: boolean | undefined;
}

export interface PutOptions extends WriteOptions {
  /** The value is gone after so many milliseconds. Default: that of the space. */
  readonly ttlMs?: number | undefined;
}

export interface UpdateOptions<T> extends CallOptions {
  readonly merge?: Resolver<T> | undefined;
  readonly consistency?: Consistency | undefined;
  readonly ttlMs?: number | undefined;
  readonly repeat?: boolean | undefined;
}

export interface VersionsOptions extends CallOptions {
  readonly consistency?: Consistency | undefined;
}

/** All values of a key: none, one, or several that were written concurrently. */
export interface Versions<T> {
  readonly values: readonly T[];
  readonly context: Context;
}

export interface ScanOptions extends CallOptions {
  /** After the prefix of the space. Default: all keys of it. */
  readonly prefix?: string | undefined;
  /** Keys looked at for a page. Default 1000. */
  readonly count?: number | undefined;
}

/** One line of a batch. */
export type BatchOperation<T> =
  | { readonly get: string }
  | { readonly put: string; readonly value: T; readonly ttlMs?: number; readonly context?: Context }
  | { readonly delete: string; readonly context?: Context };

/** What became of one line of a batch; `value` is that of a get. */
export type BatchResult<T> =
  | { readonly ok: true; readonly value: T | undefined }
  | { readonly ok: false; readonly error: DureError };

export interface BatchOptions extends CallOptions {
  readonly consistency?: Consistency | undefined;
}

const noPrefix: Prefix = [];
/** Operations of one batch under way at once. */
const batchWindow = 1024;

export class Space<T> {
  /** Before each key of the space. */
  readonly prefix: string;
  readonly #store: Store;
  readonly #near: NearCache | undefined;
  readonly #codec: Codec<T>;
  readonly #merge: Resolver<T> | undefined;
  readonly #words: Prefix;
  readonly #ttlMs: number | undefined;
  readonly #repeatWrites: boolean | undefined;
  /** Undefined: the policy of the key says. */
  readonly #isStrict: boolean | undefined;

  /** @param consistency of the store, where the options say nothing of it, if that is known */
  constructor(
    store: Store,
    near: NearCache | undefined,
    prefix: string,
    options: SpaceOptions<T>,
    consistency?: Consistency,
  ) {
    this.#store = store;
    this.#near = near;
    this.prefix = prefix;
    this.#codec = options.codec;
    this.#merge = options.merge;
    this.#words = options.consistency === undefined ? noPrefix : consistencyWords(options.consistency);
    this.#ttlMs = options.ttlMs;
    this.#repeatWrites = options.repeatWrites;
    const said = options.consistency ?? consistency;
    this.#isStrict = said === undefined ? undefined : isStrict(said);
  }

  /**
   * The value of a key; undefined if it has none. With a resolver, several values are merged to one, which
   * is written back in their place; that this write fails does not fail the get.
   *
   * @throws DureError `SIBLINGS` for several values without a resolver (as the policy has it)
   */
  async get(key: string, options?: GetOptions<T>): Promise<T | undefined> {
    checkNames(options, CALL_NAMES);
    const full = this.#full(key);
    const near = this.#nearFor(full, options);
    const noted = near?.get(full);
    if (noted !== undefined) {
      this.#store.tally.nearHits += 1;
      return this.#decode(noted);
    }
    const merge = options?.merge ?? this.#merge;
    if (merge !== undefined) return this.#getMerged(full, merge, options, near);
    const prefix = this.#prefixOf(options);
    if (near === undefined) return this.#decode(await this.#store.get(prefix, full, options));
    return this.#decode(await this.#getNear(near, full, prefix, options));
  }

  /** Sets the value of a key. Without a context it replaces whatever is there (policy `siblings`: nothing). */
  put(key: string, value: T, options?: PutOptions): Promise<void> {
    return this.#write(key, options, (full, prefix, isRepeatable) => {
      const context = options?.context;
      const ttlMs = options?.ttlMs ?? this.#ttlMs;
      checkTtl(ttlMs);
      return this.#store.put(prefix, full, this.#encode(value), { context, ttlMs, isRepeatable }, options);
    });
  }

  /** Removes the value of a key, if it has one. */
  delete(key: string, options?: WriteOptions): Promise<void> {
    return this.#write(key, options, (full, prefix, isRepeatable) =>
      this.#store.delete(prefix, full, { context: options?.context, isRepeatable }, options),
    );
  }

  /** All values of a key, and the context to replace them by one. Goes past the near cache. */
  async getVersions(key: string, options?: VersionsOptions): Promise<Versions<T>> {
    checkNames(options, CALL_NAMES);
    const raw = await this.#rawVersions(this.#full(key), options);
    return { values: raw.values.map((value) => this.#decode(value)!), context: raw.context };
  }

  /**
   * Reads a key, hands its value to `change` (several ones merged, none as undefined), and writes what that
   * gives in place of what was read. Two updates at once are both kept as siblings, if the policy of the
   * key is `siblings`; else the later one wins.
   *
   * @returns what was written
   */
  async update(key: string, change: (value: T | undefined) => T, options?: UpdateOptions<T>): Promise<T> {
    checkNames(options, CALL_NAMES);
    const full = this.#full(key);
    const limits = shared(options, this.#store.deadlineMs);
    const { values, context } = await this.#rawVersions(full, limits());
    const value = change(this.#merged(full, values, options?.merge ?? this.#merge));
    await this.put(key, value, { ...limits(), context });
    return value;
  }

  /**
   * Several operations in one go, each to the replica of its key, and each with a result of its own: a batch
   * is not atomic. The deadline is that of the whole. Two lines on one key are in no order.
   */
  async batch(operations: readonly BatchOperation<T>[], options?: BatchOptions): Promise<BatchResult<T>[]> {
    checkNames(options, CALL_NAMES);
    const limits = shared(options, this.#store.deadlineMs);
    const results: BatchResult<T>[] = new Array(operations.length);
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < operations.length) {
        const line = next++;
        results[line] = await this.#runOne(operations[line]!, limits());
      }
    };
    // A window, so that a large batch is neither refused nor in the way of other calls.
    await Promise.all(Array.from({ length: Math.min(batchWindow, operations.length) }, work));
    return results;
  }

  async #runOne(operation: BatchOperation<T>, options: BatchOptions): Promise<BatchResult<T>> {
    try {
      return { ok: true, value: await this.#runLine(operation, options) };
    } catch (error) {
      if (error instanceof DureError) return { ok: false, error };
      throw error;
    }
  }

  async #runLine(operation: BatchOperation<T>, options: BatchOptions): Promise<T | undefined> {
    checkNames(operation, LINE_NAMES);
    if ('get' in operation) return this.get(operation.get, options);
    if ('put' in operation) {
      const { put, value, ttlMs, context } = operation;
      await this.put(put, value, { ...options, ttlMs, context });
    } else await this.delete(operation.delete, { ...options, context: operation.context });
    return undefined;
  }

  /**
   * The keys of the space (without its prefix), a page at a time, in no order that means anything. A key
   * that is there all the while is met at least once. Keys are taken for UTF-8.
   */
  async *scan(options: ScanOptions = {}): AsyncGenerator<string, void, undefined> {
    checkNames(options, SCAN_NAMES);
    const { count = 1000, prefix = '' } = options;
    if (!Number.isSafeInteger(count) || count < 1) throw invalid('count is a whole number above 0');
    let cursor = '0';
    do {
      const page = await this.#store.scan(cursor, this.prefix + prefix, count, options);
      for (const key of page.keys) yield key.slice(this.prefix.length);
      cursor = page.cursor;
    } while (cursor !== '0');
  }

  #full(key: string): string {
    if (typeof key !== 'string') throw invalid('a key is a string');
    return this.prefix.length === 0 ? key : this.prefix + key;
  }

  #prefixOf(options: { readonly consistency?: Consistency | undefined } | undefined): Prefix {
    return options?.consistency === undefined ? this.#words : consistencyWords(options.consistency);
  }

  /** The near cache for a get, unless that asks for more than a note can promise. */
  #nearFor(full: string, options: GetOptions<T> | undefined): NearCache | undefined {
    if (this.#near === undefined || options?.fresh === true || options?.consistency !== undefined) return;
    return this.#isStrictFor(full, undefined) ? undefined : this.#near;
  }

  #isRepeatable(full: string, options: WriteOptions | undefined): boolean {
    return options?.repeat ?? this.#repeatWrites ?? !this.#isStrictFor(full, options?.consistency);
  }

  /** Whether an operation is under a strict consistency, as far as is known. */
  #isStrictFor(full: string, consistency: Consistency | undefined): boolean {
    if (consistency !== undefined) return isStrict(consistency);
    return this.#isStrict ?? this.#store.isStrict?.(full) ?? false;
  }

  #rawVersions(full: string, options: VersionsOptions | undefined): Promise<RawVersions> {
    return this.#store.getVersions(this.#prefixOf(options), full, options);
  }

  async #getMerged(
    full: string,
    merge: Resolver<T>,
    options: GetOptions<T> | undefined,
    near: NearCache | undefined,
  ): Promise<T | undefined> {
    if (near !== undefined) this.#store.tally.nearMisses += 1;
    const asking = near?.begin(full);
    const limits = shared(options, this.#store.deadlineMs);
    let raw: RawVersions | undefined;
    try {
      raw = await this.#rawVersions(full, limits());
    } finally {
      // Several values are not kept: they are about to be replaced.
      const single = raw === undefined || raw.values.length > 1 ? undefined : (raw.values[0] ?? null);
      if (asking !== undefined) near!.finish(asking, single);
    }
    const { values, context } = raw;
    const value = this.#merged(full, values, merge);
    if (values.length > 1) await this.#writeBack(full, value!, context, limits());
    return value;
  }

  #merged(full: string, values: readonly Uint8Array[], merge: Resolver<T> | undefined): T | undefined {
    if (values.length <= 1) return this.#decode(values[0] ?? null);
    if (merge === undefined) {
      const message = `${full} has ${values.length} values, written concurrently: give \`merge\`, or use getVersions`;
      throw new DureError('SIBLINGS', 'none', false, message);
    }
    const decoded = values.map((value) => this.#decode(value)!);
    try {
      return merge(decoded);
    } catch (error) {
      throw new DureError('merge', 'none', false, `the resolver failed on ${full}: ${error}`, error);
    }
  }

  async #writeBack(
    full: string,
    value: T,
    context: Context,
    options: GetOptions<T> | undefined,
  ): Promise<void> {
    const { tally } = this.#store;
    try {
      await this.put(full.slice(this.prefix.length), value, {
        signal: options?.signal,
        deadlineMs: options?.deadlineMs,
        consistency: options?.consistency,
        context,
      });
      tally.mergesWritten += 1;
    } catch (error) {
      if (!(error instanceof DureError)) throw error;
      // The siblings are still there, and the next reader merges them.
      tally.mergesFailed += 1;
    }
  }

  /** A get that others may share, and that leaves a note. */
  async #getNear(
    near: NearCache,
    full: string,
    prefix: Prefix,
    options: GetOptions<T> | undefined,
  ): Promise<Uint8Array | null> {
    const { tally } = this.#store;
    const flight = near.shared(full);
    if (flight !== undefined) {
      tally.nearShared += 1;
      const limits = shared(options, this.#store.deadlineMs);
      try {
        return await within(flight, limits().deadlineMs, options?.signal);
      } catch (error) {
        if (error instanceof OwnLimitError) throw error;
        // It failed for the one who asked, by a deadline or a signal of his: that says nothing to us.
        return this.#getNear(near, full, prefix, limits());
      }
    }
    tally.nearMisses += 1;
    const asking = near.begin(full, () => this.#store.get(prefix, full, options));
    let value: Uint8Array | null | undefined;
    try {
      value = await asking.answer!;
      return value;
    } finally {
      near.finish(asking, value);
    }
  }

  async #write(
    key: string,
    options: WriteOptions | undefined,
    write: (full: string, prefix: Prefix, isRepeatable: boolean) => Promise<void>,
  ): Promise<void> {
    checkNames(options, CALL_NAMES);
    const full = this.#full(key);
    this.#near?.invalidate(full);
    try {
      await write(full, this.#prefixOf(options), this.#isRepeatable(full, options));
    } finally {
      this.#near?.invalidate(full);
    }
  }

  #encode(value: T): Uint8Array {
    try {
      return this.#codec.encode(value);
    } catch (error) {
      throw new DureError('codec', 'fail', false, `the value cannot be encoded: ${error}`, error);
    }
  }

  #decode(bytes: Uint8Array | null): T | undefined {
    if (bytes === null) return undefined;
    try {
      return this.#codec.decode(bytes);
    } catch (error) {
      throw new DureError('codec', 'none', false, `the value cannot be decoded: ${error}`, error);
    }
  }
}
