/**
 * Errors of the HTTP door: each code of the table can be had, with the status it always has, a body that says what
 * became of the data, and whether sending it again may help and does no harm.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError, type ErrorCode, type Outcome } from '../../../src/base/errors.ts';
import { PROBLEM_KINDS, type ProblemCode } from '../../../src/http/api/problem.ts';
import type { HttpServerOptions } from '../../../src/http/http-server.ts';
import { UpdateError, type VersionsDone, type WriteDone } from '../../../src/node/api.ts';
import { Password } from '../../../src/server/password.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { type HttpApi, withHttpApi } from '../../support/http-api.ts';
import { answerIn, problemIn, problemOf, type RawRequest, sendRaw } from '../../support/http-raw.ts';

/** Programs go by these numbers: a change is a break. */
const statuses: Readonly<Record<ProblemCode, number>> = {
  'quorum-unreachable': 503,
  'deadline-exceeded': 504,
  overloaded: 503,
  unavailable: 503,
  'pair-too-large': 413,
  'clock-offset': 503,
  'storage-failed': 500,
  'storage-full': 507,
  corrupt: 500,
  protocol: 502,
  straggler: 503,
  unsupported: 503,
  siblings: 409,
  'siblings-full': 409,
  invalid: 400,
  'not-found': 404,
  'no-such-page': 404,
  'method-not-allowed': 405,
  'precondition-failed': 412,
  'not-acceptable': 406,
  'wrong-type': 409,
  unauthorized: 401,
  'host-refused': 421,
  'origin-refused': 403,
  'body-too-large': 413,
  'answer-too-large': 413,
  'unsupported-media-type': 415,
  'request-timeout': 408,
  'headers-too-large': 431,
  internal: 500,
};

/** Codes that come from the node: what stands behind the door decides when. */
const ofNode: readonly ErrorCode[] = [
  'quorum-unreachable',
  'deadline-exceeded',
  'overloaded',
  'unavailable',
  'pair-too-large',
  'clock-offset',
  'storage-failed',
  'storage-full',
  'corrupt',
  'protocol',
  'straggler',
  'unsupported',
  'siblings',
  'siblings-full',
  'invalid',
];

const PUT: RawRequest = { method: 'PUT', body: 'v' };

class BrokenNode extends FakeNode {
  override readVersions(_key: string, _options: object, _done: VersionsDone): void {
    throw new TypeError('secret words of a stack');
  }
  override write(_key: string, _body: object, _options: object, _done: WriteDone): void {
    throw new TypeError('secret words of a stack');
  }
}

