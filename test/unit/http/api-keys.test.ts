/** Keys over HTTP: any bytes in an address, in JSON, and in listings with their cursors. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ByteString, byteString, bytesOf } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { cursorText, positionOf } from '../../../src/http/api/cursor.ts';
import { bytesOfBase64, keyJson, keyOfJson, keyOfUrl, rewriteKeyUrl } from '../../../src/http/api/key.ts';
import { Problem } from '../../../src/http/api/problem.ts';
import { KIND_STRING } from '../../../src/rows/row.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { type HttpApi, withHttpApi } from '../../support/http-api.ts';

interface Page {
  readonly keys: readonly { readonly key?: string; readonly keyBase64?: string }[];
  readonly cursor: string | null;
}

const anyKey = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => byteString(bytes));

function encoded(key: ByteString): string {
  return Buffer.from(bytesOf(key)).toString('hex').replace(/../g, '%$&');
}

test('a key of any bytes is read from its address and from JSON as it was written', () => {
  fc.assert(
    fc.property(anyKey, fc.constantFrom('', '?', '?as=json', '?a=/v1/keys/x?y'), (key, query) => {
      assert.equal(keyOfUrl(`/v1/keys/${encoded(key)}${query}`), key);
      assert.equal(rewriteKeyUrl(`/v1/keys/${encoded(key)}${query}`), `/v1/keys/-${query}`);
      assert.equal(keyOfJson(JSON.parse(JSON.stringify(keyJson(key)))), key);
    }),
  );
});

test('what need not be encoded may stand as it is', () => {
  const utf8 = (text: string): ByteString => byteString(Buffer.from(text));
  for (const [path, key] of [
    ['a', 'a'],
    ['a/b//c/', 'a/b//c/'],
    ['a%2Fb', 'a/b'],
    ['a+b', 'a+b'],
    ['..', '..'],
    ['-', '-'],
    ['%25', '%'],
    ['%e2%82%AC', utf8('€')],
    ['a:b@c;d=e,f!(g)*', 'a:b@c;d=e,f!(g)*'],
  ]) {
    assert.equal(keyOfUrl(`/v1/keys/${path}`), key);
  }
});

for (const path of ['', '%', '%4', 'a%zz', 'a%2', '%%41']) {
  test(`an address that names no key is refused: "${path}"`, () =>
    withHttpApi(async (api) => {
      const answer = await api.raw(
        `PUT /v1/keys/${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx`,
      );
      assert.match(answer, /^HTTP\/1.1 400 /);
      assert.match(answer, /"code":"invalid"/);
      assert.equal(api.node.rows.size, 0);
    }));
}

test('the empty key, by a batch', () =>
  withHttpApi(async (api) => {
    const ask = async (operation: object): Promise<string> => {
      const body = JSON.stringify({ operations: [operation] });
      const init = { method: 'POST', body, headers: { 'content-type': 'application/json' } };
      return (await api.ask('/v1/batch', init)).text();
    };
    assert.match(await ask({ op: 'put', key: '', text: 'x' }), /"status":204/);
    assert.ok(api.node.rows.has(''));
    assert.match(await ask({ op: 'get', keyBase64: '', as: 'text' }), /"key":"".*"text":"x"/);
  }));

test('base64 that Node.js would let pass is refused', () => {
  for (const text of ['A', 'AA', 'AA=', 'AB==', 'AA==\n', 'A-_A', 'AAAA=', ' AAAA']) {
    assert.equal(bytesOfBase64(text), undefined, text);
  }
  assert.deepEqual([...bytesOfBase64('AAH/')!], [0, 1, 255]);
});

test('a key in JSON is text or base64, and not both', () => {
  for (const key of [{}, { key: 'a', keyBase64: 'AA==' }, { keyBase64: 'A' }, { key: '\ud800' }]) {
    assert.throws(() => keyOfJson(key), Problem);
  }
});

function fill(api: HttpApi, keys: readonly ByteString[]): void {
  for (const key of keys) {
    api.node.write(key, { kind: KIND_STRING, value: bytesOf('x'), expireAt: 0 }, {}, () => {});
  }
}

/** All pages of a listing: their keys, and how many each had. */
async function listed(
  api: HttpApi,
  query: string,
  between: () => void = () => {},
): Promise<{ readonly keys: readonly ByteString[]; readonly sizes: readonly number[] }> {
  const keys: ByteString[] = [];
  const sizes: number[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const more: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const answer = await api.ask(`/v1/keys?${query}${more}`);
    assert.equal(answer.status, 200);
    const page = (await answer.json()) as Page;
    keys.push(...page.keys.map(keyOfJson));
    sizes.push(page.keys.length);
    cursor = page.cursor;
    between();
    assert.ok(sizes.length < 3000, 'it comes to an end');
  }
  return { keys, sizes };
}

