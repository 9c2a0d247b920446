/**
 * Which part of the data this node can serve now: how many partitions have enough live replicas, in its
 * view, for a read and a write. Health, metrics and CLUSTER INFO all tell this one figure.
 */

import { isLinearizable, type Policy, quorumOf } from '../coordinator/policy.ts';
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
  const around = new Surroundings(node);
  let withoutQuorum = 0;
  let onStandIns = 0;
  let onRebuilding = 0;
  for (let partition = 0; partition < node.table.partitionCount; partition++) {
    const state = around.look(partition);
    if (state === 'lost') withoutQuorum++;
    else if (state === 'rebuilding') onRebuilding++;
    else if (state === 'stand-ins') onStandIns++;
  }
  return { withoutQuorum, onStandIns, onRebuilding };
}

/** Who is there, under the default policy. */
class Surroundings {
  readonly #node: NodeApi;
  readonly #policy: Policy;
  readonly #isLinearizable: boolean;
  readonly #live: Set<string> = new Set();
  readonly #rebuilding: Set<string> = new Set();
  /** Live owners of anything, but those that are about to go: they may stand in where they are no owners. */
  readonly #standIns: readonly string[];

  constructor(node: NodeApi) {
    const { topology } = node;
    this.#node = node;
    this.#policy = node.policyOf('');
    this.#isLinearizable = isLinearizable(this.#policy, node.table.listLength);
    for (const { id, live, rebuildingSince } of node.members()) {
      if (!live) continue;
      this.#live.add(id);
      if (rebuildingSince > 0 && id !== node.id) this.#rebuilding.add(id);
    }
    const owners = topology.read.members.map(({ id }) => id);
    this.#standIns = owners.filter((id) => this.#live.has(id) && topology.next.has(id));
  }

  /** How a partition is served: at all, and if so only just. */
  look(partition: number): 'well' | 'stand-ins' | 'rebuilding' | 'lost' {
    const { topology } = this.#node;
    const list = topology.read.preferenceListOfPartition(partition);
    const second = topology.isMoving(partition)
      ? topology.other!.preferenceListOfPartition(partition)
      : undefined;
    const r = quorumOf(this.#policy.r, list.length);
    const quorum = Math.max(r, quorumOf(this.#policy.w, list.length));
    const { reachable, answering, doubtful } = this.#count(partition, list);
    // While it moves, a write needs W of the second list too.
    const needed = second === undefined ? 0 : quorumOf(this.#policy.w, second.length);
    const reached = second?.filter((id) => this.#live.has(id)).length ?? 0;
    if (reachable >= quorum && answering - doubtful >= r && reached >= needed) return 'well';
    const standIns = this.#policy.strict ? 0 : this.#standInsOf(list, second);
    if (reachable + standIns < quorum || answering + standIns < r || reached + standIns < needed)
      return 'lost';
    return answering - doubtful + standIns < r ? 'rebuilding' : 'stand-ins';
  }

  #count(
    partition: number,
    list: readonly string[],
  ): { reachable: number; answering: number; doubtful: number } {
    const node = this.#node;
    let reachable = 0;
    let answering = 0;
    let doubtful = 0;
    for (const id of list) {
      if (!this.#live.has(id)) continue;
      reachable++;
      if (id !== node.id || node.answersFor(partition, this.#isLinearizable)) answering++;
      if (this.#rebuilding.has(id)) doubtful++;
    }
    return { reachable, answering, doubtful };
  }

  #standInsOf(list: readonly string[], second: readonly string[] | undefined): number {
    let count = 0;
    for (const id of this.#standIns) if (!list.includes(id) && second?.includes(id) !== true) count++;
    return count;
  }
}

/** See `Reach.withoutQuorum`. */
export function partitionsWithoutQuorum(node: NodeApi): number {
  return reachOf(node).withoutQuorum;
}
