/**
 * Requests while a change of the topology moves their partition: two lists of owners, and nodes that stand on two
 * pages that follow each other.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import type { Policy } from '../../../src/coordinator/policy.ts';
import type { RequestOptions, ScanPage } from '../../../src/node/api.ts';
import type { NodeId } from '../../../src/ports/transport.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { STAMP_NONE } from '../../../src/rows/row.ts';
import { writeRead } from '../../../src/wire/messages.ts';
import { textOf } from '../../support/pumped-cluster.ts';
import type { Owners } from '../../support/two-lists.ts';
import { TwoLists } from '../../support/two-lists.ts';

const key = 'key';

/** Two acknowledgements, of owners, and nothing is read before. */
const blind: RequestOptions = { policy: { r: 1, w: 2, strict: true } };

/** Frames of `from` wait, all of them or those to `to`. */
function holdFrom(cluster: TwoLists, from: NodeId, ...to: readonly NodeId[]): void {
  for (const other of to) cluster.hold(from, other);
}

function dropFrom(cluster: TwoLists, from: NodeId, ...to: readonly NodeId[]): void {
  for (const other of to) cluster.drop(from, other);
}

describe('a write while its partition moves', () => {
  for (const mutants of [[], ['joint-write-one-list']]) {
    const isRight = mutants.length === 0;
    test(`${isRight ? 'waits' : `mutant ${mutants}: does not wait`} for W of both lists`, () => {
      const cluster = new TwoLists(2, { mutants });
      holdFrom(cluster, 'n1', 'n3', 'n4');
      const write = cluster.write('n1', key, 'new', blind);
      cluster.pump();
      // n1 and n2 are two of the old three, and n2 alone is one of the new.
      assert.equal(write.isDone, !isRight);
      if (isRight) {
        cluster.release('n1', 'n4');
        cluster.pump();
        assert.equal(write.isDone, true);
        assert.equal(write.error, undefined);
      }
      dropFrom(cluster, 'n1', 'n3', ...(isRight ? [] : ['n4']));
      cluster.releaseAll();
      cluster.learn(3);
      cluster.isolate('n2');
      // Whoever reads by the new list meets it, with any R that meets W.
      const read = cluster.read('n3', key);
      cluster.pump();
      assert.equal(textOf(read.value), isRight ? 'new' : undefined);
      cluster.finish();
    });
  }

  test('one that is under way is planned anew: what was acknowledged counts, who came is sent the row', () => {
    const cluster = new TwoLists(1, { policy: 'PA/EC' });
    holdFrom(cluster, 'n1', 'n2', 'n3');
    const write = cluster.write('n1', key, 'new');
    cluster.pump();
    assert.equal(write.isDone, false, 'it is durable at n1 alone');
    cluster.trace = [];
    cluster.learn(2, 'n1');
    cluster.release('n1', 'n3');
    cluster.pump();
    // n1 and n3 of the old list, n3 and n4 of the new one.
    assert.deepEqual(cluster.trace.filter((line) => line.startsWith('n1>')).sort(), [
      'n1>n3 write',
      'n1>n4 write',
    ]);
    assert.equal(write.isDone, true);
    assert.equal(write.error, undefined);
    cluster.releaseAll();
    cluster.finish();
  });

  for (const mutants of [[], ['flight-not-replanned']]) {
    const isRight = mutants.length === 0;
    test(`${isRight ? 'it is not acknowledged' : `mutant ${mutants}: it is acknowledged`} by a page that is over`, () => {
      const cluster = new TwoLists(1, { mutants }, { old: ['n1', 'n2', 'n3'], next: ['n1', 'n3', 'n4'] });
      holdFrom(cluster, 'n1', 'n2', 'n3');
      cluster.seat('n1').storage.writeError = new CodedError('storage-full', 'fail', 'the disk is full');
      const write = cluster.write('n1', key, 'new', blind);
      cluster.pump();
      cluster.seat('n1').storage.writeError = undefined;
      assert.equal(write.isDone, false);
      cluster.learn(2);
      // All know the page, and n4 compares itself with every old owner: none of them has the row.
      for (const id of ['n1', 'n2', 'n3']) assert.equal(cluster.stored(id, key), undefined);
      cluster.hold('n1', 'n4');
      cluster.learn(3);
      cluster.release('n1', 'n2');
      cluster.release('n1', 'n3');
      cluster.pump();
      assert.equal(
        write.isDone,
        !isRight,
        'n2 and n3 are two of the old owners, and n3 alone is one of the new',
      );
      cluster.release('n1', 'n4');
      cluster.pump();
      assert.equal(write.error, undefined);
      cluster.isolate('n3');
      const read = cluster.read('n4', key);
      cluster.pump();
      assert.equal(textOf(read.value), isRight ? 'new' : undefined);
      cluster.finish();
    });
  }

  test('fails before anything is sent where one list is too few', () => {
    const cluster = new TwoLists(2);
    for (const id of ['n3', 'n4']) cluster.kill(id);
    const write = cluster.write('n1', key, 'new', blind);
    cluster.pump();
    assert.equal(write.error?.code, 'quorum-unreachable');
    assert.equal(write.error?.outcome, 'fail');
    assert.equal(cluster.stored('n1', key), undefined);
    for (const id of ['n3', 'n4']) cluster.restart(id);
    cluster.finish();
  });

  test('is unknown when one list loses too many on the way', () => {
    const cluster = new TwoLists(2);
    holdFrom(cluster, 'n1', 'n3', 'n4');
    const write = cluster.write('n1', key, 'new', blind);
    cluster.pump();
    for (const id of ['n3', 'n4']) cluster.kill(id);
    cluster.pump();
    assert.equal(write.error?.code, 'quorum-unreachable');
    assert.equal(write.error?.outcome, 'unknown');
    for (const id of ['n3', 'n4']) cluster.restart(id);
    cluster.finish();
  });

  test('counts an owner of both lists that was started anew in neither, until it has the row again', () => {
    const cluster = new TwoLists(2);
    holdFrom(cluster, 'n1', 'n3', 'n4');
    const write = cluster.write('n1', key, 'new', blind);
    cluster.pump();
    cluster.kill('n2');
    cluster.restart('n2');
    cluster.hold('n1', 'n2');
    cluster.release('n1', 'n4');
    cluster.pump();
    assert.equal(
      write.error,
      undefined,
      'n2 has it again: with it the old list has two, and the new with n4',
    );
    cluster.releaseAll();

    const second = cluster.write('n1', key, 'second', blind);
    holdFrom(cluster, 'n1', 'n3', 'n4');
    cluster.pump();
    cluster.kill('n2');
    cluster.hold('n1', 'n2');
    cluster.restart('n2');
    cluster.release('n1', 'n4');
    cluster.pump();
    assert.equal(second.isDone, false, 'n1 alone of the old list, and n4 alone of the new');
    cluster.releaseAll();
    cluster.pump();
    assert.equal(second.error, undefined);
    cluster.finish();
  });

  test('WAIT is told of the list that has fewer', () => {
    const cluster = new TwoLists(2);
    holdFrom(cluster, 'n1', 'n4');
    const write = cluster.write('n1', key, 'new');
    cluster.pump();
    assert.equal(write.error, undefined);
    assert.equal(write.progress?.acknowledgements, 2, 'three of the old list, two of the new');
    cluster.releaseAll();
    cluster.pump();
    assert.equal(write.progress?.acknowledgements, 3);
    assert.equal(write.progress?.settled, true);
    cluster.finish();
  });

  test('one of siblings goes to both lists too, and its own copy comes first', () => {
    const policy: Policy = { r: 2, w: 2, strict: false, conflicts: 'siblings' };
    const cluster = new TwoLists(2, { policy, storageAutomatic: false });
    cluster.trace = [];
    const write = cluster.write('n1', key, 'new');
    cluster.endTurns();
    assert.deepEqual(cluster.trace, []);
    // The page turns before the row is durable here.
    cluster.learn(3, 'n1');
    for (const { storage } of cluster.seats.values()) storage.automatic = true;
    for (const id of ['n2', 'n3', 'n4'])
      while (cluster.seat(id).storage.pending.length > 0) cluster.seat(id).storage.complete();
    cluster.pump();
    assert.equal(write.error, undefined);
    for (const id of cluster.ids) assert.ok(cluster.stored(id, key) !== undefined, id);
    cluster.learn(3);
    cluster.mustWrite('n1', key, 'again');
    cluster.learn(4);
    cluster.mustWrite('n4', key, 'and again');
    cluster.finish();
  });
});

