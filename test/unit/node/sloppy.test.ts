/**
 * Sloppy quorum and hinted handoff, message by message: who stands in, what counts, what is read while a
 * replica is away, and that everything is handed over when it is back.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { hintKey } from '../../../src/hints/hint-keys.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { PumpedCluster, type PumpedOptions, textOf } from '../../support/pumped-cluster.ts';

function cluster5(options: PumpedOptions = {}): PumpedCluster {
  return new PumpedCluster({ nodes: 5, ...options });
}

/** A key, its three replicas in ring order, and its stand-ins in the order of the walk. */
function placeOf(cluster: PumpedCluster, key: string): { replicas: string[]; standIns: string[] } {
  const slot = slotOf(key);
  return {
    replicas: [...cluster.table.preferenceList(slot)],
    standIns: [...cluster.table.standIns(slot)],
  };
}

function hintsAt(cluster: PumpedCluster, id: string): number {
  return cluster.node(id).figures().hints;
}

function hintsEverywhere(cluster: PumpedCluster): number {
  return cluster.ids.reduce((sum, id) => sum + (cluster.seat(id).running ? hintsAt(cluster, id) : 0), 0);
}

describe('a replica that is away', () => {
  test('the next node of the ring keeps its row, and hands it over when it is back', () => {
    const cluster = cluster5();
    const { replicas, standIns } = placeOf(cluster, 'plum');
    const [a, , c] = replicas as [string, string, string];
    cluster.kill(c);
    cluster.mustWrite(a, 'plum', 'blue');
    const stored = cluster.seat(standIns[0]!).storage.entries.get(hintKey(c, rowKeyOf('plum')));
    assert.ok(stored !== undefined, 'the stand-in stored the row for the dead replica');
    assert.deepEqual(
      cluster.ids.filter((id) => id !== c).map((id) => hintsAt(cluster, id)),
      cluster.ids.filter((id) => id !== c).map((id) => (id === standIns[0] ? 1 : 0)),
    );
    cluster.restart(c);
    cluster.advance(100);
    assert.equal(textOf(cluster.stored(c, 'plum')), 'blue');
    assert.equal(hintsEverywhere(cluster), 0);
    assert.equal(cluster.seat(standIns[0]!).storage.entries.has(hintKey(c, rowKeyOf('plum'))), false);
    assert.equal(cluster.stored(standIns[0]!, 'plum'), undefined, 'a stand-in keeps no row as its own');
    assert.equal(cluster.node(standIns[0]!).figures().hintsDelivered, 1);
    cluster.finish();
  });

  test('many writes of one key are one hint: the newest', () => {
    const cluster = cluster5();
    const { replicas, standIns } = placeOf(cluster, 'plum');
    cluster.kill(replicas[2]!);
    for (let i = 0; i < 20; i++) {
      cluster.advance(5);
      cluster.mustWrite(replicas[i % 2]!, 'plum', `blue ${i}`);
    }
    assert.equal(hintsAt(cluster, standIns[0]!), 1);
    cluster.restart(replicas[2]!);
    cluster.advance(100);
    assert.equal(textOf(cluster.stored(replicas[2]!, 'plum')), 'blue 19');
    cluster.finish();
  });

  test('without a stand-in a replica notes who missed a row, and sends it what it holds by then', () => {
    const cluster = new PumpedCluster();
    cluster.kill('n3');
    cluster.mustWrite('n1', 'plum', 'blue');
    cluster.pump();
    assert.equal(hintsAt(cluster, 'n1'), 1);
    assert.equal(hintsAt(cluster, 'n2'), 0);
    assert.equal(cluster.seat('n1').storage.entries.get(hintKey('n3', rowKeyOf('plum')))?.length, 6);
    cluster.advance(20);
    cluster.mustWrite('n2', 'plum', 'green');
    cluster.restart('n3');
    cluster.advance(100);
    assert.equal(textOf(cluster.stored('n3', 'plum')), 'green');
    assert.equal(hintsEverywhere(cluster), 0);
    cluster.finish();
  });

  test('with every node up nothing is noted', () => {
    const cluster = cluster5();
    for (let i = 0; i < 20; i++) cluster.mustWrite('n1', `plum-${i}`, 'blue');
    cluster.advance(50);
    assert.equal(hintsEverywhere(cluster), 0);
    assert.equal(
      cluster.ids.reduce((sum, id) => sum + cluster.node(id).figures().standIns, 0),
      0,
    );
    cluster.finish();
  });

  test('a replica lost with the row on its way is stood in for before the answer, and noted after it', () => {
    const cluster = cluster5({ policy: { r: 2, w: 3, strict: false } });
    const { replicas, standIns } = placeOf(cluster, 'plum');
    const [a, b, c] = replicas as [string, string, string];
    cluster.hold(a, c);
    const write = cluster.write(a, 'plum', 'blue');
    cluster.pump();
    assert.equal(write.isDone, false, 'two of three');
    cluster.kill(c);
    cluster.pump();
    assert.equal(write.error, undefined);
    assert.equal(write.progress?.acknowledgements, 3);
    assert.equal(hintsAt(cluster, standIns[0]!), 1);
    cluster.release(a, c);
    cluster.restart(c);
    cluster.advance(50);
    assert.equal(textOf(cluster.stored(c, 'plum')), 'blue');
    // W=2 is reached by a and b: nobody stands in any more, a notes it.
    cluster.hold(a, c);
    const second = cluster.write(a, 'plum', 'green', { policy: { r: 2, w: 2, strict: false } });
    cluster.pump();
    assert.equal(second.isDone, true);
    cluster.kill(c);
    cluster.pump();
    assert.deepEqual(
      [a, b, standIns[0]!].map((id) => hintsAt(cluster, id)),
      [1, 0, 0],
    );
    cluster.release(a, c);
    cluster.restart(c);
    cluster.advance(50);
    assert.equal(textOf(cluster.stored(c, 'plum')), 'green');
    cluster.finish();
  });

  test('a stand-in that refuses or dies is followed by the next', () => {
    const cluster = cluster5({ policy: { r: 2, w: 3, strict: false }, limits: { hintBytesMax: 100 } });
    const { replicas, standIns } = placeOf(cluster, 'plum');
    cluster.kill(replicas[2]!);
    // Too large for anybody's share: both refuse, and nobody drops anything.
    const large = cluster.write(replicas[0]!, 'plum', 'x'.repeat(200));
    cluster.pump();
    assert.equal(large.error?.code, 'overloaded');
    assert.equal(large.error?.outcome, 'unknown');
    for (const id of standIns) assert.equal(cluster.node(id).figures().hintsRefused, 1, id);
    assert.equal(hintsEverywhere(cluster), 1, 'only the note of the coordinator');
    // The first one is cut off unnoticed, and then noticed.
    cluster.hold(replicas[0]!, standIns[0]!);
    const small = cluster.write(replicas[0]!, 'plum', 'blue');
    cluster.pump();
    assert.equal(small.isDone, false);
    cluster.kill(standIns[0]!);
    cluster.pump();
    assert.equal(small.error, undefined);
    assert.equal(hintsAt(cluster, standIns[1]!), 1);
    cluster.finish();
  });
});

