/**
 * The sections of INFO that tell how the cluster is: replication, membership, hints, repair, horizon. All show
 * the one value of `src/node/status.ts`, in short lines that a script can take apart. Names are stable.
 */

import type { MemberStatus, NodeStatus } from '../node/status.ts';
import type { CommandContext } from './command.ts';

export type Field = readonly [name: string, value: string | number];

/** Every node is a master to clients of Redis; the others are told of by what they are known to lack. */
export function replicationFields({ node, facts }: CommandContext, status: NodeStatus): readonly Field[] {
  const others = status.members.filter(({ id }) => id !== node.id);
  return [
    ['role', 'master'],
    ['connected_slaves', 0],
    ['master_replid', facts.runId],
    ['master_repl_offset', 0],
    ['dure_replicas', node.replicas],
    ['dure_verdict', status.verdict],
    ['dure_settled', status.settled ? 1 : 0],
    ['dure_partitions', status.partitions.count],
    ['dure_partitions_without_quorum', status.partitions.withoutQuorum],
    ['dure_partitions_on_stand_ins', status.partitions.onStandIns],
    ['dure_partitions_strays', status.partitions.strays],
    ...changeFields(status),
    ['dure_lag_ms_max', whole(Math.max(0, ...others.map(({ lagMs }) => lagMs)))],
    ...others.map(
      ({ id, status: state, reachable, lagMs }, index): Field => [
        `dure_lag${index}`,
        `id=${id},state=${state},reachable=${reachable ? 1 : 0},lag_ms=${whole(lagMs)}`,
      ],
    ),
    ...pastFields(status),
  ];
}

/** Names are there only while a change is under way. */
function changeFields({ change }: NodeStatus): readonly Field[] {
  if (change === undefined) return [];
  return [
    ['dure_change', change.kind],
    ['dure_change_phase', change.phase],
    ['dure_change_nodes', [...change.nodes, ...change.gone].join(' ')],
    ['dure_change_waits_for', change.waitsFor.join(' ')],
    ['dure_change_partitions', change.partitions],
    ['dure_change_partitions_done', change.partitionsDone],
  ];
}

function pastFields({ past }: NodeStatus): readonly Field[] {
  if (past === undefined) return [];
  return [
    ['dure_whole', past.whole ? 1 : 0],
    ['dure_past', past.state],
    ['dure_disk_generation', past.generation],
    ['dure_partitions_held', past.partitions],
    ['dure_partitions_vouched', past.vouched],
    ['dure_rebuild_progress', past.progress.toFixed(3)],
    ['dure_rebuild_reason', past.reason],
  ];
}

export function membershipFields({ members }: NodeStatus): readonly Field[] {
  const count = (status: MemberStatus['status']): number =>
    members.filter((member) => member.status === status).length;
  return [
    ['members', members.length],
    ['members_alive', count('alive')],
    ['members_suspect', count('suspect')],
    ['members_down', count('down')],
    ['members_reachable', members.filter(({ reachable }) => reachable).length],
    ...members.map(
      (member, index): Field => [
        `member${index}`,
        [
          `id=${member.id}`,
          `zone=${member.zone}`,
          `status=${member.status}`,
          `reachable=${member.reachable ? 1 : 0}`,
          `phi=${member.phi.toFixed(2)}`,
          `incarnation=${member.incarnation}`,
          `silence_ms=${whole(member.silenceMs)}`,
          `clock_offset_ms=${member.clockOffsetMs === null ? '' : whole(member.clockOffsetMs)}`,
          `reply_p95_ms=${member.replyP95Ms.toFixed(3)}`,
          `seen_through=${member.seenThrough}`,
          `lag_ms=${whole(member.lagMs)}`,
        ].join(','),
      ],
    ),
  ];
}

export function hintsFields({ hints: kept }: NodeStatus): readonly Field[] {
  if (kept === undefined) return [];
  return [
    ['hints', kept.count],
    ['hints_bytes', kept.bytes],
    ['hints_unreadable', kept.unreadable],
    ['hints_bytes_max', kept.bytesMax],
    ['hints_oldest_ms', whole(kept.oldestAgeMs)],
    ['hints_delivered', kept.delivered],
    ...kept.targets.map(
      (target, index): Field => [
        `hints_target${index}`,
        [
          `id=${target.target}`,
          `state=${target.state}`,
          `count=${target.count}`,
          `bytes=${target.bytes}`,
          `oldest_ms=${whole(target.oldestAgeMs)}`,
          `delivered=${target.delivered}`,
          `rows_per_sec=${whole(target.rowsPerSecond)}`,
        ].join(','),
      ],
    ),
  ];
}

export function repairFields({ repair: state }: NodeStatus): readonly Field[] {
  if (state === undefined) return [];
  return [
    ['repair_running', state.running ? 1 : 0],
    ['repair_progress', state.progress.toFixed(3)],
    ['repair_comparisons', state.comparisons],
    ['repair_equal', state.equal],
    ['repair_differing', state.differing],
    ['repair_unknown', state.unknown],
    ['repair_round_age_ms', state.roundAgeMs === null ? '' : whole(state.roundAgeMs)],
    ['repair_rows_sent', state.rowsSent],
    ['repair_rows_taken', state.rowsTaken],
    ['repair_time_share', state.timeShare.toFixed(4)],
  ];
}

export function horizonFields({ horizon: state }: NodeStatus): readonly Field[] {
  if (state === undefined) return [];
  return [
    ['horizon_age_ms', whole(state.ageMs)],
    ['horizon_alarm_ms', state.alarmMs],
    ['horizon_held', state.held],
    ['horizon_held_by', state.heldBy],
    ['horizon_held_reason', state.reason],
    ['horizon_raised', state.raised],
    ['horizon_abandoned', state.abandoned],
  ];
}

export function siblingsFields({ siblings: state }: NodeStatus): readonly Field[] {
  if (state === undefined) return [];
  return [
    ['siblings_reads', state.reads],
    ['siblings_writes', state.writes],
    ['siblings_refused', state.refused],
    ['siblings_refused_ago_ms', state.refusedAgoMs ?? ''],
    ['siblings_refused_prefix', state.refusedPrefix],
    ['siblings_values_max', state.valuesMax],
    ['siblings_values_most', state.valuesMost],
    ['siblings_values_most_prefix', state.valuesMostPrefix],
    ['siblings_vector_entries_most', state.actorsMost],
    ['siblings_row_bytes_most', state.rowBytesMost],
  ];
}

function whole(value: number): number {
  return Math.round(value);
}
