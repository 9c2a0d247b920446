/** A result in words, for the terminal. */

import type { FaultFigures } from './figures.ts';
import type { NemesisResult } from './run.ts';

function whole(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ' ');
}

function ms(value: number | undefined): string {
  if (value === undefined) return '–';
  return value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`;
}

export function verdictOf(result: NemesisResult): string {
  const { faults } = result;
  if (faults.length === 0) return 'Every promise was kept.';
  return `${faults.length === 1 ? '1 promise was' : `${faults.length} promises were`} broken.`;
}

/** Lines about a run. */
export function reportText(result: NemesisResult): string {
  const { figures, judgement, options } = result;
  const share = figures.requests === 0 ? 0 : (figures.failed + figures.unknown) / figures.requests;
  const errors = Object.entries(figures.errors)
    .sort((a, b) => b[1] - a[1])
    .map(([name, count]) => `${name} ${whole(count)}`);
  const lines = [
    '',
    `  requests          ${whole(figures.requests)} (${options.rate}/s, ${options.nodes} nodes, seed ${options.seed})`,
    `  acknowledged      ${whole(figures.acknowledged)}, of these ${whole(figures.acknowledgedWrites)} writes and deletes`,
    `  lost              ${judgement.lost}`,
    `  deleted returned  ${judgement.deletedReturned + judgement.expiredReturned}`,
    `  failed, yet seen  ${judgement.failedSeen}`,
    `  strict keys       ${judgement.strictKeys} with ${whole(judgement.strictOperations)} operations: ` +
      `${judgement.strictViolated} violated, ${judgement.strictUnknown} undecided, ` +
      `${judgement.readsBackwards} reads backwards`,
    `  errors            ${(share * 100).toFixed(2)} %: ${whole(figures.failed)} failed, ${whole(figures.unknown)} unknown` +
      (errors.length > 0 ? ` (${errors.join(', ')})` : ''),
    `  worst gap         ${ms(figures.worstGapMs)} without an answer, at ${(figures.worstGapAtMs / 1000).toFixed(1)} s`,
    `  latency           p50 ${ms(figures.p50Ms)}, p99 ${ms(figures.p99Ms)}, longest ${ms(figures.maxMs)}`,
    `  after healing     nodes linked in ${ms(result.linkedMs)}, every client served in ${ms(result.progressMs)}` +
      (result.convergedMs === undefined ? '' : `, replicas equal in ${ms(result.convergedMs)}`),
    `  stale reads       ${judgement.staleReads} (allowed under PA/…)`,
    `  own lag           ${ms(result.ownLagMs)} at most`,
    '',
    '     from    for  fault                     detected  recovered  failed  worst gap      p99',
    ...figures.faults.map(faultLine),
    '',
    ...result.skipped,
    ...result.faults.map((fault) => `BROKEN: ${fault}`),
  ];
  return lines.join('\n');
}

function faultLine(fault: FaultFigures): string {
  return [
    `  ${(fault.from / 1000).toFixed(1).padStart(7)}`,
    `${((fault.to - fault.from) / 1000).toFixed(1).padStart(5)}`,
    ` ${fault.name.padEnd(24)}`,
    ms(fault.detectedMs).padStart(9),
    ms(fault.recoveredMs).padStart(10),
    String(fault.failed).padStart(7),
    ms(fault.worstGapMs).padStart(10),
    ms(fault.p99Ms).padStart(8),
  ].join(' ');
}
