/**
 * P1: an acknowledged write is never lost. It is readable, or overwritten by a greater stamp (a later
 * write, or a flush).
 *
 * Judged four times: when chaos ends, the write is on some disk, if only as a hint for its owner; when the
 * cluster has recovered, it is on a replica's disk; reads at R see it wherever R+W>N (or wherever replicas
 * become equal by themselves); and it is still there at the end.
 */

import { rowKeyOf } from '../../src/rows/key.ts';
import { compareRowStamp, compareStamps, rowStamp, type Stamp, stampTime } from '../../src/rows/row.ts';
import { EPOCH_MS } from '../clock.ts';
import { ABILITIES, hasForgetful, hasWildClocks, isMadeEqual } from '../faults.ts';
import { type OpRecord, stampText } from '../history.ts';
import { keyOf } from '../workload.ts';
import { type Finding, type KeyState, opText, type RunRecord } from './oracle.ts';
import { stampsFollowTime } from './order.ts';

/** No simulated clock is further behind: 200 ms of skew and some drift. */
const CLOCK_BEHIND_MAX_MS = 250;

export function judgeAcknowledged(run: RunRecord): Finding[] {
  // Under policy `siblings` no stamp is the greatest: see `siblings.ts`.
  if (run.plan.siblings !== undefined) return [];
  const findings: Finding[] = [];
  const inChaos: Newest = new Map();
  const newest: Newest = new Map();
  for (const op of run.history) {
    if (op.kind === 'read' || op.kind === 'incr' || op.kind === 'flush' || op.outcome !== 'ok') continue;
    if (op.kind === 'setnx' && op.reply !== 1) continue;
    const stamp = run.witness.stamps.get(op.id);
    if (stamp === undefined) {
      if (mayBeOverwrittenUnseen(run, op)) continue;
      findings.push({ oracle: 'P1', text: `${opText(op)} was acknowledged and no disk ever stored it` });
      continue;
    }
    if (op.returnedAt <= run.chaosEndedAt) raise(inChaos, op, stamp);
    if (op.phase === 'work') raise(newest, op, stamp);
  }
  findings.push(...judgeDisks(run, run.chaosEnded, inChaos, 'on no disk when chaos ended'));
  findings.push(...judgeDisks(run, run.recovered, newest, "on no replica's disk after recovery"));
  findings.push(...judgeDisks(run, run.beforeRepair, newest, "on no replica's disk after reads"));
  if (readsSeeAll(run)) findings.push(...judgeReads(run, newest));
  return findings;
}

type Newest = Map<number, { readonly op: OpRecord; readonly stamp: Stamp }>;

function raise(newest: Newest, op: OpRecord, stamp: Stamp): void {
  const known = newest.get(op.key);
  if (known === undefined || compareStamps(stamp, known.stamp) > 0) newest.set(op.key, { op, stamp });
}

/** Whether every read after recovery must see every acknowledged write. */
function readsSeeAll({ plan }: RunRecord): boolean {
  if (hasForgetful(plan) && !ABILITIES.vouching) return false;
  return plan.r + plan.w > plan.n || isMadeEqual(plan);
}

/** Whether nothing need be left of a write: what overwrote it is dead, and its tombstone was collected. */
function isCollected(run: RunRecord, state: KeyState, stamp: Stamp): boolean {
  const dead = run.witness.deadMax.get(state.rowKey);
  return dead !== undefined && compareStamps(dead, stamp) >= 0 && stampTime(dead) <= state.horizonMs;
}

/**
 * Whether a row of the key that is not stamped below this one may have been there or have come with it:
 * the greater of two rows is stored alone. The stamp of a row that was never stored is not known, but
 * it is not below its coordinator's clock.
 */
function mayBeOverwrittenUnseen(run: RunRecord, op: OpRecord): boolean {
  if (hasWildClocks(run.plan)) return true;
  const leastTime = EPOCH_MS + op.invokedAt / 1000 - CLOCK_BEHIND_MAX_MS;
  const ordered = stampsFollowTime(run.plan);
  return run.history.some((other) => {
    if (ordered && other.outcome === 'ok' && other.returnOrder < op.invokeOrder) return false;
    if (other.id === op.id || other.kind === 'read' || other.invokeOrder > op.returnOrder) return false;
    if (other.kind === 'flush') return true;
    const stamp = other.key === op.key ? run.witness.stamps.get(other.id) : undefined;
    return stamp !== undefined && stampTime(stamp) >= leastTime;
  });
}

function judgeDisks(run: RunRecord, states: readonly KeyState[], newest: Newest, where: string): Finding[] {
  const findings: Finding[] = [];
  for (const state of states) {
    const acknowledged = state.counter ? undefined : newest.get(state.key);
    if (acknowledged === undefined) continue;
    const { op, stamp } = acknowledged;
    if (compareStamps(stamp, run.floor) <= 0 || isCollected(run, state, stamp)) continue;
    const rows = states === run.chaosEnded ? [state.copy] : state.replicas.map(({ row }) => row);
    if (rows.some((row) => row !== undefined && compareRowStamp(row, stamp) >= 0)) continue;
    const held = state.replicas.map(
      ({ node, row }) => `${node} holds ${row ? stampText(rowStamp(row)) : 'nothing'}`,
    );
    const text = `${opText(op)} was acknowledged with stamp ${stampText(stamp)} and is ${where}`;
    findings.push({ oracle: 'P1', text: `${text}: ${held.join(', ')}` });
  }
  return findings;
}

function judgeReads(run: RunRecord, newest: Newest): Finding[] {
  const findings: Finding[] = [];
  for (const read of run.history) {
    if (read.phase === 'work' || read.phase === 'probe' || read.kind !== 'read' || read.outcome !== 'ok')
      continue;
    const acknowledged = newest.get(read.key);
    if (acknowledged === undefined || compareStamps(acknowledged.stamp, run.floor) <= 0) continue;
    if (read.seenStamp !== undefined) {
      if (compareStamps(read.seenStamp, acknowledged.stamp) >= 0) continue;
    } else {
      const dead = run.witness.deadMax.get(rowKeyOf(keyOf('read', read.key)));
      if (dead !== undefined && compareStamps(dead, acknowledged.stamp) >= 0) continue;
    }
    findings.push({
      oracle: 'P1',
      text:
        `${opText(acknowledged.op)} was acknowledged with stamp ${stampText(acknowledged.stamp)}; after healing ` +
        `a read at R=${run.plan.r} by node ${read.node} (#${read.id}) found ` +
        (read.seen === 0 ? 'nothing' : `the value of #${read.seen}, stamp ${stampText(read.seenStamp)}`),
    });
  }
  return findings;
}
