/**
 * The clients of the nemesis: ioredis with one connection a node, ioredis as a cluster client, and a plain
 * socket that speaks RESP by itself. None of them sends a request twice when the first attempt may have
 * been applied: a history with hidden repetitions proves nothing.
 *
 * Each answer is one of three things (promise P2): ok; fail, certainly not applied; unknown.
 */

import { connect, type Socket } from 'node:net';
import { Cluster, Redis } from 'ioredis';
import { utf8Text } from '../../src/base/bytes.ts';
import { ReplyParser } from '../../src/resp/reply-parser.ts';
import { ErrorReply, type RespValue, SimpleString } from '../../src/resp/value.ts';

export interface Answer {
  readonly outcome: 'ok' | 'fail' | 'unknown';
  /** First word of the error, or what happened to the connection; empty when ok. */
  readonly code: string;
  readonly value: string | number | null;
}

export interface Client {
  readonly name: string;
  /** The node it is connected to (from 0); undefined of a cluster client. */
  readonly node: number | undefined;
  isUp(): boolean;
  /** Sends a command; `done` is called once, or never if nothing ever comes. */
  send(words: readonly string[], done: (answer: Answer) => void): void;
  close(): void;
}

const loopback = '127.0.0.1';
const redialMs = 100;
const connectTimeoutMs = 1000;

/** What ioredis says of a command that it did not send. */
const notSent = /enableOfflineQueue options is false|Cluster isn't ready|None of startup nodes/;

function answerOfError(error: Error): Answer {
  const word = /^[A-Z]+/.exec(error.message)?.[0] ?? error.name;
  if (error.name === 'ReplyError') {
    return { outcome: word === 'UNKNOWN' ? 'unknown' : 'fail', code: word, value: null };
  }
  if (notSent.test(error.message)) return { outcome: 'fail', code: 'not-sent', value: null };
  // A cluster client gives up on TRYAGAIN after repeating it: still nothing was applied.
  if (/Last error: ReplyError: TRYAGAIN/.test(error.message)) {
    return { outcome: 'fail', code: 'TRYAGAIN', value: null };
  }
  return { outcome: 'unknown', code: 'connection-lost', value: null };
}

class IoredisClient implements Client {
  readonly name: string;
  readonly node: number | undefined;
  readonly #client: Redis | Cluster;

  constructor(name: string, node: number | undefined, client: Redis | Cluster) {
    this.name = name;
    this.node = node;
    this.#client = client;
    client.on('error', () => {});
  }

  isUp(): boolean {
    return this.#client.status === 'ready';
  }

  send(words: readonly string[], done: (answer: Answer) => void): void {
    const [command, ...args] = words;
    this.#client.call(command!, ...args).then(
      (value) => done({ outcome: 'ok', code: '', value: value as string | number | null }),
      (error: Error) => done(answerOfError(error)),
    );
  }

  close(): void {
    this.#client.disconnect();
  }
}

const ioredisOptions = {
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  connectTimeout: connectTimeoutMs,
} as const;

/** ioredis, one connection to one node. */
export function plainClient(node: number, port: number): Client {
  const options = { ...ioredisOptions, host: loopback, port, retryStrategy: () => redialMs };
  return new IoredisClient(`ioredis n${node + 1}`, node, new Redis(options));
}

/** ioredis as a client of a Redis Cluster, which chooses the node by the key. */
export function clusterClient(ports: readonly number[]): Client {
  const cluster = new Cluster(
    ports.map((port) => ({ host: loopback, port })),
    {
      redisOptions: ioredisOptions,
      // Without a queue it rejects what is for a node it is only connecting to, one that has just joined, in the words of
      // a connection that was lost ("Connection is closed."), though nothing was sent. With a queue the command waits for
      // the connection, and is sent once.
      enableOfflineQueue: true,
      clusterRetryStrategy: () => redialMs,
      // After a lost connection it would send again what may have been applied.
      retryDelayOnFailover: 0,
      retryDelayOnTryAgain: 50,
      slotsRefreshInterval: 2000,
      slotsRefreshTimeout: connectTimeoutMs,
    },
  );
  return new IoredisClient('ioredis cluster', undefined, cluster);
}

/** A socket and the Redis protocol, with many requests in flight. */
export class SocketClient implements Client {
  readonly name: string;
  readonly node: number;
  readonly #port: number;
  #socket: Socket | undefined = undefined;
  #isUp = false;
  #isClosed = false;
  #waiting: ((answer: Answer) => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;

  constructor(node: number, port: number) {
    this.name = `socket n${node + 1}`;
    this.node = node;
    this.#port = port;
    this.#dial();
  }

  isUp(): boolean {
    return this.#isUp;
  }

  send(words: readonly string[], done: (answer: Answer) => void): void {
    if (!this.#isUp || this.#socket === undefined) {
      done({ outcome: 'fail', code: 'not-sent', value: null });
      return;
    }
    this.#waiting.push(done);
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    this.#socket.write(`*${words.length}\r\n${parts.join('')}`);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  #dial(): void {
    const socket = connect({ host: loopback, port: this.#port, noDelay: true });
    const parser = new ReplyParser();
    this.#socket = socket;
    socket.on('connect', () => {
      this.#isUp = true;
    });
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      parser.push(chunk);
      for (let reply = parser.next(); reply !== undefined; reply = parser.next()) {
        this.#waiting.shift()?.(answerOfReply(reply));
      }
    });
    socket.on('close', () => {
      this.#isUp = false;
      const lost = this.#waiting;
      this.#waiting = [];
      for (const done of lost) done({ outcome: 'unknown', code: 'connection-lost', value: null });
      if (!this.#isClosed) this.#timer = setTimeout(() => this.#dial(), redialMs);
    });
  }
}

function answerOfReply(reply: RespValue): Answer {
  if (reply instanceof ErrorReply) {
    return { outcome: reply.code === 'UNKNOWN' ? 'unknown' : 'fail', code: reply.code, value: null };
  }
  let value: Answer['value'] = null;
  if (typeof reply === 'number') value = reply;
  else if (typeof reply === 'bigint') value = Number(reply);
  else if (reply instanceof Uint8Array) value = utf8Text(reply);
  else if (reply instanceof SimpleString) value = reply.text;
  return { outcome: 'ok', code: '', value };
}

/** One of each kind that is connected to one node, to each node: first those of ioredis, then the sockets. */
export function nodeClients(ports: readonly number[]): Client[] {
  return [
    ...ports.map((port, node) => plainClient(node, port)),
    ...ports.map((port, node) => new SocketClient(node, port)),
  ];
}

/** The same, and a cluster client at the end. */
export function openClients(ports: readonly number[]): Client[] {
  return [...nodeClients(ports), clusterClient(ports)];
}
