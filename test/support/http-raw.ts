/** Requests over HTTP as they are written, also those that `fetch` would not send, and answers checked as problems. */

import assert from 'node:assert/strict';
import { type IncomingHttpHeaders, request } from 'node:http';
import { PROBLEM_KINDS, type ProblemBody } from '../../src/http/api/problem.ts';

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface RawRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Uint8Array;
}

/** Sends a request with just these headers (and `Host`), on a connection of its own. */
export function sendRaw(
  port: number,
  path: string,
  { method = 'GET', headers = {}, body }: RawRequest = {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        path,
        method,
        agent: false,
        headers: { ...length, ...headers } as Record<string, string>,
        timeout: 10_000,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part) => {
          text += part;
        });
        response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
        response.on('error', reject);
      },
    );
    sent.on('timeout', () => sent.destroy(new Error('no answer within 10 s')));
    sent.on('error', reject);
    // As bytes: Node.js would write the headers in the encoding of a text beside them.
    sent.end(typeof body === 'string' ? Buffer.from(body) : body);
  });
}

/** The first answer in what a connection received. */
export function answerIn(received: string): RawAnswer & { readonly rest: string } {
  const end = received.indexOf('\r\n\r\n');
  assert.ok(end > 0, `an answer: ${JSON.stringify(received.slice(0, 200))}`);
  const [first = '', ...lines] = received.slice(0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]);
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const length = Number(headers['content-length'] ?? 0);
  const body = received.slice(end + 4);
  assert.ok(body.length >= length, 'the whole body came');
  return { status, headers, text: body.slice(0, length), rest: body.slice(length) };
}

/** The problem that an answer is, its parts checked against each other. */
export function problemIn(answer: RawAnswer): ProblemBody {
  const { status, headers, text } = answer;
  assert.equal(headers['content-type'], 'application/problem+json', `${status} ${text.slice(0, 200)}`);
  assert.equal(headers['cache-control'], 'no-store');
  const body = JSON.parse(text) as ProblemBody;
  assert.deepEqual(Object.keys(body), ['type', 'title', 'status', 'detail', 'code', 'outcome', 'retryable']);
  assert.equal(body.status, status);
  assert.equal(body.type, `urn:dure:problem:${body.code}`);
  const kind = PROBLEM_KINDS[body.code];
  assert.deepEqual([body.status, body.title], [kind.status, kind.title]);
  assert.equal(headers['dure-outcome'], body.outcome);
  assert.ok(['fail', 'unknown', 'none'].includes(body.outcome));
  assert.equal(headers['retry-after'] !== undefined, status === 503 || body.code === 'storage-full');
  assert.ok(body.detail.length > 10 && body.detail.length < 2000, `a detail for people: ${body.detail}`);
  return body;
}

/** Sends a request that must be answered with a problem. */
export async function problemOf(port: number, path: string, sent: RawRequest = {}): Promise<ProblemBody> {
  return problemIn(await sendRaw(port, path, sent));
}
