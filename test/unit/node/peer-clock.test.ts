/** A peer's clock over links fast and slow: what is sure, and what is not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PeerClock } from '../../../src/node/peer-clock.ts';

const limitMs = 500;

/** Asks at `at` and is answered `there` and `back` later by a clock that is `aheadMs` ahead of ours. */
function measure(clock: PeerClock, at: number, there: number, back: number, aheadMs: number): void {
  clock.asked(at, at);
  clock.answered(at, at + there + aheadMs, at + there + back);
}

test('the true offset lies within the uncertainty, however the way was shared', () => {
  const ms = fc.integer({ min: 0, max: 2000 });
  fc.assert(
    fc.property(ms, ms, fc.integer({ min: -10_000, max: 10_000 }), (there, back, aheadMs) => {
      const clock = new PeerClock();
      measure(clock, 1000, there, back, aheadMs);
      const now = 1000 + there + back;
      assert.ok(Math.abs(clock.offsetMs(now, now) - aheadMs) <= clock.uncertaintyMs + 1e-6);
      if (clock.isSurelyOff(limitMs, now, now)) assert.ok(Math.abs(aheadMs) > limitMs);
      if (clock.isSurelyNear(limitMs, now, now)) assert.ok(Math.abs(aheadMs) <= limitMs);
    }),
  );
});

test('a clock never measured is neither off nor near', () => {
  const clock = new PeerClock();
  assert.equal(clock.isSurelyOff(limitMs, 0, 1e12), false);
  assert.equal(clock.isSurelyNear(limitMs, 0, 0), false);
});

test('a slow answer finds out a clock that is far off, and doubts none that may be right', () => {
  const far = new PeerClock();
  measure(far, 0, 100, 1900, -5000);
  assert.equal(far.isSurelyOff(limitMs, 2000, 2000), true);
  const perhaps = new PeerClock();
  measure(perhaps, 0, 1900, 100, 600);
  assert.equal(perhaps.isSurelyOff(limitMs, 2000, 2000), false);
  assert.equal(perhaps.isSurelyNear(limitMs, 2000, 2000), false);
});

test('an answer slower than the heartbeats come is timed; one of another heartbeat is not', () => {
  const clock = new PeerClock();
  clock.asked(1, 0);
  clock.asked(2, 200);
  clock.answered(0, 10_300, 300);
  assert.equal(clock.isKnown, false);
  clock.answered(1, 10_350, 700);
  assert.equal(clock.uncertaintyMs, 350);
  assert.equal(clock.offsetMs(700, 700), 10_000);
  // One that was lost is given up.
  clock.asked(3, 1000);
  clock.asked(4, 6100);
  clock.answered(4, 16_110, 6120);
  assert.equal(clock.uncertaintyMs, 10);
});

test('an answer to a later heartbeat says that the one that was timed is lost', () => {
  const clock = new PeerClock();
  clock.asked(0xffff_ffff, 0);
  clock.asked(0, 200);
  clock.answered(0, 10_205, 210);
  assert.equal(clock.isKnown, false);
  clock.asked(1, 400);
  clock.answered(1, 10_405, 410);
  assert.equal(clock.uncertaintyMs, 5);
});

test('the surer answer is kept for a while, unless a later one contradicts it; a jump of ours shows at once', () => {
  const clock = new PeerClock();
  measure(clock, 0, 5, 5, 100);
  measure(clock, 1000, 300, 300, 100);
  assert.equal(clock.uncertaintyMs, 5);
  measure(clock, 2000, 300, 300, 3000);
  assert.equal(clock.uncertaintyMs, 300, 'its clock was set');
  assert.equal(clock.isSurelyOff(limitMs, 2600, 2600), true);
  measure(clock, 3000, 5, 5, 0);
  measure(clock, 8500, 300, 300, 0);
  assert.equal(clock.uncertaintyMs, 300, 'the surer one is old');
  assert.equal(clock.isSurelyNear(limitMs, 9100, 9100), true);
  assert.equal(clock.isSurelyOff(limitMs, 9100, 9100 - 4000), true);
});
