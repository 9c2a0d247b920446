/**
 * The RESP door on an ephemeral port, with commands that a test can hold back and let go in any order,
 * and a client that is nothing but a socket, so that a test decides every byte.
 */

import { connect, type Socket } from 'node:net';
import { byteString } from '../../src/base/bytes.ts';
import type { Session } from '../../src/commands/session.ts';
import type { Log, LogFields, LogLevel } from '../../src/ports/log.ts';
import { ErrorReply, MapReply, OK, SimpleString } from '../../src/resp/value.ts';
import type { Executor } from '../../src/server/connection.ts';
import { SERVER_LIMITS_DEFAULT, type ServerLimits } from '../../src/server/limits.ts';
import type { Reply } from '../../src/server/reply-queue.ts';
import { RespServer } from '../../src/server/resp-server.ts';

const waitMs = 5000;

export interface HeldCommand {
  readonly session: Session;
  readonly words: readonly string[];
  readonly complete: (reply: Reply) => void;
}

/**
 * Commands: `ECHO x` answers at once, `HOLD x` when the test says `release`, `BIG n` with n bytes at
 * once, `SILENT` never gives a reply, `PROTO n` changes the protocol as HELLO does, `MAP` shows it,
 * `AUTH` lets in whoever says `secret`, `QUIT` closes after the reply, `DIE` closes at once, `BLOCK` is
 * held and holds the connection as WAIT does.
 */
export class HoldingExecutor implements Executor {
  readonly held: HeldCommand[] = [];
  /** The first word of each command that was handed in. */
  readonly names: string[] = [];
  readonly statistics: { sampleRate(now: number): void } = { sampleRate: () => this.samples++ };
  samples = 0;

  execute(session: Session, args: readonly Uint8Array[], complete: (reply: Reply) => void): void {
    const words = args.map((arg) => byteString(arg));
    const name = words[0]!.toUpperCase();
    this.names.push(name);
    if (!session.authenticated && name !== 'AUTH' && name !== 'QUIT') {
      complete(new ErrorReply('NOAUTH', 'Authentication required.'));
      return;
    }
    switch (name) {
      case 'ECHO':
        complete(args[1]!);
        return;
      case 'HOLD':
      case 'BLOCK':
        if (name === 'BLOCK') session.blocked = true;
        this.held.push({ session, words, complete });
        return;
      case 'BIG':
        complete(new Uint8Array(Number(words[1])).fill(0x62));
        return;
      case 'SILENT':
        complete(undefined);
        return;
      case 'PROTO':
        session.protocol = words[1] === '3' ? 3 : 2;
        complete(OK);
        return;
      case 'MAP':
        complete(new MapReply([['a', 1]]));
        return;
      case 'AUTH':
        session.authenticated = words[1] === 'secret';
        complete(session.authenticated ? OK : new ErrorReply('WRONGPASS', 'no'));
        return;
      case 'QUIT':
        complete(OK);
        session.link.close('after-replies');
        return;
      case 'DIE':
        session.link.close('at-once');
        complete(OK);
        return;
      default:
        complete(new ErrorReply('ERR', `unknown command '${words[0]}'`));
    }
  }

  /** Answers the held command with this argument by `+argument`. */
  release(argument: string): void {
    const index = this.held.findIndex((held) => held.words[1] === argument);
    if (index < 0) throw new Error(`no held command ${argument}`);
    const [held] = this.held.splice(index, 1);
    held!.session.blocked = false;
    held!.complete(new SimpleString(argument));
  }
}

export interface LogEntry {
  readonly level: LogLevel;
  readonly event: string;
  readonly fields: LogFields;
}

export interface Door {
  readonly server: RespServer;
  readonly executor: HoldingExecutor;
  readonly port: number;
  readonly log: readonly LogEntry[];
  /** Connects a client, which is closed with the door. */
  connect(): Promise<RawClient>;
  close(): Promise<void>;
}

export interface DoorOptions {
  readonly limits?: Partial<ServerLimits>;
  readonly passwordRequired?: boolean;
  readonly sweepIntervalMs?: number;
}

/** Starts the door. */
export async function openDoor(options: DoorOptions = {}): Promise<Door> {
  const executor = new HoldingExecutor();
  const entries: LogEntry[] = [];
  const log: Log = { write: (level, event, fields = {}) => entries.push({ level, event, fields }) };
  const server = new RespServer(
    {
      host: '127.0.0.1',
      port: 0,
      limits: { ...SERVER_LIMITS_DEFAULT, ...options.limits },
      passwordRequired: options.passwordRequired ?? false,
      sweepIntervalMs: options.sweepIntervalMs ?? 20,
    },
    executor,
    log,
    { wake: () => setImmediate(() => server.flush()) },
  );
  const port = await server.listen();
  const clients: RawClient[] = [];
  return {
    server,
    executor,
    port,
    log: entries,
    async connect() {
      const client = await RawClient.connect(port);
      clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) client.socket.destroy();
      await server.close();
    },
  };
}

/** A socket that remembers what came, as a byte string. */
export class RawClient {
  readonly socket: Socket;
  received = '';
  /** The peer has closed, in whatever way. */
  closed = false;
  #changed: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.received += byteString(chunk);
      this.#wake();
    });
    socket.on('error', () => this.#wake());
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.closed = true;
        this.#wake();
      });
    }
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RawClient(socket));
      });
    });
  }

  /** Sends bytes given as a byte string. */
  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** Resolves when `condition` holds; rejects with what came instead after a few seconds. */
  until(condition: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`waited for ${what}; received ${JSON.stringify(this.received.slice(-300))}`));
      }, waitMs);
      const look = (): void => {
        if (!condition()) {
          this.#changed.push(look);
          return;
        }
        clearTimeout(timer);
        resolve();
      };
      look();
    });
  }

  /** Resolves when exactly `text` has come since the last call. */
  async expect(text: string): Promise<void> {
    await this.until(() => this.received.length >= text.length || this.closed, JSON.stringify(text));
    const got = this.received.slice(0, text.length);
    if (got !== text)
      throw new Error(`expected ${JSON.stringify(text)}, got ${JSON.stringify(this.received)}`);
    this.received = this.received.slice(text.length);
  }

  /** Resolves when the server has closed the connection. */
  async expectClosed(): Promise<void> {
    await this.until(() => this.closed, 'the connection to be closed');
  }

  #wake(): void {
    const waiting = this.#changed;
    this.#changed = [];
    for (const look of waiting) look();
  }
}

/** A command as clients send it. */
export function command(...words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}
