/**
 * Which part of the data this node can serve now: how many partitions have enough live replicas, in its
 * view, for a read and a write. Health, metrics and CLUSTER INFO all tell this one figure.
 */

import { isLinearizable } from '../coordinator/policy.ts';
import type { NodeApi } from './api.ts';

/**
 * How many partitions fall short, by the default policy's R or W, whichever is more. A replica that lost its
 * disk takes writes and answers no reads of what it has not got back; a node knows of itself what that is, and
 * of the others only whether there is any. A partition counts once, under the first that is true.
 */
export interface Reach {
  /** Requests fail: too few nodes are reachable, stand-ins included where the policy admits them. */
  readonly withoutQuorum: number;
  /** Requests are answered, and only because stand-ins make up for replicas that are not reachable. */
  readonly onStandIns: number;
  /** Reads are answered as far as a member that is being rebuilt has got the partition back, and fail else. */
  readonly onRebuilding: number;
}

export function reachOf(node: NodeApi): Reach {
  const { table } = node;
  const policy = node.policyOf('');
  const { r, w, strict } = policy;
  const quorum = Math.max(r, w);
  const linearizable = isLinearizable(policy, node.replicas);
  const live = new Set<string>();
  const rebuilding = new Set<string>();
  for (const { id, live: isLive, rebuildingSince } of node.members()) {
    if (!isLive) continue;
    live.add(id);
    if (rebuildingSince > 0 && id !== node.id) rebuilding.add(id);
  }
  let withoutQuorum = 0;
  let onStandIns = 0;
  let onRebuilding = 0;
  for (let partition = 0; partition < table.partitionCount; partition++) {
    let reachable = 0;
    let answering = 0;
    let doubtful = 0;
    for (const id of table.preferenceListOfPartition(partition)) {
      if (!live.has(id)) continue;
      reachable++;
      if (id !== node.id || node.answersFor(partition, linearizable)) answering++;
      if (rebuilding.has(id)) doubtful++;
    }
    if (reachable >= quorum && answering - doubtful >= r) continue;
    // Everybody who is no replica of a partition may stand in for one.
    const standIns = strict ? 0 : live.size - reachable;
    if (reachable + standIns < quorum || answering + standIns < r) withoutQuorum++;
    else if (answering - doubtful + standIns < r) onRebuilding++;
    else onStandIns++;
  }
  return { withoutQuorum, onStandIns, onRebuilding };
}

/** See `Reach.withoutQuorum`. */
export function partitionsWithoutQuorum(node: NodeApi): number {
  return reachOf(node).withoutQuorum;
}
