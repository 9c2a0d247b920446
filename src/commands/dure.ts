/**
 * Dure's own commands: all values of a key with their causal context, writes that say what they have seen, and
 * the policy of a connection.
 */

import { assert } from '../base/assert.ts';
import { base64UrlOf, bytesOfBase64Url } from '../base/base64.ts';
import { byteString } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { policyFromText, policyText } from '../coordinator/policy-text.ts';
import { MapReply, OK, SimpleString } from '../resp/value.ts';
import { CONTEXT_BYTES_MAX } from '../rows/context.ts';
import type { RowBody } from '../rows/row.ts';
import { BODY_TOMBSTONE, KIND_STRING } from '../rows/row.ts';
import { EXPIRE_UNITS, isWord, positiveExpireAt, syntaxError } from './arguments.ts';
import type { Call, HandlerTable } from './command.ts';

/** Letters of a context, four for three bytes. */
const contextTextMax = Math.ceil((CONTEXT_BYTES_MAX * 4) / 3);

const connectionDefault = new SimpleString('DEFAULT');

function getVersions(call: Call): void {
  const { statistics } = call.context;
  call.node.readVersions(call.key, call.requestOptions, (error, read) => {
    if (error !== undefined || read === undefined) {
      call.fail(error ?? new CodedError('unavailable', 'none', 'the read was answered with nothing'));
      return;
    }
    if (read.versions.length === 0) statistics.keyspaceMisses++;
    else statistics.keyspaceHits++;
    const values = read.versions.map(({ value }) => value);
    call.reply(
      new MapReply([
        // As text: what takes replies for UTF-8 would spoil it otherwise.
        ['context', base64UrlOf(read.context)],
        ['values', values],
      ]),
    );
  });
}

/** A context as DURE.GET gives it. @throws CodedError `invalid` */
function contextOf(text: Uint8Array): Uint8Array {
  const isPossible = text.length > 0 && text.length <= contextTextMax;
  const bytes = !isPossible ? undefined : bytesOfBase64Url(byteString(text));
  if (bytes !== undefined) return bytes;
  const message = 'the causal context is not one that DURE.GET gave; nothing was written; read the key again';
  throw new CodedError('invalid', 'fail', message);
}

/** What stands after key and value: each option once, in any order. */
function optionsOf(call: Call, first: number): { context: Uint8Array | undefined; expireAt: number } {
  const { args } = call;
  let context: Uint8Array | undefined;
  let expireAt = 0;
  for (let i = first; i < args.length; i += 2) {
    const word = args[i]!;
    const value = args[i + 1];
    if (value === undefined) syntaxError();
    if (isWord(word, 'CONTEXT') && context === undefined) {
      context = value;
      continue;
    }
    const unit = EXPIRE_UNITS.get(byteString(word).toUpperCase());
    if (unit === undefined || expireAt !== 0 || first < 3) syntaxError();
    expireAt = positiveExpireAt('dure.set', value, unit, call.node.wall());
  }
  return { context: context === undefined ? undefined : contextOf(context), expireAt };
}

function writeWith(call: Call, body: RowBody, context: Uint8Array | undefined): void {
  const { requestOptions } = call;
  const options = context === undefined ? requestOptions : { ...requestOptions, context };
  call.node.write(call.key, body, options, (error, progress) => {
    if (error !== undefined) {
      call.fail(error);
      return;
    }
    if (progress !== undefined) call.session.noteWrite(progress);
    call.reply(OK);
  });
}

function setVersion(call: Call): void {
  const { context, expireAt } = optionsOf(call, 3);
  const isPast = expireAt !== 0 && expireAt <= call.node.wall();
  const body = isPast ? BODY_TOMBSTONE : { kind: KIND_STRING, value: call.args[2]!, expireAt };
  writeWith(call, body, context);
}

/** It must have seen something: under `siblings` a delete that has not deletes nothing. */
function deleteVersions(call: Call): void {
  writeWith(call, BODY_TOMBSTONE, optionsOf(call, 2).context);
}

function consistency(call: Call): void {
  const { session, node, args } = call;
  const text = args
    .slice(1)
    .map((word) => byteString(word))
    .join(' ');
  if (text === '') {
    const { policy } = session.requestOptions;
    call.reply(
      policy === undefined ? connectionDefault : policyText(policy, node.topology.read.replicaCount),
    );
    return;
  }
  if (text.toUpperCase() === 'DEFAULT') {
    const { policy: _, ...rest } = session.requestOptions;
    session.requestOptions = rest;
    call.reply(OK);
    return;
  }
  try {
    session.requestOptions = {
      ...session.requestOptions,
      policy: policyFromText(text, node.topology.read.replicaCount),
    };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    call.fail(error);
    return;
  }
  call.reply(OK);
}

/** The dispatcher takes the prefix off: it never comes here. */
function withPolicy(): void {
  assert(false, 'DURE.WITH is executed by the dispatcher');
}

export const DURE_HANDLERS: HandlerTable = {
  'dure.get': getVersions,
  'dure.set': setVersion,
  'dure.del': deleteVersions,
  'dure.consistency': consistency,
  'dure.with': withPolicy,
};
