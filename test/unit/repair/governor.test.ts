/** The governor by hand: how background work gives way while ticks come late. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Governor } from '../../../src/repair/governor.ts';

/** Some time, tick by tick. @returns when it is over */
function pass(governor: Governor, from: number, ms: number, lateMs: number, isWorking = true): number {
  for (let now = from; now < from + ms; now += 5) governor.pass(now, lateMs, isWorking);
  return from + ms;
}

describe('background work', () => {
  it('begins slowly, and takes all that it may within three seconds on a machine with room', () => {
    const governor = new Governor(1 / 8);
    assert.equal(governor.share, 1 / 8);
    let now = pass(governor, 0, 500, 0.3);
    assert.ok(governor.share > 1 / 4 && governor.share < 1 / 2, `${governor.share}`);
    now = pass(governor, now, 2500, 0.3);
    assert.equal(governor.share, 1);
  });

  it('gives way within half a second where ticks come late, and never stops', () => {
    const governor = new Governor(1 / 8);
    let now = pass(governor, 0, 3000, 0.3);
    now = pass(governor, now, 500, 8);
    assert.ok(governor.share <= 1 / 8, `${governor.share}`);
    pass(governor, now, 60_000, 50);
    assert.equal(governor.share, 1 / 16);
  });

  it('gives way at once where one tick comes late, and is back within two seconds', () => {
    const governor = new Governor(1 / 8);
    let now = pass(governor, 0, 4000, 0.3);
    now = pass(governor, now, 5, 12);
    assert.ok(governor.share >= 1 / 2 && governor.share < 0.52, `${governor.share}`);
    now = pass(governor, now, 1000, 0.3);
    assert.ok(governor.share < 0.9, `${governor.share}`);
    pass(governor, now, 1000, 0.3);
    assert.equal(governor.share, 1);
  });

  it('begins slowly again after a rest, and not after a pause', () => {
    const governor = new Governor(1 / 8);
    let now = pass(governor, 0, 3000, 0.3);
    now = pass(governor, now, 500, 0.3, false);
    assert.equal(governor.share, 1);
    pass(governor, now, 1000, 0.3, false);
    assert.equal(governor.share, 1 / 8);
  });
});
