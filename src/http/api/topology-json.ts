/**
 * The topology as HTTP shows it: who the members are, what each owns now and after the change under way, and how
 * far this node has come with it. Made of one epoch, so that no answer mixes two.
 *
 * A member is `owning` when it owns by both tables (or there is only one), `joining` when it will own after the
 * change, `leaving` when it did before, and `gone` when the change goes on without asking it: of those nothing is
 * known but what the table says.
 */

import type { NodeApi } from '../../node/api.ts';
import type { MoveFigures } from '../../node/move-figures.ts';
import type { Shares, Table } from '../../ring/table.ts';
import { type MemberState, memberState } from '../../topology/member-state.ts';
import type { ChangeKind, Topology, TopologyChange, TopologyPhase } from '../../topology/topology.ts';
import { momentOf } from './answers.ts';

export interface TopologyMemberJson extends Shares {
  readonly id: string;
  readonly state: MemberState;
  readonly zone: string;
  readonly weight: number;
  /** Left out of those that are gone, as are the ports. */
  readonly host?: string;
  readonly respPort?: number;
  readonly peerPort?: number;
  readonly httpPort?: number;
  /** Whether this node hears it; left out of those that are gone. */
  readonly live?: boolean;
  /** After the change; left out while there is none. */
  readonly next?: Shares;
}

export interface ZoneJson extends Shares {
  readonly zone: string;
  readonly members: number;
}

export interface TopologyChangeJson {
  readonly kind: ChangeKind;
  readonly id: number;
  readonly nodes: readonly string[];
  readonly gone: readonly string[];
  readonly epoch: number;
  readonly beganAt: string;
  /** It was given up; left out otherwise. */
  readonly cancelled?: true;
}

/** The preference lists of all partitions, as indices into `ids`. */
export interface ListsJson {
  readonly ids: readonly string[];
  readonly read: readonly (readonly number[])[];
  readonly other?: readonly (readonly number[])[];
}

/** What `GET /v1/topology` and every change of it answer. */
export interface TopologyAnswer {
  /** The node that answers. */
  readonly node: string;
  readonly cluster: string;
  readonly epoch: number;
  readonly phase: TopologyPhase;
  readonly partitions: number;
  /** N as wanted; there are fewer replicas where there are fewer members. */
  readonly replicas: number;
  /** The change under way, or the one that led to this epoch. */
  readonly change?: TopologyChangeJson;
  /** By id. */
  readonly members: readonly TopologyMemberJson[];
  readonly zones: readonly ZoneJson[];
  /** Of the node that answers. */
  readonly moves: MoveFigures;
  readonly lists?: ListsJson;
  /** Of a change: what whoever asked for it should know, whole sentences; left out if there is nothing. */
  readonly warnings?: readonly string[];
  /** The whole epoch as nodes exchange it, base64. */
  readonly encoded?: string;
}

/** The answer without what must be asked for. */
export function topologyAnswer(node: NodeApi): TopologyAnswer {
  const { topology, id, clusterName } = node;
  const { epoch, phase, read, change } = topology;
  return {
    node: id,
    cluster: clusterName,
    epoch,
    phase,
    partitions: topology.partitionCount,
    replicas: read.replicaCount,
    ...(change === undefined ? {} : { change: changeJson(change) }),
    members: membersJson(node),
    zones: zonesJson(read),
    moves: node.moves(),
  };
}

function changeJson({ isCancelled, beganAt, ...change }: TopologyChange): TopologyChangeJson {
  return { ...change, beganAt: momentOf(beganAt), ...(isCancelled ? { cancelled: true } : {}) };
}

function membersJson(node: NodeApi): TopologyMemberJson[] {
  const { topology } = node;
  const live = new Map(node.members().map((member) => [member.id, member.live]));
  const known = topology.members.map((member): TopologyMemberJson => {
    const { id, host, respPort, peerPort, httpPort, zone, weight } = member;
    const state = memberState(topology, id);
    const addresses = { host, respPort, peerPort, httpPort, live: live.get(id) ?? false };
    return { id, state, zone, weight, ...addresses, ...sharesIn(topology, id) };
  });
  // Whoever is gone stands in the table of before, until it is not asked any more.
  const tables = topology.other === undefined ? [topology.read] : [topology.read, topology.other];
  const gone = new Map(tables.flatMap(({ members }) => members).map((member) => [member.id, member]));
  for (const { id } of known) gone.delete(id);
  const lost = [...gone.values()].map(({ id, zone, weight }): TopologyMemberJson => {
    return { id, state: 'gone', zone, weight, ...sharesIn(topology, id) };
  });
  return [...known, ...lost].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** What a member has now and, while there is a change, after it. */
function sharesIn({ read, other, next }: Topology, id: string): Shares & { readonly next?: Shares } {
  return { ...read.sharesOf(id), ...(other === undefined ? {} : { next: next.sharesOf(id) }) };
}

function zonesJson(table: Table): ZoneJson[] {
  const zones = new Map<string, ZoneJson>();
  for (const { id, zone } of table.members) {
    const own = table.sharesOf(id);
    const { members, primaries, replicas } = zones.get(zone) ?? { members: 0, primaries: 0, replicas: 0 };
    zones.set(zone, {
      zone,
      members: members + 1,
      primaries: primaries + own.primaries,
      replicas: replicas + own.replicas,
    });
  }
  return [...zones.values()].sort((a, b) => (a.zone < b.zone ? -1 : 1));
}

/** The whole of the tables. */
export function listsJson({ read, other }: Topology): ListsJson {
  const ids = [...new Set([read, ...(other === undefined ? [] : [other])].flatMap(idsOf))].sort();
  const indexOf = new Map(ids.map((id, index) => [id, index]));
  const listsOf = (table: Table): number[][] =>
    Array.from({ length: table.partitionCount }, (_, partition) =>
      table.preferenceListOfPartition(partition).map((id) => indexOf.get(id)!),
    );
  return { ids, read: listsOf(read), ...(other === undefined ? {} : { other: listsOf(other) }) };
}

function idsOf(table: Table): string[] {
  return table.members.map(({ id }) => id);
}
