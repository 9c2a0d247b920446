/**
 * Which part of the data this node can serve now: how many partitions have enough live replicas, in its
 * view, for a read and a write. Health, metrics and CLUSTER INFO all tell this one figure.
 */

import { isLinearizable } from '../coordinator/policy.ts';
import type { NodeApi } from './api.ts';

/**
 * How many partitions fall short, by the default policy's R or W, whichever is more. A replica that lost its
 * disk takes writes and answers no reads; of that, a node knows its own part.
 */
export interface Reach {
  /** Requests fail: too few nodes are reachable, stand-ins included where the policy admits them. */
  readonly withoutQuorum: number;
  /** Requests are answered, and only because stand-ins make up for replicas that are not reachable. */
  readonly onStandIns: number;
}

export function reachOf(node: NodeApi): Reach {
  const { table } = node;
  const policy = node.policyOf('');
  const { r, w, strict } = policy;
  const quorum = Math.max(r, w);
  const linearizable = isLinearizable(policy, node.replicas);
  const live = new Set<string>();
  for (const member of node.members()) if (member.live) live.add(member.id);
  let withoutQuorum = 0;
  let onStandIns = 0;
  for (let partition = 0; partition < table.partitionCount; partition++) {
    let reachable = 0;
    let answering = 0;
    for (const id of table.preferenceListOfPartition(partition)) {
      if (!live.has(id)) continue;
      reachable++;
      if (id !== node.id || node.answersFor(partition, linearizable)) answering++;
    }
    if (reachable >= quorum && answering >= r) continue;
    // Everybody who is no replica of a partition may stand in for one.
    const standIns = strict ? 0 : live.size - reachable;
    if (reachable + standIns >= quorum && answering + standIns >= r) onStandIns++;
    else withoutQuorum++;
  }
  return { withoutQuorum, onStandIns };
}

/** See `Reach.withoutQuorum`. */
export function partitionsWithoutQuorum(node: NodeApi): number {
  return reachOf(node).withoutQuorum;
}