const many = Array.from({ length: 250 }, (_, i) => `user:${i}`);

test('a listing shows every key with the prefix, once while nothing is written, in pages of about the limit', () =>
  withHttpApi(async (api) => {
    fill(api, [...many, 'other', 'use', byteString(Buffer.from('usér'))]);
    for (const limit of [1, 10, 249, 250, 1000]) {
      const { keys, sizes } = await listed(api, `prefix=user:&limit=${limit}`);
      assert.deepEqual([...keys].sort(), [...many].sort());
      assert.ok(
        sizes.every((size) => size <= limit),
        String(sizes),
      );
    }
    assert.equal((await listed(api, '')).keys.length, 253);
    assert.deepEqual((await listed(api, 'prefix=none:')).keys, []);
  }));

test('a prefix of any bytes, by base64', () =>
  withHttpApi(async (api) => {
    fill(api, ['\u00ff\u0000a', '\u00ffb', 'c']);
    assert.deepEqual((await listed(api, 'prefixBase64=/wA=')).keys, ['\u00ff\u0000a']);
    for (const query of ['prefixBase64=A', 'prefix=a&prefixBase64=YQ==', 'prefix=%FF', 'prefix=a&prefix=b']) {
      assert.equal((await api.ask(`/v1/keys?${query}`)).status, 400, query);
    }
  }));

test('a key that is there from first to last is listed, whatever is written in between', () =>
  withHttpApi(async (api) => {
    fill(api, many);
    let i = 0;
    const churn = (): void => {
      for (let n = 0; n < 40; n++, i++) {
        if (i % 3 === 0) api.node.rows.delete(`user:new:${i - 30}`);
        else fill(api, [`user:new:${i}`]);
      }
    };
    const { keys } = await listed(api, 'prefix=user:&limit=20', churn);
    const seen = new Set(keys);
    assert.deepEqual(
      many.filter((key) => !seen.has(key)),
      [],
    );
  }));

test('a prefix with a whole hash tag looks only where its keys can be', () =>
  withHttpApi(async (api) => {
    fill(api, [...many, '{7}:a', '{7}:b', 'x{7}', '{7']);
    api.node.log.length = 0;
    assert.deepEqual([...(await listed(api, 'prefix={7}:&limit=10')).keys].sort(), ['{7}:a', '{7}:b']);
    assert.ok(api.node.log.length <= 2, api.node.log.join());
    assert.deepEqual((await listed(api, 'prefix={7')).keys.length, 3);
    assert.deepEqual((await listed(api, 'prefix={}')).keys, []);
  }));

test('a page does a bounded part of the walk, and may be empty', () =>
  withHttpApi(async (api) => {
    fill(
      api,
      Array.from({ length: 30_000 }, (_, i) => `a${i}`),
    );
    fill(api, ['b']);
    api.node.log.length = 0;
    const { keys, sizes } = await listed(api, 'prefix=b&limit=1');
    assert.deepEqual(keys, ['b']);
    assert.ok(sizes.length > 1, String(sizes));
    assert.ok(api.node.log.length <= 16 * sizes.length);
  }));

