/**
 * Scans and counts over a whole cluster: every key that is there throughout is met, whoever is lost or
 * refuses on the way.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import type { ScanPage } from '../../../src/node/api.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

describe('scans', () => {
  test('five nodes: every key once, in pages, from any node', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    const keys = Array.from({ length: 300 }, (_, i) => `key ${i}`).sort();
    for (const key of keys) cluster.write('n1', key, 'v');
    cluster.write('n1', 'gone', undefined);
    cluster.pump();
    for (const count of [1, 7, 100, 10_000]) {
      assert.deepEqual(cluster.mustScan('n2', count).sort(), keys, `pages of ${count}`);
    }
    for (const id of cluster.ids) {
      const count = cluster.count(id);
      cluster.pump();
      assert.equal(count.value, 300);
    }
    cluster.finish();
  });

  test('keys that are there throughout are met, whatever comes and goes', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    const stay = Array.from({ length: 100 }, (_, i) => `stay ${i}`);
    for (const key of stay) cluster.write('n1', key, 'v');
    cluster.pump();
    const met = cluster.mustScan('n3', 5, (page) => {
      cluster.mustWrite('n2', `comes ${page}`, 'v');
      if (page > 3) cluster.mustWrite('n4', `comes ${page - 3}`, undefined);
      const touched = stay[page % 100]!;
      cluster.mustWrite('n5', touched, `again ${page}`);
      if (page === 5) {
        cluster.kill('n2');
        cluster.restart('n2');
      }
    });
    for (const key of stay) assert.ok(met.includes(key), `${key} was met`);
    assert.equal(new Set(met.filter((key) => key.startsWith('stay'))).size, 100);
    cluster.finish();
  });

  test('one hash tag: all keys in one slot, more than a page of storage', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    const keys = Array.from({ length: 1500 }, (_, i) => `{tag}${i}`).sort();
    for (const key of keys) cluster.write('n1', key, 'v');
    cluster.pump();
    for (const count of [50, 900]) assert.deepEqual(cluster.mustScan('n1', count).sort(), keys);
    cluster.finish();
  });

  test('long keys: a page ends by bytes, long before it would not fit a frame', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC', limits: { pairBytesMax: 40_000 } });
    const keys = Array.from({ length: 160 }, (_, i) => `{tag}${'x'.repeat(30_000)}${i}`).sort();
    for (const key of keys) cluster.write('n1', key, 'v');
    cluster.pump();
    let pages = 1;
    const met = cluster.mustScan('n1', 10_000, () => pages++);
    assert.deepEqual(met.sort(), keys);
    assert.ok(pages >= 2, `${pages} pages for 4.8 MB of keys`);
    cluster.finish();
  });

  test('a scan shows nothing that a flush declared dead, even when a replica does not know yet', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    for (let i = 0; i < 20; i++) cluster.mustWrite('n1', `key ${i}`, 'v');
    cluster.isolate('n3');
    const flush = cluster.flush('n1');
    cluster.pump();
    assert.equal(flush.error, undefined);
    cluster.healAll();
    cluster.pump();
    assert.ok(cluster.stored('n3', 'key 1') !== undefined, 'n3 holds it still, and does not know');
    for (const id of ['n3', 'n1', 'n2']) assert.deepEqual(cluster.mustScan(id, 100), []);
    cluster.finish();
  });

  test('a node lost in the middle of a page or a count: another replica takes its share', () => {
    for (const victim of ['n2', 'n3', 'n4', 'n5']) {
      const cluster = new PumpedCluster({ nodes: 5 });
      for (let i = 0; i < 60; i++) cluster.mustWrite('n1', `key ${i}`, 'v');
      let lost = 0;
      const keys = new Set<string>();
      for (let cursor = 0, more = true; more; ) {
        cluster.hold(victim, 'n1');
        const scan = cluster.scan('n1', cursor, 10);
        const count = cluster.count('n1');
        cluster.pump();
        assert.equal(count.isDone, false, 'the victim counts a share');
        if (!scan.isDone) lost++;
        cluster.cut('n1', victim);
        cluster.pump();
        assert.equal(scan.error, undefined, scan.error?.message);
        assert.equal(count.error, undefined, count.error?.message);
        assert.equal(count.value, 60);
        const page = scan.value as ScanPage;
        for (const { key } of page.entries) {
          assert.equal(keys.has(key), false, 'each key once');
          keys.add(key);
        }
        cursor = page.cursor;
        more = cursor !== 0;
        // What it answered meanwhile comes too late for anybody.
        cluster.heal('n1', victim);
        cluster.release(victim, 'n1');
        cluster.pump();
      }
      assert.equal(keys.size, 60);
      assert.ok(lost > 0, 'pages waited for the victim');
      cluster.finish();
    }
  });

  test('who refuses a page or a count is passed over, this node too; nobody left is an error', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    for (let i = 0; i < 60; i++) cluster.mustWrite('n1', `key ${i}`, 'v');
    const refusal = new CodedError('unavailable', 'none', 'the database is being opened anew');
    for (const victim of cluster.ids) {
      cluster.seat(victim).storage.rangeError = refusal;
      assert.equal(cluster.mustScan('n1', 7).length, 60, `without ${victim}`);
      const count = cluster.count('n1');
      cluster.pump();
      assert.equal(count.error, undefined, count.error?.message);
      assert.equal(count.value, 60);
      cluster.seat(victim).storage.rangeError = undefined;
    }
    for (const { storage } of cluster.seats.values()) storage.rangeError = refusal;
    const scan = cluster.scan('n1', 0, 7);
    const count = cluster.count('n1');
    cluster.pump();
    assert.equal(scan.error?.code, 'quorum-unreachable');
    assert.equal(count.error?.code, 'quorum-unreachable');
    cluster.finish();
  });

  test('all are lost in the middle of a page: an error, and the walk can go on from the cursor', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    for (let i = 0; i < 50; i++) cluster.mustWrite('n1', `key ${i}`, 'v');
    for (const id of cluster.ids.slice(1)) cluster.hold(id, 'n1');
    const scan = cluster.scan('n1', 0, 100);
    const count = cluster.count('n1');
    cluster.pump();
    cluster.isolate('n1');
    assert.equal(scan.error?.code, 'quorum-unreachable');
    assert.equal(count.error?.code, 'quorum-unreachable');
    cluster.releaseAll();
    cluster.healAll();
    cluster.pump();
    assert.equal(cluster.mustScan('n1', 100).length, 50);
    cluster.finish();
  });
});
