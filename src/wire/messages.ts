/**
 * Messages between nodes: their meaning, and their bytes.
 *
 * The picture: a pneumatic tube with a handful of printed forms. Encoders write a form straight into
 * the frame being filled for a peer; `decodeMessages` reads a frame and calls one method of a
 * `MessageHandler` a form, without building message objects: this is the busiest code between nodes.
 *
 * A request carries an `id` chosen by its sender; the answer brings it back. Times are relative
 * (milliseconds left), because clocks differ.
 */

import type { ByteReader, ByteString, ByteWriter } from '../base/bytes.ts';
import { ByteReader as Reader } from '../base/bytes.ts';
import type { ErrorCode, Outcome } from '../base/errors.ts';
import { CodedError } from '../base/errors.ts';
import { frameHeaderBytes } from './frame.ts';

const READ = 1;
const READ_EQUAL = 2;
const READ_STAMP = 3;
const READ_ROW = 4;
const READ_FLOOR = 5;
const WRITE = 6;
const STORED = 7;
const REFUSED = 8;
const PING = 9;
const PONG = 10;
const FLOOR = 11;
const FORWARD = 12;
const FORWARD_REPLY = 13;
const SCAN = 14;
const SCAN_REPLY = 15;
const COUNT = 16;
const COUNT_REPLY = 17;
const HAND = 18;

const STAMP_BYTES = 20;
/** Flags of a READ. */
const readStampOnly = 1;
const readStrict = 2;
const timeoutMaxMs = 0xffff;

/** A request sent on to a replica of its key. `body` is the form of its kind, read by the handler. */
export interface ForwardHead {
  readonly id: number;
  readonly timeoutMs: number;
  readonly r: number;
  readonly w: number;
  readonly strict: boolean;
  /** The rest of the policy: concurrent writes are kept; a request for one value of several fails. */
  readonly siblings: boolean;
  readonly siblingsError: boolean;
  /** Of a value written without an expiry, milliseconds; 0 for ever. */
  readonly ttlMs: number;
  readonly kind: number;
  readonly key: ByteString;
}

export const FORWARD_READ = 1;
export const FORWARD_WRITE = 2;
export const FORWARD_UPDATE = 3;

/** A key met by a scan, with what is needed to merge the pages of several replicas. */
export interface ScanRow {
  /** Cursor position: slot * 2^32 + hash of the key. */
  readonly position: number;
  readonly key: ByteString;
  readonly kind: number;
  readonly live: boolean;
  readonly stamp: Uint8Array;
}

/** Receives the messages of a frame. `peer` is who sent the frame. */
export interface MessageHandler<Peer> {
  /**
   * Asks for a row; the asker holds `stamp`. With `stampOnly`, any row is answered by its stamp. `strict`: for
   * a linearizable request, which a replica that may have forgotten something must not answer.
   */
  read(
    peer: Peer,
    id: number,
    timeoutMs: number,
    stampOnly: boolean,
    rowKey: ByteString,
    stamp: Uint8Array,
    strict: boolean,
  ): void;
  /** "I hold exactly the stamp you sent." */
  readEqual(peer: Peer, id: number): void;
  /** "I hold this older stamp" (all zero: nothing), or any stamp if stamps alone were asked for. */
  readStamp(peer: Peer, id: number, stamp: Uint8Array): void;
  /**
   * "I hold a newer row: here it is." `horizon` is the tombstone horizon of its partition there, milliseconds;
   * 0 for none, and from a stand-in.
   */
  readRow(peer: Peer, id: number, row: Uint8Array, horizon: number): void;
  /** "The key is dead by a flush with this stamp, newer than yours." */
  readFloor(peer: Peer, id: number, stamp: Uint8Array): void;
  /** Merge this row; answer `stored` when it is durable, unless `id` is 0. */
  write(peer: Peer, id: number, rowKey: ByteString, row: Uint8Array): void;
  /**
   * The same, of a row that a replica with this horizon held when it was read: what a read hands on. Under
   * horizon 0 it is one that somebody kept for this node: the other replicas may lack it too.
   */
  hand(peer: Peer, id: number, rowKey: ByteString, row: Uint8Array, horizon: number): void;
  stored(peer: Peer, id: number): void;
  refused(peer: Peer, id: number, code: ErrorCode): void;
  /** `gossip` is read by membership (`src/membership/codec.ts`); it may be empty. */
  ping(peer: Peer, sequence: number, wall: number, floor: Uint8Array, gossip: ByteReader): void;
  pong(peer: Peer, sequence: number, wall: number, gossip: ByteReader): void;
  /**
   * Every row with a stamp not above this one is dead; answered by `stored`, unless `id` is 0. All
   * zero it asks for the highest stamp issued or seen, answered by `readStamp`.
   */
  floor(peer: Peer, id: number, stamp: Uint8Array): void;
  forward(peer: Peer, head: ForwardHead, body: ByteReader): void;
  forwardReply(peer: Peer, id: number, status: number, body: ByteReader): void;
  /** Keys at positions from `cursor` on, up to the start of slot `slotEnd`, about `count` of them. */
  scan(peer: Peer, id: number, timeoutMs: number, cursor: number, slotEnd: number, count: number): void;
  scanReply(peer: Peer, id: number, cursorNext: number, rows: readonly ScanRow[]): void;
  /** How many live rows lie in these ranges of slots (pairs of start and end)? */
  count(peer: Peer, id: number, timeoutMs: number, ranges: readonly number[]): void;
  countReply(peer: Peer, id: number, count: number): void;
  /**
   * A message of a family (type 20 and above, ten types a family): the handler reads its body, all of it
   * and no more.
   * @throws CodedError `protocol` for a type that is not known.
   */
  family(peer: Peer, type: number, id: number, reader: ByteReader): void;
}

