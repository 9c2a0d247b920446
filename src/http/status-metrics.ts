/**
 * The status of a node (`src/node/status.ts`) as metrics: what a monitor draws and alerts on. Data only;
 * `metrics.ts` registers them. A part that the node does not have gives no samples, rather than zeros.
 */

import type { MemberStatus, NodeStatus } from '../node/status.ts';

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

export interface StatusMetric {
  readonly name: string;
  readonly help: string;
  readonly kind: 'gauge' | 'counter';
  readonly labels: readonly string[];
  readonly samples: (status: NodeStatus) => readonly Sample[];
}

const none: Labels = {};
const verdicts = ['well', 'degraded', 'critical'] as const;
const statuses = ['alive', 'suspect', 'down', 'left'] as const;

/** A gauge of the node; no sample where `read` gives undefined. */
function gauge(
  name: string,
  help: string,
  read: (status: NodeStatus) => number | undefined | null,
): StatusMetric {
  return { name, help, kind: 'gauge', labels: [], samples: (status) => single(read(status)) };
}

function counter(name: string, help: string, read: (status: NodeStatus) => number | undefined): StatusMetric {
  return { name, help, kind: 'counter', labels: [], samples: (status) => single(read(status)) };
}

function single(value: number | undefined | null): readonly Sample[] {
  return value === undefined || value === null ? [] : [[none, value]];
}

/** A gauge a member other than the node itself. */
function peerGauge(
  name: string,
  help: string,
  read: (member: MemberStatus, status: NodeStatus) => number | undefined | null,
): StatusMetric {
  const samples = (status: NodeStatus): readonly Sample[] =>
    peersOf(status).flatMap((member): Sample[] => {
      const value = read(member, status);
      return value === undefined || value === null ? [] : [[{ peer: member.id }, value]];
    });
  return { name, help, kind: 'gauge', labels: ['peer'], samples };
}

function peersOf(status: NodeStatus): readonly MemberStatus[] {
  return status.members.filter(({ id }) => id !== status.node);
}

/** Of hints for a member: 0 where there are none, no sample where the node keeps none at all. */
function ofHints(
  { id }: MemberStatus,
  { hints }: NodeStatus,
  read: (target: { count: number; bytes: number; oldestAgeMs: number }) => number,
): number | undefined {
  if (hints === undefined) return undefined;
  const target = hints.targets.find((each) => each.target === id);
  return target === undefined ? 0 : read(target);
}

function flag(value: boolean | undefined): number | undefined {
  return value === undefined ? undefined : value ? 1 : 0;
}

/** Bytes of an entry of a version vector. */
const actorBytes = 20;

const peerStatus: StatusMetric = {
  name: 'dure_peer_status',
  help: 'What is made of the member: 1 for the status it has',
  kind: 'gauge',
  labels: ['peer', 'status'],
  samples: (status) =>
    peersOf(status).flatMap((member) =>
      statuses.map((each): Sample => [{ peer: member.id, status: each }, member.status === each ? 1 : 0]),
    ),
};

const repairReplicas: StatusMetric = {
  name: 'dure_repair_replicas',
  help: 'Replicas of partitions, as they were when last compared',
  kind: 'gauge',
  labels: ['state'],
  samples: ({ repair }) =>
    repair === undefined
      ? []
      : (['equal', 'differing', 'unknown'] as const).map((state): Sample => [{ state }, repair[state]]),
};

