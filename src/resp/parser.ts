/**
 * The request parser: from bytes off a socket to commands, each a list of arguments.
 *
 * A client sends `*2 $3 GET $4 key7` (each line ended by CR LF), or an inline command, a plain line. The
 * parser follows Redis 7 (`processMultibulkBuffer` and `processInlineBuffer` in networking.c) in what it
 * takes, what it skips and how it words its errors. It differs on purpose in three things, so that a
 * stream means the same however the network cuts it and a client that counts wrong is told at once:
 * a limit is judged by the bytes of the line, not by what happens to be buffered; CR must be followed by
 * LF, and an argument by both; and the first byte of `$` is checked as soon as it is there.
 *
 * The picture to have in mind: `next` runs along the chunk with a finger. As long as all of a command lies
 * in the chunk, it never leaves the fast lane: count digits, make a view, jump over the bytes. Where the
 * chunk ends in the middle, the finger stays where it is (`#count` arguments expected, `#present` ones
 * had, the length of the next one perhaps known) and the feed keeps the cut piece.
 */

import { BYTES_EMPTY } from '../base/bytes.ts';
import { BULK_BROKEN, ByteFeed, LINE_PARTIAL, LINE_TOO_LONG } from './feed.ts';
import { splitInline } from './inline.ts';
import { parseInteger } from './number.ts';
import { ProtocolError } from './protocol-error.ts';

export { ProtocolError } from './protocol-error.ts';

/** How much a client may ask for. All are checked before anything is kept. */
export interface RequestLimits {
  /** Arguments of one command, its name included. */
  readonly argumentsMax: number;
  /** Bytes of one argument. */
  readonly bulkBytesMax: number;
  /** Bytes of an inline command, and of a line that announces a length, without the line's end. */
  readonly inlineBytesMax: number;
  /** Bytes of one command on the wire, lengths and line ends included. */
  readonly commandBytesMax: number;
  /** Words the errors as Redis does for a client that has not yet given its password. */
  readonly unauthenticated?: boolean;
}

const KiB = 1024;
const MiB = 1024 * KiB;

/** The limits of Redis 7, and a bound on the whole command. */
export const REQUEST_LIMITS_DEFAULT: RequestLimits = {
  argumentsMax: MiB,
  bulkBytesMax: 512 * MiB,
  inlineBytesMax: 64 * KiB,
  commandBytesMax: 64 * MiB,
};

/** The limits of Redis 7 for a client that must still authenticate. */
export const REQUEST_LIMITS_UNAUTHENTICATED: RequestLimits = {
  argumentsMax: 10,
  bulkBytesMax: 16 * KiB,
  inlineBytesMax: 64 * KiB,
  commandBytesMax: 256 * KiB,
  unauthenticated: true,
};

const STAR = 0x2a;
const DOLLAR = 0x24;
const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;
const fastDigitsMax = 9;
/** A power of two. */
const namesKept = 16;
const nameBytesMax = 16;
const namesNone: readonly Uint8Array[] = new Array<Uint8Array>(namesKept).fill(BYTES_EMPTY);

/** What `#readLength` gives where it cannot give a length. */
const LENGTH_NEGATIVE = -1;
const LENGTH_PARTIAL = -2;
const LENGTH_INVALID = -3;
const LENGTH_TOO_LONG = -4;

/** Parses the stream of one client. See the top of the file. */
export class RequestParser {
  /** May be replaced between two calls of `next`, as when the client has authenticated. */
  limits: RequestLimits;

  readonly #feed = new ByteFeed();
  #failure: ProtocolError | undefined;
  /** Arguments the present command has, or 0 between commands. */
  #count = 0;
  #present: Uint8Array[] = [];
  /** The announced length of the argument being read, or -1 before it is known. */
  #bulkLength = -1;
  /** Command names last seen, see `#takeName`. */
  readonly #names: Uint8Array[] = [...namesNone];

  constructor(limits: RequestLimits = REQUEST_LIMITS_DEFAULT) {
    this.limits = limits;
  }

  /**
   * Bytes that were pushed and are not yet part of a command handed out. At most what was pushed since
   * `next` last gave `undefined`, plus `commandBytesMax`.
   */
  get bufferedBytes(): number {
    return this.#feed.bufferedBytes;
  }

  /**
   * Adds bytes that came from the client. The arguments handed out are views of `chunk` wherever they lie
   * within it, so it must not be written to afterwards; and who keeps an argument for long copies it, or
   * all of the chunk stays in memory. After a `ProtocolError` the bytes are dropped.
   */
  push(chunk: Uint8Array): void {
    if (this.#failure === undefined) this.#feed.push(chunk);
  }

  /**
   * The arguments of the next whole command, at least one; `undefined` if none is there yet. They are to
   * be read only.
   *
   * @throws ProtocolError where the client breaks the protocol or a limit, and at every call after that.
   */
  next(): Uint8Array[] | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    const feed = this.#feed;
    for (;;) {
      if (this.#count === 0) {
        if (feed.at === feed.end && !feed.advance()) return undefined;
        if (feed.lineFirst !== STAR) {
          const words = this.#nextInline();
          if (words === undefined || words.length > 0) return words;
          continue;
        }
        const count = this.#readLength();
        if (count <= 0) {
          if (count === LENGTH_PARTIAL) return undefined;
          if (count < LENGTH_NEGATIVE) this.#failCount(count);
          feed.endUnit();
          continue;
        }
        this.#checkCount(count);
        this.#count = count;
      }
      return this.#nextArguments();
    }
  }