/** Families of messages by the tens of their types; each has its own codec file and desk. */
export const FAMILY_GOSSIP = 2;
export const FAMILY_HINTS = 3;
export const FAMILY_REPAIR = 4;
export const FAMILY_HORIZON = 5;
export const FAMILY_PAST = 6;
export const FAMILY_POLICY = 7;
export const FAMILY_TOPOLOGY = 8;

/** Begins a message of a family: `type` is ten times the family and 0 to 9. The caller appends the body. */
export function writeFamilyHead(writer: ByteWriter, type: number, id: number): void {
  head(writer, type, id);
}

function head(writer: ByteWriter, type: number, id: number): void {
  writer.u8(type);
  writer.u32(id);
}

function clampTimeout(timeoutMs: number): number {
  return Math.max(1, Math.min(timeoutMaxMs, Math.ceil(timeoutMs)));
}

export function writeRead(
  writer: ByteWriter,
  id: number,
  timeoutMs: number,
  stampOnly: boolean,
  rowKey: ByteString,
  stamp: Uint8Array,
  strict = false,
): void {
  head(writer, READ, id);
  writer.u16(clampTimeout(timeoutMs));
  writer.u8((stampOnly ? readStampOnly : 0) | (strict ? readStrict : 0));
  writer.text(rowKey);
  writer.raw(stamp);
}

export function writeReadEqual(writer: ByteWriter, id: number): void {
  head(writer, READ_EQUAL, id);
}

export function writeReadStamp(writer: ByteWriter, id: number, stamp: Uint8Array): void {
  head(writer, READ_STAMP, id);
  writer.raw(stamp);
}

export function writeReadRow(writer: ByteWriter, id: number, row: Uint8Array, horizon = 0): void {
  head(writer, READ_ROW, id);
  writer.blob(row);
  writer.u48(horizon);
}

export function writeReadFloor(writer: ByteWriter, id: number, stamp: Uint8Array): void {
  head(writer, READ_FLOOR, id);
  writer.raw(stamp);
}

export function writeWrite(writer: ByteWriter, id: number, rowKey: ByteString, row: Uint8Array): void {
  head(writer, WRITE, id);
  writer.text(rowKey);
  writer.blob(row);
}

export function writeHand(
  writer: ByteWriter,
  id: number,
  rowKey: ByteString,
  row: Uint8Array,
  horizon: number,
): void {
  head(writer, HAND, id);
  writer.text(rowKey);
  writer.blob(row);
  writer.u48(horizon);
}

export function writeStored(writer: ByteWriter, id: number): void {
  head(writer, STORED, id);
}

export function writeRefused(writer: ByteWriter, id: number, code: ErrorCode): void {
  head(writer, REFUSED, id);
  writer.u8(codes.indexOf(code));
}

/** Begins a PING: append the gossip and end it with `writer.blobEnd(result)`. */
export function writePingHead(writer: ByteWriter, sequence: number, wall: number, floor: Uint8Array): number {
  head(writer, PING, sequence);
  writer.u48(wall);
  writer.raw(floor);
  return writer.blobBegin();
}