describe('stand-ins while a partition moves', () => {
  const members = ['n1', 'n2', 'n3', 'n4', 'n5'];
  const owners: Owners = { old: ['n1', 'n2', 'n3'], next: ['n2', 'n3', 'n4'], members };

  test('one stands in for an owner in every list that the owner is on, and an owner for nobody', () => {
    const cluster = new TwoLists(2, { policy: { r: 2, w: 3, strict: false } }, owners);
    cluster.kill('n2');
    cluster.trace = [];
    const write = cluster.write('n1', key, 'new');
    cluster.pump();
    assert.equal(write.error, undefined);
    const sent = cluster.trace.filter((line) => line.startsWith('n1>'));
    assert.deepEqual(sent.sort(), ['n1>n3 write', 'n1>n4 write', 'n1>n5 hint']);
    cluster.restart('n2');
    cluster.finish();
  });

  test('a stand-in that becomes an owner is sent the row itself, and its word on the hint counts for nothing', () => {
    const cluster = new TwoLists(
      1,
      { policy: { r: 2, w: 2, strict: false } },
      {
        ...owners,
        next: ['n1', 'n2', 'n4'],
      },
    );
    for (const id of ['n2', 'n3']) cluster.kill(id);
    holdFrom(cluster, 'n1', 'n4', 'n5');
    const write = cluster.write('n1', key, 'new');
    cluster.pump();
    assert.equal(write.isDone, false, 'n4 and n5 are to stand in');
    cluster.learn(2, 'n1');
    cluster.releaseAll();
    cluster.deliver('n1', 'n4');
    cluster.pump();
    assert.equal(write.error, undefined);
    assert.equal(textOf(cluster.stored('n4', key)), 'new');
    for (const id of ['n2', 'n3']) cluster.restart(id);
    cluster.finish();
  });

  test('a node that leaves stands in for nobody', () => {
    const leaving: Owners = { ...owners, change: { kind: 'leave', nodes: ['n5'] } };
    const cluster = new TwoLists(2, { policy: { r: 2, w: 3, strict: false } }, leaving);
    cluster.kill('n2');
    const write = cluster.write('n1', key, 'new');
    cluster.pump();
    assert.equal(write.error?.code, 'quorum-unreachable');
    cluster.restart('n2');
    cluster.finish();
  });

  for (const w of [2, 3]) {
    test(`for one that is gone for good ${w === 2 ? 'nobody' : 'somebody, W being all,'} stands in`, () => {
      const cluster = new TwoLists(
        2,
        { policy: { r: 2, w, strict: false } },
        {
          old: ['n1', 'n2', 'n5'],
          next: ['n1', 'n2', 'n3'],
          members: ['n1', 'n2', 'n3', 'n4'],
          change: { kind: 'remove', nodes: ['n5'], gone: ['n5'] },
        },
      );
      const write = cluster.write('n1', key, 'new');
      cluster.pump();
      assert.equal(write.error, undefined);
      assert.equal(cluster.node('n4').figures().hints, w === 2 ? 0 : 1);
      assert.equal(cluster.node('n1').figures().hints, 0, 'nor is it noted that it missed the row');
    });
  }
});

