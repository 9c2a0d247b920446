/**
 * Who may speak to the HTTP door: host names (DNS rebinding), pages of other sites, and the password. The attacker
 * is a web page in the browser of somebody on whose machine a node listens on loopback.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HttpServerOptions } from '../../../src/http/http-server.ts';
import type { MemberView } from '../../../src/node/api.ts';
import { Password } from '../../../src/server/password.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { type HttpApi, withHttpApi } from '../../support/http-api.ts';
import { problemIn, type RawRequest, sendRaw } from '../../support/http-raw.ts';

const guarded = ['/v1/keys/a', '/v1/keys', '/openapi.json', '/members', '/status'];
const open = ['/health/live', '/health/ready', '/metrics'];

/** A node whose members are called by names. */
class NamedNode extends FakeNode {
  override members(): readonly MemberView[] {
    return super.members().map((member) => ({ ...member, host: `${member.id}.Farm.example` }));
  }
}

/** The code of the problem that a request is answered with; its status if it is none. */
async function answerTo({ port }: HttpApi, path: string, sent: RawRequest): Promise<string | number> {
  const answer = await sendRaw(port, path, sent);
  return answer.status < 400 || answer.text === '' ? answer.status : problemIn(answer).code;
}

const PUT: RawRequest = { method: 'PUT', body: 'evil' };