/** Begins a PONG, as `writePingHead` does. */
export function writePongHead(writer: ByteWriter, sequence: number, wall: number): number {
  head(writer, PONG, sequence);
  writer.u48(wall);
  return writer.blobBegin();
}

export function writeFloor(writer: ByteWriter, id: number, stamp: Uint8Array): void {
  head(writer, FLOOR, id);
  writer.raw(stamp);
}

/**
 * Begins a FORWARD. The caller appends the body of its kind (`src/node/forward-codec.ts`) and ends it
 * with `writer.blobEnd(result)`.
 */
export function writeForwardHead(writer: ByteWriter, forward: ForwardHead): number {
  head(writer, FORWARD, forward.id);
  writer.u16(clampTimeout(forward.timeoutMs));
  writer.u8(forward.r);
  writer.u8(forward.w);
  const { strict, siblings, siblingsError, ttlMs } = forward;
  writer.u8((strict ? 1 : 0) | (siblings ? 2 : 0) | (siblingsError ? 4 : 0) | (ttlMs > 0 ? 8 : 0));
  if (ttlMs > 0) writer.u48(ttlMs);
  writer.u8(forward.kind);
  writer.text(forward.key);
  return writer.blobBegin();
}

/** Begins a FORWARD_REPLY, as `writeForwardHead` does: append the body, then `blobEnd`. */
export function writeForwardReplyHead(writer: ByteWriter, id: number, status: number): number {
  head(writer, FORWARD_REPLY, id);
  writer.u8(status);
  return writer.blobBegin();
}

export function writeScan(
  writer: ByteWriter,
  id: number,
  timeoutMs: number,
  cursor: number,
  slotEnd: number,
  count: number,
): void {
  head(writer, SCAN, id);
  writer.u16(clampTimeout(timeoutMs));
  writer.u48(cursor);
  writer.u16(slotEnd);
  writer.u16(count);
}

export function writeScanReply(
  writer: ByteWriter,
  id: number,
  cursorNext: number,
  rows: readonly ScanRow[],
): void {
  head(writer, SCAN_REPLY, id);
  writer.u48(cursorNext);
  writer.u32(rows.length);
  for (const row of rows) {
    writer.u48(row.position);
    writer.text(row.key);
    writer.u8(row.kind);
    writer.u8(row.live ? 1 : 0);
    writer.raw(row.stamp);
  }
}

export function writeCount(
  writer: ByteWriter,
  id: number,
  timeoutMs: number,
  ranges: readonly number[],
): void {
  head(writer, COUNT, id);
  writer.u16(clampTimeout(timeoutMs));
  writer.u16(ranges.length);
  for (const bound of ranges) writer.u16(bound);
}

export function writeCountReply(writer: ByteWriter, id: number, count: number): void {
  head(writer, COUNT_REPLY, id);
  writer.u48(count);
}

/**
 * Reads all messages of a checked frame, in order.
 * @throws CodedError `protocol` at the first one that makes no sense.
 */
export function decodeMessages<Peer>(frame: Uint8Array, peer: Peer, handler: MessageHandler<Peer>): void {
  const reader = new Reader(frame, frameHeaderBytes(frame));
  while (reader.remaining > 0) decodeMessage(reader, peer, handler);
}

function decodeMessage<Peer>(reader: ByteReader, peer: Peer, handler: MessageHandler<Peer>): void {
  const type = reader.u8();
  const id = reader.u32();
  switch (type) {
    case READ: {
      const timeoutMs = reader.u16();
      const flags = reader.u8();
      const rowKey = reader.text();
      const stamp = reader.raw(STAMP_BYTES);
      const stampOnly = (flags & readStampOnly) !== 0;
      handler.read(peer, id, timeoutMs, stampOnly, rowKey, stamp, (flags & readStrict) !== 0);
      return;
    }
    case READ_EQUAL:
      handler.readEqual(peer, id);
      return;
    case READ_STAMP:
      handler.readStamp(peer, id, reader.raw(STAMP_BYTES));
      return;
    case READ_ROW: {
      const row = reader.blob();
      handler.readRow(peer, id, row, reader.u48());
      return;
    }
    case READ_FLOOR:
      handler.readFloor(peer, id, reader.raw(STAMP_BYTES));
      return;
    case WRITE: {
      const rowKey = reader.text();
      handler.write(peer, id, rowKey, reader.blob());
      return;
    }
    case STORED:
      handler.stored(peer, id);
      return;
    case REFUSED:
      handler.refused(peer, id, codeAt(reader.u8()));
      return;
    case PING: {
      const wall = reader.u48();
      const floor = reader.raw(STAMP_BYTES);
      handler.ping(peer, id, wall, floor, reader.blobReader());
      return;
    }
    case PONG: {
      const wall = reader.u48();
      handler.pong(peer, id, wall, reader.blobReader());
      return;
    }
    case FLOOR:
      handler.floor(peer, id, reader.raw(STAMP_BYTES));
      return;
    default:
      decodeRareMessage(type, id, reader, peer, handler);
  }
}

