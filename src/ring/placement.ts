/**
 * Placement: which nodes hold which partitions, as a pure function of the table before and the
 * members now. Every node that knows both computes the same table; nobody is asked.
 *
 * In four steps: how much each node should hold (`shares.ts`), what of the old table may stay, who
 * takes the empty and the surplus places (`assignment.ts`), and which of its replicas is a partition's
 * primary. A place that may stay stays, so a join or a leave moves little more than what the newcomer
 * must get or the leaver must give. The explanation, with a drawing and figures, is docs/design/ring.md;
 * why lists are chosen and not walked is docs/decisions/0002-explicit-replica-lists.md.
 *
 * Ties are broken by Murmur3 of the member id, seeded by the partition, so equal members are mixed:
 * the partners of a node are many, and its work spreads over all of them when it fails.
 */

import { byteString, utf8Bytes } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { murmur3 } from '../base/murmur3.ts';
import { Assignment, NOBODY } from './assignment.ts';
import { fairShares, zoneBounds } from './shares.ts';
import {
  checkShape,
  PARTITION_COUNT_DEFAULT,
  REPLICA_COUNT_DEFAULT,
  type RingMember,
  sortedMembers,
  Table,
} from './table.ts';

export interface PlacementOptions {
  /** A power of two up to 16,384; fixed when the cluster is founded. Default: as before, or 1024. */
  readonly partitionCount?: number;
  /** N, 1 to 15. Default: as before, or 3. */
  readonly replicaCount?: number;
}

/** What the members and the shape say, before any partition is looked at. */
interface Frame {
  readonly members: readonly RingMember[];
  readonly ids: readonly string[];
  readonly partitionCount: number;
  readonly replicaCount: number;
  readonly placeCount: number;
  readonly zoneOf: readonly number[];
  readonly zoneLow: readonly number[];
  readonly zoneHigh: readonly number[];
}

/**
 * The table of the next epoch (1 if there is no table before).
 *
 * @param members in any order; the order does not matter.
 * @throws CodedError `invalid`: members or options that cannot be used, or a partition count other
 *   than the one the cluster was founded with.
 */
export function place(
  previous: Table | undefined,
  members: readonly RingMember[],
  options: PlacementOptions = {},
): Table {
  const frame = frameOf(previous, members, options);
  const shares = replicaShares(frame);
  const replicas = replicaAssignment(frame, shares, (partition, member) => primaries.has(partition, member));
  const primaries = primaryAssignment(frame, primaryShares(frame, shares), replicas);
  if (previous) keep(frame, previous, replicas, primaries, shares);
  replicas.markBefore();
  primaries.markBefore();
  const order = visitingOrder(frame, replicas);
  // At the founding nothing is held yet: moves are free, so shares are met to the last partition.
  const strict = previous === undefined;
  settleReplicas(frame, order, replicas, primaries, strict);
  // Among zones the exchanges that are left were measured to help one leave and harm another.
  if (strict && frame.zoneLow.length === 1) replicas.evenOut();
  for (let partition = 0; partition < frame.partitionCount; partition++) {
    const primary = primaries.placesOf(partition)[0]!;
    if (primary !== NOBODY && !replicas.has(partition, primary)) primaries.remove(partition, primary);
  }
  primaries.fill();
  const lacking = primaries.lacking(strict);
  primaries.shift(order, lacking);
  primaries.reroute(lacking);
  return new Table({
    epoch: previous ? previous.epoch + 1 : 1,
    partitionCount: frame.partitionCount,
    replicaCount: frame.replicaCount,
    members: frame.members,
    lists: listsOf(frame, replicas, primaries),
  });
}

/** Brings the replicas to their shares, moving primaries along where one move can serve for both. */
function settleReplicas(
  frame: Frame,
  order: Uint16Array,
  replicas: Assignment,
  primaries: Assignment,
  strict: boolean,
): void {
  fillWithPrimary(frame, replicas, primaries);
  replicas.fill();
  for (const primaryGives of [primaries.over, primaries.spares]) {
    for (const replicaGives of [replicas.over, replicas.spares]) {
      handOverPrimaries(order, replicas, primaries, primaryGives, replicaGives);
    }
  }
  const lacking = replicas.lacking(strict);
  replicas.shift(order, lacking);
  replicas.reroute(lacking);
}

