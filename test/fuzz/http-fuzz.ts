/**
 * Fuzzing of the HTTP door: requests that are sound in form and wild in all else, and bytes that are a request no
 * more, for fast-check to draw and shrink; and the rules that every answer keeps, whatever came.
 *
 * A conversation is a few requests sent at once on one connection, closed by one for `/health/live`: if all were
 * sound in form, all must be answered, in order, and the connection must still be good at its end.
 */

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import fc from 'fast-check';
import { problemIn, type RawAnswer } from '../support/http-raw.ts';

export interface WildRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [string, string])[];
  /** Bytes as Latin-1. */
  readonly body: string | undefined;
  readonly chunked: boolean;
}

const visible = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
});
/** What a header may hold: visible letters, blanks inside, and letters above ASCII. */
const headerText = fc
  .array(fc.oneof(visible, fc.constantFrom(' ', ', ', ';', '=', '"', '\t', 'é', '\xff', 'W/')), {
    maxLength: 6,
  })
  .map((parts) => parts.join('').trim());
const latin1 = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1'));

const method = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('GET', 'PUT', 'DELETE', 'POST', 'HEAD') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('OPTIONS', 'PATCH', 'TRACE', 'QUERY', 'PROPFIND', 'MKCOL', 'SEARCH', 'PURGE'),
  },
);

const keyLetters = fc.constantFrom(
  'a',
  'b',
  '-',
  '.',
  '..',
  '/',
  '%2F',
  '%00',
  '%ff',
  '%C3%A4',
  '%',
  '%zz',
  '%2',
  '{t}',
  '+',
  '&',
  ';',
  ':',
  '@',
  '[',
  '\\',
  '#',
);
const key = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('a', 'b', 'siblings', '{t}:1') },
  { weight: 3, arbitrary: fc.array(keyLetters, { maxLength: 8 }).map((parts) => parts.join('')) },
  { weight: 1, arbitrary: visible },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 1, max: 1200 }).map((length) => 'k'.repeat(length * (length % 20))),
  },
);

const known: Readonly<Record<string, readonly string[]>> = {
  as: ['json', 'text', 'bytes', 'xml'],
  siblings: ['all', 'newest', 'none'],
  consistency: ['PC/EC', 'PA/EL', 'R=2%20W=2%20STRICT', 'R=9', 'one', ''],
  r: ['1', '2', '3', '4', '16', '0', '-1', '1.5', '1e1', '999999999'],
  w: ['1', '3', '15', 'x'],
  quorum: ['strict', 'sloppy', 'lax'],
  timeout: ['1ms', '500ms', '30s', '31s', '0ms', '1', 's', '999999999999d'],
  ttl: ['1ms', '1s', '36500d', '36501d', '0s', '-1s', '1e3s', '999999999999ms'],
  prefix: ['a', '', '%ff', '{t}', '{t}:', '{}', '%F0%9F%98%80'],
  prefixBase64: ['YQ==', 'YQ', '/w==', '%2Fw==', '!'],
  limit: ['1', '1000', '0', '1001', 'x'],
  cursor: ['', 'AAAA', 'x'.repeat(70), '%00'],
  __proto__x: ['1'],
  constructor: ['a'],
};
const parameter = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(...Object.keys(known)).chain((name) => {
      return fc.constantFrom(...known[name]!).map((value) => `${name.replace('__x', '__')}=${value}`);
    }),
  },
  { weight: 1, arbitrary: fc.tuple(visible, visible).map(([name, value]) => `${name}=${value}`) },
  { weight: 1, arbitrary: fc.constantFrom('a', '=', '&', '%', '?', 'as=json&as=json', '__proto__[a]=1') },
);
const query = fc.oneof(
  { weight: 2, arbitrary: fc.constant('') },
  {
    weight: 2,
    arbitrary: fc.array(parameter, { minLength: 1, maxLength: 4 }).map((all) => `?${all.join('&')}`),
  },
);
const target = fc
  .tuple(
    fc.oneof(
      { weight: 8, arbitrary: key.map((text) => `/v1/keys/${text}`) },
      { weight: 3, arbitrary: fc.constant('/v1/keys') },
      { weight: 4, arbitrary: fc.constant('/v1/batch') },
      { weight: 1, arbitrary: key.map((text) => `/v1/policies/${text}`) },
      { weight: 1, arbitrary: fc.constantFrom('/v1/policies', '/v1', '/', '*', '/openapi.json', '/status') },
      { weight: 1, arbitrary: fc.constantFrom('/metrics', '/members', '/health/ready', '/%76%31/keys/-') },
      {
        weight: 1,
        arbitrary: fc
          .constantFrom('http://localhost', 'http://x.example', '//')
          .chain((head) => key.map((text) => `${head}/v1/keys/${text}`)),
      },
      { weight: 1, arbitrary: visible.map((text) => `/${text}`) },
    ),
    query,
  )
  .map(([path, rest]) => path + rest);

