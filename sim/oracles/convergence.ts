/**
 * P3, as far as read repair goes: after healing, once a key was read at R=N, all its replicas hold
 * the same row. A row that a flush declared dead counts as none. The floor of the last flush is the same
 * everywhere.
 */

import { equalBytes } from '../../src/base/bytes.ts';
import {
  compareRowStamp,
  compareRowStamps,
  compareStamps,
  isRowLive,
  type Row,
  rowStamp,
  type Stamp,
} from '../../src/rows/row.ts';
import { hasWildClocks } from '../faults.ts';
import { stampText } from '../history.ts';
import { keyOf } from '../workload.ts';
import type { Finding, RunRecord } from './oracle.ts';

export function judgeConvergence(run: RunRecord): Finding[] {
  if (hasWildClocks(run.plan)) return [];
  const findings: Finding[] = [];
  for (const state of run.afterRepair) {
    const rows = state.replicas.map(({ row }) => aboveFloor(row, run.floor));
    if (rows.every((row) => equalRows(row, rows[0], run.scannedAtMs))) continue;
    const held = state.replicas.map(
      ({ node }, i) => `${node} ${rows[i] ? stampText(rowStamp(rows[i])) : 'nothing'}`,
    );
    findings.push({
      oracle: 'P3',
      text: `${keyOf(state.counter ? 'incr' : 'read', state.key)} was read at R=N after healing and its replicas differ: ${held.join(', ')}`,
    });
  }
  // Heartbeats spread the floor, so at rest every disk holds the same one.
  if (run.floors.some(({ floor }) => compareStamps(floor, run.floor) !== 0)) {
    const held = run.floors.map(({ node, floor }) => `${node} ${stampText(floor)}`);
    findings.push({ oracle: 'P3', text: `the floors of the last flush differ at rest: ${held.join(', ')}` });
  }
  return findings;
}

function aboveFloor(row: Row | undefined, floor: Stamp): Row | undefined {
  return row !== undefined && compareRowStamp(row, floor) > 0 ? row : undefined;
}

/** Equal to the byte, or the same write and dead: an expired row shrinks to a tombstone in its own time. */
function equalRows(a: Row | undefined, b: Row | undefined, wall: number): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (equalBytes(a, b)) return true;
  return compareRowStamps(a, b) === 0 && !isRowLive(a, wall) && !isRowLive(b, wall);
}
