/**
 * Clients of Redis Cluster, each as its users have it by default, while a node joins and another leaves: no call fails,
 * and the maps that nodes show (CLUSTER SLOTS, SHARDS, NODES) are those of the topology.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, it, type TestContext } from 'node:test';
import { Cluster, Redis } from 'ioredis';
import { createCluster } from 'redis';
import type { TopologyAnswer } from '../../src/http/api/topology-json.ts';
import { CalmCluster } from '../nemesis/calm.ts';
import type { NemesisCluster } from '../nemesis/cluster.ts';
import { letLeave, topologyOf } from '../nemesis/members.ts';
import { skipWithout } from '../support/tools.ts';
import { delay } from '../support/wait.ts';

const host = '127.0.0.1';
/** Calls of a client under way at a time. */
const callers = 8;
const rows = 4000;
const valueBytes = 1024;
const changeMaxMs = 90_000;
/** A map is right so long after the epoch is in force, milliseconds. */
const mapMaxMs = 1000;
const slotCount = 16_384;

/** A client, as far as this test uses it. */
interface Driven {
  readonly name: string;
  set(key: string, value: string): Promise<unknown>;
  get(key: string): Promise<string | null>;
  close(): Promise<void>;
}

function ioredisCluster(ports: readonly number[]): Driven {
  const client = new Cluster(ports.map((port) => ({ host, port })));
  client.on('error', () => {});
  return {
    name: 'ioredis Cluster',
    set: (key, value) => client.set(key, value),
    get: (key) => client.get(key),
    close: async () => client.disconnect(),
  };
}

async function nodeRedisCluster(ports: readonly number[]): Promise<Driven> {
  const client = createCluster({ rootNodes: ports.map((port) => ({ url: `redis://${host}:${port}` })) });
  client.on('error', () => {});
  await client.connect();
  return {
    name: 'node-redis cluster',
    set: (key, value) => client.set(key, value),
    get: async (key) => (await client.get(key)) as string | null,
    close: async () => client.destroy(),
  };
}

/** Callers who each do one thing after the other, and check what they are answered. */
class Load {
  readonly driven: Driven;
  readonly errors: string[] = [];
  calls = 0;
  slowestMs = 0;
  #isOver = false;
  #callers: Promise<void>[] = [];

  constructor(driven: Driven) {
    this.driven = driven;
  }

  begin(): void {
    this.#callers = Array.from({ length: callers }, (_, caller) => this.#run(caller));
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#callers);
  }

  async #run(caller: number): Promise<void> {
    const { driven } = this;
    /** What a key may hold: the last value that was acknowledged, and those of which nothing is known since. */
    const possible = new Map<string, readonly (string | null)[]>();
    for (let round = 0; !this.#isOver; round++) {
      const key = `${driven.name}:${caller}:${round % 500}`;
      const value = `v${round}`;
      const isAcknowledged = await this.#call(`set ${key}`, () => driven.set(key, value), ['OK']);
      possible.set(key, isAcknowledged ? [value] : [...(possible.get(key) ?? [null]), value]);
      await this.#call(`get ${key}`, () => driven.get(key), possible.get(key)!);
      await delay(4);
    }
  }

  /** @returns whether it was answered with one of what was wanted; an error is noted if not */
  async #call(
    what: string,
    call: () => Promise<unknown>,
    wanted: readonly (string | null)[],
  ): Promise<boolean> {
    this.calls++;
    const errorsBefore = this.errors.length;
    const from = performance.now();
    try {
      const answer = (await call()) as string | null;
      if (!wanted.includes(answer))
        this.errors.push(`${what}: ${String(answer)} where ${wanted.join(' or ')} was expected`);
    } catch (error) {
      this.errors.push(`${what}: ${String(error)}`);
    }
    this.slowestMs = Math.max(this.slowestMs, performance.now() - from);
    return this.errors.length === errorsBefore;
  }
}

