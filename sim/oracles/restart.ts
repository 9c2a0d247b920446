/**
 * What was read stays: after every process was killed once more, with nothing under way, a read at
 * R=N finds what the one before found. Whatever was visible must have been durable.
 */

import { compareStamps, rowExpireAt, type Stamp } from '../../src/rows/row.ts';
import { hasWildClocks } from '../faults.ts';
import { stampText } from '../history.ts';
import { keyOf } from '../workload.ts';
import type { Finding, RunRecord } from './oracle.ts';

export function judgeRestart(run: RunRecord): Finding[] {
  // Under policy `siblings` no stamp is the greatest: see `siblings.ts`.
  if (run.plan.siblings !== undefined) return [];
  if (hasWildClocks(run.plan)) return [];
  const findings: Finding[] = [];
  const before = new Map(run.history.filter((op) => op.phase === 'repair').map((op) => [op.key, op]));
  for (const after of run.history) {
    const earlier = before.get(after.key);
    if (after.phase !== 'restart' || after.outcome !== 'ok' || earlier?.outcome !== 'ok') continue;
    if (after.seen === earlier.seen && stampText(after.seenStamp) === stampText(earlier.seenStamp)) continue;
    const state = run.afterRepair.find((one) => !one.counter && one.key === after.key);
    const expires = state?.replicas.some(({ row }) => row !== undefined && rowExpireAt(row) !== 0);
    if (after.seen === 0 && expires) continue;
    // A write of unknown outcome may arrive, very late, between the two.
    const late = run.history[after.seen - 1];
    if (late !== undefined && late.outcome === 'unknown' && isNewer(after.seenStamp, earlier.seenStamp))
      continue;
    const seen = (id: number) => (id === 0 ? 'nothing' : `the value of #${id}`);
    findings.push({
      oracle: 'restart',
      text: `${keyOf('read', after.key)} read as ${seen(earlier.seen)}; after every process was killed and started again, as ${seen(after.seen)}`,
    });
  }
  return findings;
}

function isNewer(stamp: Stamp | undefined, before: Stamp | undefined): boolean {
  return stamp !== undefined && (before === undefined || compareStamps(stamp, before) > 0);
}
