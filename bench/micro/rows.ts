/**
 * Micro benchmarks of rows: what each write and each read of a row costs before any network or disk.
 * One iteration is one row.
 */

import zlib from 'node:zlib';
import { byteString, bytesOf } from '../../src/base/bytes.ts';
import { accelerateCrc32, type Crc32, crc32Short } from '../../src/base/crc32.ts';
import { elementRowKeyOf, rowKeyOf, rowKeyUserKey } from '../../src/rows/key.ts';
import { mergeRows } from '../../src/rows/merge.ts';
import { encodeRow, isRowIntact, KIND_STRING, type RowBody, type StampParts } from '../../src/rows/row.ts';
import type { MicroBenchmark } from './benchmark.ts';

const key = 'key:000000000001';
const rowKey = rowKeyOf(key);
const pairBytes = 1024;
const body: RowBody = { kind: KIND_STRING, value: bytesOf('x'.repeat(pairBytes)), expireAt: 0 };
const short: RowBody = { kind: KIND_STRING, value: bytesOf('x'.repeat(16)), expireAt: 0 };

function stampAt(time: number): StampParts {
  return { time: 1_700_000_000_000 + time, logical: 3, actor: 0x1234_5678_9abc, counter: 42 };
}

const crcTable: Crc32 = (bytes, seed) => crc32Short(bytes, 0, bytes.length, seed);

/** Runs `loop` with one CRC-32 or the other; the choice is for the whole process, so it is set each time. */
function withCrc(crc: Crc32, loop: MicroBenchmark['run']): MicroBenchmark['run'] {
  return (iterations) => {
    accelerateCrc32(crc);
    loop(iterations);
  };
}

function encode(what: RowBody): MicroBenchmark['run'] {
  const stamp = stampAt(0);
  return (iterations) => {
    let bytes = 0;
    for (let i = 0; i < iterations; i++) bytes += encodeRow(rowKey, what, stamp).length;
    if (bytes === 0) throw new Error('nothing was encoded');
  };
}

function check(what: RowBody): MicroBenchmark['run'] {
  const row = encodeRow(rowKey, what, stampAt(0));
  return (iterations) => {
    for (let i = 0; i < iterations; i++) if (!isRowIntact(rowKey, row)) throw new Error('the row is damaged');
  };
}

/** Merges pairs of rows in turn, of which now the one and now the other is newer. */
function merge(timeStep: number): MicroBenchmark['run'] {
  const rows = Array.from({ length: 16 }, (_, i) =>
    encodeRow(rowKey, body, stampAt(((i * 7) % 16) * timeStep)),
  );
  return (iterations) => {
    let wins = 0;
    for (let i = 0; i < iterations; i++) {
      const first = rows[i & 15]!;
      if (mergeRows(rowKey, first, rows[(i + 5) & 15]!) === first) wins++;
    }
    if (wins === 0) throw new Error('nothing was merged');
  };
}

const keys = Array.from({ length: 1024 }, (_, i) => `key:${String(i).padStart(12, '0')}`);
const keysWithZeros = keys.map((each) => each.replace(':', '\0'));

function toRowKeys(of: readonly string[], make: (key: string) => string): MicroBenchmark['run'] {
  return (iterations) => {
    let chars = 0;
    // A char is read, because a joined string is only built when somebody looks into it.
    for (let i = 0; i < iterations; i++) chars += make(of[i & 1023]!).charCodeAt(7);
    if (chars === 0) throw new Error('no row key was made');
  };
}

function backToKeys(of: readonly string[]): MicroBenchmark['run'] {
  const rowKeys = of.map((each) => byteString(bytesOf(rowKeyOf(each))));
  return (iterations) => {
    let chars = 0;
    for (let i = 0; i < iterations; i++) chars += rowKeyUserKey(rowKeys[i & 1023]!).length;
    if (chars === 0) throw new Error('no key was read');
  };
}

const platform: Crc32 = zlib.crc32;
const bytesPerIteration = pairBytes;

export const benchmarks: MicroBenchmark[] = [
  { name: 'rows: encode 1 KiB', run: withCrc(platform, encode(body)), bytesPerIteration },
  { name: 'rows: encode 1 KiB, table CRC', run: withCrc(crcTable, encode(body)), bytesPerIteration },
  { name: 'rows: encode 16 B', run: withCrc(platform, encode(short)), bytesPerIteration: 16 },
  { name: 'rows: check 1 KiB', run: withCrc(platform, check(body)), bytesPerIteration },
  { name: 'rows: check 1 KiB, table CRC', run: withCrc(crcTable, check(body)), bytesPerIteration },
  { name: 'rows: check 16 B', run: withCrc(platform, check(short)), bytesPerIteration: 16 },
  { name: 'rows: merge, stamps differ', run: merge(1) },
  { name: 'rows: merge, equal stamps and bytes', run: merge(0), bytesPerIteration },
  { name: 'rows: row key of a key', run: toRowKeys(keys, rowKeyOf) },
  { name: 'rows: row key of a key with a zero byte', run: toRowKeys(keysWithZeros, rowKeyOf) },
  { name: 'rows: row key of an element', run: toRowKeys(keys, (each) => elementRowKeyOf(each, 'field')) },
  { name: 'rows: key of a row key', run: backToKeys(keys) },
];
