/**
 * Requests: what nearly every handler does with the node, in one place: read a key, write it, update it,
 * or do one of these to many keys and gather what came of it.
 */

import type { ByteString } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import type { UpdateReply } from '../node/api.ts';
import { UpdateError } from '../node/api.ts';
import { ErrorReply, OK, type RespValue } from '../resp/value.ts';
import { KIND_STRING, type Row, type RowBody, rowKind, rowValue } from '../rows/row.ts';
import type { Call } from './command.ts';
import { errorReply, replyOfError } from './replies.ts';
import { WRONG_TYPE } from './updates.ts';

export const ERROR_WRONG_TYPE: ErrorReply = errorReply(WRONG_TYPE);

/** Reads the first key and gives its live row, or undefined, to `then`; an error is answered. */
export function readRow(call: Call, then: (row: Row | undefined) => void): void {
  const { statistics } = call.context;
  call.node.read(call.key, call.requestOptions, (error, row) => {
    if (error !== undefined) {
      call.fail(error);
      return;
    }
    if (row === undefined) statistics.keyspaceMisses++;
    else statistics.keyspaceHits++;
    then(row);
  });
}

/** As `readRow` for a string's value; a key of another kind is answered with WRONGTYPE. */
export function readString(call: Call, then: (value: Uint8Array | undefined) => void): void {
  readRow(call, (row) => {
    if (row === undefined) then(undefined);
    else if (rowKind(row) !== KIND_STRING) call.reply(ERROR_WRONG_TYPE);
    else then(rowValue(row));
  });
}

/** Writes the first key without looking at it, and replies OK. */
export function writeBody(call: Call, body: RowBody): void {
  call.node.write(call.key, body, call.requestOptions, (error, progress) => {
    if (error !== undefined) {
      call.fail(error);
      return;
    }
    if (progress !== undefined) call.session.noteWrite(progress);
    call.reply(OK);
  });
}

/** Runs an update on the first key and replies what it replies, or what `render` makes of that. */
export function update(
  call: Call,
  operation: string,
  args: readonly Uint8Array[],
  render: (reply: UpdateReply) => RespValue = replyOfUpdate,
): void {
  updateKey(call, call.key, operation, args, (error, reply) => {
    if (error !== undefined) call.fail(error);
    else call.reply(reply instanceof UpdateError ? errorReply(reply.message) : render(reply));
  });
}

/** Runs an update on any key of the call. */
export function updateKey(
  call: Call,
  key: ByteString,
  operation: string,
  args: readonly Uint8Array[],
  done: (error: CodedError | undefined, reply: UpdateReply) => void,
): void {
  call.node.update(key, operation, args, call.requestOptions, (error, reply, progress) => {
    if (progress !== undefined) call.session.noteWrite(progress);
    done(error, reply);
  });
}

/** What an update replied, as it is sent. */
export function replyOfUpdate(reply: UpdateReply): RespValue {
  if (reply instanceof UpdateError) return errorReply(reply.message);
  return isList(reply) ? reply.map(replyOfUpdate) : reply;
}

function isList(reply: UpdateReply): reply is readonly UpdateReply[] {
  return Array.isArray(reply);
}

/** For updates that reply 1 or null: `OK` or nil. */
export function okOrNull(reply: UpdateReply): RespValue {
  return reply === null ? null : OK;
}

/** For updates that reply 1 or null: 1 or 0. */
export function oneOrZero(reply: UpdateReply): RespValue {
  return reply === null ? 0 : 1;
}

/** How many parts of one command are under way at once, so that one client cannot take all there are. */
const partsMax = 256;

/**
 * Does something to each of `keys`, many at once, and gives what came of each, in order, to `then`. After an
 * error no more is begun, and the answer is `errorOfParts`.
 */
export function gather<T>(
  call: Call,
  keys: readonly ByteString[],
  ask: (key: ByteString, index: number, done: (error: CodedError | undefined, result: T) => void) => void,
  then: (results: readonly T[]) => void,
): void {
  const results: T[] = new Array(keys.length);
  const errors: CodedError[] = [];
  let begun = 0;
  let ended = 0;
  let beginning = false;
  const begin = (): void => {
    // Answers may come at once: this loop, and not the stack, goes on then.
    if (beginning) return;
    beginning = true;
    while (begun < keys.length && begun - ended < partsMax && errors.length === 0) {
      const index = begun++;
      ask(keys[index]!, index, (error, result) => {
        if (error !== undefined) errors.push(error);
        results[index] = result;
        ended++;
        begin();
      });
    }
    beginning = false;
    if (ended < begun || call.replied) return;
    if (errors.length > 0) call.reply(errorOfParts(errors, ended, keys.length));
    else if (ended === keys.length) then(results);
  };
  begin();
}

/**
 * The reply for a command of which some parts failed. If none was applied, nor was the command; if some
 * were, nobody can say it was or it was not: `UNKNOWN`.
 */
export function errorOfParts(errors: readonly CodedError[], ended: number, partCount: number): ErrorReply {
  const unknown = errors.find((error) => error.outcome === 'unknown');
  const first = unknown ?? errors[0]!;
  const applied = ended - errors.length;
  if (first.outcome === 'none' || (unknown === undefined && applied === 0)) return replyOfError(first);
  return new ErrorReply(
    'UNKNOWN',
    `${applied} of ${partCount} keys are done, the others are not, or may be: ${first.message}; read the keys to know`,
  );
}
