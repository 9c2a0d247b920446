/** Topologies for tests: members with addresses, a founding, and changes carried through to their end. */

import { place } from '../../src/ring/placement.ts';
import { advanced, begun } from '../../src/topology/changes.ts';
import type { TopologyRequest } from '../../src/topology/request.ts';
import { Topology, type TopologyMember } from '../../src/topology/topology.ts';

/** Member `n<number>`, on a host of its own. */
export function memberOf(number: number, zone = 'z', weight = 1): TopologyMember {
  const ports = { respPort: 6371, peerPort: 7371, httpPort: 8371 };
  return { id: `n${number}`, host: `10.0.0.${number}`, ...ports, zone, weight };
}

/** Epoch 1 of some members. */
export function foundingOf(
  members: readonly TopologyMember[],
  partitionCount = 64,
  replicaCount = 3,
): Topology {
  return Topology.founding(members, place(undefined, members, { partitionCount, replicaCount }));
}

/** Members `n1` to `n<count>`, in as many zones. */
export function foundingOfCount(count: number, zoneCount = 1, partitionCount = 64): Topology {
  const members = Array.from({ length: count }, (_, at) => memberOf(at + 1, `z${at % zoneCount}`));
  return foundingOf(members, partitionCount);
}

/** The first epoch of a change; no warnings asked for. */
export function begin(topology: Topology, request: TopologyRequest, changeId = 1): Topology {
  return begun(topology, request, changeId, 1_000).topology;
}

/** The epoch in which a change begins to copy: whoever comes is there. */
export function beginCopy(topology: Topology, request: TopologyRequest, changeId = 1): Topology {
  const first = begin(topology, request, changeId);
  return first.phase === 'enrol' ? advanced(first) : first;
}

/** The steady epoch that a change leads to. */
export function carryOut(topology: Topology, request: TopologyRequest, changeId = 1): Topology {
  return advanced(advanced(beginCopy(topology, request, changeId)));
}

/** The lists of all partitions. */
export function listsOf({ read }: Topology): (readonly string[])[] {
  return Array.from({ length: read.partitionCount }, (_, partition) =>
    read.preferenceListOfPartition(partition),
  );
}
