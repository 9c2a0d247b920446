/**
 * String commands. A read asks the node for the row; a write that does not look at the old value is a
 * blind write; everything else is an update function (`updates.ts`), run where the key is coordinated.
 */

import type { ByteString } from '../base/bytes.ts';
import { byteString, bytesOf } from '../base/bytes.ts';
import type { RequestOptions } from '../node/api.ts';
import { parseInteger } from '../resp/number.ts';
import { OK, type RespValue } from '../resp/value.ts';
import { BODY_TOMBSTONE, KIND_STRING, type Row, type RowBody, rowKind, rowValue } from '../rows/row.ts';
import {
  clampedIntegerOf,
  EXPIRE_UNITS,
  type ExpireUnit,
  integerOf,
  positiveExpireAt,
  refuse,
  syntaxError,
} from './arguments.ts';
import type { Call, CommandContext, HandlerTable } from './command.ts';
import { CommandError, ERROR_NOT_INTEGER, errorReply } from './replies.ts';
import {
  gather,
  okOrNull,
  oneOrZero,
  readString,
  replyOfUpdate,
  update,
  updateKey,
  writeBody,
} from './requests.ts';
import { STRING_BYTES_MAX, STRING_TOO_LONG } from './updates.ts';

const noBytes = new Uint8Array(0);
const zero = bytesOf('0');
const one = bytesOf('1');
const minusOne = bytesOf('-1');
const errorOffset = errorReply('ERR offset is out of range');
const errorStringTooLong = errorReply(STRING_TOO_LONG);
const errorDecrement = errorReply('ERR decrement would overflow');
const integerMin = -(2n ** 63n);

function get(call: Call): void {
  readString(call, (value) => call.reply(value ?? null));
}

/** GET where the row is at hand: most GETs of a cache. */
export function getNow(
  context: CommandContext,
  options: RequestOptions,
  key: ByteString,
): RespValue | undefined {
  const row = context.node.readNow(key, options);
  if (row === undefined || (row !== null && rowKind(row) !== KIND_STRING)) return undefined;
  if (row === null) context.statistics.keyspaceMisses++;
  else context.statistics.keyspaceHits++;
  return row === null ? null : rowValue(row);
}

function strlen(call: Call): void {
  readString(call, (value) => call.reply(value === undefined ? 0 : value.length));
}

/** What SET and GETEX have after key and value. */
interface SetOptions {
  /** `N`, `X`, `G`, `K` as the update `set` reads them; `P` for PERSIST. */
  flags: string;
  unit: ExpireUnit | undefined;
  time: Uint8Array | undefined;
}

/** Options of SET (`words` `N X G K`) or GETEX (`P`), with Redis' rules on what goes with what. */
function setOptionsOf(args: readonly Uint8Array[], from: number, words: string): SetOptions {
  const options: SetOptions = { flags: '', unit: undefined, time: undefined };
  let unitName = '';
  for (let at = from; at < args.length; at++) {
    const word = byteString(args[at]!).toUpperCase();
    const flag = flagOf(word);
    if (flag !== '' && words.includes(flag)) {
      if (!isFlagAllowed(flag, options.flags, unitName)) syntaxError();
      options.flags += flag;
      continue;
    }
    const unit = EXPIRE_UNITS.get(word);
    const isTaken = (unitName !== '' && unitName !== word) || /[KP]/.test(options.flags);
    if (unit === undefined || isTaken || at + 1 === args.length) syntaxError();
    unitName = word;
    options.unit = unit;
    options.time = args[++at]!;
  }
  return options;
}

function flagOf(word: string): string {
  if (word === 'NX' || word === 'XX' || word === 'GET')
    return word === 'NX' ? 'N' : word === 'XX' ? 'X' : 'G';
  return word === 'KEEPTTL' ? 'K' : word === 'PERSIST' ? 'P' : '';
}

function isFlagAllowed(flag: string, flags: string, unitName: string): boolean {
  if (flag === 'N') return !flags.includes('X');
  if (flag === 'X') return !flags.includes('N');
  return flag === 'G' || unitName === '';
}

