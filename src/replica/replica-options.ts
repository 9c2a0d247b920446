/**
 * What a replica is made from, and whom it answers: the types of `replica.ts`.
 */

import type { CodedError } from '../base/errors.ts';
import type { Log } from '../ports/log.ts';
import type { Durability, Storage, StorageWrite } from '../ports/storage.ts';
import type { RowKey } from '../rows/key.ts';
import type { Row, Stamp } from '../rows/row.ts';

/**
 * Where a row to be merged comes from, which decides what is believed of an old one:
 * - `request`: a client's write, a hint, a read repair. Its message may be an hour late.
 * - `sync`: anti-entropy, from a replica whose horizon is not below ours and that holds it now.
 * - `hand`: a read, from a replica that held it when it was asked; see `hand.ts`.
 * - `mend`: what a read quorum holds in place of a damaged row; see `replaceDamaged`.
 */
export type MergeSource = 'request' | 'sync' | 'hand' | 'mend';

/** Told of every row key whose row is handed to storage or deleted there: hash trees follow it. */
export interface RowWatcher {
  rowChanged(rowKey: RowKey, isDeleted: boolean): void;
}

/** Told what this replica holds: the effective stamp, and the row unless the floor is what answers. */
export interface ReadWaiter {
  local(error: CodedError | undefined, stamp: Stamp, row: Row | undefined): void;
}

export interface ReplicaOptions {
  readonly storage: Storage;
  readonly durability: Durability;
  readonly log: Log;
  /** Asks for the end of the turn. */
  readonly wake: () => void;
  /** Notes to store with every batch: the clock's high-water mark. */
  readonly noteOfCommit: () => StorageWrite | undefined;
  /** Told when a batch, and with it that note, is durable. */
  readonly committed?: () => void;
  /** Told of a row that failed its checksum when it was read; false if that is no news. */
  readonly rowDamaged?: (rowKey: RowKey) => unknown;
  /** Told of every row that changes in storage. */
  readonly watcher?: RowWatcher;
  /** Partitions of the ring, for horizons; 1024 if left out. */
  readonly partitionCount?: number;
  /** Test flags, see `sim/mutants.ts`. */
  readonly mutants: ReadonlySet<string>;
}
