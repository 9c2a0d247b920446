/**
 * One connection to a node: requests out in one write a turn, replies matched in order.
 *
 * The picture: a counter with two baskets. A request waits in the outbox until the turn of the event loop
 * ends; then the whole outbox is written at once and lies in the second basket, under way, until its reply
 * comes. When the connection breaks, what lies in the outbox was surely not sent, and of what was under
 * way nobody knows.
 *
 * A connection that is silent though replies are due, or does not answer a ping when idle, is half open (the
 * node froze, a cable was cut) and is given up.
 */

import { ByteWriter } from '../src/base/bytes.ts';
import { writeArrayHeader, writeBulk, writeBulkText } from '../src/resp/encoder.ts';
import { type ReplyLimits, ReplyParser } from '../src/resp/reply-parser.ts';
import { ErrorReply, PushReply, type RespValue } from '../src/resp/value.ts';
import { Fifo } from './fifo.ts';
import type { Dial, Pipe, PipeEvents } from './socket.ts';

/** A word of a request: text is sent in UTF-8. */
export type Word = string | Uint8Array;

/** A request on a connection, and who wants its reply. One of the last two is called, once. */
export interface Exchange {
  readonly words: readonly Word[];
  /** Nobody wants the reply any more: it need not be sent, and what comes is dropped. */
  readonly settled: boolean;
  /** It is about to be written. */
  sending(): void;
  replied(reply: RespValue): void;
  /** The connection is gone. @param sent whether the request may have reached the node */
  lost(sent: boolean, reason: string): void;
}

export interface ConnectionLimits {
  /** Requests in the outbox and under way. */
  readonly inFlightMax: number;
  /** Bytes in the outbox. */
  readonly outboxBytesMax: number;
  /** From dialling to the end of the handshake, milliseconds. */
  readonly connectTimeoutMs: number;
  /** An idle connection is pinged after so long. */
  readonly pingIntervalMs: number;
  /** Replies are due, and nothing came for so long: the connection is given up. */
  readonly silenceMsMax: number;
  readonly reply: ReplyLimits;
}

/** Words said on a new connection before any request. */
export type Handshake = readonly (readonly Word[])[];

export interface ConnectionEvents {
  ready(connection: Connection): void;
  /** After `ready` or instead of it. `code` is the first word of an error in the handshake. */
  closed(connection: Connection, reason: string, code: string | undefined): void;
}

const now = (): number => performance.now();

export class Connection implements PipeEvents {
  ready = false;
  readonly #pipe: Pipe;
  readonly #limits: ConnectionLimits;
  readonly #events: ConnectionEvents;
  readonly #parser: ReplyParser;
  readonly #handshake: Handshake;
  readonly #underWay: Fifo<Exchange> = new Fifo();
  readonly #writer: ByteWriter = new ByteWriter(4096);
  #outbox: Exchange[] = [];
  #outboxBytes = 0;
  #flushWaits = false;
  #pipeFull = false;
  #closed = false;
  #reason = '';
  #code: string | undefined;
  /** When bytes came last, or when the first of the requests under way went out, if that is later. */
  #heardAt = now();

  constructor(
    dial: Dial,
    host: string,
    port: number,
    handshake: Handshake,
    limits: ConnectionLimits,
    events: ConnectionEvents,
  ) {
    this.#handshake = handshake;
    this.#limits = limits;
    this.#events = events;
    this.#parser = new ReplyParser(limits.reply);
    this.#pipe = dial(host, port, this);
  }

  /** Requests in the outbox and under way. */
  get load(): number {
    return this.#underWay.length + this.#outbox.length;
  }

