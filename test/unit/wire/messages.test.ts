/**
 * Frames and messages one by one: the bytes that are promised to other versions, and what is refused.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteReader, ByteWriter } from '../../../src/base/bytes.ts';
import { CodedError, type ErrorCode } from '../../../src/base/errors.ts';
import {
  checkFrame,
  FRAME_HEADER_BYTES,
  FrameOrder,
  frameEpoch,
  isFrameEmpty,
  openFrame,
  sealFrame,
} from '../../../src/wire/frame.ts';
import {
  decodeMessages,
  type MessageHandler,
  readError,
  writeError,
  writePongHead,
  writeRead,
  writeStored,
} from '../../../src/wire/messages.ts';

function sealed(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter();
  openFrame(writer);
  write(writer);
  return sealFrame(writer, 0xabcdef01, 0x010203040506, 0x0a0b0c0d);
}

/** A handler that notes calls. */
function noting(): { calls: unknown[][]; handler: MessageHandler<string> } {
  const calls: unknown[][] = [];
  const handler = new Proxy({} as MessageHandler<string>, {
    get:
      (_target, name) =>
      (...args: unknown[]) =>
        void calls.push([name, ...args]),
  });
  return { calls, handler };
}

const isCoded =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof CodedError && error.code === code;

describe('frames', () => {
  test('a sealed frame is whole; the writer starts over in new bytes', () => {
    const writer = new ByteWriter();
    openFrame(writer);
    writeStored(writer, 7);
    const frame = sealFrame(writer, 1, 1);
    assert.equal(writer.length, 0);
    const copy = new Uint8Array(frame);
    openFrame(writer);
    writer.blobEnd(writePongHead(writer, 1, 2));
    assert.deepEqual(frame, copy, 'a frame that was handed out is never written again');
    checkFrame(frame);
    checkFrame(sealFrame(writer, 1, 2));
  });

  test('the layout other nodes rely on', () => {
    const frame = sealed((writer) => writeStored(writer, 0x01020304));
    assert.equal(FRAME_HEADER_BYTES, 23);
    assert.deepEqual([...frame.subarray(0, 4)], [0, 0, 0, 28], 'length of the whole');
    assert.deepEqual([...frame.subarray(8, 13)], [5, 0xab, 0xcd, 0xef, 0x01], 'version, life');
    assert.deepEqual([...frame.subarray(13, 19)], [1, 2, 3, 4, 5, 6], 'sequence number');
    assert.deepEqual([...frame.subarray(19, 23)], [10, 11, 12, 13], 'epoch');
    assert.deepEqual([...frame.subarray(23)], [7, 1, 2, 3, 4], 'type, id');
    assert.equal(frameEpoch(frame), 0x0a0b0c0d);
  });

  test('a frame for a peer of version 4 has no epoch, and is read like any other', () => {
    const writer = new ByteWriter();
    openFrame(writer, 4);
    assert.equal(isFrameEmpty(writer, 4), true);
    writeStored(writer, 0x01020304);
    assert.equal(isFrameEmpty(writer, 4), false);
    const frame = sealFrame(writer, 0xabcdef01, 0x010203040506, 7);
    assert.deepEqual([...frame.subarray(0, 4)], [0, 0, 0, 24], 'length of the whole');
    assert.deepEqual([...frame.subarray(8, 13)], [4, 0xab, 0xcd, 0xef, 0x01], 'version, life');
    assert.deepEqual([...frame.subarray(13, 19)], [1, 2, 3, 4, 5, 6], 'sequence number');
    assert.deepEqual([...frame.subarray(19)], [7, 1, 2, 3, 4], 'type, id');
    checkFrame(frame);
    assert.equal(frameEpoch(frame), 0);
    const { calls, handler } = noting();
    decodeMessages(frame, 'n2', handler);
    assert.deepEqual(calls, [['stored', 'n2', 0x01020304]]);
  });

  test('a wrong length, a wrong checksum, another version', () => {
    const frame = sealed((writer) => writeStored(writer, 1));
    assert.throws(() => checkFrame(frame.subarray(0, frame.length - 1)), isCoded('protocol'));
    assert.throws(() => checkFrame(frame.subarray(0, 5)), isCoded('protocol'));
    assert.throws(() => checkFrame(new Uint8Array(0)), isCoded('protocol'));
    const flipped = new Uint8Array(frame);
    flipped[20]! ^= 1;
    assert.throws(() => checkFrame(flipped), isCoded('corrupt'));
    for (const version of [0, 1, 3, 6, 255]) {
      const writer = new ByteWriter();
      openFrame(writer, version);
      assert.throws(() => checkFrame(sealFrame(writer, 1, 1)), isCoded('protocol'), `version ${version}`);
    }
  });

  test('a header that ends within itself', () => {
    const writer = new ByteWriter();
    openFrame(writer, 4);
    const short = sealFrame(writer, 1, 1);
    short[8] = 5;
    writer.raw(short);
    assert.throws(() => checkFrame(sealFrame(writer, 1, 1)), isCoded('protocol'));
  });

  test('a frame of no messages is no error', () => {
    const { calls, handler } = noting();
    const frame = sealed(() => {});
    checkFrame(frame);
    decodeMessages(frame, 'n2', handler);
    assert.deepEqual(calls, []);
  });
});