describe('no replica at all', () => {
  test('reads, writes and updates go on among the stand-ins, and all is handed over', () => {
    const cluster = cluster5();
    const { replicas, standIns } = placeOf(cluster, 'plum');
    const [x, y] = standIns as [string, string];
    for (const id of replicas) cluster.kill(id);
    cluster.mustWrite(x, 'plum', 'blue');
    assert.equal(cluster.mustRead(y, 'plum'), 'blue');
    cluster.advance(5);
    cluster.mustWrite(y, 'plum', 'green');
    assert.equal(cluster.mustRead(x, 'plum'), 'green');
    for (const [id, reply] of [
      [x, 1],
      [y, 2],
      [y, 3],
    ] as const) {
      const update = cluster.update(id, 'plum', 'append', ['!']);
      cluster.pump();
      assert.equal(update.error, undefined, update.error?.message);
      assert.equal(update.reply, 'green'.length + reply);
    }
    for (const id of replicas) cluster.restart(id);
    cluster.advance(200);
    assert.equal(hintsEverywhere(cluster), 0);
    for (const id of standIns) assert.equal(cluster.stored(id, 'plum'), undefined);
    assert.equal(
      cluster.mustRead(replicas[0]!, 'plum', { policy: { r: 3, w: 2, strict: false } }),
      'green!!!',
    );
    cluster.finish();
  });

  test('a strict policy fails: nothing is acknowledged or answered by stand-ins', () => {
    const cluster = cluster5({ policy: 'PC/EC' });
    const { replicas, standIns } = placeOf(cluster, 'plum');
    cluster.kill(replicas[1]!);
    cluster.kill(replicas[2]!);
    const write = cluster.write(replicas[0]!, 'plum', 'blue');
    const read = cluster.read(replicas[0]!, 'plum');
    cluster.pump();
    assert.equal(write.error?.code, 'quorum-unreachable');
    assert.equal(write.error?.outcome, 'fail');
    assert.equal(read.error?.code, 'quorum-unreachable');
    const far = cluster.write(standIns[0]!, 'plum', 'blue');
    cluster.pump();
    assert.equal(far.error?.outcome, 'fail');
    assert.equal(hintsEverywhere(cluster), 0);
    cluster.finish();
  });

  test('a node that reaches more than the replica it forwards to coordinates itself', () => {
    const cluster = cluster5({ policy: { r: 3, w: 3, strict: false } });
    const { replicas, standIns } = placeOf(cluster, 'plum');
    const [a, b, c] = replicas as [string, string, string];
    const [x, y] = standIns as [string, string];
    cluster.kill(b);
    cluster.kill(c);
    // a sees x only; x sees a and y.
    cluster.cut(a, y);
    cluster.cut(y, a);
    cluster.mustWrite(x, 'plum', 'blue');
    assert.equal(cluster.mustRead(x, 'plum'), 'blue');
    const update = cluster.update(x, 'plum', 'append', ['!']);
    cluster.pump();
    assert.equal(update.error, undefined, update.error?.message);
    cluster.restart(b);
    cluster.restart(c);
    cluster.healAll();
    cluster.advance(2000);
    assert.equal(hintsEverywhere(cluster), 0);
    for (const id of replicas) assert.equal(textOf(cluster.stored(id, 'plum')), 'blue!');
    cluster.finish();
  });
});

