/**
 * RENAME, RENAMENX and COPY: commands of two keys, which may lie on different nodes.
 *
 * There is no transaction over two keys, so they are made of steps: read the source, write the
 * destination with its time of expiry, and, to rename, delete the source *if it still is what was
 * copied*. Between the steps others see both keys, or find the source changed; then it stays, which is
 * as if it had been written after the rename. Nothing is lost by a crash in between: at worst both stay.
 * A key with several siblings is not renamed, since only one of them would be.
 */

import { bytesOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { ErrorReply, OK, type RespValue } from '../resp/value.ts';
import { type Row, type RowBody, rowExpireAt, rowKind, rowValue } from '../rows/row.ts';
import { integer32Of, isWord, refuse, syntaxError } from './arguments.ts';
import type { Call, HandlerTable } from './command.ts';
import { ERROR_DB_INDEX, ERROR_NO_KEY, errorReply } from './replies.ts';
import { readRow, updateKey } from './requests.ts';

const errorSameKey = errorReply('ERR source and destination objects are the same');

function bodyOf(row: Row): RowBody {
  return { kind: rowKind(row), value: rowValue(row), expireAt: rowExpireAt(row) };
}

/** Writes the content to the second key; `then` learns whether it did (`false`: it was taken). */
function copyTo(call: Call, body: RowBody, onlyIfNone: boolean, then: (copied: boolean) => void): void {
  const destination = call.keys[1]!;
  if (onlyIfNone) {
    const args = [body.value, bytesOf('N'), bytesOf(String(body.expireAt))];
    updateKey(call, destination, 'set', args, (error, reply) => {
      if (error !== undefined) call.fail(error);
      else then(reply !== null);
    });
    return;
  }
  const { kind, value, expireAt } = body;
  call.node.write(destination, { kind, value, expireAt }, call.requestOptions, (error, progress) => {
    if (progress !== undefined) call.session.noteWrite(progress);
    if (error !== undefined) call.fail(error);
    else then(true);
  });
}

function deleteCopied(call: Call, context: Uint8Array, reply: RespValue): void {
  updateKey(call, call.key, 'delmatch', [context], (error) => {
    call.reply(error === undefined ? reply : halfRenamed(error));
  });
}

function halfRenamed(error: CodedError): ErrorReply {
  return new ErrorReply(
    'UNKNOWN',
    `the new key is written, but the old one may still be there: ${error.message}; read the keys to know`,
  );
}

function rename(call: Call, onlyIfNone: boolean): void {
  const { statistics } = call.context;
  call.node.readVersions(call.key, call.requestOptions, (error, read) => {
    if (error !== undefined || read === undefined) {
      call.fail(error ?? new CodedError('unavailable', 'none', 'the read was answered with nothing'));
      return;
    }
    const { versions, context } = read;
    const [body] = versions;
    if (body === undefined) statistics.keyspaceMisses++;
    else statistics.keyspaceHits++;
    if (body === undefined) call.reply(ERROR_NO_KEY);
    else if (call.keys[0] === call.keys[1]) call.reply(onlyIfNone ? 0 : OK);
    else if (versions.length > 1) call.fail(severalError(versions.length));
    else {
      copyTo(call, body, onlyIfNone, (copied) => {
        if (copied) deleteCopied(call, context, onlyIfNone ? 1 : OK);
        else call.reply(0);
      });
    }
  });
}

/** One of them would be copied and all deleted. */
function severalError(count: number): CodedError {
  const message = `the key has ${count} siblings, and only one of them would be renamed; nothing was written; read them all with DURE.GET, and write one value with the context it gives with DURE.SET first`;
  return new CodedError('siblings', 'fail', message);
}

function copy(call: Call): void {
  const { args } = call;
  let replace = false;
  for (let at = 3; at < args.length; at++) {
    if (isWord(args[at]!, 'REPLACE')) replace = true;
    else if (isWord(args[at]!, 'DB') && at + 1 < args.length) {
      if (integer32Of(args[++at]!) !== 0) refuse(ERROR_DB_INDEX);
    } else syntaxError();
  }
  if (call.keys[0] === call.keys[1]) refuse(errorSameKey);
  readRow(call, (row) => {
    if (row === undefined) call.reply(0);
    else copyTo(call, bodyOf(row), !replace, (copied) => call.reply(copied ? 1 : 0));
  });
}

export const COPY_HANDLERS: HandlerTable = {
  rename: (call) => rename(call, false),
  renamenx: (call) => rename(call, true),
  copy,
};
