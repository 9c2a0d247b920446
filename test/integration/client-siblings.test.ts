/** Siblings and the consistency of single requests through the client, on real processes. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { type Client, connect, type Space } from '../../client/index.ts';
import { TestCluster } from '../support/cluster.ts';
import { failure } from '../support/failure.ts';
import { until } from '../support/wait.ts';

const siblingsMax = 8;
const policies = [
  { prefix: 'set:', policy: 'PA/EC SIBLINGS' },
  { prefix: 'one:', policy: 'PA/EC SIBLINGS SIBLINGS-READ=ERROR' },
];

/** Merges sets: idempotent, so that a repeated write does no harm. */
const union = (sets: readonly string[][]): string[] => [...new Set(sets.flat())].sort();

describe('siblings through the client', { timeout: 120_000 }, () => {
  let cluster: TestCluster;
  let client: Client<unknown>;
  let other: Client<unknown>;
  let sets: Space<string[]>;
  let blind: Space<string[]>;

  before(async () => {
    const flags = ['--policies', JSON.stringify(policies), '--limits-siblings-max', String(siblingsMax)];
    cluster = await TestCluster.start({ flags });
    const nodes = [0, 1, 2].map((index) => `127.0.0.1:${cluster.respPort(index)}`);
    [client, other] = [await connect({ nodes }), await connect({ nodes, routing: 'any' })];
    sets = client.space<string[]>('set:', { merge: union, ttlMs: 3_600_000 });
    blind = other.space<string[]>('set:');
  });

  after(async () => {
    await Promise.all([client?.close(), other?.close()]);
    await cluster.close();
  });

  it('a write with a context replaces what it has seen and nothing else', async () => {
    await blind.put('a', ['milk']);
    await blind.put('a', ['bread']);
    const { values, context } = await sets.getVersions('a');
    assert.deepEqual(values.map(([item]) => item).sort(), ['bread', 'milk']);
    await blind.put('a', ['tea']);
    await sets.put('a', ['bread', 'milk'], { context });
    const after = (await sets.getVersions('a')).values.map((set) => set.join('+')).sort();
    assert.deepEqual(after, ['bread+milk', 'tea']);
    await sets.delete('a', { context });
    assert.equal(
      (await sets.getVersions('a')).values.length,
      2,
      'a delete takes what it has seen, which is gone',
    );
    await sets.delete('a', { context: (await sets.getVersions('a')).context });
    assert.deepEqual((await sets.getVersions('a')).values, []);
    assert.equal((await failure(sets.put('a', [], { context: Uint8Array.of(1, 2, 3) }))).outcome, 'fail');
  });

  it('a resolver makes one value of several, which is written back in their place', async () => {
    for (const item of ['c', 'a', 'b']) await blind.put('m', [item]);
    const before = client.metrics().mergesWritten;
    assert.deepEqual(await sets.get('m'), ['a', 'b', 'c']);
    assert.equal(client.metrics().mergesWritten, before + 1);
    assert.deepEqual((await blind.getVersions('m')).values, [['a', 'b', 'c']]);
    assert.deepEqual(await sets.get('m'), ['a', 'b', 'c']);
    assert.equal(client.metrics().mergesWritten, before + 1, 'one value needs no merge');
    // The TTL of the space is that of the merged value too.
    const redis = new Redis({ host: '127.0.0.1', port: cluster.respPort(0) });
    const ttlMs = await redis.pttl('set:m');
    redis.disconnect();
    assert.ok(ttlMs > 3_000_000 && ttlMs <= 3_600_000, `${ttlMs} ms left`);
  });

  it('without a resolver the policy says what a get answers', async () => {
    for (const prefix of ['set:', 'one:']) {
      const space = other.space<string>(prefix);
      await space.put('two', 'earlier');
      await space.put('two', 'later');
      if (prefix === 'set:') assert.equal(await space.get('two'), 'later');
      else {
        const error = await failure(space.get('two'));
        assert.deepEqual([error.code, error.outcome, error.retryable], ['SIBLINGS', 'none', false]);
      }
    }
  });

  it('beyond the cap a write is refused with what to do, and a merge makes room', async () => {
    for (let i = 0; i < siblingsMax; i++) await blind.put('full', [`i${i}`]);
    const error = await failure(blind.put('full', ['more']));
    assert.deepEqual([error.code, error.outcome, error.retryable], ['SIBLINGS', 'fail', false]);
    assert.match(error.message, /8 siblings and the limit is 8/);
    assert.equal((await sets.get('full'))!.length, siblingsMax);
    await blind.put('full', ['more']);
    assert.deepEqual((await sets.get('full'))!.includes('more'), true);
  });

  it('updates at once are all kept', async () => {
    const items = ['a', 'b', 'c', 'd', 'e', 'f'];
    await Promise.all(
      items.map((item, i) =>
        (i % 2 === 0 ? client : other)
          .space<string[]>('set:', { merge: union })
          .update('at-once', (set = []) => [...set, item]),
      ),
    );
    assert.deepEqual(await sets.get('at-once'), items);
  });

  it('a resolver that fails says so, and the values stay', async () => {
    await blind.put('bad', ['a']);
    await blind.put('bad', ['b']);
    const merge = (): string[] => {
      throw new RangeError('no idea');
    };
    const error = await failure(sets.get('bad', { merge }));
    assert.deepEqual([error.code, error.outcome], ['merge', 'none']);
    assert.ok(error.cause instanceof RangeError);
    const [line] = await sets.batch([{ get: 'bad' }]);
    assert.deepEqual(line, { ok: true, value: ['a', 'b'] });
  });

  it('a request says its own consistency, which leaves open what it does not say', async () => {
    const plain = client.space<string>('plain:');
    const kept = other.space<string>('plain:', { consistency: { preset: 'PA/EC', conflicts: 'siblings' } });
    await kept.put('k', 'a');
    await kept.put('k', 'b');
    assert.equal((await plain.getVersions('k')).values.length, 2);
    await plain.put('k', 'c');
    assert.deepEqual((await plain.getVersions('k')).values, ['c'], 'last-write-wins, as the policy has it');
    // The other way round: other numbers, and the siblings of the policy.
    await blind.put('w', ['a'], { consistency: { r: 1, w: 3 } });
    await blind.put('w', ['b'], { consistency: 'PC/EC' });
    assert.equal((await blind.getVersions('w', { consistency: 'PA/EL' })).values.length, 2);
    await blind.delete('w', { consistency: 'PC/EC' });
    await until(async () => (await blind.getVersions('w')).values.length === 0, 'deleted');

    const error = await failure(plain.put('k', 'd', { consistency: { r: 2, w: 4 } }));
    assert.deepEqual([error.code, error.outcome, error.retryable], ['ERR', 'fail', false]);
    assert.match(error.message, /W=4 is impossible with N=3/);
    assert.equal(await plain.get('k', { consistency: 'PC/EC' }), 'c');
  });

  it('a policy that becomes strict at run time is known to the client soon', async () => {
    const nodes = [`127.0.0.1:${cluster.respPort(2)}`];
    const nearCache = { entriesMax: 100, bytesMax: 100_000, ttlMs: 60_000 };
    const near = await connect({ nodes, nearCache, topologyRefreshMs: 100 });
    const redis = new Redis({ host: '127.0.0.1', port: cluster.respPort(0) });
    const hits = async (): Promise<number> => {
      const before = near.metrics().nearHits;
      for (let i = 0; i < 3; i++) await near.get('turned:k');
      return near.metrics().nearHits - before;
    };
    try {
      await near.put('turned:k', 1);
      assert.equal(await hits(), 2);
      await redis.call('DURE.POLICY', 'SET', 'turned:', 'PC/EC');
      await until(async () => (await hits()) === 0, 'no notes of a strict key');
      await redis.call('DURE.POLICY', 'UNSET', 'turned:');
      await until(async () => (await hits()) > 0, 'notes again');
    } finally {
      redis.disconnect();
      await near.close();
    }
  });

  it('a large batch and a scan of all nodes', async () => {
    const numbers = client.space<number>('n:');
    const count = 3000;
    const lines = Array.from({ length: count }, (_, i) => ({ put: `k${i}`, value: i }));
    const written = await numbers.batch(lines);
    assert.deepEqual(
      written.filter(({ ok }) => !ok),
      [],
    );
    const read = await numbers.batch(lines.map(({ put }) => ({ get: put })));
    assert.deepEqual(
      read.map((line) => line.ok && line.value),
      lines.map(({ value }) => value),
    );
    const met = new Set<string>();
    for await (const key of other.space('n:').scan({ count: 200 })) met.add(key);
    assert.equal(met.size, count);
  });
});
