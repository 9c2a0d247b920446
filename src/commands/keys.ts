/**
 * Key commands: existence, deletion and expiry, whatever the key holds.
 */

import type { ByteString } from '../base/bytes.ts';
import { byteString, bytesOf, utf8Text } from '../base/bytes.ts';
import type { UpdateReply } from '../node/api.ts';
import { SimpleString } from '../resp/value.ts';
import { type Row, rowExpireAt, rowKind } from '../rows/row.ts';
import { type ExpireUnit, expireAtOf, refuse } from './arguments.ts';
import type { Call, HandlerTable } from './command.ts';
import { kindName } from './kinds.ts';
import { errorReply } from './replies.ts';
import { gather, readRow, update, updateKey } from './requests.ts';

const typeNone = new SimpleString('none');
const errorNxWithOther = errorReply('ERR NX and XX, GT or LT options at the same time are not compatible');
const errorGtWithLt = errorReply('ERR GT and LT options at the same time are not compatible');

/** Deletes each key once; a key named twice counts once, as in Redis. */
function del(call: Call): void {
  const keys = [...new Set(call.keys)];
  gather<UpdateReply>(
    call,
    keys,
    (key, _, done) => updateKey(call, key, 'del', [], done),
    (replies) => call.reply(replies.reduce<number>((sum, reply) => sum + Number(reply), 0)),
  );
}

/** How many of the keys are there; a key named twice counts twice, as in Redis. */
function exists(call: Call): void {
  gather<Row | undefined>(
    call,
    call.keys,
    (key: ByteString, _, done) => call.node.read(key, call.requestOptions, done),
    (rows) => {
      const found = rows.filter((row) => row !== undefined).length;
      call.context.statistics.keyspaceHits += found;
      call.context.statistics.keyspaceMisses += rows.length - found;
      call.reply(found);
    },
  );
}

function type(call: Call): void {
  readRow(call, (row) => call.reply(row === undefined ? typeNone : new SimpleString(kindName(rowKind(row)))));
}

/** EXPIRE and its like: time, then any of NX XX GT LT. */
function expire(call: Call, unit: ExpireUnit): void {
  const { args } = call;
  const conditions = new Set<string>();
  for (const arg of args.slice(3)) {
    const word = byteString(arg).toUpperCase();
    if (word !== 'NX' && word !== 'XX' && word !== 'GT' && word !== 'LT') {
      refuse(errorReply(`ERR Unsupported option ${utf8Text(arg)}`));
    }
    conditions.add(word);
  }
  if (conditions.has('NX') && conditions.size > 1) refuse(errorNxWithOther);
  if (conditions.has('GT') && conditions.has('LT')) refuse(errorGtWithLt);
  const at = expireAtOf(call.command.fullName, args[2]!, unit, call.node.wall());
  update(call, 'expire', [bytesOf(String(at)), bytesOf([...conditions].join(' '))]);
}

/** -2 no such key, -1 no time of expiry, else what `render` makes of the time. */
function expiry(call: Call, render: (expireAt: number) => number): void {
  readRow(call, (row) => {
    if (row === undefined) call.reply(-2);
    else if (rowExpireAt(row) === 0) call.reply(-1);
    else call.reply(render(rowExpireAt(row)));
  });
}

/** To the nearest second, as Redis rounds a TTL. */
function inSeconds(milliseconds: number): number {
  return Math.floor((milliseconds + 500) / 1000);
}

export const KEYS_HANDLERS: HandlerTable = {
  del,
  unlink: del,
  exists,
  touch: exists,
  type,
  expire: (call) => expire(call, { seconds: true, absolute: false }),
  pexpire: (call) => expire(call, { seconds: false, absolute: false }),
  expireat: (call) => expire(call, { seconds: true, absolute: true }),
  pexpireat: (call) => expire(call, { seconds: false, absolute: true }),
  ttl: (call) => expiry(call, (at) => inSeconds(Math.max(0, at - call.node.wall()))),
  pttl: (call) => expiry(call, (at) => Math.max(0, at - call.node.wall())),
  expiretime: (call) => expiry(call, inSeconds),
  pexpiretime: (call) => expiry(call, (at) => at),
  persist: (call) => update(call, 'persist', []),
};
