/**
 * Shrinking: a failing plan is cut down while it still fails the same way.
 *
 * Delta debugging (Zeller and Hildebrandt 2002) over the plan's faults, then over its requests: halves
 * are left out, then quarters, down to single ones; then what is left is made plainer (clocks right,
 * network even). What is left is usually short enough to be read as a story.
 */

import type { Finding } from './oracles/oracle.ts';
import type { Plan } from './plan.ts';
import { runPlan } from './run.ts';

export interface Shrunk {
  readonly plan: Plan;
  readonly findings: readonly Finding[];
  readonly runs: number;
}

/**
 * @param progress is told now and then how far it is.
 * @param runsMax bounds the work: the smallest plan so far is returned when it is used up.
 */
export function shrinkPlan(
  plan: Plan,
  mutants: ReadonlySet<string>,
  runsMax = 2000,
  progress: (text: string) => void = () => {},
): Shrunk {
  let runs = 0;
  let smallest = plan;
  let findings = runPlan(plan, { mutants }).findings;
  const wanted = findings[0]?.oracle;
  if (wanted === undefined) return { plan, findings, runs: 1 };

  const stillFails = (candidate: Plan): boolean => {
    if (runs >= runsMax) return false;
    runs++;
    const found = runPlan(candidate, { mutants }).findings.filter((finding) => finding.oracle === wanted);
    if (found.length === 0) return false;
    smallest = candidate;
    findings = found;
    return true;
  };

  for (let before = -1; before !== sizeOf(smallest) && runs < runsMax; ) {
    before = sizeOf(smallest);
    leaveOut(smallest.faults, (faults) => stillFails({ ...smallest, faults }));
    leaveOut(smallest.ops, (ops) => stillFails({ ...smallest, ops }));
    progress(`${runs} runs: ${smallest.faults.length} faults, ${smallest.ops.length} requests left`);
  }
  for (const simpler of simplifications(smallest)) stillFails(simpler(smallest));
  return { plan: smallest, findings, runs };
}

function sizeOf(plan: Plan): number {
  return plan.faults.length + plan.ops.length;
}

/** Leaves out ever smaller runs of items, keeping each omission that `accept` likes. */
function leaveOut<T>(items: readonly T[], accept: (items: readonly T[]) => boolean): void {
  let kept = items;
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < kept.length; ) {
      const without = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (accept(without)) kept = without;
      else at += size;
    }
  }
}

/** Ways to make a plan plainer. */
function simplifications(plan: Plan): ((plan: Plan) => Plan)[] {
  const steps: ((plan: Plan) => Plan)[] = [
    (p) => ({ ...p, clocks: p.clocks.map(() => ({ skewMs: 0, driftPpm: 0 })) }),
    (p) => ({ ...p, clocks: p.clocks.map(({ skewMs }) => ({ skewMs, driftPpm: 0 })) }),
    (p) => ({ ...p, network: { ...p.network, tailShare: 0 } }),
    (p) => ({ ...p, network: { ...p.network, delayMeanUs: 50, delayMinUs: 100 } }),
    (p) => ({ ...p, disk: { ...p.disk, visibleEarly: false } }),
    (p) => ({ ...p, turnUs: 0 }),
    (p) => ({ ...p, ops: p.ops.map(({ padBytes: _, ...op }) => op) }),
  ];
  for (let i = 0; i < plan.clocks.length; i++) {
    steps.push((p) => ({
      ...p,
      clocks: p.clocks.map((clock, index) => (index === i ? { skewMs: 0, driftPpm: 0 } : clock)),
    }));
  }
  return steps;
}
