/**
 * What a read hands on: a row it met on one replica, for another that lacks it.
 *
 * The picture: a letter of recommendation. Whoever holds the row says under which horizon it does; whoever gets it,
 * behind its own closed door, believes a letter that was written no earlier than the door was closed. Why nothing
 * deleted comes back by it: `docs/design/tombstones.md`.
 */

import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';
import type { Row } from '../rows/row.ts';
import type { Replica } from './replica.ts';
import type { StoredWaiter } from './tray.ts';

/**
 * Merges a row that a replica with the horizon `theirs` held when it was read, milliseconds; 0 if that is not
 * known, and the row is then like any other late message.
 */
export function mergeHanded(
  replica: Replica,
  rowKey: RowKey,
  row: Row,
  theirs: number,
  waiter: StoredWaiter | undefined,
): void {
  const trusted = theirs > 0 && replica.horizons.mayHand(rowKeySlot(rowKey), theirs);
  replica.merge(rowKey, row, waiter, trusted ? 'hand' : 'request');
}

/** The horizon under which a replica holds a row, milliseconds; 0 for none, and while it is being deleted. */
export function horizonOfRow(replica: Replica, rowKey: RowKey): number {
  const { horizons, notes } = replica;
  const horizon = horizons.horizonOf(horizons.partitionOf(rowKeySlot(rowKey)));
  return horizon > 0 && notes.isUnderway(rowKey) ? 0 : horizon;
}
