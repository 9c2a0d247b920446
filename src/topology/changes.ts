/**
 * How one topology becomes the next: pure functions from a page of the register to the page after it.
 *
 * The picture, of a change in its pages (docs/design/topology.md):
 *
 * ```
 *     begun, somebody comes     advanced        advanced          advanced
 *   steady ─────────────▶ enrol ────────▶ copy ─────────▶ switch ─────────▶ steady
 *    │  ▲                   │              ▲ │
 *    │  └─────── cancelled ─┴──────────────┼─┘
 *    └── begun, nobody comes ──────────────┘
 * ```
 *
 * A member that is lost in the middle (`remove`, `force`) leaves phase and tables as they are: it is only no longer
 * asked. What it still owns by the table is taken away by a change of its own, afterwards (`cleared`). If the
 * change has become pointless by it, `advanced` leads back. Nothing here decides when: that is
 * `src/node/topology-desk.ts`.
 */

import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { durationWords, plural } from '../base/words.ts';
import { place } from '../ring/placement.ts';
import { Table } from '../ring/table.ts';
import { checkAddresses, checkMember, checkWeight, refusal, ringMember } from './checks.ts';
import type { TopologyRequest } from './request.ts';
import {
  type ChangeKind,
  EPOCH_MAX,
  Topology,
  type TopologyChange,
  type TopologyMember,
} from './topology.ts';

/** How far ahead a forced epoch is of the last one known: no majority that was lost has come that far. */
export const FORCED_EPOCHS = 1000;

export interface Transition {
  /** The next epoch; the one that was given when there is nothing to do: what is asked for is so already. */
  readonly topology: Topology;
  /** What whoever asks should know: whole sentences. */
  readonly warnings: readonly string[];
}

/** What a change begins with. */
interface Beginning {
  readonly kind: ChangeKind;
  readonly nodes: readonly string[];
  readonly gone: readonly string[];
  /** Everybody who takes part: the members of now, those who come among them, the gone not. */
  readonly members: readonly TopologyMember[];
  /** Those of them that own nothing afterwards. */
  readonly leaving: readonly string[];
  readonly epoch: number;
}

/** Who asks for a change, and when. */
interface Asker {
  readonly id: number;
  readonly wall: number;
}

/**
 * The epoch that answers a request.
 * @param changeId drawn at random by whoever asks: 48 bits
 * @param wall wall milliseconds now
 * @throws CodedError `invalid` for what can never be done, `unavailable` for what cannot be done now; the message
 *   says why.
 */
export function begun(
  topology: Topology,
  request: TopologyRequest,
  changeId: number,
  wall: number,
): Transition {
  const asker = { id: changeId, wall: Math.floor(wall) };
  switch (request.kind) {
    case 'join':
      return joined(topology, request.member, asker);
    case 'leave':
      return left(topology, request.id, asker);
    case 'remove':
      return removed(topology, request.ids, asker);
    case 'replace':
      return replaced(topology, request.id, request.member, asker);
    case 'weight':
      return weighed(topology, request.id, request.weight, asker);
    case 'cancel':
      return cancelled(topology);
    case 'force':
      return forced(topology, request.gone, asker.id, asker.wall);
  }
}

/**
 * The page after this one of the change under way: `enrol` becomes `copy`, `copy` becomes `switch`, `switch` becomes
 * `steady`. A change that is in vain goes back: `switch` becomes `copy`, `copy` and `enrol` the `steady` of before.
 */
export function advanced(topology: Topology): Topology {
  const { phase, members, read, other, change } = topology;
  assert(phase !== 'steady' && change !== undefined, 'a change is under way');
  const epoch = epochAfter(topology);
  const isBack = isInVain(topology);
  if (isBack && phase !== 'switch') return takenBack(topology, change.gone, epoch);
  if (other === undefined) return enrolled(topology, change, epoch);
  if (isBack || phase === 'copy') {
    return new Topology({
      epoch,
      phase: phase === 'copy' ? 'switch' : 'copy',
      members,
      read: other,
      other: read,
      change,
    });
  }
  const staying = members.filter(({ id }) => read.has(id));
  return new Topology({ epoch, phase: 'steady', members: staying, read, other: undefined, change });
}

