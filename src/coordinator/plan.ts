/**
 * Plans: who takes part in a request for a partition, as this node sees the cluster now.
 *
 * A plan is an immutable snapshot, stamped with the topology epoch and shared by all requests for the
 * partition until a member's liveness or the table changes; then all are made anew.
 */

import type { NodeId } from '../ports/transport.ts';
import type { Topology } from '../topology/topology.ts';

export interface Plan {
  readonly epoch: number;
  /** The key's N replicas in ring order. */
  readonly replicas: readonly NodeId[];
  /** Whether this node is one of them, and so may coordinate. */
  readonly selfIsReplica: boolean;
  /** Live replicas but this node, nearest (own zone) first, then in ring order. */
  readonly remotesLive: readonly NodeId[];
  /** Replicas but this node that are believed dead. */
  readonly remotesDead: readonly NodeId[];
  /**
   * Nodes that may stand in for the dead replicas under a sloppy policy: live, no replicas, this node
   * included if it is none; in the order a clockwise walk of the ring meets them.
   */
  readonly standIns: readonly NodeId[];
  /** First live replica in ring order: where read-modify-writes are serialised. */
  readonly primary: NodeId | undefined;
}

/** Who is alive, and where. */
export interface Liveness {
  isLive(id: NodeId): boolean;
  zoneOf(id: NodeId): string;
}

/**
 * How many nodes can take part now, at most N: this node as a replica, the live replicas, and under a
 * sloppy policy stand-ins for those that are missing.
 * @param selfCounts whether this node is a replica whose word counts
 */
export function reachableNodes(
  plan: Plan,
  sloppy: boolean,
  selfCounts: boolean = plan.selfIsReplica,
): number {
  const live = plan.remotesLive.length + (selfCounts ? 1 : 0);
  return sloppy ? Math.min(plan.replicas.length, live + plan.standIns.length) : live;
}

export class PlanBook {
  readonly #self: NodeId;
  readonly #liveness: Liveness;
  #topology: Topology;
  #plans: (Plan | undefined)[] = [];

  constructor(self: NodeId, topology: Topology, liveness: Liveness) {
    this.#self = self;
    this.#topology = topology;
    this.#liveness = liveness;
  }

  /** The plan of the partition a slot lies in. */
  of(slot: number): Plan {
    const { read } = this.#topology;
    const partition = read.partitionOfSlot(slot);
    const known = this.#plans[partition];
    if (known !== undefined) return known;
    const made = this.#make(read.preferenceList(slot), read.standIns(slot));
    this.#plans[partition] = made;
    return made;
  }

  /** Forgets all plans: liveness changed. */
  invalidate(): void {
    this.#plans = [];
  }

  /** Another epoch is in force. */
  setTopology(topology: Topology): void {
    this.#topology = topology;
    this.#plans = [];
  }

  #make(replicas: readonly NodeId[], walk: readonly NodeId[]): Plan {
    const zone = this.#liveness.zoneOf(this.#self);
    const remotes = replicas.filter((id) => id !== this.#self);
    const live = remotes.filter((id) => this.#liveness.isLive(id));
    const near = live.filter((id) => this.#liveness.zoneOf(id) === zone);
    const far = live.filter((id) => this.#liveness.zoneOf(id) !== zone);
    return {
      epoch: this.#topology.epoch,
      replicas,
      selfIsReplica: replicas.includes(this.#self),
      remotesLive: [...near, ...far],
      remotesDead: remotes.filter((id) => !this.#liveness.isLive(id)),
      standIns: walk.filter((id) => id === this.#self || this.#liveness.isLive(id)),
      primary: replicas.find((id) => id === this.#self || this.#liveness.isLive(id)),
    };
  }
}
