import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Histogram } from '../../../src/base/histogram.ts';

test('a percentile is never below the true one, and at most an eighth above', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.nat(100), fc.nat(100_000), fc.nat(2 ** 31 - 1)), { minLength: 1, maxLength: 200 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, quantile) => {
        const histogram = new Histogram();
        for (const value of values) histogram.record(value);
        const sorted = values.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(quantile * sorted.length)) - 1]!;
        const told = histogram.percentile(quantile);
        assert.ok(told >= exact && told <= exact * 1.125, `${told} for ${exact}`);
        assert.equal(histogram.max, sorted.at(-1));
        assert.equal(
          histogram.sum,
          values.reduce((sum, value) => sum + value, 0),
        );
        assert.equal(histogram.countUpTo(2 ** 32), values.length);
        assert.ok(histogram.countUpTo(exact) <= values.filter((value) => value <= exact).length);
      },
    ),
  );
});

test('many at once, what is out of range, and a reset', () => {
  const histogram = new Histogram();
  assert.equal(histogram.percentile(0.99), 0);
  histogram.record(10.7, 99);
  histogram.record(-5);
  histogram.record(1e15);
  assert.equal(histogram.total, 101);
  assert.equal(histogram.percentile(0.5), 10);
  assert.equal(histogram.percentile(1), 2 ** 32 - 1);
  assert.equal(histogram.percentile(0), 0);
  histogram.reset();
  assert.deepEqual([histogram.total, histogram.sum, histogram.max], [0, 0, 0]);
  assert.equal(histogram.percentile(1), 0);
});