test('a page is done within its time: what was met is shown, and scans are given what is left', () => {
  const timeouts: (number | undefined)[] = [];
  const node = new (class extends FakeNode {
    override scan(...[cursor, count, options, done]: Parameters<FakeNode['scan']>): void {
      timeouts.push(options.timeoutMs);
      this.now += 300;
      super.scan(cursor, Math.min(count, 5), options, done);
    }
  })();
  return withHttpApi(
    async (api) => {
      fill(api, many);
      const page = (await (await api.ask('/v1/keys?prefix=user:')).json()) as Page;
      assert.deepEqual(timeouts.splice(0), [1000, 700, 400, 100]);
      assert.equal(page.keys.length, 20);
      assert.equal(typeof page.cursor, 'string');
      await (await api.ask('/v1/keys?prefix=user:&timeout=400ms')).arrayBuffer();
      assert.deepEqual(timeouts, [400, 100]);
    },
    {},
    node,
  );
});

test('a scan that fails ends the page; only a page that met nothing fails', () =>
  withHttpApi(async (api) => {
    fill(api, many);
    const late = new CodedError('deadline-exceeded', 'none', 'too late');
    api.node.failures.push(undefined, late);
    const page = (await (await api.ask('/v1/keys?prefix=user:1&limit=100')).json()) as Page;
    assert.ok(page.keys.length > 0 && page.keys.length < 111);
    api.node.failures.push(late);
    const answer = await api.ask(`/v1/keys?prefix=user:1&cursor=${page.cursor}`);
    assert.equal(answer.status, 504);
    const { keys } = await listed(api, `prefix=user:1&cursor=${page.cursor}`);
    assert.equal(new Set([...page.keys.map(keyOfJson), ...keys]).size, 111);
  }));

test('a cursor is good for the prefix it was given for, and nothing else passes for one', () =>
  withHttpApi(async (api) => {
    fill(api, many);
    const { cursor } = (await (await api.ask('/v1/keys?prefix=user:&limit=5')).json()) as Page;
    assert.match(cursor!, /^[\w-]{20}$/);
    assert.equal((await api.ask(`/v1/keys?prefix=user:&cursor=${cursor}`)).status, 200);
    for (const query of [
      `cursor=${cursor}`,
      `prefix=user&cursor=${cursor}`,
      'prefix=user:&cursor=',
      'prefix=user:&cursor=0',
      'prefix=user:&cursor=!!!!',
      `prefix=user:&cursor=${cursor!.slice(0, -1)}`,
      `prefix=user:&cursor=${cursor}A`,
      `prefix=user:&cursor=${cursor}%0A`,
      `prefix=user:&cursor=${'A'.repeat(20)}`,
      `prefix=user:&cursor=${'A'.repeat(65)}`,
    ]) {
      const answer = await api.ask(`/v1/keys?${query}`);
      assert.equal(answer.status, 400, query);
      assert.equal(((await answer.json()) as { code: string }).code, 'invalid');
    }
  }));

test('a cursor is read back, and no changed letter passes', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 2 ** 46 }),
      anyKey,
      fc.nat({ max: 19 }),
      fc.nat({ max: 63 }),
      (at, key, i, by) => {
        const text = cursorText(at, key);
        assert.equal(positionOf(text, key), at);
        const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
        const other = letters[(letters.indexOf(text[i]!) + by) % 64]!;
        if (other !== text[i]) {
          assert.throws(() => positionOf(text.slice(0, i) + other + text.slice(i + 1), key), Problem);
        }
      },
    ),
  );
});

test('a forged cursor beyond the end lists nothing and harms nothing', () =>
  withHttpApi(async (api) => {
    fill(api, many);
    for (const at of [2 ** 46, 2 ** 48 - 1]) {
      const page = (await (await api.ask(`/v1/keys?cursor=${cursorText(at, '')}`)).json()) as Page;
      assert.deepEqual(page, { keys: [], cursor: null });
    }
  }));

for (const limit of ['0', '1001', '-1', '1.5', 'ten', '', '1e3']) {
  test(`a limit that is none is refused: "${limit}"`, () =>
    withHttpApi(async (api) => {
      assert.equal((await api.ask(`/v1/keys?limit=${limit}`)).status, 400);
    }));
}
