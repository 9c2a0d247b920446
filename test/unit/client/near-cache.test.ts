/** The near cache: never older than its TTL, never over its bounds, and nothing that a write overlapped. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../../../client/index.ts';
import { NearCache } from '../../../client/near-cache.ts';
import { Prng } from '../../../src/base/prng.ts';
import { ErrorReply } from '../../../src/resp/value.ts';
import { FakeNodes } from '../../support/fake-nodes.ts';
import { delay, until } from '../../support/wait.ts';

const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(7);

test('what is served was asked for less than the TTL ago, and bounds hold, whatever happens', () => {
  const random = new Prng(7);
  const below = (count: number): number => random.u32() % count;
  let now = 0;
  const cache = new NearCache({ entriesMax: 8, bytesMax: 1500, ttlMs: 100 }, () => now);
  /** When the value that carries this number was current: at `askedAt` at the earliest. */
  const askedAt: number[] = [];
  const under: { asking: ReturnType<NearCache['begin']>; value: Uint8Array }[] = [];
  let hits = 0;
  for (let step = 0; step < 20_000; step++) {
    const key = `k${below(12)}`;
    const choice = below(10);
    if (choice < 4) {
      const hit = cache.get(key);
      if (hit === undefined || hit === null) continue;
      hits += 1;
      const number = new DataView(hit.buffer, hit.byteOffset).getUint32(0);
      assert.ok(now - askedAt[number]! < 100, 'not past the TTL');
    } else if (choice < 6) {
      const value = bytes(4 + below(300));
      new DataView(value.buffer).setUint32(0, askedAt.push(now) - 1);
      under.push({ asking: cache.begin(key), value });
    } else if (choice < 8 && under.length > 0) {
      const [{ asking, value }] = under.splice(below(under.length), 1) as [(typeof under)[0]];
      cache.finish(asking, value);
    } else if (choice === 8) {
      cache.invalidate(key);
      assert.equal(cache.get(key), undefined);
    } else now += below(40);
    assert.ok(cache.entries <= 8 && cache.bytes <= 1500 && cache.bytes >= 0);
  }
  assert.ok(hits > 500, `the test saw ${hits} hits`);
});

test('a read that a write overlaps leaves no note; the least recently used goes first', () => {
  const cache = new NearCache({ entriesMax: 2, bytesMax: 10_000, ttlMs: 100 }, () => 0);
  const spoilt = cache.begin('a');
  cache.invalidate('a');
  cache.finish(spoilt, bytes(1));
  assert.equal(cache.get('a'), undefined);
  for (const key of ['a', 'b']) cache.finish(cache.begin(key), bytes(1));
  cache.get('a');
  cache.finish(cache.begin('c'), null);
  assert.equal(cache.get('b'), undefined);
  assert.equal(cache.get('c'), null);
  assert.ok(cache.get('a'));
});

test('in a client: hits, one flight for equal gets, own writes, expiry', async () => {
  const nodes = await FakeNodes.start(1);
  nodes.script = (words) => (words[0] === 'GET' ? { afterMs: 20 } : 'default');
  const near = { entriesMax: 100, bytesMax: 100_000, ttlMs: 150 };
  const client = await connect<number>({ nodes: nodes.addresses, nearCache: near });
  const other = await connect<number>({ nodes: nodes.addresses });
  try {
    await client.put('a', 1);
    assert.deepEqual(await Promise.all([1, 2, 3].map(() => client.get('a'))), [1, 1, 1]);
    assert.equal(nodes.count('GET'), 1);
    await other.put('a', 2);
    assert.equal(await client.get('a'), 1, 'stale, as documented');
    assert.equal(await client.get('a', { fresh: true }), 2);
    await delay(160);
    assert.equal(await client.get('a'), 2, 'not past the TTL');
    const during = client.get('b');
    await client.put('b', 3);
    await during;
    assert.equal(await client.get('b'), 3, 'own write');
    // The leader gives up; who shares its flight does not.
    const impatient = client.get('c', { deadlineMs: 5 });
    const patient = client.get('c');
    await assert.rejects(impatient, { code: 'deadline-exceeded' });
    assert.equal(await patient, undefined);
    const { nearHits, nearShared } = client.metrics();
    assert.ok(nearHits >= 1 && nearShared >= 3, `${nearHits} ${nearShared}`);
  } finally {
    await Promise.all([client.close(), other.close()]);
    await nodes.close();
  }
});

test('an own write throws the note away before it is sent and after, whatever comes of it and whichever it is', async () => {
  const nodes = await FakeNodes.start(1);
  const near = { entriesMax: 100, bytesMax: 100_000, ttlMs: 60_000 };
  const client = await connect<number>({ nodes: nodes.addresses, nearCache: near });
  try {
    let writes: 'late' | 'refused' = 'late';
    nodes.script = (words) => {
      if (!['SET', 'DEL', 'DURE.SET'].includes(words[0]!)) return 'default';
      return writes === 'late' ? { afterMs: 30 } : new ErrorReply('OOM', 'full');
    };
    const asked = (): number => nodes.count('GET');
    const noted = async (): Promise<boolean> => {
      const before = asked();
      await client.get('a');
      return asked() === before;
    };
    await client.get('a');
    assert.ok(await noted());
    for (const write of [
      () => client.put('a', 1),
      () => client.delete('a'),
      () => client.update('a', (value = 0) => value + 1),
      () => client.batch([{ put: 'a', value: 4 }]),
    ]) {
      for (writes of ['late', 'refused'] as const) {
        await client.get('a');
        const before = asked();
        const writing = write().catch(() => {});
        // `update` reads before it writes.
        if (writes === 'late')
          await until(() => client.metrics().nearEntries === 0, 'gone before it is sent');
        const during = client.get('a');
        await Promise.all([writing, during]);
        await client.get('a');
        assert.ok(asked() > before, 'asked anew');
        assert.ok(await noted());
      }
    }
  } finally {
    await client.close();
    await nodes.close();
  }
});

test('a get of strict consistency goes past the near cache', async () => {
  const nodes = await FakeNodes.start(1);
  const near = { entriesMax: 100, bytesMax: 100_000, ttlMs: 60_000 };
  const client = await connect<number>({ nodes: nodes.addresses, nearCache: near });
  try {
    const strict = client.space<number>('', { consistency: 'PC/EC' });
    const loose = client.space<number>('', { consistency: 'PA/EL' });
    for (const space of [client, loose, strict, strict]) await space.get('a');
    await client.get('a', { consistency: 'PA/EC' });
    const asked = nodes.nodes[0]!.seen.filter((words) => words.includes('GET'));
    assert.equal(asked.length, 1 + 2 + 1);
    assert.equal(client.metrics().nearHits, 1);
  } finally {
    await client.close();
    await nodes.close();
  }
});
