/**
 * Siblings in a cluster moved by hand: concurrent writes are all kept, a write with a context replaces what it
 * saw and nothing else, and a coordinator that forgets or stands in hides nothing.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { byteString, bytesOf } from '../../../src/base/bytes.ts';
import type { CodedError } from '../../../src/base/errors.ts';
import type { Policy } from '../../../src/coordinator/policy.ts';
import type { Versions } from '../../../src/node/api.ts';
import { BODY_TOMBSTONE, KIND_STRING } from '../../../src/rows/row.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const siblings: Policy = { r: 2, w: 2, strict: false, conflicts: 'siblings' };
const one: Policy = { ...siblings, r: 1, w: 1 };
const ids = ['n1', 'n2', 'n3'] as const;

function versions(cluster: PumpedCluster, id: string, key: string, policy: Policy = siblings): Versions {
  let answer: { error: CodedError | undefined; read: Versions | undefined } | undefined;
  cluster.node(id).readVersions(key, { policy }, (error, read) => {
    answer = { error, read };
  });
  cluster.pump();
  assert.ok(answer, 'the read is answered');
  assert.equal(answer.error, undefined);
  return answer.read!;
}

function values(cluster: PumpedCluster, id: string, key: string, policy: Policy = siblings): string[] {
  return versions(cluster, id, key, policy)
    .versions.map(({ value }) => byteString(value))
    .sort();
}

function put(
  cluster: PumpedCluster,
  id: string,
  key: string,
  value: string | undefined,
  context?: Uint8Array,
  policy: Policy = siblings,
): CodedError | undefined {
  let answered = false;
  let failure: CodedError | undefined;
  const body =
    value === undefined ? BODY_TOMBSTONE : { kind: KIND_STRING, value: bytesOf(value), expireAt: 0 };
  const options = context === undefined ? { policy } : { policy, context };
  cluster.node(id).write(key, body, options, (error) => {
    answered = true;
    failure = error;
  });
  cluster.pump();
  assert.ok(answered, 'the write is answered');
  return failure;
}

describe('siblings', () => {
  test('blind writes are kept side by side; a write with the context of both replaces them', () => {
    const cluster = new PumpedCluster({});
    put(cluster, 'n1', 'cart', 'apple');
    put(cluster, 'n2', 'cart', 'pear');
    for (const id of ids) assert.deepEqual(values(cluster, id, 'cart'), ['apple', 'pear']);
    const { context } = versions(cluster, 'n3', 'cart');
    put(cluster, 'n3', 'cart', 'apple pear', context);
    for (const id of ids) assert.deepEqual(values(cluster, id, 'cart'), ['apple pear']);
    cluster.finish();
  });

  test('a write with an old context leaves what it has not seen', () => {
    const cluster = new PumpedCluster({});
    put(cluster, 'n1', 'cart', 'a');
    const { context } = versions(cluster, 'n1', 'cart');
    put(cluster, 'n2', 'cart', 'b', context);
    put(cluster, 'n3', 'cart', 'c', context);
    for (const id of ids) assert.deepEqual(values(cluster, id, 'cart'), ['b', 'c']);
    cluster.finish();
  });

  test('a delete with a context takes away what it saw', () => {
    const cluster = new PumpedCluster({});
    put(cluster, 'n1', 'cart', 'a');
    const { context } = versions(cluster, 'n1', 'cart');
    put(cluster, 'n2', 'cart', 'b');
    put(cluster, 'n3', 'cart', undefined, context);
    for (const id of ids) assert.deepEqual(values(cluster, id, 'cart'), ['b']);
    const after = versions(cluster, 'n1', 'cart').context;
    put(cluster, 'n1', 'cart', undefined, after);
    for (const id of ids) assert.deepEqual(values(cluster, id, 'cart'), []);
    cluster.finish();
  });

  test('both sides of a partition write; all is there afterwards, after one read', () => {
    const cluster = new PumpedCluster({});
    cluster.isolate('n1');
    cluster.pump();
    put(cluster, 'n1', 'cart', 'alone', undefined, one);
    put(cluster, 'n2', 'cart', 'together', undefined, one);
    cluster.healAll();
    cluster.advance(2000);
    assert.deepEqual(values(cluster, 'n2', 'cart', { ...siblings, r: 3 }), ['alone', 'together']);
    cluster.pump();
    for (const id of ids) assert.deepEqual(values(cluster, id, 'cart', one), ['alone', 'together']);
  });

  test('a plain write between makes an end of all that was before it', () => {
    const cluster = new PumpedCluster({});
    put(cluster, 'n1', 'cart', 'a');
    put(cluster, 'n2', 'cart', 'b');
    cluster.advance(10);
    cluster.mustWrite('n3', 'cart', 'plain');
    for (const id of ids) assert.deepEqual(values(cluster, id, 'cart'), ['plain']);
    cluster.advance(10);
    put(cluster, 'n1', 'cart', 'c');
    for (const id of ids) assert.deepEqual(values(cluster, id, 'cart'), ['c', 'plain']);
    assert.equal(cluster.mustRead('n2', 'cart'), 'c', 'a plain read shows the newest');
  });
});
