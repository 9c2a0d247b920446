/**
 * Growing and shrinking as an operator meets it: nodes that are started with `join`, that leave, that are started again
 * half-way or after they left; and `dure dev`, which does it all by a number. Real processes, with clients on them.
 */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { httpCall, wholeText } from '../../src/main/http-call.ts';
import { TestCluster } from '../support/cluster.ts';
import { LightLoad, plainRedis } from '../support/light-load.ts';
import { freePortBase } from '../support/ports.ts';
import { DURE, isAlive, run, Started } from '../support/process.ts';
import { steadyTopology, topologyAt } from '../support/topology-look.ts';
import { until } from '../support/wait.ts';

const changeMaxMs = 60_000;
/** Few partitions: comparing them takes most of the time of a change. Who joins is told how many there are. */
const flags: readonly string[] = ['--partitions', '128'];
const keysMost = 3000;
const keyOf = (i: number): string => `key:${i}`;

async function post(httpPort: number, path: string): Promise<{ status: number; text: string }> {
  const answer = await httpCall(`127.0.0.1:${httpPort}`, path, { method: 'POST', timeoutMs: 20_000 });
  return { status: answer.status, text: await wholeText(answer) };
}

async function withClient<T>(port: number, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = plainRedis(port);
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

async function fill(port: number): Promise<void> {
  await withClient(port, async (client) => {
    for (let from = 0; from < keysMost; from += 500) {
      const batch = client.pipeline();
      for (let i = from; i < from + 500; i++) batch.set(keyOf(i), `value ${i} ${'x'.repeat(100)}`);
      const answers = await batch.exec();
      assert.ok(answers!.every(([error]) => error === null));
    }
  });
}

/** All keys can be read through a node, with what was written last. */
async function checkAll(port: number, load?: LightLoad): Promise<void> {
  await withClient(port, async (client) => {
    const batch = client.pipeline();
    const wanted: string[] = [];
    for (let i = 0; i < keysMost; i++) {
      batch.get(keyOf(i));
      wanted.push(`value ${i} ${'x'.repeat(100)}`);
    }
    for (const [key, value] of load?.acknowledged ?? []) {
      batch.get(key);
      wanted.push(value);
    }
    const answers = await batch.exec();
    const wrong = answers!.filter(([error, value], i) => error !== null || value !== wanted[i]);
    assert.deepEqual(wrong.slice(0, 5), [], `${wrong.length} of ${wanted.length} keys at port ${port}`);
  });
}

describe('a cluster of processes', { timeout: 240_000 }, () => {
  const ends: (() => unknown)[] = [];
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  /** Three nodes that hold the keys, and the HTTP port of each. */
  async function filledThree(): Promise<{ cluster: TestCluster; port: number; http: number[] }> {
    const cluster = await TestCluster.start({ nodes: 3, flags });
    ends.push(() => cluster.close());
    const { port } = cluster;
    await fill(port);
    return { cluster, port, http: [0, 1, 2].map((i) => port + 2000 + i) };
  }

  /** A process of its own that joins, as an operator would start it. */
  function starter(base: number, number: number, through: number): (words?: readonly string[]) => Started {
    const data = mkdtempSync(join(tmpdir(), 'dure-grow-'));
    ends.push(() => rmSync(data, { recursive: true, force: true }));
    const own = {
      '--node-id': `n${number}`,
      '--data-dir': data,
      '--ports-resp': base + number - 1,
      '--ports-peer': base + 1000 + number - 1,
      '--ports-http': base + 2000 + number - 1,
      // Nobody listens at the first address: a seed that is gone for good.
      '--join': `http://127.0.0.1:${base + 3900},http://127.0.0.1:${through}`,
    };
    const flags = Object.entries(own).flatMap(([name, value]) => [name, String(value)]);
    return (words = []) => {
      const started = new Started([...DURE, 'start', ...flags, ...words]);
      ends.push(() => (started.ended ? undefined : started.end('SIGKILL')));
      return started;
    };
  }

  it('takes a node in through any member, serves through it at once, and lets it go again', async () => {
    const { cluster, port, http } = await filledThree();
    const load = new LightLoad([port, port + 1, port + 2]);
    ends.push(() => load.end());
    const start = starter(port, 4, http[2]!);
    const fourth = start();
    await fourth.says(/node-ready/);
    assert.match(fourth.stdout, /"epoch":2,"members":4,"event":"joined"/);
    // While it fetches it forwards what it does not hold.
    await checkAll(port + 3);
    const [grown] = await steadyTopology([...http, port + 2003], ['n1', 'n2', 'n3', 'n4']);
    assert.deepEqual(
      grown!.members.map(({ replicas }) => replicas),
      [96, 96, 96, 96],
    );
    await load.end();
    assert.deepEqual(load.failures.slice(0, 3), []);
    for (const at of [0, 1, 2, 3]) await checkAll(port + at, load);

    const second = new LightLoad([port, port + 1, port + 2]);
    ends.push(() => second.end());
    const asked = await post(http[1]!, '/v1/nodes/n4/leave');
    assert.equal(asked.status, 200, asked.text);
    const { code, stdout } = await fourth.finished(changeMaxMs);
    assert.equal(code, 0, stdout.slice(-2000));
    assert.match(stdout, /may be deleted.*node-left/);
    await steadyTopology(http, ['n1', 'n2', 'n3']);
    await second.end();
    assert.deepEqual(second.failures.slice(0, 3), []);
    assert.ok(second.operations > 20);
    for (const at of [0, 1, 2]) await checkAll(port + at, second);

    // It has no part in the cluster any more, and says so; its data stay.
    const late = await start().finished();
    assert.equal(late.code, 5, late.stderr);
    assert.match(late.stderr, /n4 is no member of cluster dure any more/);
    // What it did before it was told to stop is asked of every node alike.
    await cluster.stop();
    await cluster.startAgain();
    await steadyTopology(http, ['n1', 'n2', 'n3']);
    await checkAll(port + 1, second);
  });

  it('goes on with a node that was killed half-way and started again, and with a whole stop in the middle', async () => {
    const { cluster, port, http } = await filledThree();
    // Slow enough to be met in the middle.
    const start = starter(port, 4, http[0]!);
    const slow = ['--limits-move-bytes-per-second', '65536'];
    const first = start(slow);
    await until(async () => (await topologyAt(http[0]!)).phase === 'copy', 'it is being taken in', 20_000);
    await first.end('SIGKILL');
    const second = start(slow);
    await second.says(/node-ready/);
    await cluster.stop();
    await second.end();
    await cluster.startAgain();
    await checkAll(port);
    const third = start();
    await third.says(/node-ready/);
    await steadyTopology([...http, port + 2003], ['n1', 'n2', 'n3', 'n4']);
    for (const at of [0, 3]) await checkAll(port + at);
    await third.end();
  });

  it('goes on without a node that is removed, which ends when it is started again, or when it is up alone', async () => {
    const { cluster, port, http } = await filledThree();
    const start = starter(port, 4, http[0]!);
    const fourth = start();
    await fourth.says(/node-ready/);
    await steadyTopology([...http, port + 2003], ['n1', 'n2', 'n3', 'n4']);
    await cluster.kill(2);
    const asked = await post(http[0]!, '/v1/nodes/n3/remove');
    assert.equal(asked.status, 200, asked.text);
    await steadyTopology([http[0]!, http[1]!, port + 2003], ['n1', 'n2', 'n4']);
    await checkAll(port + 3);
    const { argv } = cluster.node(2);
    const { code, stderr } = await run([...argv, '--log-format', 'json'], { timeoutMs: 20_000 });
    assert.equal(code, 5, stderr);
    const alive = await post(http[0]!, '/v1/nodes/n4/remove');
    assert.equal(alive.status, 400, alive.text);
    // Its process only sleeps: nobody talks to it when it wakes up, and it finds out by itself.
    fourth.child.kill('SIGSTOP');
    ends.push(() => fourth.child.kill('SIGCONT'));
    const isHeard = async (): Promise<boolean> =>
      (await topologyAt(http[0]!)).members.some(({ id, live }) => id === 'n4' && live === true);
    await until(async () => !(await isHeard()), 'n4 is taken for dead', 20_000);
    const gone = await post(http[0]!, '/v1/nodes/n4/remove');
    assert.equal(gone.status, 200, gone.text);
    await steadyTopology([http[0]!, http[1]!], ['n1', 'n2']);
    fourth.child.kill('SIGCONT');
    const ended = await fourth.finished(30_000);
    assert.equal(ended.code, 5, ended.stdout.slice(-2000));
    assert.match(ended.stdout, /the others go on without this node.*node-removed/);
    await steadyTopology([http[0]!, http[1]!], ['n1', 'n2']);
    await checkAll(port + 1);
  });

  it('does not take in a twin, nor start a member at another address', async () => {
    const cluster = await TestCluster.start({ nodes: 1, flags });
    ends.push(() => cluster.close());
    const { port } = cluster;
    const twin = starter(await freePortBase(1), 1, port + 2000);
    const { code, stderr } = await twin().finished();
    assert.equal(code, 1);
    assert.match(stderr, /knows n1 at another address/);
    const second = starter(port, 2, port + 2000)();
    await second.says(/node-ready/);
    await steadyTopology([port + 2000, port + 2001], ['n1', 'n2']);
    assert.equal(await withClient(port + 1, (client) => client.set('a', '1')), 'OK');
    assert.equal(await withClient(port, (client) => client.get('a')), '1');
    await second.end();
  });
});

describe('dure dev', { timeout: 240_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-dev-grow-'));
  const running: Started[] = [];
  after(async () => {
    for (const each of running) if (!each.ended) await each.end('SIGINT');
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  });

  function dev(...words: readonly string[]): Started {
    const argv = [...DURE, 'dev', '--data-dir', directory, '--log-format', 'pretty', ...words];
    const started = new Started(argv);
    running.push(started);
    return started;
  }

  const nodesNoted = (): { id: string; pid: number; joined?: boolean }[] =>
    JSON.parse(readFileSync(join(directory, 'cluster.json'), 'utf8')).nodes;

  it('makes a cluster of three one of five, and of three again', async () => {
    const port = await freePortBase(6);
    const http = [0, 1, 2].map((i) => port + 2000 + i);
    const three = dev('--nodes', '3', '--port', String(port), ...flags);
    await three.says(/Stop: {2}Ctrl-C/, 60_000);
    await fill(port);
    await three.end('SIGINT');

    const five = dev('--nodes', '5', ...flags);
    await five.says(/5 members in 1 zone/, 2 * changeMaxMs);
    assert.match(five.stdout, /Next: {2}it grows to 5, while it is used/);
    assert.match(five.stdout, /n4 joins, at port[\s\S]*n5 joins, at port/);
    assert.deepEqual(
      nodesNoted().map(({ id, pid, joined }) => [id, isAlive(pid), joined === true]),
      [1, 2, 3, 4, 5].map((i) => [`n${i}`, true, i > 3]),
    );
    await steadyTopology([...http, port + 2003, port + 2004], ['n1', 'n2', 'n3', 'n4', 'n5']);
    await checkAll(port + 4);
    assert.equal((await five.end('SIGINT')).code, 0);

    // As it was, without a number; and only where it was.
    const elsewhere = await run([...DURE, 'dev', '--data-dir', directory, '--port', String(port + 100)]);
    assert.equal(elsewhere.code, 1);
    assert.match(elsewhere.stderr, /first node is at port \d+, and --port is \d+/);
    const again = dev(...flags);
    await again.says(/Stop: {2}Ctrl-C/, 60_000);
    assert.match(again.stdout, /5 nodes, N=3/);
    await checkAll(port + 3);
    await again.end('SIGINT');

    const smaller = dev('--nodes', '3', ...flags);
    await smaller.says(/n4 has left: its data directory was deleted/, 2 * changeMaxMs);
    await smaller.says(/3 members in 1 zone/);
    await steadyTopology(http, ['n1', 'n2', 'n3']);
    assert.deepEqual(
      nodesNoted().map(({ id }) => id),
      ['n1', 'n2', 'n3'],
    );
    assert.equal(existsSync(join(directory, 'n5')), false);
    await checkAll(port + 2);
    assert.equal((await smaller.end('SIGINT')).code, 0);
  });
});
