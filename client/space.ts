/**
 * A space: the keys with one prefix, with the codec, the resolver and the consistency that belong to them.
 * The client itself is the space of the empty prefix.
 *
 * The picture: a labelled drawer. Who opens it need not say each time what is in it and how it is kept.
 */

import type { Operation } from './call.ts';
import type { Codec } from './codec.ts';
import { type Consistency, consistencyWords } from './consistency.ts';
import type { CallOptions, Engine } from './engine.ts';
import { DureError, invalid } from './errors.ts';
import type { NearCache } from './near-cache.ts';
import {
  type Context,
  deleteOperation,
  getOperation,
  getVersionsOperation,
  type Prefix,
  prefixPattern,
  putOperation,
  type RawVersions,
  scanOperation,
} from './operations.ts';
import { OwnLimitError, within } from './within.ts';

/** Makes one value of several that were written concurrently (two at least). It must not lose any of them. */
export type Resolver<T> = (values: readonly T[]) => T;

/** How a space keeps its values. */
export interface SpaceOptions<T> {
  readonly codec: Codec<T>;
  /** Used by each `get` and `update` of the space that brings none of its own. */
  readonly merge?: Resolver<T> | undefined;
  /** Of every operation on a key that brings none of its own. Default: the policy of the cluster. */
  readonly consistency?: Consistency | undefined;
  /** Whether a put or delete is sent again when it is unknown whether it was applied. Default true. */
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
  /** The value is gone after so many milliseconds. */
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

export class Space<T> {
  /** Before each key of the space. */
  readonly prefix: string;
  readonly #engine: Engine;
  readonly #near: NearCache | undefined;
  readonly #codec: Codec<T>;
  readonly #merge: Resolver<T> | undefined;
  readonly #words: Prefix;
  readonly #repeatWrites: boolean;

  constructor(engine: Engine, near: NearCache | undefined, prefix: string, options: SpaceOptions<T>) {
    this.#engine = engine;
    this.#near = near;
    this.prefix = prefix;
    this.#codec = options.codec;
    this.#merge = options.merge;
    this.#words = options.consistency === undefined ? noPrefix : consistencyWords(options.consistency);
    this.#repeatWrites = options.repeatWrites ?? true;
  }

  /**
   * The value of a key; undefined if it has none. With a resolver, several values are merged to one, which
   * is written back in their place; that this write fails does not fail the get.
   *
   * @throws DureError `SIBLINGS` for several values without a resolver (as the policy has it)
   */
  async get(key: string, options?: GetOptions<T>): Promise<T | undefined> {
    const full = this.#full(key);
    const near = options?.fresh === true || options?.consistency !== undefined ? undefined : this.#near;
    const noted = near?.get(full);
    if (noted !== undefined) {
      this.#engine.tally.nearHits += 1;
      return this.#decode(noted);
    }
    const merge = options?.merge ?? this.#merge;
    if (merge !== undefined) return this.#getMerged(full, merge, options, near);
    const operation = getOperation(this.#prefixOf(options), full);
    if (near === undefined) return this.#decode(await this.#engine.call(operation, options));
    return this.#decode(await this.#getNear(near, full, operation, options));
  }

  /** Sets the value of a key. Without a context it replaces whatever is there (policy `siblings`: nothing). */
  put(key: string, value: T, options?: PutOptions): Promise<void> {
    return this.#write(key, options, (full, prefix, isRepeatable) =>
      putOperation(prefix, full, this.#encode(value), {
        context: options?.context,
        ttlMs: options?.ttlMs,
        isRepeatable,
      }),
    );
  }

