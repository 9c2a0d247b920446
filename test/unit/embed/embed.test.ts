/** A node in the process of an application: alone, three in one process, with doors, and when things fail. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { connect } from '../../../client/index.ts';
import {
  bytesCodec,
  createNode,
  type EmbeddedNode,
  type GetOptions,
  textCodec,
} from '../../../embed/index.ts';
import type { TopologyAnswer } from '../../../src/http/api/topology-json.ts';
import { failure } from '../../support/failure.ts';
import { freePortBase } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';

/** Nodes of one cluster in this process, linked. */
async function withCluster(
  count: number,
  options: Partial<Parameters<typeof createNode>[0]>,
  run: (nodes: EmbeddedNode<unknown>[], base: number) => Promise<void>,
): Promise<void> {
  const base = await freePortBase(count);
  const members = Array.from({ length: count }, (_, i) => ({ id: `m${i + 1}`, peerPort: base + 1000 + i }));
  // Side by side: each waits a second for members that it cannot reach.
  const nodes = await Promise.all(
    members.map(({ id }) =>
      createNode({ nodeId: id, clusterName: 'embedded', members, memory: true, ...options }),
    ),
  );
  try {
    for (const node of nodes) assert.equal(await node.linked(), true);
    await run(nodes, base);
  } finally {
    await Promise.all(nodes.map((node) => node.close({ graceMs: 0 })));
  }
}

test('a node alone in memory: values, spaces, TTL, update, batch, scan, peek; closed, it refuses', async () => {
  const node = await createNode<{ name: string }>({ nodeId: 'solo', memory: true });
  try {
    assert.equal(await node.get('user:1'), undefined);
    await node.put('user:1', { name: 'Kim' });
    assert.deepEqual(await node.get('user:1'), { name: 'Kim' });
    assert.deepEqual(node.peek('user:1'), { value: { name: 'Kim' } });
    assert.deepEqual(node.peek('user:2'), { value: undefined });
    await node.update('user:1', (user) => ({ name: `${user?.name} Min` }));
    assert.deepEqual(await node.get('user:1'), { name: 'Kim Min' });

    const texts = node.space<string>('ключ:', { codec: textCodec, ttlMs: 60_000 });
    await texts.put('é', 'lasting');
    assert.equal(await texts.get('é'), 'lasting');
    assert.deepEqual(texts.peek('é'), { value: 'lasting' });
    const found: string[] = [];
    for await (const key of texts.scan()) found.push(key);
    assert.deepEqual(found, ['é']);
    await texts.put('é', 'short-lived', { ttlMs: 20 });
    await until(async () => (await texts.get('é')) === undefined, 'it expires');

    const bytes = node.space<Uint8Array>('b:', { codec: bytesCodec });
    const results = await bytes.batch([
      { put: '1', value: new Uint8Array([1, 2]) },
      { put: '2', value: new Uint8Array([3]), ttlMs: 60_000 },
    ]);
    assert.ok(results.every(({ ok }) => ok));
    assert.deepEqual(await bytes.get('1'), new Uint8Array([1, 2]));
    await bytes.delete('1');
    assert.equal(await bytes.get('1'), undefined);

    const { verdict, reasons } = node.status();
    assert.equal(verdict, 'degraded');
    assert.deepEqual(
      reasons.map(({ code }) => code),
      ['copies-few'],
    );
    assert.equal(node.members().length, 1);
  } finally {
    await node.close();
  }
  const error = await failure(node.put('user:1', { name: 'late' }));
  assert.deepEqual([error.code, error.outcome], ['closed', 'fail']);
  assert.throws(() => node.peek('user:1'), { code: 'closed' });
});

