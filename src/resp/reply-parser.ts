/**
 * The reply parser: from the bytes a server sends to reply values, in RESP2 and RESP3. For clients, tools
 * and tests; the counterpart of encoder.ts, and in RESP3 its exact inverse (a string comes back as the
 * `Uint8Array` it was sent as).
 *
 * The picture to have in mind: a stack of open boxes. An array, map, set or push opens a box that wants so
 * many items; each finished value falls into the topmost box; a full box is closed and is itself a value.
 * The depth of the stack, the number of values and the bytes of one reply are limited, and nothing is
 * allocated from an announced count.
 *
 * An attribute (`|`) is read and dropped. Streamed strings and aggregates (`$?`, `*?`), which no server
 * sends, are errors.
 */

import { byteString, utf8Text } from '../base/bytes.ts';
import { BULK_BROKEN, ByteFeed, LINE_PARTIAL, LINE_TOO_LONG } from './feed.ts';
import { parseDouble, parseInteger } from './number.ts';
import { ProtocolError } from './protocol-error.ts';
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  NULL_ARRAY,
  OK,
  PushReply,
  type RespValue,
  SetReply,
  SimpleString,
  VerbatimReply,
} from './value.ts';

/** How much a server may send. */
export interface ReplyLimits {
  /** Boxes within boxes. */
  readonly depthMax: number;
  /** Values in one reply, those within boxes included. */
  readonly valuesMax: number;
  /** Bytes of one bulk. */
  readonly bulkBytesMax: number;
  /** Bytes of one line, without its end. */
  readonly lineBytesMax: number;
  /** Bytes of one reply on the wire. */
  readonly replyBytesMax: number;
}

const MiB = 1024 * 1024;

export const REPLY_LIMITS_DEFAULT: ReplyLimits = {
  depthMax: 32,
  valuesMax: 16 * MiB,
  bulkBytesMax: 512 * MiB,
  lineBytesMax: 64 * 1024,
  replyBytesMax: 1024 * MiB,
};

const CR = 0x0d;
const LF = 0x0a;

/** An open box: its kind, how many values it still wants, and those it has. */
interface Box {
  readonly type: string;
  missing: number;
  readonly items: RespValue[];
}

const aggregates = '*%~>|';
const bulks = '$=!';

/** Marks "not whole yet" inside the parser, where `undefined` and `null` are taken. */
const partial: unique symbol = Symbol('partial');
/** Marks a box that was opened rather than a value. */
const opened: unique symbol = Symbol('opened');

/** Parses the replies of one server. */
export class ReplyParser {
  readonly limits: ReplyLimits;

  readonly #feed = new ByteFeed();
  #failure: ProtocolError | undefined;
  #boxes: Box[] = [];
  #values = 0;
  /** The type of the bulk whose length is known but whose bytes have not all come, or empty. */
  #bulkType = '';
  #bulkLength = 0;

  constructor(limits: ReplyLimits = REPLY_LIMITS_DEFAULT) {
    this.limits = limits;
  }

  /** Bytes that were pushed and are not yet part of a reply handed out. */
  get bufferedBytes(): number {
    return this.#feed.bufferedBytes;
  }

  /** Adds bytes. Bulks are handed out as views of `chunk` where they can be, so it is not to be reused. */
  push(chunk: Uint8Array): void {
    if (this.#failure === undefined) this.#feed.push(chunk);
  }

  /**
   * The next whole reply; `undefined` if none is there yet.
   *
   * @throws ProtocolError where the server breaks the protocol or a limit, and at every call after that.
   */
  next(): RespValue | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    for (;;) {
      const item = this.#bulkType === '' ? this.#readItem() : this.#readBulk();
      if (item === partial) return undefined;
      if (item === opened) continue;
      const reply = this.#place(item);
      if (reply === undefined) continue;
      this.#feed.endUnit();
      this.#values = 0;
      return reply;
    }
  }