describe('reads while a replica is away', () => {
  test('a stand-in is asked when live replicas are too few, and its hint counts', () => {
    const cluster = cluster5();
    const { replicas, standIns } = placeOf(cluster, 'plum');
    const [a, b, c] = replicas as [string, string, string];
    const [x, y] = standIns as [string, string];
    cluster.kill(b);
    cluster.kill(c);
    cluster.isolate(a);
    cluster.mustWrite(x, 'plum', 'blue');
    // a comes back to y only, which keeps the row for b.
    cluster.heal(a, y);
    cluster.heal(y, a);
    cluster.pump();
    assert.equal(cluster.stored(a, 'plum'), undefined);
    assert.equal(cluster.mustRead(a, 'plum'), 'blue');
    assert.equal(textOf(cluster.stored(a, 'plum')), 'blue', 'and a, a replica, is repaired');
    assert.equal(cluster.stored(y, 'plum'), undefined);
    for (const id of [b, c]) cluster.restart(id);
    cluster.healAll();
    cluster.advance(2000);
    assert.equal(hintsEverywhere(cluster), 0);
    cluster.finish();
  });

  test('what is read of a hint is durable first', () => {
    const cluster = cluster5();
    const { replicas, standIns } = placeOf(cluster, 'plum');
    const [x, y] = standIns as [string, string];
    for (const id of replicas) cluster.kill(id);
    for (const id of standIns) cluster.seat(id).storage.automatic = false;
    const write = cluster.write(x, 'plum', 'blue');
    cluster.pump();
    const read = cluster.read(y, 'plum');
    cluster.pump();
    assert.equal(read.isDone, false, 'both hints are still under way');
    for (const id of standIns) {
      const { storage } = cluster.seat(id);
      storage.automatic = true;
      while (storage.pending.length > 0) storage.complete();
    }
    cluster.pump();
    assert.equal(write.error, undefined);
    assert.equal(textOf(read.value), 'blue');
    cluster.finish();
  });

  test('a flush hides what stand-ins keep, and it is not brought back', () => {
    const cluster = cluster5();
    const { replicas, standIns } = placeOf(cluster, 'plum');
    cluster.kill(replicas[2]!);
    cluster.mustWrite(replicas[0]!, 'plum', 'blue');
    cluster.advance(5);
    const flush = cluster.flush(replicas[0]!);
    cluster.pump();
    assert.equal(flush.error, undefined, flush.error?.message);
    assert.equal(hintsAt(cluster, standIns[0]!), 1);
    cluster.restart(replicas[2]!);
    cluster.advance(500);
    assert.equal(hintsEverywhere(cluster), 0);
    assert.equal(
      cluster.mustRead(replicas[2]!, 'plum', { policy: { r: 3, w: 2, strict: false } }),
      undefined,
    );
    cluster.finish();
  });
});

