/**
 * What every transport does (`src/ports/transport.ts`): the suite that the TCP transport and its twin
 * in memory both pass. A harness gives the suite endpoints, links to cut, and a way to let time pass.
 */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { NodeId, PeerAddress, Transport, TransportHandler } from '../../src/ports/transport.ts';
import { PROTOCOL_VERSION } from '../../src/wire/frame.ts';

export interface TransportHarness {
  /** Where `from` is to dial a member; with `elsewhere`, another address at which it is found too. */
  address(from: NodeId, id: NodeId, elsewhere?: boolean): PeerAddress;
  /** Starts the endpoint of a member; after `stop` of the same member it is a restart. */
  start(id: NodeId, handler: TransportHandler): Promise<Transport>;
  /** Ends an endpoint, as a process that died. */
  stop(id: NodeId): Promise<void>;
  /** Breaks the pipe from one member to another until `heal`. */
  cut(from: NodeId, to: NodeId): void;
  heal(from: NodeId, to: NodeId): void;
  /** Lets the transport work until `condition` holds; fails after 10 s. */
  until(condition: () => boolean, what: string): Promise<void>;
  /** Lets the transport work for a while. */
  settle(): Promise<void>;
  /** Bytes one endpoint may queue for one peer. */
  readonly queueBytesMax: number;
  /** Makes `to` stop taking bytes from `from`, so that the queue fills. */
  stall(from: NodeId, to: NodeId): void;
  close(): Promise<void>;
}

/** Writes down what it hears. */
export class RecordingHandler implements TransportHandler {
  readonly events: string[] = [];
  readonly frames: { peer: NodeId; bytes: Uint8Array }[] = [];
  /** Of each pipe that came up. */
  readonly versions: number[] = [];

  peerUp(peer: NodeId, version: number = PROTOCOL_VERSION): void {
    this.events.push(`up ${peer}`);
    this.versions.push(version);
  }

  peerDown(peer: NodeId, reason: string): void {
    assert.ok(reason.length > 0, 'a reason is given');
    this.events.push(`down ${peer}`);
  }

  frame(peer: NodeId, frame: Uint8Array): void {
    this.frames.push({ peer, bytes: frame.slice() });
  }

  count(event: string): number {
    return this.events.filter((each) => each === event).length;
  }
}

/** A frame with a proper length field and a recognizable body. */
export function sampleFrame(length: number, fill: number): Uint8Array {
  const frame = new Uint8Array(length).fill(fill & 0xff);
  new DataView(frame.buffer).setUint32(0, length);
  return frame;
}

