/** Numbers in bytes: the strict integers of Redis, and doubles. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import {
  fitsInteger64,
  formatDouble,
  formatFloatHuman,
  parseDouble,
  parseInteger,
  parseInteger64,
  parseSafeInteger,
  writeDigits,
} from '../../../src/resp/number.ts';

test('integers: what Redis takes', () => {
  const taken: [string, number | bigint][] = [
    ['0', 0],
    ['1', 1],
    ['-1', -1],
    ['999999999999999', 999999999999999],
    ['1000000000000000', 1000000000000000],
    ['9007199254740991', 9007199254740991],
    ['9007199254740992', 9007199254740992n],
    ['-9007199254740991', -9007199254740991],
    ['9223372036854775807', 9223372036854775807n],
    ['-9223372036854775808', -9223372036854775808n],
  ];
  for (const [text, value] of taken) {
    assert.equal(parseInteger(bytesOf(text)), value, text);
    assert.equal(parseInteger64(bytesOf(text)), BigInt(value), text);
    assert.equal(parseSafeInteger(bytesOf(text)), typeof value === 'number' ? value : undefined, text);
  }
  assert.equal(parseInteger(bytesOf('a12b'), 1, 3), 12);
});

test('integers: what Redis refuses', () => {
  const refused = [
    ...['', '-', '+1', '01', '-01', '-0', '00', ' 1', '1 ', '1.0', '1e3', '0x10', 'abc', '--1', '1-'],
    ...['9223372036854775808', '-9223372036854775809', '99999999999999999999', '1234567890123456a'],
    ...['12345678a0123456', '\x001', '1\x00'],
  ];
  for (const text of refused) {
    assert.equal(parseInteger(bytesOf(text)), undefined, JSON.stringify(text));
    assert.equal(parseInteger64(bytesOf(text)), undefined, JSON.stringify(text));
  }
});

test('integers: 64 bits', () => {
  assert.equal(fitsInteger64(2n ** 63n - 1n), true);
  assert.equal(fitsInteger64(2n ** 63n), false);
  assert.equal(fitsInteger64(-(2n ** 63n)), true);
  assert.equal(fitsInteger64(-(2n ** 63n) - 1n), false);
});

test('digits at each length', () => {
  const values = [0, 7, 2 ** 31 - 1];
  for (let power = 10; power <= 1e9; power *= 10) values.push(power - 1, power, power + 1);
  for (const value of values) {
    const out = new Uint8Array(12);
    const end = writeDigits(out, 1, value);
    assert.deepEqual(out.subarray(1, end), bytesOf(String(value)));
    assert.equal(out[end], 0);
  }
});

test('doubles: read', () => {
  const taken: [string, number][] = [
    ['1.5', 1.5],
    ['-.5', -0.5],
    ['+3', 3],
    ['3.', 3],
    ['5.0e3', 5000],
    ['1E-3', 0.001],
    ['inf', Infinity],
    ['-Infinity', -Infinity],
  ];
  for (const [text, value] of taken) assert.equal(parseDouble(text), value, text);
  for (const text of ['', '.', 'e3', '1e', ' 1', '1 ', '1_0', 'nan', '1.5abc', '1e999', '0x1', '1,5']) {
    assert.equal(parseDouble(text), undefined, text);
  }
});

test('doubles: written', () => {
  const shortest: [number, string][] = [
    [1.5, '1.5'],
    [-0, '-0'],
    [1e21, '1e+21'],
    [Infinity, 'inf'],
    [-Infinity, '-inf'],
    [Number.NaN, 'nan'],
  ];
  for (const [value, text] of shortest) assert.equal(formatDouble(value), text);
  const human: [number, string][] = [
    [0, '0'],
    [-0, '0'],
    [3, '3'],
    [-10.5, '-10.5'],
    [1e21, '1000000000000000000000'],
    [-1.25e22, '-12500000000000000000000'],
    [1e-7, '0.0000001'],
    [-1.5e-9, '-0.0000000015'],
    [5e-324, `0.${'0'.repeat(323)}5`],
  ];
  for (const [value, text] of human) assert.equal(formatFloatHuman(value), text);
});