test('three nodes in one process share keys; own replicas are read without a frame', async () => {
  await withCluster(3, { policy: 'PA/EL' }, async (nodes) => {
    const [one, two, three] = nodes as [EmbeddedNode<unknown>, EmbeddedNode<unknown>, EmbeddedNode<unknown>];
    const keys = Array.from({ length: 50 }, (_, i) => `key:${i}`);
    await Promise.all(keys.map((key, i) => one.put(key, i, { consistency: { r: 1, w: 3 } })));
    for (const [i, key] of keys.entries()) {
      assert.equal(two.holds(key), true, 'N=3 of 3');
      assert.equal(await two.get(key), i);
      assert.equal(await three.get(key), i);
      assert.deepEqual(three.peek(key), { value: i });
    }
    const before = two.metrics();
    const messages = two.figures().reads;
    for (let round = 0; round < 100; round++) {
      for (const key of keys) await two.get(key);
    }
    const after = two.metrics();
    assert.equal(after.localReads - before.localReads, 5000);
    assert.equal(after.requests, before.requests, 'no request was made');
    assert.equal(two.figures().reads - messages, 5000, 'the node counted them as reads');
  });
});

test('reading own replicas sends nothing, over many turns; with R=2 each read sends a message', async () => {
  // Hardly anything else is said meanwhile: no heartbeats, no comparing of replicas.
  const limits = { heartbeatIntervalMs: 20_000, silenceMaxMs: 60_000, repairIntervalMs: '1h' };
  await withCluster(2, { policy: 'PA/EL', replicas: 2, limits }, async ([one, two]) => {
    await one!.put('k', 'v', { consistency: { r: 1, w: 2 } });
    await until(() => two!.peek('k')?.value === 'v', 'the row is here');
    const sent = async (reads: number, options: GetOptions<unknown>): Promise<number> => {
      const before = two!.figures().messagesSent;
      for (let i = 0; i < reads; i++) {
        assert.equal(await two!.get('k', options), 'v');
        await turn();
      }
      return two!.figures().messagesSent - before;
    };
    const { requests } = two!.metrics();
    const alone = await sent(2000, {});
    assert.equal(two!.metrics().requests, requests);
    assert.ok(alone < 20, `${alone} messages were sent`);
    // With a resolver all values are read, which is a request to the node, and no message either.
    const merging = await sent(200, { merge: ([value]) => value });
    assert.ok(merging < 20, `${merging} messages were sent`);
    assert.equal(two!.metrics().requests, requests + 200);
    const asking = await sent(200, { consistency: { r: 2, w: 1 } });
    assert.ok(asking >= 200, `${asking} messages were sent`);
  });
});

test('a loop of reads that are answered at once does not keep the node from its peers', async () => {
  await withCluster(2, { policy: 'PA/EL', replicas: 2 }, async ([one, two]) => {
    await one!.put('k', 'v', { consistency: { r: 1, w: 2 } });
    await until(() => two!.peek('k')?.value === 'v', 'the row is here');
    let isOver = false;
    setTimeout(() => {
      isOver = true;
    }, 50);
    let reads = 0;
    // Without giving way the timer would never come.
    while (!isOver && reads < 2_000_000) {
      assert.equal(await two!.get('k'), 'v');
      reads += 1;
    }
    assert.ok(isOver, `${reads} reads in a row`);
    assert.equal(two!.metrics().requests, 0);
  });
});

test('a key of other members is read through them, and a get says so', async () => {
  await withCluster(3, { policy: 'PA/EL', replicas: 1 }, async (nodes) => {
    const [one] = nodes;
    for (let i = 0; i < 60; i++) await one!.put(`key:${i}`, i);
    let foreign = 0;
    for (let i = 0; i < 60; i++) {
      const key = `key:${i}`;
      const holders = nodes.filter((node) => node.holds(key));
      assert.equal(holders.length, 1);
      for (const node of nodes) {
        assert.equal(await node.get(key), i);
        if (node.holds(key)) continue;
        foreign += 1;
        assert.equal(node.peek(key), undefined, 'it cannot tell');
      }
    }
    assert.equal(foreign, 120);
  });
});

