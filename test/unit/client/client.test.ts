/** The client against scripted nodes: routing, what is sent again and what is not, limits, siblings. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Client, type ConnectOptions, connect } from '../../../client/index.ts';
import { slotOfText } from '../../../client/topology.ts';
import { bytesOf } from '../../../src/base/bytes.ts';
import { ErrorReply } from '../../../src/resp/value.ts';
import { failure } from '../../support/failure.ts';
import { FakeNodes } from '../../support/fake-nodes.ts';
import { delay, until } from '../../support/wait.ts';

type Options = Partial<ConnectOptions<unknown>>;

async function withClient(
  count: number,
  options: Options,
  run: (client: Client<unknown>, nodes: FakeNodes) => Promise<void>,
  prepare: (nodes: FakeNodes) => void = () => {},
): Promise<void> {
  const nodes = await FakeNodes.start(count);
  prepare(nodes);
  let client: Client<unknown> | undefined;
  try {
    client = await connect({ nodes: nodes.addresses, ...options });
    const made = client;
    await until(() => made.metrics().connectionsMade >= count, 'all nodes are connected');
    await run(client, nodes);
  } finally {
    await client?.close({ graceMs: 0 });
    await nodes.close();
  }
}

test('each key goes to the node that the table names, and one turn is one write', async () => {
  await withClient(3, {}, async (client, nodes) => {
    const before = nodes.nodes.map(({ chunks }) => chunks);
    const keys = Array.from({ length: 60 }, (_, i) => `clé:${i}`);
    await Promise.all(keys.map((key, i) => client.put(key, i)));
    for (const { seen, index, chunks } of nodes.nodes) {
      const sets = seen.filter(([name]) => name === 'SET');
      assert.ok(sets.length > 5, 'every node got some');
      assert.ok(chunks - before[index]! <= 3, 'few writes for many requests');
    }
    for (const key of keys) {
      const { index } = nodes.nodes.find(({ seen }) =>
        seen.some(([name, word]) => name === 'SET' && Buffer.from(word!, 'latin1').toString() === key),
      )!;
      const { from, to } = nodes.slots[index]!;
      assert.ok(slotOfText(key) >= from && slotOfText(key) <= to);
    }
    assert.deepEqual(await Promise.all(keys.map((key) => client.get(key))), [...keys.keys()]);
    assert.equal(client.metrics().hopsSaved, 120);
    assert.equal(client.metrics().hopsTaken, 0);
  });
});

test('a refusal is tried on another node; the budget and the attempts end that', async () => {
  await withClient(2, { retryBudget: { reserve: 20, share: 0, attemptsMax: 3 } }, async (client, nodes) => {
    let refusals = 1;
    nodes.script = (words) =>
      words[0] === 'GET' && refusals-- > 0 ? new ErrorReply('TRYAGAIN', 'no quorum') : 'default';
    const retries: string[] = [];
    client.on('retry', ({ node, code }) => retries.push(`${code} ${node}`));
    assert.equal(await client.get('a'), undefined);
    const asked = nodes.nodes.map(({ seen }) => seen.filter(([name]) => name === 'GET').length);
    assert.deepEqual(asked, [1, 1]);
    assert.equal(retries.length, 1);

    refusals = Infinity;
    const error = await failure(client.put('a', 1).then(() => client.get('a')));
    assert.deepEqual([error.code, error.outcome, error.retryable], ['TRYAGAIN', 'none', true]);
    assert.match(error.message, /3 attempts/);

    await Promise.allSettled(Array.from({ length: 30 }, () => client.get('a')));
    assert.ok(client.metrics().retries <= 20, 'no more repetitions than the reserve');
    assert.ok(client.metrics().retriesRefused > 0);
  });
});

test('UNKNOWN is sent again only where that is allowed, and else says so', async () => {
  await withClient(2, {}, async (client, nodes) => {
    let unknowns = 1;
    nodes.script = (words) =>
      words[0] === 'SET' && unknowns-- > 0 ? new ErrorReply('UNKNOWN', 'half written') : 'default';
    await client.put('a', 1);
    assert.equal(nodes.count('SET'), 2);

    unknowns = 1;
    const error = await failure(client.put('a', 2, { repeat: false }));
    assert.deepEqual([error.code, error.outcome, error.retryable], ['UNKNOWN', 'unknown', false]);
    assert.equal(nodes.count('SET'), 3);

    // A later refusal does not make what was unknown known.
    let attempt = 0;
    nodes.script = (words) => {
      if (words[0] !== 'SET') return 'default';
      attempt += 1;
      return attempt === 1 ? new ErrorReply('UNKNOWN', 'half') : new ErrorReply('ERR', 'pair too large');
    };
    assert.equal((await failure(client.put('a', 3))).outcome, 'unknown');
  });
});

test('a connection lost after sending: reads and repeatable writes go on elsewhere', async () => {
  await withClient(2, {}, async (client, nodes) => {
    let closes = 0;
    nodes.script = (words) => {
      const dies = closes > 0 && ['GET', 'SET'].includes(words[0]!);
      if (dies) closes -= 1;
      return dies ? 'close' : 'default';
    };
    closes = 1;
    await client.put('a', 1);
    closes = 1;
    assert.equal(await client.get('a'), 1);
    await until(() => client.metrics().connectionsMade === 4, 'connected again');
    closes = 1;
    const error = await failure(client.put('a', 2, { repeat: false }));
    assert.deepEqual([error.code, error.outcome], ['connection-lost', 'unknown']);
  });
});

test('a node that is gone is routed around, without a failure, and found again', async () => {
  await withClient(3, {}, async (client, nodes) => {
    const lost: string[] = [];
    client.on('disconnected', ({ node }) => lost.push(node));
    const { port } = nodes.nodes[1]!;
    await nodes.nodes[1]!.close();
    await Promise.all(Array.from({ length: 50 }, (_, i) => client.put(`k${i}`, i)));
    assert.deepEqual(lost, [`127.0.0.1:${port}`]);
    await nodes.nodes[1]!.listen(port);
    await until(() => nodes.nodes[1]!.connections === 1, 'connected again');
    const before = nodes.nodes[1]!.seen.length;
    await until(async () => {
      await Promise.all(Array.from({ length: 50 }, (_, i) => client.get(`k${i}`)));
      return nodes.nodes[1]!.seen.slice(before).some(([name]) => name === 'GET');
    }, 'used again');
  });
});

test('without any node calls wait until one is back, or their deadline', async () => {
  await withClient(1, {}, async (client, nodes) => {
    const [node] = nodes.nodes;
    await node!.close();
    await until(() => client.metrics().connectionsLost === 1, 'the loss is noticed');
    const early = await failure(client.put('a', 1, { deadlineMs: 60 }));
    assert.deepEqual([early.code, early.outcome, early.retryable], ['unreachable', 'fail', true]);
    const waiting = client.put('a', 2);
    await node!.listen(node!.port);
    await waiting;
    assert.equal(await client.get('a'), 2);
  });
});

test('deadline and abort end a call at once, and the late reply harms no other', async () => {
  await withClient(1, {}, async (client, nodes) => {
    nodes.script = (words) => (words[1] === 'slow' ? { afterMs: 150 } : 'default');
    const startedAt = performance.now();
    const late = await failure(client.get('slow', { deadlineMs: 40 }));
    assert.deepEqual([late.code, late.outcome], ['deadline-exceeded', 'none']);
    assert.ok(performance.now() - startedAt < 140);

    const controller = new AbortController();
    const aborted = client.put('slow', 1, { signal: controller.signal });
    await delay(20);
    controller.abort(new Error('enough'));
    const error = await failure(aborted);
    assert.deepEqual([error.code, error.outcome], ['aborted', 'unknown']);
    assert.equal((error.cause as Error).message, 'enough');

    assert.equal((await failure(client.put('b', 1, { signal: controller.signal }))).outcome, 'fail');
    await client.put('c', 'right');
    assert.equal(await client.get('c'), 'right');
  });
});

test('a node that freezes is noticed, under way and idle', async () => {
  const options = { silenceMsMax: 150, pingIntervalMs: 100, retryBudget: { attemptsMax: 3 } };
  await withClient(2, options, async (client, nodes) => {
    await until(() => nodes.count('PING') > 1, 'pings when idle');
    let frozen = true;
    nodes.script = (_, node) => (frozen && node.index === 0 ? 'silence' : 'default');
    const key = Array.from({ length: 100 }, (_, i) => `k${i}`).find((k) => slotOfText(k) < 8192)!;
    await client.put(key, 1);
    assert.equal(await client.get(key), 1);
    frozen = false;
    await until(() => client.metrics().connectionsMade >= 3, 'dialled again');
  });
});

test('too many calls are refused early, and nothing is sent', async () => {
  await withClient(1, { callsMax: 8 }, async (client, nodes) => {
    nodes.script = (words) => (words[0] === 'SET' ? { afterMs: 30 } : 'default');
    const results = await Promise.allSettled(Array.from({ length: 12 }, (_, i) => client.put(`k${i}`, i)));
    const failed = results.filter((result) => result.status === 'rejected').map(({ reason }) => reason);
    assert.equal(failed.length, 4);
    for (const error of failed) {
      assert.deepEqual([error.code, error.outcome, error.retryable], ['overloaded', 'fail', true]);
    }
    assert.equal(nodes.count('SET'), 8);
  });
  await withClient(1, { inFlightMax: 4 }, async (client) => {
    const results = await Promise.allSettled(Array.from({ length: 6 }, (_, i) => client.get(`k${i}`)));
    assert.equal(results.filter(({ status }) => status === 'rejected').length, 2);
  });
});

test('siblings are merged and written back with the context, once', async () => {
  await withClient(2, {}, async (client, nodes) => {
    nodes.siblingKeys.add('cart:1');
    const carts = client.space<string[]>('cart:', { merge: (all) => [...new Set(all.flat())].sort() });
    await carts.put('1', ['milk']);
    await carts.put('1', ['bread']);
    assert.equal((await failure(client.get('cart:1'))).code, 'SIBLINGS');
    assert.equal((await carts.getVersions('1')).values.length, 2);
    assert.deepEqual(await carts.get('1'), ['bread', 'milk']);
    assert.equal(client.metrics().mergesWritten, 1);
    assert.deepEqual((await carts.getVersions('1')).values, [['bread', 'milk']]);
    assert.deepEqual(await carts.update('1', (cart = []) => [...cart, 'tea']), ['bread', 'milk', 'tea']);
    assert.deepEqual(await client.get('cart:1'), ['bread', 'milk', 'tea']);
  });
});

test('a failed write-back does not fail the read', async () => {
  await withClient(1, {}, async (client, nodes) => {
    nodes.siblingKeys.add('a');
    await client.put('a', [1]);
    await client.put('a', [2]);
    nodes.script = (words) => (words[0] === 'DURE.SET' ? new ErrorReply('OOM', 'full') : 'default');
    assert.deepEqual(await client.get('a', { merge: (all) => all.flat().sort() }), [1, 2]);
    assert.equal(client.metrics().mergesFailed, 1);
  });
});

test('consistency: on the connection, by space, by call', async () => {
  await withClient(1, { consistency: 'PC/EC' }, async (client, nodes) => {
    assert.deepEqual(nodes.nodes[0]!.seen[1], ['DURE.CONSISTENCY', 'PC/EC']);
    await client.space('s:', { consistency: { r: 1, w: 3, quorum: 'strict' } }).get('k');
    await client.put('k', 1, { consistency: 'PA/EL', ttlMs: 500 });
    const seen = nodes.nodes[0]!.seen.filter(([name]) => name === 'DURE.WITH');
    assert.deepEqual(seen, [
      ['DURE.WITH', 'R=1', 'W=3', 'STRICT', 'DO', 'GET', 's:k'],
      ['DURE.WITH', 'PA/EL', 'DO', 'SET', 'k', '1', 'PX', '500'],
    ]);
    assert.equal((await failure(client.get('k', { consistency: {} }))).code, 'invalid');
  });
});

test('a batch has a result a line, and a scan meets every key of the prefix', async () => {
  await withClient(2, {}, async (client, nodes) => {
    nodes.script = (words) => (words[1] === 'bad' ? new ErrorReply('ERR', 'no') : 'default');
    const results = await client.batch([{ put: 'a', value: 1 }, { get: 'bad' }, { delete: 'zz' }]);
    assert.deepEqual(
      results.map(({ ok }) => ok),
      [true, false, true],
    );
    assert.deepEqual(await client.batch([{ get: 'a' }]), [{ ok: true, value: 1 }]);
    const odd = client.space('s[*]:');
    for (let i = 0; i < 20; i++) await odd.put(String(i), i);
    const found: string[] = [];
    for await (const key of odd.scan({ prefix: '1', count: 3 })) found.push(key);
    assert.deepEqual(
      found.sort(),
      Array.from({ length: 20 }, (_, i) => String(i)).filter((key) => key.startsWith('1')),
    );
  });
});

test('the table is asked for again, and a change is told', async () => {
  await withClient(2, { topologyRefreshMs: 50 }, async (client, nodes) => {
    const told: (readonly string[])[] = [];
    client.on('topology', ({ nodes: serving }) => told.push(serving));
    nodes.slots = [{ from: 0, to: 16383, nodes: [1] }];
    await until(() => told.length === 1, 'the change is told');
    assert.deepEqual(told, [[nodes.nodes[1]!.address]]);
    await Promise.all(Array.from({ length: 30 }, (_, i) => client.put(`k${i}`, i)));
    assert.equal(nodes.nodes[0]!.seen.filter(([name]) => name === 'SET').length, 0);
  });
});

test('connecting fails with the reason', async () => {
  const unreachable = await failure(connect({ nodes: ['127.0.0.1:1'], deadlineMs: 80 }));
  assert.equal(unreachable.code, 'unreachable');
  assert.match(
    unreachable.message,
    /\(127\.0\.0\.1:1: connect ECONNREFUSED\); are the nodes up, .*Redis ports\?$/,
  );
  for (const bad of [{ nodes: [] }, { nodes: ['here'] }, { nodes: ['h:1'], deadlineMs: 0 }]) {
    assert.equal((await failure(connect(bad))).code, 'invalid');
  }
  const nodes = await FakeNodes.start(1);
  nodes.script = (words) => (words.includes('AUTH') ? new ErrorReply('WRONGPASS', 'no') : 'default');
  try {
    assert.equal((await failure(connect({ nodes: nodes.addresses, password: 'x' }))).code, 'WRONGPASS');
  } finally {
    await nodes.close();
  }
});

test('close lets calls end, and refuses new ones; bytes that are no RESP close the connection', async () => {
  await withClient(1, {}, async (client, nodes) => {
    nodes.script = (words) => (words[0] === 'SET' ? { afterMs: 60 } : 'default');
    const last = client.put('a', 1);
    await Promise.all([last, client.close()]);
    assert.equal((await failure(client.get('a'))).code, 'closed');
    await until(() => nodes.nodes[0]!.connections === 0, 'no connection is left');
  });
  await withClient(1, {}, async (client) => {
    const codec = { encode: () => bytesOf('{'), decode: (): number => assert.fail('never') };
    await client.space('c:', { codec }).put('a', 1);
    assert.equal((await failure(client.get('c:a'))).code, 'codec');
  });
});
