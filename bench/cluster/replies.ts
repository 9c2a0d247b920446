/**
 * Counts the answers that come back on a connection, without keeping them.
 *
 * The picture to have in mind: the load generator wants to know three things of an answer: that it is
 * complete, that it is no error, and (for WAIT) the number in it. So a reader is a small state machine
 * over the bytes of a chunk, and a value passes through it in one step, by its length.
 */

import { frame, frameType } from './requests.ts';

export interface ReplyReader {
  /** @param length how many bytes of `chunk` are filled */
  read(chunk: Buffer, length: number): void;
}

/** Told of each complete answer; `error` is the server's words, when it is one. */
export type ReplyHandler = (error: string | undefined) => void;

const cr = 13;
const lf = 10;

/** RESP2 answers to GET, SET, and SET + WAIT (one operation, two answers). */
export class RespReplies implements ReplyReader {
  readonly #onReply: ReplyHandler;
  readonly #waitReplicas: number;
  #type = 0;
  #number = 0;
  #negative = false;
  #text = '';
  #skip = 0;
  /** Of a SET + WAIT: the answer to SET is in. */
  #half = false;
  #error: string | undefined;

  constructor(waitReplicas: number, onReply: ReplyHandler) {
    this.#waitReplicas = waitReplicas;
    this.#onReply = onReply;
  }

  read(chunk: Buffer, length: number): void {
    let at = 0;
    while (at < length) {
      if (this.#skip > 0) {
        const taken = Math.min(this.#skip, length - at);
        this.#skip -= taken;
        at += taken;
        if (this.#skip === 0) this.#complete();
        continue;
      }
      const byte = chunk[at]!;
      at += 1;
      if (this.#type === 0) this.#begin(byte);
      else if (byte === lf) this.#lineEnd();
      else this.#lineByte(byte);
    }
  }

  #begin(type: number): void {
    this.#type = type;
    this.#number = 0;
    this.#negative = false;
    this.#text = '';
  }

  #lineByte(byte: number): void {
    if (this.#type === 0x2d) this.#text += String.fromCharCode(byte);
    else if (byte === 0x2d) this.#negative = true;
    else if (byte !== cr && this.#type !== 0x2b) this.#number = this.#number * 10 + byte - 48;
  }

  #lineEnd(): void {
    switch (this.#type) {
      case 0x2d: // -
        this.#error ??= this.#text.trim();
        break;
      case 0x24: // $
        if (this.#negative) this.#error ??= 'no value';
        else {
          this.#skip = this.#number + 2;
          return;
        }
        break;
      case 0x3a: // :
        if (this.#number < this.#waitReplicas) this.#error ??= `WAIT answered ${this.#number}`;
        break;
      case 0x2b: // +
        break;
      default:
        throw new Error(`unexpected type of reply: ${String.fromCharCode(this.#type)}`);
    }
    this.#complete();
  }

  #complete(): void {
    this.#type = 0;
    if (this.#waitReplicas > 0 && !this.#half) {
      this.#half = true;
      return;
    }
    this.#half = false;
    const error = this.#error;
    this.#error = undefined;
    this.#onReply(error);
  }
}

/** The gRPC answers of etcd: a stream that carried a message before it ended is a success. */
export class EtcdReplies implements ReplyReader {
  /** What may still be sent before the server has to grant more (RFC 9113, section 5.2). */
  windowBytes = 65_535;
  readonly #onReply: ReplyHandler;
  readonly #send: (bytes: Buffer) => void;
  readonly #onWindow: () => void;
  readonly #withMessage = new Set<number>();
  #carry: Buffer = Buffer.alloc(0);

  constructor(onReply: ReplyHandler, send: (bytes: Buffer) => void, onWindow: () => void) {
    this.#onReply = onReply;
    this.#send = send;
    this.#onWindow = onWindow;
  }

  read(chunk: Buffer, length: number): void {
    const fresh = chunk.subarray(0, length);
    const bytes = this.#carry.length === 0 ? fresh : Buffer.concat([this.#carry, fresh]);
    let at = 0;
    while (bytes.length - at >= 9) {
      const end = at + 9 + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      const stream = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
      this.#frame(bytes[at + 3]!, bytes[at + 4]!, stream, bytes.subarray(at + 9, end));
      at = end;
    }
    // The chunk's buffer is used again for the next read.
    this.#carry = at === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(at));
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    const ended = (flags & 0x1) !== 0;
    switch (type) {
      case frameType.data:
        this.#withMessage.add(stream);
        break;
      case frameType.headers:
        if (ended) this.#onReply(this.#withMessage.delete(stream) ? undefined : refusal(payload));
        break;
      case frameType.reset:
        this.#withMessage.delete(stream);
        this.#onReply(`stream reset, code ${payload.readUInt32BE(0)}`);
        break;
      case frameType.settings:
        if (!ended) this.#send(frame(frameType.settings, 0x1, 0, Buffer.alloc(0)));
        break;
      case frameType.ping:
        if (!ended) this.#send(frame(frameType.ping, 0x1, 0, Buffer.from(payload)));
        break;
      case frameType.windowUpdate:
        if (stream !== 0) break;
        this.windowBytes += payload.readUInt32BE(0);
        this.#onWindow();
        break;
      case frameType.goAway:
        throw new Error(`etcd ends the connection: ${payload.subarray(8).toString('latin1')}`);
    }
  }
}

/** Trailers are HPACK, partly Huffman coded: what is legible of them tells enough. */
function refusal(payload: Buffer): string {
  return `refused: ${payload.toString('latin1').replaceAll(/[^ -~]+/g, ' ')}`;
}
