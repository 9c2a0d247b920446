/**
 * An HTTP request to a node, on `node:http`.
 *
 * `fetch` would do, but it keeps the rules that protect people who browse: it refuses ports on which other
 * services are usual (10080, the HTTP port of `dure dev --port 8080`, is one), and no setting changes that.
 */

import { type IncomingMessage, request } from 'node:http';

export interface HttpCall {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Sent as JSON; left out, nothing is. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** The whole answer must be there by then, milliseconds; left out, it is waited for. */
  readonly timeoutMs?: number;
}

export interface HttpAnswer {
  readonly status: number;
  /** The text as it comes. Read it to its end, or the connection stays. */
  readonly chunks: AsyncIterable<string>;
}

/** An address as `host:port` shows it. */
export function addressWords(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Redirects are not followed.
 * @param address `host:port` or `[::1]:port`.
 * @throws Error, here or while the answer is read: that of the system, with its `code`, or one named
 *   `TimeoutError` when the time was over.
 */
export async function httpCall(address: string, path: string, call: HttpCall = {}): Promise<HttpAnswer> {
  const { method = 'GET', body, headers = {}, timeoutMs } = call;
  const text = body === undefined ? undefined : JSON.stringify(body);
  const signal = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = request(`http://${address}${path}`, {
      method,
      // A connection of its own, closed after the answer.
      agent: false,
      headers: text === undefined ? headers : { ...headers, 'content-type': 'application/json' },
      ...(signal === undefined ? {} : { signal }),
    });
    sent.on('error', (error) => reject(signal?.aborted ? signal.reason : error));
    sent.on('response', resolve);
    sent.end(text);
  });
  response.setEncoding('utf8');
  return { status: response.statusCode ?? 0, chunks: chunksOf(response, signal) };
}

/** An answer that is cut off because its time is over ends as if the connection had broken: says which it was. */
async function* chunksOf(
  response: AsyncIterable<string>,
  signal: AbortSignal | undefined,
): AsyncIterable<string> {
  try {
    yield* response;
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}

const lengthMaxDefault = 16 * 1024 * 1024;

/** Reads an answer to its end. @throws Error when it is longer than `lengthMax` characters. */
export async function wholeText(
  { chunks }: HttpAnswer,
  lengthMax: number = lengthMaxDefault,
): Promise<string> {
  let text = '';
  for await (const chunk of chunks) {
    text += chunk;
    if (text.length > lengthMax) throw new Error(`it answered more than ${lengthMax} characters`);
  }
  return text;
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the host name cannot be looked up now',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ECONNRESET: 'the connection was cut',
};

/** What went wrong with a call, for people. */
export function problemWords(error: unknown, timeoutMs?: number): string {
  const { name, message, code } = error as NodeJS.ErrnoException;
  if (name === 'TimeoutError' && timeoutMs !== undefined) return `no answer within ${timeoutMs / 1000} s`;
  return words[code ?? ''] ?? message;
}
