/**
 * Conditions over HTTP: entity tags, If-Match, If-None-Match, causal contexts, siblings, and how each request asks
 * the node. Two broken nodes show that the check of If-Match notices what it is there for.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ByteString } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { POLICY_PRESETS } from '../../../src/coordinator/policy.ts';
import type { RequestOptions } from '../../../src/node/api.ts';
import type { RowBody } from '../../../src/rows/row.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { type HttpApi, putSiblings, withHttpApi } from '../../support/http-api.ts';
import { checkChangeIsTold, checkCounter, checkOneWins, type MatchedKey } from '../../support/if-match.ts';
import { delay } from '../../support/wait.ts';

type Json = Record<string, unknown>;

async function put(api: HttpApi, path: string, headers = {}, body = 'x'): Promise<number> {
  return (await api.ask(`/v1/keys/${path}`, { method: 'PUT', body, headers })).status;
}

async function remove(api: HttpApi, path: string, headers = {}): Promise<number> {
  return (await api.ask(`/v1/keys/${path}`, { method: 'DELETE', headers })).status;
}

async function tagOf(api: HttpApi, path: string): Promise<string> {
  return (await api.ask(`/v1/keys/${path}`)).headers.get('etag')!;
}

function keyOf(api: HttpApi, path: string): MatchedKey {
  return {
    put: (_writer, value, headers) => put(api, path, headers, value),
    get: async () => {
      const answer = await api.ask(`/v1/keys/${path}`);
      return { etag: answer.headers.get('etag') ?? '', value: await answer.text() };
    },
  };
}

/** A node that decides and writes at two times, or without looking. */
class BrokenNode extends FakeNode {
  readonly #break: 'context-ignored' | 'check-and-write-apart';

  constructor(how: 'context-ignored' | 'check-and-write-apart') {
    super();
    this.#break = how;
  }

  override update(...[key, operation, args, options, done]: Parameters<FakeNode['update']>): void {
    if (operation !== 'putmatch') {
      super.update(key, operation, args, options, done);
      return;
    }
    const body: RowBody = { kind: 1, value: args[1]!, expireAt: 0 };
    const write = (): void => this.write(key, body, options, (error) => done(error, 1, undefined));
    if (this.#break === 'context-ignored') {
      write();
      return;
    }
    this.readVersions(key, {}, (_error, versions) => {
      const isSame = Buffer.compare(versions!.context, args[0]!) === 0;
      if (isSame) setTimeout(write, 50);
      else done(undefined, 0, undefined);
    });
  }
}

test('If-Match: a write in between is told, and one of many wins', () =>
  withHttpApi(async (api) => {
    await checkChangeIsTold(keyOf(api, 'k'));
    assert.ok((await checkCounter(keyOf(api, 'c'), 4, 10)) > 0, 'they collided');
    await checkOneWins(keyOf(api, 'new'), { 'if-none-match': '*' });
  }));

for (const how of ['context-ignored', 'check-and-write-apart'] as const) {
  test(`a node that breaks If-Match is noticed: ${how}`, () =>
    withHttpApi(
      async (api) => {
        await assert.rejects(checkChangeIsTold(keyOf(api, 'k')), assert.AssertionError);
        await assert.rejects(checkCounter(keyOf(api, 'c'), 4, 10), /no increment is lost/);
      },
      {},
      new BrokenNode(how),
    ));
}

test('If-Match: * and If-None-Match: * ask for the key to be there, or not', () =>
  withHttpApi(async (api) => {
    assert.equal(await put(api, 'k', { 'if-match': '*' }), 412);
    assert.equal(await remove(api, 'k', { 'if-match': '*' }), 412);
    assert.equal(await put(api, 'k', { 'if-none-match': '*' }), 201);
    assert.equal(await put(api, 'k', { 'if-none-match': '*' }), 412);
    assert.equal(await put(api, 'k', { 'if-match': '*' }), 204);
    assert.equal(await remove(api, 'k', { 'if-match': '*' }), 204);
    assert.equal((await api.ask('/v1/keys/k')).status, 404);
  }));

