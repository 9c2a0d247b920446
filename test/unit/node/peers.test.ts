/**
 * Peers that lie, and peers that come and go: single messages that were once able to hurt, liveness, and
 * work for a peer that gave up.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compareStamps, encodeStamp, STAMP_NONE } from '../../../src/rows/row.ts';
import {
  decodeMessages,
  type MessageHandler,
  writeCount,
  writeFloor,
  writeForwardReplyHead,
  writeReadFloor,
  writeReadStamp,
  writeScan,
} from '../../../src/wire/messages.ts';
import { messageNames, PumpedCluster, textOf } from '../../support/pumped-cluster.ts';

/** Id of the first message of a name in a frame. */
function idOf(frame: Uint8Array, wanted: string): number {
  let found = 0;
  const handler = new Proxy({} as MessageHandler<undefined>, {
    get:
      (_target, name) =>
      (_peer: undefined, id: number | { id: number }): void => {
        if (name === wanted && found === 0) found = typeof id === 'number' ? id : id.id;
      },
  });
  decodeMessages(frame, undefined, handler);
  assert.notEqual(found, 0);
  return found;
}

function lastFrame(cluster: PumpedCluster, from: string, to: string): Uint8Array {
  return cluster.waiting(from, to).at(-1)!;
}

const farAhead = encodeStamp({ time: 2_000_000_000_000, logical: 0, actor: 9, counter: 9 });

describe('a peer that lies', () => {
  test('a READ_FLOOR far ahead of our clock does not kill our data', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'v');
    const read = cluster.read('n1', key);
    cluster.endTurn('n1');
    const id = idOf(lastFrame(cluster, 'n1', 'n2'), 'read');
    cluster.node('n1').frame(
      'n2',
      cluster.forge('n2', 'n1', (writer) => writeReadFloor(writer, id, farAhead)),
    );
    cluster.pump();
    assert.equal(read.isDone, true);
    cluster.mustWrite('n1', key, 'w');
    for (const each of cluster.ids) assert.equal(cluster.mustRead(each, key), 'w');
    cluster.finish();
  });

  test('a flush with the made stamp of siblings is no flush, and ends no process', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'v');
    const { wallMs } = cluster.seat('n1').clock;
    const made = encodeStamp({ time: wallMs + 100, logical: 0, actor: 0x8000_0000_0009, counter: 9 });
    const read = cluster.read('n1', key);
    cluster.endTurn('n1');
    const id = idOf(lastFrame(cluster, 'n1', 'n2'), 'read');
    for (const write of [writeReadFloor, writeFloor]) {
      const frame = cluster.forge('n2', 'n1', (writer) => write(writer, id, made));
      cluster.node('n1').frame('n2', frame);
    }
    cluster.pump();
    assert.equal(read.isDone, true);
    assert.ok(cluster.seat('n1').resets.length > 0, 'the pipe starts over');
    cluster.advance(3000, 100);
    for (const each of cluster.ids) assert.equal(cluster.mustRead(each, key), 'v');
    cluster.finish();
  });

  test('a READ_STAMP above what was asked about is not taken for a flush', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    const key = cluster.keyOf('n1', 'n2', 'n3');
    cluster.mustWrite('n1', key, 'v');
    cluster.mustWrite('n1', 'another key', 'w');
    const stamp = encodeStamp({
      time: cluster.seat('n1').clock.wallMs + 100,
      logical: 0,
      actor: 9,
      counter: 9,
    });
    const read = cluster.read('n1', key);
    cluster.endTurn('n1');
    const id = idOf(lastFrame(cluster, 'n1', 'n2'), 'read');
    const before = cluster.node('n1').figures().framesDamaged;
    cluster.node('n1').frame(
      'n2',
      cluster.forge('n2', 'n1', (writer) => writeReadStamp(writer, id, stamp)),
    );
    cluster.pump();
    assert.equal(cluster.node('n1').figures().framesDamaged, before + 1);
    assert.equal(textOf(read.value), 'v', 'the read went on with the next replica');
    for (const each of cluster.ids) assert.equal(cluster.mustRead(each, 'another key'), 'w');
    cluster.finish();
  });

  test('a forwarded read answered by too few bytes is no row', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    const key = cluster.keyNotAt('n1');
    cluster.mustWrite('n1', key, 'v');
    const read = cluster.read('n1', key);
    cluster.endTurn('n1');
    const target = cluster.ids.find((id) => id !== 'n1' && cluster.waiting('n1', id).length > 0)!;
    const id = idOf(lastFrame(cluster, 'n1', target), 'forward');
    const reply = cluster.forge(target, 'n1', (writer) => {
      const at = writeForwardReplyHead(writer, id, 1);
      writer.blob(new Uint8Array(3));
      writer.blobEnd(at);
    });
    cluster.node('n1').frame(target, reply);
    cluster.pump();
    assert.equal(textOf(read.value), 'v', 'the pipe broke and the next replica served');
    cluster.finish();
  });

  test('frames of strangers and of ourselves are ignored', () => {
    const cluster = new PumpedCluster();
    const frame = cluster.forge('n2', 'n1', (writer) => writeReadFloor(writer, 1, farAhead));
    cluster.node('n1').frame('nobody', frame);
    cluster.node('n1').frame('n1', new Uint8Array(3));
    cluster.node('n1').peerUp('nobody');
    cluster.node('n1').peerDown('nobody', 'x');
    assert.equal(cluster.node('n1').figures().framesDamaged, 0);
    cluster.finish();
  });

  test('thousands of scans and counts: those above the bound are refused at once, and none is kept', () => {
    const cluster = new PumpedCluster();
    for (let i = 0; i < 2500; i++) cluster.write('n1', `key ${i}`, 'v');
    cluster.pump();
    cluster.hold('n1', 'n2');
    const flood = cluster.forge('n2', 'n1', (writer) => {
      for (let i = 1; i <= 2000; i++) {
        writeScan(writer, i, 1000, 0, 16384, 10_000);
        writeCount(writer, i, 1000, [0, 16384]);
      }
    });
    cluster.node('n1').frame('n2', flood);
    cluster.endTurn('n1');
    const refused = cluster
      .waiting('n1', 'n2')
      .flatMap(messageNames)
      .filter((name) => name === 'refused').length;
    assert.ok(refused >= 4000 - 256 && refused < 4000, `${refused} of 4000 were refused`);
    cluster.cut('n1', 'n2');
    cluster.heal('n1', 'n2');
    cluster.releaseAll();
    cluster.trace = [];
    cluster.pump();
    assert.deepEqual(cluster.trace, [], 'nobody wants the answers any more');
    assert.equal(cluster.mustScan('n2', 10_000).length, 2500, 'scans are taken again');
    cluster.finish();
  });
});