  /** Takes a request, to be written when the turn ends. False: the connection has as much as it may. */
  send(exchange: Exchange): boolean {
    const { inFlightMax, outboxBytesMax } = this.#limits;
    if (this.#closed || this.load >= inFlightMax) return false;
    const bytes = bytesOfWords(exchange.words);
    // A request that is larger than the outbox may go alone.
    if (this.#outboxBytes > 0 && this.#outboxBytes + bytes > outboxBytesMax) return false;
    this.#outboxBytes += bytes;
    this.#outbox.push(exchange);
    if (!this.#flushWaits && !this.#pipeFull) {
      this.#flushWaits = true;
      setImmediate(this.#flush);
    }
    return true;
  }

  readonly #flush = (): void => {
    this.#flushWaits = false;
    if (this.#closed || this.#pipeFull || this.#outbox.length === 0) return;
    const outbox = this.#outbox;
    this.#outbox = [];
    this.#outboxBytes = 0;
    if (this.#underWay.length === 0) this.#heardAt = now();
    for (const exchange of outbox) {
      if (exchange.settled) continue;
      exchange.sending();
      encodeRequest(this.#writer, exchange.words);
      this.#underWay.push(exchange);
    }
    if (this.#writer.length > 0) this.#pipeFull = !this.#pipe.write(this.#writer.take());
  };

  /** Looks whether the other side still lives; called now and then. */
  check(time: number): void {
    if (this.#closed) return;
    const silentMs = time - this.#heardAt;
    if (!this.ready) {
      if (silentMs > this.#limits.connectTimeoutMs) this.close('no answer to the handshake');
    } else if (this.load > 0) {
      if (silentMs > this.#limits.silenceMsMax) this.close(`silent for ${Math.round(silentMs)} ms`);
    } else if (silentMs > this.#limits.pingIntervalMs) {
      this.send(new Internal(['PING'], () => {}));
    }
  }

  /** Closes at once: what is under way is lost. */
  close(reason: string, code?: string): void {
    if (this.#closed) return;
    this.#reason = reason;
    this.#code = code;
    this.#pipe.destroy();
    this.#end();
  }

  // What happens on the pipe.

  opened(): void {
    let left = this.#handshake.length;
    for (const words of this.#handshake) {
      const taken = this.send(
        new Internal(words, (reply) => {
          left -= 1;
          if (reply instanceof ErrorReply) this.close(reply.text, reply.code);
          else if (left === 0 && !this.#closed) {
            this.ready = true;
            this.#events.ready(this);
          }
        }),
      );
      if (!taken) this.close('the handshake does not fit');
    }
    this.#flush();
  }

  data(chunk: Uint8Array): void {
    if (this.#closed) return;
    this.#heardAt = now();
    this.#parser.push(chunk);
    try {
      for (;;) {
        const reply = this.#parser.next();
        if (reply === undefined || this.#closed) return;
        if (reply instanceof PushReply) continue;
        const exchange = this.#underWay.shift();
        if (exchange !== undefined) {
          if (!exchange.settled) exchange.replied(reply);
        } else if (reply instanceof ErrorReply) {
          // A node that has no room says so before it is asked, and closes.
          this.close(reply.text, reply.code);
        } else this.close('a reply that nobody asked for');
      }
    } catch (error) {
      this.close(error instanceof Error ? error.message : String(error), 'protocol');
    }
  }

  drained(): void {
    this.#pipeFull = false;
    this.#flush();
  }

  closed(reason: string): void {
    if (this.#closed) return;
    this.#reason = reason;
    this.#end();
  }

  #end(): void {
    this.#closed = true;
    this.ready = false;
    // First the word that the node is gone, so that what is lost is not sent there again.
    this.#events.closed(this, this.#reason, this.#code);
    for (;;) {
      const exchange = this.#underWay.shift();
      if (exchange === undefined) break;
      if (!exchange.settled) exchange.lost(true, this.#reason);
    }
    for (const exchange of this.#outbox) if (!exchange.settled) exchange.lost(false, this.#reason);
    this.#outbox = [];
  }
}

/** A request of the connection itself. */
export class Internal implements Exchange {
  readonly settled = false;
  readonly words: readonly Word[];
  readonly replied: (reply: RespValue) => void;
  readonly lost: (sent: boolean, reason: string) => void;

  constructor(
    words: readonly Word[],
    replied: (reply: RespValue) => void,
    lost: (sent: boolean, reason: string) => void = () => {},
  ) {
    this.words = words;
    this.replied = replied;
    this.lost = lost;
  }

  sending(): void {}
}

function bytesOfWords(words: readonly Word[]): number {
  let bytes = 0;
  for (const word of words) bytes += word.length + 16;
  return bytes;
}

function encodeRequest(writer: ByteWriter, words: readonly Word[]): void {
  writeArrayHeader(writer, words.length);
  for (const word of words) {
    if (typeof word === 'string') writeBulkText(writer, word);
    else writeBulk(writer, word);
  }
}