/** RESP ports of the owners of each slot, the master first. */
type Map16 = readonly (readonly number[])[];

function mapOfTopology({ lists, members }: TopologyAnswer): Map16 {
  const { ids, read } = lists!;
  const portOf = new Map(members.map(({ id, respPort }) => [id, respPort!]));
  const slotsEach = slotCount / read.length;
  return Array.from({ length: slotCount }, (_, slot) =>
    read[Math.floor(slot / slotsEach)]!.map((index) => portOf.get(ids[index]!)!),
  );
}

/** What CLUSTER SLOTS, SHARDS and NODES of a node say; they must say the same. */
async function mapOfClients(client: Redis): Promise<Map16> {
  const map: number[][] = new Array(slotCount);
  const slots = (await client.cluster('SLOTS')) as unknown as readonly (readonly unknown[])[];
  for (const [from, to, ...nodes] of slots) {
    const ports = nodes.map((node) => Number((node as readonly unknown[])[1]));
    for (let slot = Number(from); slot <= Number(to); slot++) map[slot] = ports;
  }
  const shards = (await client.call('CLUSTER', 'SHARDS')) as readonly (readonly unknown[])[];
  for (const shard of shards) {
    const [, ranges, , nodes] = shard as readonly [string, readonly number[], string, readonly unknown[][]];
    const ports = nodes.map((node) => Number(node[node.indexOf('port') + 1]));
    for (let i = 0; i < ranges.length; i += 2) {
      assert.deepEqual(map[ranges[i]!], ports, `SHARDS and SLOTS of slot ${ranges[i]}`);
    }
  }
  const lines = String(await client.cluster('NODES'))
    .trim()
    .split('\n');
  for (const line of lines) {
    const [, address, , , , , , , ...ranges] = line.split(' ') as [string, string, ...string[]];
    const port = Number(/:(\d+)@/.exec(address)![1]);
    for (const range of ranges) assert.equal(map[Number(range.split('-')[0])]![0], port, `NODES: ${line}`);
  }
  return map;
}

/** Waits until everybody knows a steady epoch of so many members, and checks the maps as soon as they do. */
async function steady(test: TestContext, cluster: NemesisCluster, members: number): Promise<void> {
  const deadline = performance.now() + changeMaxMs;
  const answers = async (): Promise<readonly (TopologyAnswer | undefined)[]> =>
    Promise.all(cluster.nodes.map((node) => topologyOf(node, '?lists=true')));
  let seen = await answers();
  while (!seen.every((answer) => answer?.phase === 'steady' && answer.members.length === members)) {
    if (performance.now() > deadline) throw new Error(`no steady epoch of ${members} members`);
    await delay(20);
    seen = await answers();
  }
  const inForceAt = performance.now();
  const wanted = mapOfTopology(seen[0]!);
  await Promise.all(
    cluster.nodes.map(async (node) => {
      const client = new Redis({ host, port: node.respPort });
      let shown = await mapOfClients(client);
      while (JSON.stringify(shown) !== JSON.stringify(wanted) && performance.now() - inForceAt < mapMaxMs) {
        await delay(20);
        shown = await mapOfClients(client);
      }
      client.disconnect();
      assert.deepEqual(shown, wanted, `the map of ${node.name} in epoch ${seen[0]!.epoch}`);
    }),
  );
  test.diagnostic(
    `epoch ${seen[0]!.epoch}: all maps right after ${Math.round(performance.now() - inForceAt)} ms`,
  );
}

async function fill(port: number): Promise<void> {
  const client = new Redis({ host, port });
  const value = 'v'.repeat(valueBytes);
  for (let i = 0; i < rows; i += 200) {
    await Promise.all(Array.from({ length: 200 }, (_, j) => client.set(`row:${i + j}`, value)));
  }
  client.disconnect();
}

/** Calls of node-redis that its own closing of a socket may fail. */
const closedMost = 10;

