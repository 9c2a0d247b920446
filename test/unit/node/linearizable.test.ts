/**
 * The strict path step by step: repair before the answer, acknowledgements that belong to one winner,
 * floors and tombstones, and replicas whose storage fails at the wrong moment.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { PumpedCluster, textOf } from '../../support/pumped-cluster.ts';

/** n1 alone holds `text`: its write to the others was lost. */
function onlyAtFirst(cluster: PumpedCluster, key: string, text: string | undefined): void {
  for (const other of ['n2', 'n3']) cluster.hold('n1', other);
  const write = cluster.write('n1', key, text, { policy: { r: 1, w: 1, strict: false } });
  cluster.pump();
  assert.equal(write.error, undefined);
  for (const other of ['n2', 'n3']) cluster.drop('n1', other);
  cluster.releaseAll();
}

/** The stored row fails its checksum. */
function damage(cluster: PumpedCluster, id: string, key: string): void {
  const bytes = new Uint8Array(cluster.stored(id, key)!);
  bytes[bytes.length - 1]! ^= 4;
  cluster.seat(id).storage.entries.set(rowKeyOf(key), bytes);
}

describe('repair', () => {
  test('blocking: the read answers after the write-back is stored, and not before', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'old');
    onlyAtFirst(cluster, key, 'new');
    for (const id of ['n2', 'n3']) cluster.seat(id).storage.automatic = false;
    const read = cluster.read('n1', key);
    cluster.pump();
    assert.equal(read.isDone, false, 'n2 and n3 were handed the row and it is not durable');
    cluster.seat('n2').storage.complete();
    assert.equal(read.isDone, false);
    cluster.trace = [];
    cluster.pump();
    assert.deepEqual(cluster.trace, ['n2>n1 stored']);
    assert.equal(textOf(read.value), 'new');
    assert.equal(cluster.node('n1').figures().repairsBlocking, 1);
    assert.equal(textOf(cluster.stored('n2', key)), 'new');
    cluster.finish();
  });

  test('afterwards: under PA/EC the read answers first and then repairs', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'old');
    onlyAtFirst(cluster, key, 'new');
    cluster.trace = [];
    const read = cluster.read('n1', key);
    cluster.hold('n1', 'n2');
    cluster.endTurns();
    cluster.deliver('n1', 'n2');
    cluster.pump();
    assert.equal(textOf(read.value), 'new');
    assert.equal(textOf(cluster.stored('n2', key)), 'old', 'the repair is still on its way');
    cluster.release('n1', 'n2');
    cluster.pump();
    assert.equal(textOf(cluster.stored('n2', key)), 'new');
    assert.deepEqual(cluster.trace, ['n1>n2 read', 'n2>n1 readStamp', 'n1>n2 write']);
    assert.equal(cluster.node('n1').figures().repairsAfter, 1);
    cluster.finish();
  });

  test('a read never goes back: after one read saw the new row, every other does', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'old');
    onlyAtFirst(cluster, key, 'new');
    assert.equal(cluster.mustRead('n1', key), 'new');
    cluster.kill('n1');
    assert.equal(cluster.mustRead('n2', key), 'new');
    assert.equal(cluster.mustRead('n3', key), 'new');
    cluster.finish();
  });

  test('a tombstone is written back like any row', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'old');
    onlyAtFirst(cluster, key, undefined);
    assert.equal(cluster.mustRead('n1', key), undefined);
    cluster.kill('n1');
    for (const id of ['n2', 'n3']) assert.equal(cluster.mustRead(id, key), undefined);
    cluster.finish();
  });

  test('a replica whose commit of the write-back fails does not count', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'old');
    onlyAtFirst(cluster, key, 'new');
    cluster.seat('n2').storage.writeError = new CodedError('storage-full', 'fail', 'full');
    cluster.hold('n1', 'n3');
    const read = cluster.read('n1', key);
    cluster.pump();
    assert.equal(read.isDone, false, 'n2 refused it, n3 may still store it');
    cluster.release('n1', 'n3');
    cluster.pump();
    assert.equal(textOf(read.value), 'new');
    assert.equal(textOf(cluster.stored('n3', key)), 'new');
    cluster.finish();
  });

  test('nobody can store the write-back: the read fails rather than show what may go away', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'old');
    onlyAtFirst(cluster, key, 'new');
    for (const id of ['n2', 'n3']) {
      cluster.seat(id).storage.writeError = new CodedError('storage-full', 'fail', 'full');
    }
    const read = cluster.read('n1', key);
    cluster.pump();
    assert.equal(read.error?.code, 'quorum-unreachable');
    cluster.finish();
  });

  test('our own replica got the row by another way meanwhile: its acknowledgement within the call counts', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const key = cluster.keyOf('n2', 'n1', 'n3');
    cluster.mustWrite('n2', key, 'old');
    cluster.kill('n3');
    // n1 reads while the write of n2 is on its way to n1, and n2 answers the read with the new row.
    cluster.hold('n2', 'n1');
    const write = cluster.write('n2', key, 'new', { policy: { r: 1, w: 1, strict: false } });
    cluster.pump();
    assert.equal(write.error, undefined);
    const read = cluster.read('n1', key);
    cluster.pump();
    assert.equal(read.isDone, false);
    cluster.deliver('n2', 'n1');
    cluster.endTurn('n1');
    assert.equal(textOf(cluster.stored('n1', key)), 'new', 'the write arrived first');
    cluster.release('n2', 'n1');
    cluster.pump();
    assert.equal(read.isDone, true, 'there is nothing to wait for: both hold it');
    assert.equal(textOf(read.value), 'new');
    cluster.finish();
  });

  test('acknowledgements of a write-back are for the winner that was handed out', () => {
    // n1 has a newer row on its tray, which its slow disk makes durable while an older winner is being
    // written back. The STORED of the older one must not count for the newer one.
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'oldest');
    // n2 alone holds `old`.
    for (const other of ['n1', 'n3']) cluster.hold('n2', other);
    cluster.write('n2', key, 'old', { policy: { r: 1, w: 1, strict: false } });
    cluster.pump();
    for (const other of ['n1', 'n3']) cluster.drop('n2', other);
    cluster.releaseAll();
    // n1 has `new` under way to its disk; its messages to the others are lost.
    cluster.advance(5);
    cluster.seat('n1').storage.automatic = false;
    const write = cluster.write('n1', key, 'new', { policy: { r: 1, w: 3, strict: false } });
    cluster.endTurn('n1');
    for (const other of ['n2', 'n3']) cluster.drop('n1', other);
    // The read asks n2; the hedge asks n3; both answer before n1's own disk does.
    cluster.hold('n2', 'n1');
    const read = cluster.read('n1', key);
    cluster.pump();
    cluster.advance(50);
    assert.equal(cluster.node('n1').figures().hedges, 1);
    cluster.hold('n1', 'n3');
    cluster.release('n2', 'n1');
    cluster.pump();
    assert.equal(read.isDone, false, 'the older winner is being written back to n3');
    cluster.hold('n1', 'n2');
    cluster.seat('n1').storage.complete();
    cluster.pump();
    cluster.deliver('n1', 'n3');
    cluster.pump();
    assert.equal(textOf(cluster.stored('n3', key)), 'old');
    const holders = cluster.ids.filter((id) => textOf(cluster.stored(id, key)) === 'new');
    assert.deepEqual(holders, ['n1'], 'one replica alone holds the newer row');
    assert.equal(textOf(read.value), 'old', 'so it must not be shown');
    cluster.seat('n1').storage.automatic = true;
    cluster.advance(1100);
    assert.equal(write.isDone, true);
    cluster.finish();
  });
});

