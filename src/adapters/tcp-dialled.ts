/**
 * A dialled pipe: the half of a TCP transport that sends to one peer.
 *
 * The picture: a caller who never gives up. It dials, says hello, waits for a welcome, and is then
 * `up` until the line breaks; after a loss it dials again, soon at first and then less often, with
 * jitter so that a cluster does not redial in step. After a refusal (a wrong configuration, which does
 * not mend itself quickly) it waits longer.
 *
 * It says hello in the latest protocol version, and to a peer that is of an older release once more, at once,
 * in an older version (`src/wire/handshake.ts`).
 *
 * The wait is counted from the start of the attempt before, so that an attempt which hung until its
 * timeout is followed by the next one at once: after a cut link heals it is in use within a second.
 */

import { connect, type Socket } from 'node:net';
import { CodedError } from '../base/errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log, LogLevel } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import { GONE_MS, type NodeId } from '../ports/transport.ts';
import { FrameSplitter } from '../wire/frame-splitter.ts';
import {
  decodeHandshake,
  encodeHandshake,
  HANDSHAKE_BYTES_MAX,
  type HandshakeIdentity,
  isVersionRefusal,
} from '../wire/handshake.ts';

export interface DialTarget {
  readonly host: string;
  readonly port: number;
}

/** Times of a transport, milliseconds. */
export interface TransportTimes {
  /** From dialling to the welcome; also from accepting to the hello. */
  readonly handshakeTimeoutMs: number;
  readonly redialMinMs: number;
  readonly redialMaxMs: number;
  /** Between attempts after a refusal. */
  readonly redialRefusedMs: number;
}

export interface DialledOptions {
  readonly peer: NodeId;
  readonly target: () => DialTarget;
  /** As of now: members and epoch change. */
  readonly identity: () => HandshakeIdentity;
  readonly times: TransportTimes;
  readonly queueBytesMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** @param version of the pipe. */
  readonly onUp: (version: number) => void;
  readonly onDown: (reason: string) => void;
}

/** `finishing`: only what was queued is still written. */
type State = 'waiting' | 'dialling' | 'up' | 'finishing' | 'closed';

const keepAliveMs = 5000;
/** An attempt without an answer for so long is given up when the peer shows that it is there, milliseconds. */
const staleMs = 200;
/** A peer that cannot be reached for longer is told, milliseconds. */
const lateMs = 3000;

export class DialledPipe {
  readonly #options: DialledOptions;
  #state: State = 'waiting';
  #socket: Socket | undefined = undefined;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;
  /** Attempts since the pipe last held. */
  #failures = 0;
  #failingSince = 0;
  #attemptAt = 0;
  #upAt = 0;
  #reasonLogged = '';
  /** The protocol version of the hello that was said last. */
  #version = 0;
  /** The life of the peer's process as it said in its welcome. */
  #lifeOfPeer: number | undefined = undefined;

  constructor(options: DialledOptions) {
    this.#options = options;
  }

  get isUp(): boolean {
    return this.#state === 'up';
  }

  /** The protocol version of a pipe that is up. */
  get version(): number {
    return this.#version;
  }

  get lifeOfPeer(): number | undefined {
    return this.#lifeOfPeer;
  }

