/**
 * FLUSHALL where prefixes have policies of their own: what it is acknowledged by must suit the strictest of them, or
 * a linearizable read shows afterwards what was flushed.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Policy, PolicyTable } from '../../../src/coordinator/policy.ts';
import { PolicyDocument } from '../../../src/coordinator/policy-document.ts';
import { Policies } from '../../../src/node/policies.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const fast: Policy = { r: 1, w: 1, strict: false };
const strict: Policy = { r: 2, w: 2, strict: true };
const all: Policy = { r: 1, w: 3, strict: true };

function keyOf(cluster: PumpedCluster, prefix: string, ...first: readonly string[]): string {
  for (let i = 0; i < 10_000; i++) {
    const list = cluster.table.preferenceList(slotOf(`${prefix}${i}`));
    if (first.every((id, at) => list[at] === id)) return `${prefix}${i}`;
  }
  throw new Error('no such key');
}

describe('FLUSHALL under policies of prefixes', () => {
  test('no strict read after it shows what was there before', () => {
    const cluster = new PumpedCluster({ policy: fast, rules: [{ prefix: 'money:', policy: strict }] });
    const key = keyOf(cluster, 'money:', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'old');
    const flush = cluster.flush('n1');
    cluster.endTurns();
    // The clocks are asked for; the floor itself does not come through.
    for (const peer of ['n2', 'n3']) {
      cluster.deliver('n1', peer);
      cluster.hold('n1', peer);
    }
    cluster.pump();
    const read = cluster.read('n2', key);
    cluster.pump();
    assert.equal(read.isDone, true);
    assert.ok(!flush.isDone || flush.error !== undefined || read.value === undefined, 'flushed, and read');
    cluster.releaseAll();
    cluster.pump();
    assert.deepEqual([flush.isDone, flush.error], [true, undefined]);
    for (const id of ['n1', 'n2', 'n3']) assert.equal(cluster.mustRead(id, key), undefined);
    cluster.finish();
  });

  test('a slow clock that asks too few does not flush below what a prefix acknowledged', () => {
    const cluster = new PumpedCluster({ policy: all, rules: [{ prefix: 'money:', policy: strict }] });
    for (const id of ['n2', 'n3']) cluster.seat(id).clock.wallMs += 400;
    cluster.hold('n2', 'n1');
    const key = keyOf(cluster, 'money:', 'n2', 'n3');
    const write = cluster.write('n2', key, 'old');
    cluster.pump();
    assert.deepEqual([write.isDone, write.error], [true, undefined]);
    const flush = cluster.flush('n1');
    cluster.pump();
    cluster.releaseAll();
    cluster.pump();
    assert.deepEqual([flush.isDone, flush.error], [true, undefined]);
    assert.equal(cluster.mustRead('n3', key), undefined);
    cluster.finish();
  });

  test('the quorum of a flush follows the policies in force; weak ones do not lower it', () => {
    const policies = new Policies(new PolicyTable(fast, [], 3));
    assert.deepEqual([policies.flushW, policies.flushWLeast], [1, 1]);
    const rule = { time: 1, logical: 0, node: 'n1' };
    policies.use(PolicyDocument.EMPTY.with([{ ...rule, prefix: 'a', policy: strict }]));
    assert.deepEqual([policies.flushW, policies.flushWLeast], [2, 1]);
    policies.use(PolicyDocument.EMPTY.with([{ ...rule, prefix: '', policy: all }]));
    assert.deepEqual([policies.flushW, policies.flushWLeast], [3, 3]);
    const both = [
      { ...rule, prefix: '', policy: all },
      { ...rule, prefix: 'a', policy: strict },
      { ...rule, prefix: 'b', policy: fast },
    ];
    policies.use(PolicyDocument.EMPTY.with(both));
    assert.deepEqual(
      [policies.flushW, policies.flushWLeast],
      [3, 2],
      'b promises nothing that a flush could break',
    );
  });
});
