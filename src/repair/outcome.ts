/**
 * What a comparison is given, and what it gives back: shared by the parts of the asking side.
 */

import type { NodeId } from '../ports/transport.ts';
import type { LocalRows, RepairCall, RepairMutants } from './ports.ts';

export interface SessionOptions {
  readonly self: NodeId;
  readonly peer: NodeId;
  /** Ascending; a wide session takes one. */
  readonly partitions: readonly number[];
  readonly wide: boolean;
  readonly urgent: boolean;
  readonly rescan: boolean;
  /**
   * We hold rows that belong to others: they are given what they lack, and nothing is taken. Since we need not hold
   * all there is, they delete nothing because we lack it, and no horizon is taken over. Only in a wide session.
   */
  readonly gives?: boolean;
  /**
   * Owners change, and this side is to hold all rows: they are fetched at the pace of moves, and in bulk if it holds
   * none yet. Only in a wide session.
   */
  readonly moves?: boolean;
  /** 16 bits, another one each round. */
  readonly salt: number;
  /** A look at our own storage is given up after this, milliseconds. */
  readonly lookWithinMs: number;
  readonly local: LocalRows;
  readonly call: RepairCall;
  readonly mutants: RepairMutants;
}

/** What became of one partition. */
export interface PartitionOutcome {
  readonly partition: number;
  /** Whether the peer answered about it at all. */
  compared: boolean;
  /** Both held the same, horizons included. */
  equal: boolean;
  horizonOurs: number;
  horizonTheirs: number;
  /** Rows found different, those dropped included. */
  differing: number;
  /** Differences left as they are: to be looked at in another round. */
  unresolved: number;
  /** Rows that fail their checksum on either side: they are mended by other means. */
  damaged: number;
  /** Least stamp time of the winners among the differing rows; Infinity for none, 0 if one is not known. */
  oldestDifferenceTime: number;
  /** Least stamp time of the rows that the peer lacked; Infinity for none. */
  oldestLackingTime: number;
  rowsSent: number;
  rowsTaken: number;
  rowsDropped: number;
  rowBytesSent: number;
  rowBytesTaken: number;
  /** The horizon of the side that was behind was raised to the other's. */
  settled: boolean;
}