const header = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ['content-type', 'application/json'],
      ['content-type', 'text/plain'],
      ['content-type', 'application/json; charset=utf-16'],
      ['content-type', '/'],
      ['accept', 'application/json'],
      ['accept', 'text/plain;q=0.5, image/png, */*;q=0'],
      ['accept', 'application/octet-stream;q=nan'],
      ['if-match', '*'],
      ['if-match', '"AAAA"'],
      ['if-match', 'W/"AAAA", "B"'],
      ['if-match', '"AYFc2EkAAACjPNUS"'],
      ['if-none-match', '*'],
      ['if-none-match', '"x"'],
      ['dure-context', 'AAAA'],
      ['dure-ttl', '5s'],
      ['dure-ttl', 'forever'],
      ['content-encoding', 'gzip'],
      ['content-range', 'bytes 0-1/2'],
      ['range', 'bytes=0-1'],
      ['origin', 'http://localhost'],
      ['origin', 'null'],
      ['sec-fetch-site', 'cross-site'],
      ['authorization', 'Basic Og=='],
      ['expect', 'the best'],
      ['te', 'trailers'],
      ['upgrade', 'websocket'],
      ['cookie', 'a=b'],
      ['x-http-method-override', 'DELETE'],
      ['x-forwarded-host', 'evil.example'],
    ) as fc.Arbitrary<[string, string]>,
  },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constantFrom(
        'content-type',
        'accept',
        'if-match',
        'if-none-match',
        'dure-context',
        'dure-ttl',
        'host',
        'x',
      ),
      headerText,
    ),
  },
);

const operation = fc.record(
  {
    op: fc.constantFrom('get', 'put', 'delete', 'pot', 1),
    key: fc.oneof(fc.constantFrom('a', 'b', 'siblings', ''), fc.string(), fc.constant(7)),
    keyBase64: fc.constantFrom('YQ==', 'YQ', '', '!'),
    value: fc.jsonValue(),
    text: fc.oneof(fc.string(), fc.constant('\ud800'), fc.constant(null)),
    base64: fc.constantFrom('AA==', 'AA', ''),
    ttl: fc.constantFrom('1s', '0s', 5, 'x'),
    as: fc.constantFrom('json', 'text', 'bytes', ''),
    siblings: fc.constantFrom('all', 'newest', 0),
    ifMatch: fc.constantFrom('*', '"AAAA"', '', 'x y'),
    ifNoneMatch: fc.constantFrom('*', '"x"'),
  },
  { requiredKeys: [] },
);
const batchText = fc.array(operation, { maxLength: 5 }).map((operations) => JSON.stringify({ operations }));
const jsonText = fc.oneof({ weight: 3, arbitrary: batchText }, { weight: 2, arbitrary: fc.json() });
/** JSON with a part of it left out, doubled or replaced. */
const damaged = fc
  .tuple(jsonText, fc.nat(), fc.nat({ max: 8 }), fc.constantFrom('', '"', '{', '[1', ',', '\0', '\\u'))
  .map(([text, at, length, put]) => {
    const from = at % (text.length + 1);
    return text.slice(0, from) + put + text.slice(from + length);
  });