export const STATUS_METRICS: readonly StatusMetric[] = [
  gauge('dure_verdict', 'How the node judges the state of things: 0 well, 1 degraded, 2 critical', (s) =>
    verdicts.indexOf(s.verdict),
  ),
  gauge(
    'dure_partitions_on_stand_ins',
    'Partitions served only because other nodes stand in for their replicas',
    (s) => s.partitions.onStandIns,
  ),
  gauge(
    'dure_partitions_on_rebuilding',
    'Partitions whose reads fail until a member that is being rebuilt has got them back',
    (s) => s.partitions.onRebuilding,
  ),
  gauge(
    'dure_partitions_strays',
    'Partitions that belong to other members now and of which rows are still here',
    (s) => s.partitions.strays,
  ),
  gauge(
    'dure_change_seconds',
    'For how long a change of the members is under way; 0 while there is none',
    (s) => (s.change === undefined ? 0 : s.change.sinceMs / 1000),
  ),
  gauge(
    'dure_change_waits_for',
    'Members that a change waits for and that this node does not reach',
    (s) => s.change?.waitsFor.length ?? 0,
  ),
  gauge('dure_change_partitions', 'Partitions that this node is to fetch for the change under way', (s) =>
    s.change === undefined ? 0 : s.change.partitions,
  ),
  gauge('dure_change_partitions_done', 'Of these, those that are here', (s) =>
    s.change === undefined ? 0 : s.change.partitionsDone,
  ),
  gauge('dure_settled', 'Whether nothing is outstanding at this node', (s) => flag(s.settled)),
  peerGauge(
    'dure_replication_lag_seconds',
    'Age of the oldest write that the member is known to lack',
    (m) => m.lagMs / 1000,
  ),
  peerGauge(
    'dure_peer_rebuilding_seconds',
    'For how long the member has been rebuilt after it lost data; 0 while it is whole',
    (m) => m.rebuildingMs / 1000,
  ),
  peerGauge('dure_peer_phi', 'How unusual the silence of the member is (phi-accrual)', (m) => m.phi),
  peerStatus,
  peerGauge('dure_peer_clock_offset_seconds', "The member's clock less this node's", (m) =>
    m.clockOffsetMs === null ? null : m.clockOffsetMs / 1000,
  ),
  peerGauge('dure_hints', 'Rows kept here for the member', (m, s) => ofHints(m, s, ({ count }) => count)),
  peerGauge('dure_hints_bytes', 'Bytes of the rows kept here for the member', (m, s) =>
    ofHints(m, s, ({ bytes }) => bytes),
  ),
  peerGauge('dure_hints_oldest_seconds', 'Age of the oldest row kept here for the member', (m, s) =>
    ofHints(m, s, ({ oldestAgeMs }) => oldestAgeMs / 1000),
  ),
  gauge(
    'dure_hints_unreadable',
    'Rows kept here for others that fail their checksum',
    (s) => s.hints?.unreadable,
  ),
  gauge('dure_hints_bytes_max', 'Bound on the bytes kept for one member', (s) => s.hints?.bytesMax),
  counter(
    'dure_hints_delivered_total',
    'Rows handed over to members that came back',
    (s) => s.hints?.delivered,
  ),
  repairReplicas,
  gauge('dure_repair_round_age_seconds', 'Time since all partitions were compared', (s) =>
    s.repair?.roundAgeMs === undefined || s.repair.roundAgeMs === null ? null : s.repair.roundAgeMs / 1000,
  ),
  gauge('dure_repair_time_share', 'Share of the time that comparing took lately', (s) => s.repair?.timeShare),
  counter('dure_repair_rows_sent_total', 'Rows sent by anti-entropy', (s) => s.repair?.rowsSent),
  counter('dure_repair_rows_taken_total', 'Rows taken by anti-entropy', (s) => s.repair?.rowsTaken),
  gauge('dure_horizon_age_seconds', 'Age of the oldest tombstone horizon this node leads', (s) =>
    s.horizon === undefined ? undefined : s.horizon.ageMs / 1000,
  ),
  gauge(
    'dure_horizon_partitions_held',
    'Partitions whose tombstones wait for too long',
    (s) => s.horizon?.held,
  ),
  counter(
    'dure_siblings_reads_total',
    'Reads and updates that met a key with more than one value',
    (s) => s.siblings?.reads,
  ),
  counter('dure_siblings_writes_total', 'Writes under policy siblings', (s) => s.siblings?.writes),
  counter(
    'dure_siblings_refused_total',
    'Writes refused because their key has too many siblings',
    (s) => s.siblings?.refused,
  ),
  gauge(
    'dure_siblings_values_most',
    'The most values a key had, of those met in the last minutes',
    (s) => s.siblings?.valuesMost,
  ),
  gauge(
    'dure_siblings_values_max',
    'Bound on the values of a key (limits.siblingsMax)',
    (s) => s.siblings?.valuesMax,
  ),
  gauge(
    'dure_siblings_vector_bytes_most',
    'Bytes of the longest version vector written in the last minutes',
    (s) => (s.siblings === undefined ? undefined : s.siblings.actorsMost * actorBytes),
  ),
  gauge(
    'dure_siblings_row_bytes_most',
    'Bytes of the largest row of siblings written in the last minutes',
    (s) => s.siblings?.rowBytesMost,
  ),
  gauge(
    'dure_policy_rules',
    'Policies of key prefixes that were set at run time, as known here',
    (s) => s.policies?.atRunTime,
  ),
  gauge(
    'dure_policy_changed_timestamp_seconds',
    'When the newest change of a policy that is known here was made; 0 for none. Differs between nodes while one is behind',
    (s) => (s.policies === undefined ? undefined : s.policies.changedAt / 1000),
  ),
  gauge('dure_policy_fingerprint', 'A number that is the same at nodes that go by the same policies', (s) =>
    s.policies === undefined ? undefined : Number.parseInt(s.policies.inForce.slice(0, 8), 16),
  ),
  gauge('dure_whole', 'Whether the node vouches for all it holds', (s) => flag(s.past?.whole)),
  gauge('dure_partitions_held', 'Partitions the node holds a replica of', (s) => s.past?.partitions),
  gauge('dure_partitions_vouched', 'Partitions the node vouches for', (s) => s.past?.vouched),
  gauge('dure_disk_generation', 'How often the node lost its disk', (s) => s.past?.generation),
  gauge('dure_storage_full', 'Whether storage refuses writes for want of space', (s) =>
    flag(s.storage.state === 'full'),
  ),
  gauge('dure_storage_failed', 'Whether storage failed', (s) => flag(s.storage.state === 'failed')),
];
