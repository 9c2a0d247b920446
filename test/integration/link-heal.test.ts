/**
 * Links between real nodes over real sockets that are cut and heal: a link is used again within a second,
 * however it was cut and for however long; and while it is cut, the third node says that both live.
 *
 * `DURE_CUT_SECONDS=4,60` takes other lengths of the cut than those of `npm test`.
 */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SystemClock } from '../../src/adapters/clock.ts';
import { NodeDriver } from '../../src/adapters/driver.ts';
import { SecureRandom } from '../../src/adapters/random.ts';
import { MemoryStorage } from '../../src/adapters/storage-memory.ts';
import { TcpTransport } from '../../src/adapters/tcp-transport.ts';
import { PolicyTable } from '../../src/coordinator/policy.ts';
import type { MemberView } from '../../src/node/api.ts';
import { Node } from '../../src/node/node.ts';
import { type Member, NODE_LIMITS_DEFAULT } from '../../src/node/options.ts';
import { LOG_SILENT } from '../../src/ports/log.ts';
import { place } from '../../src/ring/placement.ts';
import { LinkProxy } from '../support/link-proxy.ts';
import { freePortBase } from '../support/ports.ts';
import { delay, until } from '../support/wait.ts';

const ids = ['a', 'b', 'c'];
const clock = new SystemClock();
const random = new SecureRandom();
const cutSeconds = (process.env.DURE_CUT_SECONDS ?? '4').split(',').map(Number);

interface Seat {
  readonly node: Node;
  stop(): Promise<void>;
}

async function seat(id: string, members: readonly Member[], proxies: Map<string, LinkProxy>): Promise<Seat> {
  const driver = new NodeDriver({ clock });
  const own = members.find((member) => member.id === id)!;
  const transport = new TcpTransport({
    nodeId: id,
    clusterName: 'test',
    members,
    bind: { host: own.host, port: own.peerPort },
    life: random.u32(),
    clock,
    random,
    log: LOG_SILENT,
    dialTarget: (peer) => {
      const proxy = proxies.get(`${id}>${peer}`);
      return proxy && { host: '127.0.0.1', port: proxy.port };
    },
  });
  const options = {
    id,
    clusterName: 'test',
    members,
    table: place(undefined, members, { partitionCount: 64, replicaCount: 3 }),
    policies: new PolicyTable({ r: 2, w: 2, strict: false }, [], 3),
    durability: 'interval' as const,
    limits: NODE_LIMITS_DEFAULT,
    updates: new Map(),
  };
  const storage = new MemoryStorage({ clock, random });
  const node = new Node(options, { clock, random, transport, storage, log: LOG_SILENT, turn: driver });
  driver.start(node);
  const started = new Promise<void>((resolve, reject) =>
    node.start((error) => (error === undefined ? resolve() : reject(error))),
  );
  await new Promise<void>((resolve, reject) =>
    transport.start(node, (error) => (error === undefined ? resolve() : reject(error))),
  );
  return {
    node,
    stop: async () => {
      await started;
      node.stop();
      driver.stop();
      await new Promise<void>((resolve) => transport.close(resolve));
    },
  };
}

describe('a link between two nodes is cut and heals', () => {
  const proxies = new Map<string, LinkProxy>();
  const seats = new Map<string, Seat>();

  const view = (observer: string, peer: string): MemberView =>
    seats
      .get(observer)!
      .node.members()
      .find((member) => member.id === peer)!;
  const allLive = (): boolean =>
    [...seats.values()].every(({ node }) => node.members().every((member) => member.live));
  const proxiesOf = (a: string, b: string): LinkProxy[] => [
    proxies.get(`${a}>${b}`)!,
    proxies.get(`${b}>${a}`)!,
  ];

  before(async () => {
    const base = await freePortBase(ids.length);
    const members = ids.map((id, i) => ({
      id,
      host: '127.0.0.1',
      respPort: base + i,
      peerPort: base + 1000 + i,
      httpPort: base + 2000 + i,
      zone: 'z',
      weight: 1,
    }));
    for (const from of members) {
      for (const to of members) {
        if (from === to) continue;
        proxies.set(`${from.id}>${to.id}`, await LinkProxy.open({ host: to.host, port: to.peerPort }));
      }
    }
    for (const id of ids) seats.set(id, await seat(id, members, proxies));
    await until(allLive, 'all see each other');
  });

  after(async () => {
    for (const { stop } of seats.values()) await stop();
    for (const proxy of proxies.values()) await proxy.close();
  });

  for (const seconds of cutSeconds) {
    for (const how of ['stall', 'cut'] as const) {
      const words = how === 'stall' ? 'swallows everything' : 'refuses connections';
      it(`a link that ${words} for ${seconds} s is used again within a second`, async () => {
        for (const proxy of proxiesOf('a', 'b')) proxy[how]();
        const cutAt = performance.now();
        await until(() => !view('a', 'b').live && !view('b', 'a').live, 'the cut is noticed', 2500);
        const noticedMs = performance.now() - cutAt;
        await delay(seconds * 1000 - noticedMs);
        for (const [one, other] of [
          ['a', 'b'],
          ['b', 'a'],
        ] as const) {
          assert.equal(view(one, other).status, 'alive');
          assert.equal(view(one, other).seenThrough, 'c');
          assert.ok(view(one, 'c').live);
        }
        for (const proxy of proxiesOf('a', 'b')) proxy.heal();
        const healedAt = performance.now();
        await until(allLive, 'the link is used again', 5000);
        const againMs = performance.now() - healedAt;
        assert.ok(againMs <= 1000, `used again after ${Math.round(againMs)} ms`);
        // And it stays in use.
        const calmUntil = performance.now() + 500;
        while (performance.now() < calmUntil) {
          assert.ok(allLive(), 'a link that healed stays in use');
          await delay(10);
        }
      });
    }
  }

  it('one direction swallows everything: both sides avoid the link, and use it again', async () => {
    const [there] = proxiesOf('a', 'b');
    there!.stall();
    await until(() => !view('a', 'b').live && !view('b', 'a').live, 'the cut is noticed', 4000);
    assert.equal(view('a', 'b').status, 'alive');
    there!.heal();
    const healedAt = performance.now();
    await until(allLive, 'the link is used again', 5000);
    assert.ok(performance.now() - healedAt <= 1000);
  });
});
