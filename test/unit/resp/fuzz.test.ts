/** A million fuzzed inputs for the request parser; see test/fuzz/resp-fuzz.ts. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzRequests } from '../../fuzz/resp-fuzz.ts';

const count = 1_000_000;
/** Each run draws another seed; `RESP_FUZZ_SEED` repeats one. */
const seed = Number(process.env.RESP_FUZZ_SEED ?? Date.now() % 1_000_000_000);

test(`${count} inputs, split anywhere: the same commands and errors (seed ${seed})`, () => {
  const result = fuzzRequests(count, seed);
  assert.equal(result.inputs, count);
  assert.ok(result.commands > count / 2, 'most inputs are to hold a command');
  assert.equal(result.errors.size, 11, `every error is to be met: ${[...result.errors.keys()]}`);
  for (const [error, times] of result.errors) assert.ok(times > 100, `${error} was met only ${times} times`);
});
