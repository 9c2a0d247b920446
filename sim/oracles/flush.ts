/**
 * A flush that answered ok is for ever: no value whose write had been acknowledged before the flush
 * was sent is visible at the end, whatever arrived late.
 */

import {
  compareRowStamp,
  compareStamps,
  KIND_TOMBSTONE,
  ROW_HEADER_BYTES,
  rowKind,
  type Stamp,
} from '../../src/rows/row.ts';
import { hasWildClocks } from '../faults.ts';
import { idOf } from '../history.ts';
import { type Finding, opText, type RunRecord } from './oracle.ts';

export function judgeFlush(run: RunRecord): Finding[] {
  // Under policy `siblings` no stamp is the greatest: see `siblings.ts`.
  if (run.plan.siblings !== undefined) return [];
  if (hasWildClocks(run.plan)) return [];
  const flushes = run.history.filter((op) => op.kind === 'flush' && op.outcome === 'ok');
  const last = flushes.reduce((latest, op) => Math.max(latest, op.invokeOrder), -1);
  if (last < 0) return [];
  const findings: Finding[] = [];
  for (const state of run.afterRepair) {
    if (state.counter) continue;
    for (const { node, row } of state.replicas) {
      if (row === undefined || compareRowStamp(row, run.floor) <= 0 || rowKind(row) === KIND_TOMBSTONE)
        continue;
      const op = run.history[idOf(row, ROW_HEADER_BYTES) - 1];
      if (op === undefined || op.outcome !== 'ok' || op.returnOrder > last) continue;
      findings.push({
        oracle: 'flush',
        text: `${opText(op)} was acknowledged before a flush that answered ok, and ${node} still holds it alive`,
      });
    }
  }
  for (const read of run.history) {
    if (read.kind !== 'read' || read.phase === 'work' || read.outcome !== 'ok' || read.seen <= 0) continue;
    const op = run.history[read.seen - 1];
    if (op === undefined || op.outcome !== 'ok' || op.returnOrder > last) continue;
    findings.push({
      oracle: 'flush',
      text: `${opText(op)} was acknowledged before a flush that answered ok, and ${opText(read)} after healing read it`,
    });
  }
  return [...findings, ...judgeLaterWrites(run)];
}

/**
 * Under a linearizable policy a write sent after a flush was answered is stamped above it. (Elsewhere
 * clocks decide, and a node that has not heard of the flush may stamp a write below it.)
 */
function judgeLaterWrites(run: RunRecord): Finding[] {
  const { plan, witness } = run;
  if (!plan.strict || plan.r + plan.w <= plan.n) return [];
  const findings: Finding[] = [];
  for (const flush of run.history) {
    if (flush.kind !== 'flush' || flush.outcome !== 'ok') continue;
    // Its floor is one of those first stored while it was under way: not below the least.
    const floors = witness.floors.filter(({ at }) => at >= flush.invokedAt && at <= flush.returnedAt);
    const least = floors.reduce<Stamp | undefined>(
      (a, { stamp }) => (a === undefined || compareStamps(stamp, a) < 0 ? stamp : a),
      undefined,
    );
    if (least === undefined) continue;
    for (const op of run.history) {
      if (op.kind !== 'write' || op.outcome !== 'ok' || op.invokeOrder < flush.returnOrder) continue;
      const stamp = witness.stamps.get(op.id);
      if (stamp === undefined || compareStamps(stamp, least) > 0) continue;
      findings.push({
        oracle: 'flush',
        text: `${opText(op)} was sent after ${opText(flush)} had answered, and is stamped below it`,
      });
    }
  }
  return findings;
}
