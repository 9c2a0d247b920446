/**
 * What a node has to fetch while owners change: which partitions, and from whom.
 *
 * The picture: the removal list. A new owner asks every old owner for what the other did not have, since a write
 * may lie on any W of them. Where owners go and none come, the first of those who stay asks those who go, so that
 * what lies with them alone is not lost. Pure: a function of the topology and the node.
 */

import type { NodeId } from '../ports/transport.ts';
import type { Topology } from '../topology/topology.ts';

/** A partition to be compared here with these peers, in this order; with none there is nobody left to ask. */
export interface PartitionMove {
  readonly partition: number;
  readonly peers: readonly NodeId[];
}

/**
 * The partitions `self` has to compare before the change goes on; none outside phase `copy`.
 * @param zoneOf what a member fails together with: those of the own zone are asked first
 */
export function movesTo(self: NodeId, topology: Topology, zoneOf: (id: NodeId) => string): PartitionMove[] {
  const moves: PartitionMove[] = [];
  if (topology.phase !== 'copy' || !topology.has(self)) return moves;
  for (let partition = 0; partition < topology.partitionCount; partition++) {
    const peers = peersOf(self, topology, partition);
    if (peers !== undefined) moves.push({ partition, peers: nearestFirst(self, peers, partition, zoneOf) });
  }
  return moves;
}

/** Whom `self` has to ask for a partition: undefined for nobody, because it need not. */
function peersOf(self: NodeId, topology: Topology, partition: number): NodeId[] | undefined {
  const before = topology.read.preferenceListOfPartition(partition);
  const after = topology.next.preferenceListOfPartition(partition);
  const present = before.filter((id) => id !== self && topology.has(id));
  if (!before.includes(self)) return after.includes(self) ? present : undefined;
  const isFirst = after.find((id) => topology.has(id)) === self;
  if (!isFirst || after.some((id) => !before.includes(id))) return undefined;
  const goers = present.filter((id) => !after.includes(id));
  return goers.length === 0 ? undefined : goers;
}

/** The own zone first; within a zone another one first for each partition, so that all give their share. */
function nearestFirst(
  self: NodeId,
  peers: readonly NodeId[],
  partition: number,
  zoneOf: (id: NodeId) => string,
): NodeId[] {
  const turn = peers.length === 0 ? 0 : partition % peers.length;
  const turned = [...peers.slice(turn), ...peers.slice(0, turn)];
  const zone = zoneOf(self);
  return [...turned.filter((id) => zoneOf(id) === zone), ...turned.filter((id) => zoneOf(id) !== zone)];
}