/** The fair shares of a table's members in partitions, by member index: what its balance is held to. */
export function fairSharesOf(table: Table): {
  readonly replicas: readonly number[];
  readonly primaries: readonly number[];
} {
  const frame = frameOf(table, table.members, {});
  const replicas = replicaShares(frame);
  return { replicas, primaries: primaryShares(frame, replicas) };
}

function frameOf(
  previous: Table | undefined,
  unsorted: readonly RingMember[],
  options: PlacementOptions,
): Frame {
  const partitionCount = options.partitionCount ?? previous?.partitionCount ?? PARTITION_COUNT_DEFAULT;
  const replicaCount = options.replicaCount ?? previous?.replicaCount ?? REPLICA_COUNT_DEFAULT;
  checkShape(partitionCount, replicaCount);
  if (previous && previous.partitionCount !== partitionCount) {
    throw new CodedError(
      'invalid',
      'none',
      `ring table: the cluster has ${previous.partitionCount} partitions for ever, not ${partitionCount}`,
    );
  }
  const members = sortedMembers(unsorted);
  const zones = [...new Set(members.map((member) => member.zone))].sort();
  const zoneOf = members.map((member) => zones.indexOf(member.zone));
  const placeCount = Math.min(replicaCount, members.length);
  const sizes = zones.map((_, zone) => zoneOf.filter((of) => of === zone).length);
  const { low, high } = zoneBounds(sizes, placeCount);
  const ids = members.map((member) => byteString(utf8Bytes(member.id)));
  return { members, ids, partitionCount, replicaCount, placeCount, zoneOf, zoneLow: low, zoneHigh: high };
}

function replicaShares(frame: Frame): number[] {
  const { members, partitionCount } = frame;
  return fairShares({
    weights: members.map((member) => member.weight),
    caps: members.map(() => partitionCount),
    zoneOf: frame.zoneOf,
    zoneLow: frame.zoneLow.map((low) => low * partitionCount),
    zoneHigh: frame.zoneHigh.map((high) => high * partitionCount),
    total: frame.placeCount * partitionCount,
  });
}

/** A primary is one of the replicas, so nobody's share of primaries is above that of replicas. */
function primaryShares(frame: Frame, caps: readonly number[]): number[] {
  const { members, partitionCount } = frame;
  return fairShares({
    weights: members.map((member) => member.weight),
    caps,
    zoneOf: members.map(() => 0),
    zoneLow: [partitionCount],
    zoneHigh: [partitionCount],
    total: partitionCount,
  });
}

function replicaAssignment(
  frame: Frame,
  shares: readonly number[],
  favoured: (partition: number, member: number) => boolean,
): Assignment {
  const everybody = Uint16Array.from(frame.members.keys());
  return new Assignment({
    memberCount: frame.members.length,
    partitionCount: frame.partitionCount,
    placeCount: frame.placeCount,
    shares,
    zoneOf: frame.zoneOf,
    zoneLow: frame.zoneLow,
    zoneHigh: frame.zoneHigh,
    candidates: () => everybody,
    favoured,
    tie: (partition, member) => murmur3(frame.ids[member]!, partition),
  });
}

function primaryAssignment(frame: Frame, shares: readonly number[], replicas: Assignment): Assignment {
  return new Assignment({
    memberCount: frame.members.length,
    partitionCount: frame.partitionCount,
    placeCount: 1,
    shares,
    zoneOf: frame.members.map(() => 0),
    zoneLow: [1],
    zoneHigh: [1],
    candidates: (partition) => replicas.placesOf(partition),
    favoured: () => false,
    tie: (partition, member) => murmur3(frame.ids[member]!, partition + frame.partitionCount),
  });
}