describe('host names', () => {
  const own = [
    'localhost',
    'LOCALHOST:8371',
    'localhost.',
    'app.localhost:1',
    'ip6-localhost',
    '127.0.0.1:8371',
    '10.1.2.3',
    '[::1]:8371',
    '[2001:db8::1]',
    'n2.farm.example:8371',
    'dure.example',
    'DURE.example:80',
  ];
  const strange = [
    'evil.example',
    'evil.example:8371',
    'localhost.evil.example',
    'notlocalhost',
    '127.0.0.1.evil.example',
    'n4.farm.example',
    'sub.dure.example',
    'localhost:8371:1',
    'localhost@evil.example',
    'local host',
    '[::1].evil.example',
    '127.1',
  ];
  const withNames = (run: (api: HttpApi) => Promise<void>): Promise<void> =>
    withHttpApi(run, { hosts: ['dure.example'] }, new NamedNode());

  test('those of this node, of its members, of http.hosts and all IP addresses are answered', () =>
    withNames(async (api) => {
      for (const host of own) {
        assert.equal(await answerTo(api, '/status', { headers: { host } }), 200, host);
        assert.equal(await answerTo(api, '/v1/keys/a', { ...PUT, headers: { host } }), 204, host);
      }
    }));

  test('any other name, as after DNS rebinding, is refused: nothing is read or written', () =>
    withNames(async (api) => {
      for (const host of strange) {
        for (const path of guarded) {
          assert.equal(await answerTo(api, path, { headers: { host } }), 'host-refused', `${host} ${path}`);
        }
        assert.equal(await answerTo(api, '/v1/keys/a', { ...PUT, headers: { host } }), 'host-refused');
        assert.equal(await answerTo(api, '/repair', { method: 'POST', headers: { host } }), 'host-refused');
        assert.equal(await answerTo(api, '/nothing', { headers: { host } }), 'host-refused');
      }
      assert.deepEqual(api.node.log, []);
    }));

  test('health and metrics are answered under any name', () =>
    withNames(async (api) => {
      for (const path of open) {
        assert.equal(await answerTo(api, path, { headers: { host: 'evil.example' } }), 200, path);
      }
      for (const path of [
        '/metrics/../v1/keys/a',
        '/health/../status',
        '/metricsx',
        '/metrics%2f..%2fstatus',
      ]) {
        assert.equal(await answerTo(api, path, { headers: { host: 'evil.example' } }), 'host-refused', path);
      }
    }));

  test('the name in the address counts instead of the header, and the key is what stands behind it', () =>
    withNames(async (api) => {
      const ask = async (target: string, host: string): Promise<string> => {
        const head = `PUT ${target} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx`;
        return (await api.raw(head)).slice(9, 12);
      };
      assert.equal(await ask('http://evil.example/v1/keys/-', 'localhost'), '421');
      assert.equal(await ask('http://localhost/v1/keys/-', 'evil.example'), '204');
      assert.equal(await ask('HTTP://dure.example:80/v1/keys/b%20c?ttl=1m', 'localhost'), '204');
      assert.deepEqual([...api.node.rows.keys()], ['-', 'b c']);
    }));

  test('an address that only a router takes for one of a key is no page: it has no key', () =>
    withNames(async (api) => {
      for (const path of ['/%76%31/keys/-', '/v1/%6beys/-', '/v%31/keys/abc', '//v1/keys/-', '/V1/keys/a']) {
        assert.equal(await answerTo(api, path, PUT), 'no-such-page', path);
      }
      assert.deepEqual([...api.node.rows.keys()], []);
    }));

  test('a request in HTTP/1.1 without Host is refused, also of an open page', () =>
    withNames(async (api) => {
      for (const path of ['/v1/keys/a', '/metrics']) {
        const received = await api.raw(`GET ${path} HTTP/1.1\r\nConnection: close\r\n\r\n`);
        assert.match(received, /^HTTP\/1\.1 400 .*"the header Host is missing; nothing was done"/s);
      }
      assert.match(await api.raw('GET /metrics HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /);
      assert.match(await api.raw('GET /status HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 421 /);
      const empty = 'GET /status HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n';
      assert.match(await api.raw(empty), /^HTTP\/1\.1 421 /);
    }));
});

describe('pages of other sites', () => {
  const options: Partial<HttpServerOptions> = { origins: ['https://Admin.example'] };
  const refused: readonly Readonly<Record<string, string>>[] = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'https://admin.example.evil.example' },
    { origin: 'http://admin.example' },
    { origin: 'https://admin.example:8443' },
    { origin: 'http://localhost:1' },
    { origin: 'localhost:9' },
    { origin: '' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' },
  ];

  test('are refused, whatever they ask for, and learn nothing', () =>
    withHttpApi(async (api) => {
      for (const headers of refused) {
        const sent = { headers: { host: 'localhost:9', ...headers } };
        for (const path of guarded) {
          const answer = await sendRaw(api.port, path, sent);
          assert.equal(problemIn(answer).code, 'origin-refused', JSON.stringify(headers));
        }
        assert.equal(await answerTo(api, '/v1/keys/a', { ...sent, ...PUT }), 'origin-refused');
        assert.equal(await answerTo(api, '/v1/batch', { ...sent, ...PUT, method: 'POST' }), 'origin-refused');
        assert.equal(await answerTo(api, '/repair', { ...sent, method: 'POST' }), 'origin-refused');
      }
      assert.deepEqual(api.node.log, []);
    }, options));

  test('its own pages, those of http.origins, and clients that are no browsers are served', () =>
    withHttpApi(async (api) => {
      for (const headers of [
        {},
        { origin: 'http://localhost:9' },
        { origin: 'HTTP://LOCALHOST:9', 'sec-fetch-site': 'same-origin' },
        { 'sec-fetch-site': 'none' },
        { origin: 'https://admin.example', 'sec-fetch-site': 'cross-site' },
        { origin: 'HTTPS://ADMIN.example' },
      ]) {
        const sent = { ...PUT, headers: { host: 'localhost:9', ...headers } };
        assert.equal(await answerTo(api, '/v1/keys/a', sent), 204, JSON.stringify(headers));
      }
    }, options));

  test('no answer has a CORS header, and no preflight is granted: not even to http.origins', () =>
    withHttpApi(async (api) => {
      for (const [origin, status] of [
        ['https://evil.example', 403],
        ['https://admin.example', 405],
      ] as const) {
        const headers = { origin, 'access-control-request-method': 'PUT', host: 'localhost' };
        const preflight = await sendRaw(api.port, '/v1/keys/a', { method: 'OPTIONS', headers });
        assert.equal(preflight.status, status);
        const put = await sendRaw(api.port, '/v1/keys/a', { ...PUT, headers: { origin, host: 'localhost' } });
        const get = await sendRaw(api.port, '/health/live', { headers: { origin, host: 'localhost' } });
        for (const { headers: sent } of [preflight, put, get]) {
          assert.deepEqual(
            Object.keys(sent).filter((name) => name.startsWith('access-control')),
            [],
          );
          assert.equal(sent['set-cookie'], undefined);
        }
      }
    }, options));
});

describe('the password', () => {
  const options: Partial<HttpServerOptions> = { password: new Password('pässword : 1') };
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  const wrong: readonly (string | undefined)[] = [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Bearer password',
    'Bearer pässword : 2',
    basic('default:wrong'),
    basic('admin:pässword : 1'),
    basic('pässword : 1'),
    'Basic !!!!',
    'Digest pässword : 1',
    'pässword : 1',
  ].map((text) => text && Buffer.from(text).toString('latin1'));
  const right = [
    'Bearer pässword : 1',
    'bearer   pässword : 1',
    basic('default:pässword : 1'),
    basic(':pässword : 1'),
  ];

  test('is asked for by all of the data API and by repair, and nothing is done without it', () =>
    withHttpApi(async (api) => {
      for (const authorization of wrong) {
        const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
        for (const [method, path] of [
          ['GET', '/v1/keys/a'],
          ['PUT', '/v1/keys/a'],
          ['DELETE', '/v1/keys/a'],
          ['GET', '/v1/keys'],
          ['POST', '/v1/batch'],
          ['GET', '/v1/nothing'],
          ['PATCH', '/v1/keys/a'],
          ['POST', '/repair'],
          ['POST', '/rep%61ir?x=1'],
        ] as const) {
          const answer = await sendRaw(api.port, path, {
            method,
            headers,
            ...(method === 'GET' ? {} : { body: '{}' }),
          });
          const { code, detail } = problemIn(answer);
          assert.equal(code, 'unauthorized', `${method} ${path} ${authorization}`);
          assert.equal(answer.headers['www-authenticate'], 'Bearer realm="dure"');
          assert.match(detail, /nothing was done/);
        }
      }
      assert.deepEqual(api.node.log, []);
    }, options));

  test('as bearer or basic lets in', () =>
    withHttpApi(async (api) => {
      for (const text of right) {
        const authorization = Buffer.from(text).toString('latin1');
        assert.equal(await answerTo(api, '/v1/keys/a', { ...PUT, headers: { authorization } }), 204, text);
      }
    }, options));

  test('is not asked for by health, metrics, members, status and the document', () =>
    withHttpApi(async (api) => {
      for (const path of [...open, '/members', '/status', '/openapi.json']) {
        assert.equal(await answerTo(api, path, {}), 200, path);
      }
    }, options));

  test('does not help a strange page', () =>
    withHttpApi(async (api) => {
      const authorization = Buffer.from(right[0]!).toString('latin1');
      const headers = { authorization, origin: 'https://evil.example' };
      assert.equal(await answerTo(api, '/v1/keys/a', { headers }), 'origin-refused');
    }, options));
});

test('http.api false: there is no data API and no document of it; the other pages stay', () =>
  withHttpApi(
    async (api) => {
      for (const path of ['/v1/keys/a', '/v1/keys', '/openapi.json']) {
        assert.equal(await answerTo(api, path, {}), 'no-such-page', path);
      }
      assert.equal(await answerTo(api, '/v1/batch', { method: 'POST', body: '{}' }), 'no-such-page');
      assert.equal(await answerTo(api, '/status', {}), 200);
    },
    { api: false },
  ));