  /** Puts a finished value into the topmost box, and closes boxes as they fill; the reply once whole. */
  #place(item: RespValue): RespValue | undefined {
    let value = item;
    for (;;) {
      const box = this.#boxes.at(-1);
      if (box === undefined) return value;
      box.items.push(value);
      box.missing--;
      if (box.missing > 0) return undefined;
      this.#boxes.pop();
      if (box.type === '|') return undefined;
      value = closed(box);
    }
  }

  #readItem(): RespValue | typeof partial | typeof opened {
    const feed = this.#feed;
    const { limits } = this;
    const status = feed.readLine(CR, 1, limits.lineBytesMax);
    if (status === LINE_PARTIAL) return partial;
    if (status === LINE_TOO_LONG) return this.#fail('too big line');
    if (feed.lineNext !== LF) return this.#fail('CR without LF');
    if (feed.unitBytes > limits.replyBytesMax) return this.#fail('too big reply');
    if (feed.lineEnd === feed.lineStart) return this.#fail('empty line');
    if (++this.#values > limits.valuesMax) return this.#fail('too many values');
    const type = String.fromCharCode(feed.lineBytes[feed.lineStart]!);
    if (aggregates.includes(type)) return this.#open(type);
    if (bulks.includes(type)) return this.#openBulk(type);
    return this.#readLineValue(type);
  }

  /** The values that are one line. */
  #readLineValue(type: string): RespValue {
    const { lineBytes, lineStart, lineEnd } = this.#feed;
    const start = lineStart + 1;
    switch (type) {
      case '+':
        if (lineEnd - start === 2 && lineBytes[start] === 0x4f && lineBytes[start + 1] === 0x4b) return OK;
        return new SimpleString(utf8Text(lineBytes.subarray(start, lineEnd)));
      case '-':
        return errorOf(lineBytes.subarray(start, lineEnd));
      case ':':
        return parseInteger(lineBytes, start, lineEnd) ?? this.#fail('invalid integer');
      case '_':
        return start === lineEnd ? null : this.#fail('invalid null');
      case '#': {
        const text = byteString(lineBytes, start, lineEnd);
        if (text !== 't' && text !== 'f') this.#fail('invalid boolean');
        return text === 't';
      }
      case ',': {
        const text = byteString(lineBytes, start, lineEnd);
        const value = text === 'nan' ? Number.NaN : parseDouble(text);
        return new DoubleReply(value ?? this.#fail('invalid double'));
      }
      case '(': {
        const text = byteString(lineBytes, start, lineEnd);
        return /^-?\d+$/.test(text) ? BigInt(text) : this.#fail('invalid big number');
      }
      default:
        return this.#fail('unknown reply type');
    }
  }

  /** Opens a box for an aggregate, or gives the value of an empty or absent one. */
  #open(type: string): RespValue | typeof opened {
    const { lineBytes, lineStart, lineEnd } = this.#feed;
    const count = parseInteger(lineBytes, lineStart + 1, lineEnd);
    if (typeof count !== 'number') this.#fail('invalid multibulk length');
    if (count === -1 && type === '*') return NULL_ARRAY;
    const missing = type === '%' || type === '|' ? count * 2 : count;
    if (missing < 0 || missing > this.limits.valuesMax) this.#fail('invalid multibulk length');
    const box: Box = { type, missing, items: [] };
    if (missing === 0) return type === '|' ? opened : closed(box);
    if (this.#boxes.length >= this.limits.depthMax) this.#fail('too deep');
    this.#boxes.push(box);
    return opened;
  }

  #openBulk(type: string): RespValue | typeof partial {
    const { lineBytes, lineStart, lineEnd } = this.#feed;
    const { bulkBytesMax, replyBytesMax } = this.limits;
    const length = parseInteger(lineBytes, lineStart + 1, lineEnd);
    if (length === -1 && type === '$') return null;
    if (typeof length !== 'number' || length < 0 || length > bulkBytesMax) this.#fail('invalid bulk length');
    if (this.#feed.unitBytes + length + 2 > replyBytesMax) this.#fail('too big reply');
    this.#bulkType = type;
    this.#bulkLength = length;
    return this.#readBulk();
  }

  #readBulk(): RespValue | typeof partial {
    const bytes = this.#feed.takeBulk(this.#bulkLength);
    if (bytes === undefined) return partial;
    if (bytes === BULK_BROKEN) this.#fail('expected CRLF after bulk');
    const type = this.#bulkType;
    this.#bulkType = '';
    if (type === '$') return bytes;
    if (type === '!') return errorOf(bytes);
    if (bytes.length < 4 || bytes[3] !== 0x3a) this.#fail('invalid verbatim string');
    return new VerbatimReply(bytes.subarray(4), byteString(bytes, 0, 3));
  }

  #fail(problem: string): never {
    this.#failure = new ProtocolError(problem);
    this.#feed.clear();
    this.#boxes = [];
    throw this.#failure;
  }
}

/** The value of a box that has all its items. */
function closed(box: Box): RespValue {
  const { type, items } = box;
  if (type === '*') return items;
  if (type === '~') return new SetReply(items);
  if (type === '>') return new PushReply(items);
  const pairs: [RespValue, RespValue][] = [];
  for (let i = 0; i < items.length; i += 2) pairs.push([items[i]!, items[i + 1]!]);
  return new MapReply(pairs);
}

function errorOf(bytes: Uint8Array): ErrorReply {
  const text = utf8Text(bytes);
  const space = text.indexOf(' ');
  return space < 0 ? new ErrorReply(text, '') : new ErrorReply(text.slice(0, space), text.slice(space + 1));
}
