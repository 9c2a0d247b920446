/**
 * One client connection: bytes in, commands out to the dispatcher, replies back in order.
 *
 * The picture to have in mind: a pipe with two taps. The tap at the entrance closes (what was read stays
 * in the parser, and soon the socket is not read any more) while too many commands are under way or too
 * many replies wait to be taken, and opens again when they have gone: a client that sends without reading
 * fills the buffers of its own machine, never ours. The tap at the exit opens once a turn of the event
 * loop, so that all replies of a turn leave in one write; or at once, where no more can come in this turn.
 *
 * Replies go into a writer borrowed from the server for the turn, so that an idle connection holds no
 * buffer, and from there to `output.ts`.
 */

import type { Socket } from 'node:net';
import type { ByteWriter } from '../base/bytes.ts';
import { Session, type SessionLink, type SessionOptions } from '../commands/session.ts';
import type { Log, LogFields, LogLevel } from '../ports/log.ts';
import { encodeReply, writeError } from '../resp/encoder.ts';
import { ProtocolError, RequestParser } from '../resp/parser.ts';
import { ErrorReply, type RespValue } from '../resp/value.ts';
import type { ServerLimits } from './limits.ts';
import { Output } from './output.ts';
import { type Protocol, type Reply, ReplyQueue, type ReplySink, type TicketPool } from './reply-queue.ts';
import type { ServerStatistics } from './statistics.ts';

/** What runs commands: the command layer's dispatcher, or a fake in tests. */
export interface Executor {
  /** Told the time about once a second (monotonic, milliseconds), to measure rates. */
  readonly statistics?: { sampleRate(now: number): void };
  /** `complete` is called exactly once, during the call or later; with undefined for no reply. */
  execute(session: Session, args: readonly Uint8Array[], complete: (reply: Reply) => void): void;
}

/** What connections share; implemented by the server. */
export interface ConnectionHost {
  readonly limits: ServerLimits;
  readonly executor: Executor;
  readonly statistics: ServerStatistics;
  readonly tickets: TicketPool;
  readonly log: Log;
  /** Buffers of all clients together are over the limit: commands are to be refused. */
  readonly overfull: boolean;
  /** The connection has something to do in `flush`. */
  dirtied(connection: Connection): void;
  /** The bytes buffered for a connection changed by `difference`. */
  buffered(difference: number): void;
  takeWriter(): ByteWriter;
  giveWriter(writer: ByteWriter): void;
  closed(connection: Connection): void;
}

/** Output beyond this is written before the turn is over. */
const writeBytes = 256 * 1024;
/** While no commands are taken, so much is still read: enough to notice a client that leaves. */
const inputBytesPause = 64 * 1024;

const overfullReply = new ErrorReply(
  'TRYAGAIN',
  'the node buffers as much as it allows for its clients; nothing was done; try again later',
);

const letterMask = 0x20;
const POST = [0x70, 0x6f, 0x73, 0x74];
const HOST = [0x68, 0x6f, 0x73, 0x74, 0x3a];
const QUIT = [0x71, 0x75, 0x69, 0x74];

export class Connection implements SessionLink, ReplySink {
  readonly session: Session;
  inputBytes = 0;
  outputBytes = 0;

  readonly #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #parser: RequestParser;
  readonly #replies: ReplyQueue;
  readonly #output: Output;
  #writer: ByteWriter | undefined;
  /** What the host was told last by `buffered`. */
  #bufferedBytes = 0;

  #authenticated: boolean;
  #dirty = false;
  #parsing = false;
  /** The entrance tap is closed: no commands are taken from the parser. */
  #paused = false;
  /** No more commands are taken: after QUIT, a protocol error, a kill. */
  #closing = false;
  /** The peer will send no more. */
  #inputEnded = false;
  /** When our end was closed and the peer was left to hang up; 0 before. */
  #endedAt = 0;
  /** Since when the client owes the password. */
  #strangerSince: number;
  /** When bytes came last, when a command was last under way, and since when output is over the soft limit (or 0). */
  #arrivedAt: number;
  #commandAt: number;
  #softSince = 0;

