/**
 * P3: after healing all replicas of a key become equal: without anybody reading it, within the bound of
 * `sim/recovery.ts`, by handoff and anti-entropy; and certainly once it was read at R=N. A row that a flush
 * declared dead, or whose death was settled by a tombstone horizon, counts as none. The floor of the last
 * flush is the same everywhere.
 */

import { compareStamps } from '../../src/rows/row.ts';
import { hasWildClocks, isMadeEqual } from '../faults.ts';
import { stampText } from '../history.ts';
import { differenceOf, type KeyState } from '../inspection.ts';
import type { Finding, RunRecord } from './oracle.ts';

export function judgeConvergence(run: RunRecord): Finding[] {
  if (hasWildClocks(run.plan)) return [];
  const findings: Finding[] = [];
  const judge = (states: readonly KeyState[], damageAside: boolean, when: string): void => {
    for (const state of states) {
      const difference = differenceOf(state, run.floor, run.scannedAtMs, damageAside);
      if (difference === undefined) continue;
      findings.push({ oracle: 'P3', text: `after healing ${when} the replicas differ of ${difference}` });
    }
  };
  if (isMadeEqual(run.plan)) judge(run.recovered, true, 'and before any read');
  judge(run.afterRepair, false, 'and a read at R=N');
  // Heartbeats spread the floor, so at rest every disk holds the same one.
  if (run.floors.some(({ floor }) => compareStamps(floor, run.floor) !== 0)) {
    const held = run.floors.map(({ node, floor }) => `${node} ${stampText(floor)}`);
    findings.push({ oracle: 'P3', text: `the floors of the last flush differ at rest: ${held.join(', ')}` });
  }
  return findings;
}
