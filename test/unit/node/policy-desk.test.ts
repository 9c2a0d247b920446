/**
 * The policy desk where things go wrong: a disk that is full for a moment, a clock that went back.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import type { Policy } from '../../../src/coordinator/policy.ts';
import type { PolicyChange } from '../../../src/node/api.ts';
import { policiesKey } from '../../../src/node/policy-desk.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const fast: Policy = { r: 1, w: 1, strict: false };
const strict: Policy = { r: 1, w: 1, strict: true };

interface Asked {
  error: CodedError | undefined;
  change: PolicyChange | undefined;
}

function ask(cluster: PumpedCluster, id: string, prefix: string, policy: Policy | undefined): Asked {
  const asked: Asked = { error: undefined, change: undefined };
  cluster.node(id).setPolicy(prefix, policy, (error, change) => {
    asked.error = error;
    asked.change = change;
  });
  return asked;
}

describe('a change of policy', () => {
  test('whose batch failed is not said to be undone where a later one carries it', () => {
    const cluster = new PumpedCluster({ nodes: 1, storageAutomatic: false });
    const { storage } = cluster.seat('n1');
    const first = ask(cluster, 'n1', 'a', strict);
    cluster.pump();
    const second = ask(cluster, 'n1', 'b', strict);
    cluster.pump();
    storage.complete(new CodedError('storage-full', 'fail', 'no space'));
    cluster.pump();
    storage.complete();
    cluster.pump();
    assert.ok(second.change !== undefined);
    const isInForce = cluster.node('n1').policyOf('a').strict;
    assert.equal(first.error?.code, 'storage-full');
    assert.ok(!isInForce || first.error.outcome === 'unknown', `${isInForce} ${first.error.outcome}`);
    const third = ask(cluster, 'n1', 'c', strict);
    cluster.pump();
    storage.complete(new CodedError('storage-full', 'fail', 'no space'));
    cluster.pump();
    assert.equal(third.error?.outcome, 'fail', 'alone in its batch');
    storage.automatic = true;
    cluster.finish();
  });

  test('is refused where its time would be beyond belief: nobody else would take it', () => {
    const cluster = new PumpedCluster();
    cluster.isolate('n1');
    cluster.advance(6000, 100);
    const { clock } = cluster.seat('n1');
    clock.wallMs += 3_600_000;
    const ahead = ask(cluster, 'n1', 'a', fast);
    cluster.pump();
    assert.deepEqual(ahead.change, { acknowledged: ['n1'], missed: ['n2', 'n3'] });
    clock.wallMs -= 3_600_000;
    cluster.healAll();
    cluster.advance(6000, 100);
    const later = ask(cluster, 'n1', 'a', strict);
    cluster.pump();
    assert.equal(later.change, undefined);
    assert.equal(later.error?.code, 'clock-offset');
    assert.match(later.error.message, /nothing was changed/);
    cluster.finish();
  });

  test('told again and again to a node whose disk hangs is laid on its tray once', () => {
    const cluster = new PumpedCluster();
    cluster.isolate('n2');
    cluster.advance(6000, 100);
    ask(cluster, 'n1', 'a', strict);
    cluster.pump();
    const { storage } = cluster.seat('n2');
    storage.automatic = false;
    cluster.healAll();
    cluster.advance(30_000, 200);
    assert.equal(cluster.node('n2').policyOf('a').strict, false, 'not in force before it is durable');
    let notes = 0;
    for (let batches = 0; storage.pending.length > 0 && batches < 100; batches++) {
      notes += storage.pending[0]!.batch.filter(({ key }) => key === policiesKey).length;
      storage.complete();
      cluster.pump();
    }
    assert.equal(notes, 1);
    assert.equal(cluster.node('n2').policyOf('a').strict, true);
    storage.automatic = true;
    cluster.finish();
  });

  test('that others know a later one of is not said to be acknowledged by them', () => {
    const cluster = new PumpedCluster();
    cluster.isolate('n3');
    cluster.advance(6000, 100);
    for (const id of ['n1', 'n2']) cluster.seat(id).clock.wallMs += 400;
    ask(cluster, 'n1', 'a', strict);
    cluster.pump();
    // The comparison of fingerprints is on its way when n3, whose clock is slow, takes a change.
    for (const peer of ['n1', 'n2']) cluster.hold(peer, 'n3');
    cluster.healAll();
    cluster.advance(200, 20);
    const overtaken = ask(cluster, 'n3', 'a', fast);
    cluster.releaseAll();
    cluster.advance(2500, 100);
    for (const id of ['n1', 'n2', 'n3']) assert.equal(cluster.node(id).policyOf('a').strict, true, id);
    assert.deepEqual(overtaken.change, { acknowledged: ['n3'], missed: ['n1', 'n2'] });
    for (const id of ['n1', 'n2']) cluster.seat(id).clock.wallMs -= 400;
    cluster.finish();
  });
});