function decodeRareMessage<Peer>(
  type: number,
  id: number,
  reader: ByteReader,
  peer: Peer,
  handler: MessageHandler<Peer>,
): void {
  switch (type) {
    case FORWARD: {
      const timeoutMs = reader.u16();
      const r = reader.u8();
      const w = reader.u8();
      const flags = reader.u8();
      const [strict, siblings, siblingsError] = [(flags & 1) !== 0, (flags & 2) !== 0, (flags & 4) !== 0];
      const ttlMs = (flags & 8) !== 0 ? reader.u48() : 0;
      const kind = reader.u8();
      const key = reader.text();
      const head = { id, timeoutMs, r, w, strict, siblings, siblingsError, ttlMs, kind, key };
      handler.forward(peer, head, reader.blobReader());
      return;
    }
    case FORWARD_REPLY: {
      const status = reader.u8();
      handler.forwardReply(peer, id, status, reader.blobReader());
      return;
    }
    case SCAN: {
      const timeoutMs = reader.u16();
      const cursor = reader.u48();
      const slotEnd = reader.u16();
      handler.scan(peer, id, timeoutMs, cursor, slotEnd, reader.u16());
      return;
    }
    case SCAN_REPLY: {
      const cursorNext = reader.u48();
      handler.scanReply(peer, id, cursorNext, readScanRows(reader));
      return;
    }
    case COUNT: {
      const timeoutMs = reader.u16();
      const ranges: number[] = [];
      for (let left = reader.u16(); left > 0; left--) ranges.push(reader.u16());
      handler.count(peer, id, timeoutMs, ranges);
      return;
    }
    case HAND: {
      const rowKey = reader.text();
      const row = reader.blob();
      handler.hand(peer, id, rowKey, row, reader.u48());
      return;
    }
    case COUNT_REPLY:
      handler.countReply(peer, id, reader.u48());
      return;
    default:
      if (type >= 20) {
        handler.family(peer, type, id, reader);
        return;
      }
      throw new CodedError('protocol', 'none', `message of unknown type ${type}`);
  }
}

function readScanRows(reader: ByteReader): ScanRow[] {
  const rows: ScanRow[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const position = reader.u48();
    const key = reader.text();
    const kind = reader.u8();
    const live = reader.u8() === 1;
    rows.push({ position, key, kind, live, stamp: reader.raw(STAMP_BYTES) });
  }
  return rows;
}

/** Codes by their number on the wire. Append only. */
const codes: readonly ErrorCode[] = [
  'quorum-unreachable',
  'deadline-exceeded',
  'overloaded',
  'unavailable',
  'pair-too-large',
  'clock-offset',
  'storage-failed',
  'storage-full',
  'corrupt',
  'protocol',
  'unsupported',
  'invalid',
  'straggler',
  'siblings',
  'siblings-full',
];

function codeAt(index: number): ErrorCode {
  return codes[index] ?? 'protocol';
}

const outcomes: readonly Outcome[] = ['fail', 'unknown', 'none'];

/** Writes an error so that `readError` gives an equal one. */
export function writeError(writer: ByteWriter, error: CodedError): void {
  writer.u8(codes.indexOf(error.code));
  writer.u8(outcomes.indexOf(error.outcome));
  const message = error.message.slice(0, 1000).replace(/[^\x20-\x7e]/g, '?');
  writer.text(message);
}

export function readError(reader: ByteReader): CodedError {
  const code = codeAt(reader.u8());
  const outcome = outcomes[reader.u8()] ?? 'unknown';
  return new CodedError(code, outcome, reader.text());
}
