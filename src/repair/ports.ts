/**
 * What a comparison needs of the node it runs in: its rows, and a way to ask the peer. The machines on
 * both sides (`session.ts`, `responder.ts`) see nothing else, so that a test runs them over two maps.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import type { NodeHash } from '../merkle/hash-forest.ts';
import type { RowHash } from '../merkle/row-hash.ts';
import type { NodeId } from '../ports/transport.ts';
import type { RowKey } from '../rows/key.ts';
import type { Row, Stamp } from '../rows/row.ts';
import type { RepairHead } from '../wire/repair-messages.ts';

/** How fresh and how urgent a look at storage is to be. */
export interface Need {
  /** Leaves weighed at or after this monotonic time are good enough. */
  readonly since: number;
  /** Also leaves that no write touched are weighed anew. */
  readonly rescan: boolean;
  readonly urgent: boolean;
  /** Monotonic time to give up at, with `deadline-exceeded`. */
  readonly until: number;
}

/**
 * Told of each row of a bucket; `hash` holds its hashes for the moment of the call. `row` is undefined for
 * one that fails its checksum. The bytes are lent for the moment of the call too.
 */
export type RowVisitor = (leaf: number, hash: RowHash, rowKey: RowKey, row: Row | undefined) => void;

/** A row on its way, with bytes of its own. */
export interface CarriedRow {
  readonly rowKey: RowKey;
  readonly row: Row;
}

/** `more`: there are rows behind the last one. */
export type PageDone = (error: CodedError | undefined, rows: readonly CarriedRow[], more: boolean) => void;

export type RepairDone = (error: CodedError | undefined) => void;

/** The rows of this node. */
export interface LocalRows {
  readonly partitionCount: number;
  /** Monotonic milliseconds. */
  now(): number;
  /** Whether it is to hold the rows of a partition: else it answers no question about it. */
  isReplica(partition: number): boolean;
  horizonOf(partition: number): number;
  /** Sees to it that the leaves of the slots (ascending) are fresh. */
  refresh(slots: readonly number[], need: Need, done: RepairDone): void;
  /** Visits all rows of the leaves (ascending) that are not gone. */
  collect(leaves: readonly number[], need: Need, visit: RowVisitor, done: RepairDone): void;
  /**
   * Copies rows of a partition behind `after` (empty: from its first on), in the order of their keys, as many as
   * `bytesMax` holds and at least one if there is any; but those that are gone or damaged.
   */
  page(partition: number, after: RowKey, bytesMax: number, urgent: boolean, done: PageDone): void;
  /** Sum over leaves; see `HashForest`. */
  sum(first: number, count: number): NodeHash;
  /** The row to send for a key: intact, and not gone; else undefined. A view. */
  rowOf(rowKey: RowKey): Row | undefined;
  /**
   * Merges a row from a peer; `source` as in `Replica.merge`. `done` is told when what is held afterwards is
   * durable. The bytes are kept: they must not change.
   */
  take(peer: NodeId, rowKey: RowKey, row: Row, source: 'sync' | 'request', done: RepairDone): void;
  /** Deletes rows that were deleted elsewhere. @returns how many, and whether that is all of them. */
  drop(entries: readonly { key: RowKey; stamp: Stamp }[]): number;
  raiseHorizon(partition: number, time: number, done: RepairDone): void;
  /** Takes no late rows from before `time` any more: the peer's horizon is that far. @returns whether that is new. */
  raiseFence(partition: number, time: number): boolean;
  /**
   * Changes when a row of the partition was taken from anybody but `peer`: what a comparison with `peer`
   * proved may then hold no more.
   */
  token(partition: number, peer: NodeId): number;
  /** Runs `run` when time and bandwidth allow more; `bytes` are about to be spent. */
  whenAllowed(urgent: boolean, bytes: number, run: () => void): void;
  /** The same before rows are fetched that move here; `moved` says afterwards how many bytes came. */
  whenMoveAllowed(run: () => void): void;
  moved(bytes: number): void;
}

/** Asks the peer. `write` appends the body; `done` is given a reader of the body of an answer that is well. */
export type RepairCall = (
  type: number,
  head: RepairHead,
  write: (writer: ByteWriter) => void,
  done: (error: CodedError | undefined, reader: ByteReader | undefined) => void,
) => void;

/** Named bugs. */
export interface RepairMutants {
  /** Rows that the asking side has newer are not sent. */
  readonly skipsOlder: boolean;
  /** Rows that were deleted and collected elsewhere are kept. */
  readonly horizonNotCaughtUp: boolean;
}