const utf8 = (text: string): string => Buffer.from(text).toString('latin1');
const body = fc.oneof(
  { weight: 2, arbitrary: fc.constant(undefined) },
  { weight: 3, arbitrary: jsonText.map(utf8) },
  { weight: 2, arbitrary: damaged.map(utf8) },
  { weight: 1, arbitrary: latin1 },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('[', '{"a":', '[[', '""')
      .chain((part) => fc.integer({ min: 1, max: 3000 }).map((times) => part.repeat(times))),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(10_240, 16_384, 26_624, 26_625, 40_000).map((length) => 'x'.repeat(length)),
  },
);

/** Requests that are sound in form. */
export const wildRequest: fc.Arbitrary<WildRequest> = fc
  .record({ method, target, headers: fc.array(header, { maxLength: 4 }), body, chunked: fc.boolean() })
  .map((request) => {
    // Twice with other words, or not of this form, `Host` would make it another request; TRACE has no body.
    const seen = new Set<string>();
    const headers = request.headers.filter(([name]) => !seen.has(name) && seen.add(name));
    const written = encodeURI(request.target.replace(/[^\x21-\x7e]/g, '')) === '' ? '/' : request.target;
    return {
      ...request,
      target: written,
      headers,
      ...(request.method === 'TRACE' ? { body: undefined } : {}),
    };
  });

/** A request as bytes, in Latin-1. */
export function requestText({
  method: verb,
  target: path,
  headers,
  body: sent,
  chunked,
}: WildRequest): string {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const host = headers.some(([name]) => name === 'host') ? '' : 'host: localhost\r\n';
  const head = `${verb} ${path} HTTP/1.1\r\n${host}${lines}`;
  if (sent === undefined) return `${head}\r\n`;
  if (!chunked) return `${head}content-length: ${sent.length}\r\n\r\n${sent}`;
  const middle = sent.length >> 1;
  const chunks = [sent.slice(0, middle), sent.slice(middle)]
    .filter((part) => part !== '')
    .map((part) => `${part.length.toString(16)}\r\n${part}\r\n`);
  return `${head}transfer-encoding: chunked\r\n\r\n${chunks.join('')}0\r\n\r\n`;
}

/** Bytes that were requests, with parts of them left out, doubled or replaced. */
export const brokenBytes: fc.Arbitrary<string> = fc
  .tuple(
    fc.oneof(
      {
        weight: 5,
        arbitrary: fc
          .array(wildRequest, { minLength: 1, maxLength: 3 })
          .map((all) => all.map(requestText).join('')),
      },
      { weight: 1, arbitrary: latin1 },
    ),
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.nat({ max: 30 }),
        fc.oneof(
          fc.constantFrom(
            '',
            '\r\n',
            '\n',
            '\r',
            '\0',
            ' ',
            ':',
            '\r\n\r\n',
            'HTTP/1.1',
            'HTTP/9.9',
            '\xff',
            '0\r\n\r\n',
          ),
          fc.constantFrom(
            'content-length: 5\r\n',
            'content-length: -5\r\n',
            'transfer-encoding: chunked\r\n',
          ),
          fc.constantFrom(
            'transfer-encoding: x\r\n',
            'host: a\r\n',
            ' folded\r\n',
            'connection: close\r\n',
            'expect: 100-continue\r\n',
          ),
          latin1,
        ),
      ),
      { minLength: 1, maxLength: 4 },
    ),
  )
  .map(([text, changes]) => {
    let bytes = text;
    for (const [at, length, put] of changes) {
      // Most of the meaning lies in the first bytes.
      const from = at % (Math.min(bytes.length, 400) + 1);
      bytes = bytes.slice(0, from) + put + bytes.slice(from + length);
    }
    return bytes;
  });