describe('reads while a partition moves', () => {
  for (const mutants of [[], ['joint-repair-one-list']]) {
    const isRight = mutants.length === 0;
    test(`${isRight ? '' : `mutant ${mutants}: not `}what a linearizable read has shown is shown by the other list too`, () => {
      const cluster = new TwoLists(2, { mutants });
      cluster.mustWrite('n1', key, 'old');
      cluster.learn(3, 'n2', 'n3', 'n4');
      // A write that got no further than n4.
      holdFrom(cluster, 'n4', 'n1', 'n2', 'n3');
      const write = cluster.write('n4', key, 'new', blind);
      cluster.pump();
      dropFrom(cluster, 'n4', 'n1', 'n2', 'n3');
      cluster.releaseAll();
      for (const other of ['n1', 'n2']) {
        cluster.cut('n4', other);
        cluster.cut(other, 'n4');
      }
      const seen = cluster.read('n4', key);
      cluster.pump();
      // n4 and n3 hold it, two of the new list; the old one needs n1 or n2 too, which n4 cannot reach.
      if (isRight) assert.equal(seen.error?.code, 'quorum-unreachable');
      else {
        assert.equal(textOf(seen.value), 'new');
        assert.equal(cluster.mustRead('n1', key), 'old', 'n1 reads the old owners: time runs backwards');
      }
      cluster.finish();
      assert.equal(write.isDone, true);
    });
  }

  test('a read that nobody is behind costs no write, and prefers who is on both lists', () => {
    const cluster = new TwoLists(2);
    cluster.mustWrite('n1', key, 'old');
    cluster.pump();
    for (const id of ['n1', 'n2', 'n3', 'n4']) {
      cluster.trace = [];
      assert.equal(cluster.mustRead(id, key), 'old');
      assert.deepEqual(
        cluster.trace.filter((line) => / (write|hand)$/.test(line)),
        [],
        id,
      );
    }
    cluster.finish();
  });

  for (const mutants of [[], ['read-old-owners']]) {
    const isRight = mutants.length === 0;
    test(`${isRight ? '' : `mutant ${mutants}: not `}in switch the new owners are asked, who alone are written to on the page after`, () => {
      const cluster = new TwoLists(3, { mutants, policy: 'PA/EC' });
      cluster.mustWrite('n2', key, 'old');
      cluster.learn(4, 'n2', 'n3', 'n4');
      holdFrom(cluster, 'n4', 'n2');
      const write = cluster.write('n4', key, 'new', blind);
      cluster.pump();
      assert.equal(write.error, undefined, 'n3 and n4 hold it');
      dropFrom(cluster, 'n4', 'n2');
      cluster.releaseAll();
      assert.equal(cluster.mustRead('n1', key), isRight ? 'new' : 'old');
      cluster.finish();
    });
  }

  test('an owner by the second list alone answers as an owner, under a sloppy policy too', () => {
    const cluster = new TwoLists(2, { policy: 'PA/EC' });
    cluster.mustWrite('n1', key, 'new');
    cluster.learn(3, 'n3');
    // n3 reads the new owners; n4, a page behind, is one of them, and n2 cannot be reached.
    cluster.isolate('n2');
    cluster.trace = [];
    assert.equal(cluster.mustRead('n3', key), 'new');
    assert.deepEqual(cluster.trace, ['n3>n4 read', 'n4>n3 readEqual']);
    cluster.finish();
  });

  test('one that is under way begins anew with the owners of the new page', () => {
    const cluster = new TwoLists(2);
    cluster.mustWrite('n1', key, 'old');
    holdFrom(cluster, 'n2', 'n1');
    holdFrom(cluster, 'n3', 'n1');
    const read = cluster.read('n1', key);
    cluster.pump();
    assert.equal(read.isDone, false);
    cluster.learn(3);
    cluster.trace = [];
    cluster.releaseAll();
    cluster.pump();
    assert.equal(textOf(read.value), 'old');
    // What was answered to the former question is nothing to the new one.
    const asked = cluster.trace.filter((line) => line.startsWith('n1>'));
    assert.deepEqual(asked.sort(), ['n1>n2 read', 'n1>n3 read']);
    cluster.finish();
  });

  test('an owner of long ago answers no strict read', () => {
    const cluster = new TwoLists(3);
    cluster.mustWrite('n2', key, 'old');
    cluster.learn(4, 'n1');
    const answers: string[] = [];
    const frame = cluster.forge('n2', 'n1', (writer) =>
      writeRead(writer, 77, 1000, false, rowKeyOf(key), STAMP_NONE, true),
    );
    cluster.trace = [];
    cluster.node('n1').frame('n2', frame);
    cluster.pump();
    answers.push(...cluster.trace);
    assert.deepEqual(answers, ['n1>n2 refused']);
    cluster.finish();
  });
});

