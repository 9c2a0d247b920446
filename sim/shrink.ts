/**
 * Shrinking: a failing plan is cut down while it still fails the same way.
 *
 * Delta debugging (Zeller and Hildebrandt 2002) over the changes of the plan's members, its faults, then its requests:
 * halves are left out, then quarters, down to single ones; then what is left is made plainer (clocks right,
 * network even, one zone). What is left is usually short enough to be read as a story.
 */

import type { Finding } from './oracles/oracle.ts';
import type { Plan, PlanChange } from './plan.ts';
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
    leaveOut(smallest.churn?.changes ?? [], (changes) => stillFails(withChanges(smallest, changes)));
    const { spares = 0 } = smallest.churn ?? {};
    const fewer = withoutSpares(smallest);
    if (fewer.churn !== undefined && fewer.churn.spares < spares) stillFails(fewer);
    leaveOut(smallest.faults, (faults) => stillFails({ ...smallest, faults }));
    leaveOut(smallest.ops, (ops) => stillFails({ ...smallest, ops }));
    const { churn, faults, ops } = smallest;
    const changes = churn === undefined ? '' : `${churn.changes.length} changes, `;
    progress(`${runs} runs: ${changes}${faults.length} faults, ${ops.length} requests left`);
  }
  for (const simpler of simplifications(smallest)) stillFails(simpler(smallest));
  return { plan: smallest, findings, runs };
}

function sizeOf(plan: Plan): number {
  return (plan.churn?.changes.length ?? 0) + plan.faults.length + plan.ops.length;
}

/** A plan in which members come and go otherwise; with no change at all it is one of members that stay. */
function withChanges(plan: Plan, changes: readonly PlanChange[]): Plan {
  if (changes.length > 0) return { ...plan, churn: { ...plan.churn!, changes } };
  const { churn: _, ...rest } = withoutSpares({ ...plan, churn: { ...plan.churn!, changes } });
  return rest;
}

/** Without the machines that nobody takes in: those after the last that comes. */
function withoutSpares(plan: Plan): Plan {
  const { churn, nodes } = plan;
  if (churn === undefined) return plan;
  const coming = churn.changes.filter(({ kind }) => kind === 'join' || kind === 'replace');
  const spares = Math.max(0, ...coming.map(({ node }) => node - nodes + 1));
  const machines = nodes + spares;
  const isThere = (index: number): boolean => index < machines;
  return {
    ...plan,
    churn: { ...churn, spares },
    clocks: plan.clocks.slice(0, machines),
    faults: plan.faults.filter(({ node, peer }) => isThere(node) && isThere(peer)),
  };
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
    (p) => (p.churn === undefined ? p : { ...p, churn: { ...p.churn, zones: 1 } }),
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
