/**
 * The reply encoder: from a reply value to bytes, in the client's protocol.
 *
 * The picture to have in mind: a reply is appended to the connection's writer, after the replies before
 * it, and the whole goes to the socket in one write. Room is made once a reply, the digits of a length
 * are written by hand, and what is constant is copied from a ready array. `encodeReply` is for any value;
 * a handler that knows what it has may call `writeBulk` and its like directly.
 */

import { assert, unreachable } from '../base/assert.ts';
import type { ByteWriter } from '../base/bytes.ts';
import { utf8Bytes } from '../base/bytes.ts';
import { fitsInteger64, formatDouble, writeDigits } from './number.ts';
import {
  type ErrorReply,
  type MapReply,
  NULL_ARRAY_RESP2,
  NULL_RESP2,
  NULL_RESP3,
  type RespValue,
  type VerbatimReply,
} from './value.ts';

/** The two versions of the protocol in use. */
export type Protocol = 2 | 3;

const CR = 0x0d;
const LF = 0x0a;
const MINUS = 0x2d;
const DOLLAR = 0x24;
const COLON = 0x3a;
const STAR = 0x2a;
const PERCENT = 0x25;
const TILDE = 0x7e;
const GREATER = 0x3e;
const EQUALS = 0x3d;
/** A type byte, ten digits, CR LF. */
const headerBytesMax = 13;
/** Up to here a loop is quicker than the call to `set`. */
const loopBytesMax = 32;
const int31 = 0x8000_0000;

/** Appends `value` to `writer`, in RESP2 or RESP3. The table in value.ts tells what becomes what. */
export function encodeReply(writer: ByteWriter, value: RespValue, protocol: Protocol): void {
  switch (typeof value) {
    case 'number':
      writeInteger(writer, value);
      return;
    case 'string':
      writeBulkText(writer, value);
      return;
    case 'boolean':
      if (protocol === 3) writer.rawText(value ? '#t\r\n' : '#f\r\n');
      else writeInteger(writer, value ? 1 : 0);
      return;
    case 'bigint':
      writeBigint(writer, value, protocol);
      return;
    default:
      encodeObject(writer, value, protocol);
  }
}

function encodeObject(
  writer: ByteWriter,
  value: Exclude<RespValue, number | string | boolean | bigint>,
  protocol: Protocol,
): void {
  if (value === null) {
    writeNull(writer, protocol);
    return;
  }
  if (value instanceof Uint8Array) {
    writeBulk(writer, value);
    return;
  }
  if (isArray(value)) {
    writeItems(writer, STAR, value, protocol);
    return;
  }
  switch (value.kind) {
    case 'simple':
      writeShort(writer, value.encoded);
      return;
    case 'error':
      writeError(writer, value);
      return;
    case 'double':
      if (protocol === 3) writer.rawText(`,${formatDouble(value.value)}\r\n`);
      else writeBulkText(writer, formatDouble(value.value));
      return;
    case 'map':
      writeMap(writer, value, protocol);
      return;
    case 'set':
      writeItems(writer, protocol === 3 ? TILDE : STAR, value.items, protocol);
      return;
    case 'push':
      writeItems(writer, protocol === 3 ? GREATER : STAR, value.items, protocol);
      return;
    case 'verbatim':
      writeVerbatim(writer, value, protocol);
      return;
    case 'null-array':
      writeShort(writer, protocol === 3 ? NULL_RESP3 : NULL_ARRAY_RESP2);
      return;
    default:
      unreachable(value);
  }
}

function isArray(value: object): value is readonly RespValue[] {
  return Array.isArray(value);
}

/** Appends a bulk of any bytes. */
export function writeBulk(writer: ByteWriter, bytes: Uint8Array): void {
  const length = bytes.length;
  writer.reserve(length + headerBytesMax + 2);
  const out = writer.bytes;
  let at = header(out, writer.length, DOLLAR, length);
  if (length <= loopBytesMax) for (let i = 0; i < length; i++) out[at + i] = bytes[i]!;
  else out.set(bytes, at);
  at += length;
  out[at] = CR;
  out[at + 1] = LF;
  writer.length = at + 2;
}