describe('requests that are sent on by a node on another page', () => {
  test('an owner by the second list coordinates them: forwarded by one behind, and by one ahead', () => {
    for (const policy of ['PC/EC', 'PA/EC'] as const) {
      const cluster = new TwoLists(2, { policy });
      // n4 is ahead and is an owner for itself; n1 is an owner by the page before alone.
      cluster.learn(3, 'n1');
      for (const other of ['n2', 'n3']) {
        cluster.cut('n4', other);
      }
      // n4, a page behind, can send it on to n1 alone, which reads it no more by its own page.
      cluster.mustWrite('n4', key, 'by n1');
      assert.equal(cluster.mustRead('n4', key), 'by n1');
      const update = cluster.update('n4', 'count', 'incr');
      cluster.pump();
      assert.equal(update.error, undefined);
      cluster.finish();

      const ahead = new TwoLists(2, { policy });
      ahead.learn(3, 'n1');
      for (const other of ['n2', 'n3']) {
        ahead.cut('n1', other);
      }
      // n1, a page ahead, can send it on to n4 alone, which is no reader's owner by its own page yet.
      ahead.mustWrite('n1', key, 'by n4');
      assert.equal(ahead.mustRead('n1', key), 'by n4');
      ahead.finish();
    }
  });

  test('a node that owns nothing yet serves everything', () => {
    const cluster = new TwoLists(2);
    cluster.mustWrite('n4', key, 'one');
    assert.equal(cluster.mustRead('n4', key), 'one');
    const update = cluster.update('n4', 'n', 'incr');
    cluster.pump();
    assert.equal(update.error, undefined);
    assert.deepEqual(cluster.mustScan('n4', 10).sort(), ['key', 'n']);
    const count = cluster.count('n4');
    cluster.pump();
    assert.equal(count.value, 2);
    cluster.finish();
  });
});