function stringBody(value: Uint8Array, expireAt: number, wall: number): RowBody {
  return expireAt !== 0 && expireAt <= wall ? BODY_TOMBSTONE : { kind: KIND_STRING, value, expireAt };
}

function set(call: Call): void {
  const { args } = call;
  if (args.length === 3) {
    writeBody(call, { kind: KIND_STRING, value: args[2]!, expireAt: 0 });
    return;
  }
  const options = setOptionsOf(args, 3, 'NXGK');
  const wall = call.node.wall();
  const expireAt =
    options.time === undefined ? 0 : positiveExpireAt('set', options.time, options.unit!, wall);
  if (options.flags === '') {
    writeBody(call, stringBody(args[2]!, expireAt, wall));
    return;
  }
  const render = options.flags.includes('G') ? replyOfUpdate : okOrNull;
  update(call, 'set', [args[2]!, bytesOf(options.flags), bytesOf(String(expireAt))], render);
}

function setnx(call: Call): void {
  update(call, 'set', [call.args[2]!, bytesOf('N'), zero], oneOrZero);
}

function getset(call: Call): void {
  update(call, 'set', [call.args[2]!, bytesOf('G'), zero]);
}

function setWithExpiry(call: Call, unitName: 'EX' | 'PX'): void {
  const wall = call.node.wall();
  const unit = EXPIRE_UNITS.get(unitName)!;
  const expireAt = positiveExpireAt(call.command.fullName, call.args[2]!, unit, wall);
  writeBody(call, stringBody(call.args[3]!, expireAt, wall));
}

function getex(call: Call): void {
  const options = setOptionsOf(call.args, 2, 'P');
  if (options.flags !== '') {
    update(call, 'getex', [zero]);
  } else if (options.time === undefined) {
    get(call);
  } else {
    update(call, 'getex', getexArgs(call, options.time, options.unit!));
  }
}

/** Redis looks for the key before it looks at the time: an error goes along to be said there. */
function getexArgs(call: Call, time: Uint8Array, unit: ExpireUnit): Uint8Array[] {
  try {
    return [bytesOf(String(positiveExpireAt('getex', time, unit, call.node.wall())))];
  } catch (error) {
    if (error instanceof CommandError) return [zero, bytesOf(error.reply.text)];
    throw error;
  }
}

function mget(call: Call): void {
  const { statistics } = call.context;
  gather<Row | undefined>(
    call,
    call.keys,
    (key, _, done) => call.node.read(key, call.requestOptions, done),
    (rows) => {
      for (const row of rows) {
        if (row === undefined) statistics.keyspaceMisses++;
        else statistics.keyspaceHits++;
      }
      call.reply(
        rows.map((row) => (row === undefined || rowKind(row) !== KIND_STRING ? null : rowValue(row))),
      );
    },
  );
}

/** Key and value pairs, each key once with its last value. An odd argument or a large pair ends it. */
function pairsOf(call: Call): ReadonlyMap<ByteString, Uint8Array> {
  const { args, keys } = call;
  const pairs = new Map<ByteString, Uint8Array>();
  for (const [index, key] of keys.entries()) {
    const value = args[index * 2 + 2]!;
    checkPairBytes(call, key.length + value.length);
    pairs.set(key, value);
  }
  return pairs;
}

/** Before anything is written: afterwards it would be half done. */
function checkPairBytes(call: Call, bytes: number): void {
  const { pairBytesMax } = call.node;
  if (bytes <= pairBytesMax) return;
  refuse(
    errorReply(
      `ERR key and value together are ${bytes} bytes, the limit is ${pairBytesMax}; nothing was written`,
    ),
  );
}

function wrongArity(call: Call): never {
  return refuse(errorReply(`ERR wrong number of arguments for '${call.command.fullName}' command`));
}

function mset(call: Call): void {
  if (call.args.length % 2 === 0) wrongArity(call);
  const pairs = pairsOf(call);
  gather<undefined>(
    call,
    [...pairs.keys()],
    (key, _, done) => {
      const body: RowBody = { kind: KIND_STRING, value: pairs.get(key)!, expireAt: 0 };
      call.node.write(key, body, call.requestOptions, (error, progress) => {
        if (progress !== undefined) call.session.noteWrite(progress);
        done(error, undefined);
      });
    },
    () => call.reply(OK),
  );
}

