/**
 * What each policy does on each side of a cut, and what is seen after it: measured on real processes, held
 * against the rules of the design, and against the tables in docs/consistency.md.
 */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { consistencyDocument, documentedTables } from '../../scripts/consistency-document.ts';
import {
  type Measured,
  measure,
  type Outcome,
  POLICIES,
  SITUATIONS,
  type Situation,
} from '../../scripts/presets/measure.ts';
import { presetTables } from '../../scripts/presets/table.ts';
import { policyFromText } from '../../src/coordinator/policy-text.ts';
import { closeHttp } from '../nemesis/http.ts';

const n = 3;

/** What the rules of the design say. */
function expected(text: string, { nodes, sides, replicas }: Situation): Outcome {
  const { r, w, strict, conflicts } = policyFromText(text, n);
  // Linearizable: a read sees to it that W hold what it answers, a write learns the greatest stamp from R.
  const isLinearizable = strict && r + w > n;
  const [readNeeds, writeNeeds] = isLinearizable ? [Math.max(r, w), Math.max(r, w)] : [r, w];
  const outcomes = sides.map((side, i) => {
    // Nobody can stand in where all nodes are replicas.
    const reached = strict || nodes === n ? replicas[i]! : side.length;
    const write = reached >= writeNeeds ? 'ok' : 'TRYAGAIN';
    return { write, read: reached < readNeeds ? 'TRYAGAIN' : write === 'ok' ? 'own' : 'old' };
  });
  const written = sides.map((_, i) => `side ${i + 1}`).filter((_, i) => outcomes[i]!.write === 'ok');
  const kept = conflicts === 'siblings' ? written : written.slice(-1);
  return { sides: outcomes, healed: kept.length === 0 ? 'old' : kept.join(' + ') };
}

/** Rows spelled out, so that a mistake in the rule above cannot hide one in the system. */
const spelledOut: readonly [policy: string, situation: string, sides: string, healed: string][] = [
  ['PA/EL', '2|1', 'ok own, ok own', 'side 2'],
  ['PA/EC', '2|1', 'ok own, TRYAGAIN TRYAGAIN', 'side 1'],
  ['PC/EL', '2|1', 'ok own, TRYAGAIN old', 'side 1'],
  ['PC/EC', '2|1', 'ok own, TRYAGAIN TRYAGAIN', 'side 1'],
  ['PA/EL', '1|1|1', 'ok own, ok own, ok own', 'side 3'],
  ['PC/EC', '1|1|1', 'TRYAGAIN TRYAGAIN, TRYAGAIN TRYAGAIN, TRYAGAIN TRYAGAIN', 'old'],
  ['PA/EC', '2|2 of four nodes', 'ok own, ok own', 'side 2'],
  ['PC/EC', '2|2 of four nodes', 'ok own, TRYAGAIN TRYAGAIN', 'side 1'],
  ['PA/EC SIBLINGS', '2|2 of four nodes', 'ok own, ok own', 'side 1 + side 2'],
];

describe('policies while the network is cut', { timeout: 220_000 }, async () => {
  after(closeHttp);
  const measured: Measured = await measure();

  for (const situation of SITUATIONS) {
    it(`${situation.name}: each policy does what the design says`, () => {
      for (const policy of POLICIES) {
        assert.deepEqual(measured.get(policy)!.get(situation.name), expected(policy, situation), policy);
      }
    });
  }

  it('the rows that matter most, word by word', () => {
    for (const [policy, situation, sides, healed] of spelledOut) {
      const outcome = measured.get(policy)!.get(situation)!;
      const text = outcome.sides.map(({ write, read }) => `${write} ${read}`).join(', ');
      assert.deepEqual([text, outcome.healed], [sides, healed], `${policy}, ${situation}`);
    }
  });

  it('docs/consistency.md has these tables (npm run presets:table makes them)', () => {
    assert.equal(documentedTables(consistencyDocument()), presetTables(measured));
  });
});
