/** Values over HTTP: what is stored of them, and as what they come back. A node in memory stands behind the door. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import { jsonOf } from '../../../src/http/api/media.ts';
import { pairError } from '../../../src/node/update-rounds.ts';
import { KIND_STRING, rowValue } from '../../../src/rows/row.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { type HttpApi, withHttpApi } from '../../support/http-api.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

/** The bytes stored at a key. */
function stored({ node }: HttpApi, key: string): string {
  return Buffer.from(rowValue(node.rows.get(key)!)).toString('latin1');
}

async function put(api: HttpApi, path: string, body: string | Uint8Array, headers = {}): Promise<number> {
  const response = await api.ask(`/v1/keys/${path}`, { method: 'PUT', body, headers });
  await response.arrayBuffer();
  return response.status;
}

const jsonTexts: readonly (readonly [string, string])[] = [
  ['a string', '"hello"'],
  ['the empty string', '""'],
  ['a list', '[1,"two",null]'],
  ['the empty list', '[]'],
  ['an object', '{"b":1,"a":{"c":[true]}}'],
  ['the empty object', '{}'],
  ['a number', '42'],
  ['a long number', '12345678901234567890.10'],
  ['minus zero', '-0'],
  ['a number with an exponent', '1E400'],
  ['true', 'true'],
  ['false', 'false'],
  ['null', 'null'],
  ['escapes', String.raw`"\u00e9\ud83d\ude00\ud800 \"\\ \/"`],
  ['names that are numbers, and names twice', '{"2":0,"1":0,"2":1}'],
  ['a dangerous name', '{"__proto__":{"a":1}}'],
  ['deep nesting', `${'['.repeat(5000)}${']'.repeat(5000)}`],
];

for (const [what, text] of jsonTexts) {
  test(`JSON comes back to the letter: ${what}`, () =>
    withHttpApi(async (api) => {
      assert.equal(await put(api, 'k', text, JSON_TYPE), 204);
      assert.equal(stored(api, 'k'), text);
      const answer = await api.ask('/v1/keys/k');
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('content-type'), 'application/json');
      assert.equal(await answer.text(), text);
    }));
}

test('blanks between the tokens of JSON are not stored, those inside of strings are', () =>
  withHttpApi(async (api) => {
    const text = ' {\r\n\t"a b" : [ 1 , " \\" x " ] ,\n"c":"\\\\" } \n';
    assert.equal(await put(api, 'k', text, JSON_TYPE), 204);
    assert.equal(stored(api, 'k'), '{"a b":[1," \\" x "],"c":"\\\\"}');
  }));

for (const [what, text] of [
  ['nothing', ''],
  ['a word', 'hello'],
  ['two values', '1 2'],
  ['a comma too many', '[1,]'],
  ['a byte order mark', '\ufeff1'],
  ['NaN', 'NaN'],
  ['a number in another style', '01'],
  ['an open string', '"abc'],
] as const) {
  test(`what is said to be JSON and is not is refused: ${what}`, () =>
    withHttpApi(async (api) => {
      const answer = await api.ask('/v1/keys/k', { method: 'PUT', body: text, headers: JSON_TYPE });
      const { code, outcome, detail } = (await answer.json()) as Record<string, string>;
      assert.deepEqual([answer.status, code, outcome], [400, 'invalid', 'fail']);
      assert.match(detail!, /not JSON.*nothing was written/);
      assert.equal(api.node.rows.size, 0);
    }));
}

test('JSON in another encoding than UTF-8 is refused', () =>
  withHttpApi(async (api) => {
    assert.equal(await put(api, 'k', Buffer.from([0x22, 0xff, 0x22]), JSON_TYPE), 400);
    const latin = { 'content-type': 'application/json; charset=iso-8859-1' };
    assert.equal(await put(api, 'k', '1', latin), 415);
    assert.equal(api.node.rows.size, 0);
    assert.equal(await put(api, 'k', '1', { 'content-type': 'application/json; charset="UTF-8"' }), 204);
  }));

test('any other content type is stored byte for byte', () =>
  withHttpApi(async (api) => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    const types = [
      'application/octet-stream',
      'text/plain',
      'image/png',
      'application/x-www-form-urlencoded',
    ];
    for (const type of types) {
      assert.equal(await put(api, 'k', all, { 'content-type': type }), 204);
      assert.equal(stored(api, 'k'), Buffer.from(all).toString('latin1'));
    }
    const answer = await api.ask('/v1/keys/k');
    assert.equal(answer.headers.get('content-type'), 'application/octet-stream');
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), all);
    assert.equal(await put(api, 'blanks', ' { "a" : 1 } ', { 'content-type': 'text/plain' }), 204);
    assert.equal(stored(api, 'blanks'), ' { "a" : 1 } ');
  }));