test('a delete with If-Match: only of what was read', () =>
  withHttpApi(async (api) => {
    await put(api, 'k');
    const old = await tagOf(api, 'k');
    await put(api, 'k');
    assert.equal(await remove(api, 'k', { 'if-match': old }), 412);
    assert.equal(await remove(api, 'k', { 'if-match': await tagOf(api, 'k') }), 204);
    assert.equal(api.node.rows.size, 1);
    assert.equal(await remove(api, 'k'), 204, 'without a condition there is nothing to fail');
  }));

test('an ETag matches nothing once its value has expired, although no write followed', () =>
  withHttpApi(async (api) => {
    await put(api, 'session?ttl=30s');
    const tag = await tagOf(api, 'session');
    api.node.now += 29_999;
    assert.equal(await put(api, 'session?ttl=30s', { 'if-match': tag }), 204);
    const last = await tagOf(api, 'session');
    api.node.now += 30_000;
    assert.equal(await put(api, 'session', { 'if-match': last }), 412);
    assert.equal(await remove(api, 'session', { 'if-match': last }), 412);
    assert.equal(await put(api, 'session', { 'if-none-match': '*' }), 201);
  }));

test('the context of a 404 is good for a write over nothing', () =>
  withHttpApi(async (api) => {
    const context = (await api.ask('/v1/keys/k')).headers.get('dure-context')!;
    assert.equal(await put(api, 'k', { 'if-match': context }), 204);
    assert.equal(await put(api, 'k', { 'if-match': context }), 412);
  }));

test('304 for who has it already; other tags, and a key that is gone, are answered in full', () =>
  withHttpApi(async (api) => {
    await put(api, 'k');
    const tag = await tagOf(api, 'k');
    const ask = async (ifNoneMatch: string): Promise<number> =>
      (await api.ask('/v1/keys/k', { headers: { 'if-none-match': ifNoneMatch } })).status;
    assert.equal(await ask(tag), 304);
    assert.equal(await ask(`W/${tag}`), 304);
    assert.equal(await ask(`"other", ${tag}`), 304);
    assert.equal(await ask('*'), 304);
    assert.equal(await ask('"other"'), 200);
    const answer = await api.ask('/v1/keys/k', { headers: { 'if-none-match': tag } });
    assert.equal(answer.headers.get('etag'), tag);
    assert.equal(await answer.text(), '');
    await put(api, 'k');
    assert.equal(await ask(tag), 200);
    await remove(api, 'k');
    assert.equal(await ask(tag), 404);
  }));

test('a read with If-Match: what was seen or nothing', () =>
  withHttpApi(async (api) => {
    const ask = async (ifMatch: string): Promise<number> =>
      (await api.ask('/v1/keys/k', { headers: { 'if-match': ifMatch } })).status;
    assert.equal(await ask('*'), 404);
    await put(api, 'k');
    const tag = await tagOf(api, 'k');
    assert.deepEqual([await ask('*'), await ask(tag), await ask(`"other", ${tag}`)], [200, 200, 200]);
    assert.deepEqual([await ask('"other"'), await ask(`W/${tag}`)], [412, 412]);
    await put(api, 'k');
    assert.equal(await ask(tag), 412);
  }));

