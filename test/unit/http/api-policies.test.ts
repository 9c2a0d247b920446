/** `/v1/policies`: what it shows, what it changes, and what it refuses. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { type HttpApi, withHttpApi } from '../../support/http-api.ts';

const json = { 'content-type': 'application/json' };

function put(api: HttpApi, path: string, body: unknown): Promise<Response> {
  return api.ask(path, { method: 'PUT', headers: json, body: JSON.stringify(body) });
}

interface Shown {
  readonly policies: readonly Record<string, unknown>[];
  readonly known?: unknown;
}

async function shown(api: HttpApi): Promise<Shown> {
  const answer = await api.ask('/v1/policies');
  assert.equal(answer.status, 200);
  return (await answer.json()) as Shown;
}

async function problemOf(answer: Response): Promise<Record<string, unknown>> {
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  return (await answer.json()) as Record<string, unknown>;
}

describe('/v1/policies', () => {
  it('shows what holds, sets and unsets', async () => {
    const node = new FakeNode();
    node.statusParts = {
      policies: { atRunTime: 0, changedAt: 0, fingerprint: '0'.repeat(16), inForce: 'f'.repeat(16) },
    };
    await withHttpApi(
      async (api) => {
        const numbers = { r: 2, w: 2, quorum: 'sloppy', siblingsRead: 'newest' };
        const byDefault = { ...numbers, conflicts: 'last-write-wins', ttl: '0', policy: 'PA/EC' };
        assert.deepEqual(await shown(api), {
          node: 'n1',
          replicas: 3,
          policies: [{ prefix: '', ...byDefault, origin: 'default' }],
          known: { atRunTime: 0, changedAt: 0, fingerprint: '0'.repeat(16), inForce: 'f'.repeat(16) },
        });
        const answer = await put(api, '/v1/policies/cart:', { policy: 'PA/EC', conflicts: 'siblings' });
        assert.equal(answer.status, 200);
        assert.deepEqual(await answer.json(), {
          prefix: 'cart:',
          policy: 'PA/EC SIBLINGS',
          acknowledged: ['n1', 'n2', 'n3'],
          missed: [],
        });
        const { policies } = await shown(api);
        assert.deepEqual(policies[1], {
          prefix: 'cart:',
          ...byDefault,
          conflicts: 'siblings',
          policy: 'PA/EC SIBLINGS',
          origin: 'run-time',
          setAt: new Date(node.now).toISOString(),
        });
        node.dead.add('n3');
        const gone = await api.ask('/v1/policies/cart:', { method: 'DELETE' });
        assert.deepEqual(await gone.json(), { prefix: 'cart:', acknowledged: ['n1', 'n2'], missed: ['n3'] });
        assert.equal(node.runTime.size, 0);
      },
      {},
      node,
    );
  });

  it('takes words and objects, and prefixes of any bytes', async () => {
    await withHttpApi(async (api) => {
      const { node } = api;
      assert.equal((await put(api, '/v1/policies/', 'PC/EC')).status, 200);
      assert.equal((await put(api, '/v1/policies/a/b%2Fc?', 'r=1 w=3 strict')).status, 200);
      assert.equal((await put(api, '/v1/policies/%00%ff', { r: 1, w: 1, ttl: '5s' })).status, 200);
      assert.equal((await put(api, '/v1/policies/-', 'PA/EL')).status, 200);
      const text = {
        method: 'PUT',
        headers: { 'content-type': 'text/plain; charset=utf-8' },
        body: 'PA/EL LWW',
      };
      assert.equal((await api.ask('/v1/policies/t%C3%A9', text)).status, 200);
      assert.deepEqual(
        [...node.runTime],
        [
          ['', { r: 2, w: 2, strict: true }],
          ['a/b/c', { r: 1, w: 3, strict: true }],
          ['\x00\xff', { r: 1, w: 1, strict: false, ttlMs: 5000 }],
          ['-', { r: 1, w: 1, strict: false }],
          ['t\xc3\xa9', { r: 1, w: 1, strict: false, conflicts: 'last-write-wins' }],
        ],
      );
      const prefixes = (await shown(api)).policies.map(({ prefix, prefixBase64 }) => prefix ?? prefixBase64);
      assert.deepEqual(prefixes.slice(1), ['', 'a/b/c', 'AP8=', '-', 'té']);
    });
  });

  it('refuses what cannot be, and changes nothing', async () => {
    await withHttpApi(async (api) => {
      const bad: readonly (readonly [unknown, RegExp])[] = [
        ['R=1 W=4', /W=4 is impossible with N=3/],
        ['faster', /found "faster"/],
        [{ r: 1 }, /whole numbers from 1 for r and w/],
        [{ r: 1, w: 1, tlt: '5s' }, /unknown key "tlt"/],
        [{ policy: 'PC/EC', quorum: 'some' }, /strict or sloppy/],
        [[], /expected/],
        [null, /expected/],
        [17, /expected/],
        ['', /nothing/],
        [{ policy: { policy: { policy: 'nonsense' } } }, /nonsense/],
        [{ __proto__: null, constructor: 1 }, /unknown key "constructor"/],
      ];
      for (const [body, words] of bad) {
        const answer = await put(api, '/v1/policies/a', body);
        assert.equal(answer.status, 400, JSON.stringify(body));
        const { detail, code } = await problemOf(answer);
        assert.equal(code, 'invalid');
        assert.match(String(detail), words);
      }
      const others: readonly (readonly [string, RequestInit, number])[] = [
        ['/v1/policies/a', { method: 'PUT', headers: json, body: '{' }, 400],
        ['/v1/policies/a', { method: 'PUT', headers: json, body: '' }, 400],
        ['/v1/policies/a', { method: 'PUT', headers: json, body: Uint8Array.of(34, 255, 34) }, 400],
        ['/v1/policies/a', { method: 'PUT', headers: { 'content-type': 'text/html' }, body: 'PC/EC' }, 415],
        ['/v1/policies/a', { method: 'PUT', headers: json, body: `"${'x'.repeat(9000)}"` }, 413],
        ['/v1/policies/a?w=3', { method: 'PUT', headers: json, body: '"PC/EC"' }, 400],
        ['/v1/policies/%zz', { method: 'PUT', headers: json, body: '"PC/EC"' }, 400],
        ['/v1/policies?all=1', {}, 400],
        ['/v1/policies/a', { method: 'GET' }, 405],
        ['/v1/policies', { method: 'DELETE' }, 405],
        ['/v1/policies/a', { method: 'PATCH', headers: json, body: '"PC/EC"' }, 405],
        [
          '/v1/policies/a',
          { method: 'PUT', headers: { ...json, origin: 'https://evil.example' }, body: '"PC/EC"' },
          403,
        ],
      ];
      for (const [path, init, status] of others) {
        const answer = await api.ask(path, init);
        assert.equal(answer.status, status, `${init.method} ${path}`);
        await problemOf(answer);
      }
      assert.equal(api.node.runTime.size, 0);
    });
  });

  it('hands on what the node says, with its outcome', async () => {
    await withHttpApi(async (api) => {
      const { node } = api;
      node.failures.push(new CodedError('unavailable', 'fail', 'starting; nothing was changed'));
      const first = await put(api, '/v1/policies/a', 'PC/EC');
      assert.equal(first.status, 503);
      assert.deepEqual(await problemOf(first).then(({ outcome, retryable }) => [outcome, retryable]), [
        'fail',
        true,
      ]);
      node.failures.push(new CodedError('storage-failed', 'unknown', 'the disk is broken'));
      const second = await put(api, '/v1/policies/a', 'PC/EC');
      assert.equal(second.status, 500);
      assert.equal((await problemOf(second)).outcome, 'unknown');
    });
  });

  it('asks for the password', async () => {
    const secret = Buffer.from('secret');
    const password = { matches: (guess: Uint8Array) => secret.equals(guess) };
    await withHttpApi(
      async (api) => {
        assert.equal((await api.ask('/v1/policies')).status, 401);
        assert.equal((await put(api, '/v1/policies/a', 'PC/EC')).status, 401);
        assert.equal((await api.ask('/v1/policies/a', { method: 'DELETE' })).status, 401);
        assert.equal(api.node.runTime.size, 0);
        const authorization = 'Bearer secret';
        assert.equal((await api.ask('/v1/policies', { headers: { authorization } })).status, 200);
      },
      { password },
    );
  });
});