/**
 * Whether the change under way cannot end well any more: the node that should come is lost, or so many members
 * that a partition would be left to nobody although one who leaves still holds it. Then nothing needs to be
 * copied, and the next page is due as soon as all members know this one.
 */
export function isInVain(topology: Topology): boolean {
  const { phase, read, old, next, change } = topology;
  if (phase === 'steady' || change === undefined || change.gone.length === 0) return false;
  const isLost = (id: string): boolean => !topology.has(id);
  if (phase !== 'switch' && change.nodes.some((id) => isLost(id) && !read.has(id))) return true;
  // Owners are placed on the next page, for those who are left.
  if (old === undefined) return false;
  if (topology.members.every(({ id }) => !next.has(id))) return true;
  for (let partition = 0; partition < next.partitionCount; partition++) {
    if (!next.preferenceListOfPartition(partition).every(isLost)) continue;
    if (!old.preferenceListOfPartition(partition).every(isLost)) return true;
  }
  return false;
}

/**
 * Whether somebody may stand on a page `switch` who does not know this one: in a `copy` that a change went back to
 * (`isInVain`), or that was forced while others had gone on. Such a one reads by the new owners, and to go back to the
 * old ones alone it must know this page first. The first two pages of a change cannot follow a `switch`.
 */
export function mayFollowSwitch({ phase, epoch, change }: Topology): boolean {
  return phase === 'switch' || (phase === 'copy' && change !== undefined && epoch > change.epoch + 1);
}

/**
 * Back to the owners of before, the table itself and its members, in the next epoch.
 * @throws CodedError `invalid` when there is nothing to give up, `unavailable` when it is too late.
 */
export function cancelled(topology: Topology): Transition {
  const { phase, change } = topology;
  if (phase === 'steady') {
    if (change?.isCancelled) return { topology, warnings: [] };
    throw refusal('no change is under way that could be cancelled');
  }
  if (phase === 'switch') {
    throw notNow(
      'the change under way is past its copying: it cannot be cancelled any more, and ends by itself soon',
    );
  }
  if (!topology.members.some(({ id }) => topology.read.has(id))) {
    throw refusal('none of those who were there before the change is left: it cannot be cancelled');
  }
  return { topology: takenBack(topology, [], epochAfter(topology)), warnings: [] };
}

/**
 * What a survivor writes by itself when the majority is lost for good: `gone` are asked nothing any more. A change
 * under way goes on without them, so that what was written down here is compatible with whatever page the
 * survivors hold: the last one, or the one after it.
 * @throws CodedError `invalid`.
 */
export function forced(
  topology: Topology,
  gone: readonly string[],
  changeId: number,
  wall: number,
): Transition {
  const lost = lostAmong(topology, gone);
  if (lost.length === 0) return { topology, warnings: [] };
  const empty = partitionsOnlyOf(topology, lost);
  const warnings =
    empty === 0
      ? []
      : [
          `${plural(empty, 'partition')} had no other owner: what only the members that are gone held is lost.`,
        ];
  const epoch = epochAfter(topology, FORCED_EPOCHS);
  const next =
    topology.phase === 'steady'
      ? withoutLost(topology, lost, { id: changeId, wall }, epoch)
      : lostMeanwhile(topology, lost, epoch);
  return { topology: next, warnings: [...warnings, ...shortWarnings(next)] };
}

/**
 * In a steady epoch whose table names members that were lost during the change before: the change that takes
 * them out of it. Undefined when there are none.
 */
export function cleared(topology: Topology, changeId: number, wall: number): Topology | undefined {
  const { ghosts } = topology;
  if (topology.phase !== 'steady' || ghosts.length === 0) return undefined;
  return withoutLost(topology, ghosts, { id: changeId, wall: Math.floor(wall) }, epochAfter(topology));
}

/**
 * The same page once more, under the next number: for voters who may not vote on that one, since they forgot
 * whether they did.
 */
export function renewed(topology: Topology): Topology {
  const { phase, members, read, other, change, lost } = topology;
  return new Topology({ epoch: epochAfter(topology), phase, members, read, other, change, lost });
}

