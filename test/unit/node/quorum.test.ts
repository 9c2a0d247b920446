/**
 * Quorum reads and writes, message by message: what is answered with nodes down, and that `fail` means
 * no replica ever got the row (promise P2), `unknown` anything else.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { rowTime } from '../../../src/rows/row.ts';
import { FRAME_HEADER_BYTES } from '../../../src/wire/frame.ts';
import { PumpedCluster, textOf } from '../../support/pumped-cluster.ts';

const policies = ['PA/EL', 'PA/EC', 'PC/EL', 'PC/EC'] as const;

describe('all nodes up', () => {
  for (const policy of policies) {
    test(`${policy}: what one node writes, all read; a delete hides it everywhere`, () => {
      const cluster = new PumpedCluster({ policy });
      cluster.mustWrite('n1', 'plum', 'blue');
      for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'plum'), 'blue');
      cluster.mustWrite('n2', 'plum', 'green');
      for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'plum'), 'green');
      cluster.mustWrite('n3', 'plum', undefined);
      for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'plum'), undefined);
      assert.equal(cluster.mustRead('n1', 'never written'), undefined);
      cluster.finish();
    });
  }

  test('a write is answered by the W-th durable acknowledgement, not earlier', () => {
    const cluster = new PumpedCluster({ policy: { r: 2, w: 2, strict: false }, storageAutomatic: false });
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.pump();
    assert.equal(write.isDone, false, 'three trays are under way, none is durable');
    cluster.seat('n1').storage.complete();
    cluster.pump();
    assert.equal(write.isDone, false, 'one');
    cluster.seat('n3').storage.complete();
    cluster.pump();
    assert.equal(write.isDone, true, 'two');
    assert.equal(write.error, undefined);
    cluster.finish();
  });

  test('WAIT: acknowledgements go on to three after the answer, then it is settled', () => {
    const cluster = new PumpedCluster({ storageAutomatic: false });
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.pump();
    for (const [id, count] of [
      ['n1', 1],
      ['n2', 2],
      ['n3', 3],
    ] as const) {
      cluster.seat(id).storage.complete();
      cluster.pump();
      if (count < 2) continue;
      assert.equal(write.progress?.acknowledgements, count);
      assert.equal(write.progress?.settled, count === 3);
    }
    assert.equal(cluster.node('n1').figures().requestsInFlight, 0);
    cluster.finish();
  });

  test('a read with R=2 asks one neighbour, and equal stamps carry no row', () => {
    const cluster = new PumpedCluster();
    cluster.mustWrite('n1', 'plum', 'blue');
    cluster.trace = [];
    assert.equal(cluster.mustRead('n1', 'plum'), 'blue');
    assert.equal(cluster.trace.length, 2);
    assert.match(cluster.trace[1]!, /readEqual$/);
    cluster.finish();
  });
});

describe('one node down', () => {
  for (const policy of policies) {
    test(`${policy}: writes and reads go on`, () => {
      const cluster = new PumpedCluster({ policy });
      cluster.mustWrite('n1', 'plum', 'blue');
      cluster.kill('n3');
      cluster.mustWrite('n1', 'plum', 'green');
      for (const id of ['n1', 'n2']) assert.equal(cluster.mustRead(id, 'plum'), 'green');
      cluster.finish();
    });
  }

  test('it comes back with old data: an R=2 read is right wherever it begins', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    cluster.mustWrite('n1', 'plum', 'blue');
    cluster.kill('n3');
    cluster.mustWrite('n1', 'plum', 'green');
    cluster.restart('n3');
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'plum'), 'green');
    assert.equal(textOf(cluster.stored('n3', 'plum')), 'green', 'its own read repaired it');
    cluster.finish();
  });
});

describe('two nodes down', () => {
  for (const policy of ['PA/EC', 'PC/EC'] as const) {
    test(`${policy}: a write fails and no replica has the row; a read fails`, () => {
      const cluster = new PumpedCluster({ policy });
      cluster.kill('n2');
      cluster.kill('n3');
      const write = cluster.write('n1', 'plum', 'blue');
      const read = cluster.read('n1', 'plum');
      cluster.pump();
      assert.equal(write.error?.code, 'quorum-unreachable');
      assert.equal(write.error?.outcome, 'fail');
      assert.equal(read.error?.outcome, 'none');
      for (const id of cluster.ids) assert.equal(cluster.stored(id, 'plum'), undefined);
      cluster.finish();
    });
  }

  test('PA/EL goes on alone', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EL' });
    cluster.kill('n2');
    cluster.kill('n3');
    cluster.mustWrite('n1', 'plum', 'blue');
    assert.equal(cluster.mustRead('n1', 'plum'), 'blue');
    cluster.finish();
  });
});

describe('fail or unknown', () => {
  test('a replica lost between learning and sending: fail, and nobody has the row', () => {
    const cluster = new PumpedCluster({ policy: { r: 2, w: 3, strict: true } });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.hold('n2', 'n1');
    const write = cluster.write('n1', key, 'blue');
    cluster.pump();
    cluster.cut('n1', 'n3');
    assert.equal(write.isDone, false, 'n2 may still tell the greatest stamp');
    cluster.release('n2', 'n1');
    cluster.pump();
    assert.equal(write.error?.code, 'quorum-unreachable');
    assert.equal(write.error?.outcome, 'fail');
    for (const id of cluster.ids) assert.equal(cluster.stored(id, key), undefined, id);
    cluster.finish();
  });

  test('a learning that cannot finish by the deadline: fail', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    for (const other of ['n2', 'n3']) cluster.hold(other, 'n1');
    const write = cluster.write('n1', 'plum', 'blue', { timeoutMs: 50 });
    cluster.advance(60);
    assert.equal(write.error?.code, 'deadline-exceeded');
    assert.equal(write.error?.outcome, 'fail');
    cluster.finish();
    for (const id of cluster.ids) assert.equal(cluster.stored(id, 'plum'), undefined, id);
  });

  test('sent, and both replicas lost before they answered: unknown', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    for (const other of ['n2', 'n3']) cluster.hold(other, 'n1');
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.pump();
    cluster.cut('n1', 'n2');
    assert.equal(write.isDone, false, 'n3 may still answer');
    cluster.cut('n1', 'n3');
    assert.equal(write.error?.code, 'quorum-unreachable');
    assert.equal(write.error?.outcome, 'unknown');
    assert.equal(textOf(cluster.stored('n2', 'plum')), 'blue', 'it was applied indeed');
    cluster.finish();
  });

  test('sent, and no answer by the deadline: unknown; the late answers are ignored', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    for (const other of ['n2', 'n3']) cluster.hold(other, 'n1');
    const write = cluster.write('n1', 'plum', 'blue', { timeoutMs: 50 });
    cluster.advance(60);
    assert.equal(write.error?.code, 'deadline-exceeded');
    assert.equal(write.error?.outcome, 'unknown');
    assert.equal(write.progress?.settled, true);
    cluster.finish();
  });

  test('every replica refuses because its disk is full: fail, and the error says so', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    for (const { storage } of cluster.seats.values()) {
      storage.writeError = new CodedError('storage-full', 'fail', 'the disk is full');
    }
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.pump();
    assert.equal(write.error?.code, 'storage-full');
    assert.equal(write.error?.outcome, 'fail');
    for (const id of cluster.ids) assert.equal(cluster.stored(id, 'plum'), undefined, id);
    cluster.finish();
  });

  test('a disk that became full in the middle of the batch may hold the row: unknown', () => {
    for (const here of [true, false]) {
      const cluster = new PumpedCluster({ policy: 'PA/EC' });
      for (const id of cluster.ids) {
        const outcome = (id === 'n1') === here ? 'unknown' : 'fail';
        cluster.seat(id).storage.writeError = new CodedError('storage-full', outcome, 'the disk is full');
      }
      const write = cluster.write('n1', 'plum', 'blue');
      cluster.pump();
      assert.equal(write.error?.outcome, 'unknown', here ? 'ours' : 'theirs');
      cluster.finish();
    }
  });

  test('two disks full, one took the row: unknown, never fail', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    for (const id of ['n1', 'n2']) {
      cluster.seat(id).storage.writeError = new CodedError('storage-full', 'fail', 'the disk is full');
    }
    cluster.hold('n3', 'n1');
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.pump();
    assert.equal(write.isDone, false, 'only the third can tell');
    cluster.release('n3', 'n1');
    cluster.pump();
    assert.equal(write.error?.code, 'storage-full');
    assert.equal(write.error?.outcome, 'unknown');
    assert.equal(textOf(cluster.stored('n3', 'plum')), 'blue');
    cluster.finish();
  });

  test('an fsync that failed may have stored the row: unknown', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    for (const id of cluster.ids) {
      cluster.seat(id).storage.writeError = new CodedError('storage-failed', 'unknown', 'fsync failed');
    }
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.pump();
    assert.equal(write.error?.outcome, 'unknown');
    cluster.finish();
  });

  test("the coordinator's own disk fails: the others make the quorum; then it refuses everything", () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    cluster.seat('n1').storage.writeError = new CodedError('storage-failed', 'unknown', 'fsync failed');
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.pump();
    assert.equal(write.error, undefined);
    const later = cluster.write('n1', 'plum', 'green');
    const read = cluster.read('n1', 'plum');
    assert.equal(later.error?.code, 'unavailable');
    assert.equal(later.error?.outcome, 'fail');
    assert.equal(read.error?.code, 'unavailable');
    assert.equal(cluster.mustRead('n2', 'plum'), 'blue');
    assert.equal(cluster.mustRead('n3', 'plum'), 'blue');
    cluster.finish();
  });

  test('a storage whose reads fail: the write is answered and the neighbours do not lose their pipe', () => {
    const cluster = new PumpedCluster({ policy: { r: 2, w: 3, strict: false } });
    cluster.hold('n1', 'n2');
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.pump();
    // A newer row gets there first, so that the late one must be compared with what is stored.
    cluster.write('n3', 'plum', 'grey');
    cluster.pump();
    assert.equal(textOf(cluster.stored('n2', 'plum')), 'grey');
    cluster.seat('n2').storage.getError = new CodedError('storage-failed', 'none', 'read error');
    cluster.release('n1', 'n2');
    cluster.pump();
    assert.equal(write.isDone, true);
    assert.equal(write.error?.outcome, 'unknown');
    assert.deepEqual(cluster.seat('n2').resets, []);
    cluster.finish();
  });

  test('a storage that is being opened anew: the others serve, nothing throws, and then it is back', () => {
    for (const policy of ['PA/EL', 'PA/EC', 'PC/EC'] as const) {
      const cluster = new PumpedCluster({ policy });
      const key = cluster.keyOf('n1', 'n2', 'n3');
      cluster.mustWrite('n1', key, 'blue');
      const { storage } = cluster.seat('n1');
      storage.getError = new CodedError('unavailable', 'none', 'the database is being opened anew');
      storage.rangeError = storage.getError;
      for (const id of cluster.ids) assert.equal(cluster.mustRead(id, key), 'blue');
      cluster.mustWrite('n2', key, 'grey');
      const update = cluster.update('n1', key, 'append', ['!']);
      const scan = cluster.scan('n1', 0, 10);
      const count = cluster.count('n1');
      cluster.pump();
      const flush = cluster.flush('n2');
      cluster.pump();
      for (const call of [update, scan, count, flush]) assert.equal(call.isDone, true);
      assert.equal(flush.error, undefined);
      // The clean-up after the flush reads pages, and looks at each row again: both may be refused.
      cluster.advance(500);
      storage.rangeError = undefined;
      cluster.advance(500);
      storage.getError = undefined;
      cluster.advance(1000);
      assert.equal(cluster.mustRead('n1', key), undefined);
      cluster.mustWrite('n1', key, 'red');
      for (const id of cluster.ids) assert.equal(cluster.mustRead(id, key), 'red');
      cluster.finish();
    }
  });

  test('a queue that is full breaks the pipe: the flight hears of it at once', () => {
    const cluster = new PumpedCluster({ policy: { r: 2, w: 3, strict: false } });
    cluster.full('n1', 'n2', true);
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.endTurns();
    assert.equal(write.isDone, true);
    assert.equal(write.error?.outcome, 'unknown');
    cluster.finish();
  });

  test('a queue that is full in the middle of a turn: no flight waits for a frame that never went', () => {
    const cluster = new PumpedCluster({
      policy: { r: 2, w: 3, strict: false },
      limits: { pairBytesMax: 2 * 1024 * 1024 },
    });
    cluster.full('n1', 'n2', true);
    const first = cluster.write('n1', 'plum', 'x'.repeat(1024 * 1024 + 1));
    const second = cluster.write('n1', 'pear', 'blue');
    cluster.endTurns();
    assert.equal(first.isDone, true);
    assert.equal(second.isDone, true, 'the second write found the pipe broken while it was written');
    cluster.full('n1', 'n2', false);
    cluster.pump();
    cluster.mustWrite('n1', 'plum', 'small');
    cluster.finish();
  });
});

describe('answers from the past', () => {
  test('an answer that arrives after the pipe broke and came back is ignored', () => {
    const cluster = new PumpedCluster({ policy: { r: 2, w: 3, strict: false } });
    cluster.hold('n2', 'n1');
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.pump();
    cluster.cut('n1', 'n2');
    assert.equal(write.error?.outcome, 'unknown');
    cluster.heal('n1', 'n2');
    cluster.pump();
    cluster.release('n2', 'n1');
    cluster.pump();
    assert.equal(write.progress?.acknowledgements, 2, 'the stale STORED does not count');
    cluster.finish();
  });

  test('what is owed to a broken pipe is not sent on the next one', () => {
    const cluster = new PumpedCluster({ policy: { r: 2, w: 3, strict: false }, storageAutomatic: false });
    const write = cluster.write('n1', 'plum', 'blue');
    cluster.pump();
    cluster.cut('n2', 'n1');
    cluster.heal('n2', 'n1');
    cluster.pump();
    for (const id of cluster.ids) cluster.seat(id).storage.complete();
    cluster.trace = [];
    cluster.pump();
    assert.deepEqual(cluster.trace, ['n3>n1 stored']);
    cluster.advance(1100);
    assert.equal(write.error?.code, 'deadline-exceeded');
    cluster.finish();
  });

  test('a READ that waits for a commit is answered in time, or not at all', () => {
    for (const [waitMs, answers] of [
      [30, 1],
      [60, 0],
    ] as const) {
      const cluster = new PumpedCluster({ storageAutomatic: false, limits: { hedgeShareMax: 0 } });
      const write = cluster.write('n2', 'plum', 'blue');
      cluster.pump();
      for (const id of ['n1', 'n3']) cluster.seat(id).storage.complete();
      cluster.pump();
      assert.equal(write.error, undefined);
      cluster.cut('n1', 'n3');
      const read = cluster.read('n1', 'plum', { timeoutMs: 50 });
      cluster.pump();
      cluster.trace = [];
      cluster.advance(waitMs);
      assert.equal(read.isDone, answers === 0, 'the row of n2 is not durable yet');
      cluster.seat('n2').storage.complete();
      cluster.pump();
      assert.equal(cluster.trace.filter((name) => name.startsWith('n2>n1 read')).length, answers);
      if (answers === 1) assert.equal(textOf(read.value), 'blue');
      else assert.equal(read.error?.code, 'deadline-exceeded');
      cluster.finish();
    }
  });

  test('every frame of an exchange delivered twice changes nothing', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    for (let i = 0; i < 3; i++) {
      const write = cluster.write('n1', 'plum', `value ${i}`);
      const read = cluster.read('n2', 'plum');
      for (let round = 0; round < 40; round++) {
        cluster.endTurns();
        for (const from of cluster.ids) {
          for (const to of cluster.ids) {
            if (from === to || cluster.waiting(from, to).length === 0) continue;
            const frame = cluster.waiting(from, to)[0]!;
            cluster.deliver(from, to);
            // The frame itself again, which is turned away, and its messages in a frame that is not.
            cluster.seat(to).node.frame(from, frame);
            const messages = frame.subarray(FRAME_HEADER_BYTES);
            const again = cluster.forge(from, to, (writer) => writer.raw(messages));
            cluster.seat(to).node.frame(from, again);
          }
        }
      }
      assert.equal(write.error, undefined);
      assert.equal(read.error, undefined);
      assert.equal(write.progress?.acknowledgements, 3, 'a doubled STORED counts once');
      assert.equal(cluster.mustRead('n3', 'plum'), `value ${i}`);
    }
    for (const id of cluster.ids) assert.ok(cluster.node(id).figures().framesLate > 0);
    cluster.finish();
  });
});

describe('clocks', () => {
  test('strict: the later write wins although its node is 400 ms behind', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    cluster.seat('n2').clock.wallMs -= 400;
    const key = cluster.keyOf('n1', 'n3', 'n2');
    cluster.hold('n1', 'n2');
    cluster.mustWrite('n1', key, 'first');
    cluster.drop('n1', 'n2');
    cluster.release('n1', 'n2');
    cluster.mustWrite('n2', key, 'second');
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, key), 'second');
    cluster.finish();
  });

  test('a row stamped too far ahead is refused with an alarm and wins nothing', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    cluster.mustWrite('n2', 'plum', 'today');
    cluster.seat('n1').clock.wallMs += 10_000;
    const write = cluster.write('n1', 'plum', 'tomorrow');
    cluster.pump();
    assert.equal(write.error?.outcome, 'unknown', 'n1 itself holds it');
    for (const id of ['n2', 'n3']) {
      assert.equal(textOf(cluster.stored(id, 'plum')), 'today');
      assert.equal(cluster.node(id).figures().rowsRefusedClock, 1);
      assert.ok(cluster.seat(id).events.includes('row-refused-clock'));
    }
    cluster.seat('n1').clock.wallMs -= 10_000;
    const refused = cluster.write('n1', 'pear', 'stamped above tomorrow');
    assert.equal(refused.error?.code, 'clock-offset');
    assert.equal(refused.error?.outcome, 'fail');
    for (const id of cluster.ids) assert.equal(cluster.stored(id, 'pear'), undefined);
    cluster.mustWrite('n2', 'plum', 'still today');
    assert.ok(rowTime(cluster.stored('n2', 'plum')!) < cluster.seat('n2').clock.wallMs + 500);
    cluster.finish();
  });

  test('an expired row reads as missing, before and after it is cleaned up', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    const call = cluster.call<never>('write with a TTL');
    const expireAt = cluster.seat('n1').clock.wallMs + 100;
    const body = { kind: 1, value: new Uint8Array([65]), expireAt };
    cluster.node('n1').write('plum', body, {}, call.done);
    cluster.pump();
    assert.equal(cluster.mustRead('n2', 'plum'), 'A');
    cluster.advance(101);
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'plum'), undefined);
    cluster.advance(200_000, 250);
    for (const id of cluster.ids) {
      assert.equal(textOf(cluster.stored(id, 'plum')), '', 'only the stamp is left');
      assert.equal(cluster.mustRead(id, 'plum'), undefined);
    }
    cluster.finish();
  });
});
