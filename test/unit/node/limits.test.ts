/**
 * Limits of a node: what is refused, that nothing was done then, and what does not count.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

describe('limits', () => {
  test('too many requests are refused at once, counted, and nothing was done', () => {
    const cluster = new PumpedCluster({ limits: { requestsMax: 3 } });
    for (const other of ['n2', 'n3']) cluster.hold(other, 'n1');
    const taken = [1, 2, 3].map((i) => cluster.write('n1', `key ${i}`, 'v'));
    const write = cluster.write('n1', 'plum', 'v');
    const read = cluster.read('n1', 'plum');
    const update = cluster.update('n1', 'plum', 'incr');
    const scan = cluster.scan('n1', 0, 10);
    const flush = cluster.flush('n1');
    for (const call of [write, read, update, scan, flush]) assert.equal(call.error?.code, 'overloaded');
    assert.deepEqual(
      [write, read, update, flush].map((call) => call.error?.outcome),
      ['fail', 'none', 'fail', 'fail'],
    );
    assert.equal(cluster.node('n1').figures().failuresOverload, 5);
    cluster.releaseAll();
    cluster.pump();
    assert.ok(taken.every((call) => call.error === undefined));
    cluster.finish();
  });

  test('answered writes whose slowest replica is late count as no requests, up to four times as many', () => {
    const cluster = new PumpedCluster({ limits: { requestsMax: 3 }, policy: { r: 2, w: 2, strict: false } });
    const figures = () => cluster.node('n1').figures();
    cluster.hold('n3', 'n1');
    for (let i = 0; i < 12; i++) {
      cluster.mustWrite('n1', `key ${i}`, 'v');
      assert.equal(figures().requestsInFlight, 0);
      assert.equal(figures().writesUnsettled, i + 1);
    }
    assert.equal(cluster.write('n1', 'plum', 'v').error?.code, 'overloaded', 'memory stays bounded');
    assert.equal(cluster.read('n1', 'plum').error?.code, 'overloaded');
    cluster.releaseAll();
    cluster.pump();
    assert.equal(figures().writesUnsettled, 0);
    cluster.mustWrite('n1', 'plum', 'v');
    const lost = cluster.write('n1', 'pear', 'v', { policy: { r: 1, w: 1, strict: false }, timeoutMs: 50 });
    cluster.hold('n2', 'n1');
    cluster.hold('n3', 'n1');
    cluster.pump();
    assert.equal(lost.error, undefined);
    assert.equal(figures().writesUnsettled, 1);
    cluster.advance(60);
    assert.equal(figures().writesUnsettled, 0, 'given up at the deadline');
    assert.equal(figures().requestsInFlight, 0);
    cluster.finish();
  });

  test('a pair above the limit, and a key above its own', () => {
    const cluster = new PumpedCluster();
    const pair = cluster.write('n1', 'plum', 'x'.repeat(10 * 1024));
    assert.equal(pair.error?.code, 'pair-too-large');
    assert.equal(pair.error?.outcome, 'fail');
    const key = cluster.read('n1', 'x'.repeat(40_000));
    assert.equal(key.error?.code, 'pair-too-large');
    cluster.finish();
  });

  test('stop answers all that is under way, and takes nothing more', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC', nodes: 5 });
    const keys = Array.from({ length: 20 }, (_, i) => `key ${i}`);
    for (const other of ['n2', 'n3', 'n4', 'n5']) cluster.hold(other, 'n1');
    const calls = keys.flatMap((key) => [
      cluster.read('n1', key),
      cluster.write('n1', key, 'v'),
      cluster.update('n1', key, 'incr'),
      cluster.update('n1', key, 'incr'),
    ]);
    calls.push(cluster.scan('n1', 0, 10), cluster.flush('n1'));
    cluster.pump();
    cluster.node('n1').stop();
    for (const call of calls) {
      assert.equal(call.isDone, true);
      assert.notEqual(call.error, undefined);
    }
    assert.equal(cluster.node('n1').figures().requestsInFlight, 0);
    assert.equal(cluster.read('n1', 'plum').error?.code, 'unavailable');
    assert.equal(cluster.write('n1', 'plum', 'v').error?.code, 'unavailable');
    cluster.finish();
  });

  test('callbacks that issue the next request at once', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    let left = 50;
    const again = (): void => {
      if (left-- === 0) return;
      const id = cluster.ids[left % 3]!;
      const call = cluster.call<never>('one of many', again);
      if (left % 2 === 0) cluster.node(id).read('plum', {}, call.done);
      else cluster.node(id).write('plum', { kind: 1, value: new Uint8Array(3), expireAt: 0 }, {}, call.done);
    };
    again();
    cluster.pump();
    assert.equal(left, -1);
    cluster.finish();
  });
});