/** Whether each frame, given as life and number, was taken. */
function taken(frames: readonly (readonly [number, number])[]): boolean[] {
  const order = new FrameOrder();
  return frames.map(([life, sequence]) => {
    const writer = new ByteWriter();
    openFrame(writer);
    return order.take(sealFrame(writer, life, sequence));
  });
}

/** What is known of the sender's life after each frame, given as life and number. */
function lives(
  frames: readonly (readonly [number, number])[],
  order: FrameOrder = new FrameOrder(),
): string[] {
  return frames.map(([life, sequence]) => {
    const writer = new ByteWriter();
    openFrame(writer);
    order.take(sealFrame(writer, life, sequence));
    if (order.isFirstOfLife) return order.isReborn ? 'reborn' : 'first';
    return order.isOfPastLife ? 'past' : 'present';
  });
}

describe('the order of frames', () => {
  test('the life met last is the present one, until another proves to be', () => {
    const order = new FrameOrder();
    const sent = [
      [7, 1],
      [8, 1],
      [7, 2],
      [8, 2],
      [9, 1],
      [8, 3],
    ] as const;
    // The first life ever met ends none.
    assert.deepEqual(lives(sent, order), ['first', 'reborn', 'past', 'present', 'reborn', 'past']);
    // 9 was a late one.
    order.confirm();
    assert.deepEqual(
      lives(
        [
          [8, 4],
          [9, 2],
        ],
        order,
      ),
      ['present', 'past'],
    );
  });

  test('numbers rise within a life, with gaps; what is doubled or late is turned away', () => {
    const sent = [
      [7, 1],
      [7, 2],
      [7, 2],
      [7, 9],
      [7, 3],
      [7, 9],
      [7, 2 ** 40],
      [7, 10],
    ] as const;
    assert.deepEqual(taken(sent), [true, true, false, true, false, false, true, false]);
  });

  test('each life has numbers of its own; frames of an ended one may be late, not doubled', () => {
    const sent = [
      [7, 500],
      [8, 3],
      [7, 500],
      [7, 499],
      [8, 3],
      [8, 4],
      [7, 501],
      [7, 501],
      [8, 4],
      [8, 5],
      [9, 0],
      [9, 0],
    ] as const;
    const fresh = [true, true, false, false, false, true, true, false, false, true, true, false];
    assert.deepEqual(taken(sent), fresh);
  });

  test('a late frame of a life nobody heard of silences nobody', () => {
    const sent = [
      [1, 10],
      [3, 10],
      [2, 99],
      [3, 11],
      [3, 12],
    ] as const;
    assert.deepEqual(taken(sent), [true, true, true, true, true]);
  });

  test('eight lives are remembered, those heard last', () => {
    const lives = Array.from({ length: 9 }, (_, i) => [i, 5] as const);
    assert.deepEqual(taken([...lives, lives[8]!, lives[1]!]).slice(9), [false, false]);
    assert.deepEqual(taken([...lives, lives[0]!]).slice(9), [true]);
  });
});