for (const [what, headers] of [
  ['a weak tag', { 'if-match': 'W/"abc"' }],
  ['a list', { 'if-match': '"abc", "def"' }],
  ['no base64url', { 'if-match': '"a+b"' }],
  ['base64url with loose bits', { 'if-match': '"AB"' }],
  ['half a tag', { 'if-match': '"abc' }],
  ['nothing', { 'if-match': '' }],
  ['both', { 'if-match': '*', 'if-none-match': '*' }],
  ['If-None-Match with a tag', { 'if-none-match': '"abc"' }],
  ['a context that is none', { 'dure-context': '*' }],
  ['a context that is too long', { 'dure-context': 'A'.repeat(8000) }],
] as const) {
  test(`a condition that is none is refused, and nothing is written: ${what}`, () =>
    withHttpApi(async (api) => {
      const answer = await api.ask('/v1/keys/k', { method: 'PUT', body: 'x', headers });
      const { code, outcome } = (await answer.json()) as Json;
      assert.deepEqual([answer.status, code, outcome], [400, 'invalid', 'fail']);
      assert.equal(api.node.rows.size, 0);
    }));
}

const siblingValues: readonly (readonly [Uint8Array, number])[] = [
  [Buffer.from('{"a":1}'), 0],
  [Buffer.from([0xff]), 0],
];

test('300 shows all siblings, each as what it is, with one context', () =>
  withHttpApi(async (api) => {
    putSiblings(api.node, 's', siblingValues);
    const answer = await api.ask('/v1/keys/s');
    assert.equal(answer.status, 300);
    assert.match(answer.headers.get('content-type')!, /^application\/json/);
    assert.equal(answer.headers.get('dure-siblings'), '2');
    const { key, context, siblings } = (await answer.json()) as Json;
    const at = (ms: number): string => new Date(api.node.now + ms).toISOString();
    assert.equal(key, 's');
    assert.deepEqual(siblings, [
      { base64: '/w==', writtenAt: at(-999) },
      { value: { a: 1 }, writtenAt: at(-1000) },
    ]);
    assert.equal(context, answer.headers.get('dure-context'));
    assert.equal(answer.headers.get('etag'), `"${context}.2"`);
    const asText = (await (await api.ask('/v1/keys/s?as=text')).json()) as { siblings: Json[] };
    assert.deepEqual(
      asText.siblings.map(({ text, base64 }) => text ?? base64),
      ['/w==', '{"a":1}'],
    );
  }));

test('?siblings=newest shows one value, and says that there are more', () =>
  withHttpApi(async (api) => {
    putSiblings(api.node, 's', siblingValues);
    const answer = await api.ask('/v1/keys/s?siblings=newest');
    assert.deepEqual([answer.status, answer.headers.get('dure-siblings')], [200, '2']);
    assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), Uint8Array.of(0xff));
  }));

test('a sibling that expires changes the tag, though not the context', () =>
  withHttpApi(async (api) => {
    putSiblings(api.node, 's', [
      [Buffer.from('1'), 0],
      [Buffer.from('2'), api.node.now + 1000],
    ]);
    const two = await tagOf(api, 's');
    api.node.now += 1000;
    const answer = await api.ask('/v1/keys/s', { headers: { 'if-none-match': two } });
    assert.equal(answer.status, 200);
    assert.equal(await answer.text(), '1');
    assert.equal(`${answer.headers.get('etag')!.slice(0, -1)}.2"`, two);
  }));

/** A node that notes how it is asked. */
class NotingNode extends FakeNode {
  readonly asked: (readonly [string, RequestOptions])[] = [];

  override readVersions(...[key, options, done]: Parameters<FakeNode['readVersions']>): void {
    this.asked.push(['read', options]);
    super.readVersions(key, options, done);
  }

  override write(...[key, body, options, done]: Parameters<FakeNode['write']>): void {
    this.asked.push(['write', options]);
    super.write(key, body, options, done);
  }

  override update(...[key, operation, args, options, done]: Parameters<FakeNode['update']>): void {
    this.asked.push([operation, options]);
    super.update(key, operation, args, options, done);
  }
}

async function withNotes(run: (api: HttpApi, node: NotingNode) => Promise<void>): Promise<void> {
  const node = new NotingNode();
  await withHttpApi((api) => run(api, node), {}, node);
}