function isClosed(error: string): boolean {
  return /Socket closed unexpectedly|Disconnects client|The client is closed/.test(error);
}

describe('clients of Redis Cluster while nodes come and go', { timeout: 300_000 }, () => {
  let calm: CalmCluster | undefined;
  let cluster: NemesisCluster;

  before(async () => {
    calm = await CalmCluster.open({ name: 'clients', nodes: 3, spares: 2 });
    ({ cluster } = calm);
    await fill(calm.ports[0]!);
  });
  after(() => calm?.close());

  it('ioredis Cluster and node-redis cluster see no error, though one of the nodes they know leaves', async (test) => {
    const ports = cluster.nodes.map(({ respPort }) => respPort);
    const loads = [new Load(ioredisCluster(ports)), new Load(await nodeRedisCluster(ports))];
    test.after(async () => {
      for (const { driven } of loads) await driven.close();
    });
    for (const load of loads) load.begin();
    await delay(1000);
    await cluster.join();
    await steady(test, cluster, 4);
    await delay(500);
    await letLeave(cluster, cluster.nodes[1]!, changeMaxMs);
    await steady(test, cluster, 3);
    await delay(1000);
    for (const load of loads) await load.end();
    for (const { driven, calls, errors, slowestMs } of loads) {
      test.diagnostic(
        `${driven.name}: ${calls} calls, ${errors.length} errors, slowest ${Math.round(slowestMs)} ms`,
      );
    }
    // node-redis, told that a node is gone, closes its socket to it with calls still in flight, which then fail: a few,
    // now and then, and whatever the server does. Seen: none in most runs, 2 of 18,702 calls in one.
    // Nothing else is let pass: what a write that failed so may have left is known to whoever reads next.
    for (const { driven, errors } of loads) {
      const closed = driven.name.includes('node-redis') ? errors.filter(isClosed) : [];
      assert.ok(closed.length <= closedMost, `${closed.length} calls on closed sockets: ${closed[0]}`);
      assert.deepEqual(errors.filter((error) => !closed.includes(error)).slice(0, 5), []);
    }
    assert.deepEqual(cluster.crashes, []);
  });

  // It fetches the map once, and ends with an error when a node of it goes away, with Redis as well: so the node that
  // leaves is one that came after it began.
  it('redis-benchmark --cluster goes on while a node joins and leaves again', {
    skip: skipWithout('redis-benchmark'),
  }, async (test) => {
    const { respPort } = cluster.nodes[0]!;
    const words = [
      '--cluster',
      '-p',
      String(respPort),
      '-t',
      'set,get',
      '-n',
      '20000',
      '-r',
      '1000',
      '-c',
      '6',
    ];
    const child = spawn('redis-benchmark', [...words, '-l'], { stdio: ['ignore', 'ignore', 'pipe'] });
    let complained = '';
    child.stderr.on('data', (bytes) => {
      complained += bytes;
    });
    // What it says of its progress stays in a buffer: the node tells how much it does.
    const client = new Redis({ host, port: respPort });
    test.after(() => client.disconnect());
    const served = async (): Promise<number> =>
      Number((await client.info('stats')).match(/commands_processed:(\d+)/)![1]);
    const ended = new Promise<number | null>((done) => child.on('exit', done));
    test.after(() => child.kill('SIGKILL'));
    await delay(500);
    const node = await cluster.join();
    await steady(test, cluster, 4);
    await letLeave(cluster, node, changeMaxMs);
    await steady(test, cluster, 3);
    const before = await served();
    await delay(1000);
    const during = (await served()) - before;
    test.diagnostic(`${during} commands a second afterwards`);
    assert.ok(during > 50, 'it still asks');
    assert.equal(child.exitCode, null, complained);
    child.kill('SIGTERM');
    await ended;
    assert.equal(complained, '');
    assert.deepEqual(cluster.crashes, []);
  });
});