/**
 * Sends bytes, and gives all that comes back until the connection is closed.
 * @param ends says that there are no more, upon which Node.js forgets what it has not answered
 */
export function converse(port: number, text: string, timeoutMs: number, ends: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: string[] = [];
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      if (ends) socket.end(text, 'latin1');
      else socket.write(text, 'latin1');
    });
    const late = setTimeout(() => {
      reject(new Error(`not closed within ${timeoutMs} ms after ${JSON.stringify(text.slice(0, 2000))}`));
      socket.destroy();
    }, timeoutMs);
    socket.setEncoding('latin1');
    socket.on('data', (part: string) => parts.push(part));
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(late);
      resolve(parts.join(''));
    });
  });
}

/** Takes answers apart. @param methods of the requests, in their order */
export function answersIn(received: string, methods: readonly string[]): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let at = 0; at < received.length; ) {
    const end = received.indexOf('\r\n\r\n', at);
    assert.ok(end > 0, `an answer begins: ${JSON.stringify(received.slice(at, at + 200))}`);
    const [first = '', ...lines] = received.slice(at, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})(?: |$)/.exec(first)?.[1]);
    assert.ok(status >= 100 && status < 600, `a status: ${first}`);
    at = end + 4;
    if (status < 200) continue;
    const headers: Record<string, string> = {};
    for (const line of lines)
      headers[line.split(':', 1)[0]!.toLowerCase()] = line.slice(line.indexOf(':') + 2);
    const bare = methods[answers.length] === 'HEAD' || status === 204 || status === 304;
    let length = bare ? 0 : Number(headers['content-length']);
    if (!bare && headers['transfer-encoding'] === 'chunked') {
      length = received.indexOf('0\r\n\r\n', at) + 5 - at;
    }
    assert.ok(Number.isInteger(length) && at + length <= received.length, `a whole body: ${first}`);
    answers.push({ status, headers, text: received.slice(at, at + length) });
    at += length;
  }
  return answers;
}

/** The rules of every answer: never a failure of the server, an error is a problem, and nothing invites a browser. */
export function checkAnswer(answer: RawAnswer): void {
  const { status, headers, text } = answer;
  assert.ok(status < 500 || status === 503 || status === 504, `a ${status} is a bug: ${text.slice(0, 300)}`);
  assert.equal(headers['access-control-allow-origin'], undefined);
  assert.equal(headers['set-cookie'], undefined);
  if (status < 400) return;
  assert.equal(headers['content-type'], 'application/problem+json');
  if (text !== '') problemIn({ ...answer, text: Buffer.from(text, 'latin1').toString() });
}

/** A conversation that is sound in form: all of it is answered, or the door says why it closed. */
export async function checkConversation(
  port: number,
  requests: readonly WildRequest[],
  timeoutMs: number,
): Promise<void> {
  const last = 'GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n';
  const text = requests.map(requestText).join('') + last;
  const answers = answersIn(await converse(port, text, timeoutMs, false), [
    ...requests.map((one) => one.method),
    'GET',
  ]);
  answers.forEach(checkAnswer);
  const end = answers.at(-1);
  assert.ok(end !== undefined, 'there is an answer');
  if (answers.length === requests.length + 1) {
    assert.equal(end.status, 200);
    return;
  }
  assert.equal(end.headers.connection, 'close', `${answers.length} answers, and no word of closing`);
  assert.ok([400, 431].includes(end.status), `closed with ${end.status}`);
}

/** Bytes that may be anything: whatever is answered keeps the rules, and the connection is closed. */
export async function checkBytes(port: number, text: string, timeoutMs: number): Promise<void> {
  const received = await converse(port, text, timeoutMs, true);
  for (const [, status] of received.matchAll(/HTTP\/1\.1 (\d{3}) /g)) {
    assert.ok(
      Number(status) < 500 || status === '503' || status === '504',
      `a ${status} is a bug: ${received.slice(0, 500)}`,
    );
  }
}
