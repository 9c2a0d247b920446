/**
 * The RESP door: accepts Redis clients, and keeps what their connections share.
 *
 * The picture to have in mind: a turn of the event loop brings bytes from some of the clients. Each
 * connection parses its own and hands over its commands; a connection with replies puts itself on the
 * list of the dirty. When the inputs at hand are used up, the driver ends the node's turn (one commit,
 * one frame a peer) and calls `flush`: one write a dirty connection. So a busy server makes few, large
 * system calls, and an idle one answers at once.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { ByteWriter } from '../base/bytes.ts';
import type { Session } from '../commands/session.ts';
import type { Log } from '../ports/log.ts';
import type { Turn } from '../ports/turn.ts';
import { Connection, type ConnectionHost, type Executor } from './connection.ts';
import type { ServerLimits } from './limits.ts';
import { TicketPool } from './reply-queue.ts';
import { ServerStatistics } from './statistics.ts';

export interface RespServerOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** May be replaced later, as by CONFIG SET: see `RespServer.limits`. */
  readonly limits: ServerLimits;
  /** Whether a new connection must show a password. */
  readonly passwordRequired: boolean;
  /** How often timeouts are looked at, milliseconds; 1000 if left out. */
  readonly sweepIntervalMs?: number;
}

/** How long `close` waits for clients to take their last replies, milliseconds. */
const closeWaitMs = 1000;
const keepAliveMs = 300_000;
const backlog = 511;
const writersMax = 64;
const writerBytesMin = 16 * 1024;
const writerBytesMax = 512 * 1024;
/** Over the limit of buffered bytes by this factor, connections with the largest buffers are closed. */
const evictionFactor = 1.25;

export class RespServer implements ConnectionHost {
  limits: ServerLimits;
  readonly executor: Executor;
  readonly statistics: ServerStatistics = new ServerStatistics();
  readonly tickets: TicketPool = new TicketPool();
  readonly log: Log;
  overfull = false;

  readonly #options: RespServerOptions;
  readonly #turn: Turn;
  readonly #server: Server;
  readonly #connections = new Map<number, Connection>();
  readonly #writers: ByteWriter[] = [];
  #dirty: Connection[] = [];
  #dirtySpare: Connection[] = [];
  #bufferedBytes = 0;
  #lastId = 0;
  #port = 0;
  #sweeper: NodeJS.Timeout | undefined;
  #whenEmpty: (() => void) | undefined;
  /** Settles once nobody is let in any more, from the first time that was asked for. */
  #shut: Promise<void> | undefined;

  /** @param turn whoever drives the node; it must call `flush` at the end of each turn it was woken for. */
  constructor(options: RespServerOptions, executor: Executor, log: Log, turn: Turn) {
    this.#options = options;
    this.limits = options.limits;
    this.executor = executor;
    this.log = log;
    this.#turn = turn;
    this.#server = createServer(
      {
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: keepAliveMs,
        allowHalfOpen: true,
        pauseOnConnect: false,
      },
      (socket) => this.#accept(socket),
    );
  }

  /** The port it listens on; 0 before. */
  get port(): number {
    return this.#port;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Queries and replies buffered for all connections, bytes. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** The open connections, oldest first. */
  *sessions(): Generator<Session> {
    for (const connection of this.#connections.values()) {
      if (!connection.session.closed) yield connection.session;
    }
  }

  /**
   * Starts to accept.
   *
   * @returns the port. Rejects with the error of the system, such as EADDRINUSE.
   */
  listen(): Promise<number> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => {
          this.log.write('error', 'resp-server-error', { error: error.message });
        });
        const address = this.#server.address();
        this.#port = typeof address === 'object' && address !== null ? address.port : port;
        this.#sweeper = setInterval(() => this.#sweep(), this.#options.sweepIntervalMs ?? 1000);
        this.#sweeper.unref();
        resolve(this.#port);
      });
    });
  }

  /** Lets nobody in any more; those who are there are served on. Settles when they are gone. */
  shut(): Promise<void> {
    this.#shut ??= new Promise((resolve) => this.#server.close(() => resolve()));
    return this.#shut;
  }

  /**
   * Stops to accept, lets commands under way be answered and replies be taken for up to a second, and
   * closes what is left. The node must still run while this waits.
   */
  async close(): Promise<void> {
    const stopped = this.shut();
    for (const connection of this.#connections.values()) connection.close('after-replies');
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, closeWaitMs);
        this.#whenEmpty = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const connection of [...this.#connections.values()]) connection.close('at-once');
    clearInterval(this.#sweeper);
    await stopped;
  }

  /** Writes the replies of the turn. Called by the driver at the end of a turn, after the node's. */
  flush(): void {
    const dirty = this.#dirty;
    if (dirty.length === 0) return;
    this.#dirty = this.#dirtySpare;
    for (const connection of dirty) connection.flush();
    dirty.length = 0;
    this.#dirtySpare = dirty;
    this.statistics.settle(performance.now());
  }

  #accept(socket: Socket): void {
    const { statistics } = this;
    statistics.connectionsReceived++;
    if (this.#connections.size >= this.limits.clientsMax) {
      statistics.connectionsRejected++;
      socket.on('error', () => {});
      socket.write('-ERR max number of clients reached\r\n');
      socket.destroySoon();
      return;
    }
    const id = ++this.#lastId;
    const options = {
      id,
      address: addressOf(socket.remoteAddress, socket.remotePort),
      localAddress: addressOf(socket.localAddress, socket.localPort),
      createdAt: Date.now(),
      authenticated: !this.#options.passwordRequired,
    };
    this.#connections.set(id, new Connection(socket, this, options, performance.now()));
  }

  #sweep(): void {
    const now = performance.now();
    this.executor.statistics?.sampleRate(now);
    for (const connection of [...this.#connections.values()]) connection.sweep(now);
  }

  // What connections need of it.

  dirtied(connection: Connection): void {
    if (this.#dirty.push(connection) === 1) this.#turn.wake();
  }

  buffered(difference: number): void {
    this.#bufferedBytes += difference;
    const { bufferedBytesMax } = this.limits;
    this.overfull = this.#bufferedBytes > bufferedBytesMax;
    if (this.#bufferedBytes > bufferedBytesMax * evictionFactor) this.#evict(bufferedBytesMax);
  }

  /** Closes the connections with the largest buffers until the rest is within the limit. */
  #evict(bytesMax: number): void {
    const largest = [...this.#connections.values()].sort((a, b) => b.bufferedBytes - a.bufferedBytes);
    for (const connection of largest) {
      if (this.#bufferedBytes <= bytesMax) return;
      connection.cut('client-evicted-for-memory', { bufferedBytes: connection.bufferedBytes });
    }
  }

  takeWriter(): ByteWriter {
    return this.#writers.pop() ?? new ByteWriter(writerBytesMin);
  }

  giveWriter(writer: ByteWriter): void {
    if (this.#writers.length < writersMax && writer.bytes.length <= writerBytesMax)
      this.#writers.push(writer);
  }

  closed(connection: Connection): void {
    this.#connections.delete(connection.session.id);
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }
}

/** `127.0.0.1:4711`, `[::1]:4711`. */
function addressOf(host: string | undefined, port: number | undefined): string {
  if (host === undefined) return '?:0';
  const plain = host.startsWith('::ffff:') ? host.slice('::ffff:'.length) : host;
  return plain.includes(':') ? `[${plain}]:${port ?? 0}` : `${plain}:${port ?? 0}`;
}
