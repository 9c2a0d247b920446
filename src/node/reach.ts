/**
 * Which part of the data this node can serve now: how many partitions have enough live replicas, in its
 * view, for a read and a write. Health, metrics and CLUSTER INFO all tell this one figure.
 */

import type { NodeApi } from './api.ts';

/** Partitions of which fewer replicas are reachable than the default policy's R or W, whichever is more. */
export function partitionsWithoutQuorum(node: NodeApi): number {
  const { table } = node;
  const { r, w } = node.policyOf('');
  const quorum = Math.max(r, w);
  const live = new Set<string>();
  for (const member of node.members()) if (member.live) live.add(member.id);
  let without = 0;
  for (let partition = 0; partition < table.partitionCount; partition++) {
    let reachable = 0;
    for (const id of table.preferenceListOfPartition(partition)) if (live.has(id)) reachable++;
    if (reachable < quorum) without++;
  }
  return without;
}