describe('liveness', () => {
  test('a silent peer is not asked, and its pipe is made anew; when heard it is live again', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    cluster.hold('n2', 'n1');
    const seat = cluster.seat('n1');
    const live = (): boolean => seat.node.members()[1]!.live;
    cluster.advance(990);
    assert.equal(live(), true);
    for (let i = 0; i < 20; i++) {
      seat.clock.monotonicMs += 5;
      seat.node.tick();
    }
    assert.ok(seat.events.includes('peer-lost'));
    assert.deepEqual(seat.resets, ['silent']);
    cluster.pump();
    cluster.release('n2', 'n1');
    cluster.pump();
    assert.equal(live(), true);
    cluster.mustWrite('n1', 'plum', 'v');
    cluster.finish();
  });

  test('a node that was paused itself does not take everybody for dead', () => {
    const cluster = new PumpedCluster({ policy: 'PC/EC' });
    cluster.advance(50);
    const seat = cluster.seat('n1');
    seat.clock.monotonicMs += 5000;
    seat.node.tick();
    assert.deepEqual(seat.resets, []);
    assert.ok(seat.node.members().every((member) => member.live));
    cluster.mustWrite('n1', 'plum', 'v');
    cluster.finish();
  });

  test('down and up again within a turn: what was asked before is lost and says so', () => {
    const cluster = new PumpedCluster({ policy: { r: 3, w: 3, strict: false } });
    const write = cluster.write('n1', 'plum', 'v');
    const read = cluster.read('n1', 'pear');
    cluster.cut('n1', 'n2');
    cluster.heal('n1', 'n2');
    cluster.pump();
    assert.equal(write.error?.outcome, 'unknown');
    assert.equal(read.error?.outcome, 'none');
    cluster.mustWrite('n1', 'plum', 'w');
    cluster.finish();
  });

  test('all pipes flap while requests come: each is answered once', () => {
    const cluster = new PumpedCluster({ nodes: 5, policy: 'PC/EC' });
    for (let round = 0; round < 60; round++) {
      const id = cluster.ids[round % 5]!;
      cluster.write(id, `key ${round % 7}`, `v${round}`);
      cluster.read(cluster.ids[(round + 1) % 5]!, `key ${round % 7}`);
      cluster.update(cluster.ids[(round + 2) % 5]!, 'counter', 'incr');
      const from = cluster.ids[(round * 3) % 5]!;
      const to = cluster.ids[(round * 3 + 1 + (round % 4)) % 5]!;
      if (from !== to) {
        cluster.cut(from, to);
        cluster.heal(from, to);
      }
      if (round % 3 === 0) cluster.endTurns();
      if (round % 5 === 0) cluster.advance(5);
    }
    cluster.finish();
  });

  test('heartbeats tell the floor, and zero is no floor', () => {
    const cluster = new PumpedCluster();
    cluster.advance(500);
    cluster.mustWrite('n1', 'plum', 'v');
    cluster.advance(500);
    assert.equal(cluster.mustRead('n2', 'plum'), 'v');
    assert.ok(compareStamps(STAMP_NONE, farAhead) < 0);
    cluster.finish();
  });
});
