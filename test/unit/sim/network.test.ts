/** The simulated network: the conformance suite, and the ways it goes wrong. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type LinkTrouble, type NetworkProfile, SimNetwork } from '../../../sim/network.ts';
import { Schedule } from '../../../sim/schedule.ts';
import { Trace } from '../../../sim/trace.ts';
import { Prng } from '../../../src/base/prng.ts';
import type { NodeId, Transport, TransportHandler } from '../../../src/ports/transport.ts';
import {
  RecordingHandler,
  sampleFrame,
  type TransportHarness,
  transportConformance,
} from '../../conformance/transport.ts';

const PROFILE: NetworkProfile = {
  delayMinUs: 100,
  delayMeanUs: 300,
  tailShare: 0.02,
  delayTailUs: 20_000,
  queueFramesMax: 500,
};

interface Bench {
  readonly schedule: Schedule;
  readonly network: SimNetwork;
  readonly handlers: (TransportHandler | undefined)[];
}

function benchOf(ids: readonly NodeId[], seed = 1, profile: NetworkProfile = PROFILE): Bench {
  const schedule = new Schedule();
  const handlers: (TransportHandler | undefined)[] = ids.map(() => undefined);
  const network = new SimNetwork(schedule, new Prng(seed), new Trace(), profile, ids, {
    input: (index, run) => {
      const handler = handlers[index];
      if (handler) run(handler);
    },
    reachable: (index) => handlers[index] !== undefined,
  });
  return { schedule, network, handlers };
}

function harnessOf(ids: readonly NodeId[]): TransportHarness {
  const { schedule, network, handlers } = benchOf(ids);
  const cuts = new Map<string, () => void>();
  const address = (_from: NodeId, id: NodeId, elsewhere = false) => {
    return { id, host: 'simulated', peerPort: elsewhere ? 2 : 1 };
  };
  return {
    address,
    async start(id, handler) {
      handlers[ids.indexOf(id)] = handler;
      const members = ids.slice(0, id === 'd' ? 4 : 3);
      const transport = network.attach(ids.indexOf(id), members);
      transport.setPeers(members.map((each) => address(id, each)));
      return transport;
    },
    async stop(id) {
      handlers[ids.indexOf(id)] = undefined;
      network.detach(ids.indexOf(id), false);
    },
    cut(from, to) {
      network.refuse(ids.indexOf(from), ids.indexOf(to), true);
      cuts.set(`${from}${to}`, () => network.refuse(ids.indexOf(from), ids.indexOf(to), false));
    },
    heal(from, to) {
      cuts.get(`${from}${to}`)?.();
    },
    async until(condition, what) {
      const deadline = schedule.now + 10_000_000;
      while (!condition()) {
        if (schedule.now > deadline) assert.fail(`${what}: not within 10 s`);
        schedule.runUntil(schedule.now + 1000);
      }
    },
    async settle() {
      schedule.runUntil(schedule.now + 500_000);
    },
    queueBytesMax: PROFILE.queueFramesMax * 100_000,
    stall(from, to) {
      network.cut(ids.indexOf(from), ids.indexOf(to));
    },
    async close() {},
  };
}

transportConformance('simulated network', async (ids) => harnessOf(ids));

describe('simulated network', () => {
  const up = (seed: number): Bench & { a: RecordingHandler; b: RecordingHandler; transport: Transport } => {
    const bench = benchOf(['a', 'b'], seed);
    const a = new RecordingHandler();
    const b = new RecordingHandler();
    bench.handlers[0] = a;
    bench.handlers[1] = b;
    const transport = bench.network.attach(0, ['a', 'b']);
    bench.network.attach(1, ['a', 'b']);
    bench.schedule.runUntil(1_000_000);
    assert.deepEqual([a.events, b.events], [['up b'], ['up a']]);
    return { ...bench, a, b, transport };
  };
  const received = (handler: RecordingHandler): number[] => handler.frames.map(({ bytes }) => bytes[10]!);

  it('holds frames back while a link is cut, and delivers them in order when it heals', () => {
    const { schedule, network, a, b, transport } = up(1);
    network.cut(0, 1);
    for (let i = 0; i < 10; i++) transport.send('b', sampleFrame(20, i));
    schedule.runUntil(schedule.now + 5_000_000);
    assert.deepEqual(received(b), []);
    assert.deepEqual(a.events, ['up b'], 'a cut is silent');
    network.mend(0, 1);
    schedule.runUntil(schedule.now + 5_000_000);
    assert.deepEqual(received(b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('loses the tail of a broken pipe, delivers nothing twice, and comes up again', () => {
    const kept = new Set<number>();
    for (let seed = 1; seed <= 40; seed++) {
      const { schedule, network, a, b, transport } = up(seed);
      for (let i = 0; i < 10; i++) transport.send('b', sampleFrame(20, i));
      network.breakPipe(0, 1);
      schedule.runUntil(schedule.now + 5_000_000);
      const frames = received(b);
      assert.deepEqual(
        frames,
        frames.map((_, i) => i),
        'a prefix, in order',
      );
      kept.add(frames.length);
      assert.deepEqual(a.events, ['up b', 'down b', 'up b']);
    }
    assert.ok(kept.size > 4, 'different runs lose differently');
  });

  it('refuses what is more than a pipe holds, unless pipes are roomy', () => {
    const { schedule, network, handlers } = benchOf(['a', 'b'], 1, { ...PROFILE, queueFramesMax: 8 });
    const b = new RecordingHandler();
    handlers[0] = new RecordingHandler();
    handlers[1] = b;
    const transport = network.attach(0, ['a', 'b']);
    network.attach(1, ['a', 'b']);
    schedule.runUntil(1_000_000);
    const sent = (count: number): number => {
      const frames = Array.from({ length: count }, (_, i) => transport.send('b', sampleFrame(20, i)));
      return frames.filter((taken) => taken).length;
    };
    assert.equal(sent(12), 8);
    network.isRoomy = true;
    assert.equal(sent(4), 4);
    network.isRoomy = false;
    assert.equal(sent(1), 0);
    schedule.runUntil(schedule.now + 1_000_000);
    assert.equal(b.frames.length, 12);
    assert.equal(sent(12), 8);
  });

  it('damages frames on demand, without touching the bytes of the sender', () => {
    const { schedule, network, b, transport } = up(1);
    network.corrupt(0, 1, 2);
    const frames = [0, 1, 2].map((fill) => sampleFrame(50, fill));
    for (const frame of frames) transport.send('b', frame);
    schedule.runUntil(schedule.now + 1_000_000);
    const same = b.frames.map(({ bytes }, i) => Buffer.compare(bytes, sampleFrame(50, i)) === 0);
    assert.deepEqual(same, [false, false, true]);
    assert.deepEqual(frames[0], sampleFrame(50, 0));
    assert.equal(network.framesCorrupted, 2);
  });

  it('loses, doubles and reorders single frames on demand, and stops when healed', () => {
    const frames = Array.from({ length: 200 }, (_, i) => i);
    const through = (trouble: Partial<LinkTrouble>): number[] => {
      const { schedule, network, a, b, transport } = up(5);
      network.trouble(0, 1, trouble);
      for (const i of frames) {
        transport.send('b', sampleFrame(20, i));
        schedule.runUntil(schedule.now + 1000);
      }
      schedule.runUntil(schedule.now + 1_000_000);
      assert.deepEqual(a.events, ['up b'], 'the pipe stays up');
      const before = b.frames.length;
      network.healAll();
      for (const i of frames) transport.send('b', sampleFrame(20, i));
      schedule.runUntil(schedule.now + 1_000_000);
      assert.deepEqual(received(b).slice(before), frames, 'healed');
      return received(b).slice(0, before);
    };
    const sorted = (numbers: readonly number[]) => [...numbers].sort((x, y) => x - y);
    const dropped = through({ drop: 0.3 });
    assert.ok(dropped.length > 100 && dropped.length < 180, `${dropped.length} of 200 arrived`);
    assert.deepEqual(dropped, sorted(dropped), 'the others in order');
    const doubled = through({ double: 0.3 });
    assert.ok(doubled.length > 220 && doubled.length < 300, `${doubled.length} arrived of 200`);
    assert.deepEqual([...new Set(sorted(doubled))], frames, 'each at least once');
    const reordered = through({ reorder: 0.3 });
    assert.deepEqual(sorted(reordered), frames, 'each once');
    assert.notDeepEqual(reordered, frames);
  });

  it('delays each frame of a direction on demand, and only of that one', () => {
    const { schedule, network, handlers, a, b, transport } = up(1);
    assert.ok(handlers[1]);
    network.trouble(0, 1, { delayUs: 250_000 });
    const back = network.attach(1, ['a', 'b']);
    schedule.runUntil(schedule.now + 5_000_000);
    transport.send('b', sampleFrame(20, 1));
    back.send('a', sampleFrame(20, 2));
    schedule.runUntil(schedule.now + 240_000);
    assert.deepEqual([received(a), received(b)], [[2], []]);
    schedule.runUntil(schedule.now + 100_000);
    assert.deepEqual(received(b), [1]);
  });

  it('lets a half-open pipe swallow everything, until its sender asks for a fresh one', () => {
    const { schedule, network, a, b, transport } = up(1);
    network.halfOpen(0, 1);
    assert.equal(transport.send('b', sampleFrame(20, 1)), true);
    schedule.runUntil(schedule.now + 60_000_000);
    assert.deepEqual([received(b), a.events], [[], ['up b']], 'nobody is told');
    transport.reset('b', 'no answers');
    schedule.runUntil(schedule.now + 1_000_000);
    assert.deepEqual(a.events, ['up b', 'down b', 'up b']);
    transport.send('b', sampleFrame(20, 2));
    schedule.runUntil(schedule.now + 1_000_000);
    assert.deepEqual(received(b), [2]);
  });

  it('tells of a lost process soon, and of lost power only after a long silence', () => {
    for (const silent of [false, true]) {
      const { schedule, network, handlers, a } = up(2);
      handlers[1] = undefined;
      network.detach(1, silent);
      schedule.runUntil(schedule.now + 500_000);
      assert.deepEqual(a.events, silent ? ['up b'] : ['up b', 'down b']);
      schedule.runUntil(schedule.now + 6_000_000);
      assert.deepEqual(a.events, ['up b', 'down b']);
    }
  });

  it('never delivers to a new process what was sent to the one before', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { schedule, network, handlers, transport } = up(seed);
      for (let i = 0; i < 10; i++) transport.send('b', sampleFrame(20, i));
      network.detach(1, false);
      const again = new RecordingHandler();
      handlers[1] = again;
      network.attach(1, ['a', 'b']);
      schedule.runUntil(schedule.now + 5_000_000);
      assert.deepEqual(received(again), []);
    }
  });
});
