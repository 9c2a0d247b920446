/**
 * What is no request, comes too slowly, or too often: each is answered with a problem that says what became of the
 * data, nothing is done, and the door stays open for others. And clients that go away.
 */

import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import type { ProblemBody } from '../../../src/http/api/problem.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { type HttpApi, withHttpApi } from '../../support/http-api.ts';
import { answerIn, problemIn, problemOf, sendRaw } from '../../support/http-raw.ts';
import { delay, until } from '../../support/wait.ts';

const head = 'Host: localhost\r\n';

/** The problem that bytes are answered with, after which the connection is closed. */
async function problemOfBytes(api: HttpApi, bytes: string): Promise<ProblemBody> {
  const answer = answerIn(await api.raw(bytes));
  assert.equal(answer.rest, '', 'one answer, and the connection is closed');
  return problemIn(answer);
}

/** A socket and what it received. */
class Wire {
  readonly socket: Socket;
  received = '';
  closed = false;

  constructor(port: number, allowHalfOpen = false) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen });
    this.socket.on('data', (part) => {
      this.received += part.toString('latin1');
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
    });
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  statuses(): number[] {
    return [...this.received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
  }
}

/** The door serves: also when nothing of what was before is left over. */
async function stillServes(api: HttpApi): Promise<void> {
  const put = await sendRaw(api.port, '/v1/keys/alive', { method: 'PUT', body: 'yes' });
  assert.equal(put.status, 204);
  assert.equal((await sendRaw(api.port, '/v1/keys/alive?as=text')).text, 'yes');
}

