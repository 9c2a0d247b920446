/** CRC-32, CRC-16 and Murmur3 give the numbers that others give for the same bytes. */

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import zlib from 'node:zlib';
import fc from 'fast-check';
import { byteString } from '../../../src/base/bytes.ts';
import { crc16 } from '../../../src/base/crc16.ts';
import { accelerateCrc32, type Crc32, crc32, crc32Short, crc32Text } from '../../../src/base/crc32.ts';
import { murmur3 } from '../../../src/base/murmur3.ts';

const fox = 'The quick brown fox jumps over the lazy dog';
const every = byteString(Uint8Array.from({ length: 256 }, (_, i) => i));
const table: Crc32 = (bytes, seed) => crc32Short(bytes, 0, bytes.length, seed);

afterEach(() => accelerateCrc32(table));

test('CRC-32: known numbers', () => {
  const known: [string, number][] = [
    ['', 0],
    ['a', 0xe8b7be43],
    ['123456789', 0xcbf43926],
    [fox, 0x414fa339],
    [every, 0x29058c73],
  ];
  for (const [text, expected] of known) {
    const bytes = Buffer.from(text, 'latin1');
    assert.equal(crc32(bytes), expected);
    assert.equal(crc32Short(bytes, 0, bytes.length, 0), expected);
    assert.equal(crc32Text(text), expected);
  }
});

test('CRC-32: every form equals that of zlib, in one go or continued', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, at) => {
      const cut = Math.min(at, bytes.length);
      const expected = zlib.crc32(bytes);
      assert.equal(crc32(bytes), expected);
      assert.equal(crc32Text(byteString(bytes)), expected);
      assert.equal(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut))), expected);
      assert.equal(crc32Short(bytes, cut, bytes.length, crc32Short(bytes, 0, cut, 0)), expected);
      assert.equal(crc32Text(byteString(bytes, cut), crc32(bytes.subarray(0, cut))), expected);
    }),
  );
});

test('CRC-32: a platform function is used when right and refused when wrong', () => {
  let calls = 0;
  accelerateCrc32((bytes, seed) => {
    calls++;
    return zlib.crc32(bytes, seed);
  });
  const callsToCheck = calls;
  assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926);
  assert.equal(calls, callsToCheck + 1);

  const wrong: Record<string, Crc32> = {
    'always zero': () => 0,
    'without the seed': (bytes) => zlib.crc32(bytes),
    'a signed number': (bytes, seed) => zlib.crc32(bytes, seed) | 0,
    'another polynomial': (bytes, seed) => crc16(byteString(bytes), seed),
    'blind to where a view begins': (bytes, seed) => zlib.crc32(new Uint8Array(bytes.buffer), seed),
    'wrong for no bytes': (bytes, seed) => (bytes.length === 0 ? 0 : zlib.crc32(bytes, seed)),
    'wrong for the seed 0': (bytes, seed) => zlib.crc32(bytes, seed === 0 ? 1 : seed),
  };
  for (const [name, platform] of Object.entries(wrong)) {
    assert.throws(() => accelerateCrc32(platform), { name: 'AssertionError' }, name);
    assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926, `${name}: the right one stays`);
  }
});

test('CRC-16: known numbers, in whole and in part', () => {
  assert.equal(crc16('123456789'), 0x31c3, 'from the Redis Cluster specification');
  assert.equal(crc16(''), 0);
  assert.equal(crc16('A'), 0x58e5);
  assert.equal(crc16('foo'), 0xaf96);
  assert.equal(crc16(every), 0x7e55);
  assert.equal(crc16('{123456789}x', 1, 10), 0x31c3);
});

test('Murmur3: known numbers', () => {
  const known: [string, number, number][] = [
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['\xff\xff\xff\xff', 0, 0x76293b50],
    ['!Ce\x87', 0, 0xf55b516b],
    ['!Ce\x87', 0x5082edee, 0x2362f9de],
    ['!Ce', 0, 0x7e4a8634],
    ['!C', 0, 0xa0f7b07a],
    ['!', 0, 0x72661cf4],
    ['\0\0\0\0', 0, 0x2362f9de],
    ['\0\0\0', 0, 0x85f0b427],
    ['aaaa', 0x9747b28c, 0x5a97808a],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    [fox, 0x9747b28c, 0x2fa826cd],
  ];
  for (const [text, seed, expected] of known)
    assert.equal(murmur3(text, seed), expected, JSON.stringify(text));
});
