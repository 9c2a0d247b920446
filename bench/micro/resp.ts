/**
 * Micro benchmarks of the Redis protocol codec. One iteration is one command or one reply; commands come
 * 16 to a chunk, as from a client that pipelines 16 deep.
 */

import { ByteWriter, bytesOf } from '../../src/base/bytes.ts';
import { encodeReply } from '../../src/resp/encoder.ts';
import { RequestParser } from '../../src/resp/parser.ts';
import { ReplyParser } from '../../src/resp/reply-parser.ts';
import { MapReply, OK, type RespValue } from '../../src/resp/value.ts';
import type { MicroBenchmark } from './benchmark.ts';

const pipeline = 16;
const key = 'key:000000000001';
const value = 'x'.repeat(1024);
const writerBytesMax = 64 * 1024;

function command(...words: string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}

/** Parses `iterations` commands, that many of them to a chunk as `pipeline` says. */
function parseRequests(text: string): MicroBenchmark['run'] {
  const chunk = bytesOf(text.repeat(pipeline));
  const parser = new RequestParser();
  return (iterations) => {
    let words = 0;
    for (let i = 0; i < iterations; i += pipeline) {
      parser.push(chunk);
      for (let args = parser.next(); args !== undefined; args = parser.next()) words += args.length;
    }
    if (words === 0) throw new Error('nothing was parsed');
  };
}

/** Parses commands of which each comes cut in two, as when large values fill the socket's buffer. */
function parseCutRequests(text: string): MicroBenchmark['run'] {
  const bytes = bytesOf(text);
  const head = bytes.subarray(0, bytes.length >> 1);
  const tail = bytes.subarray(bytes.length >> 1);
  const parser = new RequestParser();
  return (iterations) => {
    for (let i = 0; i < iterations; i++) {
      parser.push(head);
      if (parser.next() !== undefined) throw new Error('half a command was taken for a whole one');
      parser.push(tail);
      if (parser.next() === undefined) throw new Error('nothing was parsed');
    }
  };
}

function parseReplies(text: string): MicroBenchmark['run'] {
  const chunk = bytesOf(text.repeat(pipeline));
  const parser = new ReplyParser();
  return (iterations) => {
    let replies = 0;
    for (let i = 0; i < iterations; i += pipeline) {
      parser.push(chunk);
      while (parser.next() !== undefined) replies++;
    }
    if (replies === 0) throw new Error('nothing was parsed');
  };
}

function encode(reply: RespValue): MicroBenchmark['run'] {
  const writer = new ByteWriter(writerBytesMax);
  return (iterations) => {
    for (let i = 0; i < iterations; i++) {
      if (writer.length > writerBytesMax / 2) writer.length = 0;
      encodeReply(writer, reply, 3);
    }
  };
}

const get = command('GET', key);
const set = command('SET', key, value);
const bulk = `$${value.length}\r\n${value}\r\n`;

export const benchmarks: MicroBenchmark[] = [
  { name: 'resp: parse GET, pipeline 16', run: parseRequests(get), bytesPerIteration: get.length },
  { name: 'resp: parse SET 1 KiB, pipeline 16', run: parseRequests(set), bytesPerIteration: set.length },
  { name: 'resp: parse SET 1 KiB, cut in two', run: parseCutRequests(set), bytesPerIteration: set.length },
  { name: 'resp: parse inline PING', run: parseRequests('PING\r\n'), bytesPerIteration: 6 },
  { name: 'resp: encode bulk 1 KiB', run: encode(bytesOf(value)), bytesPerIteration: bulk.length },
  { name: 'resp: encode bulk 16 B', run: encode(bytesOf(key)), bytesPerIteration: 23 },
  { name: 'resp: encode OK', run: encode(OK), bytesPerIteration: 5 },
  { name: 'resp: encode integer', run: encode(1234), bytesPerIteration: 7 },
  { name: 'resp: encode null', run: encode(null), bytesPerIteration: 3 },
  { name: 'resp: encode map of 8', run: encode(new MapReply(Array.from('abcdefgh', (c, i) => [c, i]))) },
  { name: 'resp: parse reply OK', run: parseReplies('+OK\r\n'), bytesPerIteration: 5 },
  { name: 'resp: parse reply bulk 1 KiB', run: parseReplies(bulk), bytesPerIteration: bulk.length },
];
