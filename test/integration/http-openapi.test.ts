/**
 * A client that was made from the OpenAPI document, by a tool that knows nothing of Dure, against a cluster of real
 * processes: write, read, list, batch, delete, each at another node than the one before.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenApiClientAxios, { type Document, type OpenAPIClient } from 'openapi-client-axios';
import { TestCluster } from '../support/cluster.ts';

let cluster: TestCluster;
/** One client a node. */
const clients: OpenAPIClient[] = [];
let turn = 0;

before(async () => {
  cluster = await TestCluster.start();
  for (let i = 0; i < 3; i++) {
    const address = `http://127.0.0.1:${cluster.node(i).httpPort}`;
    const definition = (await (await fetch(`${address}/openapi.json`)).json()) as Document;
    const api = new OpenApiClientAxios.default({
      definition,
      axiosConfigDefaults: { baseURL: address, timeout: 10_000, validateStatus: () => true },
    });
    clients.push(await api.init());
  }
});

after(() => cluster?.close());

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: the client was made at run time, and knows no types
  readonly data: any;
}

/** Calls an operation by its name in the document, at the next node. */
async function call(
  operation: string,
  parameters: Readonly<Record<string, string | number>> = {},
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const client = clients[turn++ % clients.length]!;
  const method = client[operation];
  assert.equal(typeof method, 'function', `the client has the operation ${operation}`);
  const list = Object.entries(parameters).map(([name, value]) => ({
    name,
    value,
    in: placeOf(operation, name),
  }));
  return (await method!(list as never, body as never, { headers })) as unknown as Answer;
}

/** Where the document says that a parameter goes. */
function placeOf(operation: string, name: string): 'path' | 'query' | 'header' {
  const found = clients[0]!.api.getOperation(operation)!.parameters!.find((each) => {
    return 'name' in each && each.name.toLowerCase() === name.toLowerCase();
  });
  assert.ok(found !== undefined && 'in' in found, `${operation} has the parameter ${name}`);
  return found.in as 'path' | 'query' | 'header';
}

const strong = { consistency: 'PC/EC' };

test('write, read, change only what was read, and delete', async () => {
  const value = { name: 'Ada', tags: ['a', 'b'], born: 1815 };
  const json = { 'Content-Type': 'application/json' };
  const key = 'users/7 ä%';
  assert.equal((await call('putKey', { key, ...strong, ttl: '1h' }, value, json)).status, 204);

  const read = await call('getKey', { key, ...strong });
  assert.equal(read.status, 200);
  assert.deepEqual(read.data, value);
  assert.ok(new Date(read.headers['dure-expires-at']!).getTime() > Date.now());
  const etag = read.headers.etag!;
  assert.equal((await call('headKey', { key })).headers.etag, etag);
  assert.equal((await call('getKey', { key, 'If-None-Match': etag })).status, 304);

  const changed = await call('putKey', { key, 'If-Match': etag, ...strong }, { ...value, born: 0 }, json);
  assert.equal(changed.status, 204);
  const late = await call('putKey', { key, 'If-Match': etag, ...strong }, value, json);
  assert.deepEqual([late.status, late.data.code, late.data.outcome], [412, 'precondition-failed', 'fail']);

  assert.equal((await call('deleteKey', { key, ...strong })).status, 204);
  const gone = await call('getKey', { key, ...strong });
  assert.deepEqual([gone.status, gone.data.code], [404, 'not-found']);
});

test('batch and list, page by page', async () => {
  const keys = Array.from({ length: 50 }, (_, i) => `list:${i}`);
  const puts = keys.map((key, i) => ({ op: 'put', key, value: { i }, ifNoneMatch: '*' }));
  const put = await call('batch', strong, { operations: puts });
  assert.equal(put.status, 200);
  assert.deepEqual(
    put.data.results.map(({ status }: { status: number }) => status),
    keys.map(() => 201),
  );
  const met: string[] = [];
  let cursor: string | null = '';
  for (let pages = 0; cursor !== null; pages++) {
    assert.ok(pages < 1000, 'a listing ends');
    const page = await call('listKeys', { prefix: 'list:', limit: 7, ...(cursor === '' ? {} : { cursor }) });
    assert.equal(page.status, 200);
    met.push(...page.data.keys.map(({ key }: { key: string }) => key));
    cursor = page.data.cursor;
  }
  assert.deepEqual([...new Set(met)].sort(), [...keys].sort());
  const mixed = await call('batch', strong, {
    operations: [
      { op: 'get', key: 'list:1' },
      { op: 'delete', key: 'list:2' },
      { op: 'get', key: 'list:none' },
    ],
  });
  const [got, deleted, none] = mixed.data.results;
  assert.deepEqual([got.status, got.value, deleted.status, none.status], [200, { i: 1 }, 204, 404]);
  assert.equal((await call('getKey', { key: 'list:2', ...strong })).status, 404);
});

test('concurrent writes are 300 with all siblings, and one write with their ETag replaces them', async () => {
  assert.equal(
    (await call('setPolicy', { prefix: 'cart:' }, { policy: 'PA/EC', conflicts: 'siblings' })).status,
    200,
  );
  const key = 'cart:1';
  for (const item of ['apple', 'pear']) assert.equal((await call('putKey', { key }, item)).status, 204);
  const both = await call('getKey', { key, ...strong });
  assert.equal(both.status, 300);
  assert.equal(both.data.siblings.length, 2);
  const merged = await call('putKey', { key, 'If-Match': both.headers.etag!, ...strong }, 'apple pear');
  assert.equal(merged.status, 204);
  assert.equal((await call('getKey', { key, ...strong })).data, 'apple pear');
});

test('a mistake is told in words, and the parameters are checked as declared', async () => {
  const wrong = await call('getKey', { key: 'a', r: 16 });
  assert.deepEqual([wrong.status, wrong.data.code], [400, 'invalid']);
  const unknown = await clients[0]!.get('/v1/keys?limt=1');
  assert.equal(unknown.status, 400);
});