describe('flush', () => {
  test('a flush hides everything written before, on all nodes, and later writes are seen', () => {
    for (const policy of ['PA/EC', 'PC/EC'] as const) {
      const cluster = new PumpedCluster({ policy });
      for (let i = 0; i < 20; i++) cluster.mustWrite(cluster.ids[i % 3]!, `key ${i}`, 'v');
      const flush = cluster.flush('n2');
      cluster.pump();
      assert.equal(flush.error, undefined);
      for (const id of cluster.ids) {
        for (let i = 0; i < 20; i++) assert.equal(cluster.mustRead(id, `key ${i}`), undefined);
      }
      cluster.mustWrite('n3', 'key 0', 'again');
      for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'key 0'), 'again');
      cluster.advance(500);
      for (const id of cluster.ids) {
        assert.equal(cluster.stored(id, 'key 1'), undefined, 'cleaned up');
      }
      cluster.finish();
    }
  });

  test('a flush from a slow clock is above what any node acknowledged before', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    cluster.seat('n3').clock.wallMs -= 400;
    cluster.hold('n1', 'n3');
    const key = cluster.keyOf('n1', 'n2');
    cluster.mustWrite('n1', key, 'v');
    cluster.drop('n1', 'n3');
    cluster.release('n1', 'n3');
    const flush = cluster.flush('n3');
    cluster.pump();
    assert.equal(flush.error, undefined);
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, key), undefined);
    cluster.finish();
  });

  test('a node that was away learns the floor from a read, and from a heartbeat', () => {
    for (const way of ['read', 'heartbeat'] as const) {
      const cluster = new PumpedCluster({ policy: 'PC/EC' });
      cluster.mustWrite('n1', 'plum', 'old');
      cluster.isolate('n3');
      const flush = cluster.flush('n1');
      cluster.pump();
      assert.equal(flush.error, undefined, 'N-W nodes may be away');
      assert.equal(textOf(cluster.stored('n3', 'plum')), 'old');
      cluster.healAll();
      cluster.pump();
      if (way === 'read') assert.equal(cluster.mustRead('n3', 'plum'), undefined);
      else cluster.advance(250);
      const local = { policy: { r: 1, w: 1, strict: false } };
      assert.equal(cluster.mustRead('n3', 'plum', local), undefined, 'n3 knows by itself');
      cluster.finish();
    }
  });

  test('a row from before the flush that arrives after it stays dead', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.hold('n1', 'n3');
    cluster.mustWrite('n1', key, 'late');
    const flush = cluster.flush('n2');
    cluster.pump();
    assert.equal(flush.error, undefined);
    cluster.release('n1', 'n3');
    cluster.pump();
    assert.equal(cluster.stored('n3', key), undefined, 'refused on arrival');
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, key), undefined);
    cluster.finish();
  });

  test('too few nodes: fail, and nothing was flushed', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    cluster.mustWrite('n1', 'plum', 'v');
    cluster.isolate('n1');
    const flush = cluster.flush('n1');
    cluster.pump();
    assert.equal(flush.error?.outcome, 'fail');
    cluster.healAll();
    cluster.pump();
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'plum'), 'v');
    cluster.finish();
  });

  test('a floor that is not durable yet is not shown: a crash would bring the row back', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    cluster.mustWrite('n1', 'plum', 'v');
    for (const { storage } of cluster.seats.values()) storage.automatic = false;
    const flush = cluster.flush('n1');
    cluster.pump();
    const read = cluster.read('n2', 'plum');
    cluster.pump();
    assert.equal(read.isDone, false, 'whoever answered would answer by a floor a crash may take away');
    for (const { storage } of cluster.seats.values()) {
      storage.automatic = true;
      while (storage.pending.length > 0) storage.complete();
    }
    cluster.pump();
    assert.equal(flush.error, undefined);
    assert.equal(read.error, undefined);
    assert.equal(textOf(read.value), undefined);
    cluster.finish();
  });
});