/** One request for each code of the door, and the outcome that its answer tells. */
const cases: readonly {
  readonly code: ProblemCode;
  readonly outcome: Outcome;
  readonly path?: string;
  readonly sent?: RawRequest;
  readonly options?: Partial<HttpServerOptions>;
  readonly node?: () => FakeNode;
}[] = [
  { code: 'not-found', outcome: 'none' },
  { code: 'no-such-page', outcome: 'none', path: '/v1/kyes' },
  { code: 'no-such-page', outcome: 'fail', path: '/v1/kyes/a', sent: PUT },
  { code: 'method-not-allowed', outcome: 'fail', path: '/v1/keys/a', sent: { method: 'POST', body: 'v' } },
  { code: 'precondition-failed', outcome: 'fail', sent: { ...PUT, headers: { 'if-match': '*' } } },
  { code: 'not-acceptable', outcome: 'none', path: '/v1/keys/there?as=json' },
  {
    code: 'wrong-type',
    outcome: 'fail',
    sent: { ...PUT, headers: { 'if-match': '*' } },
    node: () => {
      const node = new FakeNode();
      node.update = (_key, _operation, _args, _options, done) =>
        done(undefined, new UpdateError('WRONGTYPE another kind of value'), undefined);
      return node;
    },
  },
  { code: 'unauthorized', outcome: 'none', options: { password: new Password('x') } },
  { code: 'unauthorized', outcome: 'fail', sent: PUT, options: { password: new Password('x') } },
  { code: 'host-refused', outcome: 'none', sent: { headers: { host: 'evil.example' } } },
  { code: 'host-refused', outcome: 'fail', sent: { ...PUT, headers: { host: 'evil.example' } } },
  { code: 'origin-refused', outcome: 'fail', sent: { ...PUT, headers: { origin: 'https://evil.example' } } },
  { code: 'body-too-large', outcome: 'fail', sent: { method: 'PUT', body: 'x'.repeat(2_000_000) } },
  {
    code: 'unsupported-media-type',
    outcome: 'fail',
    path: '/v1/batch',
    sent: { method: 'POST', body: '{}', headers: { 'content-type': 'text/plain' } },
  },
  { code: 'overloaded', outcome: 'none', options: { limits: { requestsMax: 0 } } },
  { code: 'internal', outcome: 'none', node: () => new BrokenNode() },
  { code: 'internal', outcome: 'unknown', sent: PUT, node: () => new BrokenNode() },
  ...[
    '/v1/keys/',
    '/v1/keys/%',
    '/v1/keys/%f',
    '/v1/keys/a%zz',
    '/v1/keys/a?as=xml',
    '/v1/keys/a?r=0',
    '/v1/keys/a?r=4',
    '/v1/keys/a?r=1&r=1',
    '/v1/keys/a?R=1',
    '/v1/keys/a?ttl=1s',
    '/v1/keys/a?timeout=1',
    '/v1/keys/a?timeout=0ms',
    '/v1/keys/a?timeout=30001ms',
    '/v1/keys/a?as=%ff',
    '/v1/keys/a?as=%',
    '/v1/keys?prefix=%ff',
    '/v1/keys?limit=0',
    '/v1/keys?limit=1001',
    '/v1/keys?cursor=abc',
    '/v1/keys?prefix=a&prefixBase64=YQ==',
    '/v1/keys?prefixBase64=YQ',
    '/v1/keys?constructor=1',
    '/v1/keys?__proto__=1',
    '/status%ff',
    '/%zz',
  ].map((path) => ({ code: 'invalid', outcome: 'none', path }) as const),
  ...['?ttl=1', '?ttl=0s', '?ttl=36501d', '?tlt=30s', '?w=0', '?as=json'].map((query) => {
    return { code: 'invalid', outcome: 'fail', path: `/v1/keys/a${query}`, sent: PUT } as const;
  }),
  ...['', '{', '"\\u12"', '{"a":1,}', 'NaN', '\ufeff1', '01'].map((body) => {
    const headers = { 'content-type': 'application/json' };
    return { code: 'invalid', outcome: 'fail', sent: { method: 'PUT', body, headers } } as const;
  }),
  ...[
    '',
    '[]',
    'null',
    '{}',
    '{"operations":[]}',
    '{"operations":{}}',
    '{"operations":[{}]}',
    '{"operations":[1]}',
  ].map((body) => {
    const headers = { 'content-type': 'application/json' };
    return {
      code: 'invalid',
      outcome: 'fail',
      path: '/v1/batch',
      sent: { method: 'POST', body, headers },
    } as const;
  }),
];

describe('the table of errors', () => {
  test('has the statuses that programs know', () => {
    const table = Object.fromEntries(
      Object.entries(PROBLEM_KINDS).map(([code, { status }]) => [code, status]),
    );
    assert.deepEqual(table, statuses);
  });

  for (const { code, outcome, path = '/v1/keys/a', sent = {}, options = {}, node } of cases) {
    const what = `${sent.method ?? 'GET'} ${path} ${String(sent.body ?? '').slice(0, 40)}`;
    test(`${code}, ${outcome}: ${what}`, () =>
      withHttpApi(
        async (api) => {
          const problem = await problemOf(api.port, path, sent);
          assert.deepEqual([problem.code, problem.outcome], [code, outcome], problem.detail);
          assert.doesNotMatch(problem.detail, /secret|FST_|\.ts:|node_modules/);
          if (outcome === 'fail' && code !== 'wrong-type')
            assert.match(problem.detail, /nothing was (done|written)/);
          assert.equal(api.logged.length, code === 'internal' ? 1 : 0);
          if (code === 'internal') assert.match(api.logged[0]!, /secret words of a stack/);
        },
        options,
        node?.() ?? withKey(),
      ));
  }

  test('each code can be had: here, from the node, in a batch, or before there is a request', () => {
    const elsewhere: readonly ProblemCode[] = [
      // api-batch.test.ts
      'answer-too-large',
      // broken-input.test.ts
      'request-timeout',
      'headers-too-large',
    ];
    const had = new Set<string>([...cases.map(({ code }) => code), ...ofNode, ...elsewhere]);
    assert.deepEqual([...had].sort(), Object.keys(PROBLEM_KINDS).sort());
  });
});

