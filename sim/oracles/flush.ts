/**
 * A flush that answered ok is for ever: no value whose write had been acknowledged before the flush
 * was sent is visible at the end, whatever arrived late.
 */

import { compareRowStamp, KIND_TOMBSTONE, ROW_HEADER_BYTES, rowKind } from '../../src/rows/row.ts';
import { idOf } from '../history.ts';
import { opText } from './acknowledged.ts';
import type { Finding, RunRecord } from './oracle.ts';

export function judgeFlush(run: RunRecord): Finding[] {
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
  return findings;
}
