/**
 * The winner of a read: whether enough hold it, and its way to replicas that do not: to neighbours, to this node's own
 * replica, and to where a damaged row lies here.
 */

import { assert } from '../base/assert.ts';
import type { CodedError } from '../base/errors.ts';
import type { Policy } from '../coordinator/policy.ts';
import { holdersNeeded, isLinearizable } from '../coordinator/policy.ts';
import type { ReadCore } from '../coordinator/read-core.ts';
import type { NodeId } from '../ports/transport.ts';
import { mergeHanded } from '../replica/hand.ts';
import type { StoredWaiter } from '../replica/replica.ts';
import type { RowKey } from '../rows/key.ts';
import { isMade } from '../rows/siblings.ts';
import { writeFloor, writeHand, writeWrite } from '../wire/messages.ts';
import type { NodeContext } from './context.ts';
import { isTooFarAhead, observeRow, observeStamp, quorumError } from './context.ts';

/** Whether so many owners of a list are known to hold the winner that every later read of it meets one. */
export function isWinnerHeld(core: ReadCore, policy: Policy, list: readonly NodeId[]): boolean {
  return core.holders(list) >= holdersNeeded(policy, list.length);
}

/**
 * Why too few owners of a list will hold the winner; undefined as long as enough may.
 * @param waiting those who were handed it and have not acknowledged it yet
 */
export function holdersError(
  context: NodeContext,
  core: ReadCore,
  policy: Policy,
  list: readonly NodeId[],
  waiting: readonly NodeId[],
): CodedError | undefined {
  const possible = core.holders(list) + waiting.filter((id) => list.includes(id)).length;
  const needed = holdersNeeded(policy, list.length);
  // Whoever may not answer a read may take what it found.
  return possible < needed ? quorumError(context, 'read', possible, needed, 'none', 0) : undefined;
}

/**
 * Hands the winner to another replica.
 * @param id of the flight that waits for the acknowledgement; 0 for none
 * @param horizon the one under which a replica held the winner; 0 if that is not known
 * @returns false when it cannot be reached
 */
export function handWinner(
  context: NodeContext,
  peer: NodeId,
  id: number,
  rowKey: RowKey,
  { row, stamp }: ReadCore,
  horizon: number,
): boolean {
  assert(row !== undefined || !isMade(stamp), 'what is handed on without a row is a flush');
  const writer = context.links.writerTo(peer);
  if (writer === undefined) return false;
  if (row === undefined) writeFloor(writer, id, stamp);
  else if (horizon === 0) writeWrite(writer, id, rowKey, row);
  else writeHand(writer, id, rowKey, row, horizon);
  return true;
}

/** Hands the winner to this node's own replica. False for one that is stamped beyond belief. */
export function handWinnerHere(
  context: NodeContext,
  rowKey: RowKey,
  { row, stamp }: ReadCore,
  horizon: number,
  waiter: StoredWaiter | undefined,
): boolean {
  assert(row !== undefined || !isMade(stamp), 'what is handed on without a row is a flush');
  if (isTooFarAhead(context, stamp)) return false;
  // Once more: what was beyond belief when it came may not be so now, and no row is stored unobserved.
  if (row === undefined) {
    observeStamp(context, stamp);
    context.replica.raiseFloor(stamp, waiter);
  } else {
    observeRow(context, row);
    mergeHanded(context.replica, rowKey, row, horizon, waiter);
  }
  return true;
}

/** Our own row is damaged, and the others made the quorum without it: what they hold takes its place. */
export function mendWithWinner(
  context: NodeContext,
  rowKey: RowKey,
  { row, stamp }: ReadCore,
  policy: Policy,
): void {
  if (context.mutants.has('repair-skipped') || isTooFarAhead(context, stamp)) return;
  observeStamp(context, stamp);
  if (isLinearizable(policy, context.n)) {
    if (context.replica.replaceDamaged(rowKey, row, context.wall())) context.tally.repairsAfter++;
  } else if (row !== undefined) {
    // Who asked fewer, or stand-ins, may not have met the newest row: only what is not older takes its place.
    context.tally.repairsAfter++;
    context.replica.merge(rowKey, row, undefined);
  }
}
