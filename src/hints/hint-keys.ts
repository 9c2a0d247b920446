/**
 * Where hints lie in storage: beside the rows, under a mark of the node's own, sorted by the member they
 * are for and then as the rows themselves are. A target's hints are so one contiguous stretch, which is
 * handed over in key order and can be gone on with wherever it stopped.
 */

import type { ByteString } from '../base/bytes.ts';
import type { NodeId } from '../ports/transport.ts';
import type { RowKey } from '../rows/key.ts';
import { META_PREFIX } from '../rows/key.ts';

/** All hints lie from here … */
export const HINTS_FIRST: ByteString = `${META_PREFIX}hint`;
/** … to here, excluded. */
export const HINTS_END: ByteString = `${META_PREFIX}hinu`;

/** A node id holds no zero byte, so it ends at the first. */
export function hintKey(target: NodeId, rowKey: RowKey): ByteString {
  return `${HINTS_FIRST}${target}\0${rowKey}`;
}

/** The end of a target's hints, excluded. */
export function hintsEndOf(target: NodeId): ByteString {
  return `${HINTS_FIRST}${target}\x01`;
}

/** The member a hint is for. */
export function hintTarget(key: ByteString): NodeId {
  return key.slice(HINTS_FIRST.length, key.indexOf('\0', HINTS_FIRST.length));
}

/** The row key of a hint. */
export function hintRowKey(key: ByteString): RowKey {
  return key.slice(key.indexOf('\0', HINTS_FIRST.length) + 1);
}

/** The slot of a hint's row, as `rowKeySlot` of its row key, which is not made for it. */
export function hintSlot(key: ByteString): number {
  const at = key.indexOf('\0', HINTS_FIRST.length) + 1;
  return (key.charCodeAt(at) << 8) | key.charCodeAt(at + 1);
}
