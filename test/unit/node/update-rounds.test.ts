/**
 * The rounds of updates of one key, in a cluster moved by hand: what a queue of all sorts of policies comes to, and
 * the default expiry that each update of a round meets.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { UPDATES } from '../../../src/commands/updates.ts';
import type { Policy } from '../../../src/coordinator/policy.ts';
import { rowExpireAt } from '../../../src/rows/row.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const lasting: Policy = { r: 2, w: 2, strict: false };
const expiring: Policy = { ...lasting, ttlMs: 5000 };

describe('rounds of updates', () => {
  test('a long queue of updates that alternate between policies is answered, each with its reply', () => {
    const cluster = new PumpedCluster({ nodes: 1, updates: UPDATES, storageAutomatic: false });
    const key = cluster.keyOf('n1');
    const first = cluster.update('n1', key, 'incr', ['1'], { policy: { r: 1, w: 1, strict: false } });
    const policies: Policy[] = [
      { r: 1, w: 1, strict: false },
      { r: 1, w: 1, strict: false, ttlMs: 5000 },
    ];
    cluster.pump();
    const calls = Array.from({ length: 9000 }, (_, i) =>
      cluster.update('n1', key, 'set', ['x', 'N', '0'], { policy: policies[i % 2]! }),
    );
    cluster.seat('n1').storage.automatic = true;
    while (cluster.seat('n1').storage.pending.length > 0) cluster.seat('n1').storage.complete();
    cluster.pump();
    assert.equal(Number(first.reply), 1);
    for (const { isDone, error, reply } of calls)
      assert.deepEqual([isDone, error, reply], [true, undefined, null]);
    cluster.finish();
  });
});

test('updates of rounds that are being written count as requests under way', () => {
  const limits = { requestsMax: 100 };
  const cluster = new PumpedCluster({ updates: UPDATES, storageAutomatic: false, limits });
  const calls = [];
  const key = `{${cluster.keyOf('n1')}}`;
  for (let i = 0; i < 30; i++) {
    for (let j = 0; j < 10; j++) calls.push(cluster.update('n1', `${key}-${i}`, 'incr', ['1']));
    cluster.pump();
  }
  const refused = calls.filter(({ error }) => error?.code === 'overloaded').length;
  assert.ok(refused >= 200, `${refused} of 300 are refused`);
  for (const { storage } of cluster.seats.values()) {
    storage.automatic = true;
    while (storage.pending.length > 0) storage.complete();
  }
  cluster.pump();
  assert.equal(calls.filter(({ error }) => error === undefined).length, 300 - refused);
  assert.equal(cluster.node('n1').figures().requestsInFlight, 0);
  cluster.finish();
});

describe('a row from the future', () => {
  test('an update that would be older than it is refused, not acknowledged and never seen', () => {
    const strict: Policy = { r: 2, w: 2, strict: true };
    const cluster = new PumpedCluster({ policy: strict, updates: UPDATES });
    const key = cluster.keyOf('n3');
    for (const { clock } of cluster.seats.values()) clock.wallMs += 3_600_000;
    cluster.mustWrite('n1', key, '5');
    for (const { clock } of cluster.seats.values()) clock.wallMs -= 3_600_000;
    // A new disk: its hybrid clock knows nothing of the hour.
    cluster.kill('n3');
    cluster.seat('n3').storage.entries.clear();
    cluster.restart('n3');
    cluster.advance(3000, 100);
    for (const policy of [strict, lasting]) {
      const sum = cluster.update('n3', key, 'incr', ['1'], { policy });
      const kept = cluster.update('n3', key, 'set', ['x', 'N', '0'], { policy });
      cluster.advance(1500, 100);
      assert.deepEqual([sum.error?.code, sum.error?.outcome], ['clock-offset', 'fail']);
      // What writes nothing is told the same where it saw what was not written.
      assert.ok(kept.error?.code === 'clock-offset' || kept.reply === null);
    }
    const look = cluster.update('n3', key, 'set', ['x', 'N', '0']);
    cluster.advance(1500, 100);
    assert.deepEqual([look.error, look.reply], [undefined, null]);
    cluster.finish();
  });
});

describe('siblings from the future', () => {
  test('a strict plain write that would be older than they are is refused, where this node has siblings too', () => {
    const siblings: Policy = { r: 2, w: 2, strict: true, conflicts: 'siblings' };
    const plain: Policy = { ...siblings, conflicts: 'last-write-wins' };
    const cluster = new PumpedCluster({ policy: siblings });
    const key = cluster.keyOf('n3', 'n1');
    cluster.mustWrite('n1', key, 'eggs');
    cluster.isolate('n3');
    cluster.advance(6000, 100);
    for (const id of ['n1', 'n2']) cluster.seat(id).clock.wallMs += 3_600_000;
    cluster.mustWrite('n1', key, 'milk');
    for (const id of ['n1', 'n2']) cluster.seat(id).clock.wallMs -= 3_600_000;
    cluster.healAll();
    cluster.advance(3000, 100);
    const write = cluster.write('n3', key, 'bread', { policy: plain });
    cluster.advance(1500, 100);
    assert.deepEqual([write.error?.code, write.error?.outcome], ['clock-offset', 'fail']);
    cluster.finish();
  });
});

describe('the default expiry of a policy', () => {
  function with5s(run: (cluster: PumpedCluster, wallMs: number) => void): void {
    const cluster = new PumpedCluster({ updates: UPDATES, policy: expiring });
    run(cluster, cluster.seat('n1').clock.wallMs);
    cluster.finish();
  }

  /** Updates in one round; their replies. */
  function round(
    cluster: PumpedCluster,
    key: string,
    ...updates: [name: string, ...args: string[]][]
  ): unknown[] {
    const calls = updates.map(([name, ...args]) => cluster.update('n1', key, name, args));
    cluster.pump();
    for (const { error } of calls) assert.equal(error, undefined);
    return calls.map(({ reply }) => reply);
  }

  for (const options of ['X', 'G', 'XG']) {
    test(`SET with ${options} over a value with an expiry writes a new value, which gets the default`, () =>
      with5s((cluster, wallMs) => {
        const key = cluster.keyOf('n1');
        cluster.mustWrite('n1', key, 'old');
        round(cluster, key, ['set', 'new', options, '0']);
        assert.equal(cluster.mustRead('n2', key), 'new');
        assert.equal(rowExpireAt(cluster.stored('n1', key)!), wallMs + 5000);
      }));
  }
  test('PERSIST and GETEX PERSIST take it away, APPEND and KEEPTTL leave what is', () =>
    with5s((cluster, wallMs) => {
      const key = cluster.keyOf('n1');
      cluster.mustWrite('n1', key, 'old');
      round(cluster, key, ['append', 'er']);
      assert.equal(rowExpireAt(cluster.stored('n1', key)!), wallMs + 5000);
      assert.deepEqual(round(cluster, key, ['persist']), [1]);
      assert.equal(rowExpireAt(cluster.stored('n1', key)!), 0);
      round(cluster, key, ['append', 'est']);
      round(cluster, key, ['set', 'kept', 'K', '0']);
      assert.equal(rowExpireAt(cluster.stored('n1', key)!), 0);
      cluster.mustWrite('n1', key, 'again');
      round(cluster, key, ['getex', '0']);
      assert.equal(rowExpireAt(cluster.stored('n1', key)!), 0);
    }));
  test('a value made anew within a round gets it, and the rest of the round sees it', () =>
    with5s((cluster, wallMs) => {
      const [key, other, third] = [0, 1, 2].map((i) => `${cluster.keyOf('n1')}${i}`) as [
        string,
        string,
        string,
      ];
      cluster.mustWrite('n1', key, 'old');
      round(cluster, key, ['del'], ['set', 'new', 'N', '0']);
      assert.equal(rowExpireAt(cluster.stored('n1', key)!), wallMs + 5000);
      assert.deepEqual(round(cluster, other, ['set', 'a', 'N', '0'], ['persist']), [1, 1]);
      assert.equal(rowExpireAt(cluster.stored('n1', other)!), 0);
      const at = String(wallMs + 100_000);
      assert.deepEqual(round(cluster, third, ['set', 'a', 'N', '0'], ['expire', at, 'NX']), [1, 0]);
      assert.equal(rowExpireAt(cluster.stored('n1', third)!), wallMs + 5000);
    }));
});
