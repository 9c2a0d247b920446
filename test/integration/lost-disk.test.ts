/**
 * Disks that are lost, restored from a copy, damaged and cut short, under a real cluster of three with strict
 * reads going on at all of its nodes: what was acknowledged is read, always, and the node is made whole.
 */

import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import type { StatusAnswer } from '../../src/http/status.ts';
import { TestCluster } from '../support/cluster.ts';
import type { Started } from '../support/process.ts';
import { delay, until } from '../support/wait.ts';

/** A node of ten thousand rows is whole again within this. */
const wholeWithinMs = 20_000;

/** Reads and writes keys at every node, strictly, and holds each answer against what was acknowledged. */
class Load {
  readonly values: Map<string, string> = new Map();
  readonly wrong: string[] = [];
  reads = 0;
  failures = 0;
  #stop = false;
  readonly #clients: readonly Redis[];
  #loops: Promise<void>[] = [];

  constructor(cluster: TestCluster) {
    this.#clients = [0, 1, 2].map((i) => {
      const client = new Redis({
        host: '127.0.0.1',
        port: cluster.respPort(i),
        retryStrategy: () => 50,
        maxRetriesPerRequest: 0,
        enableOfflineQueue: false,
      });
      client.on('error', () => {});
      return client;
    });
  }

  async fill(count: number): Promise<void> {
    await until(() => this.#clients.every(({ status }) => status === 'ready'), 'the clients are connected');
    for (let start = 0; start < count; start += 100) {
      const part = Array.from({ length: 100 }, (_, i) => this.#write(0, `k${start + i}`, 'first'));
      await Promise.all(part);
    }
    assert.equal(this.failures, 0);
  }

  async #write(client: number, key: string, value: string): Promise<void> {
    try {
      await this.#clients[client]!.set(key, value);
      this.values.set(key, value);
    } catch {
      this.failures++;
      // It may be either: no longer judged.
      this.values.delete(key);
    }
  }

  async #read(client: number, key: string): Promise<void> {
    const expected = this.values.get(key);
    if (expected === undefined) return;
    try {
      const seen = await this.#clients[client]!.get(key);
      this.reads++;
      if (seen !== expected && this.values.get(key) === expected) this.wrong.push(`${key}: ${seen}`);
    } catch {
      this.failures++;
    }
  }

  /** Each loop reads and writes keys of its own, so that what it expects is certain. */
  begin(): void {
    this.#stop = false;
    this.#loops = [0, 1, 2].map((client) => this.#loop(client));
  }

  async #loop(client: number): Promise<void> {
    const keys = [...this.values.keys()].filter((_, i) => i % 3 === client);
    for (let i = 0; !this.#stop; i++) {
      const key = keys[(i * 7919) % keys.length]!;
      if (i % 10 === 0) await this.#write(client, key, `value ${i}`);
      else await this.#read(client, key);
      if (i % 10 === 5) await delay(2);
    }
  }

  async end(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#loops);
    assert.deepEqual(this.wrong, []);
  }

  /** Everything that was acknowledged, read through one node. */
  async readAll(client: number): Promise<void> {
    await until(() => this.#clients[client]!.status === 'ready', 'the client is connected');
    const before = this.failures;
    const keys = [...this.values.keys()];
    for (let start = 0; start < keys.length; start += 100) {
      await Promise.all(keys.slice(start, start + 100).map((key) => this.#read(client, key)));
    }
    assert.equal(this.failures, before);
    assert.deepEqual(this.wrong, []);
  }

  close(): void {
    this.#stop = true;
    for (const client of this.#clients) client.disconnect();
  }
}

describe('lost and damaged disks', { timeout: 240_000 }, () => {
  let cluster: TestCluster;
  let load: Load;
  let started: Started;
  const node = 2;

  before(async () => {
    const flags = ['--durability', 'always', '--policy', 'PC/EC', '--partitions', '64'];
    cluster = await TestCluster.start({ flags });
    load = new Load(cluster);
    await load.fill(2000);
  });
  after(async () => {
    load.close();
    await cluster.close();
  });

  function dataDir(): string {
    return join(cluster.directory, cluster.node(node).id, 'data');
  }

  function rowFiles(end: string): string[] {
    const rows = join(dataDir(), 'rows');
    return readdirSync(rows).flatMap((name) => (name.endsWith(end) ? [join(rows, name)] : []));
  }

  async function past(): Promise<NonNullable<StatusAnswer['past']>> {
    const response = await fetch(`http://127.0.0.1:${cluster.node(node).httpPort}/status`);
    const { past } = (await response.json()) as StatusAnswer;
    assert.ok(past !== undefined);
    return past;
  }

  /** Kills the node, does something to its disk, starts it, and waits until it is whole. */
  async function harm(what: () => void): Promise<{ tookMs: number; generation: number }> {
    load.begin();
    await delay(300);
    await cluster.kill(node);
    what();
    const from = performance.now();
    started = await cluster.restart(node);
    let whole = await past().catch(() => undefined);
    await until(
      async () => {
        // A storage that finds its tables damaged ends the process; a supervisor starts it again.
        if (started.ended) {
          assert.equal(
            started.child.exitCode ?? started.child.signalCode,
            4,
            started.stdout + started.stderr,
          );
          await cluster.kill(node);
          started = await cluster.restart(node);
        }
        whole = await past().catch(() => undefined);
        return whole?.whole === true;
      },
      () => `${JSON.stringify(whole)}\n${started.stdout}`,
      wholeWithinMs,
    );
    const tookMs = performance.now() - from;
    await load.end();
    await load.readAll(node);
    return { tookMs, generation: whole!.generation };
  }

  it('an empty disk is filled again', async (test) => {
    const { tookMs, generation } = await harm(() => rmSync(dataDir(), { recursive: true }));
    assert.equal(generation, 1);
    assert.match(started.stdout, /disk-lost-rows/);
    test.diagnostic(
      `whole after ${Math.round(tookMs)} ms, ${load.reads} strict reads, ${load.failures} failed`,
    );
  });

  it('an older copy is found out', async (test) => {
    const copy = join(cluster.directory, 'copy');
    await cluster.kill(node, 'SIGTERM');
    cpSync(dataDir(), copy, { recursive: true });
    await cluster.restart(node);
    const { tookMs, generation } = await harm(() => {
      rmSync(dataDir(), { recursive: true });
      cpSync(copy, dataDir(), { recursive: true });
    });
    assert.equal(generation, 2);
    assert.match(started.stdout, /older copy/);
    test.diagnostic(`whole after ${Math.round(tookMs)} ms`);
  });

  it('a commit log that was cut short is found out by the node itself', async () => {
    const { generation } = await harm(() => {
      for (const log of rowFiles('.log')) truncateSync(log, 0);
    });
    assert.equal(generation, 3);
    assert.match(started.stdout, /were durable and are gone/);
  });

  it('a database that does not open is kept, and an empty one filled', async () => {
    const { generation } = await harm(() => writeFileSync(join(dataDir(), 'rows', 'CURRENT'), 'nonsense\n'));
    assert.equal(generation, 4);
    assert.match(started.stdout, /storage-set-aside/);
    const kept = readdirSync(dataDir()).filter((name) => name.startsWith('damaged-'));
    assert.equal(kept.length, 1);
    assert.ok(existsSync(join(dataDir(), kept[0]!, 'rows', 'CURRENT')));
  });

  it('flipped bytes in tables are never served', async (test) => {
    // A start writes the log as a table.
    await cluster.kill(node);
    await cluster.restart(node);
    let flipped = 0;
    const { tookMs } = await harm(() => {
      for (const table of rowFiles('.ldb')) {
        const bytes = readFileSync(table);
        for (let at = 500; at < bytes.length; at += 4096, flipped++) bytes[at]! ^= 0x10;
        writeFileSync(table, bytes);
      }
    });
    assert.ok(flipped > 10, `${flipped} bytes flipped`);
    test.diagnostic(`${flipped} bytes flipped, whole after ${Math.round(tookMs)} ms`);
  });

  it('after all of it, the node alone holds every row', async () => {
    for (const index of [0, 1, node]) await cluster.kill(index, 'SIGTERM');
    await cluster.restart(node, ['--policy', 'PA/EL']);
    await load.readAll(node);
  });
});
