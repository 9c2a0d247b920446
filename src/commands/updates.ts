/**
 * Updates: every command that looks at the old value to make the new one, as a pure function of the key's
 * row, run at the key's coordinator, which may be another node.
 *
 * The picture: a slip handed to the clerk who holds the folder: "if there is nothing in it, put this in,
 * and tell me". So everything that depends on the asking node (its clock at the time of asking, its
 * options) is written on the slip: times are absolute, options are parsed. The names and the layout of
 * the arguments are part of the protocol between nodes: change them only by adding.
 */

import { byteString, bytesOf, equalBytes } from '../base/bytes.ts';
import type { UpdateContext, UpdateFunction, UpdateReply, UpdateResult } from '../node/api.ts';
import { UpdateError } from '../node/api.ts';
import { fitsInteger64, parseInteger64 } from '../resp/number.ts';
import { BODY_TOMBSTONE, KIND_STRING, type RowBody } from '../rows/row.ts';
import { addLongDoubles, formatLongDouble, LONG_DOUBLE_ZERO, parseLongDouble } from './long-double.ts';

export const WRONG_TYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value';
const notInteger = 'ERR value is not an integer or out of range';
const overflow = 'ERR increment or decrement would overflow';
const notFloat = 'ERR value is not a valid float';
const floatOverflow = 'ERR increment would produce NaN or Infinity';
/** Redis' `proto-max-bulk-len`. */
export const STRING_BYTES_MAX: number = 512 * 1024 * 1024;
export const STRING_TOO_LONG = 'ERR string exceeds maximum allowed size (proto-max-bulk-len)';

type Args = readonly Uint8Array[];

function keep(reply: UpdateReply): UpdateResult {
  return { reply };
}

function fail(message: string): UpdateResult {
  return { reply: new UpdateError(message) };
}

function remove(reply: UpdateReply): UpdateResult {
  return { reply, body: BODY_TOMBSTONE };
}

/** A string, or its delete where its time is already past. */
function put(reply: UpdateReply, value: Uint8Array, expireAt: number, context: UpdateContext): UpdateResult {
  if (expireAt !== 0 && expireAt <= context.wall) return remove(reply);
  return { reply, body: { kind: KIND_STRING, value, expireAt } };
}

function isOther(current: RowBody | undefined): boolean {
  return current !== undefined && current.kind !== KIND_STRING;
}

function numberOf(arg: Uint8Array | undefined): number {
  return arg === undefined ? 0 : Number(byteString(arg));
}

/**
 * `set value options expireAt`. Options: `N` only if not there, `X` only if there, `G` reply the old
 * value, `K` keep the time of expiry. Replies 1 or null (not set); with `G` the old value or null.
 */
function set(current: RowBody | undefined, args: Args, context: UpdateContext): UpdateResult {
  const options = byteString(args[1]!);
  const get = options.includes('G');
  if (get && isOther(current)) return fail(WRONG_TYPE);
  const old = current === undefined ? null : current.value;
  if (options.includes(current === undefined ? 'X' : 'N')) return keep(get ? old : null);
  const reply = get ? old : 1;
  if (options.includes('K')) return put(reply, args[0]!, current?.expireAt ?? 0, context);
  return { ...put(reply, args[0]!, numberOf(args[2]), context), isNew: true };
}

/**
 * `getex expireAt [error]`. `expireAt` 0 takes the time of expiry away. An error in the arguments is
 * only said if the key is there.
 */
function getex(current: RowBody | undefined, args: Args, context: UpdateContext): UpdateResult {
  if (current === undefined) return keep(null);
  if (isOther(current)) return fail(WRONG_TYPE);
  if (args[1] !== undefined) return fail(byteString(args[1]));
  const expireAt = numberOf(args[0]);
  if (expireAt === current.expireAt) return keep(current.value);
  return put(current.value, current.value, expireAt, context);
}

/** `getdel`. */
function getdel(current: RowBody | undefined): UpdateResult {
  if (current === undefined) return keep(null);
  return isOther(current) ? fail(WRONG_TYPE) : remove(current.value);
}

/** `append value`. Replies the new length. */
function append(current: RowBody | undefined, args: Args, context: UpdateContext): UpdateResult {
  if (isOther(current)) return fail(WRONG_TYPE);
  const old = current?.value;
  const added = args[0]!;
  if (old === undefined) return put(added.length, added, 0, context);
  if (added.length === 0) return keep(old.length);
  const value = new Uint8Array(old.length + added.length);
  value.set(old);
  value.set(added, old.length);
  return put(value.length, value, current!.expireAt, context);
}

/** `setrange offset value`. Replies the new length. The asking node has checked the offset. */
function setrange(current: RowBody | undefined, args: Args, context: UpdateContext): UpdateResult {
  if (isOther(current)) return fail(WRONG_TYPE);
  const old = current?.value;
  const patch = args[1]!;
  if (patch.length === 0) return keep(old?.length ?? 0);
  const offset = numberOf(args[0]);
  if (offset + patch.length > STRING_BYTES_MAX) return fail(STRING_TOO_LONG);
  const value = new Uint8Array(Math.max(old?.length ?? 0, offset + patch.length));
  if (old !== undefined) value.set(old);
  value.set(patch, offset);
  return put(value.length, value, current?.expireAt ?? 0, context);
}