test('a body without a content type, and no body at all', () =>
  withHttpApi(async (api) => {
    const head = 'PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n';
    assert.match(await api.raw(`${head}Content-Length: 3\r\n\r\nabc`), /^HTTP\/1.1 204 /);
    assert.equal(stored(api, 'k'), 'abc');
    assert.match(await api.raw(`${head}Content-Length: 0\r\n\r\n`), /^HTTP\/1.1 204 /);
    assert.equal(stored(api, 'k'), '');
    assert.match(await api.raw(`${head}\r\n`), /^HTTP\/1.1 204 /);
    const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n`;
    assert.match(await api.raw(chunked), /^HTTP\/1.1 204 /);
    assert.equal(stored(api, 'k'), 'abc');
    const answer = await api.ask('/v1/keys/k');
    assert.equal(await answer.text(), 'abc');
  }));

test('parts of values, forms with parts and encoded bodies are refused, and nothing is stored', () =>
  withHttpApi(async (api) => {
    assert.equal(await put(api, 'k', 'x', { 'content-encoding': 'gzip' }), 415);
    assert.equal(await put(api, 'k', 'x', { 'content-range': 'bytes 0-0/2' }), 400);
    // `curl -F` wraps the file in parts; what the parts are called would be lost.
    assert.equal(await put(api, 'k', 'x', { 'content-type': 'Multipart/form-data; boundary=b' }), 415);
    assert.equal(api.node.rows.size, 0);
    assert.equal(await put(api, 'k', 'x', { 'content-encoding': 'identity' }), 204);
  }));

test('the reader says as what a value is shown: by ?as= or by Accept', () =>
  withHttpApi(async (api) => {
    const typeOf = async (path: string, accept?: string): Promise<string> => {
      const headers = accept === undefined ? {} : { accept };
      const answer = await api.ask(`/v1/keys/${path}`, { headers });
      await answer.arrayBuffer();
      return answer.status === 200 ? answer.headers.get('content-type')! : String(answer.status);
    };
    await put(api, 'json', '{"a":1}');
    await put(api, 'text', 'grüße');
    await put(api, 'bytes', Uint8Array.of(0xff, 0xfe));
    const text = 'text/plain; charset=utf-8';
    const cases: readonly (readonly [string, string | undefined, string])[] = [
      ['json', undefined, 'application/json'],
      ['json?as=text', undefined, text],
      ['json?as=bytes', undefined, 'application/octet-stream'],
      ['json?as=bytes', 'application/json', 'application/octet-stream'],
      ['json', 'text/plain', text],
      ['json', 'application/octet-stream', 'application/octet-stream'],
      ['json', 'text/html, */*;q=0.1', 'application/json'],
      ['json', 'application/json;q=0.1, text/plain', text],
      ['json', 'application/json;q=0, */*', 'application/octet-stream'],
      ['json', 'application/*', 'application/json'],
      ['json', 'text/html', '406'],
      ['text', undefined, 'application/octet-stream'],
      ['text', 'application/json, text/plain;q=0.5', text],
      ['text', 'application/json', '406'],
      ['text?as=json', undefined, '406'],
      ['text?as=text', undefined, text],
      ['bytes', 'text/plain, application/octet-stream;q=0.1', 'application/octet-stream'],
      ['bytes?as=text', undefined, '406'],
      ['bytes?as=xml', undefined, '400'],
      ['bytes', 'nonsense', 'application/octet-stream'],
    ];
    for (const [path, accept, expected] of cases) {
      assert.equal(await typeOf(path, accept), expected, `${path} with Accept: ${accept}`);
    }
  }));

test('bytes are told to be JSON by what they are, blanks included', () => {
  for (const text of ['{}', '[1]', '"a"', '-1', '0', 'true', 'false', 'null', ' 1', '\t1', '\r\n[]\n']) {
    assert.equal(jsonOf(bytesOf(text)), text);
  }
  for (const text of ['', ' ', 'tru', 'nul', 'Infinity', 'word', '{', '\u00ff', '\v1', "'a'", '+1', '.5']) {
    assert.equal(jsonOf(bytesOf(text)), undefined, text);
  }
});

test('HEAD is GET without the body', () =>
  withHttpApi(async (api) => {
    await put(api, 'k', '[1,2]');
    const get = await api.ask('/v1/keys/k');
    const head = await api.ask('/v1/keys/k', { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), '');
    for (const name of ['etag', 'content-type', 'content-length', 'dure-written-at', 'dure-context']) {
      assert.ok(get.headers.has(name), name);
      assert.equal(head.headers.get(name), get.headers.get(name), name);
    }
    assert.equal((await api.ask('/v1/keys/none', { method: 'HEAD' })).status, 404);
  }));

test('a pair at the limit is stored, one byte more is refused with both figures', () =>
  withHttpApi(
    async (api) => {
      assert.equal(await put(api, 'abcd', 'x'.repeat(96)), 204);
      const answer = await api.ask('/v1/keys/abcd', { method: 'PUT', body: 'y'.repeat(97) });
      const { code, outcome, detail } = (await answer.json()) as Record<string, string>;
      assert.deepEqual([answer.status, code, outcome], [413, 'pair-too-large', 'fail']);
      assert.match(detail!, /101 bytes and the limit is 100 \(limits.pairBytesMax\)/);
      // Blanks between tokens do not count.
      assert.equal(await put(api, 'abcd', `[${' '.repeat(1000)}1]`, JSON_TYPE), 204);
      assert.equal(stored(api, 'abcd'), '[1]');
    },
    {},
    new (class extends FakeNode {
      override write(...[key, body, options, done]: Parameters<FakeNode['write']>): void {
        const error = pairError(key, body, this.pairBytesMax);
        if (error !== undefined) done(error, undefined);
        else super.write(key, body, options, done);
      }
    })(3, 100),
  ));

test('time to live: by query or header, shown, and over in time', () =>
  withHttpApi(async (api) => {
    const { node } = api;
    assert.equal(await put(api, 'q?ttl=30s', 'x'), 204);
    assert.equal(await put(api, 'h', 'x', { 'dure-ttl': '2m' }), 204);
    assert.equal(await put(api, 'both?ttl=1500ms', 'x', { 'dure-ttl': '2m' }), 204);
    const endOf = async (key: string): Promise<string | null> =>
      (await api.ask(`/v1/keys/${key}`)).headers.get('dure-expires-at');
    const after = (ms: number): string => new Date(node.now + ms).toISOString();
    assert.deepEqual(
      [await endOf('q'), await endOf('h'), await endOf('both')],
      [after(30_000), after(120_000), after(1500)],
    );
    node.now += 30_000;
    const statuses = ['q', 'h', 'both'].map(async (key) => (await api.ask(`/v1/keys/${key}`)).status);
    assert.deepEqual(await Promise.all(statuses), [404, 200, 404]);
    assert.equal(await put(api, 'h', 'x'), 204);
    assert.equal(await endOf('h'), null);
  }));

for (const ttl of ['0s', '0ms', '-1s', '30', '', '1.5s', '36501d', '30S', '99999999999999s']) {
  test(`a time to live that is none is refused: "${ttl}"`, () =>
    withHttpApi(async (api) => {
      assert.equal(await put(api, `k?ttl=${ttl}`, 'x'), 400);
      if (ttl !== '') assert.equal(await put(api, 'k', 'x', { 'dure-ttl': ttl }), 400);
      assert.equal(api.node.rows.size, 0);
    }));
}

test('a misspelt parameter is refused and stores nothing; the answer says what there is', () =>
  withHttpApi(async (api) => {
    const answer = await api.ask('/v1/keys/k?tlt=30s', { method: 'PUT', body: 'x' });
    const { detail } = (await answer.json()) as Record<string, string>;
    assert.match(detail!, /"tlt", expected ttl, consistency, r, w, quorum, timeout; nothing was done/);
    assert.equal(await put(api, 'k?tlt=30s', 'x'), 400);
    assert.equal(await put(api, 'k?ttl=30s&ttl=1h', 'x'), 400);
    assert.equal(api.node.rows.size, 0);
  }));

test('a value written by a Redis command is read like any other', () =>
  withHttpApi(async (api) => {
    api.node.write('r', { kind: KIND_STRING, value: bytesOf('[1]'), expireAt: 0 }, {}, () => {});
    assert.equal(await (await api.ask('/v1/keys/r')).text(), '[1]');
  }));
