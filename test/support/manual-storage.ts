/**
 * A storage whose completions the test gives by hand: the picture is a clerk who files a tray only when
 * told to, and may be told to refuse. A batch is applied when it is completed, not before, so what was
 * not completed is exactly what a crash loses.
 */

import assert from 'node:assert/strict';
import type { ByteString } from '../../src/base/bytes.ts';
import type { CodedError } from '../../src/base/errors.ts';
import type {
  Durability,
  RangeQuery,
  Storage,
  StorageEntry,
  StorageFigures,
  StorageWrite,
} from '../../src/ports/storage.ts';

interface PendingBatch {
  readonly batch: readonly StorageWrite[];
  readonly done: (error?: CodedError) => void;
}

export class ManualStorage implements Storage {
  readonly engine = 'manual';
  readonly durable = true;
  evicts = false;
  /** What is stored for good. */
  readonly entries: Map<ByteString, Uint8Array> = new Map();
  /** Batches handed in and not completed. */
  readonly pending: PendingBatch[] = [];
  /** Complete each batch before `write` returns. */
  automatic: boolean;
  /** The answer to the batches to come, in automatic mode. */
  writeError: CodedError | undefined = undefined;
  /** What `get` throws. */
  getError: CodedError | undefined = undefined;
  /** What `range` answers. */
  rangeError: CodedError | undefined = undefined;
  /** What the engine knows to be lost. */
  loss: string | undefined = undefined;
  commits = 0;
  /** The keys in order, made when a range asks for them. */
  #sorted: ByteString[] = [];
  #sortedAt = -1;
  /** Most batches that were ever under way at once. */
  pendingMax = 0;

  constructor(automatic: boolean, entries?: ReadonlyMap<ByteString, Uint8Array>) {
    this.automatic = automatic;
    for (const [key, value] of entries ?? []) this.entries.set(key, value);
  }

  get(key: ByteString): Uint8Array | undefined {
    if (this.getError !== undefined) throw this.getError;
    return this.entries.get(key);
  }

  write(batch: readonly StorageWrite[], _durability: Durability, done: (error?: CodedError) => void): void {
    assert.ok(batch.length > 0, 'an empty batch is not worth a commit');
    this.pending.push({ batch: [...batch], done });
    this.pendingMax = Math.max(this.pendingMax, this.pending.length);
    if (this.automatic) this.complete(this.writeError);
  }

  /** Completes the oldest batch: it is applied, or refused with `error`. */
  complete(error?: CodedError): void {
    const next = this.pending.shift();
    assert.ok(next !== undefined, 'a batch is under way');
    if (error === undefined) {
      this.commits++;
      for (const { key, value } of next.batch) {
        // The engine keeps neither the key nor the bytes.
        if (value === undefined) this.entries.delete(key);
        else this.entries.set(key, new Uint8Array(value));
      }
    }
    next.done(error);
  }

  range(
    query: RangeQuery,
    done: (error: CodedError | undefined, entries: readonly StorageEntry[]) => void,
  ): void {
    if (this.rangeError !== undefined) {
      done(this.rangeError, []);
      return;
    }
    const found: StorageEntry[] = [];
    if (this.#sortedAt !== this.commits || this.#sorted.length !== this.entries.size) {
      this.#sorted = [...this.entries.keys()].sort();
      this.#sortedAt = this.commits;
    }
    for (const key of this.#sorted) {
      if (key < query.from || key >= query.to) continue;
      if (found.length === query.limit) break;
      found.push({ key, value: this.entries.get(key)! });
    }
    done(undefined, found);
  }

  figures(): StorageFigures {
    return { bytesMemory: 0, bytesDisk: 0, evictions: 0, commits: this.commits, syncs: this.commits };
  }

  lossNoted(): void {
    this.loss = undefined;
  }

  close(done: (error?: CodedError) => void): void {
    done();
  }
}