/** `incr delta`: a signed 64-bit integer. Replies the new value. */
function incr(current: RowBody | undefined, args: Args, context: UpdateContext): UpdateResult {
  if (isOther(current)) return fail(WRONG_TYPE);
  const old = current === undefined ? 0n : parseInteger64(current.value);
  const delta = parseInteger64(args[0]!);
  if (old === undefined || delta === undefined) return fail(notInteger);
  const value = old + delta;
  if (!fitsInteger64(value)) return fail(overflow);
  return put(value, bytesOf(value.toString()), current?.expireAt ?? 0, context);
}

/** `incrbyfloat increment`. Replies the new value as text. */
function incrbyfloat(current: RowBody | undefined, args: Args, context: UpdateContext): UpdateResult {
  if (isOther(current)) return fail(WRONG_TYPE);
  const old = current === undefined ? LONG_DOUBLE_ZERO : parseLongDouble(byteString(current.value));
  const increment = parseLongDouble(byteString(args[0]!));
  if (old === undefined || increment === undefined) return fail(notFloat);
  const sum = addLongDoubles(old, increment);
  if (sum === undefined) return fail(floatOverflow);
  const value = bytesOf(formatLongDouble(sum));
  return put(value, value, current?.expireAt ?? 0, context);
}

/** `del`. Replies 1 if it was there. */
function del(current: RowBody | undefined): UpdateResult {
  return current === undefined ? keep(0) : remove(1);
}

/** `delsame value expireAt`: deletes only what equals a copy taken before. Replies 1 if it did. */
function delsame(current: RowBody | undefined, args: Args): UpdateResult {
  if (current === undefined || current.expireAt !== numberOf(args[1])) return keep(0);
  return equalBytes(current.value, args[0]!) ? remove(1) : keep(0);
}

/**
 * Whether the key is still as the context `seen` says; an empty one says nothing, and never matches. Options: `X`
 * only if there. A context does not change when a value expires, so who saw a value says that too.
 */
function isAsSeen(
  current: RowBody | undefined,
  seen: Uint8Array,
  options: Uint8Array | undefined,
  context: UpdateContext,
): boolean {
  if (current === undefined && options !== undefined && byteString(options).includes('X')) return false;
  return seen.length > 0 && equalBytes(context.contextOf(), seen);
}

/**
 * `putmatch context value expireAt [options]`: compare-and-set by causal context. Replies 1, or 0 if the key
 * changed. Options: `X`.
 */
function putmatch(current: RowBody | undefined, args: Args, context: UpdateContext): UpdateResult {
  if (!isAsSeen(current, args[0]!, args[3], context)) return keep(0);
  return { ...put(1, args[1]!, numberOf(args[2]), context), isNew: true };
}

/** `delmatch context [options]`: the same for a delete. */
function delmatch(current: RowBody | undefined, args: Args, context: UpdateContext): UpdateResult {
  if (!isAsSeen(current, args[0]!, args[1], context)) return keep(0);
  return current === undefined ? keep(1) : remove(1);
}

/** `expire expireAt conditions`: any of `NX XX GT LT`. Replies 1 if it was set. */
function expire(current: RowBody | undefined, args: Args, context: UpdateContext): UpdateResult {
  if (current === undefined) return keep(0);
  const at = numberOf(args[0]);
  const conditions = byteString(args[1]!).split(' ');
  const old = current.expireAt;
  if (conditions.includes('NX') && old !== 0) return keep(0);
  if (conditions.includes('XX') && old === 0) return keep(0);
  if (conditions.includes('GT') && (old === 0 || at <= old)) return keep(0);
  if (conditions.includes('LT') && old !== 0 && at >= old) return keep(0);
  if (at <= context.wall) return remove(1);
  return { reply: 1, body: { kind: current.kind, value: current.value, expireAt: at } };
}

/** `persist`. Replies 1 if there was a time of expiry. */
function persist(current: RowBody | undefined): UpdateResult {
  if (current === undefined || current.expireAt === 0) return keep(0);
  return { reply: 1, body: { kind: current.kind, value: current.value, expireAt: 0 } };
}

/** All of them by name: what a node is made with (`NodeOptions.updates`). */
export const UPDATES: ReadonlyMap<string, UpdateFunction> = new Map<string, UpdateFunction>([
  ['set', set],
  ['getex', getex],
  ['getdel', getdel],
  ['append', append],
  ['setrange', setrange],
  ['incr', incr],
  ['incrbyfloat', incrbyfloat],
  ['del', del],
  ['delsame', delsame],
  ['putmatch', putmatch],
  ['delmatch', delmatch],
  ['expire', expire],
  ['persist', persist],
]);
