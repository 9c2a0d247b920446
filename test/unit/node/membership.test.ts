/** Membership as a node has it: incarnations over restarts and lost disks, views, probes through others. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ByteReader, ByteWriter, readU48 } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { incarnationOfStart } from '../../../src/membership/entry.ts';
import type { MemberView } from '../../../src/node/api.ts';
import { incarnationKey, raiseIncarnation } from '../../../src/node/incarnation.ts';
import type { Replica } from '../../../src/replica/replica.ts';
import { openFrame, sealFrame } from '../../../src/wire/frame.ts';
import {
  GOSSIP_HEARD,
  GOSSIP_PROBE,
  readGossipTarget,
  writeGossipHeard,
  writeGossipProbe,
} from '../../../src/wire/gossip-messages.ts';
import { decodeMessages, type MessageHandler } from '../../../src/wire/messages.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

function view(cluster: PumpedCluster, observer: string, peer: string): MemberView {
  const found = cluster
    .node(observer)
    .members()
    .find((member) => member.id === peer);
  assert.ok(found !== undefined);
  return found;
}

describe('incarnations', () => {
  test('each start is a new one, stored before it is spoken of; the others follow', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    cluster.advance(1000);
    const stored = (): number => readU48(cluster.seat('n1').storage.entries.get(incarnationKey)!, 0);
    const first = view(cluster, 'n1', 'n1').incarnation;
    assert.equal(stored(), first);
    assert.equal(view(cluster, 'n2', 'n1').incarnation, first);
    cluster.kill('n1');
    cluster.advance(300);
    cluster.restart('n1');
    cluster.advance(1000);
    const second = view(cluster, 'n1', 'n1').incarnation;
    assert.ok(second >= incarnationOfStart(first), `${second} after ${first}`);
    assert.equal(stored(), incarnationOfStart(first));
    for (const peer of ['n2', 'n3']) assert.equal(view(cluster, peer, 'n1').incarnation, second);
    cluster.finish();
  });

  test('a node that stops says goodbye, and is not taken for dead', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    cluster.advance(1000);
    cluster.node('n1').stop();
    cluster.advance(100);
    for (const peer of ['n2', 'n3']) assert.equal(view(cluster, peer, 'n1').status, 'left');
    cluster.kill('n1');
    cluster.restart('n1');
    cluster.advance(1000);
    for (const peer of ['n2', 'n3']) assert.equal(view(cluster, peer, 'n1').status, 'alive');
    cluster.finish();
  });

  test('a node that lost the note hears of its former life and goes above it', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    cluster.advance(500);
    for (let life = 0; life < 3; life++) {
      cluster.kill('n1');
      cluster.restart('n1');
      cluster.advance(500);
    }
    const before = view(cluster, 'n2', 'n1').incarnation;
    cluster.kill('n1');
    cluster.seat('n1').storage.entries.delete(incarnationKey);
    cluster.restart('n1');
    cluster.advance(1500);
    const after = view(cluster, 'n1', 'n1').incarnation;
    assert.ok(after > before, `${after} after ${before}`);
    assert.ok(cluster.seat('n1').events.includes('rumour-contradicted'));
    for (const peer of ['n2', 'n3']) {
      assert.equal(view(cluster, peer, 'n1').incarnation, after);
      assert.equal(view(cluster, peer, 'n1').status, 'alive');
    }
    cluster.finish();
  });

  test('a storage that does not grant it fails the start', () => {
    const refusal = new CodedError('storage-failed', 'fail', 'no');
    const answers: (CodedError | undefined)[] = [];
    const replica = {
      note: (_key: string, _note: Uint8Array, waiter: { stored(error: CodedError): void }) =>
        waiter.stored(refusal),
    };
    const storage = { get: () => undefined };
    raiseIncarnation(
      storage as unknown as Parameters<typeof raiseIncarnation>[0],
      replica as unknown as Replica,
      (error) => answers.push(error),
    );
    assert.deepEqual(answers, [refusal]);
  });
});

describe('views', () => {
  test('two nodes cut off from each other, each sees the other through the third', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    cluster.advance(500);
    cluster.cut('n1', 'n2');
    cluster.cut('n2', 'n1');
    cluster.advance(6000);
    for (const [one, other] of [
      ['n1', 'n2'],
      ['n2', 'n1'],
    ] as const) {
      const { status, live, seenThrough } = view(cluster, one, other);
      assert.deepEqual({ status, live, seenThrough }, { status: 'alive', live: false, seenThrough: 'n3' });
      assert.ok(view(cluster, 'n3', one).live);
    }
    assert.ok(!cluster.seat('n1').events.includes('member-suspect'));
    cluster.healAll();
    cluster.advance(1000);
    assert.ok(view(cluster, 'n1', 'n2').live && view(cluster, 'n2', 'n1').live);
    assert.equal(view(cluster, 'n1', 'n2').seenThrough, undefined);
    cluster.finish();
  });

  test('a node that died is suspected, then down, and alive again when it is back', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    cluster.advance(1000);
    cluster.kill('n3');
    assert.equal(view(cluster, 'n1', 'n3').live, false);
    const seen = new Set<string>();
    for (let step = 0; step < 50; step++) {
      cluster.advance(100);
      seen.add(view(cluster, 'n1', 'n3').status);
    }
    assert.deepEqual([...seen], ['alive', 'suspect', 'down']);
    const dead = view(cluster, 'n1', 'n3');
    assert.ok(dead.phi > 8 && !dead.reachable && dead.seenThrough === undefined);
    cluster.restart('n3');
    cluster.advance(1000);
    const back = view(cluster, 'n1', 'n3');
    assert.equal(back.status, 'alive');
    assert.ok(back.live && back.reachable && back.phi < 8 && back.incarnation > dead.incarnation);
    cluster.finish();
  });

  test('a node says of itself that it lives', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    const { status, live, phi, reachable, seenThrough, incarnation } = view(cluster, 'n1', 'n1');
    assert.deepEqual(
      { status, live, phi, reachable, seenThrough },
      { status: 'alive', live: true, phi: 0, reachable: true, seenThrough: undefined },
    );
    assert.ok(incarnation > 0);
  });
});

describe('messages of gossip', () => {
  test('a probe and its answer come back as they were written', () => {
    const writer = new ByteWriter();
    openFrame(writer);
    writeGossipProbe(writer, 'node-17');
    writeGossipHeard(writer, 'a');
    const calls: [number, string][] = [];
    const handler = {
      family: (_peer: string, type: number, _id: number, reader: ByteReader) =>
        void calls.push([type, readGossipTarget(reader)]),
    };
    decodeMessages(sealFrame(writer, 1, 1), 'n2', handler as unknown as MessageHandler<string>);
    assert.deepEqual(calls, [
      [GOSSIP_PROBE, 'node-17'],
      [GOSSIP_HEARD, 'a'],
    ]);
  });

  test('gossip that makes no sense gets the peer a fresh pipe, and harms nobody', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    cluster.advance(300);
    const before = view(cluster, 'n1', 'n3');
    const lie = (write: (writer: ByteWriter) => void): void => {
      cluster.node('n1').frame('n2', cluster.forge('n2', 'n1', write));
      cluster.pump();
    };
    lie((writer) => {
      writeGossipProbe(writer, 'nobody of this name');
      writeGossipHeard(writer, 'n1');
    });
    assert.deepEqual(cluster.seat('n1').resets, []);
    lie((writer) => {
      writer.u8(29);
      writer.u32(0);
      writer.text('n3');
    });
    assert.equal(cluster.seat('n1').resets.length, 1);
    cluster.advance(500);
    assert.equal(view(cluster, 'n1', 'n3').incarnation, before.incarnation);
    assert.ok(view(cluster, 'n1', 'n2').live);
    cluster.finish();
  });
});
