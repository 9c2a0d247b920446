/** The client against real processes: a node killed under load, freezes, the near cache, connections back. */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type Client, connect, DureError } from '../../client/index.ts';
import { TestCluster } from '../support/cluster.ts';
import { delay, until } from '../support/wait.ts';

const workers = 32;

/** Workers that put and get until told to stop, and check that each reads what it put. */
class Load {
  calls = 0;
  readonly failures: string[] = [];
  #stop = false;
  readonly #done: Promise<void>[];

  constructor(client: Client<number>, name: string) {
    this.#done = Array.from({ length: workers }, (_, w) => this.#work(client, `${name}:${w}`));
  }

  async #work(client: Client<number>, key: string): Promise<void> {
    for (let i = 0; !this.#stop; i++) {
      const own = `${key}:${i % 50}`;
      try {
        await client.put(own, i);
        const value = await client.get(own);
        if (value !== i) this.failures.push(`${own}: ${value} instead of ${i}`);
        this.calls += 2;
      } catch (error) {
        const { code, message } = error as DureError;
        if (code === 'closed') return;
        this.failures.push(`${own}: ${code}: ${message}`);
        await delay(5);
      }
    }
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#done);
  }
}

describe('the client and a cluster of three', { timeout: 120_000 }, async () => {
  const cluster = await TestCluster.start();
  after(() => cluster.close());
  const nodes = [0, 1, 2].map((index) => `127.0.0.1:${cluster.respPort(index)}`);

  it('kill -9 of one node under load shows no failed call, and without repetitions it does', async () => {
    const client = await connect<number>({ nodes });
    // The control: the same load at the same time. If it does not fail, the kill was not felt.
    const bare = await connect<number>({ nodes, retryBudget: { share: 0, reserve: 0 } });
    try {
      await until(() => client.metrics().connectionsMade === 3, 'connected to all');
      const load = new Load(client, 'kill');
      const control = new Load(bare, 'control');
      await until(() => load.calls > 1000 && control.calls > 1000, 'the load runs', 20_000);
      await cluster.kill(1);
      const killedAt = load.calls;
      await delay(3000);
      const without = load.calls - killedAt;
      await cluster.restart(1);
      await until(
        () => client.metrics().connectionsMade >= 4,
        () => JSON.stringify(client.metrics()),
        20_000,
      );
      await delay(500);
      await Promise.all([load.stop(), control.stop()]);
      const { retries, retriesRefused, latency } = client.metrics();
      console.log({ calls: load.calls, without, retries, retriesRefused, latency });
      console.log({ control: control.calls, failed: control.failures.length, ...bare.metrics().latency });
      assert.deepEqual(load.failures.slice(0, 5), []);
      assert.ok(without > 1000, `${without} calls while the node was dead`);
      assert.ok(retries > 0, 'the kill was felt');
      assert.ok(control.failures.length > 0, 'calls fail without a budget of repetitions');
      assert.ok(bare.metrics().retriesRefused > 0 && bare.metrics().retries === 0);
    } finally {
      await Promise.all([client.close(), bare.close()]);
    }
  });

  it('a frozen node is left alone, and nothing fails', async () => {
    const client = await connect<number>({ nodes, silenceMsMax: 1500 });
    try {
      const load = new Load(client, 'freeze');
      await until(() => load.calls > 500, 'the load runs', 20_000);
      const { pid } = cluster.node(2);
      process.kill(pid, 'SIGSTOP');
      await delay(2500);
      const frozenAt = load.calls;
      await delay(500);
      const whileFrozen = load.calls - frozenAt;
      process.kill(pid, 'SIGCONT');
      await load.stop();
      assert.deepEqual(
        load.failures.filter((text) => !text.includes(' instead of ')),
        [],
      );
      assert.ok(whileFrozen > 50, `${whileFrozen} calls while the node was frozen`);
    } finally {
      await client.close();
    }
  });

  it('a node that is stopped in good order and started again fails no call', async () => {
    const client = await connect<number>({ nodes });
    try {
      await until(() => client.metrics().connectionsMade === 3, 'connected to all');
      const load = new Load(client, 'stop');
      await until(() => load.calls > 500, 'the load runs', 20_000);
      await cluster.kill(2, 'SIGTERM');
      const stoppedAt = load.calls;
      await until(() => load.calls > stoppedAt + 500, 'the load goes on', 20_000);
      await cluster.restart(2);
      await until(
        () => client.metrics().connectionsMade >= 4,
        () => JSON.stringify(client.metrics()),
        20_000,
      );
      await load.stop();
      console.log({ calls: load.calls, failed: load.failures.length, retries: client.metrics().retries });
      assert.deepEqual(load.failures.slice(0, 5), []);
    } finally {
      await client.close();
    }
  });

  it('the near cache is never older than its TTL', async () => {
    const ttlMs = 100;
    const client = await connect<number>({
      nodes,
      nearCache: { entriesMax: 10, bytesMax: 10_000, ttlMs },
    });
    const writer = await connect<number>({ nodes });
    /** `confirmedAt[i]`: when the put of i was known to be done. */
    const confirmedAt: number[] = [];
    try {
      await writer.put('near', 0);
      confirmedAt.push(performance.now());
      let isWriting = true;
      const writing = (async () => {
        for (let i = 1; i < 400; i++) {
          await writer.put('near', i);
          confirmedAt.push(performance.now());
          await delay(3);
        }
        isWriting = false;
      })();
      let checked = 0;
      while (isWriting) {
        const value = await client.get('near');
        const gotAt = performance.now();
        const replacedAt = confirmedAt[value! + 1];
        // R + W > N: a read sees each write that was confirmed before it began.
        if (replacedAt !== undefined) assert.ok(gotAt - replacedAt < ttlMs + 50, `${gotAt - replacedAt} ms`);
        checked += 1;
        await delay(1);
      }
      await writing;
      assert.ok(client.metrics().nearHits > checked / 2);
      assert.ok(checked > 100);
    } finally {
      await Promise.all([client.close(), writer.close()]);
    }
  });

  it('abort and deadline against a cluster without a quorum', async () => {
    const client = await connect<number>({ nodes });
    try {
      await cluster.kill(0);
      await cluster.kill(1);
      const startedAt = performance.now();
      await assert.rejects(
        client.put('k', 1, { consistency: 'PC/EC', deadlineMs: 700 }),
        (error) => error instanceof DureError,
      );
      assert.ok(performance.now() - startedAt < 1000);
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 30);
      const aborted = client.get('k', { signal: controller.signal, consistency: 'PC/EC' });
      await assert.rejects(aborted, (error) => error instanceof DureError);
    } finally {
      await client.close();
    }
  });
});
