/**
 * What waits to be committed: batches in the order they came, taken as one group for the next crossing.
 *
 * The picture: the quay of a ferry. Whoever came first boards first; the ferry takes so many bytes and no more;
 * if one of those on board must be across for sure, all of them are. A range stands in the queue as a batch of
 * no rows: its turn comes when everything before it is across.
 */

import type { CodedError } from '../base/errors.ts';
import type { Durability, StorageWrite } from '../ports/storage.ts';

/** A batch on the quay. `value` undefined deletes. */
export interface WaitingBatch {
  readonly rows: readonly StorageWrite[];
  readonly durability: Durability;
  readonly done: (error?: CodedError) => void;
}

/** What one commit carries. */
export interface CommitGroup {
  readonly batches: readonly WaitingBatch[];
  /** Keys and values, for `settled`. */
  readonly bytes: number;
  /** There is nothing to commit: only ranges stood in the queue. */
  readonly isEmpty: boolean;
  /** One of them asked for `always`. */
  readonly sync: boolean;
}

/** Rows one commit may carry: what waits beyond it goes with the next. */
const commitBytesMax = 16 * 1024 * 1024;

export class CommitQueue {
  #waiting: WaitingBatch[] = [];
  #sizes: number[] = [];
  /** Keys and values of all that wait or are under way. */
  bytes = 0;

  get length(): number {
    return this.#waiting.length;
  }

  push(batch: WaitingBatch): void {
    let bytes = 0;
    for (const { key, value } of batch.rows) bytes += key.length + (value?.length ?? 0);
    this.#waiting.push(batch);
    this.#sizes.push(bytes);
    this.bytes += bytes;
  }

  /** Takes what goes with the next commit: at least one batch, if any waits. */
  take(): CommitGroup {
    let count = 0;
    let bytes = 0;
    let rowCount = 0;
    let sync = false;
    while (count < this.#waiting.length && bytes < commitBytesMax) {
      const { rows, durability } = this.#waiting[count]!;
      bytes += this.#sizes[count]!;
      rowCount += rows.length;
      if (durability === 'always') sync = true;
      count++;
    }
    const batches = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    this.#sizes = this.#sizes.slice(count);
    return { batches, bytes, isEmpty: rowCount === 0 && !sync, sync };
  }

  /** A group is committed, or could not be. */
  settled(group: CommitGroup): void {
    this.bytes -= group.bytes;
  }

  /** Tells all that wait that they were not written. Ranges among them begin. */
  refuse(refusal: CodedError | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#sizes = [];
    this.bytes = 0;
    for (const { rows, done } of waiting) done(rows.length === 0 ? undefined : refusal);
  }
}