function withKey(): FakeNode {
  const node = new FakeNode();
  node.write('there', { kind: 1, value: new Uint8Array([0xff]), expireAt: 0 }, {}, () => {});
  return node;
}

/** Makes the node fail once. */
async function failing(api: HttpApi, code: ErrorCode, outcome: Outcome, path: string, sent: RawRequest) {
  api.node.failures.push(new CodedError(code, outcome, `made for a test: ${code}`));
  return problemOf(api.port, path, sent);
}

describe('errors of the node', () => {
  for (const code of ofNode) {
    test(`${code}: with its own outcome and words, and the word of a write is kept`, () =>
      withHttpApi(async (api) => {
        for (const outcome of ['fail', 'unknown'] as const) {
          const problem = await failing(api, code, outcome, '/v1/keys/a', PUT);
          assert.deepEqual([problem.code, problem.outcome], [code, outcome]);
          assert.equal(problem.detail, `made for a test: ${code}`);
          assert.equal(problem.retryable, PROBLEM_KINDS[code].retryable);
        }
        const read = await failing(api, code, 'none', '/v1/keys/a', {});
        assert.deepEqual([read.code, read.outcome], [code, 'none']);
        assert.deepEqual(api.logged, []);
      }));
  }

  test('of unknown outcome are retryable only if doing it twice is doing it once', () =>
    withHttpApi(async (api) => {
      const ask = (path: string, sent: RawRequest, outcome: Outcome = 'unknown') =>
        failing(api, 'deadline-exceeded', outcome, path, sent);
      const when = (name: string, value: string, sent: RawRequest): RawRequest => ({
        ...sent,
        headers: { [name]: value },
      });
      const DELETE: RawRequest = { method: 'DELETE' };
      assert.equal((await ask('/v1/keys/a', PUT)).retryable, true);
      assert.equal((await ask('/v1/keys/a', DELETE)).retryable, true);
      // The first time, if it took effect, is what the second one would find.
      for (const conditional of [
        when('if-none-match', '*', PUT),
        when('if-match', '*', PUT),
        when('if-match', '*', DELETE),
      ]) {
        assert.equal((await ask('/v1/keys/a', conditional)).retryable, false);
        assert.equal((await ask('/v1/keys/a', conditional, 'fail')).retryable, true);
      }
      // And beside it, under siblings, the second one would stand.
      api.node.policy = { ...api.node.policy, conflicts: 'siblings' };
      assert.equal((await ask('/v1/keys/a', PUT)).retryable, false);
      assert.equal((await ask('/v1/keys/a', {}, 'none')).retryable, true);
    }));
});

describe('methods', () => {
  const pages: readonly (readonly [path: string, allow: string])[] = [
    ['/v1/keys/a', 'GET, HEAD, PUT, DELETE'],
    ['/v1/keys/a/b', 'GET, HEAD, PUT, DELETE'],
    ['/v1/keys', 'GET, HEAD'],
    ['/v1/batch', 'POST'],
    ['/openapi.json', 'GET, HEAD'],
    ['/status', 'GET, HEAD'],
    ['/members', 'GET, HEAD'],
    ['/metrics', 'GET, HEAD'],
    ['/health/live', 'GET, HEAD'],
    ['/health/ready', 'GET, HEAD'],
    ['/repair', 'POST'],
  ];
  const methods = ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'MKCOL'];

  for (const [path, allow] of pages) {
    test(`${path}: ${allow}; any other is told so, and does nothing`, () =>
      withHttpApi(async (api) => {
        for (const method of methods.filter((each) => !allow.split(', ').includes(each))) {
          const answer = await sendRaw(api.port, path, { method });
          assert.equal(answer.status, 405, method);
          assert.equal(answer.headers.allow, allow);
          if (method !== 'HEAD') assert.equal(problemIn(answer).code, 'method-not-allowed');
        }
        assert.deepEqual(api.node.log, []);
      }));
  }
});

test('an error of a HEAD has the headers of that of a GET, and no body', () =>
  withHttpApi(async (api) => {
    const received = await api.raw(
      'HEAD /v1/keys/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    );
    const [head = '', body] = received.split('\r\n\r\n');
    assert.equal(body, '');
    const { status, headers } = answerIn(
      `${head.replace(/content-length: \d+/, 'content-length: 0')}\r\n\r\n`,
    );
    assert.deepEqual([status, headers['dure-outcome']], [404, 'none']);
    assert.equal(headers['content-type'], 'application/problem+json');
  }));
