/** `dure start`: configurations, the data directory it belongs to, and storage that lost something. */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { freePortBase } from '../support/ports.ts';
import { DURE, run, Started } from '../support/process.ts';

describe('dure start', { timeout: 120_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-test-'));
  const running: Started[] = [];
  let names = 0;
  after(async () => {
    for (const started of running) await started.end('SIGKILL');
    rmSync(directory, { recursive: true, maxRetries: 3 });
  });

  /** A configuration file of one node with data of its own. */
  async function config(
    more = '',
    dataDir = `data${names}`,
  ): Promise<{ path: string; port: number; data: string }> {
    const port = await freePortBase(1);
    const path = join(directory, `${names++}.yaml`);
    writeFileSync(path, `dataDir: ${dataDir}\nports: {resp: ${port}}\nlog: {format: json}\n${more}`);
    return { path, port, data: join(directory, dataDir) };
  }

  async function start(path: string, ...flags: string[]): Promise<Started> {
    const started = new Started([...DURE, 'start', '--config', path, ...flags]);
    running.push(started);
    await started.says(/node-ready/, 60_000);
    return started;
  }

  async function withClient<T>(port: number, use: (client: Redis) => Promise<T>): Promise<T> {
    const client = new Redis({ host: '127.0.0.1', port });
    try {
      return await use(client);
    } finally {
      client.disconnect();
    }
  }

  it('tells every problem of a bad configuration and exits with 2, nothing started', async () => {
    const { path, data } = await config('storage: {engine: rocks}\nreplicas: 0\nclusterNam: x\n');
    for (const command of [['start'], ['config', 'check']]) {
      const { code, stderr } = await run([
        ...DURE,
        ...command,
        '-c',
        path,
        '--limits-clients-max',
        'all',
        '--bogus',
      ]);
      assert.equal(code, 2);
      for (const problem of [
        /5 problems in the configuration; nothing was started/,
        /yaml:4 storage.engine: expected one of classic-level, memory; found "rocks"/,
        /yaml:5 replicas: expected a whole number from 1 to 15; found 0/,
        /clusterNam: unknown key "clusterNam"; did you mean "clusterName"\?/,
        /--limits-clients-max \(limits.clientsMax\): expected a whole number/,
        /--bogus: unknown flag/,
      ]) {
        assert.match(stderr, problem);
      }
    }
    assert.equal(existsSync(data), false);
  });

  it('opens the port of the peers when the code of its doors is loaded, not before', async () => {
    const { path, port } = await config();
    const hook = join(directory, 'order.mjs');
    writeFileSync(
      hook,
      `import { registerHooks } from 'node:module';
      import { Server } from 'node:net';
      const { listen } = Server.prototype;
      Server.prototype.listen = function (...given) {
        console.error('listens', given[0]?.port ?? given[0]);
        return listen.apply(this, given);
      };
      registerHooks({
        load(url, context, next) {
          if (/\\/(doors|http-server)\\.ts$/.test(url)) console.error('loads', url.split('/').at(-1));
          return next(url, context);
        },
      });`,
    );
    const [node, cli] = DURE;
    const started = new Started([node!, '--import', hook, cli!, 'start', '--config', path]);
    running.push(started);
    await started.says(/node-ready/, 60_000);
    const order = [...started.stderr.matchAll(/^(?:loads|listens) .*$/gm)].map(([line]) => line);
    assert.deepEqual(order.slice(0, 3).sort(), [
      `listens ${port + 1000}`,
      'loads doors.ts',
      'loads http-server.ts',
    ]);
    assert.equal(order[2], `listens ${port + 1000}`);
  });

  it('a mistake on the command line names the help that helps', async () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ['polcy', /Did you mean policy.*\n\(dure --help lists the commands\)/],
      ['status --foo', /unknown option '--foo'\n\(dure status --help tells more\)/],
      ['policy set cart:', /missing required argument 'words'\n\(dure policy set --help tells more\)/],
    ];
    for (const [words, complaint] of cases) {
      const { code, stderr } = await run([...DURE, ...words.split(' ')]);
      assert.equal(code, 2, words);
      assert.match(stderr, complaint);
    }
  });

  it('config check says when all is well', async () => {
    const { path } = await config();
    const { code, stdout } = await run([...DURE, 'config', 'check', '--config', path]);
    assert.equal(code, 0);
    assert.match(stdout, /The configuration is good: node n1 of cluster dure, 1 member/);
  });

  it('runs one node alone, by file, variable and flag, and stops at SIGTERM', async () => {
    const { path, port } = await config();
    const started = new Started([...DURE, 'start', '--limits-pair-bytes-max', '200'], {
      env: { DURE_CONFIG: path, DURE_STORAGE_ENGINE: 'memory' },
    });
    running.push(started);
    await started.says(/node-ready/, 60_000);
    await withClient(port, async (client) => {
      assert.match(await client.info('server'), /redis_version/);
      assert.deepEqual(await client.config('GET', 'dure-storage-engine'), ['dure-storage-engine', 'memory']);
      await assert.rejects(client.set('k', 'x'.repeat(300)), /200/);
      assert.equal(await client.config('SET', 'maxclients', '77'), 'OK');
      assert.deepEqual(await client.config('GET', 'maxclients'), ['maxclients', '77']);
    });
    const { code } = await started.end('SIGTERM');
    assert.equal(code, 0);
  });

  it('does not share a data directory, and takes over from a process that was killed', async () => {
    const one = await config('', 'shared');
    const other = await config('', 'shared');
    const first = await start(one.path);
    const { code, stderr } = await run([...DURE, 'start', '--config', other.path]);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`in use by process ${first.pid}`));
    await first.end('SIGKILL');
    await start(other.path);
  });

  it('does not open the data of another node, cluster or ring', async () => {
    const one = await config('', 'identity');
    await (await start(one.path)).end();
    const other = await config('nodeId: n2\nclusterName: other\npartitions: 64\n', 'identity');
    const { code, stderr } = await run([...DURE, 'start', '--config', other.path]);
    assert.equal(code, 1);
    assert.match(stderr, /nodeId was "n1" and is now "n2"/);
    assert.match(stderr, /clusterName was "dure" and is now "other"/);
    assert.match(stderr, /partitions was 1024 and is now 64/);
  });

  it('waits to be taken in, and ends at once when it is told to', async () => {
    const { path } = await config('join: http://127.0.0.1:1\n', 'joining');
    const joining = new Started([...DURE, 'start', '--config', path]);
    await joining.says(/nothing listens there.*"joining"/);
    assert.equal((await joining.end()).code, 0);
  });

  it('refuses with exit code 3 when storage lost what it had promised, until that is accepted', async () => {
    const { path, port, data } = await config('storage: {durability: always}\n', 'lossy');
    const first = await start(path);
    await withClient(port, async (client) => {
      for (let i = 0; i < 20; i++) await client.set(`k${i}`, 'v');
    });
    await first.end('SIGKILL');
    const rows = join(data, 'rows');
    const logs = readdirSync(rows).filter((name) => name.endsWith('.log'));
    assert.ok(logs.length > 0);
    for (const name of logs) writeFileSync(join(rows, name), '');
    for (let attempt = 0; attempt < 2; attempt++) {
      const { code, stderr } = await run([...DURE, 'start', '--config', path]);
      assert.equal(code, 3, stderr);
      assert.match(stderr, /has lost data it had promised to keep/);
      assert.match(stderr, /--accept-storage-loss/);
    }
    await (await start(path, '--accept-storage-loss')).end();
    await start(path);
    await withClient(port, async (client) => {
      assert.equal(await client.get('k1'), null);
      assert.equal(await client.set('k1', 'again'), 'OK');
    });
  });
});
