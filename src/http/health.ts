/**
 * Health: whether the node should be sent requests, and if not, why.
 *
 * *Live* means that the process answers at all; a supervisor restarts what is not. *Ready* means that it
 * can serve: it has started, its storage works, and it reaches enough replicas for a quorum. A node that
 * misses a quorum for some partitions is still ready, since it serves the others and no other node would
 * do better; one that has a quorum for none is not.
 */

import type { NodeApi } from '../node/api.ts';
import { partitionsWithoutQuorum } from '../node/reach.ts';

export interface Readiness {
  readonly ready: boolean;
  /** What is wrong, in words; empty when nothing is. */
  readonly problems: readonly string[];
  readonly membersLive: number;
  readonly members: number;
  readonly partitions: number;
  /** Partitions for which fewer nodes are reachable than the default policy needs. */
  readonly partitionsWithoutQuorum: number;
}

/** @param fault why the node cannot serve, as far as the process knows (starting, storage lost). */
export function readinessOf(node: NodeApi, fault: string | undefined): Readiness {
  const members = node.members();
  const membersLive = members.filter(({ live }) => live).length;
  const partitions = node.table.partitionCount;
  const without = partitionsWithoutQuorum(node);
  const problems: string[] = [];
  if (fault !== undefined) problems.push(fault);
  if (without > 0) {
    problems.push(
      `no quorum for ${without} of ${partitions} partitions: ${membersLive} of ${members.length} live`,
    );
  }
  return {
    ready: fault === undefined && without < partitions,
    problems,
    membersLive,
    members: members.length,
    partitions,
    partitionsWithoutQuorum: without,
  };
}
