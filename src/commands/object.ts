/**
 * OBJECT and MEMORY: what can be told of how a key is kept.
 */

import type { ByteString } from '../base/bytes.ts';
import { parseInteger } from '../resp/number.ts';
import { KIND_STRING, ROW_HEADER_BYTES, rowKind, rowValue } from '../rows/row.ts';
import { clampedIntegerOf, isWord, syntaxError } from './arguments.ts';
import type { Call, HandlerTable } from './command.ts';
import { kindName } from './kinds.ts';
import { errorReply } from './replies.ts';
import { readRow } from './requests.ts';

const errorNoFrequency = errorReply(
  'ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.',
);
const errorNoIdleTime = errorReply(
  'ERR idle time is not tracked here: only a memory engine with an LRU policy that holds a replica of the key does',
);
/** The longest value Redis keeps in one piece with its head. */
const embeddedBytesMax = 44;
const integerCharsMax = 20;
/** What a row costs a memory engine beside its bytes: an entry of a Map, two object headers. Estimated. */
const rowOverheadBytes = 96;
/** The slot before a key in its row key, and the end mark after it. */
const rowKeyOverheadBytes = 4;

function encodingOf(value: Uint8Array): string {
  if (value.length <= integerCharsMax && parseInteger(value) !== undefined) return 'int';
  return value.length <= embeddedBytesMax ? 'embstr' : 'raw';
}

function encoding(call: Call): void {
  readRow(call, (row) => {
    if (row === undefined) call.reply(null);
    else call.reply(rowKind(row) === KIND_STRING ? encodingOf(rowValue(row)) : kindName(rowKind(row)));
  });
}

/** Answers with a figure of the engine on this node, where the key is there. */
function figure(
  call: Call,
  ask: (key: ByteString) => number | undefined,
  otherwise: ReturnType<typeof errorReply>,
): void {
  // Asked before the key is read, which would be a use of it.
  const value = ask(call.key);
  readRow(call, (row) => call.reply(row === undefined ? null : (value ?? otherwise)));
}

function memoryUsage(call: Call): void {
  const { args } = call;
  for (let at = 3; at < args.length; at += 2) {
    if (!isWord(args[at]!, 'SAMPLES') || at + 1 === args.length) syntaxError();
    if (clampedIntegerOf(args[at + 1]!) < 0) syntaxError();
  }
  readRow(call, (row) => {
    if (row === undefined) call.reply(null);
    else {
      const bytes = ROW_HEADER_BYTES + rowValue(row).length + call.key.length + rowKeyOverheadBytes;
      call.reply(bytes + rowOverheadBytes);
    }
  });
}

export const OBJECT_HANDLERS: HandlerTable = {
  'object|encoding': encoding,
  'object|refcount': (call) => readRow(call, (row) => call.reply(row === undefined ? null : 1)),
  'object|freq': (call) => figure(call, (key) => call.node.frequency(key), errorNoFrequency),
  'object|idletime': (call) => figure(call, (key) => call.node.idleSeconds(key), errorNoIdleTime),
  'memory|usage': memoryUsage,
};
