/**
 * P2: a request that answered `fail` is never visible: no disk stored its value, no read saw it.
 * And no read sees a value nobody sent before it ended.
 */

import type { OpRecord } from '../history.ts';
import { isReadKind } from '../workload.ts';
import { type Finding, opText, type RunRecord } from './oracle.ts';

export function judgeOutcomes(run: RunRecord): Finding[] {
  const findings: Finding[] = [];
  const refused = (outcome: string) => outcome === 'fail' || outcome === 'none';
  for (const op of run.history) {
    if (isReadKind(op.kind)) {
      if (op.outcome !== 'ok') continue;
      const seen = op.kind === 'read' ? [op.seen] : op.seenAll;
      for (const id of seen) if (id !== 0) findings.push(...judgeSeen(run, op, id, refused));
    } else if (refused(op.outcome) && run.witness.stamps.has(op.id)) {
      findings.push({
        oracle: 'P2',
        text: `${opText(op)} answered ${op.outcome} (${op.code}) and a disk stored its value`,
      });
    }
  }
  return findings;
}

function judgeSeen(
  run: RunRecord,
  op: OpRecord,
  id: number,
  refused: (outcome: string) => boolean,
): Finding[] {
  const source = run.history[id - 1];
  const find = (text: string): Finding[] => [{ oracle: 'P2', text }];
  if (source === undefined || isReadKind(source.kind) || source.key !== op.key)
    return find(`${opText(op)} saw a value that was never written to its key`);
  if (source.invokeOrder > op.returnOrder)
    return find(`${opText(op)} saw the value of ${opText(source)} before it was sent`);
  if (refused(source.outcome))
    return find(`${opText(op)} saw the value of ${opText(source)}, which had failed`);
  return [];
}