/**
 * All or none, as far as that goes without a transaction: if no key is there, each is set only if it is
 * not there; if another client was quicker with one of them, those set are deleted again.
 */
function msetnx(call: Call): void {
  if (call.args.length % 2 === 0) wrongArity(call);
  const pairs = pairsOf(call);
  const keys = [...pairs.keys()];
  gather<Row | undefined>(
    call,
    keys,
    (key, _, done) => call.node.read(key, call.requestOptions, done),
    (rows) => {
      if (rows.some((row) => row !== undefined)) call.reply(0);
      else setAllIfNone(call, keys, pairs);
    },
  );
}

function setAllIfNone(
  call: Call,
  keys: readonly ByteString[],
  pairs: ReadonlyMap<ByteString, Uint8Array>,
): void {
  gather<boolean>(
    call,
    keys,
    (key, _, done) =>
      updateKey(call, key, 'set', [pairs.get(key)!, bytesOf('N'), zero], (error, reply) =>
        done(error, reply !== null),
      ),
    (taken) => {
      const mine = keys.filter((_, index) => taken[index]);
      if (mine.length === keys.length) call.reply(1);
      else undo(call, mine, pairs);
    },
  );
}

function undo(call: Call, keys: readonly ByteString[], pairs: ReadonlyMap<ByteString, Uint8Array>): void {
  if (keys.length === 0) {
    call.reply(0);
    return;
  }
  gather<undefined>(
    call,
    keys,
    (key, _, done) =>
      updateKey(call, key, 'delsame', [pairs.get(key)!, zero], (error) => done(error, undefined)),
    () => call.reply(0),
  );
}

function append(call: Call): void {
  update(call, 'append', [call.args[2]!]);
}

function getrange(call: Call): void {
  const from = clampedIntegerOf(call.args[2]!);
  const to = clampedIntegerOf(call.args[3]!);
  readString(call, (value) => call.reply(value === undefined ? noBytes : rangeOf(value, from, to)));
}

/** Both ends included; negative ones count from the end. */
function rangeOf(value: Uint8Array, from: number, to: number): Uint8Array {
  if (from < 0 && to < 0 && from > to) return noBytes;
  const start = Math.max(0, from < 0 ? from + value.length : from);
  const end = Math.min(value.length - 1, Math.max(0, to < 0 ? to + value.length : to));
  return start > end || value.length === 0 ? noBytes : value.subarray(start, end + 1);
}

function setrange(call: Call): void {
  const offset = clampedIntegerOf(call.args[2]!);
  if (offset < 0) refuse(errorOffset);
  const patch = call.args[3]!;
  if (patch.length > 0) {
    // Refused here, so that no node makes the room for it first.
    if (offset + patch.length > STRING_BYTES_MAX) {
      readString(call, () => call.reply(errorStringTooLong));
      return;
    }
    checkPairBytes(call, call.key.length + offset + patch.length);
  }
  update(call, 'setrange', [bytesOf(String(offset)), patch]);
}

function incrby(call: Call): void {
  const delta = call.args[2]!;
  if (parseInteger(delta) === undefined) refuse(ERROR_NOT_INTEGER);
  update(call, 'incr', [delta]);
}

function decrby(call: Call): void {
  const delta = BigInt(integerOf(call.args[2]!));
  if (delta === integerMin) refuse(errorDecrement);
  update(call, 'incr', [bytesOf((-delta).toString())]);
}

export const STRINGS_HANDLERS: HandlerTable = {
  get,
  set,
  setnx,
  setex: (call) => setWithExpiry(call, 'EX'),
  psetex: (call) => setWithExpiry(call, 'PX'),
  getex,
  getdel: (call) => update(call, 'getdel', []),
  getset,
  mget,
  mset,
  msetnx,
  strlen,
  append,
  getrange,
  substr: getrange,
  setrange,
  incr: (call) => update(call, 'incr', [one]),
  incrby,
  decr: (call) => update(call, 'incr', [minusOne]),
  decrby,
  incrbyfloat: (call) => update(call, 'incrbyfloat', [call.args[2]!]),
};