describe('messages', () => {
  test('every cut of a frame of many messages is a coded error or a shorter list, never anything else', () => {
    const frame = sealed((writer) => {
      writeRead(writer, 9, 100, false, 'some row key', new Uint8Array(20));
      writeStored(writer, 3);
      writer.blobEnd(writePongHead(writer, 4, 5));
    });
    for (let length = FRAME_HEADER_BYTES; length < frame.length; length++) {
      const { calls, handler } = noting();
      try {
        decodeMessages(frame.subarray(0, length), 'n2', handler);
      } catch (error) {
        assert.ok(isCoded('protocol')(error));
      }
      assert.ok(calls.length < 3);
    }
  });

  test('an unknown type is refused, after the messages before it', () => {
    const frame = sealed((writer) => {
      writeStored(writer, 3);
      writer.u8(19);
      writer.u32(1);
    });
    const { calls, handler } = noting();
    assert.throws(() => decodeMessages(frame, 'n2', handler), isCoded('protocol'));
    assert.equal(calls.length, 1);
  });

  test('a list that announces four thousand million rows allocates nothing', () => {
    const frame = sealed((writer) => {
      writer.u8(15);
      writer.u32(1);
      writer.u48(0);
      writer.u32(0xffff_ffff);
    });
    assert.throws(() => decodeMessages(frame, 'n2', noting().handler), isCoded('protocol'));
  });

  test('times are clamped to what the form can say, and are never zero', () => {
    for (const [given, said] of [
      [-5, 1],
      [0.2, 1],
      [17.2, 18],
      [1e9, 0xffff],
      [Number.POSITIVE_INFINITY, 0xffff],
    ] as const) {
      const { calls, handler } = noting();
      const frame = sealed((writer) => writeRead(writer, 1, given, true, 'k', new Uint8Array(20)));
      decodeMessages(frame, 'n2', handler);
      assert.equal(calls[0]![3], said);
    }
  });
});

describe('errors', () => {
  // As a record, so that the compiler asks for a code that is new: it needs a number on the wire.
  const known: Readonly<Record<ErrorCode, true>> = {
    'quorum-unreachable': true,
    'deadline-exceeded': true,
    overloaded: true,
    unavailable: true,
    'pair-too-large': true,
    'clock-offset': true,
    'storage-failed': true,
    'storage-full': true,
    corrupt: true,
    protocol: true,
    straggler: true,
    unsupported: true,
    siblings: true,
    'siblings-full': true,
    invalid: true,
  };
  const codes = Object.keys(known) as ErrorCode[];

  test('every code and outcome comes back', () => {
    for (const code of codes) {
      for (const outcome of ['fail', 'unknown', 'none'] as const) {
        const writer = new ByteWriter();
        writeError(writer, new CodedError(code, outcome, `what happened: ${code}`));
        const read = readError(new ByteReader(writer.view()));
        assert.deepEqual([read.code, read.outcome, read.message], [code, outcome, `what happened: ${code}`]);
      }
    }
  });

  test('a message too long or of odd chars travels in a plain form; an unknown outcome is unknown', () => {
    const writer = new ByteWriter();
    writeError(writer, new CodedError('invalid', 'none', `두레\n${'x'.repeat(70_000)}`));
    const read = readError(new ByteReader(writer.view()));
    assert.equal(read.message.length, 1000);
    assert.ok(read.message.startsWith('???x'));
    const odd = readError(new ByteReader(new Uint8Array([250, 250, 0, 0])));
    assert.deepEqual([odd.code, odd.outcome], ['protocol', 'unknown']);
  });
});
