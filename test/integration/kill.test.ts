/** `kill -9` of real processes under load: what was acknowledged stays, and requests go on. */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { TestCluster } from '../support/cluster.ts';
import { delay } from '../support/wait.ts';

function clientOf(cluster: TestCluster, index: number): Redis {
  const client = new Redis({
    host: '127.0.0.1',
    port: cluster.respPort(index),
    retryStrategy: () => 50,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    lazyConnect: true,
  });
  client.on('error', () => {});
  return client;
}

interface Acknowledged {
  readonly key: string;
  readonly value: string;
  /** When the acknowledgement came. */
  readonly at: number;
}

/** Writers that write until told to stop, each its own keys, and keep what was acknowledged. */
class Load {
  readonly acknowledged: Acknowledged[] = [];
  failures = 0;
  #stop = false;
  readonly #writers: Promise<void>[];

  constructor(clients: readonly Redis[], writersPerClient: number) {
    this.#writers = clients.flatMap((client, c) =>
      Array.from({ length: writersPerClient }, (_, w) => this.#write(client, `load:${c}:${w}`)),
    );
  }

  async #write(client: Redis, prefix: string): Promise<void> {
    for (let i = 0; !this.#stop; i++) {
      const key = `${prefix}:${i}`;
      try {
        assert.equal(await client.set(key, `v${i}`), 'OK');
        this.acknowledged.push({ key, value: `v${i}`, at: performance.now() });
        // Some thousands of writes a second are plenty: all of them are read back.
        await delay(2);
      } catch {
        this.failures += 1;
        await delay(5);
      }
    }
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#writers);
  }

  /** The longest time without an acknowledgement from `from` to `to`, milliseconds. */
  gapMs(from: number, to: number): number {
    const times = this.acknowledged.map(({ at }) => at).filter((at) => at >= from && at <= to);
    let gap = 0;
    let previous = from;
    for (const at of [...times, to]) {
      gap = Math.max(gap, at - previous);
      previous = at;
    }
    return gap;
  }
}

/** How many of the pairs a client does not read back. */
async function missing(client: Redis, pairs: readonly Acknowledged[]): Promise<string[]> {
  const wrong: string[] = [];
  for (let start = 0; start < pairs.length; start += 200) {
    const part = pairs.slice(start, start + 200);
    const values = await Promise.all(part.map(({ key }) => client.get(key)));
    part.forEach(({ key, value }, i) => {
      if (values[i] !== value) wrong.push(`${key}: ${values[i]} instead of ${value}`);
    });
  }
  return wrong;
}

describe('kill -9', { timeout: 180_000 }, () => {
  const ends: (() => unknown)[] = [];
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  async function clusterWith(
    flags: readonly string[] = [],
  ): Promise<{ cluster: TestCluster; clients: Redis[] }> {
    const cluster = await TestCluster.start({ flags });
    ends.push(() => cluster.close());
    const clients = [0, 1, 2].map((i) => clientOf(cluster, i));
    ends.push(() => {
      for (const client of clients) client.disconnect();
    });
    await Promise.all(clients.map((client) => client.connect()));
    return { cluster, clients };
  }

  it('of one of three under load loses nothing, and the node catches up', async (test) => {
    const { cluster, clients } = await clusterWith();
    const load = new Load([clients[0]!, clients[1]!], 5);
    await delay(1500);
    const before = load.acknowledged.length;
    assert.ok(before > 100, `${before} writes before the kill`);

    const killedAt = performance.now();
    await cluster.kill(2);
    await delay(3000);
    const gapMs = load.gapMs(killedAt, performance.now());
    assert.ok(gapMs < 1000, `requests paused for ${Math.round(gapMs)} ms`);
    assert.match(cluster.dev.stderr, /n3 .*was ended by SIGKILL[\s\S]*To start it again/);
    test.diagnostic(`longest pause after the kill: ${Math.round(gapMs)} ms`);
    const whileAway = load.acknowledged.filter(({ at }) => at > killedAt + 1000);
    assert.ok(whileAway.length > 100, `${whileAway.length} writes while the node was away`);

    await cluster.restart(2);
    await delay(1000);
    await load.stop();
    test.diagnostic(`${load.acknowledged.length} writes acknowledged, ${load.failures} failed`);
    const returned = clientOf(cluster, 2);
    ends.push(() => returned.disconnect());
    await returned.connect();
    for (const client of [clients[0]!, clients[1]!, returned]) {
      assert.deepEqual(await missing(client, load.acknowledged), []);
    }

    // What was read through the returned node is on its own disk now: alone, at R=1, it has it.
    await delay(500);
    for (const index of [0, 1, 2]) await cluster.kill(index, index === 2 ? 'SIGTERM' : 'SIGKILL');
    await cluster.restart(2, ['--policy', 'PA/EL']);
    const alone = clientOf(cluster, 2);
    ends.push(() => alone.disconnect());
    await alone.connect();
    assert.deepEqual(await missing(alone, load.acknowledged), []);
  });

  for (const durability of ['interval', 'always']) {
    it(`of every process at once, with durability ${durability}, loses nothing`, async () => {
      const { cluster, clients } = await clusterWith(['--durability', durability]);
      const load = new Load(clients, 3);
      await delay(1500);
      // The children first and at once, then their parent.
      for (const { pid } of cluster.file().nodes) process.kill(pid, 'SIGKILL');
      cluster.dev.child.kill('SIGKILL');
      await cluster.dev.finished();
      await load.stop();
      assert.ok(load.acknowledged.length > 100, `${load.acknowledged.length} writes`);
      await cluster.startAgain();
      const again = clientOf(cluster, 1);
      ends.push(() => again.disconnect());
      await again.connect();
      assert.deepEqual(await missing(again, load.acknowledged), []);
    });
  }
});
