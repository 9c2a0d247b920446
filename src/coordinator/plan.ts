/**
 * Plans: who takes part in a request for a partition, as this node sees the cluster now.
 *
 * A plan is an immutable snapshot, stamped with the topology epoch and shared by all requests for the
 * partition until a member's liveness or the table changes; then all are made anew.
 *
 * While a change moves the partition there are two lists of owners (docs/design/topology.md). Reads ask the
 * one; what is written must reach W of the one and W of the other, where a node on both counts for both. So a
 * plan has the owners of both in one row, `targets`, and says by a bit each who is on which list.
 */

import type { NodeId } from '../ports/transport.ts';
import type { Topology } from '../topology/topology.ts';

/** Which of the targets of a write are on which list. */
export interface JointLists {
  /** A bit for each target that reads ask, the first target the lowest. */
  readonly readMask: number;
  /** The same for the second list; 0 while no change moves the partition. */
  readonly otherMask: number;
  /** How long the second list is; 0 while no change moves the partition. */
  readonly otherLength: number;
}

export interface Plan extends JointLists {
  readonly epoch: number;
  /** The replicas that reads ask, in ring order: N, or all members where there are fewer. */
  readonly replicas: readonly NodeId[];
  /** Owners by the second list alone; none while no change moves the partition. */
  readonly others: readonly NodeId[];
  /** Whom writes are sent: `replicas`, then `others`. */
  readonly targets: readonly NodeId[];
  /** Whether this node is one of `replicas`, and so may coordinate. */
  readonly selfIsReplica: boolean;
  /** Whether this node is one of `targets`, and so holds rows of its own. */
  readonly selfIsTarget: boolean;
  /**
   * Live replicas but this node, nearest (own zone) first, then those on both lists, then in ring order.
   */
  readonly remotesLive: readonly NodeId[];
  /** Replicas but this node that are believed dead, or gone for good. */
  readonly remotesDead: readonly NodeId[];
  /** The same as `remotesLive` for `others`. */
  readonly othersLive: readonly NodeId[];
  /** How many of the second list are live, this node included. */
  readonly otherLiveCount: number;
  /**
   * Nodes that may stand in for the dead replicas under a sloppy policy: live, on neither list, about to
   * stay, this node included if it is such a one; in the order a clockwise walk of the ring meets them.
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

/** The same for the second list of a partition that moves. */
export function reachableOthers(plan: Plan, sloppy: boolean): number {
  const { otherLiveCount, otherLength, standIns } = plan;
  return sloppy ? Math.min(otherLength, otherLiveCount + standIns.length) : otherLiveCount;
}

/** The second list of a partition that moves; empty for one that does not. */
export function secondListOf({ targets, otherMask }: Plan): readonly NodeId[] {
  return targets.filter((_, at) => (otherMask & (1 << at)) !== 0);
}

/** Whether two plans have the same lists, so that what was counted by the one counts by the other. */
export function hasSameLists(a: Plan, b: Plan): boolean {
  if (a === b) return true;
  if (a.readMask !== b.readMask || a.otherMask !== b.otherMask) return false;
  return a.targets.length === b.targets.length && a.targets.every((id, at) => b.targets[at] === id);
}

const noNodes: readonly NodeId[] = [];

export class PlanBook {
  readonly #self: NodeId;
  readonly #liveness: Liveness;
  readonly #readsOldOwners: boolean;
  #topology: Topology;
  #plans: (Plan | undefined)[] = [];

  constructor(self: NodeId, topology: Topology, liveness: Liveness, mutants?: ReadonlySet<string>) {
    this.#self = self;
    this.#topology = topology;
    this.#liveness = liveness;
    this.#readsOldOwners = mutants?.has('read-old-owners') ?? false;
  }

  /** The plan of the partition a slot lies in. */
  of(slot: number): Plan {
    const partition = this.#topology.read.partitionOfSlot(slot);
    const known = this.#plans[partition];
    if (known !== undefined) return known;
    const made = this.#make(partition, slot);
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

  #make(partition: number, slot: number): Plan {
    const topology = this.#topology;
    const { phase } = topology;
    let { read, other } = topology;
    if (this.#readsOldOwners && phase === 'switch') [read, other] = [other!, read];
    const replicas = read.preferenceListOfPartition(partition);
    const isMoving = other !== undefined && topology.isMoving(partition);
    const second = isMoving ? other!.preferenceListOfPartition(partition) : noNodes;
    const others = isMoving ? second.filter((id) => !replicas.includes(id)) : noNodes;
    const targets = isMoving ? [...replicas, ...others] : replicas;
    const maskOf = (list: readonly NodeId[]): number =>
      targets.reduce((mask, id, at) => (list.includes(id) ? mask | (1 << at) : mask), 0);
    const remotes = replicas.filter((id) => id !== this.#self);
    // Nobody stands in who is about to go: what it keeps for others would have to move once more.
    const { change } = topology;
    const leaving = phase !== 'steady' && change?.kind === 'leave' ? change.nodes : noNodes;
    const maySubstitute = (id: NodeId): boolean =>
      this.#isLive(id) && !others.includes(id) && !leaving.includes(id);
    return {
      epoch: topology.epoch,
      replicas,
      others,
      targets,
      readMask: maskOf(replicas),
      otherMask: maskOf(second),
      otherLength: second.length,
      selfIsReplica: replicas.includes(this.#self),
      selfIsTarget: targets.includes(this.#self),
      remotesLive: this.#nearestFirst(remotes, second),
      remotesDead: remotes.filter((id) => !this.#isLive(id)),
      othersLive: this.#nearestFirst(others, second),
      otherLiveCount: second.filter((id) => this.#isLive(id)).length,
      standIns: read.standIns(slot).filter(maySubstitute),
      primary: replicas.find((id) => this.#isLive(id)),
    };
  }

  /** Whether a node is there: not one that is gone for good, though a list may still name it. */
  #isLive(id: NodeId): boolean {
    return this.#topology.has(id) && (id === this.#self || this.#liveness.isLive(id));
  }

  /** The live ones but this node, own zone first, and within a zone those that are on a second list too. */
  #nearestFirst(ids: readonly NodeId[], second: readonly NodeId[]): NodeId[] {
    const zone = this.#liveness.zoneOf(this.#self);
    const rank = (id: NodeId): number =>
      (this.#liveness.zoneOf(id) === zone ? 0 : 2) + (second.includes(id) ? 0 : 1);
    return ids.filter((id) => id !== this.#self && this.#isLive(id)).sort((a, b) => rank(a) - rank(b));
  }
}
