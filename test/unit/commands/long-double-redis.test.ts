/** Long doubles: sums and refusals as Redis 7.0.15 gives them on x86-64 (recorded from INCRBYFLOAT). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addLongDoubles, formatLongDouble, parseLongDouble } from '../../../src/commands/long-double.ts';

/** What INCRBYFLOAT answers. */
function sum(a: string, b: string): string {
  const left = parseLongDouble(a);
  const right = parseLongDouble(b);
  if (left === undefined || right === undefined) return 'no float';
  const value = addLongDoubles(left, right);
  return value === undefined ? 'not finite' : formatLongDouble(value);
}

test('sums', () => {
  const sums: [string, string, string][] = [
    ['0.1', '0.2', '0.3'],
    ['1', '-1.1', '-0.1'],
    ['10.5', '0.1', '10.6'],
    ['5.0e3', '2.0e2', '5200'],
    ['17179869184', '1.5', '17179869185.5'],
    ['3', '0.0000000000000000005', '3'],
    ['666.3530', '3e-4951', '666.35299999999999998'],
    ['316.36829', '0', '316.36829000000000001'],
    ['+780', '.5', '780.5'],
    ['-.5', '.5', '0'],
    ['-0', '-0', '0'],
    ['0e99999', '1.', '1'],
    ['-1e-18', '-1e-18', '0'],
    ['1e30', '0.1', '1000000000000000000024696061952'],
    ['18446744073709551616', '1', '18446744073709551616'],
    ['18446744073709551615', '-1', '18446744073709551614'],
  ];
  for (const [a, b, expected] of sums) assert.equal(sum(a, b), expected, `${a} + ${b}`);
});

test('refusals', () => {
  for (const text of [
    '',
    '.',
    'e5',
    '1e',
    '1 ',
    ' 1',
    '--1',
    '+',
    'nan',
    'abc',
    '1.2.3',
    '1e4933',
    '1e-5000',
  ]) {
    assert.equal(sum(text, '1'), 'no float', text);
  }
  assert.equal(sum(`0.${'1'.repeat(5 * 1024)}`, '1'), 'no float');
  for (const text of ['inf', '-inf', '+Infinity']) assert.equal(sum(text, '1'), 'not finite', text);
  assert.equal(sum('inf', '-inf'), 'not finite');
  assert.equal(sum('1.1e4932', '1.1e4932'), 'not finite');
  assert.equal(sum('3e-4951', '1'), '1');
});

test('integers up to 64 bits are added exactly', () => {
  const integer = fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n });
  fc.assert(
    fc.property(integer, integer, (a, b) => assert.equal(sum(String(a), String(b)), String(a + b))),
    { numRuns: 1000 },
  );
});

test('small decimals are added as on paper', () => {
  // Above 8 the 64 bits no longer hold 17 decimals exactly, and Redis shows it.
  const millionths = fc.integer({ min: -4_000_000, max: 4_000_000 });
  const written = (value: number) => `${value}e-6`;
  fc.assert(
    fc.property(millionths, millionths, (a, b) => {
      const text = sum(written(a), written(b));
      assert.equal(Math.round(Number(text) * 1e6), a + b);
      assert.match(text, /^-?\d+(\.\d{0,5}[1-9])?$/);
    }),
    { numRuns: 1000 },
  );
});
