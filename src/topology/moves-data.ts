/** Whether the first page of a change leads to rows being compared and fetched, for whoever cannot do that. */

import { difference } from '../ring/difference.ts';
import type { Topology } from './topology.ts';

/** @param next the page after `now`, by a change that begins with it */
export function movesData(now: Topology, next: Topology): boolean {
  // Owners are placed when whoever comes is there; it is given its share then.
  if (next.phase === 'enrol') return true;
  if (next.phase !== 'copy' || next.other === undefined) return false;
  // Who leaves is compared with those who stay, even where they hold all it holds.
  const isLeft = next.members.some(({ id }) => now.read.has(id) && !next.next.has(id));
  return isLeft || difference(now.read, next.next).replicasMoved > 0;
}
