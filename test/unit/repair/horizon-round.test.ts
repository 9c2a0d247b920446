/** A horizon round as a value: nothing is committed before every replica is fenced and proved equal. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HorizonRound } from '../../../src/repair/horizon-round.ts';

const never = Number.POSITIVE_INFINITY;

describe('a horizon round', () => {
  test('settles, fences, proves, commits, each with everybody', () => {
    const round = new HorizonRound(3, 1000, ['b', 'c']);
    assert.equal(round.compared('b', 500), false);
    assert.equal(round.compared('b', 500), false, 'an answer twice is one answer');
    assert.deepEqual(round.missing, ['c']);
    assert.equal(round.compared('c', never), true);
    assert.equal(round.step, 'fence');
    assert.equal(round.compared('b', never), false, 'a comparison from before the fence proves nothing');
    assert.equal(round.fenced('b'), false);
    assert.equal(round.fenced('c'), false, 'our own fence is missing');
    assert.equal(round.fenced(''), true);
    assert.equal(round.step, 'prove');
    assert.equal(round.compared('c', 1001), false);
    assert.equal(round.compared('b', never), true);
    assert.equal(round.step, 'commit');
  });

  test('our own fence may be durable first', () => {
    const round = new HorizonRound(3, 1000, ['b']);
    assert.equal(round.compared('b', never), true);
    assert.equal(round.fenced(''), false);
    assert.equal(round.fenced('b'), true);
    assert.equal(round.step, 'prove');
  });

  test('a row that differs behind the fence ends the round', () => {
    const round = new HorizonRound(3, 1000, ['b']);
    round.compared('b', 7);
    round.fenced('b');
    round.fenced('');
    assert.equal(round.compared('b', 1000), false);
    assert.equal(round.step, 'abandoned');
    assert.equal(round.heldBy, 'b');
    assert.equal(round.fenced('b'), false);
  });

  test('the only replica needs nobody', () => {
    const round = new HorizonRound(3, 1000, []);
    assert.equal(round.step, 'fence');
    assert.equal(round.fenced(''), true);
    assert.equal(round.step, 'commit');
  });
});
