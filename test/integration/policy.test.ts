/**
 * Policies at run time on real processes: set by one node they hold on all, outlive kill -9 and restarts, end
 * equal when two nodes set at once; and what becomes of data that is there when its policy changes.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { connect as connectDure } from '../../client/index.ts';
import type { PoliciesStatus } from '../../src/node/status.ts';
import { TestCluster } from '../support/cluster.ts';
import { DURE } from '../support/process.ts';
import { delay, until } from '../support/wait.ts';

type Pairs = Readonly<Record<string, unknown>>;

/** A reply that is a map, as RESP2 sends it. */
function mapOf(reply: unknown): Pairs {
  const flat = reply as readonly unknown[];
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[String(name), flat[i + 1]]] : [])));
}

describe('policies at run time', { timeout: 240_000 }, () => {
  let cluster: TestCluster;
  const clients: Redis[] = [];

  before(async () => {
    cluster = await TestCluster.start();
    for (const index of [0, 1, 2]) await connect(index);
  });
  after(async () => {
    for (const client of clients) client.disconnect();
    await cluster.close();
  });

  async function connect(index: number): Promise<Redis> {
    clients[index]?.disconnect();
    const client = new Redis({
      host: '127.0.0.1',
      port: cluster.respPort(index),
      lazyConnect: true,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      retryStrategy: () => 50,
    });
    client.on('error', () => {});
    await client.connect();
    clients[index] = client;
    return client;
  }

  const at = (index: number): Redis => clients[index]!;

  async function set(index: number, prefix: string, ...words: readonly string[]): Promise<Pairs> {
    return mapOf(await at(index).call('DURE.POLICY', 'SET', prefix, ...words));
  }

  /** The words by which a node goes for a key. */
  async function policyAt(index: number, key: string): Promise<string> {
    return String(mapOf(await at(index).call('DURE.POLICY', 'GET', key)).policy);
  }

  async function listAt(index: number): Promise<string> {
    return JSON.stringify(await at(index).call('DURE.POLICY', 'LIST'));
  }

  async function knownAt(index: number): Promise<PoliciesStatus> {
    const answer = await fetch(`http://127.0.0.1:${cluster.node(index).httpPort}/status`);
    return ((await answer.json()) as { policies: PoliciesStatus }).policies;
  }

  async function agree(): Promise<boolean> {
    const lists = await Promise.all([0, 1, 2].map(listAt));
    const known = await Promise.all([0, 1, 2].map(knownAt));
    return new Set(lists).size === 1 && new Set(known.map(({ inForce }) => inForce)).size === 1;
  }

  function dure(...words: readonly string[]): { code: number | null; out: string; complaints: string } {
    const [program, ...first] = DURE;
    const args = [...first, ...words, '--data-dir', cluster.directory];
    const { status, stdout, stderr } = spawnSync(program!, args, { encoding: 'utf8', timeout: 20_000 });
    return { code: status, out: stdout, complaints: stderr };
  }

  async function valuesAt(index: number, key: string): Promise<{ values: string[]; context: Buffer }> {
    const reply = (await at(index).callBuffer('DURE.GET', key)) as unknown as readonly unknown[];
    return {
      context: reply[1] as Buffer,
      values: (reply[3] as readonly Buffer[]).map(String).sort(),
    };
  }

  it('set by one node hold on all at once, for what is asked next', async (test) => {
    const began = performance.now();
    assert.deepEqual(await set(0, 'short:', 'PA/EC', 'TTL=90s'), {
      acknowledged: ['n1', 'n2', 'n3'],
      missed: [],
    });
    const tookMs = performance.now() - began;
    for (const index of [0, 1, 2]) {
      await at(index).set(`short:${index}`, 'v');
      const left = await at(index).ttl(`short:${index}`);
      assert.ok(left > 80 && left <= 90, `TTL ${left} at n${index + 1}`);
    }
    assert.ok(tookMs < 1000, `${tookMs} ms`);
    test.diagnostic(`set on three nodes in ${tookMs.toFixed(1)} ms`);
    assert.equal(await at(1).ttl('other'), -2);
  });

  it('by the command line and by HTTP: the same policies, and clear words', async () => {
    const set = dure('policy', 'set', 'cart:', 'PA/EC', 'siblings');
    assert.equal(set.complaints, '');
    assert.equal(set.out, 'PA/EC SIBLINGS for keys that begin with cart:, on n1, n2, n3.\n');
    assert.equal(await policyAt(2, 'cart:1'), 'PA/EC SIBLINGS');
    const impossible = dure('policy', 'set', 'cart:', 'R=1', 'W=4');
    assert.deepEqual(
      [impossible.code, impossible.complaints],
      [1, 'dure: W=4 is impossible with N=3: it must lie in 1 to 3\n'],
    );
    const url = `http://127.0.0.1:${cluster.node(1).httpPort}/v1/policies`;
    const headers = { 'content-type': 'application/json' };
    const put = await fetch(`${url}/lock:`, { method: 'PUT', headers, body: '{"policy": "PC/EC"}' });
    assert.deepEqual(await put.json(), {
      prefix: 'lock:',
      policy: 'PC/EC',
      acknowledged: ['n1', 'n2', 'n3'],
      missed: [],
    });
    const list = dure('policy', 'list');
    assert.match(list.out, /cart: +PA\/EC SIBLINGS .*run-time, .* ago\nlock: +PC\/EC .* strict /);
    const view = JSON.parse(dure('policy', 'list', '--json').out);
    assert.equal(view.agreed, true);
    assert.deepEqual(
      view.policies.map(({ prefix }: { prefix: string }) => prefix),
      ['', 'cart:', 'lock:', 'short:'],
    );
    await assert.rejects(
      at(2).config('SET', 'dure-policy', 'PC/EC'),
      /can't set immutable config: DURE\.POLICY SET changes it$/,
    );
    const [, words] = (await at(2).config('GET', 'dure-policies')) as string[];
    assert.equal(words, 'cart: PA/EC SIBLINGS; lock: PC/EC; short: PA/EC TTL=90s');
    assert.equal((await fetch(`${url}/lock:`, { method: 'DELETE' })).status, 200);
    assert.equal(await policyAt(0, 'lock:'), 'PA/EC');
  });

  it('two nodes that set at once end equal, whoever was later', async () => {
    const rounds = 20;
    for (let round = 0; round < rounds; round++) {
      const both = ['PA/EL', 'PC/EL', 'PC/EC'].map((words, index) => set(index, 'race:', words));
      const own = [0, 1, 2].map((index) => set(index, `own${index}:`, 'PC/EC', `TTL=${round + 1}s`));
      await Promise.all([...both, ...own]);
    }
    await until(agree, 'all nodes go by the same');
    const winner = await policyAt(0, 'race:');
    assert.ok(['PA/EL', 'PC/EL', 'PC/EC'].includes(winner), winner);
    for (const index of [0, 1, 2]) assert.equal(await policyAt(1, `own${index}:`), `PC/EC TTL=${rounds}s`);
    await at(2).call('DURE.POLICY', 'UNSET', 'race:');
    assert.deepEqual(await Promise.all([0, 1, 2].map((index) => policyAt(index, 'race:'))), [
      'PA/EC',
      'PA/EC',
      'PA/EC',
    ]);
  });

  it('kill -9 of one node while policies are set: whatever was acknowledged it knows again', async (test) => {
    let last = 0;
    let stop = false;
    const missed: string[] = [];
    const setting = (async () => {
      for (let i = 1; !stop; i++) {
        const change = await set(0, 'count:', 'PA/EC', `TTL=${i}s`);
        missed.push(...(change.missed as readonly string[]));
        last = i;
      }
    })();
    await delay(300);
    await cluster.kill(2);
    await until(() => missed.length >= 3, 'changes that n3 misses');
    const before = last;
    await cluster.restart(2);
    const began = performance.now();
    await connect(2);
    await until(() => last > before + 3, 'changes go on');
    stop = true;
    await setting;
    await until(
      async () => (await policyAt(2, 'count:')) === `PA/EC TTL=${last}s`,
      'n3 knows the last change',
    );
    test.diagnostic(`${last} changes, known ${(performance.now() - began).toFixed(0)} ms after n3 was ready`);
    assert.deepEqual(new Set(missed), new Set(['n3']));
    await until(agree, 'all nodes go by the same');
  });

  it('kill -9 of the node that takes the changes: those it answered hold everywhere', async () => {
    let answered = 0;
    const setting = (async () => {
      try {
        for (let i = 1; ; i++) {
          await set(1, 'taken:', 'PA/EC', `TTL=${i}s`);
          answered = i;
        }
      } catch {
        // The connection went with the node.
      }
    })();
    await until(() => answered >= 20, 'some changes');
    await cluster.kill(1);
    await setting;
    const at0 = Number(/TTL=(\d+)s/.exec(await policyAt(0, 'taken:'))![1]);
    // The one under way when it died may have gone out, or not.
    assert.ok(at0 === answered || at0 === answered + 1, `${at0} of ${answered} answered`);
    assert.match(dure('policy', 'set', 'absent:', 'PC/EL').out, /Missed: n2\. It goes by what held before/);
    await cluster.restart(1);
    await connect(1);
    await until(agree, 'all nodes go by the same');
    assert.equal(await policyAt(1, 'absent:'), 'PC/EL', 'set while it was away');
  });

  it('kill -9 of all: kept', async () => {
    const before = await listAt(0);
    const { fingerprint } = await knownAt(0);
    await Promise.all([0, 1, 2].map((index) => cluster.kill(index)));
    await Promise.all([0, 1, 2].map((index) => cluster.restart(index)));
    for (const index of [0, 1, 2]) await connect(index);
    for (const index of [0, 1, 2]) {
      assert.equal(await listAt(index), before);
      assert.equal((await knownAt(index)).fingerprint, fingerprint);
    }
  });

  it('last-write-wins to siblings and back, over data that is there: nothing is lost by the change', async () => {
    const keys = Array.from({ length: 50 }, (_, i) => `doc:${i}`);
    await Promise.all(keys.map((key, i) => at(i % 3).set(key, 'old')));
    await set(0, 'doc:', 'PA/EC', 'SIBLINGS');
    for (const [i, key] of keys.entries()) assert.deepEqual((await valuesAt(i % 3, key)).values, ['old']);

    // A blind write has not seen what was there before the change either: both stay.
    await Promise.all(keys.map((key, i) => at((i + 1) % 3).set(key, 'new')));
    for (const [i, key] of keys.entries()) {
      assert.deepEqual((await valuesAt(i % 3, key)).values, ['new', 'old'], key);
    }
    // One with the context of a read replaces what that saw, as ever.
    const { context } = await valuesAt(0, 'doc:0');
    await at(1).call('DURE.SET', 'doc:0', 'merged', 'CONTEXT', context);
    assert.deepEqual((await valuesAt(2, 'doc:0')).values, ['merged']);

    await set(2, 'doc:', 'PA/EC', 'LWW');
    for (const [i, key] of keys.slice(1).entries()) {
      assert.deepEqual((await valuesAt(i % 3, key)).values, ['new', 'old'], 'still there for who looks');
      assert.equal(await at(i % 3).get(key), 'new', 'the newest for who asks for one');
    }
    // The first write under last-write-wins is later than both, and so they go.
    await at(0).set('doc:1', 'last');
    assert.deepEqual((await valuesAt(1, 'doc:1')).values, ['last']);
    assert.equal(await at(1).del('doc:2'), 1);
    assert.deepEqual((await valuesAt(0, 'doc:2')).values, []);
    assert.equal(await at(2).append('doc:3', '!'), 4, 'an update goes on from the newest');
    assert.deepEqual((await valuesAt(0, 'doc:3')).values, ['new!']);
    // And to siblings again: what is there stands as one value.
    await set(1, 'doc:', 'PA/EC', 'SIBLINGS');
    await at(2).set('doc:1', 'beside');
    assert.deepEqual((await valuesAt(0, 'doc:1')).values, ['beside', 'last']);
  });

  it('for one command: by pipelines, RESP3 clients and our own, with one node away', async () => {
    await cluster.kill(2);
    await until(
      async () => (await awayAt(0)) === 1 && (await awayAt(1)) === 1,
      'n3 is known to be away',
      20_000,
    );
    const resp3 = createClient({ url: `redis://127.0.0.1:${cluster.respPort(1)}`, RESP: 3 });
    const own = await connectDure<string>({ nodes: [`127.0.0.1:${cluster.respPort(0)}`] });
    try {
      // Strict, and all three are needed: refused, while the same command by itself goes through.
      const all = ['DURE.WITH', 'R=1', 'W=3', 'STRICT', 'DO'] as const;
      const replies = await at(0)
        .pipeline()
        .call(...all, 'SET', 'with:a', '1')
        .set('with:a', '2')
        .call('DURE.WITH', 'PC/EC', 'DO', 'INCR', 'with:a')
        .call('DURE.WITH', 'PA/EL', 'DO', 'GET', 'with:a')
        .call('DURE.WITH', 'nonsense', 'DO', 'GET', 'with:a')
        .get('with:a')
        .exec();
      assert.match(String(replies![0]![0]), /TRYAGAIN/);
      assert.deepEqual(
        [1, 2, 3, 5].map((i) => replies![i]![1]),
        ['OK', 3, '3', '3'],
      );
      assert.match(String(replies![4]![0]), /ERR expected PA\/EL.*found "nonsense"/);

      await resp3.connect();
      assert.equal(await resp3.sendCommand(['DURE.WITH', 'PC/EC', 'DO', 'GET', 'with:a']), '3');
      assert.deepEqual(await resp3.sendCommand(['COMMAND', 'GETKEYS', ...all, 'MSET', 'a', '1', 'b', '2']), [
        'a',
        'b',
      ]);
      const versions = await resp3.sendCommand(['DURE.WITH', 'PC/EC', 'DO', 'DURE.GET', 'with:a']);
      assert.deepEqual((versions as unknown as Record<string, unknown>).values, ['3']);

      await own.put('with:own', 'v', { consistency: 'PC/EC' });
      assert.equal(await own.get('with:own', { consistency: { r: 1, w: 1 } }), 'v');
      await assert.rejects(
        own.put('with:own', 'w', { consistency: { r: 1, w: 4 } }),
        /W=4 is impossible with N=3/,
      );
      await assert.rejects(
        own.put('with:own', 'w', { consistency: { r: 1, w: 3, quorum: 'strict' }, deadlineMs: 700 }),
      );
    } finally {
      resp3.destroy();
      await own.close();
    }
    await cluster.restart(2);
    await connect(2);
  });

  it('to strict without a gap: set, see that nobody was missed, repair', async () => {
    await set(0, 'gap:', 'PA/EL');
    await Promise.all([1, 2].map((index) => cluster.kill(index)));
    await until(async () => (await awayAt(0)) === 2, 'n1 is alone', 20_000);
    const keys = Array.from({ length: 30 }, (_, i) => `gap:${i}`);
    await Promise.all(keys.map((key) => at(0).set(key, 'early')));
    await Promise.all([1, 2].map((index) => cluster.restart(index)));
    for (const index of [1, 2]) await connect(index);
    await until(async () => (await awayAt(0)) === 0, 'n1 reaches both', 20_000);
    assert.deepEqual((await set(1, 'gap:', 'PC/EC')).missed, []);
    const repair = dure('repair');
    assert.equal(repair.code, 0, repair.complaints);
    await cluster.kill(0);
    for (const key of keys) assert.equal(await at(2).get(key), 'early', key);
    await cluster.restart(0);
    await connect(0);
  });

  it('a strict read does not vouch for what was written with W=1 before', async () => {
    await set(0, 'early:', 'PA/EL');
    const away = [1, 2].map((index) => cluster.node(index));
    // They were started anew above: their processes are not those of cluster.json any more.
    const pids = away.map(({ httpPort }) => pidAt(httpPort));
    for (const pid of pids) process.kill(await pid, 'SIGSTOP');
    try {
      await until(async () => (await awayAt(0)) === 2, 'n1 takes the two for dead', 20_000);
      assert.equal(await at(0).set('early:k', 'acknowledged'), 'OK', 'W=1: by n1 alone');
      await cluster.kill(0);
    } finally {
      for (const pid of pids) process.kill(await pid, 'SIGCONT');
    }
    await until(
      async () => (await awayAt(1)) === 1 && (await awayAt(2)) === 1,
      'n2 and n3 have each other',
      20_000,
    );
    assert.deepEqual(await set(1, 'early:', 'PC/EC'), { acknowledged: ['n2', 'n3'], missed: ['n1'] });
    assert.equal(await at(2).get('early:k'), null, 'two of three never heard of it, and may answer');
    await cluster.restart(0);
    await connect(0);
    assert.equal(await policyAt(0, 'early:k'), 'PC/EC');
    await until(async () => (await at(2).get('early:k')) === 'acknowledged', 'not lost: n1 had it', 20_000);
    // From here on it is on a quorum, and stays seen.
    for (const index of [0, 1, 2]) assert.equal(await at(index).get('early:k'), 'acknowledged');
  });

  async function awayAt(index: number): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${cluster.node(index).httpPort}/status`);
    const { members } = (await answer.json()) as { members: readonly { reachable: boolean }[] };
    return members.filter(({ reachable }) => !reachable).length;
  }

  async function pidAt(httpPort: number): Promise<number> {
    const index = [0, 1, 2].find((each) => cluster.node(each).httpPort === httpPort)!;
    const info = await at(index).info('server');
    return Number(/process_id:(\d+)/.exec(info)![1]);
  }
});
