/** Each named bug is caught within its budget of seeds, and its plans pass without it. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { huntMutant, MUTANTS } from '../../sim/mutants.ts';

describe('mutants are caught', () => {
  for (const mutant of MUTANTS) {
    it(`${mutant.name}: ${mutant.bug}`, () => {
      const verdict = huntMutant(mutant);
      assert.deepEqual(verdict.falseAlarms, [], 'these seeds fail without the mutant');
      assert.notEqual(verdict.caughtBy, undefined, `not caught within ${mutant.seedsMax} seeds`);
      assert.ok(verdict.finding.length > 0);
    });
  }
});
