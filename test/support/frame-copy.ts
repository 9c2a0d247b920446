/**
 * Copies a frame by reading every message and writing it again: what comes out equals what went in exactly if the
 * codecs of this release read and write what the frame's sender wrote. For frames that an earlier release sent
 * (`test/fixtures/v4/`).
 */

import assert from 'node:assert/strict';
import { type ByteReader, ByteWriter } from '../../src/base/bytes.ts';
import {
  GossipHead,
  MemberBook,
  readEntry,
  readGossipHead,
  readMember,
  writeEntry,
  writeGossipHead,
  writeMember,
} from '../../src/membership/codec.ts';
import { Entry } from '../../src/membership/entry.ts';
import {
  readReply,
  readUpdateCall,
  readWriteCall,
  STATUS_REPLY,
  writeReply,
  writeUpdateCall,
  writeWriteCall,
} from '../../src/node/forward-codec.ts';
import { frameEpoch, frameLife, frameSequence, openFrame, sealFrame } from '../../src/wire/frame.ts';
import {
  GOSSIP_HEARD,
  GOSSIP_PROBE,
  readGossipTarget,
  writeGossipHeard,
  writeGossipProbe,
} from '../../src/wire/gossip-messages.ts';
import { HINT, readHint, writeHint } from '../../src/wire/hint-messages.ts';
import * as horizon from '../../src/wire/horizon-messages.ts';
import * as wire from '../../src/wire/messages.ts';
import * as past from '../../src/wire/past-messages.ts';
import * as policy from '../../src/wire/policy-messages.ts';
import * as repair from '../../src/wire/repair-messages.ts';

const questions: ReadonlySet<number> = new Set([
  repair.REPAIR_ROOTS,
  repair.REPAIR_NODES,
  repair.REPAIR_ENTRIES,
  repair.REPAIR_FETCH,
  repair.REPAIR_PUSH,
]);

export interface FrameCopy {
  readonly frame: Uint8Array;
  /** What was in it: `write`, `ping`, …; of families the number of the type, of forwards and replies with their kind. */
  readonly names: readonly string[];
}

/** @param ids every member, in any order: gossip names them by number */
export function copyFrame(frame: Uint8Array, ids: readonly string[]): FrameCopy {
  const copier = new Copier(ids, frame[8]!);
  wire.decodeMessages(frame, undefined, copier);
  const copy = sealFrame(copier.writer, frameLife(frame), frameSequence(frame), frameEpoch(frame));
  return { frame: copy, names: copier.names };
}

class Copier implements wire.MessageHandler<undefined> {
  readonly writer: ByteWriter = new ByteWriter();
  readonly names: string[] = [];
  readonly #book: MemberBook;
  readonly #version: number;

  constructor(ids: readonly string[], version: number) {
    this.#book = new MemberBook(ids);
    this.#version = version;
    openFrame(this.writer, version);
  }

  read(
    _peer: undefined,
    id: number,
    timeoutMs: number,
    stampOnly: boolean,
    rowKey: string,
    stamp: Uint8Array,
    strict: boolean,
  ): void {
    this.names.push('read');
    wire.writeRead(this.writer, id, timeoutMs, stampOnly, rowKey, stamp, strict);
  }

  readEqual(_peer: undefined, id: number): void {
    this.names.push('readEqual');
    wire.writeReadEqual(this.writer, id);
  }

  readStamp(_peer: undefined, id: number, stamp: Uint8Array): void {
    this.names.push('readStamp');
    wire.writeReadStamp(this.writer, id, stamp);
  }

  readRow(_peer: undefined, id: number, row: Uint8Array, horizonOfRow: number): void {
    this.names.push('readRow');
    wire.writeReadRow(this.writer, id, row, horizonOfRow);
  }

  readFloor(_peer: undefined, id: number, stamp: Uint8Array): void {
    this.names.push('readFloor');
    wire.writeReadFloor(this.writer, id, stamp);
  }

