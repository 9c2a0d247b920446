/** The purses of anti-entropy by hand: who may go on, in what order, and what it costs. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NODE_LIMITS_DEFAULT } from '../../../src/node/options.ts';
import { RepairPurses } from '../../../src/node/repair-purses.ts';

const limits = { ...NODE_LIMITS_DEFAULT, moveBytesPerSecond: 8 * 1024 * 1024 };

/** Fetches without end, 24 sessions of them, each of so many bytes; an answer takes 10 ms. */
function fetched(purses: RepairPurses, ms: number, bytes: number, lateMs: number): number[] {
  const answers: { readonly at: number }[] = [];
  const perTick: number[] = [];
  let now = 0;
  const ask = (): void => void answers.push({ at: now + 10 });
  for (let i = 0; i < 24; i++) purses.whenMoveAllowed(ask);
  for (; now < ms; now += 5) {
    purses.pass(now, 0, lateMs, true);
    const due = answers.filter(({ at }) => at <= now);
    for (const answer of due) {
      answers.splice(answers.indexOf(answer), 1);
      purses.moved(bytes);
      purses.whenMoveAllowed(ask);
    }
    perTick.push(due.length);
    purses.release();
  }
  return perTick;
}

describe('what moves', () => {
  it('comes a little at a time, at the rate that is allowed, however many sessions fetch', () => {
    for (const bytes of [4096, 65_536]) {
      const perTick = fetched(new RepairPurses(limits), 20_000, bytes, 0);
      const perSecond = (perTick.slice(1000).reduce((sum, count) => sum + count, 0) * bytes) / 15;
      const share = perSecond / limits.moveBytesPerSecond;
      // Small pages are held up by the sessions there are: 24 at a time, 10 ms each.
      const most = Math.min(1, (24 * bytes * 100) / limits.moveBytesPerSecond);
      assert.ok(share > most * 0.75 && share < 1.05, `${share} of the rate with ${bytes} bytes a page`);
      assert.ok(Math.max(...perTick) <= 12, `${Math.max(...perTick)} pages in one tick`);
    }
  });

  it('gives way where ticks come late', () => {
    const perTick = fetched(new RepairPurses(limits), 20_000, 65_536, 20);
    const perSecond = (perTick.slice(1000).reduce((sum, count) => sum + count, 0) * 65_536) / 15;
    const share = perSecond / limits.moveBytesPerSecond;
    assert.ok(share > 0.03 && share < 0.1, `${share} of the rate`);
  });
});

describe('who waits', () => {
  it('goes on in the order of coming, and what one spends the next has not', () => {
    const purses = new RepairPurses(limits);
    const order: number[] = [];
    purses.pass(0, 0, 0, true);
    purses.of(true).spend(100);
    for (let i = 0; i < 3; i++) {
      purses.whenAllowed(true, 0, () => {
        order.push(i);
        purses.of(true).spend(20);
      });
    }
    assert.ok(purses.hasWaiters);
    const seen: number[] = [];
    for (let now = 0; now < 3000; now += 5) {
      purses.pass(now, 0, 0, true);
      purses.release();
      if (order.length > seen.length) seen.push(order.length);
    }
    assert.deepEqual(order, [0, 1, 2]);
    assert.deepEqual(seen, [1, 2, 3], 'one after the other');
    assert.equal(purses.hasWaiters, false);
  });

  it('does not overtake those who wait for the same', () => {
    const purses = new RepairPurses(limits);
    const order: string[] = [];
    purses.pass(0, 0, 0, true);
    purses.of(false).spend(1);
    purses.of(false).spend(10);
    purses.whenAllowed(false, 0, () => order.push('first'));
    // The purse is full again, but nobody was let on yet.
    purses.pass(1000, 0, 0, true);
    purses.whenAllowed(false, 0, () => order.push('second'));
    assert.deepEqual(order, []);
    purses.release();
    assert.deepEqual(order, ['first', 'second']);
  });
});
