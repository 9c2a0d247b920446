/** Batches: every operation answered by itself, values to the letter, and bodies that are no batch. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { splitBatch } from '../../../src/http/api/batch-text.ts';
import { Problem } from '../../../src/http/api/problem.ts';
import { KIND_STRING, rowValue } from '../../../src/rows/row.ts';
import { type HttpApi, putSiblings, withHttpApi } from '../../support/http-api.ts';

type Json = Record<string, unknown>;

interface Answer {
  readonly status: number;
  readonly results: readonly Json[];
  readonly problem: Json;
}

async function send(api: HttpApi, body: string | Uint8Array, type = 'application/json'): Promise<Answer> {
  const init = { method: 'POST', body, headers: { 'content-type': type } };
  const response = await api.ask('/v1/batch', init);
  const json = (await response.json()) as Json;
  return { status: response.status, results: (json.results ?? []) as Json[], problem: json };
}

function batch(api: HttpApi, ...operations: readonly Json[]): Promise<Answer> {
  return send(api, JSON.stringify({ operations }));
}

function stored({ node }: HttpApi, key: string): string {
  return Buffer.from(rowValue(node.rows.get(key)!)).toString('latin1');
}

test('put, get and delete in one request, their answers in the order of the operations', () =>
  withHttpApi(async (api) => {
    await batch(api, { op: 'put', key: 'old', text: 'x' });
    const { status, results } = await batch(
      api,
      { op: 'put', key: 'j', value: { a: [1, null] } },
      { op: 'put', key: 't', text: 'grüße' },
      { op: 'put', keyBase64: '/w==', base64: 'AP8=' },
      { op: 'get', key: 'old' },
      { op: 'get', key: 'none' },
      { op: 'delete', key: 'old' },
    );
    assert.equal(status, 200);
    assert.deepEqual(
      results.map((result) => result.status),
      [204, 204, 204, 200, 404, 204],
    );
    assert.equal((results[4]!.problem as Json).code, 'not-found');
    assert.equal(stored(api, 'j'), '{"a":[1,null]}');
    assert.equal(stored(api, '\u00ff'), '\u0000\u00ff');
    const read = await batch(
      api,
      { op: 'get', key: 'j' },
      { op: 'get', key: 't' },
      { op: 'get', key: 't', as: 'text' },
      { op: 'get', keyBase64: '/w==' },
      { op: 'get', key: 't', as: 'json' },
    );
    const shown = read.results.map(({ status, value, text, base64, key, keyBase64 }) => {
      return [status, value ?? text ?? base64, key ?? keyBase64];
    });
    assert.deepEqual(shown, [
      [200, { a: [1, null] }, 'j'],
      [200, Buffer.from('grüße').toString('base64'), 't'],
      [200, 'grüße', 't'],
      [200, 'AP8=', '/w=='],
      [406, undefined, undefined],
    ]);
  }));

test('a value is stored to the letter, as by a request of its own', () =>
  withHttpApi(async (api) => {
    const values = [
      '12345678901234567890.10',
      '-0',
      '1E400',
      '{"2":0,"1":0,"2":1}',
      '{"__proto__":{"value":1},"value":[{"value":"]}"}]}',
      String.raw`"\u00e9\ud800 \" ] } , \\"`,
      'null',
      '[]',
    ];
    const operations = values.map((value, i) => `{"op":"put","key":"k${i}", "value" : ${value} }`);
    const { results } = await send(api, ` {"operations" : [${operations.join(' , ')}] } `);
    assert.deepEqual([...new Set(results.map(({ status }) => status))], [204]);
    for (const [i, value] of values.entries()) {
      const spaced = String.raw`"\u00e9\ud800 \" ] } , \\"`;
      assert.equal(stored(api, `k${i}`), value === spaced ? value : value.replaceAll(' ', ''));
    }
    const { results: read } = await batch(api, { op: 'get', key: 'k0' });
    assert.equal(read[0]!.status, 200);
    const init = { method: 'POST', headers: { 'content-type': 'application/json' } };
    const text = await api.ask('/v1/batch', { ...init, body: '{"operations":[{"op":"get","key":"k0"}]}' });
    assert.match(await text.text(), /"value":12345678901234567890\.10,/);
  }));

test('the name of a value may be written with escapes, and the last of two counts, as in JSON', () =>
  withHttpApi(async (api) => {
    const body = String.raw`{"operations":[{"op":"put","key":"k","value":1,"\u0076alue":2.50}]}`;
    assert.equal((await send(api, body)).results[0]!.status, 204);
    assert.equal(stored(api, 'k'), '2.50');
  }));

test('what one operation does wrong is its own: the others are done', () =>
  withHttpApi(async (api) => {
    await batch(api, { op: 'put', key: 'there', text: 'x' });
    const { status, results } = await batch(
      api,
      { op: 'put', key: 'a', text: 'x', base64: 'AA==' },
      { op: 'put', key: 'b' },
      { op: 'put', key: 'c', base64: 'A' },
      { op: 'put', key: 'd', keyBase64: 'AA==', text: 'x' },
      { op: 'put', key: 'e', text: 'x', ttl: '0s' },
      { op: 'put', key: 'there', text: 'y', ifNoneMatch: '*' },
      { op: 'put', key: 'f', text: 'x', ifMatch: '*' },
      { op: 'delete', key: 'g', ifMatch: 'nonsense!' },
      { op: 'put', key: 'h', text: '\ud800' },
      { op: 'put', key: '\udc00', text: 'x' },
      { op: 'get', key: '\ud800' },
      { op: 'put', key: 'good', text: 'x', ifNoneMatch: '*' },
    );
    assert.equal(status, 200);
    assert.deepEqual(
      results.map((result) => result.status),
      [400, 400, 400, 400, 400, 412, 412, 400, 400, 400, 400, 201],
    );
    const outcomes = results.map(({ problem }) => (problem as Json | undefined)?.outcome);
    assert.deepEqual(outcomes, [...new Array(10).fill('fail'), 'none', undefined]);
    assert.deepEqual([...api.node.rows.keys()].sort(), ['good', 'there']);
  }));

test('errors of the node reach the operation that met them, with their outcome', () =>
  withHttpApi(async (api) => {
    const unknown = new CodedError('deadline-exceeded', 'unknown', 'too late');
    api.node.failures.push(unknown, unknown, undefined);
    const { results } = await batch(
      api,
      { op: 'put', key: 'a', text: 'x' },
      { op: 'put', key: 'b', text: 'x', ifNoneMatch: '*' },
      { op: 'put', key: 'c', text: 'x' },
    );
    const seen = results.map(({ status, problem }) => {
      const { outcome, retryable } = (problem ?? {}) as Json;
      return [status, outcome, retryable];
    });
    assert.deepEqual(seen, [
      [504, 'unknown', true],
      [504, 'unknown', false],
      [204, undefined, undefined],
    ]);
  }));

test('siblings in a batch: all of them, or the newest', () =>
  withHttpApi(async (api) => {
    putSiblings(api.node, 's', [
      [Buffer.from('1'), 0],
      [Buffer.from([0xff]), 0],
    ]);
    const { results } = await batch(
      api,
      { op: 'get', key: 's' },
      { op: 'get', key: 's', siblings: 'newest' },
    );
    const [all, newest] = results;
    assert.equal(all!.status, 300);
    const siblings = all!.siblings as Json[];
    assert.deepEqual(
      siblings.map(({ value, base64 }) => value ?? base64),
      ['/w==', 1],
    );
    assert.deepEqual([newest!.status, newest!.base64], [200, '/w==']);
    assert.match(all!.etag as string, /^"[\w-]+\.2"$/);
  }));

test('the ETag of a batch is that of a read, for either to use', () =>
  withHttpApi(async (api) => {
    await batch(api, { op: 'put', key: 'k', value: 1 });
    const { etag } = (await batch(api, { op: 'get', key: 'k' })).results[0]!;
    assert.equal((await api.ask('/v1/keys/k')).headers.get('etag'), etag);
    const put = { op: 'put', key: 'k', value: 2, ifMatch: etag };
    assert.equal((await batch(api, put)).results[0]!.status, 204);
    assert.equal((await batch(api, put)).results[0]!.status, 412);
  }));

for (const [what, body] of [
  ['nothing', ''],
  ['no JSON', 'operations'],
  ['not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ['a list', '[]'],
  ['no operations', '{}'],
  ['an empty list of them', '{"operations":[]}'],
  ['another operation', '{"operations":[{"op":"incr","key":"k"}]}'],
  ['a misspelt member', '{"operations":[{"op":"put","key":"k","text":"x","tlt":"30s"}]}'],
  ['another member', '{"operations":[],"atomic":true}'],
  ['a value that is not JSON', '{"operations":[{"op":"put","key":"k","value":nope}]}'],
  ['two values in one', '{"operations":[{"op":"put","key":"k","value":1 2}]}'],
  ['no value', '{"operations":[{"op":"put","key":"k","value":}]}'],
  ['brackets crossed in a value', '{"operations":[{"op":"put","key":"k","value":[}]}]}'],
  ['its end missing', '{"operations":[{"op":"put","key":"k","value":1'],
  ['an open string', '{"operations":[{"op":"put","key":"k","value":"1}]}'],
  ['more after its end', '{"operations":[{"op":"put","key":"k","value":1}]}]'],
  ['a misspelt member with a long name', `{"operations":[{"op":"get","key":"k","${'x'.repeat(1e6)}":1}]}`],
  ['deep nesting', '['.repeat(1_000_000)],
  ['an operation too deep', '{"operations":[[{"op":"get","key":"k"}]]}'],
] as const) {
  test(`a body that is no batch is refused as a whole: ${what}`, () =>
    withHttpApi(async (api) => {
      const { status, problem } = await send(api, body);
      assert.deepEqual([status, problem.code, problem.outcome], [400, 'invalid', 'fail']);
      assert.match(problem.detail as string, /nothing was/);
      assert.ok((problem.detail as string).length < 1000);
      assert.equal(api.node.log.length, 0);
    }));
}

test('a form, which any page may send, is no batch', () =>
  withHttpApi(async (api) => {
    const { status, problem } = await send(api, '{"operations":[]}', 'text/plain');
    assert.equal(status, 415);
    assert.match(problem.detail as string, /Content-Type: application\/json/);
  }));

test('at most 128 operations', () =>
  withHttpApi(async (api) => {
    const operations = Array.from({ length: 129 }, (_, i) => ({ op: 'put', key: `k${i}`, value: i }));
    assert.equal((await batch(api, ...operations)).status, 400);
    assert.equal(api.node.rows.size, 0);
    const { results } = await batch(api, ...operations.slice(1));
    assert.equal(results.length, 128);
    assert.equal(api.node.rows.size, 128);
  }));

test('a value too large to be looked into is refused, and the others are done', () =>
  withHttpApi(async (api) => {
    const { results } = await batch(
      api,
      { op: 'put', key: 'large', value: 'x'.repeat(1024 * 1024 + 16 * 1024) },
      { op: 'put', key: 'small', value: 1 },
    );
    assert.deepEqual(
      results.map(({ status }) => status),
      [413, 204],
    );
    assert.deepEqual([...api.node.rows.keys()], ['small']);
  }));

test('an answer has room for 8 MiB: what does not fit says so, and is neither shown nor lost', () =>
  withHttpApi(async (api) => {
    const bytes = Buffer.alloc(1000 * 1000, 0xff);
    for (let i = 0; i < 10; i++) {
      api.node.write(`large${i}`, { kind: KIND_STRING, value: bytes, expireAt: 0 }, {}, () => {});
    }
    const gets = Array.from({ length: 10 }, (_, i) => ({ op: 'get', key: `large${i}` }));
    const { results } = await batch(api, ...gets, { op: 'put', key: 'small', text: 'x' });
    const statuses = results.map(({ status }) => status);
    assert.deepEqual(statuses, [...new Array(6).fill(200), ...new Array(4).fill(413), 204]);
    const { code, outcome } = results[9]!.problem as Json;
    assert.deepEqual([code, outcome], ['answer-too-large', 'none']);
  }));

test('what 2 MiB of hostile JSON costs is bounded: it is refused within a fraction of a second of a core', () => {
  const size = 2 * 1024 * 1024;
  const fill = (text: string): string => text.repeat(Math.floor(size / text.length));
  const bodies = [
    fill('['),
    fill('{"a":'),
    `[${fill('1,')}1]`,
    `[${fill('{},')}1]`,
    `{${fill('"a":1,')}"b":1}`,
    `{"operations":[${fill('{"value":1},')}1]}`,
    `"${fill('\\"')}`,
    fill('"'),
    `{"operations":[{"value":${fill('[')}`,
  ];
  for (const body of bodies) {
    const begin = process.cpuUsage();
    assert.throws(() => splitBatch(body, 128), Problem, body.slice(0, 20));
    const ms = process.cpuUsage(begin).user / 1000;
    assert.ok(ms < 300, `${body.slice(0, 20)}: ${ms} ms`);
  }
});

test('a frame keeps what is not a value, and values their text', () => {
  const text =
    '{"value":{"a":1},"operations":[{"value": [1, {"x":"}"}] ,"key":"value"},{"a":"value","value":2}]}';
  const { frame, values } = splitBatch(text.replace('"value":{"a":1},', ''), 128);
  assert.deepEqual(frame, {
    operations: [
      { value: 0, key: 'value' },
      { a: 'value', value: 1 },
    ],
  });
  assert.deepEqual(values, [' [1, {"x":"}"}] ', '2']);
});
