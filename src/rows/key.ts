/**
 * Row keys: where a row lies in storage and on the wire.
 *
 * The picture: a shelf mark, `slot | key | end | element`. Slot first, so that a partition is one
 * contiguous stretch; then the key, then (for collections) the element, so that a collection's rows
 * lie together after its head. A zero byte within a key is written `00 01` and the key ends with
 * `00 00`, which keeps byte order equal to (slot, key, element) order whatever the key holds
 * (the escaping of FoundationDB's tuple layer).
 *
 * Keys that begin with 0xff are the node's own notes (`META_PREFIX`): slots stop at 0x3fff, so they
 * never meet.
 */

import type { ByteString } from '../base/bytes.ts';
import { codesOf, textOfCodes } from '../base/bytes.ts';
import { crc16Step } from '../base/crc16.ts';
import { SLOT_COUNT, slotOf } from '../ring/slots.ts';

/** A shelf mark: a byte string made by `rowKeyOf`. */
export type RowKey = ByteString;

/** First byte of a node's own notes in storage; never replicated. */
export const META_PREFIX: ByteString = '\xff';

const slotPrefixes: string[] = new Array(SLOT_COUNT);
for (let slot = 0; slot < SLOT_COUNT; slot++) {
  slotPrefixes[slot] = String.fromCharCode(slot >> 8, slot & 0xff);
}

const keyEnd = '\x00\x00';

/** Keys up to this length are turned into row keys in one pass. */
const shortKeyLength = 60;
const openBrace = 0x7b;

/** The row key of a whole key (a string, or the head of a collection). */
export function rowKeyOf(key: ByteString): RowKey {
  const length = key.length;
  if (length > shortKeyLength) return rowKeyOfAny(key);
  const codes = codesOf(length + 4);
  let crc = 0;
  for (let i = 0; i < length; i++) {
    const code = key.charCodeAt(i);
    // A hash tag, or a zero byte to be escaped.
    if (code === openBrace || code === 0) return rowKeyOfAny(key);
    crc = crc16Step(crc, code);
    codes[i + 2] = code;
  }
  const slot = crc & (SLOT_COUNT - 1);
  codes[0] = slot >> 8;
  codes[1] = slot & 0xff;
  codes[length + 2] = 0;
  codes[length + 3] = 0;
  return textOfCodes(codes);
}

function rowKeyOfAny(key: ByteString): RowKey {
  return slotPrefixes[slotOf(key)]! + escapeKey(key) + keyEnd;
}

/** The row key of one element of a collection. */
export function elementRowKeyOf(key: ByteString, element: ByteString): RowKey {
  return rowKeyOf(key) + element;
}

/** The slot a row lies in: its first two bytes. */
export function rowKeySlot(rowKey: RowKey): number {
  return (rowKey.charCodeAt(0) << 8) | rowKey.charCodeAt(1);
}

/** The user's key of a row key. */
export function rowKeyUserKey(rowKey: RowKey): ByteString {
  const end = rowKeyEnd(rowKey);
  const escaped = rowKey.slice(2, end);
  return escaped.includes('\x00') ? escaped.replaceAll('\x00\x01', '\x00') : escaped;
}

/** The element part of a row key; empty for a head row. */
export function rowKeyElement(rowKey: RowKey): ByteString {
  return rowKey.slice(rowKeyEnd(rowKey) + 2);
}

/** First row key of a slot; with `slot` 16384, the end of all rows. */
export function slotStart(slot: number): ByteString {
  return String.fromCharCode(slot >> 8, slot & 0xff);
}

/**
 * Whether a byte string from a peer has the form of a row key: a slot, and a key with its zero bytes
 * written as they must be, so that no two row keys mean the same key.
 */
export function isRowKey(text: ByteString): boolean {
  return text.length >= 4 && text.charCodeAt(0) < 0x40 && rowKeyEnd(text) >= 0;
}

function rowKeyEnd(rowKey: RowKey): number {
  let at = rowKey.indexOf('\x00', 2);
  while (at >= 0) {
    const next = rowKey.charCodeAt(at + 1);
    if (next === 0) return at;
    if (next !== 1) return -1;
    at = rowKey.indexOf('\x00', at + 2);
  }
  return -1;
}

function escapeKey(key: ByteString): ByteString {
  return key.includes('\x00') ? key.replaceAll('\x00', '\x00\x01') : key;
}