describe('damage', () => {
  test('a coordinator whose row is damaged asks others, and shows what they hold', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    cluster.mustWrite('n1', 'plum', 'blue');
    const damaged = new Uint8Array(cluster.stored('n1', 'plum')!);
    damaged[34]! ^= 4;
    for (const [key, value] of cluster.seat('n1').storage.entries) {
      if (value.length === damaged.length) cluster.seat('n1').storage.entries.set(key, damaged);
    }
    assert.equal(cluster.mustRead('n1', 'plum'), 'blue');
    assert.equal(cluster.mustRead('n2', 'plum'), 'blue');
    assert.equal(cluster.mustRead('n3', 'plum'), 'blue');
    assert.ok(cluster.node('n1').figures().rowsDamaged > 0);
    const alone = cluster.read('n1', 'plum', { policy: { r: 1, w: 1, strict: false } });
    cluster.pump();
    assert.equal(textOf(alone.value), 'blue', 'R=1 too');
    cluster.finish();
  });

  for (const policy of ['PA/EL', 'PA/EC', 'PC/EC'] as const) {
    test(`${policy}: a read mends the coordinator's own damaged row`, () => {
      const cluster = new PumpedCluster({ policy });
      cluster.mustWrite('n1', 'plum', 'blue');
      const intact = cluster.stored('n1', 'plum')!;
      damage(cluster, 'n1', 'plum');
      assert.equal(cluster.mustRead('n1', 'plum'), 'blue');
      assert.deepEqual(cluster.stored('n1', 'plum'), intact);
      const { repairsAfter, rowsDamaged } = cluster.node('n1').figures();
      assert.equal(repairsAfter, 1);
      assert.equal(cluster.mustRead('n1', 'plum'), 'blue');
      assert.equal(cluster.node('n1').figures().rowsDamaged, rowsDamaged, 'it is intact now');
      cluster.finish();
    });
  }

  test('a damaged row that nobody else has gives way to what the others hold, when no write can count on it', () => {
    for (const policy of ['PA/EL', 'PA/EC', 'PC/EC'] as const) {
      const cluster = new PumpedCluster({ policy });
      const key = cluster.keyOf('n1', 'n2', 'n3');
      cluster.mustWrite('n1', key, 'old');
      onlyAtFirst(cluster, key, 'new');
      damage(cluster, 'n1', key);
      const bytes = cluster.stored('n1', key);
      assert.equal(cluster.mustRead('n1', key), 'old');
      assert.deepEqual(cluster.stored('n1', key), bytes, 'a write stamped so lately may be under way');
      cluster.advance(70_000, 100);
      assert.equal(cluster.mustRead('n1', key), 'old');
      // The mender asked all others, whatever the policy.
      assert.deepEqual(cluster.stored('n1', key), cluster.stored('n2', key));
      cluster.finish();
    }
  });

  test('what stand-ins do not know takes no damaged row away that a strict write counts on', () => {
    const strict = { policy: { r: 2, w: 2, strict: true } };
    const cluster = new PumpedCluster({ nodes: 4, limits: { repairIntervalMs: 3_600_000 } });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.hold('n1', 'n3');
    cluster.mustWrite('n1', key, 'kept', strict);
    cluster.drop('n1', 'n3');
    cluster.releaseAll();
    cluster.kill('n2');
    for (const { clock } of cluster.seats.values()) clock.wallMs += 100_000;
    damage(cluster, 'n1', key);
    assert.equal(cluster.mustRead('n1', key), undefined, 'a sloppy read promises no more');
    cluster.pump();
    assert.notEqual(cluster.stored('n1', key), undefined);
    assert.equal(cluster.read('n3', key, strict).isDone, false);
    cluster.restart('n2');
    cluster.advance(3000, 20);
    assert.equal(cluster.mustRead('n3', key, strict), 'kept');
    cluster.finish();
  });

  test('a strict read that writes back mends the own row too', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'old');
    cluster.hold('n1', 'n3');
    cluster.mustWrite('n1', key, 'new', { policy: { r: 2, w: 2, strict: false } });
    cluster.drop('n1', 'n3');
    cluster.releaseAll();
    damage(cluster, 'n1', key);
    assert.equal(cluster.mustRead('n1', key), 'new');
    const { repairsBlocking, repairsAfter } = cluster.node('n1').figures();
    assert.deepEqual([repairsBlocking, repairsAfter], [1, 1]);
    for (const id of cluster.ids) assert.equal(textOf(cluster.stored(id, key)), 'new');
    cluster.finish();
  });
});