  write(_peer: undefined, id: number, rowKey: string, row: Uint8Array): void {
    this.names.push('write');
    wire.writeWrite(this.writer, id, rowKey, row);
  }

  hand(_peer: undefined, id: number, rowKey: string, row: Uint8Array, horizonOfRow: number): void {
    this.names.push('hand');
    wire.writeHand(this.writer, id, rowKey, row, horizonOfRow);
  }

  stored(_peer: undefined, id: number): void {
    this.names.push('stored');
    wire.writeStored(this.writer, id);
  }

  refused(_peer: undefined, id: number, code: Parameters<typeof wire.writeRefused>[2]): void {
    this.names.push('refused');
    wire.writeRefused(this.writer, id, code);
  }

  ping(_peer: undefined, sequence: number, wall: number, floor: Uint8Array, gossip: ByteReader): void {
    this.names.push('ping');
    const at = wire.writePingHead(this.writer, sequence, wall, floor);
    this.#gossip(gossip);
    this.writer.blobEnd(at);
  }

  pong(_peer: undefined, sequence: number, wall: number, gossip: ByteReader): void {
    this.names.push('pong');
    const at = wire.writePongHead(this.writer, sequence, wall);
    this.#gossip(gossip);
    this.writer.blobEnd(at);
  }

  #gossip(reader: ByteReader): void {
    if (reader.remaining === 0) return;
    const { writer } = this;
    const head = new GossipHead();
    readGossipHead(reader, this.#book, head);
    assert.equal(head.hash, this.#book.hash, 'the list of members has another hash');
    assert.equal(head.settled, this.#version >= 5, 'what is settled is told since version 5');
    writeGossipHead(writer, this.#book, head.numbered, head.settled);
    const entry = new Entry();
    readEntry(reader, entry, head.settled);
    writeEntry(writer, entry, head.settled);
    let left = reader.u8();
    writer.u8(left);
    for (; left > 0; left--) {
      writeMember(writer, this.#book, head.numbered, readMember(reader, this.#book, head.numbered));
      readEntry(reader, entry, head.settled);
      writeEntry(writer, entry, head.settled);
    }
    assert.equal(reader.remaining, 0);
  }

  floor(_peer: undefined, id: number, stamp: Uint8Array): void {
    this.names.push('floor');
    wire.writeFloor(this.writer, id, stamp);
  }

  forward(_peer: undefined, head: wire.ForwardHead, body: ByteReader): void {
    this.names.push(`forward ${head.kind}`);
    const at = wire.writeForwardHead(this.writer, head);
    if (head.kind === wire.FORWARD_WRITE) {
      const call = readWriteCall(body);
      writeWriteCall(this.writer, call, call.context);
    } else if (head.kind === wire.FORWARD_UPDATE) {
      const { operation, args } = readUpdateCall(body);
      writeUpdateCall(this.writer, operation, args);
    }
    this.#rest(body);
    this.writer.blobEnd(at);
  }

  forwardReply(_peer: undefined, id: number, status: number, body: ByteReader): void {
    this.names.push(`forwardReply ${status}`);
    const at = wire.writeForwardReplyHead(this.writer, id, status);
    if (status === STATUS_REPLY) {
      // An update's: what it answered, and where the row stands.
      const start = body.offset;
      writeReply(new ByteWriter(), readReply(body));
      body.offset = start;
    }
    this.#rest(body);
    this.writer.blobEnd(at);
  }

  scan(
    _peer: undefined,
    id: number,
    timeoutMs: number,
    cursor: number,
    slotEnd: number,
    count: number,
  ): void {
    this.names.push('scan');
    wire.writeScan(this.writer, id, timeoutMs, cursor, slotEnd, count);
  }

  scanReply(_peer: undefined, id: number, cursorNext: number, rows: readonly wire.ScanRow[]): void {
    this.names.push('scanReply');
    wire.writeScanReply(this.writer, id, cursorNext, rows);
  }

  count(_peer: undefined, id: number, timeoutMs: number, ranges: readonly number[]): void {
    this.names.push('count');
    wire.writeCount(this.writer, id, timeoutMs, ranges);
  }

  countReply(_peer: undefined, id: number, count: number): void {
    this.names.push('countReply');
    wire.writeCountReply(this.writer, id, count);
  }

  family(_peer: undefined, type: number, id: number, reader: ByteReader): void {
    this.names.push(String(type));
    const family = Math.floor(type / 10);
    if (family === wire.FAMILY_GOSSIP) this.#gossipMessage(type, reader);
    else if (type === HINT) {
      const { target, rowKey, row } = readHint(reader);
      writeHint(this.writer, id, target, rowKey, row);
    } else if (family === wire.FAMILY_REPAIR) this.#repair(type, id, reader);
    else if (family === wire.FAMILY_HORIZON) this.#horizon(type, id, reader);
    else if (family === wire.FAMILY_PAST) this.#past(type, id, reader);
    else if (family === wire.FAMILY_POLICY) this.#policy(type, id, reader);
    else assert.fail(`message of type ${type}`);
  }

  #gossipMessage(type: number, reader: ByteReader): void {
    if (type === GOSSIP_PROBE) writeGossipProbe(this.writer, readGossipTarget(reader));
    else if (type === GOSSIP_HEARD) writeGossipHeard(this.writer, readGossipTarget(reader));
    else assert.fail(`gossip of type ${type}`);
  }

  /** Of questions the head is read; what follows says the machines of `src/repair`. */
  #repair(type: number, id: number, reader: ByteReader): void {
    wire.writeFamilyHead(this.writer, type, id);
    const at = this.writer.blobBegin();
    const body = reader.blobReader();
    if (questions.has(type)) repair.writeRepairHead(this.writer, repair.readRepairHead(body));
    this.#rest(body);
    this.writer.blobEnd(at);
  }

  #horizon(type: number, id: number, reader: ByteReader): void {
    if (type === horizon.FENCE) horizon.writeFence(this.writer, id, reader.u16(), reader.u48());
    else if (type === horizon.FENCED) horizon.writeFenced(this.writer, id);
    else if (type === horizon.FENCE_REFUSED) horizon.writeFenceRefused(this.writer, id, reader.u8());
    else if (type === horizon.HORIZON) horizon.writeHorizon(this.writer, id, reader.u16(), reader.u48());
    else assert.fail(`horizon of type ${type}`);
  }

  #past(type: number, id: number, reader: ByteReader): void {
    if (type === past.PAST_ASK) past.writePastAsk(this.writer, id);
    else if (type === past.PAST_MARK) past.writePastMark(this.writer, past.readPast(reader));
    else if (type === past.PAST_TELL) {
      const told = past.readPastTell(reader);
      past.writePastTell(this.writer, id, told.floor, told.past);
    } else assert.fail(`past of type ${type}`);
  }

  #policy(type: number, id: number, reader: ByteReader): void {
    const { writer } = this;
    if (type === policy.POLICY_CHANGE) policy.writePolicyChange(writer, id, policy.readRules(reader)[0]!);
    else if (type === policy.POLICY_STORED) policy.writePolicyStored(writer, id);
    else if (type === policy.POLICY_REFUSED) policy.writePolicyRefused(writer, id, reader.text());
    else if (type === policy.POLICY_DIGEST) policy.writePolicyDigest(writer, policy.readPolicyDigest(reader));
    else if (type === policy.POLICY_RULES) policy.writePolicyRules(writer, policy.readPolicyRules(reader));
    else assert.fail(`policy of type ${type}`);
  }

  #rest(reader: ByteReader): void {
    this.writer.raw(reader.raw(reader.remaining));
  }
}