/** Seats everybody of the old table who is still a member and whom the zone bounds still allow. */
function keep(
  frame: Frame,
  previous: Table,
  replicas: Assignment,
  primaries: Assignment,
  shares: readonly number[],
): void {
  const indexOfId = new Map(frame.members.map((member, index) => [member.id, index]));
  const now = previous.members.map((member) => indexOfId.get(member.id) ?? NOBODY);
  const heldBefore = new Array<number>(frame.members.length).fill(0);
  previous.replicaCounts().forEach((count, old) => {
    if (now[old] !== NOBODY) heldBefore[now[old]!] = count;
  });
  // Where not all can stay (a zone too many, a smaller N), those go first that hold too much anyway.
  const surplus = (member: number): number => heldBefore[member]! / Math.max(shares[member]!, 1e-9);
  for (let partition = 0; partition < frame.partitionCount; partition++) {
    const stay = Array.from(previous.replicaIndices(partition), (old) => now[old]!).filter(
      (m) => m !== NOBODY,
    );
    const primary = now[previous.owners[partition]!]!;
    const ranked = stay.toSorted(
      (a, b) =>
        Number(b === primary) - Number(a === primary) ||
        surplus(a) - surplus(b) ||
        murmur3(frame.ids[b]!, partition) - murmur3(frame.ids[a]!, partition),
    );
    const kept = new Set<number>();
    for (const member of ranked) {
      if (replicas.holes(partition) === 0 || !replicas.mayAdd(partition, member)) continue;
      replicas.add(partition, member);
      kept.add(member);
    }
    // Seated by rank; sit again in the old order, so that a list changes only where it must.
    for (const member of kept) replicas.remove(partition, member);
    for (const member of stay) {
      if (kept.has(member)) replicas.add(partition, member);
      else heldBefore[member]!--;
    }
    if (primary !== NOBODY && kept.has(primary)) primaries.add(partition, primary);
  }
}

/**
 * Partitions in the order in which places are handed over: mixed, and mixed anew for each newcomer, so
 * that nodes that join one after another do not gather in the same partitions.
 */
function visitingOrder(frame: Frame, replicas: Assignment): Uint16Array {
  let seed = 0;
  frame.ids.forEach((id, member) => {
    if (replicas.needs(member)) seed = murmur3(id, seed);
  });
  const keys = Array.from({ length: frame.partitionCount }, (_, partition) =>
    murmur3(String(partition), seed),
  );
  return Uint16Array.from([...keys.keys()].sort((a, b) => keys[a]! - keys[b]! || a - b));
}

/** Where the primary is gone and a place is empty, one node takes both: one move instead of two. */
function fillWithPrimary(frame: Frame, replicas: Assignment, primaries: Assignment): void {
  let unneeded = primaries.unneeded();
  for (let partition = 0; partition < frame.partitionCount; partition++) {
    if (primaries.holes(partition) === 0 || replicas.holes(partition) === 0) continue;
    let best = NOBODY;
    for (let member = 0; member < frame.members.length; member++) {
      if (!(unneeded > 0 ? primaries.hasRoom(member) : primaries.needs(member))) continue;
      if (!replicas.hasRoom(member)) continue;
      if (!replicas.mayAdd(partition, member)) continue;
      if (best !== NOBODY && replicas.needs(best) && !replicas.needs(member)) continue;
      if (best === NOBODY || primaries.behind(partition, member, best)) best = member;
    }
    if (best === NOBODY) continue;
    if (!primaries.needs(best)) unneeded--;
    replicas.add(partition, best);
    primaries.add(partition, best);
  }
}

/**
 * Where a primary has too many and somebody there holds too much data, a node in need of both takes a
 * place and the primary with it.
 */
function handOverPrimaries(
  order: Uint16Array,
  replicas: Assignment,
  primaries: Assignment,
  primaryGives: (member: number) => boolean,
  replicaGives: (member: number) => boolean,
): void {
  const inNeed = (member: number): boolean => primaries.needs(member) && replicas.needs(member);
  for (const partition of order) {
    const primary = primaries.placesOf(partition)[0]!;
    if (primary === NOBODY || !primaryGives.call(primaries, primary)) continue;
    const givers = Array.from(replicas.placesOf(partition)).filter((member) =>
      replicaGives.call(replicas, member),
    );
    givers.sort((a, b) => (replicas.behind(partition, a, b) ? 1 : -1));
    for (const giver of givers) {
      const heir = replicas.heir(partition, giver, inNeed);
      if (heir === NOBODY) continue;
      replicas.swap(partition, giver, heir);
      primaries.swap(partition, primary, heir);
      break;
    }
  }
}

/** The lists, primary first; the primary changes places with whoever stood there. */
function listsOf(frame: Frame, replicas: Assignment, primaries: Assignment): Uint16Array {
  const lists = new Uint16Array(frame.partitionCount * frame.placeCount);
  for (let partition = 0; partition < frame.partitionCount; partition++) {
    const list = replicas.placesOf(partition).slice();
    const primary = primaries.placesOf(partition)[0]!;
    const place = list.indexOf(primary);
    list[place] = list[0]!;
    list[0] = primary;
    lists.set(list, partition * frame.placeCount);
  }
  return lists;
}
