/** Laws of policies: what is written reads back. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ByteReader, ByteWriter } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import type { Policy } from '../../src/coordinator/policy.ts';
import { PolicyDocument, type StampedRule } from '../../src/coordinator/policy-document.ts';
import {
  POLICY_TTL_MS_MAX,
  policyFromText,
  policyFromValue,
  policyText,
  policyView,
} from '../../src/coordinator/policy-text.ts';
import { readPolicyRules, writePolicyRules } from '../../src/wire/policy-messages.ts';

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

const actors = fc.constantFrom('n1', 'n2', 'n3');
const stampedRules = fc.record({
  prefix: fc.constantFrom('', 'a', 'b', 'b:'),
  policy: fc.option(policies(9), { nil: undefined }),
  time: fc.integer({ min: 0, max: 3 }),
  logical: fc.integer({ min: 0, max: 1 }),
  node: actors,
});
const stampedRule: fc.Arbitrary<StampedRule> = stampedRules.map((rule) => ({ ...rule }));
const document = fc.array(stampedRule, { maxLength: 8 }).map((rules) => PolicyDocument.EMPTY.with(rules));

describe('documents of policies', () => {
  test('merge is commutative, associative and idempotent', () => {
    const equal = (a: PolicyDocument, b: PolicyDocument): void => {
      assert.deepEqual(a.rules(), b.rules());
      assert.deepEqual(a.digest, b.digest);
    };
    fc.assert(
      fc.property(document, document, document, (a, b, c) => {
        equal(a.with(b.rules()), b.with(a.rules()));
        equal(a.with(b.rules()).with(c.rules()), a.with(b.with(c.rules()).rules()));
        assert.equal(a.with(a.rules()), a, 'the same object: nothing to store');
      }),
    );
  });

  test('notes and messages come back as they were written; a flipped bit is no document', () => {
    fc.assert(
      fc.property(document, fc.nat(), (given, at) => {
        const note = given.note();
        assert.deepEqual(PolicyDocument.ofNote(note)?.rules(), given.rules());
        note[at % note.length]! ^= 1 << (at & 7);
        assert.equal(PolicyDocument.ofNote(note), undefined);
        const writer = new ByteWriter(64);
        const page = {
          isLast: (at & 1) === 0,
          wanted: (at & 2) === 0,
          digest: given.digest,
          rules: given.rules(),
        };
        writePolicyRules(writer, page);
        // Behind type and id.
        const reader = new ByteReader(writer.view(), 5);
        assert.deepEqual(readPolicyRules(reader), page);
        assert.equal(reader.remaining, 0);
      }),
    );
  });
});
