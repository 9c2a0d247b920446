/**
 * Merge: the heart of the house. Of two rows of one key it gives the row both replicas should hold.
 *
 * It is commutative, associative and idempotent, so order and repetition of messages do not matter,
 * and quorum writes, read repair, hints, join and restore are all the same act. Under policy
 * `last-write-wins` it is the greater row of a total order: by stamp, and for equal stamps (which only
 * damage or a reused dot can bring) by bytes, so that replicas agree even then.
 */

import { compareBytes } from '../base/bytes.ts';
import type { Row } from './row.ts';
import { compareRowStamps } from './row.ts';

/** The winner of two rows of one key. Returns one of its arguments. */
export function mergeRows(a: Row, b: Row): Row {
  const order = compareRowStamps(a, b);
  if (order !== 0) return order > 0 ? a : b;
  return compareBytes(a, b) >= 0 ? a : b;
}
