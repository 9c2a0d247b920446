/**
 * What every transport does (`src/ports/transport.ts`): the suite that the TCP transport and its twin
 * in memory both pass. A harness gives the suite endpoints, links to cut, and a way to let time pass.
 */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { NodeId, Transport, TransportHandler } from '../../src/ports/transport.ts';

export interface TransportHarness {
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

  peerUp(peer: NodeId): void {
    this.events.push(`up ${peer}`);
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

/** Registers the suite. `make` is given the ids of the members: a, b and c. */
export function transportConformance(
  name: string,
  make: (ids: readonly NodeId[]) => Promise<TransportHarness>,
): void {
  describe(`transport conformance: ${name}`, () => {
    let harness: TransportHarness;
    let a: RecordingHandler;
    let b: RecordingHandler;

    beforeEach(async () => {
      harness = await make(['a', 'b', 'c']);
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
  });
}
