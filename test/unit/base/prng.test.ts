/** The seeded generator: the same numbers for a seed for ever, within bounds, and forks of their own. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Prng } from '../../../src/base/prng.ts';

const take = (prng: Prng, count: number): number[] => Array.from({ length: count }, () => prng.u32());
const seed = fc.maxSafeNat();

test('the first numbers of a seed never change', () => {
  // From sfc32 written anew in Python: a change here would make every recorded seed another run.
  assert.deepEqual(take(new Prng(1), 5), [0x8995da7f, 0x74442f2c, 0x151a22dd, 0x27696991, 0xa708dad3]);
  assert.deepEqual(
    take(new Prng(2 ** 53 - 1), 5),
    [0xf3a89be6, 0x077bfc98, 0x76d8b9d4, 0x7028f8aa, 0x7cfa0e4],
  );
});

test('one seed gives one sequence; another gives another', () => {
  fc.assert(
    fc.property(seed, seed, (a, b) => {
      assert.deepEqual(take(new Prng(a), 20), take(new Prng(a), 20));
      if (a !== b) assert.notDeepEqual(take(new Prng(a), 20), take(new Prng(b), 20));
    }),
  );
  assert.notDeepEqual(take(new Prng(1), 4), take(new Prng(1 + 2 ** 32), 4), 'the high bits of a seed count');
});

test('numbers lie within their bounds', () => {
  fc.assert(
    fc.property(
      seed,
      fc.integer({ min: 1, max: 2 ** 32 }),
      fc.integer({ min: -1000, max: 1000 }),
      (s, bound, low) => {
        const prng = new Prng(s);
        for (let i = 0; i < 50; i++) {
          const below = prng.below(bound);
          assert.ok(Number.isInteger(below) && below >= 0 && below < bound);
          const between = prng.between(low, low + 3);
          assert.ok(Number.isInteger(between) && between >= low && between <= low + 3);
          const unit = prng.unit();
          assert.ok(unit >= 0 && unit < 1);
          assert.ok(['a', 'b'].includes(prng.pick(['a', 'b'])));
        }
        assert.equal(prng.chance(0), false);
        assert.equal(prng.chance(1), true);
      },
    ),
  );
});

test('values are spread evenly', () => {
  const prng = new Prng(42);
  const counts = new Array<number>(16).fill(0);
  const draws = 64_000;
  for (let i = 0; i < draws; i++) counts[prng.below(16)]!++;
  const expected = draws / 16;
  const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  // 15 degrees of freedom: above 37.7 once in a thousand seeds; this seed is fixed.
  assert.ok(chiSquare < 37.7, `chi-square ${chiSquare}`);
  assert.deepEqual([...new Set(Array.from({ length: 200 }, () => prng.between(1, 3)))].sort(), [1, 2, 3]);
});

test('a fork goes its own way: drawing from it does not change the parent', () => {
  const quiet = new Prng(7);
  const busy = new Prng(7);
  quiet.fork();
  const fork = busy.fork();
  const drawn = take(fork, 100);
  assert.deepEqual(take(quiet, 20), take(busy, 20));
  assert.deepEqual(take(new Prng(7).fork(), 100), drawn, 'and is as repeatable');
  assert.notDeepEqual(take(new Prng(7), 100), drawn);
});