  /** Goes on with the arguments of the present command; `undefined` where the bytes end before they do. */
  #nextArguments(): Uint8Array[] | undefined {
    const feed = this.#feed;
    const present = this.#present;
    const count = this.#count;
    while (present.length < count) {
      let length = this.#bulkLength;
      const fresh = length < 0;
      if (fresh) {
        if (feed.at === feed.end && !feed.advance()) return undefined;
        if (feed.lineFirst !== DOLLAR) this.#fail(`expected '$', got '${shown(feed.lineFirst)}'`);
        length = this.#readLength();
        if (length === LENGTH_PARTIAL) return undefined;
        this.#checkLength(length);
        if (feed.unitBytes + length + 2 > this.limits.commandBytesMax) this.#fail('too big command');
      }
      const bulk = fresh && present.length === 0 ? this.#takeName(length) : feed.takeBulk(length);
      if (bulk === undefined) {
        this.#bulkLength = length;
        return undefined;
      }
      if (bulk === BULK_BROKEN) this.#fail('expected CRLF after bulk');
      this.#bulkLength = -1;
      present.push(bulk);
    }
    this.#present = [];
    this.#count = 0;
    feed.endUnit();
    return present;
  }

  /**
   * Takes the command's name. Clients send the same few names over and over, so a small table by first
   * byte and length keeps those last seen: the same name is then the same array, which saves making a
   * view and lets the server remember by identity what the name means.
   */
  #takeName(length: number): Uint8Array | undefined {
    const feed = this.#feed;
    const { chunk, at } = feed;
    if (length > nameBytesMax || length === 0 || at + length + 2 > feed.end) return feed.takeBulk(length);
    const place = (chunk[at]! + length) & (namesKept - 1);
    const name = this.#names[place]!;
    let i = name.length === length ? 0 : -1;
    while (i >= 0 && i < length) i = chunk[at + i] === name[i] ? i + 1 : -1;
    if (i === length && chunk[at + i] === CR && chunk[at + i + 1] === LF) {
      feed.at = at + length + 2;
      return name;
    }
    const bulk = feed.takeBulk(length);
    if (bulk === undefined || bulk === BULK_BROKEN) return bulk;
    const copy = bulk.slice();
    this.#names[place] = copy;
    return copy;
  }

  /**
   * The number of a `*` or `$` line at the feed's cursor, or one of the `LENGTH_` values. The fast lane
   * takes up to nine digits that lie in the chunk; everything else goes by way of the feed's line.
   */
  #readLength(): number {
    const feed = this.#feed;
    if (!feed.lineBegun) {
      const { chunk, end } = feed;
      const first = feed.at + 1;
      let at = first;
      let value = 0;
      let byte = 0;
      while (at < end) {
        byte = chunk[at]!;
        const digit = byte - ZERO;
        if (digit >>> 0 > 9 || at - first === fastDigitsMax) break;
        value = value * 10 + digit;
        at++;
      }
      const plain = at > first && (chunk[first] !== ZERO || at - first === 1);
      if (byte === CR && plain && at + 1 < end && chunk[at + 1] === LF) {
        feed.at = at + 2;
        return value;
      }
    }
    const status = feed.readLine(CR, 1, this.limits.inlineBytesMax);
    if (status === LINE_PARTIAL) return LENGTH_PARTIAL;
    if (status === LINE_TOO_LONG) return LENGTH_TOO_LONG;
    const value = parseInteger(feed.lineBytes, feed.lineStart + 1, feed.lineEnd);
    if (value === undefined || feed.lineNext !== LF) return LENGTH_INVALID;
    return value < 0 ? LENGTH_NEGATIVE : Number(value);
  }

  #checkCount(count: number): void {
    const { argumentsMax, unauthenticated } = this.limits;
    if (count <= argumentsMax) return;
    const early = unauthenticated === true && count <= REQUEST_LIMITS_DEFAULT.argumentsMax;
    this.#fail(early ? 'unauthenticated multibulk length' : 'invalid multibulk length');
  }

  #checkLength(length: number): void {
    const { bulkBytesMax, unauthenticated } = this.limits;
    if (length >= 0 && length <= bulkBytesMax) return;
    if (length === LENGTH_TOO_LONG) this.#fail('too big bulk count string');
    const early = unauthenticated === true && length >= 0 && length <= REQUEST_LIMITS_DEFAULT.bulkBytesMax;
    this.#fail(early ? 'unauthenticated bulk length' : 'invalid bulk length');
  }

  #failCount(count: number): never {
    this.#fail(count === LENGTH_TOO_LONG ? 'too big mbulk count string' : 'invalid multibulk length');
  }

  /** The words of an inline command, none for an empty line; `undefined` where the line is not whole. */
  #nextInline(): Uint8Array[] | undefined {
    const feed = this.#feed;
    const status = feed.readLine(LF, 0, this.limits.inlineBytesMax);
    if (status === LINE_PARTIAL) return undefined;
    if (status === LINE_TOO_LONG) this.#fail('too big inline request');
    const { lineBytes, lineStart } = feed;
    const bare = feed.lineEnd > lineStart && lineBytes[feed.lineEnd - 1] === CR;
    const words = splitInline(lineBytes, lineStart, bare ? feed.lineEnd - 1 : feed.lineEnd);
    if (words === undefined) this.#fail('unbalanced quotes in request');
    this.#checkCount(words.length);
    for (const word of words) this.#checkLength(word.length);
    feed.endUnit();
    return words;
  }

  /** Drops what is buffered and ends the parser. */
  #fail(problem: string): never {
    this.#failure = new ProtocolError(problem);
    this.#feed.clear();
    this.#present = [];
    this.#count = 0;
    throw this.#failure;
  }
}

/** A byte of the client's in an error message: as it is if it can be printed, else in hexadecimal. */
function shown(byte: number): string {
  if (byte >= 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}
