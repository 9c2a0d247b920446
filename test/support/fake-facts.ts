/**
 * The world around a node, faked: sessions, settings and the server's tick, in a test's hands. And a client
 * that hands commands to a dispatcher and reads the replies as text.
 */

import { ByteWriter, byteString, utf8Bytes } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { Dispatcher } from '../../src/commands/dispatch.ts';
import type { ServerFacts, ServerFigures, Setting } from '../../src/commands/facts.ts';
import { Session } from '../../src/commands/session.ts';
import type { NodeApi } from '../../src/node/api.ts';
import { encodeReply } from '../../src/resp/encoder.ts';
import type { RespValue } from '../../src/resp/value.ts';

export class FakeFacts implements ServerFacts {
  readonly version = '0.1.0';
  readonly runId: string = '0123456789'.repeat(4);
  readonly random: Prng = new Prng(1);
  password: string | undefined;
  readonly open: Session[] = [];
  settings: readonly Setting[] = [];
  checks: (() => boolean)[] = [];
  resets = 0;

  isDraining = false;

  get passwordRequired(): boolean {
    return this.password !== undefined;
  }

  passwordMatches(user: string, password: Uint8Array): boolean {
    return user === 'default' && byteString(password) === this.password;
  }

  sessions(): Iterable<Session> {
    return this.open;
  }

  figures(): ServerFigures {
    return {
      processId: 42,
      tcpPort: 6371,
      platform: 'linux x64',
      runtime: 'Node.js 24',
      executable: '/usr/bin/node',
      configFile: '',
      startedAt: 1_700_000_000_000,
      memoryResidentBytes: 50 * 1024 * 1024,
      memoryResidentPeakBytes: 60 * 1024 * 1024,
      memoryHeapUsedBytes: 1536 * 1024,
      memoryHeapTotalBytes: 4 * 1024 * 1024,
      memorySystemBytes: 8 * 1024 ** 3,
      cpuUserSeconds: 1.5,
      cpuSystemSeconds: 0.25,
      clientsMax: 10_000,
      connectionsReceived: 7,
      connectionsRejected: 1,
      inputBytes: 100,
      outputBytes: 200,
      storageEngine: 'memory',
      storageDurable: false,
      storageDurability: 'interval',
      storageMemoryBytesMax: 0,
      storageEviction: 'noeviction',
    };
  }

  resetFigures(): void {
    this.resets++;
  }

  poll(check: () => boolean): void {
    this.checks.push(check);
  }

  /** One tick of the server. */
  tick(): void {
    const checks = this.checks;
    this.checks = [];
    for (const check of checks) if (!check()) this.checks.push(check);
  }
}

/** What a command was answered: `undefined` for silence, `pending` while there is no answer. */
export type Answer = { reply: RespValue | undefined; pending: boolean };

/** A connection without a socket. */
export class FakeClient {
  readonly session: Session;
  readonly closes: string[] = [];
  readonly #dispatcher: Dispatcher;

  constructor(dispatcher: Dispatcher, facts: FakeFacts) {
    this.#dispatcher = dispatcher;
    const id = facts.open.length + 1;
    const { closes } = this;
    this.session = new Session(
      {
        id,
        address: `127.0.0.1:${50_000 + id}`,
        localAddress: '127.0.0.1:6371',
        createdAt: 1_700_000_000_000,
        authenticated: !facts.passwordRequired,
      },
      {
        close: (when) => closes.push(when),
        inputBytesQueued: 0,
        outputBytesQueued: 0,
        inputBytes: 0,
        outputBytes: 0,
      },
    );
    facts.open.push(this.session);
  }

  send(args: readonly (string | Uint8Array)[]): Answer {
    const answer: Answer = { reply: undefined, pending: true };
    const bytes = args.map((arg) => (typeof arg === 'string' ? utf8Bytes(arg) : arg));
    this.#dispatcher.execute(this.session, bytes, (reply) => {
      if (!answer.pending) throw new Error(`answered twice: ${args.join(' ')}`);
      answer.pending = false;
      answer.reply = reply;
    });
    return answer;
  }

  /** Sends words apart by spaces and gives the reply as `showReply` shows it. */
  ask(line: string): string {
    return this.askArgs(line.split(' '));
  }

  askArgs(args: readonly (string | Uint8Array)[]): string {
    const answer = this.send(args);
    return answer.pending ? 'pending' : showReply(answer.reply, this.session.protocol);
  }
}

/** The bytes a reply is sent as, with `|` for line ends: `$5|hello|`. `silence` for none. */
export function showReply(reply: RespValue | undefined, protocol: 2 | 3 = 2): string {
  return reply === undefined ? 'silence' : byteString(encoded(reply, protocol)).replaceAll('\r\n', '|');
}

export function encoded(reply: RespValue, protocol: 2 | 3): Uint8Array {
  const writer = new ByteWriter();
  encodeReply(writer, reply, protocol);
  return writer.take();
}

/** A dispatcher over a node, its facts, and a first client. */
export function fakeServer(node: NodeApi): { dispatcher: Dispatcher; facts: FakeFacts; client: FakeClient } {
  const facts = new FakeFacts();
  const dispatcher = new Dispatcher(node, facts);
  return { dispatcher, facts, client: new FakeClient(dispatcher, facts) };
}