test('siblings: written apart, read with their context, merged and replaced', async () => {
  const policies = [{ prefix: 'cart:', policy: 'PA/EC SIBLINGS SIBLINGS-READ=ERROR' }];
  await withCluster(3, { policies }, async ([one, two, three]) => {
    await one!.put('cart:1', ['milk']);
    await two!.put('cart:1', ['rice']);
    const versions = await three!.getVersions('cart:1');
    assert.deepEqual([...versions.values].sort(), [['milk'], ['rice']]);
    const refused = await failure(three!.get('cart:1'));
    assert.deepEqual([refused.code, refused.outcome], ['SIBLINGS', 'none']);
    const merge = (values: readonly unknown[]): unknown => (values as string[][]).flat().sort();
    assert.deepEqual(await three!.get('cart:1', { merge }), ['milk', 'rice']);
    assert.equal(three!.metrics().mergesWritten, 1);
    assert.deepEqual(await one!.get('cart:1'), ['milk', 'rice']);
    await two!.delete('cart:1');
    assert.equal(await one!.get('cart:1'), undefined);
  });
});

test('deadline, signal and consistency are those of the client, and errors say what became of the data', async () => {
  await withCluster(2, { replicas: 2, policy: 'PC/EC' }, async ([one, two]) => {
    await one!.put('k', 1);
    const late = await failure(one!.get('k', { deadlineMs: 0 }));
    assert.deepEqual([late.code, late.outcome], ['deadline-exceeded', 'none']);
    const aborted = await failure(one!.put('k', 2, { signal: AbortSignal.abort() }));
    assert.deepEqual([aborted.code, aborted.outcome], ['aborted', 'fail']);
    const abort = new AbortController();
    const write = failure(one!.put('k', 3, { signal: abort.signal }));
    abort.abort();
    assert.deepEqual([(await write).code, (await write).outcome], ['aborted', 'unknown']);
    const beyond = await failure(one!.put('k', 4, { consistency: { r: 1, w: 3 } }));
    assert.deepEqual([beyond.code, beyond.outcome], ['invalid', 'none']);
    assert.match(beyond.message, /1 to 2/);
    const large = await failure(one!.put('k', 'x'.repeat(20_000)));
    assert.deepEqual([large.code, large.outcome, large.retryable], ['pair-too-large', 'fail', false]);

    const members: { id: string; live: boolean }[] = [];
    one!.on('member', ({ id, live }) => members.push({ id, live }));
    await two!.close();
    await until(() => members.length > 0, 'the loss is told');
    assert.deepEqual(members[0], { id: 'm2', live: false });
    const alone = await failure(one!.put('k', 5, { deadlineMs: 300 }));
    assert.deepEqual([alone.code, alone.outcome, alone.retryable], ['quorum-unreachable', 'fail', true]);
    assert.ok(one!.metrics().retries > 0, 'it was tried again');
    assert.equal(one!.peek('k') !== undefined, true, 'the own replica still tells what it holds');
  });
});

test('a policy set at run time holds on all members', async () => {
  await withCluster(2, { replicas: 2 }, async ([one, two]) => {
    const { acknowledged, missed } = await one!.setPolicy('cart:', 'PA/EC SIBLINGS');
    assert.deepEqual([[...acknowledged].sort(), missed], [['m1', 'm2'], []]);
    await one!.put('cart:1', 'a');
    await two!.put('cart:1', 'b');
    assert.equal((await one!.getVersions('cart:1')).values.length, 2);
    const error = await failure(one!.setPolicy('cart:', 'W=9 R=1'));
    assert.equal(error.code, 'invalid');
  });
});

