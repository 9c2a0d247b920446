/**
 * The figures of a run, from its history: totals, a series of equal steps of time for the picture, and
 * for each fault what the clients felt of it.
 */

import type { Op } from './history.ts';
import type { FaultRecord } from './villain.ts';

/** Requests that were sent within one step of time. */
export interface Step {
  readonly fromMs: number;
  ok: number;
  fail: number;
  unknown: number;
  /** Latency of those that were answered ok, milliseconds; 0 when there were none. */
  p50: number;
  p99: number;
  max: number;
}

export interface FaultFigures extends FaultRecord {
  /** From the beginning of the fault to the next one, or to a few seconds after its end. */
  readonly requests: number;
  readonly failed: number;
  readonly worstGapMs: number;
  readonly p99Ms: number;
}

export interface Figures {
  readonly requests: number;
  readonly acknowledged: number;
  /** Of those, writes and deletes. */
  readonly acknowledgedWrites: number;
  readonly failed: number;
  readonly unknown: number;
  /** By `outcome code`. */
  readonly errors: Readonly<Record<string, number>>;
  /** The longest time in which no request was answered ok, milliseconds, and when it began. */
  readonly worstGapMs: number;
  readonly worstGapAtMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly stepMs: number;
  readonly steps: readonly Step[];
  readonly faults: readonly FaultFigures[];
  readonly durationMs: number;
}

const stepsWanted = 300;
const stepChoicesMs = [250, 500, 1000, 2000, 5000, 10_000, 30_000];
/** What follows a fault within so long is put down to it. */
const aftermathMs = 2000;

/** @param ops all requests under load, by time of sending */
export function figuresOf(ops: readonly Op[], faults: readonly FaultRecord[], durationMs: number): Figures {
  const stepMs = stepChoicesMs.find((each) => durationMs / each <= stepsWanted) ?? stepChoicesMs.at(-1)!;
  const ok = ops.filter((op) => op.outcome === 'ok');
  const gap = worstGap(ok, 0, durationMs);
  const latencies = sortedLatencies(ok);
  return {
    requests: ops.length,
    acknowledged: ok.length,
    acknowledgedWrites: ok.filter(({ kind }) => kind !== 'read').length,
    failed: ops.filter(({ outcome }) => outcome === 'fail').length,
    unknown: ops.filter(({ outcome }) => outcome === 'unknown' || outcome === 'pending').length,
    errors: errorCounts(ops),
    worstGapMs: gap.ms,
    worstGapAtMs: gap.at,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    maxMs: latencies.at(-1) ?? 0,
    stepMs,
    steps: stepsOf(ops, stepMs, durationMs),
    faults: faults.map((fault) => faultFigures(fault, ops, faults)),
    durationMs,
  };
}

/** How often each answer came that was not ok, by `outcome code`. */
function errorCounts(ops: readonly Op[]): Record<string, number> {
  const errors: Record<string, number> = {};
  for (const op of ops) {
    if (op.outcome === 'ok') continue;
    const name = `${op.outcome} ${op.code}`;
    errors[name] = (errors[name] ?? 0) + 1;
  }
  return errors;
}

/** How many requests there were, and which errors, in words. */
export function errorWords(ops: readonly Op[]): string {
  const errors = Object.entries(errorCounts(ops));
  const sum = errors.reduce((all, [, count]) => all + count, 0);
  const words = errors.map(([name, count]) => `${name} ${count}`).join(', ');
  return `${ops.length} requests, ${sum} errors${words === '' ? '' : `: ${words}`}`;
}

function stepsOf(ops: readonly Op[], stepMs: number, durationMs: number): Step[] {
  const groups: Op[][] = Array.from({ length: Math.max(1, Math.ceil(durationMs / stepMs)) }, () => []);
  for (const op of ops) groups[Math.floor(op.at / stepMs)]?.push(op);
  return groups.map((group, i) => {
    const good = group.filter((op) => op.outcome === 'ok');
    const latencies = sortedLatencies(good);
    const fail = group.filter((op) => op.outcome === 'fail').length;
    return {
      fromMs: i * stepMs,
      ok: good.length,
      fail,
      unknown: group.length - good.length - fail,
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      max: latencies.at(-1) ?? 0,
    };
  });
}

function faultFigures(fault: FaultRecord, ops: readonly Op[], faults: readonly FaultRecord[]): FaultFigures {
  const next = Math.min(...faults.filter(({ from }) => from > fault.to).map(({ from }) => from));
  const until = Math.min(next, fault.to + aftermathMs);
  const during = ops.filter((op) => op.at >= fault.from && op.at < until);
  const good = during.filter((op) => op.outcome === 'ok');
  return {
    ...fault,
    requests: during.length,
    failed: during.length - good.length,
    worstGapMs: worstGap(good, fault.from, until).ms,
    p99Ms: percentile(sortedLatencies(good), 0.99),
  };
}

/** The longest time between two answers that were ok. */
export function worstGap(
  ok: readonly Op[],
  from: number,
  until: number,
): { readonly ms: number; readonly at: number } {
  const ends = ok.map(({ end }) => end).sort((a, b) => a - b);
  let worst = { ms: 0, at: from };
  let previous = from;
  for (const end of [...ends, until]) {
    if (end - previous > worst.ms) worst = { ms: end - previous, at: previous };
    previous = Math.max(previous, end);
  }
  return worst;
}

function sortedLatencies(ops: readonly Op[]): number[] {
  return ops.map(({ at, end }) => end - at).sort((a, b) => a - b);
}

/** Of sorted values; 0 when there are none. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0;
}
