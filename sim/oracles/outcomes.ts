/**
 * P2: a request that answered `fail` is never visible: no disk stored its value, no read saw it.
 * And no read sees a value nobody sent before it ended.
 */

import { type Finding, opText, type RunRecord } from './oracle.ts';

export function judgeOutcomes(run: RunRecord): Finding[] {
  const findings: Finding[] = [];
  const refused = (outcome: string) => outcome === 'fail' || outcome === 'none';
  for (const op of run.history) {
    if (op.kind === 'read') {
      if (op.outcome !== 'ok' || op.seen === 0) continue;
      const source = run.history[op.seen - 1];
      if (source === undefined || source.kind === 'read' || source.key !== op.key) {
        findings.push({ oracle: 'P2', text: `${opText(op)} saw a value that was never written to its key` });
      } else if (source.invokeOrder > op.returnOrder) {
        findings.push({
          oracle: 'P2',
          text: `${opText(op)} saw the value of ${opText(source)} before it was sent`,
        });
      } else if (refused(source.outcome)) {
        findings.push({
          oracle: 'P2',
          text: `${opText(op)} saw the value of ${opText(source)}, which had failed`,
        });
      }
    } else if (refused(op.outcome) && run.witness.stamps.has(op.id)) {
      findings.push({
        oracle: 'P2',
        text: `${opText(op)} answered ${op.outcome} (${op.code}) and a disk stored its value`,
      });
    }
  }
  return findings;
}
