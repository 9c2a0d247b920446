/**
 * The tally of anti-entropy: what this node's comparisons did since start, and how it is told to operators. The
 * picture: the board in the watch room, on which every watch that comes back chalks up what it found; whoever
 * asks how things are is read the board and the books.
 */

import type { PartitionOutcome } from '../repair/outcome.ts';
import type { PeerBook } from '../repair/peer-book.ts';
import type { ResponderFigures } from '../repair/responder.ts';
import type { RepairFigures } from './repair-demand.ts';
import type { RepairStatus } from './status.ts';

/** The share of time is told over the last so many milliseconds. */
const shareWindowMs = 10_000;

/** What goes into the figures beside the tally. */
export interface RepairSources {
  readonly books: readonly PeerBook[];
  /** What was done for the comparisons of others. */
  readonly answered: ResponderFigures;
  /** Bytes of all messages. */
  readonly bytes: number;
  readonly rows: { readonly rowsRead: number; readonly spentMs: number };
  /** Sessions under way. */
  readonly sessions: number;
}

export class RepairTally {
  #rowsSent = 0;
  #rowsTaken = 0;
  #rowsDropped = 0;
  #rowBytes = 0;
  /** What was spent when the window began. */
  #windowAt = 0;
  #windowSpentMs = 0;
  /** Sessions that ended with an error. */
  failures = 0;
  /** Share of the time that comparisons took lately, 0 to 1. */
  share = 0;

  /** A session ended: what became of one of its partitions. */
  count(outcome: PartitionOutcome): void {
    this.#rowsSent += outcome.rowsSent;
    this.#rowsTaken += outcome.rowsTaken;
    this.#rowsDropped += outcome.rowsDropped;
    this.#rowBytes += outcome.rowBytesSent + outcome.rowBytesTaken;
  }

  /** Time passes. `spentMs` is what comparisons took since start. */
  pass(now: number, spentMs: number): void {
    if (now - this.#windowAt < shareWindowMs) return;
    this.share = (spentMs - this.#windowSpentMs) / (now - this.#windowAt);
    this.#windowAt = now;
    this.#windowSpentMs = spentMs;
  }

  figures({ books, answered, bytes, rows, sessions }: RepairSources): RepairFigures {
    const rowBytes = this.#rowBytes + answered.rowBytesSent + answered.rowBytesTaken;
    return {
      repairRowsSent: this.#rowsSent + answered.rowsSent,
      repairRowsTaken: this.#rowsTaken + answered.rowsTaken,
      repairRowsDropped: this.#rowsDropped + answered.rowsDropped,
      repairRowBytes: rowBytes,
      repairMetadataBytes: Math.max(0, bytes - rowBytes),
      repairRowsRead: rows.rowsRead,
      repairRounds: books.reduce((sum, { rounds }) => sum + rounds, 0),
      repairRoundMs: books.reduce((most, { roundTookMs }) => Math.max(most, roundTookMs), 0),
      repairFailures: this.failures,
      repairSessions: sessions,
      repairTimeMs: rows.spentMs,
    };
  }
}

/** @param share of the time that comparisons took lately */
export function repairStatus(
  books: readonly PeerBook[],
  figures: RepairFigures,
  share: number,
  now: number,
): RepairStatus {
  let comparisons = 0;
  let equal = 0;
  let differing = 0;
  let roundAgeMs: number | null = 0;
  let progress = 1;
  for (const book of books) {
    const counts = book.counts();
    comparisons += book.shared.length;
    equal += counts.equal;
    differing += counts.differing;
    if (book.walked.length === 0) continue;
    progress = Math.min(progress, book.progress);
    // From its beginning: what was written before that was compared.
    if (book.roundBeganAt === Number.NEGATIVE_INFINITY) roundAgeMs = null;
    else if (roundAgeMs !== null) roundAgeMs = Math.max(roundAgeMs, now - book.roundBeganAt);
  }
  const running = figures.repairSessions > 0;
  return {
    running,
    comparisons,
    equal,
    differing,
    unknown: comparisons - equal - differing,
    roundAgeMs,
    progress: running ? progress : 0,
    rowsSent: figures.repairRowsSent,
    rowsTaken: figures.repairRowsTaken,
    timeShare: share,
  };
}
