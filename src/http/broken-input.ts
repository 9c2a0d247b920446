/**
 * What arrives on a connection and is no request: not HTTP, too large, too slow. It is answered with a problem as
 * far as that can be, and the connection is closed.
 *
 * The picture: a queue at a counter. Requests of one connection are answered in the order they came in. If the one
 * behind a write is nonsense, its 400 must not be handed out first: the client would take it for the answer to
 * its write, "nothing was done". So it waits until those before it are answered.
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { PROBLEM_TYPE, Problem, type ProblemCode, problemBody, problemHeaders } from './api/problem.ts';

/** A refused connection is read from for so long, milliseconds: closed at once, it would lose its last answer. */
const lingerMs = 1000;

interface Connection {
  /** Those whose answers are not sent yet. */
  readonly requests: Set<IncomingMessage>;
  /** What came behind them. */
  broken: Error | undefined;
}

export interface BrokenInputLimits {
  /** Address and headers of a request, bytes. */
  readonly headerBytesMax: number;
  /** A request must have arrived within this, milliseconds. */
  readonly arrivalMsMax: number;
}

/** An error with the code that Node.js or its parser gave it. */
type ParserError = Error & { readonly code?: string };

export class BrokenInput {
  readonly #limits: BrokenInputLimits;
  readonly #connections: WeakMap<Duplex, Connection> = new WeakMap();
  /** Connections that were answered for the last time. */
  readonly #ended: WeakSet<Duplex> = new WeakSet();

  constructor(limits: BrokenInputLimits) {
    this.#limits = limits;
  }

  /** Takes care of what the server itself would answer without a word. */
  attach(server: Server): void {
    // A server may leave what it does not know of `Expect` alone (RFC 9110, 10.1.1).
    server.on('checkExpectation', (request, response) => server.emit('request', request, response));
    server.on('checkContinue', (request, response) => {
      // Node.js would send the "100 Continue" of a request in a queue between the headers and the body of its answer.
      if (!this.#isAnswering(request.socket)) response.writeContinue();
      server.emit('request', request, response);
    });
    server.on('connect', (_request, socket) => {
      const words = 'CONNECT is not possible here: this is no proxy; nothing was done';
      const allow = 'GET, HEAD, PUT, POST, DELETE';
      this.#end(socket, new Problem('method-not-allowed', words, 'fail', { allow }));
    });
  }

  #isAnswering(socket: Duplex): boolean {
    return (this.#connections.get(socket)?.requests.size ?? 0) > 0;
  }

  /** Notes a request whose headers have arrived. */
  begin(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    let connection = this.#connections.get(socket);
    if (connection === undefined) {
      connection = { requests: new Set(), broken: undefined };
      this.#connections.set(socket, connection);
    }
    const { requests } = connection;
    requests.add(request);
    response.once('close', () => {
      requests.delete(request);
      if (connection.broken !== undefined) this.refuse(connection.broken, socket);
    });
  }

  /** Answers what the parser could not read, or what did not come in time, and closes. */
  refuse(error: ParserError, socket: Duplex): void {
    // What the client sends on is more of the same.
    if (this.#ended.has(socket)) return;
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const connection = this.#connections.get(socket);
    // One that has not arrived as a whole is what is broken: nothing was done about it.
    if (connection !== undefined && [...connection.requests].some(({ complete }) => complete)) {
      connection.broken ??= error;
      return;
    }
    this.#end(socket, this.#problemOf(error));
  }

  #problemOf({ code }: ParserError): Problem {
    const { headerBytesMax, arrivalMsMax } = this.#limits;
    const kinds: Readonly<Record<string, readonly [ProblemCode, string]>> = {
      HPE_HEADER_OVERFLOW: [
        'headers-too-large',
        `address and headers are larger than ${headerBytesMax} bytes; nothing was done`,
      ],
      ERR_HTTP_REQUEST_TIMEOUT: [
        'request-timeout',
        `the request did not arrive within ${arrivalMsMax} ms; nothing was done`,
      ],
    };
    const nonsense = ['invalid', 'this is not a request in HTTP/1.1; nothing was done'] as const;
    const [kind, words] = kinds[code ?? ''] ?? nonsense;
    return new Problem(kind, words, 'fail');
  }

  /** Sends an answer without the help of the server, which knows of no request, and closes. */
  #end(socket: Duplex, problem: Problem): void {
    this.#ended.add(socket);
    const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
    socket.once('close', () => clearTimeout(timer));
    const body = problemBody(problem, false);
    const text = JSON.stringify(body);
    const headers = {
      'content-type': PROBLEM_TYPE,
      'content-length': String(Buffer.byteLength(text)),
      'cache-control': 'no-store',
      connection: 'close',
      ...problemHeaders(problem),
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${body.status} ${body.title}\r\n${lines.join('')}\r\n${text}`);
  }
}