function joined(topology: Topology, member: TopologyMember, asker: Asker): Transition {
  checkMember(member);
  const known = topology.member(member.id);
  if (known !== undefined && isToOwn(topology, member.id)) {
    const differs = differenceOf(known, member);
    if (differs === undefined) return { topology, warnings: [] };
    throw refusal(`${member.id} is a member already, with another ${differs}`);
  }
  checkSteady(topology, asker.wall);
  checkNewcomer(topology, member, []);
  const members = [...topology.members, member];
  return beginning(topology, asker, { kind: 'join', nodes: [member.id], members });
}

function left(topology: Topology, id: string, asker: Asker): Transition {
  const { change, members, next } = topology;
  const isDone = change?.kind === 'leave' && change.nodes.includes(id) && !next.has(id);
  if (isDone) return { topology, warnings: [] };
  checkKnown(topology, [id]);
  checkSteady(topology, asker.wall);
  if (members.length === 1) throw refusal(`${id} is the last member: nobody is there to take what it holds`);
  return beginning(topology, asker, { kind: 'leave', nodes: [id], leaving: [id] });
}

function weighed(topology: Topology, id: string, weight: number, asker: Asker): Transition {
  checkWeight(id, weight);
  checkKnown(topology, [id]);
  if (ringMember(topology.next, id)?.weight === weight) return { topology, warnings: [] };
  checkSteady(topology, asker.wall);
  const members = topology.members.map((member) => (member.id === id ? { ...member, weight } : member));
  return beginning(topology, asker, { kind: 'weight', nodes: [id], members });
}

function removed(topology: Topology, ids: readonly string[], asker: Asker): Transition {
  const lost = lostAmong(topology, ids);
  if (lost.length === 0) return { topology, warnings: [] };
  const empty = partitionsOnlyOf(topology, lost);
  if (empty > 0) {
    throw refusal(
      `${plural(empty, 'partition')} would lose ${empty === 1 ? 'its' : 'their'} last replica with ` +
        `${lost.join(', ')}: remove fewer at a time, or use force if they are lost for good`,
    );
  }
  const epoch = epochAfter(topology);
  if (topology.phase === 'steady') {
    const next = withoutLost(topology, lost, asker, epoch);
    return { topology: next, warnings: shortWarnings(next) };
  }
  const without = lostMeanwhile(topology, lost, epoch);
  if (without.phase === 'switch' || !isInVain(without)) return { topology: without, warnings: [] };
  // All members know the page before, so this one may lead back at once. Who was to be replaced can be again.
  const { kind, gone } = topology.change!;
  const stayGone = kind === 'replace' ? lost : [...gone, ...lost];
  return { topology: takenBack(topology, stayGone, epoch), warnings: [] };
}

function replaced(topology: Topology, id: string, member: TopologyMember, asker: Asker): Transition {
  checkMember(member);
  const { change } = topology;
  const isSame = change?.kind === 'replace' && change.gone.includes(id) && isToOwn(topology, member.id);
  if (isSame && differenceOf(topology.member(member.id), member) === undefined)
    return { topology, warnings: [] };
  if (id === member.id) {
    throw refusal(`${id} cannot take its own place: a member that lost its disk is just started again`);
  }
  checkKnown(topology, [id]);
  checkSteady(topology, asker.wall);
  if (topology.has(member.id)) throw refusal(`${member.id} is a member already, and not a new node`);
  checkNewcomer(topology, member, [id]);
  const empty = partitionsOnlyOf(topology, [id]);
  if (empty > 0) {
    throw refusal(`${plural(empty, 'partition')} would lose the last replica: nobody but ${id} holds it`);
  }
  const members = [...topology.members.filter((other) => other.id !== id), member];
  return beginning(topology, asker, { kind: 'replace', nodes: [member.id], gone: [id], members });
}

/** Members that are gone for good are taken out of a steady table. */
function withoutLost(topology: Topology, lost: readonly string[], asker: Asker, epoch: number): Topology {
  const members = topology.members.filter(({ id }) => !lost.includes(id));
  return beginning(topology, asker, { kind: 'remove', nodes: lost, gone: lost, members, epoch }).topology;
}