test('doors are opened where a port is given, and only there', async () => {
  const base = await freePortBase(3);
  const members = [
    { id: 'm1', peerPort: base + 1000, respPort: base, httpPort: base + 2000 },
    { id: 'm2', peerPort: base + 1001 },
    { id: 'm3', peerPort: base + 1002, respPort: base + 2, httpPort: base + 2002 },
  ];
  const [one, two, three] = await Promise.all([
    createNode({ nodeId: 'm1', members, memory: true }),
    createNode({ nodeId: 'm2', members, memory: true }),
    createNode({ nodeId: 'm3', members, memory: true }),
  ]);
  try {
    await two.linked();
    await two.put('greeting', 'hello');
    // The members with doors are shown for every slot.
    const client = await connect({ nodes: [`127.0.0.1:${base}`] });
    assert.equal(await client.get('greeting'), 'hello');
    await client.put('answer', 42);
    await client.close();
    assert.equal(await two.get('answer'), 42);
    for (const port of [base + 2000, base + 2002]) {
      assert.equal((await fetch(`http://127.0.0.1:${port}/health/ready`)).status, 200);
      assert.match(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), /dure_/);
    }
    await assert.rejects(dial(base + 1), /ECONNREFUSED/);
    await assert.rejects(dial(base + 2001), /ECONNREFUSED/);
  } finally {
    await Promise.all([one.close(), two.close(), three.close()]);
  }
  await assert.rejects(dial(base), /ECONNREFUSED/);
});

function dial(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}

test('options that cannot be used are told all at once, and nothing is started', async () => {
  const bad = { nodeId: 'n 1', memory: true, dataDir: '/x', polcy: 'PA/EC', callsMax: 0 } as never;
  const error = await failure(createNode(bad));
  assert.equal(error.code, 'invalid');
  assert.match(error.message, /either dataDir/);
  assert.match(error.message, /nodeId: expected/);
  assert.match(error.message, /unknown key "polcy"; did you mean "policy"/);
  assert.match(error.message, /callsMax/);
});

test('a disk: kept over close, its directory refused to a second node of the process', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'dure-embed-'));
  try {
    const options = { nodeId: 'd1', dataDir, storage: { durability: 'always' as const, cacheBytes: '1MiB' } };
    const first = await createNode<string>(options);
    await first.put('k', 'kept');
    const second = await failure(createNode(options));
    assert.equal(second.code, 'start-failed');
    assert.match(second.message, /in use by process/);
    await first.close();
    const again = await createNode<string>(options);
    assert.equal(await again.get('k'), 'kept');
    await again.close();
    const other = await failure(createNode({ ...options, nodeId: 'd2' }));
    assert.match(other.message, /nodeId was "d1"/);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});

test('a node joins the one that is there, shares its keys, and closes when it has left', async () => {
  const base = await freePortBase(2);
  const clusterName = 'growing';
  const first = await createNode({
    nodeId: 'm1',
    clusterName,
    memory: true,
    partitions: 64,
    ports: { peer: base + 1000, http: base + 2000 },
  });
  const second = await createNode({
    nodeId: 'm2',
    clusterName,
    memory: true,
    ports: { peer: base + 1001 },
    join: [`http://127.0.0.1:${base + 2000}`],
  }).catch(async (error: unknown) => {
    await first.close();
    throw error;
  });
  const asked = async (path: string, method = 'GET') =>
    (await (await fetch(`http://127.0.0.1:${base + 2000}${path}`, { method })).json()) as TopologyAnswer;
  try {
    let reason = '';
    second.on('closed', (event) => {
      reason = event.reason;
    });
    await first.put('greeting', 'hello');
    assert.equal(await second.get('greeting'), 'hello');
    await until(
      async () => {
        const { phase, members } = await asked('/v1/topology');
        return phase === 'steady' && members.length === 2;
      },
      'it has joined',
      20_000,
    );
    assert.equal(second.holds('greeting'), true);
    await second.put('answer', 42);
    assert.equal((await asked('/v1/nodes/m2/leave', 'POST')).change!.kind, 'leave');
    await until(() => reason !== '', 'it has left', 20_000);
    assert.equal(reason, 'it has left the cluster');
    assert.equal(await first.get('answer'), 42);
    assert.equal((await failure(second.get('answer'))).code, 'closed');
  } finally {
    await Promise.all([first.close(), second.close()]);
  }
});
