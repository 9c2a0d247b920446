/**
 * Which part of the data this node can serve now: how many partitions have enough live replicas, in its
 * view, for a read and a write. Health, metrics and CLUSTER INFO all tell this one figure.
 */

import type { NodeApi } from './api.ts';

/** How many partitions fall short, by the default policy's R or W, whichever is more. */
export interface Reach {
  /** Requests fail: too few nodes are reachable, stand-ins included where the policy admits them. */
  readonly withoutQuorum: number;
  /** Requests are answered, and only because stand-ins make up for replicas that are not reachable. */
  readonly onStandIns: number;
}

export function reachOf(node: NodeApi): Reach {
  const { table } = node;
  const { r, w, strict } = node.policyOf('');
  const quorum = Math.max(r, w);
  const live = new Set<string>();
  for (const member of node.members()) if (member.live) live.add(member.id);
  let short = 0;
  for (let partition = 0; partition < table.partitionCount; partition++) {
    let reachable = 0;
    for (const id of table.preferenceListOfPartition(partition)) if (live.has(id)) reachable++;
    if (reachable < quorum) short++;
  }
  // Everybody who is no replica of a partition may stand in for one.
  const served = !strict && live.size >= quorum;
  return { withoutQuorum: served ? 0 : short, onStandIns: served ? short : 0 };
}

/** See `Reach.withoutQuorum`. */
export function partitionsWithoutQuorum(node: NodeApi): number {
  return reachOf(node).withoutQuorum;
}
