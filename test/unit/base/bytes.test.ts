/** Bytes go round: byte strings, UTF-8, byte order, and what a writer writes a reader reads. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ByteReader,
  ByteWriter,
  byteString,
  bytesOf,
  compareBytes,
  equalBytes,
  readU32,
  readU48,
  utf8Bytes,
  utf8Text,
  writeU32,
  writeU48,
} from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';

const u48Max = 2 ** 48 - 1;
const anyBytes = fc.uint8Array({ maxLength: 300, size: 'max' });

test('bytes → byte string → bytes', () => {
  fc.assert(
    fc.property(anyBytes, fc.nat(40), fc.nat(40), (bytes, start, cut) => {
      const text = byteString(bytes);
      assert.equal(text.length, bytes.length);
      assert.deepEqual(bytesOf(text), bytes);
      const end = Math.max(start, bytes.length - cut);
      if (end <= bytes.length) assert.equal(byteString(bytes, start, end), text.slice(start, end));
    }),
  );
  const every = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(bytesOf(byteString(every)), every);
});

test('byte strings compare as their bytes do', () => {
  fc.assert(
    fc.property(anyBytes, anyBytes, (a, b) => {
      const byText = byteString(a) < byteString(b) ? -1 : byteString(a) > byteString(b) ? 1 : 0;
      assert.equal(Math.sign(compareBytes(a, b)), byText);
      assert.equal(Math.sign(compareBytes(a, b)), Math.sign(Buffer.compare(a, b)));
      assert.equal(equalBytes(a, b), byText === 0);
    }),
  );
});

test('UTF-8 goes round, and malformed bytes become U+FFFD', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => utf8Text(utf8Bytes(text)) === text));
  assert.equal(utf8Text(Uint8Array.of(0x61, 0xff, 0x62)), 'a\ufffdb');
});

test('big-endian integers go round and sort as bytes in numeric order', () => {
  const cases = [0, 1, 0x7f, 0x80, 0xffff, 0x10000, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
  const wide = [...cases, 2 ** 32, 2 ** 40 + 1, 2 ** 47, u48Max];
  const encode32 = (value: number): Uint8Array => {
    const bytes = new Uint8Array(4);
    writeU32(bytes, 0, value);
    return bytes;
  };
  const encode48 = (value: number): Uint8Array => {
    const bytes = new Uint8Array(6);
    writeU48(bytes, 0, value);
    return bytes;
  };
  for (const value of cases) assert.equal(readU32(encode32(value), 0), value);
  for (const value of wide) assert.equal(readU48(encode48(value), 0), value);
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (x, y) => {
      const [a, b] = [x % (u48Max + 1), y % (u48Max + 1)];
      assert.equal(readU48(encode48(a), 0), a);
      assert.equal(Buffer.from(encode48(a)).readUIntBE(0, 6), a);
      assert.equal(Math.sign(compareBytes(encode48(a), encode48(b))), Math.sign(a - b));
    }),
  );
});

type Item = readonly [
  'u8' | 'u16' | 'u32' | 'u48' | 'f64' | 'raw' | 'blob' | 'text' | 'rawText',
  number | Uint8Array | string,
];

const item: fc.Arbitrary<Item> = fc.oneof(
  fc.tuple(fc.constant('u8' as const), fc.nat(0xff)),
  fc.tuple(fc.constant('u16' as const), fc.nat(0xffff)),
  fc.tuple(fc.constant('u32' as const), fc.nat(0xffff_ffff)),
  fc.tuple(
    fc.constant('u48' as const),
    fc.maxSafeNat().map((value) => value % (u48Max + 1)),
  ),
  fc.tuple(fc.constant('f64' as const), fc.double()),
  fc.tuple(fc.constant('raw' as const), anyBytes),
  fc.tuple(fc.constant('blob' as const), anyBytes),
  fc.tuple(
    fc.constant('text' as const),
    anyBytes.map((bytes) => byteString(bytes)),
  ),
  fc.tuple(
    fc.constant('rawText' as const),
    anyBytes.map((bytes) => byteString(bytes)),
  ),
);

function write(writer: ByteWriter, items: readonly Item[]): void {
  for (const [kind, value] of items) (writer[kind] as (value: unknown) => void)(value);
}

function readBack(reader: ByteReader, items: readonly Item[]): unknown[] {
  return items.map(([kind, value]) => {
    if (kind === 'raw') return reader.raw((value as Uint8Array).length);
    if (kind === 'rawText') return byteString(reader.raw((value as string).length));
    return reader[kind]();
  });
}

test('what is written is read back, whatever the capacity and wherever the bytes lie', () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 30 }), fc.nat(64), fc.nat(9), (items, capacity, offset) => {
      const writer = new ByteWriter(capacity);
      write(writer, items);
      const written = writer.take();
      const moved = new Uint8Array(written.length + offset + 5);
      moved.set(written, offset);
      const reader = new ByteReader(moved.subarray(offset), 0, written.length);
      const expected = items.map(([, value]) => value);
      assert.deepEqual(readBack(reader, items), expected);
      assert.equal(reader.remaining, 0);
    }),
  );
});

test('a message cut anywhere is a coded error, and nothing is read past the end', () => {
  const cutShort = (error: unknown): boolean => error instanceof CodedError && error.code === 'protocol';
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 10 }), fc.nat(), (items, at) => {
      const writer = new ByteWriter();
      write(writer, items);
      const whole = writer.take();
      fc.pre(whole.length > 0);
      // The bytes are there, but beyond the reader's end.
      const reader = new ByteReader(whole, 0, at % whole.length);
      assert.throws(() => readBack(reader, items), cutShort);
      assert.ok(reader.offset <= reader.end);
    }),
  );
  const absurd = new ByteReader(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1));
  assert.throws(() => absurd.blob(), cutShort);
  for (const kind of ['u8', 'u16', 'u32', 'u48', 'f64', 'blob', 'text'] as const) {
    assert.throws(() => new ByteReader(new Uint8Array(0))[kind](), cutShort, kind);
  }
});

test('what a writer handed out is never written again', () => {
  const writer = new ByteWriter(8);
  writer.u32(0x01020304);
  const first = writer.take();
  writer.u32(0xffffffff);
  assert.deepEqual(first, Uint8Array.of(1, 2, 3, 4));
  assert.deepEqual(writer.view(), Uint8Array.of(255, 255, 255, 255));
  assert.equal(writer.length, 4);
});

test('a byte string too long for its length is a bug, not a short message', () => {
  const writer = new ByteWriter();
  writer.text('x'.repeat(65_535));
  assert.throws(() => writer.text('x'.repeat(65_536)), { name: 'AssertionError' });
});