/** Members are lost while a change is under way: it goes on and asks them nothing. */
function lostMeanwhile(topology: Topology, ids: readonly string[], epoch: number): Topology {
  const { phase, read, other, change, members } = topology;
  assert(change !== undefined, 'a change is under way');
  const gone = [...new Set([...change.gone, ...ids])];
  return new Topology({
    epoch,
    phase,
    members: members.filter(({ id }) => !ids.includes(id)),
    read,
    other,
    change: { ...change, gone },
    lost: topology.lost,
  });
}

/** The steady epoch of the owners of before; `gone` are lost besides. */
function takenBack(topology: Topology, gone: readonly string[], epoch: number): Topology {
  const { read, members, lost, change } = topology;
  const before = [...members.filter(({ id }) => read.has(id)), ...lost]
    .filter(({ id }) => !gone.includes(id))
    .map((member) => ({ ...member, weight: ringMember(read, member.id)!.weight }));
  const ghosts = read.members.map(({ id }) => id).filter((id) => !before.some((member) => member.id === id));
  return new Topology({
    epoch,
    phase: 'steady',
    members: before,
    read,
    other: undefined,
    change: { ...change!, gone: ghosts, isCancelled: true },
  });
}

/**
 * The page after `enrol`: owners are placed for the members of now, those who were lost meanwhile not among them. The
 * newcomer of a replacement sits down where the other sat, so that nobody else has to move.
 */
function enrolled(topology: Topology, change: TopologyChange, epoch: number): Topology {
  const { members, read, lost } = topology;
  const renamed = new Map<string, TopologyMember>();
  if (change.kind === 'replace') renamed.set(lost[0]!.id, topology.member(change.nodes[0]!)!);
  const other = place(tableWith(read, epoch - 1, renamed), members);
  return new Topology({ epoch, phase: 'copy', members, read, other, change, lost });
}

/** The first epoch of a change: phase `enrol` if somebody comes, else `copy`. */
function beginning(
  topology: Topology,
  asker: Asker,
  draft: Pick<Beginning, 'kind' | 'nodes'> & Partial<Beginning>,
): Transition {
  const { kind, nodes, gone = [], members = topology.members, leaving = [] } = draft;
  const { read } = topology;
  const epoch = draft.epoch ?? epochAfter(topology);
  const owners = members.filter(({ id }) => !leaving.includes(id));
  if (owners.length === 0) throw refusal('somebody must stay to hold the data');
  const isEnrolling = members.some(({ id }) => !read.has(id));
  const lost = topology.members.filter(({ id }) => gone.includes(id));
  const next = new Topology({
    epoch,
    phase: isEnrolling ? 'enrol' : 'copy',
    members,
    read,
    other: isEnrolling ? undefined : place(tableWith(read, epoch - 1), owners),
    change: {
      kind,
      id: asker.id,
      nodes,
      // Those whom an earlier change lost and this table still names are gone as well.
      gone: [...new Set([...gone, ...topology.ghosts])],
      epoch,
      beganAt: asker.wall,
    },
    lost,
  });
  return { topology: next, warnings: shortWarnings(next) };
}

