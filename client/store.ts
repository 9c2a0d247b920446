/**
 * What a space of keys stands on: the operations on one key and on pages of keys, in bytes. There are two: the
 * client's (`remote-store.ts`), which sends them to a cluster, and that of an embedded node (`embed/`), which is
 * itself a member. A program that uses a `Space` need not know which.
 */

import type { CallOptions } from './call.ts';
import type { Prefix, RawVersions, ScanPage, WriteWords } from './operations.ts';

/** Counts that a space makes itself. */
export interface SpaceTally {
  nearHits: number;
  nearMisses: number;
  nearShared: number;
  mergesWritten: number;
  mergesFailed: number;
}

/**
 * Keys are whole, with the prefix of the space. `prefix` is the consistency in words (`consistencyWords`), empty for
 * the policy of the key. Every promise is rejected with a `DureError`, and with nothing else.
 */
export interface Store {
  /** Of a call that brings none of its own, milliseconds. */
  readonly deadlineMs: number;
  readonly tally: SpaceTally;
  /** Whether the policy of a key is a strict one, where the store knows. */
  isStrict?(key: string): boolean;
  /** The value of a key, or null. The bytes belong to the store: they are good until the next turn. */
  get(prefix: Prefix, key: string, options: CallOptions | undefined): Promise<Uint8Array | null>;
  getVersions(prefix: Prefix, key: string, options: CallOptions | undefined): Promise<RawVersions>;
  put(
    prefix: Prefix,
    key: string,
    value: Uint8Array,
    words: WriteWords,
    options: CallOptions | undefined,
  ): Promise<void>;
  delete(
    prefix: Prefix,
    key: string,
    words: Omit<WriteWords, 'ttlMs'>,
    options: CallOptions | undefined,
  ): Promise<void>;
  /** A page of the keys that begin with `keyPrefix`, from cursor `0` until it comes back `0`. */
  scan(cursor: string, keyPrefix: string, count: number, options: CallOptions | undefined): Promise<ScanPage>;
}
