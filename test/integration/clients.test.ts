/** Clients that are not ours, unmodified, on a cluster of real processes. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Cluster, Redis } from 'ioredis';
import { createClient, createCluster } from 'redis';
import { TestCluster } from '../support/cluster.ts';
import { run } from '../support/process.ts';
import { pythonWithRedis, skipWithout } from '../support/tools.ts';
import { until } from '../support/wait.ts';

describe('clients', { timeout: 120_000 }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.start();
  });
  after(() => cluster.close());

  const cli = async (words: readonly string[], input?: string): Promise<string> => {
    const finished = await run(['redis-cli', ...words], input === undefined ? {} : { input });
    assert.equal(finished.code, 0, finished.stderr);
    return finished.stdout.trimEnd();
  };
  const port = (index: number): string => String(cluster.respPort(index));

  it('redis-cli: SET on one node, GET on another', { skip: skipWithout('redis-cli') }, async () => {
    assert.equal(await cli(['-p', port(0), 'SET', 'a', '1']), 'OK');
    assert.equal(await cli(['-p', port(2), 'GET', 'a']), '1');
    assert.equal(await cli(['-p', port(1), 'GET', 'absent']), '');
  });

  it('redis-cli -c and -3, and commands from standard input', {
    skip: skipWithout('redis-cli'),
  }, async () => {
    const keys = Array.from({ length: 20 }, (_, i) => `cli:${i}`);
    const sets = keys.map((key, i) => `SET ${key} ${i}\n`).join('');
    assert.equal(await cli(['-c', '-p', port(0)], sets), keys.map(() => 'OK').join('\n'));
    const gets = keys.map((key) => `GET ${key}\n`).join('');
    assert.equal(await cli(['-c', '-3', '-p', port(1)], gets), keys.map((_, i) => String(i)).join('\n'));
    assert.match(await cli(['-3', '-p', port(1), 'HELLO', '3']), /proto\s+3/i);
    const all = await cli(['-p', port(2), '--scan', '--pattern', 'cli:*']);
    assert.deepEqual(all.split('\n').sort(), [...keys].sort());
  });

  it('ioredis, plain', async () => {
    const clients = [0, 1, 2].map((i) => new Redis({ port: cluster.respPort(i), host: '127.0.0.1' }));
    try {
      const [first, second, third] = clients as [Redis, Redis, Redis];
      assert.equal(await first.set('io:a', 'x'), 'OK');
      assert.equal(await third.get('io:a'), 'x');
      const bytes = Buffer.from([0, 1, 255, 13, 10]);
      await second.set('io:bytes', bytes);
      assert.deepEqual(await first.getBuffer('io:bytes'), bytes);
      const pipeline = first.pipeline();
      for (let i = 0; i < 100; i++) pipeline.incr('io:count');
      const replies = await pipeline.exec();
      assert.deepEqual(
        replies!.map(([, reply]) => reply),
        Array.from({ length: 100 }, (_, i) => i + 1),
      );
      assert.deepEqual(await second.mget('io:a', 'io:none', 'io:count'), ['x', null, '100']);
      await first.set('io:short', 'y', 'PX', 50);
      await until(async () => (await third.get('io:short')) === null, 'the key expires');
      assert.equal(await third.del('io:a', 'io:none'), 1);
      assert.equal(await first.get('io:a'), null);
      await assert.rejects(first.call('NOSUCH', 'x'), /unknown command/);
    } finally {
      for (const client of clients) client.disconnect();
    }
  });

  it('ioredis Cluster', async () => {
    const client = new Cluster([{ host: '127.0.0.1', port: cluster.respPort(1) }]);
    try {
      const keys = Array.from({ length: 200 }, (_, i) => `ioc:${i}`);
      await Promise.all(keys.map((key, i) => client.set(key, i)));
      const values = await Promise.all(keys.map((key) => client.get(key)));
      assert.deepEqual(
        values,
        keys.map((_, i) => String(i)),
      );
      assert.equal(client.nodes('all').length, 3);
    } finally {
      client.disconnect();
    }
  });

  it('node-redis, plain', async () => {
    const client = createClient({ url: `redis://127.0.0.1:${cluster.respPort(0)}` });
    const other = createClient({ url: `redis://127.0.0.1:${cluster.respPort(2)}` });
    await Promise.all([client.connect(), other.connect()]);
    try {
      assert.equal(await client.set('nr:a', 'x', { EX: 100 }), 'OK');
      assert.equal(await other.get('nr:a'), 'x');
      const left = await other.ttl('nr:a');
      assert.ok(left > 95 && left <= 100);
      await client.mSet({ 'nr:b': '1', 'nr:c': '2' });
      assert.deepEqual(await other.mGet(['nr:b', 'nr:c', 'nr:d']), ['1', '2', null]);
      const found: string[] = [];
      for await (const keys of client.scanIterator({ MATCH: 'nr:*' })) found.push(...keys);
      assert.deepEqual(found.sort(), ['nr:a', 'nr:b', 'nr:c']);
    } finally {
      client.destroy();
      other.destroy();
    }
  });

  it('node-redis cluster', async () => {
    const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${cluster.respPort(2)}` }] });
    await client.connect();
    try {
      const keys = Array.from({ length: 200 }, (_, i) => `nrc:${i}`);
      await Promise.all(keys.map((key, i) => client.set(key, String(i))));
      const values = await Promise.all(keys.map((key) => client.get(key)));
      assert.deepEqual(
        values,
        keys.map((_, i) => String(i)),
      );
      assert.equal(client.masters.length, 3);
    } finally {
      client.destroy();
    }
  });

  const python = pythonWithRedis();
  it('python3-redis', {
    skip: python ? false : 'SKIPPED: python3-redis is not installed (node scripts/ensure-tools.ts)',
  }, async () => {
    const program = `
import redis, sys
a = redis.Redis(port=int(sys.argv[1])); b = redis.Redis(port=int(sys.argv[2]))
assert a.set("py:a", b"\\x00\\xff") is True
assert b.get("py:a") == b"\\x00\\xff"
pipe = a.pipeline(transaction=False)
for i in range(50): pipe.incr("py:n")
assert pipe.execute() == list(range(1, 51))
assert b.mget("py:a", "py:none") == [b"\\x00\\xff", None]
assert sorted(b.scan_iter("py:*")) == [b"py:a", b"py:n"]
assert b.info()["redis_mode"] == "cluster"
c = redis.RedisCluster(host="127.0.0.1", port=int(sys.argv[1]))
for i in range(50): c.set("pyc:%d" % i, i)
assert [int(c.get("pyc:%d" % i)) for i in range(50)] == list(range(50))
print("good")
`;
    const { stdout, stderr } = await run([python!, '-c', program, port(0), port(2)]);
    assert.equal(stdout.trim(), 'good', stderr);
  });

  for (const flags of [[], ['--cluster']]) {
    const name = ['redis-benchmark', ...flags].join(' ');
    it(name, { skip: skipWithout('redis-benchmark') }, async () => {
      const words = [
        '-p',
        port(0),
        '-t',
        'ping,set,get,incr,mset',
        '-n',
        '2000',
        '-c',
        '20',
        '-P',
        '4',
        '--csv',
      ];
      const { code, stdout, stderr } = await run(['redis-benchmark', ...words, ...flags]);
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stdout + stderr, /error/i);
      for (const test of ['SET', 'GET', 'INCR', 'MSET']) assert.match(stdout, new RegExp(`"${test}`));
    });
  }

  it('tells its health and its figures over HTTP', async () => {
    const base = `http://127.0.0.1:${cluster.node(1).httpPort}`;
    const ready = (await (await fetch(`${base}/health/ready`)).json()) as { ready: boolean };
    assert.equal(ready.ready, true);
    assert.match(await (await fetch(`${base}/metrics`)).text(), /^dure_writes_total/m);
  });
});
