/** Messages about the past of disks: there and back, and cut short. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteReader, ByteWriter } from '../../../src/base/bytes.ts';
import type { Past } from '../../../src/wire/past-messages.ts';
import {
  PAST_ASK,
  PAST_MARK,
  PAST_TELL,
  readPast,
  readPastTell,
  writePastAsk,
  writePastMark,
  writePastTell,
} from '../../../src/wire/past-messages.ts';

const past: Past = {
  generation: 3,
  actor: 0xffff_ffff_fffe,
  reserved: 2 ** 40,
  time: 1_700_000_000_123,
  logical: 0xfffe,
};
const floor = Uint8Array.from({ length: 20 }, (_, i) => i);

function read(write: (writer: ByteWriter) => void): {
  type: number;
  id: number;
  body: ByteReader;
  bytes: Uint8Array;
} {
  const writer = new ByteWriter();
  write(writer);
  const bytes = writer.take();
  const body = new ByteReader(bytes);
  return { type: body.u8(), id: body.u32(), body, bytes };
}

describe('messages about the past', () => {
  test('are read as they were written, to the last byte', () => {
    const ask = read((writer) => writePastAsk(writer, 7));
    assert.deepEqual([ask.type, ask.id, ask.body.remaining], [PAST_ASK, 7, 0]);
    const known = read((writer) => writePastTell(writer, 8, floor, past));
    assert.deepEqual([known.type, known.id], [PAST_TELL, 8]);
    assert.deepEqual(readPastTell(known.body), { floor, past });
    assert.equal(known.body.remaining, 0);
    const stranger = read((writer) => writePastTell(writer, 9, floor, undefined));
    assert.deepEqual(readPastTell(stranger.body), { floor, past: undefined });
    assert.equal(stranger.body.remaining, 0);
    const mark = read((writer) => writePastMark(writer, past));
    assert.equal(mark.type, PAST_MARK);
    assert.deepEqual(readPast(mark.body), past);
    assert.equal(mark.body.remaining, 0);
  });

  test('cut short anywhere they are an error of the protocol', () => {
    const { bytes } = read((writer) => writePastTell(writer, 8, floor, past));
    for (let end = 5; end < bytes.length; end++) {
      assert.throws(() => readPastTell(new ByteReader(bytes, 5, end)), { code: 'protocol' });
    }
  });
});
