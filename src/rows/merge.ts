/**
 * Merge: the heart of the house. Of two rows of one key it gives the row both replicas should hold.
 *
 * It is commutative, associative and idempotent, so order and repetition of messages do not matter,
 * and quorum writes, read repair, hints, join and restore are all the same act. Under policy
 * `last-write-wins` it is the greater row of a total order: by stamp, and for equal stamps (which only
 * damage or a reused dot can bring) by bytes, so that replicas agree even then. Rows of siblings merge what
 * they know (`siblings.ts`), and then the result may be neither of the two.
 */

import { compareBytes, equalBytes } from '../base/bytes.ts';
import { mergeSets } from '../causality/version-set.ts';
import type { RowKey } from './key.ts';
import type { Row } from './row.ts';
import { compareRowStamps, KIND_SIBLINGS } from './row.ts';
import { rowOfVersions, versionsOfRow } from './siblings.ts';

/** What is to be held of two rows of one key. Returns one of its arguments unless it differs from both. */
export function mergeRows(rowKey: RowKey, a: Row, b: Row): Row {
  const order = compareRowStamps(a, b);
  if (a[1]! >= KIND_SIBLINGS || b[1]! >= KIND_SIBLINGS) return order === 0 ? a : mergeSiblings(rowKey, a, b);
  if (order !== 0) return order > 0 ? a : b;
  return compareBytes(a, b) >= 0 ? a : b;
}

function mergeSiblings(rowKey: RowKey, a: Row, b: Row): Row {
  const merged = rowOfVersions(rowKey, mergeSets(versionsOfRow(a), versionsOfRow(b)))!;
  if (equalBytes(merged, a)) return a;
  return equalBytes(merged, b) ? b : merged;
}
