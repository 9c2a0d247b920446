/**
 * What waits at the repair desk and what is under way: comparisons that neighbours asked for, partitions of a
 * repair on demand, sessions that are out.
 */

import type { CodedError } from '../base/errors.ts';
import type { PeerBook } from '../repair/peer-book.ts';
import type { Session } from '../repair/session.ts';
import type { RepairRun } from './repair-demand.ts';

export const noHow: CompareHow = {};

/** What a comparison of one partition with one peer found and did. */
export interface RepairCompared {
  /** Both held the same before anything was exchanged, horizons included. */
  readonly equal: boolean;
  /** Rows that differed. */
  readonly differing: number;
  /** Least stamp time of the winners among them; Infinity for none, 0 if it is not known of one. */
  readonly oldestDifferenceTime: number;
  readonly rowsSent: number;
  readonly rowsTaken: number;
  readonly rowBytesTaken: number;
  readonly horizonTheirs: number;
}

/** How a comparison by full hashes is made: see `SessionOptions`. */
export interface CompareHow {
  readonly gives?: boolean;
  readonly moves?: boolean;
}

/** With an error `compared`, if it is there, says what was exchanged before it. */
export type CompareDone = (error: CodedError | undefined, compared: RepairCompared | undefined) => void;

/** A comparison of one partition by full hashes. */
export interface WideTask {
  readonly partition: number;
  readonly done: CompareDone | undefined;
  readonly demand: DemandTask | undefined;
  readonly how: CompareHow;
}

/** A partition of a demand, and how often it was compared for it. */
export interface DemandTask {
  readonly run: RepairRun;
  readonly partition: number;
  readonly attempt: number;
}

export interface PeerWork {
  readonly book: PeerBook;
  readonly wide: WideTask[];
  readonly demands: DemandTask[];
  /** Sessions under way with it: those of `CompareHow.moves` are counted apart. */
  sessions: number;
  moves: number;
  awaySince: number;
}

export interface Outgoing {
  readonly session: Session;
  readonly peer: PeerWork;
  readonly kind: 'round' | 'soon' | 'demand' | 'wide';
  readonly beganAt: number;
  readonly partitions: readonly number[];
  bytes: number;
}
