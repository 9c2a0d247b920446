/**
 * The storage port: an ordered map of byte strings to bytes, with atomic batches.
 *
 * The picture: a drawer cabinet that answers at once when asked for one thing (`get`), takes whole
 * trays of changes and says later that they are safe (`write`), and lists a stretch of drawers in
 * pages (`range`). Every engine behind it, real or simulated, passes the same conformance suite
 * (`test/conformance/storage.ts`).
 *
 * Completions (`done`) come on a later turn or, for an engine that has nothing to wait for, before
 * `write` returns; a caller must bear both.
 */

import type { ByteString } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';

/**
 * How safe a batch is when `done` is called.
 * - `always`: on stable storage (fsync, shared by everything in the batch). Survives power loss.
 * - `interval`: handed to the operating system; fsync follows within the engine's interval. Survives
 *   `kill -9`, not a power loss within the interval.
 */
export type Durability = 'always' | 'interval';

/**
 * One change: `value` undefined deletes the key. The bytes must not change before `done` is called; the
 * engine keeps no hold on them after it.
 */
export interface StorageWrite {
  readonly key: ByteString;
  readonly value: Uint8Array | undefined;
}

export interface StorageEntry {
  readonly key: ByteString;
  readonly value: Uint8Array;
}

export interface RangeQuery {
  /** First key, included. */
  readonly from: ByteString;
  /** End, excluded. */
  readonly to: ByteString;
  /** At most this many entries (1 to 10,000). */
  readonly limit: number;
}

/** Figures an engine tells about itself, for INFO and metrics. Bytes and counts since start. */
export interface StorageFigures {
  /** Bytes of keys and values held in memory by the engine. */
  readonly bytesMemory: number;
  /** Bytes on disk, 0 for a memory engine. Approximate. */
  readonly bytesDisk: number;
  /** Rows evicted to stay below `memoryBytesMax`. */
  readonly evictions: number;
  /** Batches committed, and fsyncs among them. */
  readonly commits: number;
  readonly syncs: number;
  /** Whether writes are refused for want of space now; left out by an engine that cannot be full. */
  readonly full?: boolean;
}

export interface Storage {
  /** Name of the engine, for INFO: `memory`, `classic-level`, … */
  readonly engine: string;
  /** Whether data outlives the process. */
  readonly durable: boolean;
  /** Whether it drops rows by itself to stay below a bound: a cache. Left out by one that never does. */
  readonly evicts?: boolean;
  /**
   * Why the engine cannot vouch that it still holds all it acknowledged, in words; left out when it can.
   * It says so at each opening until `lossNoted`.
   */
  readonly loss?: string | undefined;
  /** The loss is written down elsewhere, durably: the next opening need not tell of it. */
  lossNoted?(): void;
  /**
   * Set by the node; called when the engine opened its files anew while it ran (a disk that was full has
   * room again): batches that were refused may be there after all.
   */
  onReopened?: (() => void) | undefined;
  /**
   * The value of `key`, or undefined. Sees every batch whose `done` was called; may or may not see
   * one that is still under way. The bytes belong to the caller only for reading.
   * @throws CodedError `corrupt` or `storage-failed` when the engine cannot vouch for the answer.
   */
  get(key: ByteString): Uint8Array | undefined;
  /** Applies all of `batch` or nothing. Batches are applied in the order they are handed in. */
  write(batch: readonly StorageWrite[], durability: Durability, done: (error?: CodedError) => void): void;
  /** Entries of a stretch of keys, in byte order. Sees every batch handed in before the call. */
  range(
    query: RangeQuery,
    done: (error: CodedError | undefined, entries: readonly StorageEntry[]) => void,
  ): void;
  figures(): StorageFigures;
  /** Waits for what is under way, makes it durable, and closes. Nothing may be called after it. */
  close(done: (error?: CodedError) => void): void;
}

/**
 * Optional face of an engine that may drop rows to bound its memory (a cache): it then tells how a
 * row was used, for `OBJECT FREQ` and `OBJECT IDLETIME`.
 */
export interface StorageUsage {
  /** Seconds since the row was last read or written, or undefined when it is not there. */
  idleSeconds(key: ByteString): number | undefined;
  /** Logarithmic access counter as in Redis (0 to 255), or undefined when it is not there. */
  frequency(key: ByteString): number | undefined;
}
