/**
 * Repair on demand: somebody asked for it and watches. One run counts its partitions, each with one peer,
 * until all are equal or have been tried often enough.
 */

import type { CodedError } from '../base/errors.ts';
import type { NodeId } from '../ports/transport.ts';
import type { PartitionOutcome } from '../repair/outcome.ts';

/** What is to be repaired. */
export interface RepairDemand {
  /** All if left out. */
  readonly partitions?: readonly number[];
  /** With whom; all if left out. */
  readonly peers?: readonly NodeId[];
  /**
   * Also pairs of replicas that the other side compares in its rounds. Left out, this node takes those it is
   * the first of: all nodes together then cover every pair once.
   */
  readonly all?: boolean;
}

/** How far it has come. A pair is a partition with one other replica. */
export interface RepairProgress {
  readonly pairs: number;
  /** Pairs that are equal, and pairs that could not be made equal. */
  readonly equal: number;
  readonly failed: number;
  /** Rows that were found different, and what was done about them. */
  readonly rowsDiffering: number;
  readonly rowsSent: number;
  readonly rowsTaken: number;
  readonly rowsDropped: number;
  /** Bytes exchanged, and those of rows among them. */
  readonly bytes: number;
  readonly rowBytes: number;
  /** Why the last pair failed; empty when none did. */
  readonly failure: string;
  /** Monotonic time of the beginning, milliseconds. */
  readonly beganAt: number;
}

export type RepairDone = (error: CodedError | undefined, progress: RepairProgress) => void;

/** Counters of anti-entropy since start, and gauges, for INFO and metrics. */
export interface RepairFigures {
  readonly repairRowsSent: number;
  readonly repairRowsTaken: number;
  /** Rows deleted here because they were deleted and collected elsewhere. */
  readonly repairRowsDropped: number;
  readonly repairRowBytes: number;
  /** Bytes of comparisons without those of rows, both directions. */
  readonly repairMetadataBytes: number;
  /** Rows read from storage. */
  readonly repairRowsRead: number;
  /** Rounds completed, counted for each peer, and how long the last one took, milliseconds. */
  readonly repairRounds: number;
  readonly repairRoundMs: number;
  /** Comparisons that broke off. */
  readonly repairFailures: number;
  readonly repairSessions: number;
  /** Time spent, milliseconds. */
  readonly repairTimeMs: number;
}

/** A pair is compared so often at most: under writes it may never be seen equal. */
const attemptsMax = 5;

export class RepairRun implements RepairProgress {
  pairs = 0;
  equal = 0;
  failed = 0;
  rowsDiffering = 0;
  rowsSent = 0;
  rowsTaken = 0;
  rowsDropped = 0;
  bytes = 0;
  rowBytes = 0;
  failure = '';
  readonly beganAt: number;
  readonly #progress: (progress: RepairProgress) => void;
  readonly #done: RepairDone;
  readonly #wall: number;
  #error: CodedError | undefined = undefined;
  #begun = false;
  #ended = false;

  /** @param wall what was written by then is made equal: later writes may be under way for ever */
  constructor(now: number, wall: number, progress: (progress: RepairProgress) => void, done: RepairDone) {
    this.beganAt = now;
    this.#wall = wall;
    this.#progress = progress;
    this.#done = done;
  }

  /** One more pair. */
  add(): void {
    this.pairs++;
  }

  /** All pairs are known. */
  begin(): void {
    this.#begun = true;
    this.#tell();
  }

  mayRetry(attempt: number): boolean {
    return attempt + 1 < attemptsMax;
  }

  /** Whether a pair differed only in what was written since the run began, and nothing is left of that. */
  isDone(outcome: PartitionOutcome): boolean {
    const { compared, unresolved, damaged, horizonOurs, horizonTheirs, oldestDifferenceTime } = outcome;
    const isWhole = compared && unresolved === 0 && damaged === 0 && horizonOurs === horizonTheirs;
    return isWhole && outcome.differing > 0 && oldestDifferenceTime > this.#wall;
  }

  /** A comparison of a pair ended, well or not. */
  exchanged(outcome: PartitionOutcome, bytes: number): void {
    this.rowsDiffering += outcome.differing;
    this.rowsSent += outcome.rowsSent;
    this.rowsTaken += outcome.rowsTaken;
    this.rowsDropped += outcome.rowsDropped;
    this.rowBytes += outcome.rowBytesSent + outcome.rowBytesTaken;
    this.bytes += bytes;
  }

  /** A pair is equal. */
  pairEqual(): void {
    this.equal++;
    this.#tell();
  }

  /** A pair could not be made equal. */
  pairFailed(error: CodedError): void {
    this.failed++;
    this.failure = error.message;
    this.#error = error;
    if (this.#begun) this.#tell();
  }

  /** A plain copy, fit for JSON. */
  snapshot(): RepairProgress {
    const { pairs, equal, failed, rowsDiffering, rowsSent, rowsTaken, rowsDropped } = this;
    const { bytes, rowBytes, failure, beganAt } = this;
    const rows = { rowsDiffering, rowsSent, rowsTaken, rowsDropped };
    return { pairs, equal, failed, ...rows, bytes, rowBytes, failure, beganAt };
  }

  #tell(): void {
    if (this.#ended) return;
    if (this.equal + this.failed < this.pairs) {
      this.#progress(this.snapshot());
      return;
    }
    this.#ended = true;
    this.#done(this.#error, this.snapshot());
  }
}
