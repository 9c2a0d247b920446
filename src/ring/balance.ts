/**
 * Figures of a table: how even it is, and what a change moves against the least it could.
 *
 * Each node is held to its own fair share, by weight (`shares.ts`), so nodes of unequal weight can be
 * judged together: 1.00 is exactly its share. As partitions are whole, a node with a share of 10.24 has
 * 11 at times: that is 1.07, and still within one partition of its share.
 */

import { difference } from './difference.ts';
import { fairSharesOf } from './placement.ts';
import type { Table } from './table.ts';

/** The evenness of one kind of count. */
export interface Evenness {
  /** The greatest of count / fair share over the nodes (those with a share of at least one partition). */
  readonly ratioMax: number;
  /** The greatest of count - fair share over the nodes, in partitions. */
  readonly surplusMax: number;
  /** The greatest of fair share - count over the nodes, in partitions. */
  readonly deficitMax: number;
}

export interface Balance {
  readonly primaries: Evenness;
  readonly replicas: Evenness;
}

/** What a change moves, and the least that any table as even as the new one would have moved. */
export interface Movement {
  readonly replicasMoved: number;
  readonly replicasMovedMin: number;
  readonly primariesMoved: number;
  readonly primariesMovedMin: number;
}

export function balanceOf(table: Table): Balance {
  const fair = fairSharesOf(table);
  return {
    primaries: evenness(table.primaryCounts(), fair.primaries),
    replicas: evenness(table.replicaCounts(), fair.replicas),
  };
}

function evenness(counts: readonly number[], shares: readonly number[]): Evenness {
  let ratioMax = 0;
  let surplusMax = 0;
  let deficitMax = 0;
  counts.forEach((count, member) => {
    const share = shares[member]!;
    if (share >= 1) ratioMax = Math.max(ratioMax, count / share);
    surplusMax = Math.max(surplusMax, count - share);
    deficitMax = Math.max(deficitMax, share - count);
  });
  return { ratioMax, surplusMax, deficitMax };
}

/** What moves from one table to the next, in partitions. */
export function movementOf(before: Table, after: Table): Movement {
  const { replicasMoved, primariesMoved } = difference(before, after);
  const fair = fairSharesOf(after);
  return {
    replicasMoved,
    replicasMovedMin: movedMin(before, after, before.replicaCounts(), fair.replicas, after.listLength),
    primariesMoved,
    primariesMovedMin: movedMin(before, after, before.primaryCounts(), fair.primaries, 1),
  };
}

/**
 * The least that must move: what the nodes below their new share (rounded down) lack, and no less than
 * the places that nobody of those who stay held.
 */
function movedMin(
  before: Table,
  after: Table,
  countsBefore: readonly number[],
  shares: readonly number[],
  placeCount: number,
): number {
  let lacking = 0;
  let staying = 0;
  after.members.forEach((member, index) => {
    const old = before.indexOf(member.id);
    const held = old < 0 ? 0 : countsBefore[old]!;
    staying += held;
    lacking += Math.max(0, Math.floor(shares[index]!) - held);
  });
  return Math.max(lacking, placeCount * after.partitionCount - staying);
}
