/** Laws of policies: what is written reads back. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CodedError } from '../../src/base/errors.ts';
import type { Policy } from '../../src/coordinator/policy.ts';
import {
  POLICY_TTL_MS_MAX,
  policyFromText,
  policyFromValue,
  policyText,
  policyView,
} from '../../src/coordinator/policy-text.ts';

const replicas = fc.integer({ min: 1, max: 9 });

function policies(n: number): fc.Arbitrary<Policy> {
  const numbers = {
    r: fc.integer({ min: 1, max: n }),
    w: fc.integer({ min: 1, max: n }),
    strict: fc.boolean(),
  };
  const rest = {
    conflicts: fc.constantFrom('siblings' as const, 'last-write-wins' as const),
    siblingsRead: fc.constantFrom('newest' as const, 'error' as const),
    ttlMs: fc.oneof(
      fc.integer({ min: 0, max: POLICY_TTL_MS_MAX }),
      fc.integer({ min: 0, max: 36_500 }).map((days) => days * 86_400_000),
    ),
  };
  const records = fc.record({ ...numbers, ...rest }, { requiredKeys: ['r', 'w', 'strict'] });
  return records.map((record) => ({ ...record }) as Policy);
}

const policyAndN = replicas.chain((n) => policies(n).map((policy) => ({ n, policy })));

describe('policies', () => {
  test('text reads back as the policy it was made of, in any case of its letters', () => {
    fc.assert(
      fc.property(policyAndN, fc.boolean(), ({ n, policy }, small) => {
        const text = policyText(policy, n);
        assert.deepEqual(policyFromText(small ? text.toLowerCase() : text, n), policy);
      }),
    );
  });

  test('what JSON shows reads back as a policy that means the same', () => {
    fc.assert(
      fc.property(policyAndN, ({ n, policy }) => {
        const full = { conflicts: 'last-write-wins', siblingsRead: 'newest', ttlMs: 0, ...policy };
        assert.deepEqual(policyFromValue(JSON.parse(JSON.stringify(policyView(policy))), n), full);
      }),
    );
  });

  test('any text is a policy that can be, or refused as invalid', () => {
    const words = fc.constantFrom(
      'PA/EC',
      'PC/EL',
      'R=1',
      'R=3',
      'W=2',
      'W=9',
      'STRICT',
      'LWW',
      'TTL=5s',
      'x',
    );
    const texts = fc.oneof(
      fc.string(),
      fc.array(words, { maxLength: 6 }).map((list) => list.join(' ')),
    );
    fc.assert(
      fc.property(texts, replicas, (text, n) => {
        try {
          const { r, w } = policyFromText(text, n);
          assert.ok(r >= 1 && r <= n && w >= 1 && w <= n, text);
        } catch (error) {
          assert.ok(error instanceof CodedError && error.code === 'invalid', String(error));
        }
      }),
    );
  });
});
