import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { equalBytes, writeU32 } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { FRAME_BYTES_MAX } from '../../../src/wire/frame.ts';
import { FrameSplitter } from '../../../src/wire/frame-splitter.ts';

function frameOf(length: number, fill: number): Uint8Array {
  const frame = new Uint8Array(length).fill(fill);
  writeU32(frame, 0, length);
  return frame;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

describe('FrameSplitter', () => {
  it('gives the same frames however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 9, max: 300 }), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 20 }),
        (lengths, cuts) => {
          const frames = lengths.map((length, i) => frameOf(length, i + 1));
          const stream = concat(frames);
          const got: Uint8Array[] = [];
          const splitter = new FrameSplitter((frame) => got.push(frame));
          for (let at = 0, i = 0; at < stream.length; i++) {
            const end = Math.min(stream.length, at + cuts[i % cuts.length]!);
            splitter.push(stream.subarray(at, end));
            at = end;
          }
          assert.equal(got.length, frames.length);
          for (let i = 0; i < frames.length; i++) assert.ok(equalBytes(got[i]!, frames[i]!));
          assert.equal(splitter.bytesHeld, 0);
        },
      ),
    );
  });

  it('hands out a frame inside one chunk as a view of it', () => {
    const stream = concat([frameOf(9, 1), frameOf(30, 2)]);
    const got: Uint8Array[] = [];
    new FrameSplitter((frame) => got.push(frame)).push(stream);
    assert.ok(got.every((frame) => frame.buffer === stream.buffer));
  });

  it('does not allocate a declared length ahead', () => {
    const splitter = new FrameSplitter(() => assert.fail('no frame is complete'));
    const start = new Uint8Array(100);
    writeU32(start, 0, FRAME_BYTES_MAX);
    const before = process.memoryUsage().arrayBuffers;
    splitter.push(start);
    assert.equal(splitter.bytesHeld, 100);
    assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024);
  });

  it('copies a frame of many chunks in linear time', () => {
    const length = 16 * 1024 * 1024;
    const frame = new Uint8Array(length);
    writeU32(frame, 0, length);
    let got = 0;
    const splitter = new FrameSplitter((whole) => {
      got = whole.length;
    });
    const started = performance.now();
    for (let at = 0; at < length; at += 1024) splitter.push(frame.subarray(at, at + 1024));
    assert.equal(got, length);
    // Quadratic copying would move 128 GB here.
    assert.ok(performance.now() - started < 3000);
  });

  it('refuses impossible lengths', () => {
    for (const length of [0, 8, FRAME_BYTES_MAX + 1, 0xffffffff]) {
      const head = new Uint8Array(16);
      writeU32(head, 0, length);
      for (const cut of [2, 4, 16]) {
        const splitter = new FrameSplitter(() => assert.fail('no frame'));
        assert.throws(
          () => {
            splitter.push(head.subarray(0, cut));
            splitter.push(head.subarray(cut));
            splitter.push(new Uint8Array(1));
          },
          (error) => error instanceof CodedError && error.code === 'protocol',
        );
      }
    }
  });

  it('takes a limit changed within a frame for the next frame on', () => {
    const got: number[] = [];
    const splitter: FrameSplitter = new FrameSplitter((frame) => {
      got.push(frame.length);
      splitter.frameBytesMax = 1000;
    }, 20);
    splitter.push(concat([frameOf(20, 1), frameOf(900, 2)]));
    assert.deepEqual(got, [20, 900]);
  });
});
