/**
 * A node that drains, and one that says goodbye: nothing new is taken, and what was begun is finished.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

describe('a node that drains', () => {
  test('answers what is under way, and refuses what is new with the word that nothing was done', () => {
    const cluster = new PumpedCluster();
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n2', key, 'before');
    const write = cluster.write('n1', key, 'begun');
    const read = cluster.read('n1', key);
    cluster.node('n1').drain();
    const late = [cluster.write('n1', key, 'x'), cluster.read('n1', key), cluster.update('n1', key, 'incr')];
    for (const { error } of late) assert.equal(error?.code, 'unavailable');
    assert.deepEqual(
      late.map(({ error }) => error?.outcome),
      ['fail', 'none', 'fail'],
    );
    assert.match(late[0]!.error!.message, /^this node is draining; nothing was done$/);
    for (const { error } of [cluster.scan('n1', 0, 10), cluster.count('n1'), cluster.flush('n1')]) {
      assert.equal(error?.code, 'unavailable');
    }
    cluster.pump();
    assert.deepEqual([write.isDone, write.error, read.error], [true, undefined, undefined]);
    assert.equal(cluster.node('n1').figures().requestsInFlight, 0);
    assert.equal(cluster.mustRead('n3', key), 'begun');
    cluster.finish();
  });

  test('is passed over by those who send on what their clients ask', () => {
    const cluster = new PumpedCluster({ nodes: 4 });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.node('n1').drain();
    // n4 holds no replica, and n2 is not the first of the list: both send the update to n1 first.
    for (const [at, sum] of [
      ['n4', 1],
      ['n2', 2],
    ] as const) {
      const call = cluster.update(at, key, 'incr');
      cluster.pump();
      assert.deepEqual([call.isDone, call.error, Number(call.reply)], [true, undefined, sum]);
    }
    cluster.mustWrite('n4', key, '7');
    assert.equal(cluster.mustRead('n4', key), '7');
    cluster.finish();
  });

  test('goes on holding its replicas: a write that needs all of them is acknowledged', () => {
    const cluster = new PumpedCluster({ policy: { r: 1, w: 3, strict: true } });
    cluster.node('n1').drain();
    cluster.mustWrite('n2', cluster.keyOf('n2', 'n1', 'n3'), 'v');
    cluster.finish();
  });
});

describe('a node that says goodbye', () => {
  /** A write at n2 that needs n1, which has it on its way to the disk as it says goodbye. */
  const underWay = () => {
    const cluster = new PumpedCluster({ policy: { r: 1, w: 3, strict: true } });
    const key = cluster.keyOf('n2', 'n1', 'n3');
    cluster.seat('n1').storage.automatic = false;
    const call = cluster.write('n2', key, 'v');
    cluster.pump();
    cluster.node('n1').stop();
    cluster.pump();
    const seen = cluster.node('n2').members();
    assert.equal(seen.find(({ id }) => id === 'n1')?.status, 'left');
    assert.equal(call.isDone, false, 'it waits for n1 as long as there is a pipe');
    return { cluster, key, call };
  };

  test('is not lost while its pipe is there: what it answers late still counts', () => {
    const { cluster, call } = underWay();
    const { storage } = cluster.seat('n1');
    while (storage.pending.length > 0) storage.complete();
    cluster.pump();
    assert.deepEqual([call.isDone, call.error], [true, undefined]);
    cluster.kill('n1');
    cluster.finish();
  });

  test('is lost with its pipe: whether it has the row is not known', () => {
    const { cluster, call } = underWay();
    cluster.kill('n1');
    assert.deepEqual([call.isDone, call.error?.outcome], [true, 'unknown']);
    cluster.finish();
  });

  test('is asked nothing new', () => {
    const { cluster, key } = underWay();
    cluster.trace.length = 0;
    const next = cluster.write('n2', key, 'w', { policy: { r: 2, w: 2, strict: true } });
    cluster.pump();
    assert.deepEqual([next.isDone, next.error], [true, undefined]);
    assert.deepEqual(
      cluster.trace.filter((message) => message.startsWith('n2>n1')),
      [],
    );
    cluster.kill('n1');
    cluster.finish();
  });
});
