/**
 * What a write needs beside its quorum: a stamp, nodes to send the row to, and what a disk that became full says of
 * a row that was refused.
 */

import { CodedError } from '../base/errors.ts';
import type { NodeId } from '../ports/transport.ts';
import type { RowKey } from '../rows/key.ts';
import type { StampParts } from '../rows/row.ts';
import { isSiblingsRow } from '../rows/siblings.ts';
import type { NodeContext } from './context.ts';

/**
 * The next stamp of this node.
 * @param doing what it would be for: `takes no writes`
 * @param done what was not done, for the error: `written`
 * @throws CodedError `clock-offset` if our clock was ahead and went back: stamps must go on upwards, and nobody
 *   would believe them; and what the identity says when no counters are left for the moment
 */
export function nextStamp(context: NodeContext, doing: string, done: string): StampParts {
  const aheadMs = context.identity.hlc.time - context.wall();
  if (aheadMs > context.limits.clockOffsetMaxMs) {
    const message = `the clock of this node went back by about ${aheadMs} ms and it ${doing} until it has caught up; nothing was ${done}; use another node`;
    throw new CodedError('clock-offset', 'fail', message);
  }
  return context.identity.next(context.wall(), context.replica);
}

/** How many owners of a list a row can be sent to at this moment, with `standIns` for the others. */
export function reachableIn(
  context: NodeContext,
  list: readonly NodeId[],
  standIns: readonly NodeId[],
): number {
  const { links } = context;
  let reachable = 0;
  for (const peer of list) if (links.isLive(peer)) reachable++;
  if (reachable === list.length) return reachable;
  for (const peer of standIns) if (links.isLive(peer)) reachable++;
  return Math.min(list.length, reachable);
}

/**
 * Whether a later change of the key, which a batch that failed did not carry, may hold the value: siblings are made
 * of what lies on the tray, durable or not.
 * @param ofSiblings the row is made of what was held before
 */
export function isBuiltUpon(
  context: NodeContext,
  rowKey: RowKey,
  error: CodedError,
  selfHolds: boolean,
  ofSiblings: boolean,
): boolean {
  if (error.code !== 'storage-full') return false;
  const { replica } = context;
  if (!selfHolds) return ofSiblings;
  if (!replica.isPending(rowKey)) return false;
  if (ofSiblings) return true;
  try {
    const held = replica.held(rowKey);
    return held !== undefined && isSiblingsRow(held);
  } catch (failure) {
    if (!(failure instanceof CodedError)) throw failure;
    return true;
  }
}
