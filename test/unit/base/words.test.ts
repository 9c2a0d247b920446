import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesWords, countWords, durationWords, plural } from '../../../src/base/words.ts';

test('counts with their thousands apart', () => {
  for (const [count, words] of [
    [0, '0'],
    [999, '999'],
    [1000, '1,000'],
    [12_345_678, '12,345,678'],
    [-1234, '-1,234'],
  ] as const) {
    assert.equal(countWords(count), words);
  }
});

test('a count and its noun', () => {
  assert.equal(plural(0, 'row'), 'no rows');
  assert.equal(plural(1, 'row'), '1 row');
  assert.equal(plural(1200, 'row'), '1,200 rows');
  assert.equal(plural(2, 'row waits', 'rows wait'), '2 rows wait');
});

test('bytes in binary units, three digits at most', () => {
  for (const [bytes, words] of [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [123 * 1024 * 1024, '123 MiB'],
    [1023.99 * 1024 * 1024, '1.0 GiB'],
    [2 ** 40, '1.0 TiB'],
  ] as const) {
    assert.equal(bytesWords(bytes), words);
  }
});

test('durations in their two greatest units', () => {
  for (const [ms, words] of [
    [-5, '0ms'],
    [0, '0ms'],
    [850, '850ms'],
    [999.7, '1.0s'],
    [3240, '3.2s'],
    [42_000, '42s'],
    [59_600, '1m'],
    [200_000, '3m 20s'],
    [3_599_700, '1h'],
    [3_600_000, '1h'],
    [5 * 3_600_000 + 125_000, '5h 2m'],
    [86_400_000, '1d'],
    [86_399_000, '1d'],
    [12.2 * 86_400_000, '12d 5h'],
  ] as const) {
    assert.equal(durationWords(ms), words, `${ms} ms`);
  }
});
