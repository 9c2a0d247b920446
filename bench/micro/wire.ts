/**
 * Micro benchmarks of the wire: what a message costs to write and to read back, and what a frame costs
 * to seal and to check. One iteration is one message, or one frame where the name says so.
 */

import zlib from 'node:zlib';
import { ByteWriter, bytesOf } from '../../src/base/bytes.ts';
import { accelerateCrc32 } from '../../src/base/crc32.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { encodeRow, KIND_STRING, rowStamp, STAMP_BYTES } from '../../src/rows/row.ts';
import { checkFrame, openFrame, sealFrame } from '../../src/wire/frame.ts';
import {
  decodeMessages,
  type MessageHandler,
  writeRead,
  writeStored,
  writeWrite,
} from '../../src/wire/messages.ts';
import type { MicroBenchmark } from './benchmark.ts';

const rowKey = rowKeyOf('key:000000000001');
const pairBytes = 1024;
const row = encodeRow(
  rowKey,
  { kind: KIND_STRING, value: bytesOf('x'.repeat(pairBytes)), expireAt: 0 },
  { time: 1_700_000_000_000, logical: 3, actor: 0x1234_5678_9abc, counter: 42 },
);
const stamp = rowStamp(row);
const messagesPerFrame = 16;

/** Counts what it is told, so that nothing is optimised away. */
class Counter {
  messages = 0;
  bytes = 0;
  read(_peer: string, _id: number, _timeoutMs: number, _stampOnly: boolean, key: string): void {
    this.messages++;
    this.bytes += key.length + STAMP_BYTES;
  }
  write(_peer: string, _id: number, key: string, written: Uint8Array): void {
    this.messages++;
    this.bytes += key.length + written.length;
  }
  stored(): void {
    this.messages++;
  }
}

/** Writes frames of 16 messages, seals, checks and reads them, `iterations` messages in all. */
function throughFrames(write: (writer: ByteWriter, id: number) => void): MicroBenchmark['run'] {
  return (iterations) => {
    accelerateCrc32(zlib.crc32);
    const writer = new ByteWriter(64 * 1024);
    const counter = new Counter();
    const handler = counter as unknown as MessageHandler<string>;
    for (let done = 0; done < iterations; done += messagesPerFrame) {
      openFrame(writer);
      for (let i = 0; i < messagesPerFrame; i++) write(writer, done + i);
      const frame = sealFrame(writer, 1, done + 1);
      checkFrame(frame);
      decodeMessages(frame, 'n2', handler);
    }
    if (counter.messages < iterations) throw new Error('messages were lost');
  };
}

function decodeOnly(write: (writer: ByteWriter, id: number) => void): MicroBenchmark['run'] {
  const writer = new ByteWriter(64 * 1024);
  openFrame(writer);
  for (let i = 0; i < messagesPerFrame; i++) write(writer, i + 1);
  const frame = sealFrame(writer, 1, 1);
  return (iterations) => {
    const counter = new Counter();
    const handler = counter as unknown as MessageHandler<string>;
    for (let done = 0; done < iterations; done += messagesPerFrame) decodeMessages(frame, 'n2', handler);
    if (counter.messages < iterations) throw new Error('messages were lost');
  };
}

function sealAndCheck(messages: number): MicroBenchmark['run'] {
  return (iterations) => {
    accelerateCrc32(zlib.crc32);
    const writer = new ByteWriter(64 * 1024);
    for (let done = 0; done < iterations; done++) {
      openFrame(writer);
      for (let i = 0; i < messages; i++) writeWrite(writer, i, rowKey, row);
      checkFrame(sealFrame(writer, 1, done + 1));
    }
  };
}

const writeRow = (writer: ByteWriter, id: number): void => writeWrite(writer, id, rowKey, row);
const askRow = (writer: ByteWriter, id: number): void => writeRead(writer, id, 1000, false, rowKey, stamp);

export const benchmarks: MicroBenchmark[] = [
  {
    name: 'wire: WRITE 1 KiB, there and back, 16 a frame',
    run: throughFrames(writeRow),
    bytesPerIteration: row.length,
  },
  { name: 'wire: READ, there and back, 16 a frame', run: throughFrames(askRow) },
  { name: 'wire: STORED, there and back, 16 a frame', run: throughFrames(writeStored) },
  { name: 'wire: WRITE 1 KiB, decode', run: decodeOnly(writeRow), bytesPerIteration: row.length },
  { name: 'wire: READ, decode', run: decodeOnly(askRow) },
  {
    name: 'wire: frame of one WRITE 1 KiB, fill, seal, check',
    run: sealAndCheck(1),
    bytesPerIteration: row.length,
  },
  {
    name: 'wire: frame of 16 WRITE 1 KiB, fill, seal, check',
    run: sealAndCheck(16),
    bytesPerIteration: 16 * row.length,
  },
];
