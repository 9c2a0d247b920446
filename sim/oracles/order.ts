/**
 * Stamps follow what happened: a write sent after another of its key was acknowledged has the greater
 * stamp, however wrong the clocks are.
 *
 * It holds where the later write's coordinator must have heard of the earlier one: under a strict policy
 * that learns from a quorum (R+W>N), or where W=N, since every replica then took the earlier row and its
 * clock went above it. (Under a sloppy policy a stand-in may have
 * acknowledged in a replica's place, if there is a node that is none.)
 */

import { compareStamps, type Stamp } from '../../src/rows/row.ts';
import { hasForgetful } from '../faults.ts';
import { type OpRecord, stampText } from '../history.ts';
import type { Plan } from '../plan.ts';
import { type Finding, opText, type RunRecord } from './oracle.ts';

/** Whether a later write must have the greater stamp. (A replaced disk has forgotten what it heard.) */
export function stampsFollowTime(plan: Plan): boolean {
  const learns = plan.strict && plan.r + plan.w > plan.n;
  const allHear = plan.w === plan.n && plan.churn === undefined && (plan.strict || plan.nodes === plan.n);
  return (learns || allHear) && !hasForgetful(plan);
}

interface Stamped {
  readonly op: OpRecord;
  readonly stamp: Stamp;
}

export function judgeOrder(run: RunRecord): Finding[] {
  // Under policy `siblings` no stamp is the greatest: see `siblings.ts`.
  if (run.plan.siblings !== undefined) return [];
  if (!stampsFollowTime(run.plan)) return [];
  const findings: Finding[] = [];
  for (const writes of stampedByKey(run).values()) {
    const returned = writes
      .filter(({ op }) => op.outcome === 'ok' && (op.kind !== 'setnx' || op.reply === 1))
      .sort((a, b) => a.op.returnOrder - b.op.returnOrder);
    let next = 0;
    let greatest: Stamped | undefined;
    for (const write of writes) {
      while (next < returned.length && returned[next]!.op.returnOrder < write.op.invokeOrder) {
        const candidate = returned[next++]!;
        if (greatest === undefined || compareStamps(candidate.stamp, greatest.stamp) > 0)
          greatest = candidate;
      }
      if (greatest === undefined || compareStamps(write.stamp, greatest.stamp) > 0) continue;
      const text =
        `${opText(write.op)} was sent after ${opText(greatest.op)} was acknowledged, and its stamp ` +
        `${stampText(write.stamp)} is not above ${stampText(greatest.stamp)}`;
      findings.push({ oracle: 'order', text });
    }
  }
  return findings;
}

/** Writes whose stamp is known, by key, in the order they were sent. */
function stampedByKey(run: RunRecord): Map<number, Stamped[]> {
  const byKey = new Map<number, Stamped[]>();
  for (const op of run.history) {
    const stamp = run.witness.stamps.get(op.id);
    if (stamp === undefined) continue;
    const list = byKey.get(op.key);
    if (list === undefined) byKey.set(op.key, [{ op, stamp }]);
    else list.push({ op, stamp });
  }
  return byKey;
}