describe('what is no request', () => {
  const put = `PUT /v1/keys/a HTTP/1.1\r\n${head}`;
  const nonsense: readonly (readonly [string, string])[] = [
    ['another protocol', '*1\r\n$4\r\nPING\r\n'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['a method that is none', `FROB /v1/keys/a HTTP/1.1\r\n${head}\r\n`],
    ['an address with a blank', `GET /v1/keys/a b HTTP/1.1\r\n${head}\r\n`],
    ['a header without a name', `${put}: x\r\nContent-Length: 1\r\n\r\nx`],
    ['a header folded over lines', `${put}A: b\r\n c\r\nContent-Length: 1\r\n\r\nx`],
    ['a zero byte', `${put}A: \0\r\nContent-Length: 1\r\n\r\nx`],
    ['two lengths', `${put}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx`],
    ['a length that is none', `${put}Content-Length: -1\r\n\r\nx`],
    ['a length beyond all numbers', `${put}Content-Length: 99999999999999999999\r\n\r\nx`],
    [
      'a length and chunks',
      `${put}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`,
    ],
    ['an unknown transfer encoding', `${put}Transfer-Encoding: gzip\r\n\r\nx`],
    ['a chunk without a length', `${put}Transfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n0\r\n\r\n`],
  ];
  for (const [what, bytes] of nonsense) {
    test(`is refused: ${what}`, () =>
      withHttpApi(async (api) => {
        const { code, outcome, retryable, detail } = await problemOfBytes(api, bytes);
        assert.deepEqual([code, outcome, retryable], ['invalid', 'fail', false]);
        assert.match(detail, /nothing was done/);
        assert.deepEqual(api.node.log, []);
        assert.deepEqual(api.logged, []);
        await stillServes(api);
      }));
  }

  test('CONNECT is refused in words: this is no proxy', () =>
    withHttpApi(async (api) => {
      const answer = answerIn(await api.raw(`CONNECT other:80 HTTP/1.1\r\n${head}\r\n`));
      assert.equal(problemIn(answer).code, 'method-not-allowed');
      assert.equal(answer.headers.allow, 'GET, HEAD, PUT, POST, DELETE');
    }));

  test('an expectation that nobody knows is left alone; a body is told to come on', () =>
    withHttpApi(async (api) => {
      const end = 'Content-Length: 1\r\nConnection: close\r\n\r\nx';
      assert.match(await api.raw(`${put}Expect: wonders\r\n${end}`), /^HTTP\/1\.1 204 /);
      const told = await api.raw(`${put}Expect: 100-continue\r\n${end}`);
      assert.match(told, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 204 /);
    }));

  test('nor does an interim answer fall into the answer of a request in a queue', () =>
    withHttpApi(async (api) => {
      const get = `GET /v1/keys/a HTTP/1.1\r\n${head}`;
      const first = answerIn(await api.raw(`${get}\r\n${get}Expect: 100-continue\r\n\r\n`));
      assert.equal(problemIn(first).code, 'not-found');
      const second = answerIn(first.rest);
      assert.equal(problemIn(second).code, 'not-found');
      // Whether its body comes, nobody knows: so this is the last answer.
      assert.deepEqual([second.headers.connection, second.rest], ['close', '']);
    }));

  test('headers above 32 KiB are refused, also those of an address; just below they are taken', () =>
    withHttpApi(async (api) => {
      for (const bytes of [
        `GET /v1/keys/a HTTP/1.1\r\n${head}X: ${'x'.repeat(33 * 1024)}\r\n\r\n`,
        `GET /v1/keys/${'k'.repeat(33 * 1024)} HTTP/1.1\r\n${head}\r\n`,
        `GET /v1/keys/a HTTP/1.1\r\n${head}${'a: b\r\n'.repeat(20_000)}\r\n`,
      ]) {
        const { code, outcome } = await problemOfBytes(api, bytes);
        assert.deepEqual([code, outcome], ['headers-too-large', 'fail']);
      }
      const key = 'k'.repeat(32_000);
      assert.equal((await sendRaw(api.port, `/v1/keys/${key}`, { method: 'PUT', body: 'v' })).status, 204);
      assert.equal(api.node.rows.has(key), true);
    }));

  test('a condition behind two thousand other headers counts', () =>
    withHttpApi(async (api) => {
      await stillServes(api);
      const many = 'a:b\r\n'.repeat(3000);
      const bytes = `PUT /v1/keys/alive HTTP/1.1\r\n${head}${many}If-None-Match: *\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx`;
      assert.equal((await problemOfBytes(api, bytes)).code, 'precondition-failed');
    }));
});

test('who sends on after a refusal, and reads late, has the answer, and is cut off', () =>
  withHttpApi(async (api) => {
    // It does not close when it is told to.
    const wire = new Wire(api.port, true);
    wire.socket.pause();
    wire.send('FROB\r\n\r\n');
    const beganAt = performance.now();
    const flood = setInterval(() => wire.socket.write(Buffer.alloc(10_000)), 5);
    await delay(200);
    wire.socket.resume();
    await until(() => wire.closed, 'the connection is closed', 5000);
    clearInterval(flood);
    assert.deepEqual(wire.statuses(), [400]);
    assert.ok(performance.now() - beganAt > 500, 'it was read from for a while');
    assert.deepEqual(api.logged, []);
  }));

test('a body above the limit is refused, thrown away, and the connection goes on', () =>
  withHttpApi(
    async (api) => {
      const limit = 10_240 + 16_384;
      const put = `PUT /v1/keys/a HTTP/1.1\r\n${head}`;
      const chunks = (length: number): string =>
        `${put}Transfer-Encoding: chunked\r\n\r\n${length.toString(16)}\r\n${'x'.repeat(length)}\r\n0\r\n\r\n`;
      const known = (length: number): string =>
        `${put}Content-Length: ${length}\r\n\r\n${'x'.repeat(length)}`;
      const last = `GET /health/live HTTP/1.1\r\n${head}Connection: close\r\n\r\n`;
      let rest = await api.raw(
        [chunks(limit + 1), known(limit + 1), known(9_000_000), chunks(9_000_000), known(limit), last].join(
          '',
        ),
      );
      for (let i = 0; i < 4; i++) {
        const answer = answerIn(rest);
        const { code, outcome } = problemIn(answer);
        assert.deepEqual([code, outcome], ['body-too-large', 'fail']);
        rest = answer.rest;
      }
      // The limit is that of a value with blanks around it: a fake node takes all of it.
      assert.match(rest, /^HTTP\/1\.1 204 .*HTTP\/1\.1 200 OK/s);
      assert.equal(api.node.rows.size, 1);
    },
    {},
    new FakeNode(3, 10_240),
  ));

describe('what is broken behind requests under way', () => {
  test('waits for their answers: a write is not told that nothing was done', () =>
    withHttpApi(async (api) => {
      api.node.holds = true;
      const wire = new Wire(api.port);
      const put = `PUT /v1/keys/a HTTP/1.1\r\n${head}Content-Length: 1\r\n\r\nx`;
      wire.send(`${put}${put}FROB\r\n\r\n`);
      await until(() => api.node.held.length === 2, 'both writes are under way');
      wire.send('more of it');
      await delay(30);
      assert.equal(wire.received, '', 'no answer before that of the first write');
      api.node.release(1);
      api.node.release();
      await until(() => wire.closed, 'the connection is closed');
      assert.deepEqual(wire.statuses(), [204, 204, 400]);
    }));

  test('does not wait for a request that is itself what is broken', () =>
    withHttpApi(async (api) => {
      api.node.holds = true;
      const wire = new Wire(api.port);
      wire.send(`GET /v1/keys/a HTTP/1.1\r\n${head}\r\n`);
      wire.send(`PUT /v1/keys/b HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nZZ\r\n`);
      await until(() => api.node.held.length === 1, 'the read is under way');
      api.node.release();
      await until(() => wire.closed, 'the connection is closed');
      assert.deepEqual(wire.statuses(), [404, 400]);
      assert.deepEqual([...api.node.rows.keys()], []);
      assert.deepEqual(api.logged, []);
    }));
});

describe('a request that comes slowly', () => {
  for (const [what, sent] of [
    ['nothing at all', ''],
    ['half of its headers', `PUT /v1/keys/a HTTP/1.1\r\n${head}Content-`],
    ['half of its body', `PUT /v1/keys/a HTTP/1.1\r\n${head}Content-Length: 1000\r\n\r\nhalf`],
    ['half of its chunks', `PUT /v1/keys/a HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\nFF\r\nha`],
  ] as const) {
    test(`is answered 408 and closed: ${what}`, () =>
      withHttpApi(
        async (api) => {
          const wire = new Wire(api.port);
          // Each letter on its way keeps the connection busy, and helps nothing.
          wire.send(sent);
          const drip = setInterval(() => wire.socket.writable && sent !== '' && wire.send('x'), 50);
          const beganAt = performance.now();
          await until(() => wire.closed, 'the connection is closed', 5000);
          clearInterval(drip);
          assert.ok(performance.now() - beganAt < 2000);
          const { code, outcome, retryable } = problemIn(answerIn(wire.received));
          assert.deepEqual([code, outcome, retryable], ['request-timeout', 'fail', true]);
          assert.deepEqual(api.node.log, []);
          await stillServes(api);
        },
        { arrivalMsMax: 400 },
      ));
  }
});

describe('too many', () => {
  const overloaded = { code: 'overloaded', outcome: 'fail', retryable: true };
  const pick = ({ code, outcome, retryable }: ProblemBody) => ({ code, outcome, retryable });

  test('requests: 503 with Retry-After, nothing is done, and health is still told', () =>
    withHttpApi(
      async (api) => {
        api.node.holds = true;
        const first = [1, 2, 3].map((i) => sendRaw(api.port, `/v1/keys/${i}`, { method: 'PUT', body: 'v' }));
        await until(() => api.node.held.length === 3, 'three are under way');
        for (const [method, path] of [
          ['GET', '/v1/keys/a'],
          ['PUT', '/v1/keys/a'],
          ['GET', '/v1/keys'],
          ['POST', '/v1/batch'],
        ] as const) {
          const answer = await sendRaw(api.port, path, { method });
          const outcome = method === 'GET' ? 'none' : 'fail';
          assert.deepEqual(pick(problemIn(answer)), { ...overloaded, outcome }, `${method} ${path}`);
          assert.equal(answer.headers['retry-after'], '1');
        }
        assert.equal((await sendRaw(api.port, '/health/ready')).status, 200);
        assert.equal(api.node.log.length, 3);
        api.node.holds = false;
        while (api.node.held.length > 0) api.node.release();
        for (const answer of await Promise.all(first)) assert.equal(answer.status, 204);
        await stillServes(api);
      },
      { limits: { requestsMax: 3 } },
    ));

  test('batches: 503, however their address is written; single requests are served', () =>
    withHttpApi(
      async (api) => {
        api.node.holds = true;
        const body = '{"operations":[{"op":"get","key":"a"}]}';
        const headers = { 'content-type': 'application/json' };
        const batch = { method: 'POST', body, headers };
        const first = sendRaw(api.port, '/v1/batch', batch);
        await until(() => api.node.held.length === 1, 'one is under way');
        for (const path of ['/v1/batch', '/v1/b%61tch', '/v1/batch?r=1']) {
          assert.deepEqual(pick(await problemOf(api.port, path, batch)), overloaded, path);
        }
        api.node.holds = false;
        await stillServes(api);
        api.node.release();
        assert.equal((await first).status, 200);
        assert.equal((await sendRaw(api.port, '/v1/batch', batch)).status, 200);
      },
      { limits: { batchesMax: 1 } },
    ));

  test('requests that nobody waits for any more are not counted, in a queue on one connection neither', () =>
    withHttpApi(
      async (api) => {
        api.node.holds = true;
        for (let round = 1; round <= 4; round++) {
          const wire = new Wire(api.port);
          wire.send(`GET /v1/keys/a HTTP/1.1\r\n${head}\r\n`.repeat(8));
          await until(() => api.node.held.length === 8 * round, `round ${round} is under way`);
          wire.socket.destroy();
          await until(() => wire.closed, 'gone');
          await delay(20);
        }
        api.node.holds = false;
        await stillServes(api);
      },
      { limits: { requestsMax: 8 } },
    ));

  test('a request that takes too long is cut off, and makes room', () =>
    withHttpApi(
      async (api) => {
        api.node.holds = true;
        const beganAt = performance.now();
        await assert.rejects(sendRaw(api.port, '/v1/keys/a'), { code: 'ECONNRESET' });
        assert.ok(performance.now() - beganAt < 2000);
        api.node.holds = false;
        await stillServes(api);
      },
      { limits: { requestsMax: 1, answerMsMax: 200 } },
    ));
});

describe('a client that goes away', () => {
  test('in the middle of its body: nothing is written, nothing is logged', () =>
    withHttpApi(async (api) => {
      const wire = new Wire(api.port);
      wire.send(`PUT /v1/keys/a HTTP/1.1\r\n${head}Content-Length: 10\r\n\r\nhalf`);
      await delay(30);
      wire.socket.destroy();
      await stillServes(api);
      assert.deepEqual([...api.node.rows.keys()], ['alive']);
      assert.deepEqual(api.logged, []);
    }));

  test('before its answer: what it asked for is done, and nothing is logged', () =>
    withHttpApi(async (api) => {
      api.node.holds = true;
      const wire = new Wire(api.port);
      wire.send(`PUT /v1/keys/a HTTP/1.1\r\n${head}Content-Length: 1\r\n\r\nx`);
      await until(() => api.node.held.length === 1, 'the write is under way');
      wire.socket.resetAndDestroy();
      await until(() => wire.closed, 'gone');
      api.node.holds = false;
      api.node.release();
      await stillServes(api);
      assert.equal(api.node.rows.has('a'), true);
      assert.deepEqual(api.logged, []);
    }));

  test('in the middle of a batch: the rest of the batch is not begun', () =>
    withHttpApi(async (api) => {
      api.node.holds = true;
      const operations = Array.from({ length: 100 }, (_, i) => ({ op: 'put', key: `k${i}`, text: 'v' }));
      const body = JSON.stringify({ operations });
      const wire = new Wire(api.port);
      wire.send(
        `POST /v1/batch HTTP/1.1\r\n${head}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      await until(() => api.node.held.length === 16, 'as many as go side by side');
      wire.socket.destroy();
      await until(() => wire.closed, 'gone');
      await delay(30);
      api.node.holds = false;
      while (api.node.held.length > 0) api.node.release();
      await stillServes(api);
      assert.equal(api.node.rows.size, 16 + 1);
    }));

  test('with a large answer half read: what it holds is let go', () => {
    const node = new FakeNode(3, 64 * 1024 * 1024);
    return withHttpApi(
      async (api) => {
        node.write(
          'big',
          { kind: 0, value: bytesOf('x'.repeat(32 * 1024 * 1024)), expireAt: 0 },
          {},
          () => {},
        );
        const wire = new Wire(api.port);
        wire.socket.pause();
        wire.send(`GET /v1/keys/big?as=bytes HTTP/1.1\r\n${head}\r\n`);
        const refused = await problemOf(api.port, '/v1/keys/other').catch(() => undefined);
        assert.ok(refused === undefined || refused.code === 'overloaded' || refused.code === 'not-found');
        await until(async () => {
          const { status } = await sendRaw(api.port, '/v1/keys/other');
          return status === 404;
        }, 'the slow reader was cut off');
      },
      { limits: { requestsMax: 1, answerMsMax: 300 } },
      node,
    );
  });
});
