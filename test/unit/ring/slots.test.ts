/** Slots against the values Redis Cluster gives (`CLUSTER KEYSLOT`). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SLOT_COUNT, slotOf } from '../../../src/ring/slots.ts';

const VECTORS: readonly (readonly [string, number])[] = [
  ['123456789', 12739],
  ['foo', 12182],
  ['bar', 5061],
  ['hello', 866],
  ['', 0],
];

test('known keys have the slots Redis gives them', () => {
  for (const [key, slot] of VECTORS) assert.equal(slotOf(key), slot, key);
});

test('a hash tag alone decides', () => {
  assert.equal(slotOf('{user1000}.following'), slotOf('user1000'));
  assert.equal(slotOf('{user1000}.following'), slotOf('{user1000}.followers'));
  assert.equal(slotOf('a{foo}b{bar}'), slotOf('foo'));
});

test('the tag ends at the first closing brace after the first opening one', () => {
  assert.equal(slotOf('foo{{bar}}zap'), slotOf('{bar'));
  assert.equal(slotOf('foo{bar'), slotOf('foo{bar') % SLOT_COUNT);
  assert.notEqual(slotOf('foo{bar'), slotOf('bar'));
  assert.equal(slotOf('}{foo}'), slotOf('foo'));
});

test('an empty tag is no tag: the whole key counts', () => {
  assert.equal(slotOf('foo{}{bar}'), 8363);
  assert.notEqual(slotOf('{}a'), slotOf('{}b'));
  assert.notEqual(slotOf('foo{}{bar}'), slotOf('bar'));
});