/** Appends a bulk of text in UTF-8. */
export function writeBulkText(writer: ByteWriter, text: string): void {
  const length = text.length;
  writer.reserve(length + headerBytesMax + 2);
  const out = writer.bytes;
  let at = header(out, writer.length, DOLLAR, length);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) {
      writeBulk(writer, utf8Bytes(text));
      return;
    }
    out[at++] = code;
  }
  out[at] = CR;
  out[at + 1] = LF;
  writer.length = at + 2;
}

/** Appends the absence of a value. */
export function writeNull(writer: ByteWriter, protocol: Protocol): void {
  writeShort(writer, protocol === 3 ? NULL_RESP3 : NULL_RESP2);
}

/** Appends an integer reply. `value` must be a safe integer: exact, within 2^53. */
export function writeInteger(writer: ByteWriter, value: number): void {
  if (value > -int31 && value < int31 && Math.trunc(value) === value) {
    writer.reserve(headerBytesMax + 1);
    const out = writer.bytes;
    let at = writer.length;
    out[at++] = COLON;
    if (value < 0) out[at++] = MINUS;
    at = writeDigits(out, at, Math.abs(value));
    out[at] = CR;
    out[at + 1] = LF;
    writer.length = at + 2;
    return;
  }
  assert(Number.isSafeInteger(value), 'an integer reply is a safe integer; use bigint or DoubleReply');
  writer.rawText(`:${value}\r\n`);
}

function writeBigint(writer: ByteWriter, value: bigint, protocol: Protocol): void {
  if (fitsInteger64(value)) writer.rawText(`:${value}\r\n`);
  else if (protocol === 3) writer.rawText(`(${value}\r\n`);
  else writeBulkText(writer, value.toString());
}

/** Appends an error reply. */
export function writeError(writer: ByteWriter, error: ErrorReply): void {
  writer.raw(utf8Bytes(`-${error.text}\r\n`));
}

/** Appends the head of an array: its `count` items must follow. */
export function writeArrayHeader(writer: ByteWriter, count: number): void {
  writeHeader(writer, STAR, count);
}

function writeItems(writer: ByteWriter, type: number, items: readonly RespValue[], protocol: Protocol): void {
  writeHeader(writer, type, items.length);
  for (let i = 0; i < items.length; i++) encodeReply(writer, items[i]!, protocol);
}

function writeMap(writer: ByteWriter, map: MapReply, protocol: Protocol): void {
  if (protocol === 3) writeHeader(writer, PERCENT, map.pairs.length);
  else writeHeader(writer, STAR, map.pairs.length * 2);
  for (const [key, value] of map.pairs) {
    encodeReply(writer, key, protocol);
    encodeReply(writer, value, protocol);
  }
}

function writeVerbatim(writer: ByteWriter, value: VerbatimReply, protocol: Protocol): void {
  if (protocol === 2) {
    writeBulk(writer, value.bytes);
    return;
  }
  assert(value.format.length === 3, 'the format of a verbatim reply has three letters');
  writeHeader(writer, EQUALS, value.bytes.length + 4);
  writer.rawText(`${value.format}:`);
  writer.raw(value.bytes);
  writer.rawText('\r\n');
}

function writeHeader(writer: ByteWriter, type: number, count: number): void {
  writer.reserve(headerBytesMax);
  writer.length = header(writer.bytes, writer.length, type, count);
}

/** Writes `type`, the digits of `count` and CR LF at `start`; returns where they end. */
function header(out: Uint8Array, start: number, type: number, count: number): number {
  out[start] = type;
  const at = writeDigits(out, start + 1, count);
  out[at] = CR;
  out[at + 1] = LF;
  return at + 2;
}

/** Appends a few ready bytes. */
function writeShort(writer: ByteWriter, bytes: Uint8Array): void {
  writer.reserve(bytes.length);
  const out = writer.bytes;
  const start = writer.length;
  for (let i = 0; i < bytes.length; i++) out[start + i] = bytes[i]!;
  writer.length = start + bytes.length;
}
