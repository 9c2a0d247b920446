/** The one grammar of policies: what it takes, what it refuses, and in which words. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { POLICY_PRESETS, type PolicyPreset } from '../../../src/coordinator/policy.ts';
import {
  POLICY_TEXT_MAX,
  policyFromText,
  policyFromValue,
  policyText,
  policyView,
} from '../../../src/coordinator/policy-text.ts';

const day = 86_400_000;

function refused(read: () => unknown, words: RegExp): void {
  assert.throws(read, (error) => {
    assert.ok(error instanceof CodedError, String(error));
    assert.equal(error.code, 'invalid');
    assert.match(error.message, words);
    return true;
  });
}

describe('policies as text', () => {
  it('takes presets, numbers, and presets with changes', () => {
    for (const preset of Object.keys(POLICY_PRESETS) as PolicyPreset[]) {
      assert.deepEqual(policyFromText(preset, 3), POLICY_PRESETS[preset]);
    }
    assert.deepEqual(policyFromText('pc/ec', 5), { r: 3, w: 3, strict: true });
    assert.deepEqual(policyFromText('R=1 W=3 strict', 3), { r: 1, w: 3, strict: true });
    assert.deepEqual(policyFromText(' w=1,r=2 ', 3), { r: 2, w: 1, strict: false });
    assert.deepEqual(policyFromText('PA/EC SIBLINGS SIBLINGS-READ=ERROR TTL=30s', 3), {
      r: 2,
      w: 2,
      strict: false,
      conflicts: 'siblings',
      siblingsRead: 'error',
      ttlMs: 30_000,
    });
    assert.deepEqual(policyFromText('PA/EL W=3 STRICT LWW TTL=0', 3), {
      r: 1,
      w: 3,
      strict: true,
      conflicts: 'last-write-wins',
      ttlMs: 0,
    });
  });

  it('takes the same as objects', () => {
    assert.deepEqual(policyFromValue('PC/EL', 3), POLICY_PRESETS['PC/EL']);
    assert.deepEqual(policyFromValue({ r: 1, w: 2 }, 3), { r: 1, w: 2, strict: false });
    assert.deepEqual(policyFromValue({ policy: 'PA/EC SIBLINGS', w: 3, siblingsRead: 'newest' }, 3), {
      r: 2,
      w: 3,
      strict: false,
      conflicts: 'siblings',
      siblingsRead: 'newest',
    });
    assert.deepEqual(policyFromValue({ r: 2, w: 2, quorum: 'strict', ttl: '7d' }, 3), {
      r: 2,
      w: 2,
      strict: true,
      ttlMs: 7 * day,
    });
    assert.equal(policyFromValue({ r: 1, w: 1, ttl: 1500 }, 3).ttlMs, 1500);
  });

  it('says why a policy is impossible, and what there is', () => {
    refused(() => policyFromText('R=2 W=4', 3), /W=4 is impossible with N=3: it must lie in 1 to 3/);
    refused(() => policyFromText('PA/EC R=3', 2), /R=3 is impossible with N=2/);
    refused(() => policyFromText('R=0 W=1', 3), /whole number from 1 to N for R; found "R=0"/);
    refused(() => policyFromText('R=1e3 W=1', 3), /found "R=1e3"/);
    refused(() => policyFromText('', 3), /expected PA\/EL, PA\/EC.*found nothing/);
    refused(() => policyFromText('PC/EX', 3), /expected PA\/EL, PA\/EC.*; found "PC\/EX"/);
    refused(() => policyFromText('PA/EC QUICK', 3), /found "QUICK"/);
    refused(() => policyFromText('SIBLINGS', 3), /expected a preset .* or both R= and W=/);
    refused(() => policyFromText('R=2 STRICT', 3), /both R= and W=/);
    refused(() => policyFromText('R=2 W=2 PA/EC', 3), /PA\/EC before the words that change it/);
    refused(() => policyFromText('PA/EC PA/EC', 3), /only one preset/);
    refused(() => policyFromText('PA/EC STRICT SLOPPY', 3), /"SLOPPY" says again/);
    refused(() => policyFromText('R=1 R=1 W=1', 3), /"R=1" says again/);
    refused(() => policyFromText('PA/EC SIBLINGS=YES', 3), /found "SIBLINGS=YES"/);
    refused(() => policyFromText('PA/EC SIBLINGS-READ=OLDEST', 3), /SIBLINGS-READ=NEWEST or/);
    refused(() => policyFromText('PA/EC TTL=30', 3), /with its unit/);
    refused(() => policyFromText('PA/EC TTL', 3), /with its unit/);
    refused(() => policyFromText('PA/EC TTL=99999d', 3), /at most 36500d/);
    refused(() => policyFromText(`PA/EC ${' '.repeat(POLICY_TEXT_MAX)}`, 3), /at most 512 characters/);
    refused(() => policyFromValue(7, 3), /found 7/);
    refused(() => policyFromValue(null, 3), /found nothing/);
    refused(() => policyFromValue({ r: 2 }, 3), /for r and w, or a preset/);
    refused(() => policyFromValue({ r: 1, w: 1.5 }, 3), /whole numbers from 1 for r and w/);
    refused(() => policyFromValue({ policy: 'PA/EC', quorum: 'both' }, 3), /strict or sloppy for quorum/);
    refused(() => policyFromValue({ policy: 'PA/EC', tll: '3s' }, 3), /unknown key "tll"/);
    refused(() => policyFromValue({ policy: 'PA/EC', ttl: -1 }, 3), /at most 36500d/);
  });

  it('writes them with a preset where one fits', () => {
    assert.equal(policyText({ r: 2, w: 2, strict: true }, 3), 'PC/EC');
    assert.equal(policyText({ r: 2, w: 2, strict: true }, 5), 'R=2 W=2 STRICT');
    assert.equal(policyText({ r: 3, w: 1, strict: false, ttlMs: 90_000 }, 3), 'R=3 W=1 SLOPPY TTL=90s');
    assert.deepEqual(policyView({ r: 3, w: 1, strict: false, ttlMs: 7_200_000 }), {
      r: 3,
      w: 1,
      quorum: 'sloppy',
      conflicts: 'last-write-wins',
      siblingsRead: 'newest',
      ttl: '2h',
    });
  });
});
