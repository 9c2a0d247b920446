/**
 * What holds of every run: no node throws, every request is answered once and not long after its
 * deadline, reads succeed again after healing, nothing is left in flight, no dot is issued twice; and in a calm run, in which nothing
 * goes wrong, nothing fails and every increment counts.
 */

import { hasWildClocks } from '../faults.ts';
import type { OpRecord } from '../history.ts';
import type { Plan } from '../plan.ts';
import { type Finding, opText, type RunRecord } from './oracle.ts';

/** After the deadline: two ticks, a turn, and a forwarded request's own two ticks. */
function slackMs(plan: Plan): number {
  return 5 * plan.tickMs + plan.turnUs / 500 + 20;
}

export function judgeBounds(run: RunRecord): Finding[] {
  const findings: Finding[] = [];
  const find = (oracle: string, text: string) => findings.push({ oracle, text });
  for (const fault of run.faults) find('machine', fault);
  for (const leftover of run.leftovers) find('bounds', leftover);
  for (const oddity of run.witness.oddities) find('dots', oddity);
  const slack = slackMs(run.plan);
  const wild = hasWildClocks(run.plan);
  for (const op of run.history) {
    if (op.outcome === 'pending') find('bounds', `${opText(op)} was never answered`);
    if (op.answers > 1) find('bounds', `${opText(op)} was answered ${op.answers} times`);
    if (
      op.phase !== 'work' &&
      op.phase !== 'meet' &&
      !wild &&
      op.outcome !== 'ok' &&
      op.outcome !== 'pending' &&
      op.code !== 'siblings-full'
    ) {
      find('bounds', `after healing ${opText(op)} failed: ${op.code}`);
    }
    const tookMs = (op.returnedAt - op.invokedAt) / 1000;
    if (
      !op.disturbed &&
      op.phase === 'work' &&
      op.outcome !== 'pending' &&
      tookMs > run.plan.requestTimeoutMs + slack
    ) {
      find(
        'bounds',
        `${opText(op)} took ${Math.round(tookMs)} ms, its deadline was ${run.plan.requestTimeoutMs} ms`,
      );
    }
  }
  if (isCalm(run.plan)) findings.push(...judgeCalm(run));
  return findings;
}

/** Nothing goes wrong, and nothing is slow enough to look like it. */
function isCalm(plan: Plan): boolean {
  return (
    plan.faults.length === 0 &&
    !plan.churn?.changes.some(({ kind }) => kind === 'remove' || kind === 'replace') &&
    plan.network.tailShare === 0 &&
    plan.requestsMax > 100 &&
    plan.network.queueFramesMax > 100
  );
}

/** Where W=N a flush needs a newcomer too, which may not have started yet: docs/design/known-holes.md. */
function isFlushWaiting({ churn }: Plan, op: OpRecord): boolean {
  if (op.kind !== 'flush' || op.code !== 'quorum-unreachable' || op.outcome !== 'fail') return false;
  return churn?.changes.some(({ kind }) => kind === 'join') === true;
}

function judgeCalm(run: RunRecord): Finding[] {
  const findings: Finding[] = [];
  const increments = new Map<number, OpRecord[]>();
  for (const op of run.history) {
    // Too many siblings are refused however calm it is, and a node that comes or goes says so.
    const isPassing = run.plan.churn !== undefined && op.code === 'unavailable' && op.outcome !== 'unknown';
    if (op.outcome !== 'ok' && op.code !== 'siblings-full' && !isPassing && !isFlushWaiting(run.plan, op)) {
      findings.push({
        oracle: 'calm',
        text: `nothing went wrong, and ${opText(op)} answered ${op.outcome} ${op.code}`,
      });
    }
    if (op.kind === 'incr') increments.set(op.key, [...(increments.get(op.key) ?? []), op]);
  }
  // Where the first owner changes, two may coordinate one key for a moment: docs/guarantees.md.
  if (run.plan.churn !== undefined || run.history.some((op) => op.kind === 'flush')) return findings;
  for (const [key, ops] of increments) {
    const replies = new Set(ops.map((op) => op.reply));
    if (replies.size !== ops.length || Math.max(...replies) !== ops.length) {
      const text = `counter${key} was incremented ${ops.length} times and answered ${[...replies].join(' ')}`;
      findings.push({ oracle: 'calm', text });
    }
  }
  return findings;
}
