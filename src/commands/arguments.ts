/**
 * Arguments: numbers and words of a command, read as Redis reads them, with Redis' errors.
 *
 * The functions throw a `CommandError`, which the dispatcher turns into the reply: an argument that is
 * wrong ends the command there and then.
 */

import { parseInteger } from '../resp/number.ts';
import type { ErrorReply } from '../resp/value.ts';
import { CommandError, ERROR_NOT_INTEGER, ERROR_SYNTAX, errorReply } from './replies.ts';

/** The latest time a row can hold, milliseconds since 1970: in the year 10889. Later ones become this. */
export const EXPIRE_AT_MAX: number = 2 ** 48 - 1;

const integerMax = 2n ** 63n - 1n;
const integerMin = -(2n ** 63n);

/** Ends the command with an error. */
export function refuse(reply: ErrorReply): never {
  throw new CommandError(reply);
}

export function syntaxError(): never {
  throw new CommandError(ERROR_SYNTAX);
}

/** A signed 64-bit integer, a bigint where a number is not exact. */
export function integerOf(bytes: Uint8Array, error: ErrorReply = ERROR_NOT_INTEGER): number | bigint {
  return parseInteger(bytes) ?? refuse(error);
}

/** As `integerOf`, moved into the safe integers: enough wherever it is compared with a length or count. */
export function clampedIntegerOf(bytes: Uint8Array, error: ErrorReply = ERROR_NOT_INTEGER): number {
  const value = integerOf(bytes, error);
  if (typeof value === 'number') return value;
  return value > 0n ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER;
}

const errorRange32 = errorReply('ERR value is out of range, value must between -2147483648 and 2147483647');

/** A signed 32-bit integer: the number of a database. */
export function integer32Of(bytes: Uint8Array): number {
  const value = clampedIntegerOf(bytes);
  return Math.abs(value + 0.5) < 2 ** 31 ? value : refuse(errorRange32);
}

/** Whether an argument is this word, in any case. `word` is ASCII in capitals. */
export function isWord(bytes: Uint8Array, word: string): boolean {
  if (bytes.length !== word.length) return false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    const capital = byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte;
    if (capital !== word.charCodeAt(i)) return false;
  }
  return true;
}

/** `EX`, `PX`: from now; `EXAT`, `PXAT`: since 1970. */
export interface ExpireUnit {
  readonly seconds: boolean;
  readonly absolute: boolean;
}

export const EXPIRE_UNITS: ReadonlyMap<string, ExpireUnit> = new Map([
  ['EX', { seconds: true, absolute: false }],
  ['PX', { seconds: false, absolute: false }],
  ['EXAT', { seconds: true, absolute: true }],
  ['PXAT', { seconds: false, absolute: true }],
]);

/** `ERR invalid expire time in 'set' command`. */
export function expireTimeError(command: string): ErrorReply {
  return errorReply(`ERR invalid expire time in '${command}' command`);
}

/**
 * The time of expiry, milliseconds since 1970, of an option such as `EX 10`: above zero as SET and its
 * like demand. At most `EXPIRE_AT_MAX`.
 */
export function positiveExpireAt(command: string, bytes: Uint8Array, unit: ExpireUnit, wall: number): number {
  if (integerOf(bytes) <= 0) refuse(expireTimeError(command));
  return expireAtOf(command, bytes, unit, wall);
}

/** As `positiveExpireAt`, for EXPIRE and its like, which take any time; one in the past may be negative. */
export function expireAtOf(command: string, bytes: Uint8Array, unit: ExpireUnit, wall: number): number {
  const given = BigInt(integerOf(bytes));
  const milliseconds = unit.seconds ? given * 1000n : given;
  const base = unit.absolute ? 0n : BigInt(wall);
  if (milliseconds > integerMax - base || milliseconds < integerMin) refuse(expireTimeError(command));
  const at = milliseconds + base;
  if (at > BigInt(EXPIRE_AT_MAX)) return EXPIRE_AT_MAX;
  return at < -BigInt(EXPIRE_AT_MAX) ? -EXPIRE_AT_MAX : Number(at);
}