test('consistency and deadline by query reach the node; what is left out is as the key’s policy says', () =>
  withNotes(async (api, node) => {
    node.policy = { r: 1, w: 2, strict: false, conflicts: 'siblings', siblingsRead: 'error', ttlMs: 5 };
    const own = node.policy;
    const encoded = encodeURIComponent('r=3 W=1 strict lww');
    for (const [query, policy] of [
      ['', own],
      ['r=2', { ...own, r: 2 }],
      ['w=3&quorum=strict', { ...own, w: 3, strict: true }],
      ['consistency=PC/EC', { ...own, ...POLICY_PRESETS['PC/EC'] }],
      ['consistency=pc/ec&r=3', { ...own, ...POLICY_PRESETS['PC/EC'], r: 3 }],
      [`consistency=${encoded}`, { ...own, r: 3, w: 1, strict: true, conflicts: 'last-write-wins' }],
    ] as const) {
      await (await api.ask(`/v1/keys/k?${query}`)).arrayBuffer();
      assert.deepEqual(node.asked.pop(), ['read', { policy }], query);
    }
    await put(api, 'k?timeout=1500ms');
    assert.deepEqual(node.asked.pop(), ['write', { policy: own, timeoutMs: 1500 }]);
    await remove(api, 'k?timeout=30s&consistency=PA/EL');
    assert.deepEqual(node.asked.pop(), [
      'del',
      { policy: { ...own, ...POLICY_PRESETS['PA/EL'] }, timeoutMs: 30_000 },
    ]);
  }));

for (const query of [
  'r=0',
  'r=4',
  'r=x',
  'r=1.5',
  'w=-1',
  'w=4',
  'quorum=loose',
  'consistency=',
  'consistency=R=2',
]) {
  test(`a policy that is none is refused before anything is asked: ${query}`, () =>
    withNotes(async (api, node) => {
      assert.equal((await api.ask(`/v1/keys/k?${query}`)).status, 400);
      assert.equal(await put(api, `k?${query}`), 400);
      assert.equal(await remove(api, `k?${query}`), 400);
      assert.deepEqual(node.asked, []);
    }));
}

for (const timeout of ['0ms', '31s', '30001ms', '5', 's', '-1s', '1h']) {
  test(`a deadline that is none is refused: ${timeout}`, () =>
    withNotes(async (api, node) => {
      assert.equal((await api.ask(`/v1/keys/k?timeout=${timeout}`)).status, 400);
      assert.deepEqual(node.asked, []);
    }));
}

test('under policy siblings a context says what a write replaces; under last-write-wins it is a condition', () =>
  withNotes(async (api, node) => {
    await put(api, 'k');
    const tag = await tagOf(api, 'k');
    const context = new Uint8Array(Buffer.from(tag.slice(1, -1), 'base64url'));
    node.asked.length = 0;
    const kinds = (): readonly string[] => node.asked.splice(0).map(([what]) => what);
    await put(api, 'k', { 'if-match': tag });
    await remove(api, 'k', { 'if-match': tag });
    await put(api, 'k', { 'dure-context': tag.slice(1, -1) });
    assert.deepEqual(node.asked[2]![1].context, context);
    assert.deepEqual(kinds(), ['putmatch', 'delmatch', 'write']);
    node.policy = { ...node.policy, conflicts: 'siblings' };
    await put(api, 'k', { 'if-match': tag });
    await remove(api, 'k', { 'if-match': tag });
    for (const [, options] of node.asked) assert.deepEqual(options.context, context);
    await put(api, 'k');
    assert.equal(node.asked[2]![1].context, undefined, 'a blind write has seen nothing');
    await remove(api, 'k');
    assert.deepEqual(kinds(), ['write', 'write', 'write', 'del']);
  }));

