/** Relays: who is told that somebody was heard, for how long, and how many are remembered. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Relays } from '../../../src/membership/relays.ts';

test('whoever asked is told once, and only within two seconds', () => {
  const relays = new Relays();
  relays.asked(1, 9, 0);
  relays.asked(1, 9, 10);
  relays.asked(2, 9, 20);
  relays.asked(3, 8, 30);
  assert.deepEqual(relays.answered(9, 100), [1, 2]);
  assert.deepEqual(relays.answered(9, 100), []);
  assert.ok(relays.waits, 'somebody waits for 8');
  assert.deepEqual(relays.answered(8, 2031), []);
  assert.ok(!relays.waits);
});

test('the oldest are forgotten beyond the bound, and all when members are numbered anew', () => {
  const relays = new Relays();
  for (let asker = 0; asker < 300; asker++) relays.asked(asker, 9, 0);
  const told = relays.answered(9, 1);
  assert.equal(told.length, 256);
  assert.equal(told[0], 44);
  relays.asked(1, 9, 2);
  relays.clear();
  assert.deepEqual(relays.answered(9, 3), []);
});
