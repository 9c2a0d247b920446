/**
 * An accepted pipe: the half of a TCP transport that receives from one peer.
 *
 * The picture: a doorkeeper. Whoever connects must say a proper hello in time, else it is shown out
 * with the reason logged at both ends; after the welcome, frames stream in and are handed on whole.
 * Nothing but the welcome or the refusal ever goes back on this pipe.
 */

import type { Socket } from 'node:net';
import { CodedError } from '../base/errors.ts';
import type { Log, LogLevel } from '../ports/log.ts';
import { GONE_MS, type NodeId } from '../ports/transport.ts';
import { FRAME_BYTES_MAX } from '../wire/frame.ts';
import { FrameSplitter } from '../wire/frame-splitter.ts';
import { decodeHandshake, encodeHandshake, HANDSHAKE_BYTES_MAX, type Hello } from '../wire/handshake.ts';

export interface AcceptedHost {
  readonly nodeId: NodeId;
  readonly life: number;
  readonly handshakeTimeoutMs: number;
  readonly log: Log;
  /** Milliseconds, monotonic. */
  readonly monotonic: () => number;
  /** Judges a hello: undefined takes the pipe, else the reason for the refusal. */
  readonly onHello: (pipe: AcceptedPipe, hello: Hello) => string | undefined;
  /** How loudly a refusal is told. */
  readonly refusalLevel: (hello: Hello, reason: string) => LogLevel;
  readonly onFrame: (peer: NodeId, frame: Uint8Array) => void;
  readonly onClosed: (pipe: AcceptedPipe) => void;
}

export class AcceptedPipe {
  readonly #host: AcceptedHost;
  readonly #socket: Socket;
  readonly #splitter: FrameSplitter;
  #timer: ReturnType<typeof setTimeout>;
  #hello: Hello | undefined = undefined;
  #handling = false;
  #heardAt = 0;

  constructor(socket: Socket, host: AcceptedHost) {
    this.#host = host;
    this.#socket = socket;
    this.#splitter = new FrameSplitter((frame) => this.#take(frame), HANDSHAKE_BYTES_MAX);
    this.#timer = setTimeout(
      () => this.close(`no hello within ${host.handshakeTimeoutMs} ms`),
      host.handshakeTimeoutMs,
    );
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 5000);
    socket.on('data', (chunk) => this.#push(chunk));
    // 'close' follows and cleans up; there is nothing to say that 'peer-down' at the dialler does not.
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(this.#timer);
      host.onClosed(this);
    });
  }

  /** Who is at the other end; undefined before a hello was welcomed. */
  get peer(): NodeId | undefined {
    return this.#hello?.nodeId;
  }

  /** The life the peer showed in its hello. */
  get life(): number | undefined {
    return this.#hello?.life;
  }

  /** The protocol version of the pipe; undefined before a hello was welcomed. */
  get version(): number | undefined {
    return this.#hello?.protocolVersion;
  }

  /** When bytes last came, on the monotonic clock. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Drops the connection. A `reason` is logged; without one it goes silently. */
  close(reason?: string): void {
    if (reason !== undefined && !this.#socket.destroyed) {
      this.#host.log.write('warn', 'pipe-closed', {
        peer: this.peer,
        from: this.#socket.remoteAddress,
        reason,
      });
    }
    this.#socket.destroy();
  }

  /** The peer is no member any more: what it still sends is taken for a while, then the connection is dropped. */
  finish(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(), GONE_MS);
  }

  /** The peer is a member again. */
  resume(): void {
    clearTimeout(this.#timer);
  }

  #push(chunk: Uint8Array): void {
    this.#heardAt = this.#host.monotonic();
    try {
      this.#splitter.push(chunk);
    } catch (error) {
      // What the node throws is a bug and must not be mistaken for a bad stream.
      if (this.#handling || !(error instanceof CodedError)) throw error;
      this.close(error.message);
    }
  }

  #take(frame: Uint8Array): void {
    if (this.#socket.destroyed) return;
    if (this.#hello === undefined) {
      this.#greet(frame);
      return;
    }
    this.#handling = true;
    this.#host.onFrame(this.#hello.nodeId, frame);
    this.#handling = false;
  }

  #greet(frame: Uint8Array): void {
    const hello = decodeHandshake(frame);
    if (hello.kind !== 'hello')
      throw new CodedError('protocol', 'none', `a ${hello.kind} where a hello belongs`);
    clearTimeout(this.#timer);
    const reason = this.#host.onHello(this, hello);
    if (reason !== undefined) {
      this.#host.log.write(this.#host.refusalLevel(hello, reason), 'peer-refused', {
        peer: hello.nodeId,
        from: this.#socket.remoteAddress,
        reason,
      });
      this.#socket.end(encodeHandshake({ kind: 'refusal', reason }), () => this.#socket.destroy());
      this.#socket.removeAllListeners('data');
      this.#socket.resume();
      return;
    }
    this.#hello = hello;
    this.#splitter.frameBytesMax = FRAME_BYTES_MAX;
    this.#socket.write(
      encodeHandshake({ kind: 'welcome', nodeId: this.#host.nodeId, life: this.#host.life }),
    );
  }
}
