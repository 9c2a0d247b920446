/**
 * Fills in the status of a node from what its parts say of themselves, and has it judged.
 *
 * Called when somebody looks, a few times a minute: nothing here is on the path of a request.
 */

import type { CodedError } from '../base/errors.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import { memberState } from '../topology/member-state.ts';
import type { MemberView, NodeApi } from './api.ts';
import type { HorizonStatus } from './horizon-desk.ts';
import { NO_MOVES } from './move-figures.ts';
import type { PastFigures } from './past-desk.ts';
import { reachOf } from './reach.ts';
import type {
  ChangeStatus,
  HintsStatus,
  HorizonView,
  MemberStatus,
  NodeStatus,
  PastStatus,
  PoliciesStatus,
  RepairStatus,
  SiblingsStatus,
  StorageStatus,
} from './status.ts';
import { isSettled, reasonsOf, verdictOf } from './verdict.ts';

/** What the parts of a node say, as they say it. */
export interface StatusParts {
  readonly node: NodeApi;
  readonly uptimeMs: number;
  readonly storage: Pick<Storage, 'engine' | 'durable'>;
  /** Why storage is not believed any more. */
  readonly failure: CodedError | undefined;
  readonly clockDoubted: boolean;
  /** A member's clock less ours, milliseconds; null while it is not known. */
  readonly clockOffsetOf: (id: NodeId) => number | null;
  /** Age of the oldest difference with a member that anti-entropy found and has not mended, milliseconds. */
  readonly differenceAgeMs: (member: MemberView) => number;
  readonly hints?: HintsStatus;
  readonly repair?: RepairStatus;
  readonly past?: PastFigures;
  readonly horizon?: HorizonStatus;
  readonly horizonAlarmMs: number;
  readonly siblings?: SiblingsStatus;
  readonly policies?: PoliciesStatus;
}

/** Thousandths are enough for people, and for JSON. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

export function nodeStatus(parts: StatusParts): NodeStatus {
  const { node, hints, repair, policies } = parts;
  const findings = {
    node: node.id,
    cluster: node.clusterName,
    epoch: node.topology.epoch,
    replicas: node.replicas,
    uptimeMs: rounded(parts.uptimeMs),
    members: node.members().map((member) => memberStatus(parts, member)),
    partitions: { count: node.table.partitionCount, ...reachOf(node), strays: node.moves().strays },
    storage: storageStatus(parts),
    ...changeStatus(node),
    ...(hints === undefined ? {} : { hints }),
    ...(repair === undefined ? {} : { repair }),
    ...horizonView(parts),
    ...pastStatus(parts),
    ...siblingsStatus(parts),
    ...(policies === undefined ? {} : { policies }),
  };
  const reasons = reasonsOf(findings, { clockDoubted: parts.clockDoubted });
  // A table that names somebody who is gone is left behind as soon as the next change, which the nodes begin by themselves.
  const settled = isSettled(findings) && parts.node.topology.ghosts.length === 0;
  return { ...findings, verdict: verdictOf(reasons), reasons, settled };
}

function changeStatus(node: NodeApi): { change?: ChangeStatus } {
  const { epoch, phase, change } = node.topology;
  if (phase === 'steady' || change === undefined) return {};
  const { kind, nodes, gone, isCancelled, beganAt } = change;
  const busy = node.members().filter(({ settledEpoch }) => settledEpoch < epoch);
  const moves = node.moves();
  // Until the move desk has looked round, its figures are of the epoch before.
  const { partitions, partitionsDone, bytes, bytesLeft, bytesPerSecond } =
    moves.epoch === epoch ? moves : NO_MOVES;
  return {
    change: {
      kind,
      nodes,
      gone,
      cancelled: isCancelled === true,
      phase,
      sinceMs: Math.max(0, node.wall() - beganAt),
      busy: busy.map(({ id }) => id),
      waitsFor: busy.filter(({ live }) => !live).map(({ id }) => id),
      partitions,
      partitionsDone,
      bytes,
      bytesLeft: rounded(bytesLeft),
      bytesPerSecond: rounded(bytesPerSecond),
    },
  };
}

function horizonView({ horizon, horizonAlarmMs }: StatusParts): { horizon?: HorizonView } {
  if (horizon === undefined) return {};
  const view = { ...horizon, ageMs: rounded(horizon.ageMs), alarmMs: horizonAlarmMs };
  // What hinders a single attempt is no news: most pass by themselves.
  return { horizon: view.held === 0 ? { ...view, heldBy: '', reason: '' } : view };
}

function siblingsStatus({ siblings }: StatusParts): { siblings?: SiblingsStatus } {
  if (siblings === undefined) return {};
  const { writes, refused, readsByValues } = siblings;
  const isMet = writes + refused > 0 || readsByValues.some((count) => count > 0);
  return isMet ? { siblings } : {};
}

function pastStatus({ node, past }: StatusParts): { past?: PastStatus } {
  if (past === undefined) return {};
  const {
    state,
    generation,
    unheard,
    partitionsNone,
    partitionsLoose,
    partitionsFull,
    rows,
    sinceWall,
    reason,
  } = past;
  const partitions = partitionsNone + partitionsLoose + partitionsFull;
  const whole = state === 'sure';
  return {
    past: {
      whole,
      state,
      generation,
      unheard,
      partitions,
      vouched: partitionsFull,
      vouchedLoosely: partitionsLoose,
      progress: whole || partitions === 0 ? 1 : partitionsFull / partitions,
      rowsTaken: rows,
      sinceMs: whole || sinceWall === 0 ? 0 : Math.max(0, node.wall() - sinceWall),
      reason: whole ? '' : reason,
    },
  };
}

function memberStatus(parts: StatusParts, member: MemberView): MemberStatus {
  const { id, host, respPort, httpPort, zone } = member;
  const clockOffsetMs = parts.clockOffsetOf(id);
  const hinted = parts.hints?.targets.find(({ target }) => target === id);
  const { rebuildingSince } = member;
  const rebuildingMs = rebuildingSince === 0 ? 0 : Math.max(1, parts.node.wall() - rebuildingSince);
  return {
    id,
    host,
    respPort,
    httpPort,
    zone,
    state: memberState(parts.node.topology, id),
    status: member.status,
    reachable: member.live,
    phi: rounded(member.phi),
    incarnation: member.incarnation,
    silenceMs: rounded(member.silenceMs),
    clockOffsetMs: clockOffsetMs === null ? null : rounded(clockOffsetMs),
    replyP95Ms: rounded(member.replyP95Ms),
    seenThrough: member.seenThrough ?? '',
    lagMs: rounded(Math.max(hinted?.oldestAgeMs ?? 0, parts.differenceAgeMs(member), rebuildingMs)),
    rebuildingMs: rounded(rebuildingMs),
  };
}

function storageStatus({ node, storage, failure }: StatusParts): StorageStatus {
  const figures = node.figures();
  return {
    engine: storage.engine,
    durable: storage.durable,
    state: failure !== undefined ? 'failed' : figures.storage.full === true ? 'full' : 'ok',
    failure: failure?.message ?? '',
    bytesMemory: figures.storage.bytesMemory,
    bytesDisk: figures.storage.bytesDisk,
    rowsDamaged: figures.rowsDamaged,
  };
}
