/**
 * Everything that takes more than one node or one turn: forwarding, update rounds, shared reads, hedges,
 * and what a restart keeps.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { UpdateError, type UpdateFunction } from '../../../src/node/api.ts';
import { rowActor, rowCounter, rowLogical, rowTime } from '../../../src/rows/row.ts';
import { PumpedCluster, textBody, textOf, updatesForTests } from '../../support/pumped-cluster.ts';

describe('forwarding', () => {
  test('five nodes, N=3: every node reads, writes and updates every key', () => {
    for (const policy of ['PA/EL', 'PA/EC', 'PC/EC'] as const) {
      const cluster = new PumpedCluster({ nodes: 5, policy });
      for (let i = 0; i < 25; i++) {
        const key = `key ${i}`;
        cluster.mustWrite(cluster.ids[i % 5]!, key, `v${i}`);
        for (const id of cluster.ids) assert.equal(cluster.mustRead(id, key), `v${i}`);
        const update = cluster.update(cluster.ids[(i + 2) % 5]!, key, 'append', ['!']);
        cluster.pump();
        assert.equal(update.reply, `v${i}!`.length);
        const holders = cluster.ids.filter((id) => cluster.stored(id, key) !== undefined);
        assert.equal(holders.length, 3);
      }
      cluster.finish();
    }
  });

  test('the error of the coordinator comes back with its code and outcome', () => {
    const cluster = new PumpedCluster({ nodes: 5, limits: { pairBytesMax: 100 } });
    const key = cluster.keyNotAt('n1');
    const large = cluster.update('n1', key, 'append', ['x'.repeat(200)]);
    const unknown = cluster.update('n1', key, 'no such operation');
    cluster.pump();
    assert.equal(large.error?.code, 'pair-too-large');
    assert.equal(large.error?.outcome, 'fail');
    assert.equal(unknown.error?.code, 'unsupported');
    cluster.finish();
  });

  test('replies of every shape travel', () => {
    const shapes = [
      null,
      -1.5,
      2n ** 63n,
      'OK \xff',
      new Uint8Array([0, 255]),
      new UpdateError('WRONGTYPE of \xff'),
      [1, [null, 'x']],
    ];
    const shape: UpdateFunction = (_current, args) => ({ reply: shapes[args[0]![0]!]! });
    const updates = new Map<string, UpdateFunction>([['shape', shape]]);
    const cluster = new PumpedCluster({ nodes: 5, updates });
    const key = cluster.keyNotAt('n1');
    for (let i = 0; i < shapes.length; i++) {
      const call = cluster.update('n1', key, 'shape', [String.fromCharCode(i)]);
      cluster.pump();
      assert.deepEqual(call.reply, shapes[i]);
    }
    cluster.finish();
  });

  test('the coordinator dies: a read goes to the next replica, a write and an update are unknown', () => {
    const cluster = new PumpedCluster({ nodes: 5, policy: 'PA/EC' });
    const key = cluster.keyNotAt('n1');
    cluster.mustWrite('n1', key, 'v');
    for (const id of cluster.ids.slice(1)) cluster.hold(id, 'n1');
    const read = cluster.read('n1', key);
    const write = cluster.write('n1', key, 'w');
    const update = cluster.update('n1', key, 'incr');
    cluster.trace = [];
    cluster.pump();
    const target = cluster.trace.find((line) => line.endsWith(' forward'))!.slice(3, 5);
    cluster.kill(target);
    for (const call of [write, update]) {
      assert.equal(call.error?.code, 'quorum-unreachable');
      assert.equal(call.error?.outcome, 'unknown');
    }
    assert.equal(read.isDone, false);
    cluster.releaseAll();
    cluster.pump();
    assert.equal(read.error, undefined);
    cluster.finish();
  });

  test('nobody to forward to: fail, nothing was written', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    const key = cluster.keyNotAt('n1');
    cluster.isolate('n1');
    const write = cluster.write('n1', key, 'v');
    const update = cluster.update('n1', key, 'incr');
    const read = cluster.read('n1', key);
    assert.deepEqual(
      [write, update, read].map((call) => call.error?.outcome),
      ['fail', 'fail', 'none'],
    );
    cluster.finish();
    for (const id of cluster.ids) assert.equal(cluster.stored(id, key), undefined);
  });

  test('a replica with a failed storage passes; the next one serves', () => {
    const cluster = new PumpedCluster({ nodes: 5, policy: 'PA/EC' });
    const key = cluster.keyNotAt('n1');
    const primary = 'n2';
    const owned = cluster.keyOf(primary);
    cluster.seat(primary).storage.writeError = new CodedError('storage-failed', 'unknown', 'fsync failed');
    cluster.write(primary, owned, 'v');
    cluster.pump();
    for (const each of [key, owned]) {
      for (const id of cluster.ids.filter((other) => other !== primary)) {
        const write = cluster.write(id, each, 'w');
        const update = cluster.update(id, each, 'append', ['x']);
        const read = cluster.read(id, each);
        cluster.pump();
        for (const call of [write, update, read]) assert.equal(call.error, undefined, call.error?.message);
      }
    }
    cluster.finish();
  });

  test('a forwarded request whose deadline passes: unknown for a write, none for a read', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    const key = cluster.keyNotAt('n1');
    for (const id of cluster.ids.slice(1)) cluster.hold(id, 'n1');
    const write = cluster.write('n1', key, 'v', { timeoutMs: 30 });
    const read = cluster.read('n1', key, { timeoutMs: 30 });
    cluster.advance(40);
    assert.equal(write.error?.outcome, 'unknown');
    assert.equal(read.error?.outcome, 'none');
    cluster.finish();
  });
});

describe('updates', () => {
  test('increments from all nodes are all counted, in few rounds', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    const calls = Array.from({ length: 200 }, (_, i) =>
      cluster.update(cluster.ids[i % 5]!, 'counter', 'incr'),
    );
    cluster.pump();
    const replies = calls.map((call) => Number(call.reply)).sort((a, b) => a - b);
    assert.deepEqual(
      replies,
      Array.from({ length: 200 }, (_, i) => i + 1),
    );
    assert.equal(cluster.mustRead('n1', 'counter'), '200');
    const writes = cluster.trace.filter((line) => line.endsWith(' write')).length;
    assert.ok(writes <= 20, `${writes} rows were sent for 200 increments`);
    cluster.finish();
  });

  test('what only looks writes nothing; a look that saw a write of its round fails with it', () => {
    const cluster = new PumpedCluster();
    const primary = 'n1';
    const key = cluster.keyOf(primary);
    cluster.trace = [];
    const look = cluster.update(primary, key, 'look');
    cluster.pump();
    assert.equal(look.reply, null);
    assert.equal(cluster.trace.filter((line) => line.endsWith(' write')).length, 0);
    const [a, b, c] = [
      cluster.update(primary, key, 'append', ['x']),
      cluster.update(primary, key, 'append', ['y']),
      cluster.update(primary, key, 'look'),
    ];
    // The round reads, applies all three and sends its row, which nobody acknowledges.
    cluster.hold('n2', primary);
    cluster.hold('n3', primary);
    cluster.endTurn(primary);
    const asked = cluster.waiting(primary, 'n2').length > 0 ? 'n2' : 'n3';
    cluster.deliver(primary, asked);
    cluster.endTurn(asked);
    cluster.deliver(asked, primary);
    cluster.advance(1100);
    for (const call of [a, b, c]) assert.equal(call.error?.outcome, 'unknown');
    cluster.finish();
  });

  test('an update that begins after a write was acknowledged sees it, though a round is under way', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const primary = 'n1';
    const key = cluster.keyOf(primary);
    const first = cluster.update(primary, key, 'look');
    cluster.endTurn(primary);
    const asked = cluster.waiting(primary, 'n2').length > 0 ? 'n2' : 'n3';
    const writer = asked === 'n2' ? 'n3' : 'n2';
    // The answer to the round's question lies in the box; the write passes the primary by.
    cluster.hold(asked, primary);
    cluster.hold(writer, primary);
    cluster.hold(primary, writer);
    cluster.mustWrite(writer, key, 'written', { policy: { r: 2, w: 2, strict: false } });
    assert.equal(first.isDone, false);
    const later = cluster.update(primary, key, 'look');
    const deleted = cluster.update(primary, key, 'delete');
    cluster.releaseAll();
    cluster.pump();
    assert.equal(first.reply, null, 'it may be ordered before the write');
    assert.equal(later.reply, 'written');
    assert.equal(deleted.reply, 1);
    assert.equal(cluster.mustRead(writer, key), undefined);
    cluster.finish();
  });

  test('updates of one key with different policies do not share a round', () => {
    const cluster = new PumpedCluster();
    const primary = 'n1';
    const key = cluster.keyOf(primary);
    cluster.kill('n3');
    const loose = cluster.update(primary, key, 'append', ['a']);
    const other = cluster.update(primary, key, 'append', ['b']);
    const all = cluster.update(primary, key, 'append', ['c'], { policy: { r: 1, w: 3, strict: false } });
    const last = cluster.update(primary, key, 'append', ['d']);
    cluster.pump();
    assert.equal(loose.error, undefined);
    assert.equal(other.error, undefined);
    assert.equal(all.error?.code, 'quorum-unreachable', 'W=3 cannot be had with a node down');
    assert.equal(all.error?.outcome, 'fail');
    assert.equal(last.error, undefined);
    assert.equal(cluster.mustRead(primary, key), 'abd');
    cluster.finish();
  });

  test('an update too large fails alone', () => {
    const cluster = new PumpedCluster({ limits: { pairBytesMax: 100 } });
    const key = cluster.keyOf('n1');
    const small = cluster.update('n1', key, 'append', ['a']);
    const large = cluster.update('n1', key, 'append', ['x'.repeat(200)]);
    const after = cluster.update('n1', key, 'append', ['b']);
    cluster.pump();
    assert.equal(small.error, undefined);
    assert.equal(large.error?.code, 'pair-too-large');
    assert.equal(after.reply, 2);
    const absurd = cluster.update('n1', key, 'append', ['x'.repeat(9 * 1024 * 1024)]);
    assert.equal(absurd.error?.code, 'pair-too-large', 'never sent: it would not fit a frame');
    cluster.finish();
  });

  test('a round that times out fails those whose time is up, and the others get a round of their own', () => {
    const cluster = new PumpedCluster();
    const key = cluster.keyOf('n1');
    for (const id of ['n2', 'n3']) cluster.hold(id, 'n1');
    const brief = cluster.update('n1', key, 'incr', [], { timeoutMs: 50 });
    const patient = cluster.update('n1', key, 'incr', [], { timeoutMs: 500 });
    cluster.advance(60);
    assert.equal(brief.error?.code, 'deadline-exceeded');
    assert.equal(brief.error?.outcome, 'fail');
    assert.equal(patient.isDone, false);
    cluster.releaseAll();
    cluster.pump();
    assert.equal(patient.reply, 1);
    cluster.finish();
  });

  test('a delete within a round, and a write after it', () => {
    const cluster = new PumpedCluster();
    const key = cluster.keyOf('n1');
    const calls = ['incr', 'delete', 'look', 'incr'].map((operation) => cluster.update('n1', key, operation));
    cluster.pump();
    assert.deepEqual(
      calls.map((call) => call.reply),
      [1, 1, null, 1],
    );
    cluster.finish();
  });

  test('a retry from within the callback does not overtake or hang', () => {
    const cluster = new PumpedCluster();
    const key = cluster.keyOf('n1');
    let left = 20;
    const again = (): void => {
      if (left-- === 0) return;
      const call = cluster.call<never>('incr again', again);
      cluster.node('n1').update(key, 'incr', [], {}, call.done);
    };
    again();
    cluster.pump();
    assert.equal(cluster.mustRead('n1', key), '20');
    cluster.finish();
  });
});

describe('shared reads', () => {
  test('reads of one turn share a flight; a read of a later turn does not', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    cluster.mustWrite('n1', 'plum', 'old');
    for (const id of ['n2', 'n3']) cluster.hold(id, 'n1');
    const together = [cluster.read('n1', 'plum'), cluster.read('n1', 'plum'), cluster.read('n1', 'plum')];
    assert.equal(cluster.node('n1').figures().readsShared, 2);
    const brief = cluster.read('n1', 'plum', { timeoutMs: 50 });
    const own = cluster.read('n1', 'plum', { policy: { r: 3, w: 1, strict: false } });
    assert.equal(cluster.node('n1').figures().readsShared, 2, 'another policy or deadline, another flight');
    cluster.endTurns();
    cluster.read('n1', 'plum');
    assert.equal(cluster.node('n1').figures().readsShared, 2, 'the flight is an older turn');
    cluster.advance(60);
    assert.equal(brief.error?.code, 'deadline-exceeded', 'in its own time');
    cluster.releaseAll();
    cluster.pump();
    for (const call of [...together, own]) assert.equal(textOf(call.value), 'old');
    cluster.finish();
  });
});

describe('hedges', () => {
  test('a slow neighbour: one more is asked after the p95, not before, and only within the budget', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC', limits: { hedgeShareMax: 0.05 } });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'v');
    for (let i = 0; i < 20; i++) cluster.mustRead('n1', key);
    cluster.hold('n2', 'n1');
    const read = cluster.read('n1', key);
    cluster.pump();
    for (const seat of cluster.seats.values()) seat.clock.monotonicMs += 1;
    cluster.node('n1').tick();
    cluster.pump();
    assert.equal(read.isDone, false, 'too early');
    cluster.advance(5);
    assert.equal(textOf(read.value), 'v', 'n3 answered');
    assert.equal(cluster.node('n1').figures().hedges, 1);
    for (let i = 0; i < 100; i++) {
      cluster.read('n1', key);
      cluster.advance(5);
    }
    const { hedges, reads } = cluster.node('n1').figures();
    assert.ok(hedges > 1 && hedges <= 1 + reads * 0.05, `${hedges} hedges for ${reads} reads`);
    cluster.finish();
  });

  test('a share of 0 switches them off', () => {
    const cluster = new PumpedCluster({ limits: { hedgeShareMax: 0 } });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.hold('n2', 'n1');
    cluster.read('n1', key);
    cluster.advance(200);
    assert.equal(cluster.node('n1').figures().hedges, 0);
    cluster.finish();
  });

  test('the neighbour is lost: the next is asked at once, without a budget', () => {
    const cluster = new PumpedCluster({ limits: { hedgeShareMax: 0 } });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'v');
    cluster.hold('n2', 'n1');
    const read = cluster.read('n1', key);
    cluster.pump();
    cluster.kill('n2');
    cluster.pump();
    assert.equal(textOf(read.value), 'v');
    cluster.finish();
  });
});

describe('identity', () => {
  test('after a restart counters go on above the reserved block, and stamps above the old clock', () => {
    const cluster = new PumpedCluster();
    cluster.mustWrite('n1', 'plum', 'before');
    const before = cluster.stored('n1', 'plum')!;
    cluster.advance(50);
    cluster.kill('n1');
    cluster.seat('n1').clock.wallMs -= 400;
    cluster.restart('n1');
    cluster.mustWrite('n1', 'plum', 'after');
    const after = cluster.stored('n1', 'plum')!;
    assert.equal(rowActor(after), rowActor(before), 'the same life of the data directory');
    assert.ok(rowCounter(after) >= rowCounter(before) + 1_000_000, 'above everything that was reserved');
    assert.ok(
      rowTime(after) > rowTime(before) ||
        (rowTime(after) === rowTime(before) && rowLogical(after) > rowLogical(before)),
    );
    assert.equal(cluster.mustRead('n2', 'plum'), 'after');
    cluster.finish();
  });

  test('no two nodes share an actor, and a wiped disk is a new one', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    const actors = new Set<number>();
    for (const id of cluster.ids) {
      const key = cluster.keyOf(id);
      cluster.mustWrite(id, key, 'v');
      actors.add(rowActor(cluster.stored(id, key)!));
    }
    assert.equal(actors.size, 5);
    cluster.kill('n1');
    cluster.seat('n1').storage.entries.clear();
    cluster.restart('n1');
    const key = cluster.keyOf('n1');
    cluster.mustWrite('n1', key, 'w');
    assert.equal(actors.has(rowActor(cluster.stored('n1', key)!)), false);
    cluster.finish();
  });

  test('dots are never issued twice, whenever the node is killed', () => {
    const cluster = new PumpedCluster();
    const dots = new Set<string>();
    for (let life = 0; life < 5; life++) {
      for (let i = 0; i < 10; i++) {
        const key = `key ${life} ${i}`;
        cluster.mustWrite('n1', key, 'v');
        const row = cluster.stored('n1', key)!;
        const dot = `${rowActor(row)}.${rowCounter(row)}`;
        assert.equal(dots.has(dot), false);
        dots.add(dot);
      }
      cluster.kill('n1');
      cluster.restart('n1');
    }
    cluster.finish();
  });

  test('requests before the identity is durable are refused', () => {
    const cluster = new PumpedCluster();
    cluster.kill('n1');
    const seat = cluster.seat('n1');
    seat.storage.writeError = new CodedError('storage-full', 'fail', 'full');
    const { node } = seat;
    node.stop();
    assert.equal(cluster.write('n1', 'plum', 'v').error?.code, 'unavailable');
    seat.storage.writeError = undefined;
    cluster.restart('n1');
    cluster.mustWrite('n1', 'plum', 'v');
    cluster.finish();
  });
});

test('the updates of the tests are what they say', () => {
  const context = { key: 'k', wall: 0, contextOf: () => new Uint8Array(0) };
  assert.equal(updatesForTests.get('incr')!(undefined, [], context).reply, 1);
  assert.equal(updatesForTests.get('incr')!(textBody('4'), [], context).reply, 5);
});