describe('requests on many keys while pages turn', () => {
  const keys = Array.from({ length: 60 }, (_, i) => `key-${i}`);

  test('a scan meets every key, whatever page is in force at each of its pages', () => {
    const cluster = new TwoLists(1);
    for (const each of keys) cluster.mustWrite('n1', each, 'v');
    let epoch = 1;
    const seen = cluster.mustScan('n1', 7, () => {
      if (epoch === 4) return;
      epoch++;
      cluster.learn(epoch);
      if (epoch === 2) for (const each of keys) cluster.mustWrite('n2', each, 'v2');
    });
    assert.equal(epoch, 4);
    assert.deepEqual([...new Set(seen)].sort(), keys.toSorted());
    cluster.finish();
  });

  test('a scan and a count under way begin anew with the owners of the new page', () => {
    const cluster = new TwoLists(2);
    for (const each of keys) cluster.mustWrite('n1', each, 'v');
    for (const from of ['n1', 'n2', 'n3']) cluster.hold(from, 'n4');
    const scan = cluster.scan('n4', 0, 100);
    const count = cluster.count('n4');
    cluster.pump();
    assert.equal(scan.isDone || count.isDone, false);
    cluster.learn(3);
    cluster.releaseAll();
    cluster.pump();
    assert.equal(count.error, undefined);
    assert.equal(count.value, keys.length);
    const { entries } = scan.value as ScanPage;
    assert.deepEqual(entries.map((entry) => entry.key).sort(), keys.toSorted());
    cluster.finish();
  });

  test('a flush under way goes to who came, and needs enough of them', () => {
    const cluster = new TwoLists(1);
    for (const each of keys.slice(0, 5)) cluster.mustWrite('n1', each, 'v');
    for (const to of ['n2', 'n3', 'n4']) cluster.hold(to, 'n1');
    const flush = cluster.flush('n1');
    cluster.pump();
    cluster.learn(2);
    cluster.pump();
    assert.equal(flush.isDone, false);
    cluster.releaseAll();
    cluster.pump();
    assert.equal(flush.error, undefined);
    for (const id of cluster.ids) assert.deepEqual(cluster.mustScan(id, 10), []);
    cluster.finish();
  });
});

describe('lists shorter than N', () => {
  test('one node, then two, then three: all must acknowledge as far as W goes, and reads meet it', () => {
    const shrinking: Owners = { old: ['n1', 'n2', 'n3'], next: ['n2', 'n3'], members: ['n1', 'n2', 'n3'] };
    const cluster = new TwoLists(2, {}, shrinking);
    assert.equal(cluster.node('n1').replicas, 3);
    holdFrom(cluster, 'n1', 'n3');
    const write = cluster.write('n1', key, 'new', blind);
    cluster.pump();
    assert.equal(write.isDone, false, 'of two both must have it');
    cluster.releaseAll();
    cluster.pump();
    assert.equal(write.error, undefined);
    cluster.learn(3);
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, key), 'new');
    cluster.finish();
  });

  test('a policy set at run time is checked against N, not against the members there are', () => {
    const growing: Owners = { old: ['n1'], next: ['n1', 'n2', 'n3'], members: ['n1', 'n2', 'n3'] };
    const cluster = new TwoLists(1, {}, growing);
    const set = cluster.call<never>('policy');
    cluster.node('n1').setPolicy('strict:', { r: 1, w: 3, strict: true }, set.done);
    cluster.pump();
    assert.equal(set.error, undefined);
    cluster.mustWrite('n1', 'strict:a', 'alone');
    assert.equal(cluster.mustRead('n1', 'strict:a'), 'alone');
    cluster.learn(2);
    cluster.hold('n1', 'n3');
    const write = cluster.write('n1', 'strict:a', 'all');
    cluster.pump();
    assert.equal(write.isDone, false);
    cluster.releaseAll();
    cluster.pump();
    assert.equal(write.error, undefined);
    cluster.finish();
  });
});
