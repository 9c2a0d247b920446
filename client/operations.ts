/**
 * Operations on keys as commands: which words are sent for a get, a put and a delete, and how their
 * answers are read. No state, no waiting.
 */

import { utf8Text } from '../src/base/bytes.ts';
import { MapReply, type RespValue } from '../src/resp/value.ts';
import type { Operation } from './call.ts';
import type { Word } from './connection.ts';
import { DureError, invalid } from './errors.ts';
import { slotOfText } from './topology.ts';

/** An opaque ticket for what a read has seen of one key; hand it back with the write that replaces just that. */
export type Context = Uint8Array;

/** All values of a key, as bytes, and the context. */
export interface RawVersions {
  readonly values: readonly Uint8Array[];
  readonly context: Context;
}

/** Words before a command that set the consistency of it alone; empty for none. */
export type Prefix = readonly string[];

function unexpected(command: string): DureError {
  return new DureError('protocol', 'none', false, `the answer to ${command} is not understood`);
}

function withPrefix(prefix: Prefix, words: readonly Word[]): readonly Word[] {
  return prefix.length === 0 ? words : ['DURE.WITH', ...prefix, 'DO', ...words];
}

function read<T>(
  prefix: Prefix,
  key: string,
  words: readonly Word[],
  readReply: (reply: RespValue) => T,
): Operation<T> {
  const slot = slotOfText(key);
  return { words: withPrefix(prefix, words), slot, isWrite: false, isRepeatable: true, read: readReply };
}

function write<T>(
  prefix: Prefix,
  key: string,
  words: readonly Word[],
  isRepeatable: boolean,
  readReply: (reply: RespValue) => T,
): Operation<T> {
  const slot = slotOfText(key);
  return { words: withPrefix(prefix, words), slot, isWrite: true, isRepeatable, read: readReply };
}

export function getOperation(prefix: Prefix, key: string): Operation<Uint8Array | null> {
  return read(prefix, key, ['GET', key], readValue);
}

function readValue(reply: RespValue): Uint8Array | null {
  if (reply === null || reply instanceof Uint8Array) return reply;
  throw unexpected('GET');
}

export function getVersionsOperation(prefix: Prefix, key: string): Operation<RawVersions> {
  return read(prefix, key, ['DURE.GET', key], readVersions);
}

function readVersions(reply: RespValue): RawVersions {
  if (!(reply instanceof MapReply)) throw unexpected('DURE.GET');
  let context: Uint8Array | undefined;
  let values: readonly RespValue[] | undefined;
  for (const [name, value] of reply.pairs) {
    const text = name instanceof Uint8Array ? utf8Text(name) : '';
    // A copy: the bytes that came are part of a larger buffer, and a context is kept.
    if (text === 'context' && value instanceof Uint8Array) context = new Uint8Array(value);
    if (text === 'values' && Array.isArray(value)) values = value as readonly RespValue[];
  }
  if (
    context === undefined ||
    values === undefined ||
    !values.every((value) => value instanceof Uint8Array)
  ) {
    throw unexpected('DURE.GET');
  }
  return { context, values: values as readonly Uint8Array[] };
}

export interface WriteWords {
  readonly context: Context | undefined;
  readonly ttlMs: number | undefined;
  readonly isRepeatable: boolean;
}

export function putOperation(
  prefix: Prefix,
  key: string,
  value: Uint8Array,
  { context, ttlMs, isRepeatable }: WriteWords,
): Operation<void> {
  const words: Word[] =
    context === undefined ? ['SET', key, value] : ['DURE.SET', key, value, 'CONTEXT', context];
  if (ttlMs !== undefined) words.push('PX', String(ttlMs));
  return write(prefix, key, words, isRepeatable, readNothing);
}

/** @throws DureError `invalid` */
export function checkTtl(ttlMs: number | undefined): void {
  if (ttlMs === undefined || (Number.isSafeInteger(ttlMs) && ttlMs >= 1)) return;
  throw invalid('ttlMs is a whole number of milliseconds above 0');
}

export function deleteOperation(
  prefix: Prefix,
  key: string,
  { context, isRepeatable }: Omit<WriteWords, 'ttlMs'>,
): Operation<void> {
  const words: Word[] = context === undefined ? ['DEL', key] : ['DURE.DEL', key, 'CONTEXT', context];
  return write(prefix, key, words, isRepeatable, readNothing);
}

/** Any answer that is no error. */
function readNothing(): void {}

export interface ScanPage {
  /** Where to go on; `0` at the end. */
  readonly cursor: string;
  readonly keys: readonly string[];
}

export function scanOperation(cursor: string, pattern: string, count: number): Operation<ScanPage> {
  return {
    words: ['SCAN', cursor, 'MATCH', pattern, 'COUNT', String(count)],
    slot: -1,
    isWrite: false,
    isRepeatable: true,
    read: readScanPage,
  };
}

function readScanPage(reply: RespValue): ScanPage {
  if (!Array.isArray(reply) || reply.length !== 2) throw unexpected('SCAN');
  const [cursor, keys] = reply as readonly RespValue[];
  if (!(cursor instanceof Uint8Array) || !Array.isArray(keys)) throw unexpected('SCAN');
  return {
    cursor: utf8Text(cursor),
    keys: (keys as readonly RespValue[]).map((key) => {
      if (key instanceof Uint8Array) return utf8Text(key);
      throw unexpected('SCAN');
    }),
  };
}

/** A pattern of SCAN for all keys that begin with `prefix`. */
export function prefixPattern(prefix: string): string {
  return `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
}
