/** `dure dev` as a user meets it: starting, stopping, mistakes, and what dies. */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { parse } from 'yaml';
import { TestCluster } from '../support/cluster.ts';
import { freePortBase } from '../support/ports.ts';
import { DURE, isAlive, run } from '../support/process.ts';
import { until } from '../support/wait.ts';

/** Runs commands on a node, through a connection of their own. */
async function withClient<T>(port: number, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ host: '127.0.0.1', port });
  client.on('error', () => {});
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

describe('dure dev', { timeout: 120_000 }, () => {
  const ends: (() => unknown)[] = [];
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  async function cluster(nodes: number, flags: readonly string[] = []): Promise<TestCluster> {
    const started = await TestCluster.start({ nodes, flags });
    ends.push(() => started.close());
    return started;
  }

  it('writes down what runs, and how to start each node alone', async () => {
    process.env.DURE_STORAGE_DURABILITY = 'always';
    ends.push(() => delete process.env.DURE_STORAGE_DURABILITY);
    const { dev, ...rest } = await cluster(3, ['--policy', 'PC/EC', '--storage-cache-bytes', '8MiB']);
    delete process.env.DURE_STORAGE_DURABILITY;
    assert.match(dev.stdout, /3 nodes, N=3 R=2 W=2 strict/);
    const { port, directory } = rest;
    assert.match(dev.stdout, new RegExp(`Look: +npx dure status --data-dir ${directory}$`, 'm'));
    const file = JSON.parse(readFileSync(join(directory, 'cluster.json'), 'utf8'));
    assert.deepEqual(Object.keys(file), ['nodes']);
    assert.equal(file.nodes.length, 3);
    file.nodes.forEach((node: Record<string, unknown>, i: number) => {
      assert.deepEqual(Object.keys(node), [
        'id',
        'pid',
        'respPort',
        'peerPort',
        'httpPort',
        'config',
        'argv',
      ]);
      assert.equal(node.id, `n${i + 1}`);
      assert.deepEqual(
        [node.respPort, node.peerPort, node.httpPort],
        [port + i, port + 1000 + i, port + 2000 + i],
      );
      assert.ok(isAlive(node.pid as number));
      assert.ok(dev.stdout.includes(`127.0.0.1:${port + i}`));
      const config = parse(readFileSync(node.config as string, 'utf8'));
      assert.equal(config.nodeId, node.id);
      assert.equal(config.policy, 'PC/EC');
      assert.equal(config.storage.cacheBytes, '8MiB');
      assert.equal(config.storage.durability, 'always', 'from the environment');
      assert.deepEqual((node.argv as string[]).slice(-3), ['start', '--config', node.config]);
    });
  });

  it('keeps the data over a stop, and leaves no process behind', async () => {
    const one = await cluster(2);
    const pids = one.file().nodes.map(({ pid }) => pid);
    await withClient(one.respPort(0), (client) => client.set('stay', 'here'));
    const { code, stdout } = await one.dev.end('SIGINT');
    assert.equal(code, 0);
    assert.match(stdout, /Stopped\. The data stays in/);
    assert.deepEqual(pids.filter(isAlive), []);
    assert.equal(existsSync(join(one.directory, 'lock')), false);
    await one.startAgain();
    assert.equal(await withClient(one.respPort(1), (client) => client.get('stay')), 'here');
  });

  it('refuses a data directory in use, and ports in use', async () => {
    const one = await cluster(2);
    const dev = (words: readonly string[]) => run([...DURE, 'dev', ...words]);
    const base = String(await freePortBase(3));
    const second = await dev(['--nodes', '2', '--port', base, '--data-dir', one.directory]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /in use by process \d+.*A cluster runs there already/);
    const elsewhere = mkdtempSync(join(tmpdir(), 'dure-test-'));
    ends.push(() => rmSync(elsewhere, { recursive: true }));
    const busy = await dev(['--nodes', '1', '--port', String(one.port), '--data-dir', elsewhere]);
    assert.equal(busy.code, 1);
    assert.match(busy.stderr, new RegExp(`in use by other programs: ports ${one.port}, .*--port`));
    assert.equal(existsSync(join(elsewhere, 'n1')), false, 'nothing was written');
  });

  it('tells all mistakes on its command line at once, with exit code 2', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'dure-test-'));
    ends.push(() => rmSync(directory, { recursive: true }));
    const words = ['--nodes', 'three', '--policy', 'PC/XX', '--storage-engin', 'memory', '--replicas', '0'];
    const { code, stderr } = await run([...DURE, 'dev', '--data-dir', join(directory, 'd'), ...words]);
    assert.equal(code, 2);
    assert.match(stderr, /4 problems in the configuration; nothing was started/);
    for (const problem of [
      /--nodes: expected/,
      /--policy .*PC\/XX/,
      /--storage-engin: unknown flag/,
      /--replicas/,
    ]) {
      assert.match(stderr, problem);
    }
    assert.equal(existsSync(join(directory, 'd')), false);
  });

  it('goes on when a node dies, says how to start it again, and that works', async () => {
    const one = await cluster(3);
    await withClient(one.respPort(0), (client) => client.set('before', '1'));
    await one.kill(1);
    await one.dev.says(/n2 \(process \d+\) was ended by SIGKILL\. 2 of 3 nodes go on/);
    const command = /To start it again:\n {2}(.+)\n/.exec(one.dev.stderr)?.[1];
    assert.equal(command, one.node(1).argv.join(' '));
    await withClient(one.respPort(2), (client) => client.set('during', '2'));
    await one.restart(1);
    await withClient(one.respPort(1), async (client) => {
      assert.deepEqual(await client.mget('before', 'during'), ['1', '2']);
    });
  });

  it('takes its nodes with it, even when it is killed', async () => {
    const one = await cluster(3);
    const pids = one.file().nodes.map(({ pid }) => pid);
    await withClient(one.respPort(0), (client) => client.set('kept', '1'));
    await one.dev.end('SIGKILL');
    await until(() => pids.every((pid) => !isAlive(pid)), 'the nodes have ended', 15_000);
    await one.startAgain();
    // And at once after it: what is still ending is waited for.
    await one.dev.end('SIGKILL');
    await one.startAgain();
    assert.equal(await withClient(one.respPort(0), (client) => client.get('kept')), '1');
  });

  it('asks for the password where one is set', async () => {
    const one = await cluster(1, ['--password', 'sesame']);
    const plain = await run(['redis-cli', '-p', String(one.port), 'GET', 'a']).catch(() => undefined);
    if (plain !== undefined) assert.match(plain.stdout, /NOAUTH/);
    const client = new Redis({ host: '127.0.0.1', port: one.port, password: 'sesame' });
    assert.equal(await client.set('a', '1'), 'OK');
    client.disconnect();
  });

  it('a node tells which of its ports is taken', async () => {
    const base = await freePortBase(1);
    const thief = createServer().listen(base + 1000, '127.0.0.1');
    ends.push(() => thief.close());
    await until(() => thief.listening, 'the port is taken');
    const directory = mkdtempSync(join(tmpdir(), 'dure-test-'));
    ends.push(() => rmSync(directory, { recursive: true }));
    const { code, stderr } = await run([
      ...DURE,
      'start',
      '--data-dir',
      directory,
      '--ports-resp',
      String(base),
      '--storage-engine',
      'memory',
    ]);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`peerPort 127.0.0.1:${base + 1000} is in use by another program`));
  });
});
