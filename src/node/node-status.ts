/**
 * Fills in the status of a node from what its parts say of themselves, and has it judged.
 *
 * Called when somebody looks, a few times a minute: nothing here is on the path of a request.
 */

import type { CodedError } from '../base/errors.ts';
import type { Storage } from '../ports/storage.ts';
import type { MemberView, NodeApi } from './api.ts';
import type { HorizonStatus } from './horizon-desk.ts';
import { partitionsWithoutQuorum } from './reach.ts';
import type {
  HintsStatus,
  HorizonView,
  MemberStatus,
  NodeStatus,
  PastStatus,
  RepairStatus,
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
  /** Age of the oldest difference with a member that anti-entropy found and has not mended, milliseconds. */
  readonly differenceAgeMs: (member: MemberView) => number;
  readonly hints?: HintsStatus;
  readonly repair?: RepairStatus;
  readonly past?: PastStatus;
  readonly horizon?: HorizonStatus;
  readonly horizonAlarmMs: number;
}

export function nodeStatus(parts: StatusParts): NodeStatus {
  const { node, uptimeMs, hints, repair, past } = parts;
  const findings = {
    node: node.id,
    cluster: node.clusterName,
    epoch: node.table.epoch,
    replicas: node.replicas,
    uptimeMs,
    members: node.members().map((member) => memberStatus(parts, member)),
    partitions: { count: node.table.partitionCount, withoutQuorum: partitionsWithoutQuorum(node) },
    storage: storageStatus(parts),
    ...(hints === undefined ? {} : { hints }),
    ...(repair === undefined ? {} : { repair }),
    ...horizonView(parts),
    ...(past === undefined ? {} : { past }),
  };
  const reasons = reasonsOf(findings, { clockDoubted: parts.clockDoubted });
  return { ...findings, verdict: verdictOf(reasons), reasons, settled: isSettled(findings) };
}

function horizonView({ horizon, horizonAlarmMs }: StatusParts): { horizon?: HorizonView } {
  return horizon === undefined ? {} : { horizon: { ...horizon, alarmMs: horizonAlarmMs } };
}

function memberStatus(parts: StatusParts, member: MemberView): MemberStatus {
  const { id, host, respPort, httpPort, zone } = member;
  const hinted = parts.hints?.targets.find(({ target }) => target === id);
  return {
    id,
    host,
    respPort,
    httpPort,
    zone,
    status: member.status,
    reachable: member.live,
    phi: member.phi,
    incarnation: member.incarnation,
    silenceMs: member.silenceMs,
    clockOffsetMs: null,
    replyP95Ms: member.replyP95Ms,
    seenThrough: member.seenThrough ?? '',
    lagMs: Math.max(hinted?.oldestAgeMs ?? 0, parts.differenceAgeMs(member)),
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