  /** @param now monotonic, milliseconds, as all times here. */
  constructor(socket: Socket, host: ConnectionHost, options: SessionOptions, now: number) {
    this.#socket = socket;
    this.#host = host;
    this.#output = new Output(socket);
    this.session = new Session(options, this);
    this.#authenticated = options.authenticated;
    this.#parser = new RequestParser(
      options.authenticated ? host.limits.request : host.limits.requestUnauthenticated,
    );
    this.#replies = new ReplyQueue(host.tickets, this);
    this.#strangerSince = now;
    this.#arrivedAt = now;
    this.#commandAt = now;
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('drain', () => this.#onDrain());
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error) => this.#log('debug', 'client-socket-error', { error: error.message }));
    socket.on('close', () => this.#onClose());
  }

  // What the session and the server ask.

  get inputBytesQueued(): number {
    return this.#parser.bufferedBytes;
  }

  get outputBytesQueued(): number {
    return this.#output.queuedBytes + (this.#writer?.length ?? 0);
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Commands under way or waiting to be answered. */
  get pendingCount(): number {
    return this.#replies.length;
  }

  /** Whether it takes no more commands. */
  get closing(): boolean {
    return this.#closing;
  }

  close(when: 'after-replies' | 'at-once'): void {
    if (when === 'at-once') {
      this.#destroy();
      return;
    }
    this.#closing = true;
    this.#markDirty();
  }

  /** Closes it for a reason of ours, which is counted and logged. */
  cut(event: string, fields: LogFields = {}): void {
    if (this.session.closed) return;
    this.#host.statistics.connectionsCut++;
    this.#log('warn', event, fields);
    this.#destroy();
  }

  /** Checks what time does: silence, slowness. Called about once a second. */
  sweep(now: number): void {
    const { limits } = this.#host;
    if (this.#endedAt > 0) {
      const patience = this.#socket.writableLength > 0 ? limits.outputSoftMs : limits.lingerMs;
      if (now - this.#endedAt > patience) this.#destroy();
      return;
    }
    if (this.#inputEnded && this.session.blocked) {
      this.#destroy();
      return;
    }
    this.#output.refresh();
    if (this.#output.queuedBytes <= limits.outputBytesSoft) this.#softSince = 0;
    this.#account();
    if (this.#replies.length > 0) this.#commandAt = now;
    if (this.#softSince > 0 && now - this.#softSince > limits.outputSoftMs) {
      this.cut('client-output-over-soft-limit', { outputBytes: this.outputBytesQueued });
    } else if (
      !this.session.authenticated &&
      limits.handshakeTimeoutMs > 0 &&
      now - this.#strangerSince > limits.handshakeTimeoutMs
    ) {
      this.cut('client-handshake-timeout');
    } else if (limits.idleTimeoutMs > 0 && now - this.#commandAt > limits.idleTimeoutMs) {
      this.cut('client-idle-timeout');
    }
  }

  // Input.

  #onData(chunk: Buffer): void {
    if (this.#closing) return;
    const host = this.#host;
    this.inputBytes += chunk.length;
    host.statistics.inputBytes += chunk.length;
    this.#arrivedAt = performance.now();
    this.#parser.push(chunk);
    if (this.#paused) this.#pause();
    else this.#parse();
    this.#account();
  }

  /** The client has closed its sending side, and perhaps is gone: only a blocked command might never end. */
  #onEnd(): void {
    this.#inputEnded = true;
    if (this.session.blocked) this.#destroy();
    else this.#markDirty();
  }

  #onDrain(): void {
    this.#output.pump();
    if (this.#output.queuedBytes <= this.#host.limits.outputBytesSoft) this.#softSince = 0;
    if (this.#closing || this.#inputEnded) this.#markDirty();
    if (this.#paused) this.#resume();
    this.#account();
  }

  /** Hands over commands until there are no more or the entrance tap has to close. */
  #parse(): void {
    if (this.#parsing) return;
    this.#parsing = true;
    const arrivedAt = this.#arrivedAt;
    let done = 0;
    let count = 0;
    try {
      while (!this.#closing) {
        if (!this.#mayTake()) {
          this.#pause();
          break;
        }
        const args = this.#parser.next();
        if (args === undefined) break;
        count++;
        if (this.#take(args, arrivedAt)) done++;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#failProtocol(error);
    } finally {
      this.#parsing = false;
    }
    if (count === 0) return;
    this.#commandAt = arrivedAt;
    this.#host.statistics.commands += count;
    this.#afterParsing(arrivedAt, done);
  }

  /** Where nothing is under way, no reply will come later in the turn: what there is can go at once. */
  #afterParsing(arrivedAt: number, done: number): void {
    const { statistics } = this.#host;
    if (this.#replies.length > 0) {
      if (done > 0) statistics.noteReplies(arrivedAt, done);
    } else {
      this.#write();
      if (done > 0) statistics.latency.record((performance.now() - arrivedAt) * 1000, done);
    }
    if (this.#closing || this.#writer !== undefined) this.#markDirty();
  }

  /** Runs one command; true if it was answered at once. */
  #take(args: readonly Uint8Array[], arrivedAt: number): boolean {
    const name = args[0]!;
    const length = name.length;
    if (length === 4) {
      if (isWord(name, POST)) return this.#failHttp();
      if (isWord(name, QUIT)) this.#closing = true;
    } else if (length === 5 && isWord(name, HOST)) {
      return this.#failHttp();
    }
    const ticket = this.#replies.open();
    if (this.#host.overfull) {
      this.#host.statistics.commandsRefused++;
      ticket.complete(overfullReply);
    } else {
      this.#host.executor.execute(this.session, args, ticket.complete);
    }
    const done = this.#replies.settle(ticket, arrivedAt);
    if (this.session.authenticated !== this.#authenticated) this.#followAuthentication();
    return done;
  }

  #followAuthentication(): void {
    const { limits } = this.#host;
    this.#authenticated = this.session.authenticated;
    this.#strangerSince = performance.now();
    this.#parser.limits = this.#authenticated ? limits.request : limits.requestUnauthenticated;
  }

  #mayTake(): boolean {
    const { limits } = this.#host;
    return (
      this.#replies.length < limits.pendingCommandsMax &&
      !this.session.blocked &&
      this.outputBytesQueued < limits.outputBytesPause
    );
  }

  #pause(): void {
    this.#paused = true;
    if (this.#parser.bufferedBytes > inputBytesPause) this.#socket.pause();
  }

  /** Opens the entrance tap, if what closed it has gone by half. */
  #resume(): void {
    const { limits } = this.#host;
    if (
      this.#replies.length > limits.pendingCommandsMax >> 1 ||
      this.outputBytesQueued > limits.outputBytesPause >> 1
    ) {
      return;
    }
    this.#paused = false;
    this.#parse();
    if (this.#paused) return;
    this.#socket.resume();
    if (this.#inputEnded) this.#markDirty();
  }

  #failProtocol(error: ProtocolError): void {
    this.#host.statistics.protocolErrors++;
    this.#host.statistics.connectionsCut++;
    this.#log('info', 'client-protocol-error', { error: error.message });
    const ticket = this.#replies.open();
    ticket.complete(new ErrorReply('ERR', error.message));
    this.#replies.settle(ticket, this.#arrivedAt);
    this.close('after-replies');
  }

  /** A browser was made to talk to us, by a page that guesses ports: nothing of it may be run. */
  #failHttp(): false {
    this.cut('client-speaks-http', {
      meaning: 'a POST or Host: line came to the Redis port: possibly a cross-protocol attack; closed',
    });
    return false;
  }

  // Output.

  get protocol(): Protocol {
    return this.session.protocol;
  }

  reply(value: RespValue, protocol: Protocol): void {
    if (this.session.closed) return;
    let writer = this.#writer;
    if (writer === undefined) {
      writer = this.#host.takeWriter();
      this.#writer = writer;
    }
    if (value instanceof ErrorReply) writeError(writer, value);
    else encodeReply(writer, value, protocol);
    if (!this.#parsing) this.#markDirty();
    if (writer.length > writeBytes || !this.#authenticated) this.#write();
  }

  replyLate(value: RespValue, protocol: Protocol, arrivedAt: number): void {
    this.reply(value, protocol);
    this.#markDirty();
    this.#host.statistics.noteReplies(arrivedAt, 1);
  }

  progressed(): void {
    if (this.session.authenticated !== this.#authenticated) this.#followAuthentication();
    if (this.#paused || this.#closing || this.#inputEnded) this.#markDirty();
  }

  #markDirty(): void {
    if (this.#dirty || this.session.closed) return;
    this.#dirty = true;
    this.#host.dirtied(this);
  }

  /** Writes the output of the turn, and does what had to wait for that. */
  flush(): void {
    this.#dirty = false;
    if (this.session.closed) return;
    this.#write();
    if (this.session.closed) return;
    if (this.#isDone()) this.#end();
    else if (this.#paused) this.#resume();
    this.#account();
  }

  /** Nothing is left to be said, and nothing will be asked. */
  #isDone(): boolean {
    if (this.#replies.length > 0 || !this.#output.handedOver) return false;
    return this.#closing || (this.#inputEnded && !this.#paused);
  }

  #write(): void {
    const writer = this.#writer;
    if (writer === undefined || this.session.closed) return;
    this.outputBytes += writer.length;
    this.#host.statistics.outputBytes += writer.length;
    this.#output.send(writer);
    this.#writer = undefined;
    this.#host.giveWriter(writer);
    if (this.#output.queuedBytes > 0) this.#checkOutput();
  }

  #checkOutput(): void {
    const { limits } = this.#host;
    const unsent = this.#output.queuedBytes;
    if (!this.#authenticated && unsent > limits.outputBytesUnauthenticated) {
      this.cut('client-output-unauthenticated', { outputBytes: unsent });
    } else if (unsent > limits.outputBytesHard) {
      this.cut('client-output-over-hard-limit', { outputBytes: unsent });
    } else if (unsent <= limits.outputBytesSoft) {
      this.#softSince = 0;
    } else if (this.#softSince === 0) {
      this.#softSince = performance.now();
    }
  }

  #account(): void {
    const bytes = this.session.closed ? 0 : this.#parser.bufferedBytes + this.outputBytesQueued;
    const difference = bytes - this.#bufferedBytes;
    if (difference === 0) return;
    this.#bufferedBytes = bytes;
    this.#host.buffered(difference);
  }

  // The end.

  /** All replies are written: says goodbye and gives the peer a little time to read them. */
  #end(): void {
    if (this.#endedAt > 0) return;
    this.#closing = true;
    this.#endedAt = performance.now();
    this.#socket.end();
    if (this.#inputEnded) return;
    this.#paused = false;
    this.#socket.resume();
  }

  #destroy(): void {
    this.#closing = true;
    this.#socket.destroy();
    this.#onClose();
  }

  #onClose(): void {
    if (this.session.closed) return;
    this.session.closed = true;
    this.#closing = true;
    this.#output.clear();
    const writer = this.#writer;
    if (writer !== undefined) {
      this.#writer = undefined;
      writer.length = 0;
      this.#host.giveWriter(writer);
    }
    this.#account();
    this.#host.closed(this);
  }

  #log(level: LogLevel, event: string, fields: LogFields): void {
    this.#host.log.write(level, event, { client: this.session.id, address: this.session.address, ...fields });
  }
}

/** Whether `bytes` is `word` (lower case) in any case. Both have the same length. */
function isWord(bytes: Uint8Array, word: readonly number[]): boolean {
  for (let i = 0; i < word.length; i++) {
    const byte = bytes[i]!;
    const lower = byte >= 0x41 && byte <= 0x5a ? byte | letterMask : byte;
    if (lower !== word[i]) return false;
  }
  return true;
}
