/**
 * Reply values: what a command answers, before it is known whether the client speaks RESP2 or RESP3.
 *
 * Plain JavaScript stands for itself where it can, so that a handler reads as what it answers:
 *
 * | value                 | RESP2               | RESP3                 |
 * |-----------------------|---------------------|-----------------------|
 * | `null`                | `$-1`               | `_`                   |
 * | number (integer)      | `:n`                | `:n`                  |
 * | bigint, 64 bits       | `:n`                | `:n`                  |
 * | bigint, longer        | bulk of its digits  | `(n`                  |
 * | boolean               | `:1` or `:0`        | `#t` or `#f`          |
 * | string                | bulk, in UTF-8      | bulk, in UTF-8        |
 * | `Uint8Array`          | bulk                | bulk                  |
 * | array                 | `*`                 | `*`                   |
 * | `SimpleString`        | `+text`             | `+text`               |
 * | `ErrorReply`          | `-CODE message`     | `-CODE message`       |
 * | `DoubleReply`         | bulk of its digits  | `,1.5`                |
 * | `MapReply`            | `*` of 2n, flat     | `%` of n              |
 * | `SetReply`            | `*`                 | `~`                   |
 * | `PushReply`           | `*`                 | `>`                   |
 * | `VerbatimReply`       | bulk of its text    | `=` with its format   |
 * | `NULL_ARRAY`          | `*-1`               | `_`                   |
 *
 * A string is text that Dure wrote (names, INFO). What a client stored is bytes and stays bytes: a
 * `ByteString` key goes out by way of `bytesOf`.
 */

import { bytesOf, utf8Bytes } from '../base/bytes.ts';

/** Anything a command can answer. See the table at the top of the file. */
export type RespValue =
  | null
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | readonly RespValue[]
  | SimpleString
  | ErrorReply
  | DoubleReply
  | MapReply
  | SetReply
  | PushReply
  | VerbatimReply
  | NullArray;

/** A short status in one line, such as `OK`. Encoded once, when made: meant for constants. */
export class SimpleString {
  readonly kind = 'simple';
  readonly text: string;
  /** `+text` and CR LF. */
  readonly encoded: Uint8Array;

  /** @param text CR and LF become spaces. */
  constructor(text: string) {
    this.text = oneLine(text);
    this.encoded = utf8Bytes(`+${this.text}\r\n`);
  }
}

/** An error: a code in capitals that clients act on, and a message for a person. */
export class ErrorReply {
  readonly kind = 'error';
  readonly code: string;
  readonly message: string;

  /**
   * @param code one word, such as `ERR` or `WRONGTYPE`.
   * @param message what happened; CR and LF become spaces. May be empty.
   */
  constructor(code: string, message: string) {
    this.code = oneLine(code);
    this.message = oneLine(message);
  }

  /** Code and message in one line, as sent. */
  get text(): string {
    return this.message === '' ? this.code : `${this.code} ${this.message}`;
  }
}

/** A floating point number. NaN and the infinities can be sent. */
export class DoubleReply {
  readonly kind = 'double';
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** Pairs of key and value, in the order given. */
export class MapReply {
  readonly kind = 'map';
  readonly pairs: readonly (readonly [RespValue, RespValue])[];

  constructor(pairs: readonly (readonly [RespValue, RespValue])[]) {
    this.pairs = pairs;
  }
}

/** Values without an order. That none is there twice is up to who makes it. */
export class SetReply {
  readonly kind = 'set';
  readonly items: readonly RespValue[];

  constructor(items: readonly RespValue[]) {
    this.items = items;
  }
}

/** A message out of turn (RESP3), such as an invalidation. The first item is its kind. */
export class PushReply {
  readonly kind = 'push';
  readonly items: readonly RespValue[];

  constructor(items: readonly RespValue[]) {
    this.items = items;
  }
}

/** Text to be shown to a person as it stands, with a format of three letters. */
export class VerbatimReply {
  readonly kind = 'verbatim';
  /** Three ASCII letters: `txt` or `mkd`. */
  readonly format: string;
  /** In UTF-8, as a bulk would be. */
  readonly bytes: Uint8Array;

  constructor(text: string | Uint8Array, format = 'txt') {
    this.format = format;
    this.bytes = typeof text === 'string' ? utf8Bytes(text) : text;
  }
}

/** The type of `NULL_ARRAY`: no array, where RESP2 tells that from no bulk (`*-1`). */
export class NullArray {
  readonly kind = 'null-array';
}

export const NULL_ARRAY: NullArray = new NullArray();

export const OK: SimpleString = new SimpleString('OK');
export const PONG: SimpleString = new SimpleString('PONG');
export const QUEUED: SimpleString = new SimpleString('QUEUED');
export const RESET: SimpleString = new SimpleString('RESET');

/** Replies so common that their bytes are kept. */
export const NULL_RESP2: Uint8Array = bytesOf('$-1\r\n');
export const NULL_RESP3: Uint8Array = bytesOf('_\r\n');
export const NULL_ARRAY_RESP2: Uint8Array = bytesOf('*-1\r\n');

function oneLine(text: string): string {
  return text.replace(/[\r\n]/g, ' ');
}
