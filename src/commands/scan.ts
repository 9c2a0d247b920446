/**
 * SCAN and its kin: walking over the keys of the whole cluster from any node.
 *
 * A cursor is a place on the ring of slots: `slot × 2^32 + place within the slot`. It says nothing of the
 * node that gave it, so any node can go on from it, at any time; a key that is there during the whole walk
 * is met at least once, as Redis promises.
 */

import type { ByteString } from '../base/bytes.ts';
import { byteString, bytesOf } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import type { ScanEntry, ScanPage } from '../node/api.ts';
import { parseSafeInteger } from '../resp/number.ts';
import { SLOT_COUNT, slotOf } from '../ring/slots.ts';
import { clampedIntegerOf, isWord, refuse, syntaxError } from './arguments.ts';
import type { Call, HandlerTable } from './command.ts';
import { matchesAll, matchesGlob, PATTERN_CHARS_MAX } from './glob.ts';
import { kindName } from './kinds.ts';
import { errorReply } from './replies.ts';

const errorCursor = errorReply('ERR invalid cursor');
const errorPattern = errorReply(`ERR pattern is longer than ${PATTERN_CHARS_MAX} bytes`);
const errorSlot = errorReply('ERR Invalid slot');
const errorSlotOrCount = errorReply('ERR Invalid slot or number of keys');
/** KEYS gathers all it finds before it answers; beyond this SCAN is the way. */
const keysMax = 1_000_000;
const errorKeys = errorReply(`ERR more than ${keysMax} keys; use SCAN`);
const countDefault = 10;
/** A page is gathered before it is sent: a larger COUNT gives this many at a time. */
const countMax = 10_000;
const placesPerSlot = 2 ** 32;

function patternOf(bytes: Uint8Array): ByteString {
  return bytes.length > PATTERN_CHARS_MAX ? refuse(errorPattern) : byteString(bytes);
}

interface ScanOptions {
  pattern: ByteString;
  count: number;
  /** Only keys of this type; undefined for all. */
  type: string | undefined;
}

function scanOptionsOf(args: readonly Uint8Array[]): ScanOptions {
  const options: ScanOptions = { pattern: '*', count: countDefault, type: undefined };
  for (let at = 2; at < args.length; at += 2) {
    const value = args[at + 1];
    if (value === undefined) syntaxError();
    if (isWord(args[at]!, 'COUNT')) {
      options.count = clampedIntegerOf(value);
      if (options.count < 1) syntaxError();
    } else if (isWord(args[at]!, 'MATCH')) options.pattern = patternOf(value);
    else if (isWord(args[at]!, 'TYPE')) options.type = byteString(value).toLowerCase();
    else syntaxError();
  }
  return options;
}

function scan(call: Call): void {
  // An empty cursor is 0 for Redis too.
  const cursor = call.args[1]!.length === 0 ? 0 : parseSafeInteger(call.args[1]!);
  if (cursor === undefined || cursor < 0) refuse(errorCursor);
  const { pattern, count, type } = scanOptionsOf(call.args);
  if (cursor >= SLOT_COUNT * placesPerSlot) {
    call.reply(['0', []]);
    return;
  }
  call.node.scan(cursor, Math.min(count, countMax), call.requestOptions, (error, page) => {
    if (error !== undefined) {
      call.fail(error);
      return;
    }
    const all = matchesAll(pattern);
    const keys: Uint8Array[] = [];
    for (const { key, kind } of page!.entries) {
      if (!all && !matchesGlob(pattern, key)) continue;
      if (type === undefined || kindName(kind) === type) keys.push(bytesOf(key));
    }
    call.reply([String(page!.cursor), keys]);
  });
}

/**
 * Walks from `cursor` to the end, a page at a time, without growing the stack when pages come at once.
 * `each` sees every page and stops the walk by returning true.
 */
function walk(
  call: Call,
  cursor: number,
  each: (page: ScanPage) => boolean,
  end: (error: CodedError | undefined) => void,
): void {
  let next = cursor;
  let waiting = false;
  let looping = false;
  const go = (): void => {
    looping = true;
    while (!waiting) {
      waiting = true;
      call.node.scan(next, 1000, call.requestOptions, (error, page) => {
        waiting = false;
        if (error !== undefined || each(page!) || page!.cursor === 0 || call.session.closed) {
          waiting = true;
          end(error);
          return;
        }
        next = page!.cursor;
        if (!looping) go();
      });
    }
    looping = false;
  };
  go();
}

function keys(call: Call): void {
  const pattern = patternOf(call.args[1]!);
  const all = matchesAll(pattern);
  const found: Uint8Array[] = [];
  walk(
    call,
    0,
    (page) => {
      for (const { key } of page.entries) if (all || matchesGlob(pattern, key)) found.push(bytesOf(key));
      return found.length > keysMax;
    },
    (error) => {
      if (error !== undefined) call.fail(error);
      else call.reply(found.length > keysMax ? errorKeys : found);
    },
  );
}

/** Some key near a random place: keys after a long gap come more often than others. */
function randomkey(call: Call): void {
  const { random } = call.context.facts;
  const from = Math.floor((random.u32() / 2 ** 32) * SLOT_COUNT) * placesPerSlot + random.u32();
  let found: readonly ScanEntry[] = [];
  const each = (page: ScanPage): boolean => {
    found = page.entries;
    return found.length > 0;
  };
  const answer = (error: CodedError | undefined): void => {
    if (error !== undefined) call.fail(error);
    else if (found.length === 0) call.reply(null);
    else call.reply(bytesOf(found[Math.floor((random.u32() / 2 ** 32) * found.length)]!.key));
  };
  walk(call, from, each, (error) => {
    if (error === undefined && found.length === 0) walk(call, 0, each, answer);
    else answer(error);
  });
}

function count(call: Call, from: number, to: number): void {
  call.node.count(from, to, call.requestOptions, (error, found) => {
    if (error !== undefined) call.fail(error);
    else call.reply(found);
  });
}

function slotArgument(call: Call): number {
  return clampedIntegerOf(call.args[2]!);
}

function countkeysinslot(call: Call): void {
  const slot = slotArgument(call);
  if (slot < 0 || slot >= SLOT_COUNT) refuse(errorSlot);
  count(call, slot, slot + 1);
}

function getkeysinslot(call: Call): void {
  const slot = slotArgument(call);
  const most = clampedIntegerOf(call.args[3]!);
  if (slot < 0 || slot >= SLOT_COUNT || most < 0) refuse(errorSlotOrCount);
  const found: Uint8Array[] = [];
  const limit = Math.min(most, keysMax);
  walk(
    call,
    slot * placesPerSlot,
    (page) => {
      let past = false;
      for (const { key } of page.entries) {
        if (slotOf(key) === slot && found.length < limit) found.push(bytesOf(key));
        if (slotOf(key) > slot) past = true;
      }
      return past || found.length >= limit || page.cursor >= (slot + 1) * placesPerSlot;
    },
    (error) => {
      if (error !== undefined) call.fail(error);
      else call.reply(found);
    },
  );
}

export const SCAN_HANDLERS: HandlerTable = {
  scan,
  keys,
  randomkey,
  dbsize: (call) => count(call, 0, SLOT_COUNT),
  'cluster|countkeysinslot': countkeysinslot,
  'cluster|getkeysinslot': getkeysinslot,
};