/** Registers the suite. `make` is given the ids: members are a, b and c; d believes to be one too. */
export function transportConformance(
  name: string,
  make: (ids: readonly NodeId[]) => Promise<TransportHarness>,
): void {
  describe(`transport conformance: ${name}`, () => {
    let harness: TransportHarness;
    let a: RecordingHandler;
    let b: RecordingHandler;

    beforeEach(async () => {
      harness = await make(['a', 'b', 'c', 'd']);
      a = new RecordingHandler();
      b = new RecordingHandler();
    });
    afterEach(() => harness.close());

    const pair = async (): Promise<[Transport, Transport]> => {
      const first = await harness.start('a', a);
      const second = await harness.start('b', b);
      await harness.until(() => a.count('up b') === 1 && b.count('up a') === 1, 'both are up');
      return [first, second];
    };

    it('tells each side once that the other is up', async () => {
      await pair();
      await harness.settle();
      assert.deepEqual(a.events, ['up b']);
      assert.deepEqual(b.events, ['up a']);
    });

    it('delivers frames whole, in order, both ways, with the name of the sender', async () => {
      const [first, second] = await pair();
      const lengths = [9, 10, 1000, 65_536, 300_000, 9, 70_001];
      lengths.forEach((length, i) => {
        assert.equal(first.send('b', sampleFrame(length, i)), true);
        assert.equal(second.send('a', sampleFrame(length, i + 100)), true);
      });
      await harness.until(
        () => b.frames.length === lengths.length && a.frames.length === lengths.length,
        'all frames arrive',
      );
      lengths.forEach((length, i) => {
        assert.deepEqual(b.frames[i], { peer: 'a', bytes: sampleFrame(length, i) });
        assert.deepEqual(a.frames[i], { peer: 'b', bytes: sampleFrame(length, i + 100) });
      });
    });

    it('refuses to send to a peer that is not up, to itself and to a stranger', async () => {
      const first = await harness.start('a', a);
      for (const peer of ['b', 'c', 'a', 'nobody']) {
        assert.equal(first.send(peer, sampleFrame(20, 1)), false, peer);
      }
    });

    it('tells when a peer is gone, and when it is back', async () => {
      const [first] = await pair();
      await harness.stop('b');
      await harness.until(() => a.count('down b') === 1, 'a hears that b is gone');
      assert.equal(first.send('b', sampleFrame(20, 1)), false);
      b = new RecordingHandler();
      const again = await harness.start('b', b);
      await harness.until(() => a.count('up b') === 2 && b.count('up a') === 1, 'both are up again');
      assert.equal(first.send('b', sampleFrame(20, 7)), true);
      assert.equal(again.send('a', sampleFrame(20, 8)), true);
      await harness.until(() => b.frames.length === 1 && a.frames.length === 1, 'frames flow again');
      assert.deepEqual(a.events, ['up b', 'down b', 'up b']);
    });

    it('reset drops the pipe and brings it up again', async () => {
      const [first] = await pair();
      first.reset('b', 'it went silent');
      assert.equal(first.send('b', sampleFrame(20, 1)), false);
      await harness.until(() => a.count('up b') === 2, 'a is connected again');
      assert.deepEqual(a.events, ['up b', 'down b', 'up b']);
      assert.equal(first.send('b', sampleFrame(20, 2)), true);
      await harness.until(() => b.frames.length === 1, 'the frame arrives');
      assert.deepEqual(b.frames[0]!.bytes, sampleFrame(20, 2));
    });

    it('reset of a peer that is not up does nothing', async () => {
      const first = await harness.start('a', a);
      first.reset('b', 'it went silent');
      first.reset('nobody', 'it went silent');
      await harness.settle();
      assert.deepEqual(a.events, []);
    });

    it('uses a healed link again, one direction at a time', async () => {
      const [first, second] = await pair();
      harness.cut('a', 'b');
      await harness.until(() => a.count('down b') === 1, 'a hears of the cut');
      assert.equal(first.send('b', sampleFrame(20, 1)), false);
      await harness.settle();
      assert.equal(a.count('up b'), 1);
      assert.equal(second.send('a', sampleFrame(20, 2)), true, 'the other direction is whole');
      await harness.until(() => a.frames.length === 1, 'a still hears b');
      harness.heal('a', 'b');
      await harness.until(() => a.count('up b') === 2, 'a is connected again');
      assert.equal(first.send('b', sampleFrame(20, 3)), true);
      await harness.until(() => b.frames.some((each) => each.bytes[19] === 3), 'b hears a');
    });

    it('refuses to queue without bound for a peer that does not read', async () => {
      const [first] = await pair();
      harness.stall('a', 'b');
      // 8 MiB beyond the bound leaves room for what the system itself buffers.
      const frames = Math.ceil((harness.queueBytesMax + 8 * 1024 * 1024) / 100_000);
      let refused = false;
      for (let i = 0; i < frames && !refused; i++) refused = !first.send('b', sampleFrame(100_000, i));
      assert.equal(refused, true);
    });

    it('keeps three members apart', async () => {
      const [first] = await pair();
      const c = new RecordingHandler();
      const third = await harness.start('c', c);
      await harness.until(() => c.events.length === 2 && a.count('up c') === 1, 'c is up');
      first.send('c', sampleFrame(30, 5));
      third.send('b', sampleFrame(40, 6));
      await harness.until(() => c.frames.length === 1 && b.frames.length === 1, 'frames arrive');
      assert.equal(c.frames[0]!.peer, 'a');
      assert.equal(b.frames[0]!.peer, 'c');
      assert.equal(a.frames.length, 0);
    });

    const peers = (...ids: readonly NodeId[]): PeerAddress[] => ids.map((id) => harness.address('a', id));

    it('the same members again change nothing', async () => {
      const [first] = await pair();
      first.setPeers(peers('c', 'b', 'a'), 2);
      await harness.settle();
      assert.equal(first.send('b', sampleFrame(20, 1)), true);
      await harness.until(() => b.frames.length === 1, 'the frame arrives');
      assert.deepEqual([a.events, b.events], [['up b'], ['up a']]);
    });

    it('a new member is dialled at once, and welcomed from then on', async () => {
      const [first, second] = await pair();
      const d = new RecordingHandler();
      const fourth = await harness.start('d', d);
      await harness.settle();
      assert.equal(fourth.send('a', sampleFrame(20, 1)), false, 'a stranger is not welcomed');
      assert.deepEqual(d.events, []);
      first.setPeers(peers('a', 'b', 'c', 'd'), 2);
      await harness.until(() => a.count('up d') === 1 && d.count('up a') === 1, 'a and d are up');
      assert.equal(first.send('d', sampleFrame(20, 2)), true);
      assert.equal(fourth.send('a', sampleFrame(20, 3)), true);
      await harness.until(() => a.frames.length === 1 && d.frames.length === 1, 'frames flow');
      assert.deepEqual(a.frames[0], { peer: 'd', bytes: sampleFrame(20, 3) });
      assert.equal(second.send('d', sampleFrame(20, 4)), false, 'b was not told');
      assert.equal(d.count('up b'), 0);
    });

    it('a member that is gone gets what was sent to it before, and is spoken of no more', async () => {
      const [first, second] = await pair();
      const frames = 8;
      for (let i = 0; i < frames; i++) assert.equal(first.send('b', sampleFrame(50_000, i)), true);
      first.setPeers(peers('a', 'c'), 2);
      assert.equal(first.send('b', sampleFrame(20, 99)), false);
      await harness.until(() => b.frames.length === frames, 'the last frames arrive');
      assert.deepEqual(b.frames.at(-1)!.bytes, sampleFrame(50_000, frames - 1));
      await harness.until(() => b.count('down a') === 1, 'b is let go of');
      assert.equal(second.send('a', sampleFrame(20, 1)), false);
      await harness.settle();
      assert.deepEqual(a.events, ['up b'], 'nothing is said of it');
      assert.deepEqual(b.events, ['up a', 'down a']);
    });

    it('a member that comes back is up again', async () => {
      const [first, second] = await pair();
      first.setPeers(peers('a', 'c'), 2);
      await harness.until(() => b.count('down a') === 1, 'b is let go of');
      first.setPeers(peers('a', 'b', 'c'), 3);
      await harness.until(() => a.count('up b') === 2 && b.count('up a') === 2, 'both are up again');
      assert.equal(first.send('b', sampleFrame(20, 1)), true);
      assert.equal(second.send('a', sampleFrame(20, 2)), true);
      await harness.until(() => b.frames.length === 1 && a.frames.length === 1, 'frames flow again');
    });

    it('a member that went and came at once is up', async () => {
      const [first] = await pair();
      first.setPeers(peers('a', 'c'), 2);
      first.setPeers(peers('a', 'b', 'c'), 3);
      await harness.until(() => a.count('up b') === 2, 'a has a new pipe');
      assert.equal(first.send('b', sampleFrame(20, 1)), true);
      await harness.until(() => b.frames.length === 1, 'the frame arrives');
      await harness.settle();
      assert.equal(a.count('down b'), 0);
    });

    it('a member with another address is dialled there', async () => {
      const [first] = await pair();
      first.setPeers([...peers('a', 'c'), harness.address('a', 'b', true)], 2);
      await harness.until(() => a.count('up b') === 2, 'it is up again');
      assert.deepEqual(a.events, ['up b', 'down b', 'up b']);
      assert.equal(first.send('b', sampleFrame(20, 1)), true);
      await harness.until(() => b.frames.length === 1, 'the frame arrives');
      await harness.settle();
      assert.deepEqual(b.events, ['up a']);
    });
  });
}