/** The same table in another epoch, with members renamed: who takes whose places. */
function tableWith(
  table: Table,
  epoch: number,
  renamed: ReadonlyMap<string, TopologyMember> = new Map(),
): Table {
  if (table.epoch === epoch && renamed.size === 0) return table;
  const named = table.members.map((member) => renamed.get(member.id) ?? member);
  const members = named
    .map(({ id, weight, zone }) => ({ id, weight, zone }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const placeOf = new Map(members.map(({ id }, index) => [id, index]));
  const indexNow = named.map(({ id }) => placeOf.get(id)!);
  const { partitionCount, replicaCount, listLength } = table;
  const lists = new Uint16Array(partitionCount * listLength);
  for (let partition = 0; partition < partitionCount; partition++) {
    const old = table.replicaIndices(partition);
    for (let place = 0; place < listLength; place++) {
      lists[partition * listLength + place] = indexNow[old[place]!]!;
    }
  }
  return new Table({ epoch, partitionCount, replicaCount, members, lists });
}

/** Whether a member owns after the change under way, or now if there is none. */
function isToOwn(topology: Topology, id: string): boolean {
  return topology.has(id) && (topology.phase === 'enrol' || topology.next.has(id));
}

/** Those of `ids` that are members still. @throws CodedError `invalid`. */
function lostAmong(topology: Topology, ids: readonly string[]): string[] {
  const distinct = [...new Set(ids)];
  if (distinct.length === 0) throw refusal('say which members are gone');
  const { gone = [], nodes = [], isCancelled } = topology.change ?? {};
  // A newcomer that is lost is forgotten: nothing is left of the change that was for it.
  const isGone = (id: string): boolean => gone.includes(id) || (isCancelled === true && nodes.includes(id));
  checkKnown(
    topology,
    distinct.filter((id) => !isGone(id)),
  );
  const lost = distinct.filter((id) => topology.has(id));
  if (lost.length === topology.members.length) {
    throw refusal('somebody must stay: these are all the members there are');
  }
  return lost;
}

/** How many partitions have no owner that holds their rows but `ids`, and had one. */
function partitionsOnlyOf(topology: Topology, ids: readonly string[]): number {
  // In every phase those whom reads ask hold all that was acknowledged.
  const { read } = topology;
  let count = 0;
  for (let partition = 0; partition < read.partitionCount; partition++) {
    const holders = read.preferenceListOfPartition(partition).filter((id) => topology.has(id));
    if (holders.length > 0 && holders.every((id) => ids.includes(id))) count++;
  }
  return count;
}

function checkNewcomer(topology: Topology, member: TopologyMember, gone: readonly string[]): void {
  if (topology.ghosts.includes(member.id)) {
    throw notNow(`${member.id} is being removed: wait until it is, or take another name`);
  }
  checkAddresses(
    member,
    topology.members.filter(({ id }) => !gone.includes(id)),
  );
}

function checkKnown(topology: Topology, ids: readonly string[]): void {
  const unknown = ids.filter((id) => !topology.has(id));
  if (unknown.length === 0) return;
  const names = topology.members.map(({ id }) => id);
  const shown = names.length > 20 ? `${names.slice(0, 20).join(', ')}, …` : names.join(', ');
  throw refusal(`${unknown.join(', ')} is no member; the members are ${shown}`);
}

/** @throws CodedError `unavailable` while a change is under way. */
function checkSteady(topology: Topology, wall: number): void {
  const { phase, change } = topology;
  if (phase === 'steady' || change === undefined) return;
  const { kind, nodes, id, beganAt } = change;
  const since = durationWords(wall - beganAt);
  const advice = phase === 'switch' ? 'wait for it' : 'wait for it, or cancel it';
  throw notNow(
    `another change is under way: ${kind} ${nodes.join(', ')} (change ${id}, phase ${phase}, begun ${since} ago); ${advice}`,
  );
}

/** What differs between a member and what it is said to be, in words; undefined if nothing does. */
function differenceOf(known: TopologyMember | undefined, said: TopologyMember): string | undefined {
  if (known === undefined) return 'name';
  const fields = ['host', 'respPort', 'peerPort', 'httpPort', 'zone', 'weight'] as const;
  const differing = fields.filter((field) => known[field] !== said[field]);
  if (differing.length === 0) return undefined;
  return differing.map((field) => `${field} (${known[field]}, not ${said[field]})`).join(' and ');
}

/** What becomes of N, and of the zones, when members go. */
function shortWarnings(topology: Topology): string[] {
  const { old, next } = topology;
  if (old === undefined || next.listLength >= old.listLength) return [];
  const { listLength, replicaCount } = next;
  return [
    `Only ${plural(listLength, 'member')} will be left: keys have ${plural(listLength, 'replica')} ` +
      `instead of ${replicaCount} until others join.`,
  ];
}

function epochAfter({ epoch }: Topology, step = 1): number {
  if (epoch + step > EPOCH_MAX) throw refusal('epochs are used up');
  return epoch + step;
}

function notNow(fault: string): CodedError {
  return new CodedError('unavailable', 'fail', `${fault}; nothing was changed`);
}
