/**
 * The bodies of FORWARD and FORWARD_REPLY: a request on its way to a replica, and its answer.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { byteString, bytesOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { RowBody } from '../rows/row.ts';
import { KIND_STRING, KIND_TOMBSTONE } from '../rows/row.ts';
import type { UpdateReply } from './api.ts';
import { UpdateError } from './api.ts';

/** Status of a FORWARD_REPLY: what its body holds. */
export const STATUS_NONE = 0;
export const STATUS_ROW = 1;
export const STATUS_WRITTEN = 2;
export const STATUS_REPLY = 3;
export const STATUS_ERROR = 255;

const replyDepthMax = 8;

const TAG_NULL = 0;
const TAG_NUMBER = 1;
const TAG_BIGINT = 2;
const TAG_TEXT = 3;
const TAG_BYTES = 4;
const TAG_ERROR = 5;
const TAG_LIST = 6;

/** @param context the causal context that the client gave; empty for none */
export function writeWriteCall(writer: ByteWriter, body: RowBody, context: Uint8Array): void {
  writer.u8(body.kind);
  writer.u48(body.expireAt);
  writer.blob(body.value);
  writer.blob(context);
}

/** @throws CodedError `protocol` for a kind that cannot be written. */
export function readWriteCall(reader: ByteReader): RowBody & { readonly context: Uint8Array } {
  const kind = reader.u8();
  if (kind !== KIND_STRING && kind !== KIND_TOMBSTONE) {
    throw new CodedError('protocol', 'none', `a forwarded write of unknown kind ${kind}`);
  }
  const expireAt = reader.u48();
  const value = reader.blob();
  return { kind, expireAt, value, context: reader.blob() };
}

export function writeUpdateCall(writer: ByteWriter, operation: string, args: readonly Uint8Array[]): void {
  writer.text(operation);
  writer.u32(args.length);
  for (const arg of args) writer.blob(arg);
}

export function readUpdateCall(reader: ByteReader): { operation: string; args: Uint8Array[] } {
  const operation = reader.text();
  const args: Uint8Array[] = [];
  for (let left = reader.u32(); left > 0; left--) args.push(reader.blob());
  return { operation, args };
}

/** Writes what an update answered, tagged by type. */
export function writeReply(writer: ByteWriter, reply: UpdateReply): void {
  if (reply === null) {
    writer.u8(TAG_NULL);
  } else if (typeof reply === 'number') {
    writer.u8(TAG_NUMBER);
    writer.f64(reply);
  } else if (typeof reply === 'bigint') {
    writer.u8(TAG_BIGINT);
    writer.text(reply.toString());
  } else if (typeof reply === 'string') {
    writer.u8(TAG_TEXT);
    writer.blob(bytesOf(reply));
  } else if (reply instanceof Uint8Array) {
    writer.u8(TAG_BYTES);
    writer.blob(reply);
  } else if (reply instanceof UpdateError) {
    writer.u8(TAG_ERROR);
    writer.blob(bytesOf(reply.message));
  } else {
    writer.u8(TAG_LIST);
    writer.u32(reply.length);
    for (const item of reply) writeReply(writer, item);
  }
}

/** @throws CodedError `protocol` for an unknown tag or a reply nested deeper than any command gives. */
export function readReply(reader: ByteReader, depth = 0): UpdateReply {
  const tag = reader.u8();
  switch (tag) {
    case TAG_NULL:
      return null;
    case TAG_NUMBER:
      return reader.f64();
    case TAG_BIGINT: {
      const digits = reader.text();
      if (!/^-?[0-9]{1,40}$/.test(digits)) break;
      return BigInt(digits);
    }
    case TAG_TEXT:
      return byteString(reader.blob());
    case TAG_BYTES:
      return reader.blob();
    case TAG_ERROR:
      return new UpdateError(byteString(reader.blob()));
    case TAG_LIST: {
      if (depth >= replyDepthMax) break;
      const items: UpdateReply[] = [];
      for (let left = reader.u32(); left > 0; left--) items.push(readReply(reader, depth + 1));
      return items;
    }
  }
  throw new CodedError('protocol', 'unknown', `update reply with tag ${tag} at depth ${depth}`);
}
