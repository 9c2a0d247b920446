/**
 * The output of one connection: what the client has not taken yet, in as little memory as it is bytes.
 *
 * The picture to have in mind: a loading bay. What the lorry (the operating system) takes at once never
 * touches the floor, and its crate (the writer's buffer) is used again. Only when the lorry is full are
 * goods put down: large ones as they are, small ones together in one box, so that a client that reads
 * slowly costs the bytes it was sent and not a buffer for each. They leave in loads of a bounded size, so
 * that one sees a slow client make progress.
 */

import type { Socket } from 'node:net';
import { ByteWriter } from '../base/bytes.ts';

/** What is handed to the socket at a time; larger output is cut. */
const loadBytes = 256 * 1024;
/** What is smaller is put down together with others. */
const smallBytes = 64 * 1024;

export class Output {
  readonly #socket: Socket;
  /** Bytes that the operating system has not taken, as far as we were told. */
  queuedBytes = 0;
  /** What the socket was not given: in order, the last of it in `#box`. */
  #waiting: Uint8Array[] = [];
  #box: ByteWriter | undefined;
  #waitingBytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Sends what was written to `writer`, which is empty and free for other use afterwards. */
  send(writer: ByteWriter): void {
    const socket = this.#socket;
    const { length } = writer;
    if (this.#waitingBytes > 0 || socket.writableNeedDrain || length > loadBytes) {
      this.#putDown(writer);
      this.pump();
      return;
    }
    if (socket.writableLength > 0) {
      socket.write(writer.bytes.slice(0, length));
      writer.length = 0;
    } else {
      socket.write(bufferOf(writer.bytes, 0, length));
      if (socket.writableLength === 0) writer.length = 0;
      else writer.take();
    }
    this.queuedBytes = socket.writableLength;
  }

  /** Hands over what waits, as much as may be. To be called when the socket has drained. */
  pump(): void {
    const socket = this.#socket;
    while (this.#waitingBytes > 0 && !socket.writableNeedDrain) {
      if (this.#waiting.length === 0) this.#closeBox();
      const bytes = this.#waiting[0]!;
      const load = Math.min(bytes.length, loadBytes);
      if (load === bytes.length) this.#waiting.shift();
      else this.#waiting[0] = bytes.subarray(load);
      this.#waitingBytes -= load;
      socket.write(bufferOf(bytes, 0, load));
    }
    this.refresh();
  }

  /** Asks the socket how much it still holds. */
  refresh(): void {
    this.queuedBytes = this.#socket.writableLength + this.#waitingBytes;
  }

  /** Whether the socket was given everything: only then it may be ended. */
  get handedOver(): boolean {
    return this.#waitingBytes === 0;
  }

  /** Forgets what waits. */
  clear(): void {
    this.#waiting = [];
    this.#box = undefined;
    this.#waitingBytes = 0;
    this.queuedBytes = 0;
  }

  #putDown(writer: ByteWriter): void {
    this.#waitingBytes += writer.length;
    if (writer.length < smallBytes) {
      this.#box ??= new ByteWriter(smallBytes);
      this.#box.raw(writer.view());
      writer.length = 0;
      if (this.#box.length >= smallBytes) this.#closeBox();
    } else {
      this.#closeBox();
      this.#waiting.push(writer.take());
    }
  }

  #closeBox(): void {
    if (this.#box === undefined) return;
    this.#waiting.push(this.#box.view());
    this.#box = undefined;
  }
}

/** The bytes as a Buffer, which the socket takes without a wrapper of its own. */
function bufferOf(bytes: Uint8Array, start: number, length: number): Buffer {
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset + start, length);
}
