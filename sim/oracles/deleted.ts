/**
 * P4: what was deleted stays deleted, and what expired stays away. Once a delete was acknowledged nobody
 * reads an older value after recovery, and no replica holds one alive; also when the tombstone has been
 * collected meanwhile: the witness has not forgotten it.
 */

import { compareRowStamp, compareStamps, isRowLive, rowStamp, type Stamp } from '../../src/rows/row.ts';
import { ABILITIES, hasForgetful, hasWildClocks, isMadeEqual } from '../faults.ts';
import { type OpRecord, stampText } from '../history.ts';
import { isGone } from '../inspection.ts';
import { type Finding, opText, type RunRecord } from './oracle.ts';

interface Death {
  readonly op: OpRecord;
  readonly stamp: Stamp;
}

export function judgeDeleted(run: RunRecord): Finding[] {
  // Under policy `siblings` no stamp is the greatest: see `siblings.ts`.
  if (run.plan.siblings !== undefined) return [];
  if (hasWildClocks(run.plan)) return [];
  const deaths = deathsOf(run);
  const findings: Finding[] = [];
  const converged = isMadeEqual(run.plan);
  const vouched = ABILITIES.vouching || !hasForgetful(run.plan);
  if (converged || (vouched && run.plan.r + run.plan.w > run.plan.n))
    findings.push(...judgeReads(run, deaths));
  // A read at R=N has repaired everything, whatever anti-entropy did.
  for (const state of [...(converged ? run.recovered : []), ...run.afterRepair]) {
    const death = state.counter ? undefined : deaths.get(state.key);
    if (death === undefined) continue;
    for (const { node, row } of state.replicas) {
      if (row === undefined || compareRowStamp(row, death.stamp) >= 0) continue;
      if (!isRowLive(row, run.scannedAtMs) || isGone(row, run.floor, state.horizonMs)) continue;
      findings.push({
        oracle: 'P4',
        text:
          `${opText(death.op)} was acknowledged with stamp ${stampText(death.stamp)}, and after recovery ` +
          `${node} holds an older value alive, stamp ${stampText(rowStamp(row))}`,
      });
    }
  }
  return findings;
}

/** The greatest acknowledged delete, or row that expires, of each key. */
function deathsOf(run: RunRecord): Map<number, Death> {
  const deaths = new Map<number, Death>();
  for (const op of run.history) {
    if ((op.kind !== 'delete' && op.kind !== 'expire') || op.outcome !== 'ok') continue;
    const stamp = run.witness.stamps.get(op.id);
    const known = deaths.get(op.key);
    if (stamp === undefined || (known !== undefined && compareStamps(stamp, known.stamp) <= 0)) continue;
    deaths.set(op.key, { op, stamp });
  }
  return deaths;
}

function judgeReads(run: RunRecord, deaths: ReadonlyMap<number, Death>): Finding[] {
  const findings: Finding[] = [];
  for (const read of run.history) {
    if (read.phase === 'work' || read.kind !== 'read' || read.seenStamp === undefined) continue;
    const death = deaths.get(read.key);
    if (death === undefined || compareStamps(read.seenStamp, death.stamp) >= 0) continue;
    findings.push({
      oracle: 'P4',
      text:
        `${opText(death.op)} was acknowledged with stamp ${stampText(death.stamp)}, and after recovery ` +
        `${opText(read)} read an older value, that of #${read.seen}, stamp ${stampText(read.seenStamp)}`,
    });
  }
  return findings;
}
