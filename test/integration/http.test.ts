/**
 * The data API of three real nodes: the same bytes as over RESP, conditions under concurrency, siblings written
 * through two nodes, listings while keys are written, and what is left when nodes are killed.
 */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { TestCluster } from '../support/cluster.ts';
import { checkChangeIsTold, checkCounter, checkOneWins, type MatchedKey } from '../support/if-match.ts';
import { delay, until } from '../support/wait.ts';

type Json = Record<string, unknown>;

const SIBLINGS = `consistency=${encodeURIComponent('PA/EC SIBLINGS')}`;
const JSON_TYPE = { 'content-type': 'application/json' };

describe('the data API of three nodes', { timeout: 120_000 }, async () => {
  const cluster = await TestCluster.start();
  const redis = new Redis({ port: cluster.respPort(1), lazyConnect: false, maxRetriesPerRequest: 2 });
  redis.on('error', () => {});
  after(async () => {
    redis.disconnect();
    await cluster.close();
  });

  const origin = (node: number): string => `http://127.0.0.1:${cluster.node(node).httpPort}`;

  function ask(node: number, path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${origin(node)}/v1${path}`, { ...init, signal: AbortSignal.timeout(20_000) });
  }

  async function put(node: number, path: string, body: string | Uint8Array, headers = {}): Promise<number> {
    const response = await ask(node, `/keys/${path}`, { method: 'PUT', body, headers });
    await response.arrayBuffer();
    return response.status;
  }

  async function batch(node: number, operations: readonly Json[]): Promise<readonly Json[]> {
    const body = JSON.stringify({ operations });
    const response = await ask(node, '/batch', { method: 'POST', body, headers: JSON_TYPE });
    const { results } = (await response.json()) as { results: readonly Json[] };
    return results;
  }

  it('JSON of every kind and raw bytes are the same through any node and over RESP', async () => {
    const texts = ['"hé"', '[1,[2]]', '{"b":1,"a":null}', '12345678901234567890', 'true', 'false', 'null'];
    for (const [i, text] of texts.entries()) {
      assert.equal(await put(i % 3, `json:${i}`, text, JSON_TYPE), 204);
      assert.equal(await redis.get(`json:${i}`), text);
      const answer = await ask((i + 1) % 3, `/keys/json:${i}`);
      assert.equal(answer.headers.get('content-type'), 'application/json');
      assert.equal(await answer.text(), text);
    }
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    assert.equal(await put(0, 'bytes', bytes, { 'content-type': 'image/png' }), 204);
    assert.deepEqual(new Uint8Array((await redis.getBuffer('bytes'))!), bytes);
    await redis.set('from-redis', Buffer.from(bytes));
    const answer = await ask(2, '/keys/from-redis');
    assert.equal(answer.headers.get('content-type'), 'application/octet-stream');
    assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), bytes);
  });

  it('keys of any bytes are the same keys over RESP', async () => {
    const keys = ['a/b//c', 'ключ', 'a b', '%41', '-', '?&=#', 'a/../b', '{tag}x', '\u0000', 'é\n'];
    for (const key of keys) {
      assert.equal(await put(0, encodeURIComponent(key), key), 204, key);
      assert.equal(await redis.get(key), key);
      assert.equal(await (await ask(1, `/keys/${encodeURIComponent(key)}?as=text`)).text(), key);
    }
    assert.equal(await put(0, 'plain/slashes//stay', 'x'), 204);
    assert.equal(await redis.get('plain/slashes//stay'), 'x');
    assert.equal(await put(0, '%ff%00%FE', 'bytes'), 204);
    assert.equal(await redis.get(Buffer.from([0xff, 0, 0xfe])), 'bytes');
    await redis.set('', 'empty');
    assert.deepEqual((await batch(0, [{ op: 'get', key: '', as: 'text' }]))[0]!.text, 'empty');
  });

  it('a pair of 10 KiB is stored, one byte more is not', async () => {
    const value = 'x'.repeat(10 * 1024 - 3);
    assert.equal(await put(0, 'big', value), 204);
    assert.equal(await redis.strlen('big'), value.length);
    assert.equal(await put(1, 'big', `${value}y`), 413);
    assert.equal(await put(1, 'big', 'y'.repeat(1024 * 1024)), 413);
    assert.equal(await redis.get('big'), value);
    const conditional = await put(1, 'big', `${value}y`, { 'if-match': '*' });
    assert.equal(conditional, 413);
  });

  it('a time to live is that of EXPIRE, and the key is gone afterwards', async () => {
    assert.equal(await put(0, 'ttl?ttl=60s', 'x'), 204);
    const left = await redis.pttl('ttl');
    assert.ok(left > 50_000 && left <= 60_000, `${left} ms`);
    await redis.set('ttl', 'x', 'PX', 700);
    const end = (await ask(2, '/keys/ttl')).headers.get('dure-expires-at')!;
    assert.ok(Math.abs(Date.parse(end) - Date.now() - 700) < 600, end);
    await until(async () => (await ask(1, '/keys/ttl')).status === 404, 'the key has expired', 5000);
    assert.ok(Date.now() >= Date.parse(end));
    assert.equal(await redis.exists('ttl'), 0);
  });

  it('a delete through one node is seen through all', async () => {
    await redis.set('gone', 'x');
    assert.equal((await ask(0, '/keys/gone', { method: 'DELETE' })).status, 204);
    assert.equal(await redis.get('gone'), null);
    assert.equal((await ask(2, '/keys/gone')).status, 404);
    assert.equal((await ask(2, '/keys/gone', { method: 'DELETE' })).status, 204);
  });

  it('consistency by query: what this cluster can do is done, the rest is refused with the reason', async () => {
    for (const query of ['consistency=PC/EC', 'r=3&w=1', 'w=3', 'r=1', 'quorum=strict', 'timeout=5s']) {
      assert.equal(await put(0, `dial?${query}`, query), 204, query);
      const answer = await ask(1, `/keys/dial?${query}`);
      assert.equal(answer.status, 200, query);
      await answer.arrayBuffer();
    }
    for (const [query, reason] of [
      ['w=4', /W=4 is impossible with N=3/],
      ['r=15', /R=15 is impossible with N=3/],
      ['r=0', /r: /],
      ['consistency=FAST', /expected PA\/EL.*found "FAST"/],
      ['timeout=31s', /between 1ms and 30s/],
      ['timeout=5', /with its unit/],
    ] as const) {
      for (const method of ['GET', 'PUT', 'DELETE']) {
        const answer = await ask(
          0,
          `/keys/dial?${query}`,
          method === 'PUT' ? { method, body: 'x' } : { method },
        );
        const { code, detail } = (await answer.json()) as Json;
        assert.deepEqual([answer.status, code], [400, 'invalid'], `${method} ${query}`);
        assert.match(detail as string, reason);
      }
    }
    assert.equal(await redis.get('dial'), 'timeout=5s');
  });

  /** A key as `checkOneWins` and its like want it: writers go through all nodes, and reads too. */
  function keyThroughAllNodes(key: string, query = ''): MatchedKey {
    let reads = 0;
    return {
      put: (writer, value, headers) => put(writer % 3, `${key}?${query}`, value, headers),
      get: async () => {
        const answer = await ask(reads++ % 3, `/keys/${key}?as=text&${query}`);
        return { etag: answer.headers.get('etag') ?? '', value: await answer.text() };
      },
    };
  }

  it('If-Match: refused when somebody wrote in between, by any door', async () => {
    for (const query of ['', 'consistency=PC/EC', 'r=1&w=3', 'r=3&w=1']) {
      await checkChangeIsTold(keyThroughAllNodes(`change:${query}`.replaceAll('&', ','), query));
    }
    await put(0, 'doc', '1', JSON_TYPE);
    const tag = async (): Promise<string> => (await ask(1, '/keys/doc')).headers.get('etag')!;
    const first = await tag();
    await redis.set('doc', '1');
    assert.equal(await put(0, 'doc', '2', { 'if-match': first }), 412, 'the same bytes, by RESP');
    const second = await tag();
    assert.equal((await ask(2, '/keys/doc', { headers: { 'if-none-match': second } })).status, 304);
    assert.equal((await ask(2, '/keys/doc', { headers: { 'if-none-match': first } })).status, 200);
    const stale = { method: 'DELETE', headers: { 'if-match': first } };
    assert.equal((await ask(0, '/keys/doc', stale)).status, 412);
    const fresh = { method: 'DELETE', headers: { 'if-match': second } };
    assert.equal((await ask(1, '/keys/doc', fresh)).status, 204);
    assert.equal(await redis.get('doc'), null);
    assert.equal(await put(0, 'doc', '5', { 'if-match': second }), 412);
    assert.equal(await put(0, 'doc', '5', { 'if-match': '*' }), 412);
    assert.equal(await put(0, 'doc', '5', { 'if-none-match': '*' }), 201);
    assert.equal(await put(1, 'doc', '6', { 'if-none-match': '*' }), 412);
    assert.equal(await redis.get('doc'), '5');
  });

  it('of many concurrent If-Match writes through all nodes just one wins, each time', async () => {
    await put(0, 'race', 'start');
    for (let round = 0; round < 6; round++) {
      const race = keyThroughAllNodes('race');
      await checkOneWins(race, { 'if-match': (await race.get()).etag });
      await checkOneWins(keyThroughAllNodes(`race:${round}`), { 'if-none-match': '*' });
    }
  });

  it('a counter by read, If-Match and again loses no increment', async () => {
    const collisions = await checkCounter(keyThroughAllNodes('counter'), 4, 15);
    assert.equal(await redis.get('counter'), '60');
    assert.ok(collisions > 0, 'they raced');
  });

  it('an ETag of a value that has expired matches nothing', async () => {
    await put(0, 'session?ttl=300ms', 'x');
    const tag = (await ask(1, '/keys/session')).headers.get('etag')!;
    await until(async () => (await ask(2, '/keys/session')).status === 404, 'it has expired', 5000);
    assert.equal(await put(0, 'session', 'y', { 'if-match': tag }), 412);
    assert.equal((await ask(1, '/keys/session')).status, 404);
  });

  it('siblings: two blind writes are both shown, and a write with their context replaces both', async () => {
    assert.equal(await put(0, `cart?${SIBLINGS}`, '["eggs"]', JSON_TYPE), 204);
    assert.equal(await put(1, `cart?${SIBLINGS}`, Uint8Array.of(0xff), {}), 204);
    const read = await ask(2, '/keys/cart');
    assert.equal(read.status, 300);
    assert.equal(read.headers.get('dure-siblings'), '2');
    const etag = read.headers.get('etag')!;
    assert.match(etag, /^"[\w-]+\.2"$/);
    const { key, context, siblings } = (await read.json()) as {
      key: string;
      context: string;
      siblings: Json[];
    };
    assert.deepEqual([key, etag.startsWith(`"${context}`)], ['cart', true]);
    assert.deepEqual(
      siblings.map(({ value, base64 }) => value ?? base64),
      ['/w==', ['eggs']],
    );
    const newest = await ask(2, '/keys/cart?siblings=newest');
    assert.equal(newest.status, 200);
    assert.deepEqual(new Uint8Array(await newest.arrayBuffer()), Uint8Array.of(0xff));
    assert.deepEqual(await redis.getBuffer('cart'), Buffer.from([0xff]), 'a plain client sees the newest');
    assert.equal(
      await put(1, `cart?${SIBLINGS}`, '["eggs","milk"]', { ...JSON_TYPE, 'if-match': etag }),
      204,
    );
    const merged = await ask(0, '/keys/cart');
    assert.equal(merged.status, 200);
    assert.equal(await merged.text(), '["eggs","milk"]');
    // Who comes late with the old context stands beside what he has not seen.
    assert.equal(await put(2, `cart?${SIBLINGS}`, '["late"]', { ...JSON_TYPE, 'if-match': etag }), 204);
    assert.equal((await ask(0, '/keys/cart')).status, 300);
    // A delete takes away what its context saw; without one, all that its coordinator sees.
    const old = { method: 'DELETE', headers: { 'if-match': merged.headers.get('etag')! } };
    assert.equal((await ask(0, `/keys/cart?${SIBLINGS}`, old)).status, 204);
    assert.equal(await (await ask(1, '/keys/cart')).text(), '["late"]');
    assert.equal((await ask(1, `/keys/cart?${SIBLINGS}`, { method: 'DELETE' })).status, 204);
    assert.equal((await ask(2, '/keys/cart')).status, 404);
  });

  it('a last-write-wins write over siblings leaves one value', async () => {
    for (const headers of [{}, { 'if-match': 'tag' }, { 'if-match': '*' }]) {
      await put(0, `mixed?${SIBLINGS}`, '1');
      await put(1, `mixed?${SIBLINGS}`, '2');
      const read = await ask(2, '/keys/mixed');
      assert.equal(read.status, 300);
      await read.arrayBuffer();
      const own = 'if-match' in headers && headers['if-match'] === 'tag';
      const sent = own ? { 'if-match': read.headers.get('etag')! } : headers;
      assert.equal(await put(1, 'mixed', '3', sent), 204);
      const after = await ask(0, '/keys/mixed');
      assert.deepEqual([after.status, await after.text()], [200, '3']);
    }
  });

  it('siblings by Dure-Context, and a context of another key is refused', async () => {
    await put(0, `a?${SIBLINGS}`, '1');
    await put(1, `a?${SIBLINGS}`, '2');
    const context = (await ask(0, '/keys/a')).headers.get('dure-context')!;
    assert.equal(await put(2, `b?${SIBLINGS}`, '3', { 'dure-context': context }), 400);
    assert.equal(await put(2, `b?${SIBLINGS}`, '3', { 'if-match': `"${context}"` }), 400);
    assert.equal(await put(2, `a?${SIBLINGS}`, '3', { 'dure-context': context }), 204);
    assert.equal(await (await ask(1, '/keys/a')).text(), '3');
  });

  it('a batch: each operation has its own answer, those that fail do not hold up the others', async () => {
    await put(0, 'batch:cas', 'x');
    const stale = (await ask(0, '/keys/batch:cas')).headers.get('etag')!;
    await put(0, 'batch:cas', 'y');
    const results = await batch(1, [
      { op: 'put', key: 'batch:a', value: { n: 1 } },
      { op: 'put', key: 'batch:b', text: 'b', ttl: '60s' },
      { op: 'put', keyBase64: Buffer.from([0xff, 1]).toString('base64'), base64: '/wA=' },
      { op: 'get', key: 'batch:none' },
      { op: 'put', key: 'batch:cas', text: 'z', ifMatch: stale },
      { op: 'put', key: 'batch:new', text: 'z', ifNoneMatch: '*' },
      { op: 'put', key: 'batch:big', text: 'x'.repeat(11_000) },
      { op: 'delete', key: 'batch:gone' },
      { op: 'put', key: 'batch:both', text: 'x', base64: 'AA==' },
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      [204, 204, 204, 404, 412, 201, 413, 204, 400],
    );
    assert.equal(await redis.get('batch:a'), '{"n":1}');
    assert.equal(await redis.get('batch:b'), 'b');
    assert.ok((await redis.ttl('batch:b')) > 50);
    assert.deepEqual(await redis.getBuffer(Buffer.from([0xff, 1])), Buffer.from([0xff, 0]));
    assert.equal(await redis.get('batch:cas'), 'y');
    assert.equal(await redis.exists('batch:big'), 0);
    const [read] = await batch(2, [{ op: 'get', key: 'batch:cas', as: 'text' }]);
    assert.deepEqual([read!.status, read!.text], [200, 'y']);
    const [written] = await batch(0, [{ op: 'put', key: 'batch:cas', text: 'z', ifMatch: read!.etag }]);
    assert.equal(written!.status, 204);
  });

  it('a listing is complete while other keys are written and deleted', async () => {
    const wanted = Array.from({ length: 300 }, (_, i) => `list:${i}`);
    await redis.mset(wanted.flatMap((key) => [key, 'x']));
    let isListing = true;
    const churn = (async () => {
      for (let i = 0; isListing; i++) {
        await redis.set(`list:churn:${i % 50}`, String(i));
        await redis.del(`list:churn:${(i + 25) % 50}`);
      }
    })();
    for (const [node, limit] of [
      [0, 7],
      [1, 100],
      [2, 1000],
    ] as const) {
      const listed = new Set<string>();
      let cursor: string | null = '';
      let pages = 0;
      for (; cursor !== null && pages < 5000; pages++) {
        const more: string = cursor === '' ? '' : `&cursor=${cursor}`;
        const answer = await ask(node, `/keys?prefix=list:&limit=${limit}${more}`);
        const page = (await answer.json()) as { keys: { key: string }[]; cursor: string | null };
        for (const { key } of page.keys) listed.add(key);
        cursor = page.cursor;
      }
      assert.equal(cursor, null, `${pages} pages`);
      assert.deepEqual(
        wanted.filter((key) => !listed.has(key)),
        [],
      );
      assert.deepEqual(
        [...listed].filter((key) => !key.startsWith('list:')),
        [],
      );
    }
    isListing = false;
    await churn;
  });

  it('one node killed: everything is still answered at the default policy; what needs it says so', async () => {
    await put(0, 'kill', 'before');
    await cluster.kill(2);
    const statuses: number[] = [];
    for (let i = 0; i < 60; i++) {
      statuses.push(await put(i % 2, `kill:${i}`, 'x'));
      statuses.push((await ask((i + 1) % 2, `/keys/kill:${i}`)).status);
      await delay(5);
    }
    assert.deepEqual(
      statuses.filter((status) => status !== 204 && status !== 200),
      [],
    );
    const page = (await (await ask(1, '/keys?prefix=kill:&limit=1000')).json()) as { keys: Json[] };
    assert.equal(page.keys.length, 60, 'a listing needs one replica of each partition');
    const some = await ask(0, '/batch?w=3&timeout=1s', {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({
        operations: [
          { op: 'get', key: 'kill:1', as: 'text' },
          { op: 'put', key: 'kill:1', text: 'y' },
        ],
      }),
    });
    const { results } = (await some.json()) as { results: Json[] };
    assert.deepEqual([some.status, results[0]!.status, results[0]!.text], [200, 200, 'x']);
    assert.ok([503, 504].includes(results[1]!.status as number), JSON.stringify(results[1]));
    const tag = (await ask(0, '/keys/kill')).headers.get('etag')!;
    assert.equal(await put(1, 'kill', 'after', { 'if-match': tag }), 204);

    const read = await ask(0, '/keys/kill?r=3&timeout=1s');
    const readProblem = (await read.json()) as Json;
    assert.ok([503, 504].includes(read.status), JSON.stringify(readProblem));
    assert.equal(read.headers.get('content-type'), 'application/problem+json');
    assert.deepEqual([readProblem.outcome, readProblem.retryable], ['none', true]);
    assert.equal(read.headers.get('dure-outcome'), 'none');

    await until(
      async () => {
        const answer = await ask(0, '/keys/kill?w=3&timeout=500ms', { method: 'PUT', body: 'all' });
        const problem = (await answer.json()) as Json;
        assert.ok(problem.outcome === 'unknown' || problem.outcome === 'fail', JSON.stringify(problem));
        return answer.status === 503 && problem.outcome === 'fail';
      },
      'the dead node is known, and the write refused before anything is written',
      15_000,
    );
    assert.equal(await (await ask(1, '/keys/kill')).text(), 'after');

    await cluster.kill(1);
    await until(
      async () => (await ask(0, '/keys/kill?timeout=500ms')).status === 503,
      'no quorum is left for reads',
      15_000,
    );
    const alone = await ask(0, '/keys/kill?r=1');
    assert.equal(alone.status, 200, 'R=1 is answered by what is at hand');
    await alone.arrayBuffer();
    const write = await ask(0, '/keys/kill?timeout=500ms', { method: 'PUT', body: 'x' });
    const writeProblem = (await write.json()) as Json;
    assert.deepEqual(
      [write.status, writeProblem.code, writeProblem.outcome, write.headers.get('retry-after')],
      [503, 'quorum-unreachable', 'fail', '1'],
    );
  });
});
