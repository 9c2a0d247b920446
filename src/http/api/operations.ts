/**
 * The three things that can be done to a key, as promises: what single requests and batches share.
 *
 * A conditional write is one of two things. Under policy `siblings` the context says which siblings the write
 * replaces; those it has not seen stay beside it, so it cannot fail for having come too late. Under
 * `last-write-wins` it is a compare-and-set at the coordinator of the key, worth what read-modify-writes are
 * worth (docs/guarantees.md).
 */

import { type ByteString, bytesOf } from '../../base/bytes.ts';
import type { CodedError } from '../../base/errors.ts';
import type { Policy } from '../../coordinator/policy.ts';
import type { NodeApi, RequestOptions, UpdateReply, Versions } from '../../node/api.ts';
import { UpdateError } from '../../node/api.ts';
import { BODY_TOMBSTONE, KIND_STRING, type RowBody } from '../../rows/row.ts';
import type { Condition } from './etag.ts';
import { Problem } from './problem.ts';

/** Options of a request with the policy that applies. */
export type Options = RequestOptions & { readonly policy: Policy };

export function readVersions(node: NodeApi, key: ByteString, options: Options): Promise<Versions> {
  return new Promise((resolve, reject) => {
    node.readVersions(key, options, (error, versions) => {
      if (error === undefined) resolve(versions!);
      else reject(error);
    });
  });
}

function write(node: NodeApi, key: ByteString, body: RowBody, options: RequestOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    node.write(key, body, options, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

function update(
  node: NodeApi,
  key: ByteString,
  operation: string,
  args: readonly Uint8Array[],
  options: Options,
): Promise<UpdateReply> {
  return new Promise((resolve, reject) => {
    node.update(key, operation, args, options, (error, reply) => {
      if (error !== undefined) reject(sayingHttp(error));
      else if (reply instanceof UpdateError) reject(new Problem('wrong-type', reply.message, 'fail'));
      else resolve(reply);
    });
  });
}

/** The words of this error are for Redis clients; those of HTTP have other means. */
function sayingHttp(error: CodedError): Error {
  if (error.code !== 'siblings') return error;
  return new Problem(
    'siblings',
    'the key has several siblings; read it, and write with If-Match: and the ETag of that answer; nothing was written',
    'fail',
  );
}

function isSiblings({ policy }: Options): boolean {
  return policy.conflicts === 'siblings';
}

/**
 * Whether a write may be done twice: one that is conditional would find its own first time, and one under
 * `siblings` would stand beside it.
 */
export function isRepeatable(condition: Condition, options: Options): boolean {
  return condition.kind === 'any' && !isSiblings(options);
}

function changed(why: string): Problem {
  return new Problem('precondition-failed', `${why}; nothing was written`, 'fail');
}

const changedSince = 'the key changed since it was read';
/** Options of compare-and-set: only if a value is there. */
const ifAlive = bytesOf('X');
const missing = 'the key is not there';

/** Writes a value. @throws Problem `precondition-failed` if the key is not as expected; CodedError */
export async function putValue(
  node: NodeApi,
  key: ByteString,
  value: Uint8Array,
  expireAt: number,
  condition: Condition,
  options: Options,
): Promise<void> {
  const body: RowBody = { kind: KIND_STRING, value, expireAt };
  const expiry = bytesOf(String(expireAt));
  switch (condition.kind) {
    case 'any':
      return write(node, key, body, options);
    case 'absent': {
      const reply = await update(node, key, 'set', [value, bytesOf('N'), expiry], options);
      if (reply === null) throw changed('the key is there already');
      return;
    }
    case 'present': {
      const reply = await update(node, key, 'set', [value, bytesOf('X'), expiry], options);
      if (reply === null) throw changed(missing);
      return;
    }
    case 'seen': {
      const { context } = condition;
      if (isSiblings(options)) return write(node, key, body, { ...options, context });
      const args = [context, value, expiry, ...(condition.alive ? [ifAlive] : [])];
      if ((await update(node, key, 'putmatch', args, options)) !== 1) throw changed(changedSince);
    }
  }
}

/**
 * Deletes a key. Without a condition it is blind under `last-write-wins`; under `siblings` a blind delete would
 * have seen nothing and so delete nothing, hence it deletes what its coordinator sees.
 * @throws Problem `precondition-failed` if the key is not as expected; CodedError
 */
export async function deleteKey(
  node: NodeApi,
  key: ByteString,
  condition: Condition,
  options: Options,
): Promise<void> {
  switch (condition.kind) {
    case 'any':
      if (isSiblings(options)) await update(node, key, 'del', [], options);
      else await write(node, key, BODY_TOMBSTONE, options);
      return;
    case 'absent':
      throw new Problem(
        'invalid',
        'a delete of a key that is not there does nothing; nothing was done',
        'fail',
      );
    case 'present':
      if ((await update(node, key, 'del', [], options)) !== 1) throw changed(missing);
      return;
    case 'seen': {
      const { context } = condition;
      if (isSiblings(options)) return write(node, key, BODY_TOMBSTONE, { ...options, context });
      const args = [context, ...(condition.alive ? [ifAlive] : [])];
      if ((await update(node, key, 'delmatch', args, options)) !== 1) throw changed(changedSince);
    }
  }
}
