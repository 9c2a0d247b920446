/**
 * The bytes that go with the protocol version. Nodes take each other's messages and rows as they come, so whoever
 * changes their bytes must raise `PROTOCOL_VERSION` (`src/wire/frame.ts`), note the checksum of the new version here,
 * and still write the bytes of the version before to a peer that speaks it. Version 5 changed the header of frames
 * and the entries of gossip, and not these.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteWriter, bytesOf } from '../../../src/base/bytes.ts';
import { crc32 } from '../../../src/base/crc32.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { writeReply, writeUpdateCall, writeWriteCall } from '../../../src/node/forward-codec.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { encodeRow, encodeStamp, KIND_STRING, rowStamp } from '../../../src/rows/row.ts';
import { rowOfVersions } from '../../../src/rows/siblings.ts';
import { PROTOCOL_VERSION } from '../../../src/wire/frame.ts';
import { writeHint } from '../../../src/wire/hint-messages.ts';
import * as messages from '../../../src/wire/messages.ts';
import { writePolicyChange, writePolicyRules } from '../../../src/wire/policy-messages.ts';

const checksums: Readonly<Record<number, number>> = { 4: 118100114, 5: 118100114 };

/** One of each message whose bytes hold more than numbers. */
function sample(): Uint8Array {
  const writer = new ByteWriter(4096);
  const rowKey = rowKeyOf('cart');
  const event = { time: 1_700_000_000_000, logical: 3, actor: 77, counter: 9 };
  const body = { kind: KIND_STRING, value: bytesOf('milk'), expireAt: 1_700_000_100_000 };
  const plain = encodeRow(rowKey, body, event);
  const register = { event: { ...event, time: 1, actor: 2 }, expireAt: 0, value: undefined };
  const set = { vector: [event], register, siblings: [{ event, value: body }] };
  const siblings = rowOfVersions(rowKey, set)!;
  messages.writeRead(writer, 1, 500, false, rowKey, rowStamp(plain), true);
  messages.writeReadRow(writer, 2, siblings, 7);
  messages.writeWrite(writer, 3, rowKey, plain);
  messages.writeHand(writer, 4, rowKey, siblings, 8);
  messages.writeFloor(writer, 5, encodeStamp(event));
  const head = { id: 6, timeoutMs: 900, r: 2, w: 3, strict: true, siblings: true, siblingsError: true };
  for (const kind of [messages.FORWARD_READ, messages.FORWARD_WRITE, messages.FORWARD_UPDATE]) {
    const at = messages.writeForwardHead(writer, { ...head, ttlMs: 5000, kind, key: 'cart' });
    if (kind === messages.FORWARD_WRITE) writeWriteCall(writer, body, bytesOf('context'));
    if (kind === messages.FORWARD_UPDATE) writeUpdateCall(writer, 'set', [bytesOf('x'), bytesOf('N')]);
    writer.blobEnd(at);
  }
  const at = messages.writeForwardReplyHead(writer, 7, 3);
  writeReply(writer, ['text', 1, 2n, null, bytesOf('x')]);
  writer.blobEnd(at);
  messages.writeError(writer, new CodedError('siblings', 'none', 'two'));
  writeHint(writer, 8, 'n2', rowKey, siblings);
  const policy = {
    r: 1,
    w: 2,
    strict: true,
    conflicts: 'siblings',
    siblingsRead: 'error',
    ttlMs: 9,
  } as const;
  const rule = { prefix: 'cart:', policy, time: event.time, logical: 1, node: 'n1' };
  writePolicyChange(writer, 9, rule);
  const rules = [rule, { ...rule, policy: undefined }];
  writePolicyRules(writer, { isLast: true, wanted: true, digest: { high: 1, low: 2 }, rules });
  return writer.take();
}

test('messages and rows have the bytes that belong to the protocol version', () => {
  const found = crc32(sample());
  const why = `bytes between nodes changed: raise PROTOCOL_VERSION, and note ${found} for it`;
  assert.equal(found, checksums[PROTOCOL_VERSION], why);
});
