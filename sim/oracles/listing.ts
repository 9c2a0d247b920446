/**
 * A scan of the whole cluster lists each live key once and nothing else, and `count` agrees with it.
 * Judged at rest, when all replicas are equal. Keys about to expire may be listed or not.
 */

import { compareRowStamp, isRowLive, type Row, rowExpireAt } from '../../src/rows/row.ts';
import { isSiblingsRow, liveVersions } from '../../src/rows/siblings.ts';
import { hasWildClocks } from '../faults.ts';
import { keyOf } from '../workload.ts';
import type { Finding, KeyState, RunRecord } from './oracle.ts';

/** Clocks differ by less than this, milliseconds. */
const doubtMs = 1500;

export function judgeListing(run: RunRecord): Finding[] {
  if (hasWildClocks(run.plan) || run.scanned === undefined || run.counted === undefined) return [];
  const findings: Finding[] = [];
  let certain = 0;
  let doubtful = 0;
  for (const state of run.afterRepair) {
    const name = keyOf(state.counter ? 'incr' : 'read', state.key);
    const row = greatest(state, run);
    const live = isShown(row, run);
    if (row !== undefined && Math.abs(rowExpireAt(row) - run.scannedAtMs) < doubtMs) {
      doubtful++;
      continue;
    }
    if (live) certain++;
    if (live === run.scanned.has(name)) continue;
    findings.push({
      oracle: 'listing',
      text: live ? `${name} is alive and a scan did not list it` : `${name} is dead and a scan listed it`,
    });
  }
  if (run.counted < certain || run.counted > certain + doubtful) {
    findings.push({ oracle: 'listing', text: `count gave ${run.counted} keys and ${certain} are alive` });
  }
  return findings;
}

/** Whether a reader is shown something. */
function isShown(row: Row | undefined, { scannedAtMs, floor }: RunRecord): boolean {
  if (!isRowLive(row, scannedAtMs)) return false;
  return !isSiblingsRow(row) || liveVersions(row, scannedAtMs, floor).length > 0;
}

function greatest(state: KeyState, run: RunRecord): Row | undefined {
  const row = state.replicas.find((replica) => replica.row !== undefined)?.row;
  return row !== undefined && compareRowStamp(row, run.floor) > 0 ? row : undefined;
}