  /** Removes the value of a key, if it has one. */
  delete(key: string, options?: WriteOptions): Promise<void> {
    return this.#write(key, options, (full, prefix, isRepeatable) =>
      deleteOperation(prefix, full, { context: options?.context, isRepeatable }),
    );
  }

  /** All values of a key, and the context to replace them by one. Goes past the near cache. */
  async getVersions(key: string, options?: VersionsOptions): Promise<Versions<T>> {
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
    const full = this.#full(key);
    const { values, context } = await this.#rawVersions(full, options);
    const value = change(this.#merged(full, values, options?.merge ?? this.#merge));
    await this.put(key, value, { ...options, context });
    return value;
  }

  /**
   * Several operations in one go, each to the replica of its key, and each with a result of its own: a batch
   * is not atomic.
   */
  batch(operations: readonly BatchOperation<T>[], options?: BatchOptions): Promise<BatchResult<T>[]> {
    return Promise.all(
      operations.map(async (operation): Promise<BatchResult<T>> => {
        try {
          return { ok: true, value: await this.#runOne(operation, options) };
        } catch (error) {
          if (error instanceof DureError) return { ok: false, error };
          throw error;
        }
      }),
    );
  }

  async #runOne(operation: BatchOperation<T>, options: BatchOptions | undefined): Promise<T | undefined> {
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
    const { count = 1000, prefix = '' } = options;
    if (!Number.isSafeInteger(count) || count < 1) throw invalid('count is a whole number above 0');
    const pattern = prefixPattern(this.prefix + prefix);
    let cursor = '0';
    do {
      const page = await this.#engine.call(scanOperation(cursor, pattern, count), options);
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

  #rawVersions(full: string, options: VersionsOptions | undefined): Promise<RawVersions> {
    return this.#engine.call(getVersionsOperation(this.#prefixOf(options), full), options);
  }

  async #getMerged(
    full: string,
    merge: Resolver<T>,
    options: GetOptions<T> | undefined,
    near: NearCache | undefined,
  ): Promise<T | undefined> {
    if (near !== undefined) this.#engine.tally.nearMisses += 1;
    const asking = near?.begin(full);
    let raw: RawVersions | undefined;
    try {
      raw = await this.#rawVersions(full, options);
    } finally {
      // Several values are not kept: they are about to be replaced.
      const single = raw === undefined || raw.values.length > 1 ? undefined : (raw.values[0] ?? null);
      if (asking !== undefined) near!.finish(asking, single);
    }
    const { values, context } = raw;
    const value = this.#merged(full, values, merge);
    if (values.length > 1) await this.#writeBack(full, value!, context, options);
    return value;
  }

  #merged(full: string, values: readonly Uint8Array[], merge: Resolver<T> | undefined): T | undefined {
    if (values.length <= 1) return this.#decode(values[0] ?? null);
    if (merge === undefined) {
      const message = `${full} has ${values.length} values, written concurrently: give \`merge\`, or use getVersions`;
      throw new DureError('SIBLINGS', 'none', false, message);
    }
    return merge(values.map((value) => this.#decode(value)!));
  }

  async #writeBack(
    full: string,
    value: T,
    context: Context,
    options: GetOptions<T> | undefined,
  ): Promise<void> {
    const { tally } = this.#engine;
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
    operation: Operation<Uint8Array | null>,
    options: GetOptions<T> | undefined,
  ): Promise<Uint8Array | null> {
    const { tally } = this.#engine;
    const shared = near.shared(full);
    if (shared !== undefined) {
      tally.nearShared += 1;
      const startedAt = performance.now();
      const deadlineMs = options?.deadlineMs ?? this.#engine.deadlineMs;
      try {
        return await within(shared, deadlineMs, options?.signal);
      } catch (error) {
        if (error instanceof OwnLimitError) throw error;
        // It failed for the one who asked, by a deadline or a signal of his: that says nothing to us.
        const leftMs = Math.max(0, deadlineMs - (performance.now() - startedAt));
        return this.#getNear(near, full, operation, { ...options, deadlineMs: leftMs });
      }
    }
    tally.nearMisses += 1;
    const asking = near.begin(full, () => this.#engine.call(operation, options));
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
    operationOf: (full: string, prefix: Prefix, isRepeatable: boolean) => Operation<void>,
  ): Promise<void> {
    const full = this.#full(key);
    const operation = operationOf(full, this.#prefixOf(options), options?.repeat ?? this.#repeatWrites);
    this.#near?.invalidate(full);
    try {
      await this.#engine.call(operation, options);
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
