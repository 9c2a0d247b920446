/**
 * The context: what the parts of a node share. One object, made by `Node`, handed to every flight, so
 * that a part says in its code what it touches, and nothing is global.
 */

import type { ErrorCode } from '../base/errors.ts';
import { CodedError } from '../base/errors.ts';
import type { HedgeBudget } from '../coordinator/hedge.ts';
import type { PlanBook } from '../coordinator/plan.ts';
import type { HintBook } from '../hints/hint-book.ts';
import type { Log } from '../ports/log.ts';
import type { NodeId } from '../ports/transport.ts';
import type { Replica } from '../replica/replica.ts';
import type { Vouching } from '../replica/vouching.ts';
import type { Row, Stamp } from '../rows/row.ts';
import { rowStamp, stampTime } from '../rows/row.ts';
import { isSiblingsRow, versionsOfRow } from '../rows/siblings.ts';
import type { Topology } from '../topology/topology.ts';
import type { Flights } from './flights.ts';
import type { Identity } from './identity.ts';
import type { Links } from './links.ts';
import type { NodeLimits } from './options.ts';
import type { PastMemory } from './past-memory.ts';
import type { SiblingComposer } from './sibling-composer.ts';
import type { Tally } from './tally.ts';

export interface NodeContext {
  readonly self: NodeId;
  /** The epoch in force at this node: ask for it each time, it changes. */
  readonly topology: Topology;
  /** N: how long a preference list is now. */
  readonly n: number;
  readonly limits: NodeLimits;
  readonly log: Log;
  readonly replica: Replica;
  /** Rows kept for members that are away. */
  readonly hints: HintBook;
  readonly identity: Identity;
  /** For which partitions this node may answer reads. */
  readonly vouching: Vouching;
  /** What is remembered of the other members' disks. */
  readonly past: PastMemory;
  readonly links: Links;
  readonly plans: PlanBook;
  readonly flights: Flights;
  /** Makes the rows of writes under policy `siblings`. */
  readonly siblings: SiblingComposer;
  readonly hedgeBudget: HedgeBudget;
  readonly tally: Tally;
  readonly mutants: ReadonlySet<string>;
  /** Monotonic milliseconds. */
  now(): number;
  /** Wall milliseconds. */
  wall(): number;
  /** How late the latest tick came, milliseconds: see `Turn`. */
  lateMs(): number;
}

/** Whether a stamp lies further ahead of our clock than we believe anyone. */
export function isTooFarAhead(context: NodeContext, stamp: Stamp): boolean {
  return stampTime(stamp) > context.wall() + context.limits.clockOffsetMaxMs;
}

/** Takes note of a stamp from elsewhere, unless its clock is beyond belief. */
export function observeStamp(context: NodeContext, stamp: Stamp): void {
  if (context.mutants.has('hlc-not-observed') || isTooFarAhead(context, stamp)) return;
  context.identity.observe(stamp);
}

/** Takes note of an intact row that is to be stored: of its stamp, and of whose siblings are in it. */
export function observeRow(context: NodeContext, row: Row): void {
  observeStamp(context, rowStamp(row));
  const { mutants } = context;
  // Who sends early says nothing of its disk by that.
  if (!isSiblingsRow(row) || mutants.has('sibling-not-noted') || mutants.has('sibling-sent-early')) return;
  try {
    context.past.wrote(versionsOfRow(row).siblings);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
  }
}

/**
 * The code a peer is told for a row that was not stored. A disk that became full in the middle of a batch may
 * hold it all the same: that is no refusal the peer may rely on.
 */
export function refusalCode(error: CodedError): ErrorCode {
  return error.code === 'storage-full' && error.outcome === 'unknown' ? 'storage-failed' : error.code;
}

/**
 * The error for too few replicas. `outcome`, and not the message, says what became of the data.
 * @param unvouched replicas that are reached and may not answer: they just started, or lost what they held.
 */
export function quorumError(
  context: NodeContext,
  what: 'read' | 'write',
  have: number,
  needed: number,
  outcome: 'fail' | 'unknown' | 'none',
  unvouched = 0,
): CodedError {
  context.tally.failuresQuorum++;
  let message = `only ${have} of ${context.n} replicas of this key can `;
  if (unvouched === 0) {
    message += `be reached and the ${what} needs ${needed}`;
  } else {
    const [are, they] = unvouched === 1 ? ['is', 'it is'] : ['are', 'they are'];
    message +=
      `answer and the ${what} needs ${needed}; ${unvouched} more ${are} reached and may not answer: ` +
      `${they} just starting, or being made whole after a loss of data`;
  }
  return new CodedError('quorum-unreachable', outcome, message);
}

/** The error for a flight that is given up: its time is over, or the node stops. */
export function deadlineError(
  context: NodeContext,
  what: string,
  outcome: 'fail' | 'unknown' | 'none',
): CodedError {
  context.tally.failuresDeadline++;
  if (context.flights.closed) {
    return new CodedError('unavailable', outcome, `this node stopped before the ${what} was done`);
  }
  return new CodedError('deadline-exceeded', outcome, `the ${what} did not finish in time`);
}
