/**
 * The difference of two tables: what a change of epoch asks of each node.
 *
 * The picture is two seating plans laid over each other. Where a node stands only in the new one, it
 * must get the partition's rows from somebody in the old one; where only in the old one, it may drop
 * them once the new holders proved equal. A primary that changes among nodes that hold the partition
 * already moves no data.
 */

import { CodedError } from '../base/errors.ts';
import type { Table } from './table.ts';

/** What changes for one node; partitions ascending. */
export interface NodeDifference {
  readonly id: string;
  /** Partitions it is a replica of now and was not. */
  readonly gained: readonly number[];
  /** Partitions it was a replica of and is not any more. */
  readonly lost: readonly number[];
  readonly primariesGained: readonly number[];
  readonly primariesLost: readonly number[];
}

export interface TableDifference {
  /** Nodes for which something changes, sorted by id. */
  readonly nodes: readonly NodeDifference[];
  /** Partitions with another set of replicas or another order of them, ascending. */
  readonly partitionsChanged: readonly number[];
  readonly membersJoined: readonly string[];
  readonly membersLeft: readonly string[];
  /** Replicas to be copied to a node that lacks them: the data that moves, in partitions. */
  readonly replicasMoved: number;
  /** Replicas no longer wanted where they are. */
  readonly replicasDropped: number;
  /** Partitions with another primary. */
  readonly primariesMoved: number;
}

interface Draft {
  readonly id: string;
  readonly gained: number[];
  readonly lost: number[];
  readonly primariesGained: number[];
  readonly primariesLost: number[];
}

/**
 * What changes from one table to another of the same cluster.
 *
 * @throws CodedError `invalid` if the tables do not have the same partitions.
 */
export function difference(before: Table, after: Table): TableDifference {
  if (before.partitionCount !== after.partitionCount) {
    throw new CodedError('invalid', 'none', 'ring table: tables of two clusters cannot be compared');
  }
  const drafts = new Map<string, Draft>();
  const draft = (id: string): Draft => {
    let known = drafts.get(id);
    if (!known) {
      known = { id, gained: [], lost: [], primariesGained: [], primariesLost: [] };
      drafts.set(id, known);
    }
    return known;
  };
  const partitionsChanged: number[] = [];
  let replicasMoved = 0;
  let replicasDropped = 0;
  let primariesMoved = 0;
  for (let partition = 0; partition < after.partitionCount; partition++) {
    const old = before.preferenceListOfPartition(partition);
    const now = after.preferenceListOfPartition(partition);
    if (old.length === now.length && old.every((id, place) => id === now[place])) continue;
    partitionsChanged.push(partition);
    for (const id of now) {
      if (old.includes(id)) continue;
      draft(id).gained.push(partition);
      replicasMoved++;
    }
    for (const id of old) {
      if (now.includes(id)) continue;
      draft(id).lost.push(partition);
      replicasDropped++;
    }
    if (old[0] !== now[0]) {
      draft(now[0]!).primariesGained.push(partition);
      draft(old[0]!).primariesLost.push(partition);
      primariesMoved++;
    }
  }
  return {
    nodes: [...drafts.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    partitionsChanged,
    membersJoined: after.members.map((member) => member.id).filter((id) => !before.has(id)),
    membersLeft: before.members.map((member) => member.id).filter((id) => !after.has(id)),
    replicasMoved,
    replicasDropped,
    primariesMoved,
  };
}