/** Status, code, outcome and whether to try again, of a request that the node answers with an error. */
async function failed(
  api: HttpApi,
  error: CodedError,
  path: string,
  init: RequestInit = {},
): Promise<readonly unknown[]> {
  api.node.failures.push(error);
  const answer = await api.ask(`/v1/keys/${path}`, init);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
  assert.equal(answer.headers.get('etag'), null);
  const { status, code, outcome, retryable } = (await answer.json()) as Json;
  assert.equal(answer.headers.get('dure-outcome'), outcome);
  assert.equal(status, answer.status);
  return [status, code, outcome, retryable, answer.headers.get('retry-after')];
}

test('errors say what became of the data and whether to try again', () =>
  withHttpApi(async (api) => {
    const write = { method: 'PUT', body: 'x' };
    const once = { ...write, headers: { 'if-none-match': '*' } };
    const unreachable = new CodedError('quorum-unreachable', 'fail', 'nothing was written');
    const late = new CodedError('deadline-exceeded', 'unknown', 'too late');
    const busy = new CodedError('overloaded', 'none', 'nothing was done');
    assert.deepEqual(await failed(api, unreachable, 'k'), [503, 'quorum-unreachable', 'none', true, '1']);
    assert.deepEqual(await failed(api, unreachable, 'k', write), [
      503,
      'quorum-unreachable',
      'fail',
      true,
      '1',
    ]);
    assert.deepEqual(await failed(api, late, 'k'), [504, 'deadline-exceeded', 'none', true, null]);
    assert.deepEqual(await failed(api, late, 'k', write), [504, 'deadline-exceeded', 'unknown', true, null]);
    // A second time would find the first, and say that somebody else wrote.
    assert.deepEqual(await failed(api, late, 'k', once), [504, 'deadline-exceeded', 'unknown', false, null]);
    assert.deepEqual(await failed(api, busy, 'k', write), [503, 'overloaded', 'fail', true, '1']);
    const full = new CodedError('storage-full', 'fail', 'nothing was written');
    assert.deepEqual(await failed(api, full, 'k', write), [507, 'storage-full', 'fail', true, '1']);
    api.node.policy = { ...api.node.policy, conflicts: 'siblings' };
    assert.deepEqual(await failed(api, late, 'k', write), [504, 'deadline-exceeded', 'unknown', false, null]);
    const many = new CodedError('siblings-full', 'fail', 'nothing was written');
    assert.deepEqual(await failed(api, many, 'k', write), [409, 'siblings-full', 'fail', false, null]);
  }));

test('the error about siblings speaks of HTTP, not of Redis commands', () =>
  withHttpApi(async (api) => {
    api.node.failures.push(new CodedError('siblings', 'none', 'read them with DURE.GET'));
    const answer = await api.ask('/v1/keys/k', { method: 'PUT', body: 'x', headers: { 'if-match': '*' } });
    const { code, detail } = (await answer.json()) as Json;
    assert.deepEqual([answer.status, code], [409, 'siblings']);
    assert.match(detail as string, /If-Match/);
    assert.doesNotMatch(detail as string, /DURE/);
  }));

test('a bug is logged, and told without detail', () =>
  withHttpApi(
    async (api) => {
      const answer = await api.ask('/v1/keys/k');
      const { code, outcome, detail } = (await answer.json()) as Json;
      assert.deepEqual([answer.status, code, outcome], [500, 'internal', 'none']);
      assert.doesNotMatch(detail as string, /secret/);
      assert.match(api.logged.join(), /secret/);
    },
    {},
    new (class extends FakeNode {
      override readVersions(_key: ByteString): void {
        throw new Error('secret');
      }
    })(),
  ));

test('a request whose client has gone is no harm', () =>
  withHttpApi(async (api) => {
    api.node.holds = true;
    const controller = new AbortController();
    const asked = api.ask('/v1/keys/k', { signal: controller.signal });
    while (api.node.held.length === 0) await delay(1);
    controller.abort();
    await assert.rejects(asked);
    api.node.release();
    api.node.holds = false;
    assert.equal((await api.ask('/v1/keys/k')).status, 404);
    assert.deepEqual(api.logged, []);
  }));
