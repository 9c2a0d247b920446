/** The store of a client: each operation becomes a command, and the engine finds a node for it. */

import type { CallOptions } from './call.ts';
import type { Engine } from './engine.ts';
import type { Tally } from './metrics.ts';
import {
  deleteOperation,
  getOperation,
  getVersionsOperation,
  type Prefix,
  prefixPattern,
  putOperation,
  type RawVersions,
  type ScanPage,
  scanOperation,
  type WriteWords,
} from './operations.ts';
import type { Store } from './store.ts';

export class RemoteStore implements Store {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get deadlineMs(): number {
    return this.#engine.deadlineMs;
  }

  get tally(): Tally {
    return this.#engine.tally;
  }

  isStrict(key: string): boolean {
    return this.#engine.isStrict(key);
  }

  get(prefix: Prefix, key: string, options: CallOptions | undefined): Promise<Uint8Array | null> {
    return this.#engine.call(getOperation(prefix, key), options);
  }

  getVersions(prefix: Prefix, key: string, options: CallOptions | undefined): Promise<RawVersions> {
    return this.#engine.call(getVersionsOperation(prefix, key), options);
  }

  put(
    prefix: Prefix,
    key: string,
    value: Uint8Array,
    words: WriteWords,
    options: CallOptions | undefined,
  ): Promise<void> {
    return this.#engine.call(putOperation(prefix, key, value, words), options);
  }

  delete(
    prefix: Prefix,
    key: string,
    words: Omit<WriteWords, 'ttlMs'>,
    options: CallOptions | undefined,
  ): Promise<void> {
    return this.#engine.call(deleteOperation(prefix, key, words), options);
  }

  scan(
    cursor: string,
    keyPrefix: string,
    count: number,
    options: CallOptions | undefined,
  ): Promise<ScanPage> {
    return this.#engine.call(scanOperation(cursor, prefixPattern(keyPrefix), count), options);
  }
}