  /** Queues a frame. False when the pipe is not up or its queue is full. */
  send(frame: Uint8Array): boolean {
    const socket = this.#socket;
    if (this.#state !== 'up' || socket === undefined) return false;
    if (socket.writableLength + frame.length > this.#options.queueBytesMax) return false;
    socket.write(frame);
    return true;
  }

  /** The operating system has taken all that was sent. */
  get isDrained(): boolean {
    return this.#state === 'up' && this.#socket?.writableLength === 0;
  }

  /**
   * Dials, unless it is up: at the start, and when the peer shows that it is there. An attempt that hangs
   * was made into a link that was cut.
   */
  dialNow(): void {
    const hangs = this.#state === 'dialling' && this.#options.clock.monotonic() - this.#attemptAt >= staleMs;
    if (this.#state !== 'waiting' && !hangs) return;
    this.#abandon();
    this.#dial();
  }

  /** The peer is to be found at another address: the pipe, or the attempt, to the one before is given up. */
  moved(): void {
    if (this.#state === 'up') this.#lose('the peer has another address', false);
    this.#failures = 0;
    this.#abandon();
    this.#dial();
  }

  #abandon(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
  }

  /** Drops a pipe that is up and dials anew. */
  reset(reason: string): void {
    if (this.#state === 'up') this.#lose(reason, false);
  }

  close(): void {
    this.#state = 'closed';
    this.#abandon();
  }

  /**
   * The peer is no member any more: what was queued is still written, for `GONE_MS` at most, and nobody is told.
   * @param done is called when the connection is closed.
   */
  finish(done: () => void): void {
    const socket = this.#socket;
    if (this.#state !== 'up' || socket === undefined) {
      this.close();
      done();
      return;
    }
    this.#state = 'finishing';
    socket.once('close', () => {
      this.close();
      done();
    });
    socket.end();
    this.#timer = setTimeout(() => socket.destroy(), GONE_MS);
  }

  /** @param version of the hello; the latest if left out. */
  #dial(version: number = this.#options.identity().protocolVersion): void {
    const { peer, times, clock } = this.#options;
    const identity = this.#options.identity();
    this.#state = 'dialling';
    this.#version = version;
    this.#attemptAt = clock.monotonic();
    const target = this.#options.target();
    const socket = connect({
      host: target.host,
      port: target.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
    });
    this.#socket = socket;
    const splitter = new FrameSplitter((frame) => this.#answered(socket, frame), HANDSHAKE_BYTES_MAX);
    socket.on('connect', () => {
      const { clusterName, nodeId, life } = identity;
      const whom = { clusterName, nodeId, nodeIdExpected: peer, life };
      socket.write(encodeHandshake({ kind: 'hello', protocolVersion: version, ...whom }));
    });
    socket.on('data', (chunk) => {
      if (!this.#owns(socket)) return;
      try {
        splitter.push(chunk);
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        this.#lose(
          `${target.host}:${target.port} does not answer like a node of Dure: ${error.message}`,
          true,
        );
      }
    });
    socket.on('error', (error) => {
      if (this.#owns(socket)) this.#lose(wordsOf(error, target), false);
    });
    socket.on('close', () => {
      if (this.#owns(socket)) this.#lose('the peer closed the connection', false);
    });
    this.#timer = setTimeout(() => {
      this.#lose(`no answer from ${target.host}:${target.port} in ${times.handshakeTimeoutMs} ms`, false);
    }, times.handshakeTimeoutMs);
  }

  /** Whether a socket is that of the present attempt or pipe: others are of no interest any more. */
  #owns(socket: Socket): boolean {
    return this.#socket === socket && this.#state !== 'finishing';
  }

  #answered(socket: Socket, frame: Uint8Array): void {
    if (!this.#owns(socket)) return;
    const { peer, clock, log, onUp } = this.#options;
    if (this.#state !== 'dialling') throw new CodedError('protocol', 'none', 'bytes after the welcome');
    const answer = decodeHandshake(frame);
    if (answer.kind === 'refusal') {
      const { protocolVersionLeast } = this.#options.identity();
      if (isVersionRefusal(answer.reason) && this.#version > protocolVersionLeast) {
        log.write('debug', 'peer-older', { peer, reason: answer.reason });
        this.#abandon();
        this.#dial(this.#version - 1);
        return;
      }
      this.#lose(`refused: ${answer.reason}`, true);
      return;
    }
    if (answer.kind !== 'welcome' || answer.nodeId !== peer) {
      throw new CodedError('protocol', 'none', `an answer to the hello that is no welcome of "${peer}"`);
    }
    clearTimeout(this.#timer);
    this.#lifeOfPeer = answer.life;
    this.#state = 'up';
    this.#upAt = clock.monotonic();
    this.#reasonLogged = '';
    // The node tells what that means for requests; this line is for whoever looks at the network.
    log.write('debug', 'peer-up', { peer, version: this.#version });
    onUp(this.#version);
  }

  /** Ends the attempt or the pipe, and plans the next attempt. */
  #lose(reason: string, refused: boolean): void {
    const { times, clock, random, onDown } = this.#options;
    const wasUp = this.#state === 'up';
    const now = clock.monotonic();
    this.#abandon();
    this.#state = 'waiting';
    // A pipe that held for a while starts over; one that is torn down at once does not.
    if (wasUp && now - this.#upAt > times.redialMaxMs) this.#failures = 0;
    if (wasUp || this.#failures === 0) this.#failingSince = wasUp ? now : this.#attemptAt;
    this.#tell(wasUp, reason, refused, now);
    const backoffMs = refused
      ? times.redialRefusedMs
      : Math.min(times.redialMaxMs, times.redialMinMs * 2 ** Math.min(this.#failures, 20));
    this.#failures += 1;
    const jitter = 0.5 + random.u32() / 0x2_0000_0000;
    const from = wasUp ? now : this.#attemptAt;
    const waitMs = Math.max(1, from + backoffMs * jitter - now);
    this.#timer = setTimeout(() => this.#dial(), waitMs);
    if (wasUp) setImmediate(() => this.#state !== 'closed' && onDown(reason));
  }

  /**
   * The same reason again and again is said once, and a peer that is only a little late (a cluster that
   * starts) is not worth a line.
   */
  #tell(wasUp: boolean, reason: string, refused: boolean, now: number): void {
    const { log, peer } = this.#options;
    const repeated = reason === this.#reasonLogged;
    const late = !wasUp && !refused && now - this.#failingSince < lateMs;
    const level: LogLevel = repeated || late || (wasUp && !refused) ? 'debug' : 'warn';
    if (!late) this.#reasonLogged = reason;
    log.write(level, refused ? 'peer-refused' : wasUp ? 'peer-down' : 'peer-unreachable', { peer, reason });
  }
}

function wordsOf(error: Error & { code?: string }, target: DialTarget): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return `nothing listens on ${target.host}:${target.port}`;
    case 'ECONNRESET':
    case 'EPIPE':
      return 'the connection was reset';
    case 'ENOTFOUND':
      return `the host name ${target.host} is not known`;
    default:
      return error.message;
  }
}