describe('handoff', () => {
  test('a hint that changes while its row is on the way stays, and goes again', () => {
    const cluster = cluster5();
    const { replicas, standIns } = placeOf(cluster, 'plum');
    const [a, , c] = replicas as [string, string, string];
    const standIn = standIns[0]!;
    cluster.kill(c);
    cluster.mustWrite(a, 'plum', 'blue');
    cluster.restart(c);
    cluster.hold(c, standIn);
    cluster.advance(20);
    assert.equal(textOf(cluster.stored(c, 'plum')), 'blue', 'handed over, and not signed for yet');
    assert.equal(hintsAt(cluster, standIn), 1);
    // c is cut off from a: a newer row for it comes to the stand-in meanwhile.
    cluster.cut(a, c);
    cluster.cut(c, a);
    cluster.mustWrite(a, 'plum', 'green');
    assert.equal(hintsAt(cluster, standIn), 1, 'merged');
    cluster.release(c, standIn);
    cluster.advance(50);
    assert.equal(textOf(cluster.stored(c, 'plum')), 'green');
    assert.equal(hintsAt(cluster, standIn), 0);
    cluster.finish();
  });

  test('hints survive the restart of the stand-in, counted exactly', () => {
    const cluster = cluster5();
    cluster.kill('n5');
    for (let i = 0; i < 200; i++) cluster.mustWrite(`n${1 + (i % 4)}`, `plum-${i}`, `blue ${i}`);
    cluster.pump();
    for (const id of cluster.ids.slice(0, 4)) {
      const before = cluster.node(id).figures();
      cluster.kill(id);
      cluster.restart(id);
      cluster.advance(10);
      const after = cluster.node(id).figures();
      assert.equal(after.hintsLoading, 0);
      assert.deepEqual([after.hints, after.hintBytes], [before.hints, before.hintBytes], id);
    }
    assert.ok(hintsEverywhere(cluster) >= 100);
    cluster.restart('n5');
    cluster.advance(1000);
    assert.equal(hintsEverywhere(cluster), 0);
    for (const id of cluster.ids.slice(0, 4)) {
      assert.equal(cluster.node(id).figures().hintBytes, 0);
      assert.equal(
        [...cluster.seat(id).storage.entries.keys()].filter((key) => key.startsWith('\xffhint')).length,
        0,
      );
    }
    for (let i = 0; i < 200; i++) {
      if (!cluster.table.preferenceList(slotOf(`plum-${i}`)).includes('n5')) continue;
      assert.equal(textOf(cluster.stored('n5', `plum-${i}`)), `blue ${i}`);
    }
    cluster.finish();
  });

  test('a target that refuses is left alone for a while, and nothing is lost', () => {
    const cluster = cluster5();
    const { replicas, standIns } = placeOf(cluster, 'plum');
    const [a, , c] = replicas as [string, string, string];
    cluster.kill(c);
    cluster.mustWrite(a, 'plum', 'blue');
    cluster.restart(c);
    cluster.seat(c).storage.writeError = new CodedError('storage-full', 'fail', 'full');
    cluster.advance(2000);
    assert.equal(hintsAt(cluster, standIns[0]!), 1);
    const tries = cluster.trace.filter((line) => line === `${standIns[0]}>${c} hand`).length;
    assert.ok(tries >= 2 && tries <= 8, `tried ${tries} times in two seconds`);
    cluster.seat(c).storage.writeError = undefined;
    cluster.advance(6000, 20);
    assert.equal(hintsAt(cluster, standIns[0]!), 0);
    assert.equal(textOf(cluster.stored(c, 'plum')), 'blue');
    cluster.finish();
  });

  test('it keeps to its rate', () => {
    const cluster = cluster5({ limits: { handoffBytesPerSecond: 10_000 } });
    const { replicas, standIns } = placeOf(cluster, '{plum}');
    const [a, , c] = replicas as [string, string, string];
    cluster.kill(c);
    for (let i = 0; i < 40; i++) cluster.mustWrite(a, `{plum}${i}`, 'x'.repeat(1000));
    cluster.restart(c);
    cluster.advance(1000);
    const { hintsDelivered } = cluster.node(standIns[0]!).figures();
    assert.ok(hintsDelivered >= 8 && hintsDelivered <= 13, `${hintsDelivered} KB in a second`);
    cluster.advance(4000);
    assert.equal(hintsAt(cluster, standIns[0]!), 0);
    cluster.finish();
  });

  test('it gives way to clients that wait, and is never starved by them', () => {
    const cluster = cluster5();
    const { replicas, standIns } = placeOf(cluster, '{plum}');
    const [a, b, c] = replicas as [string, string, string];
    const standIn = standIns[0]!;
    cluster.kill(c);
    for (let i = 0; i < 200; i++) cluster.mustWrite(a, `{plum}${i}`, 'x');
    const underway = (): number => cluster.node(standIn).figures().writesUnsettled;
    cluster.hold(standIn, c);
    cluster.restart(c);
    cluster.advance(20);
    assert.equal(underway(), 64, 'a quiet node');
    cluster.release(standIn, c);
    cluster.hold(c, standIn);
    // Clients of the stand-in wait for answers of a and b.
    for (const id of [a, b]) cluster.hold(id, standIn);
    const reads = Array.from({ length: 640 }, (_, i) => cluster.read(standIn, `{plum}${i % 200}`));
    cluster.pump();
    for (let i = 0; i < 64; i++) if (cluster.waiting(c, standIn).length > 0) cluster.deliver(c, standIn);
    cluster.advance(10);
    assert.equal(underway(), 5, '64 * 64 / (64 + 640)');
    cluster.releaseAll();
    cluster.pump();
    assert.ok(reads.every((read) => read.isDone && read.error === undefined));
    cluster.advance(100);
    assert.equal(hintsAt(cluster, standIn), 0);
    cluster.finish();
  });

  test('hints for somebody who is no member any more are kept and shown', () => {
    const cluster = cluster5();
    const { storage } = cluster.seat('n1');
    const row = storage.entries.get(rowKeyOf('plum')) ?? new Uint8Array(40);
    cluster.kill('n1');
    storage.entries.set(hintKey('gone', rowKeyOf('plum')), row);
    cluster.restart('n1');
    cluster.advance(100);
    assert.equal(hintsAt(cluster, 'n1'), 1);
    const { targets } = cluster.node('n1').status().hints!;
    assert.deepEqual(
      targets.map(({ target, count, state }) => [target, count, state]),
      [['gone', 1, 'waiting']],
    );
    cluster.finish();
  });
});
