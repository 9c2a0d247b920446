/** Virtual time: alarms ring by time, then in the order they were set; clocks bend and jump. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EPOCH_MS, SimClock } from '../../../sim/clock.ts';
import { Schedule } from '../../../sim/schedule.ts';
import { EVENT, Trace } from '../../../sim/trace.ts';
import { Prng } from '../../../src/base/prng.ts';

describe('schedule', () => {
  it('rings alarms by time and, at one time, in the order they were set', () => {
    const schedule = new Schedule();
    const prng = new Prng(3);
    const rung: { time: number; order: number }[] = [];
    for (let order = 0; order < 2000; order++) {
      const time = prng.below(100);
      schedule.at(time, () => {
        assert.equal(schedule.now, time);
        rung.push({ time, order });
      });
    }
    schedule.runUntil(49);
    assert.equal(schedule.now, 49);
    assert.ok(rung.every(({ time }) => time <= 49));
    schedule.runUntil(1000);
    const sorted = rung.toSorted((a, b) => a.time - b.time || a.order - b.order);
    assert.deepEqual(rung, sorted);
    assert.equal(rung.length, 2000);
    assert.equal(schedule.size, 0);
  });

  it('rings what is set for the past or by an alarm at once, after what is due already', () => {
    const schedule = new Schedule();
    const rung: string[] = [];
    schedule.at(10, () => {
      rung.push('first');
      schedule.at(3, () => rung.push('late'));
      schedule.after(0, () => rung.push('after'));
    });
    schedule.at(10, () => rung.push('second'));
    schedule.runUntil(10);
    assert.deepEqual(rung, ['first', 'second', 'late', 'after']);
  });
});

describe('simulated clock', () => {
  it('skews, drifts and jumps by the wall, and only drifts by the monotonic time', () => {
    const schedule = new Schedule();
    const clock = new SimClock(schedule, { skewMs: -150, driftPpm: 1000 });
    assert.equal(clock.wall(), EPOCH_MS - 150);
    const before = clock.monotonic();
    schedule.runUntil(10_000_000);
    assert.equal(clock.wall(), EPOCH_MS - 150 + 10_010);
    assert.ok(Math.abs(clock.monotonic() - before - 10_010) < 1e-6);
    clock.setSkew(200);
    assert.equal(clock.wall(), EPOCH_MS + 200 + 10_010);
    clock.reboot(5000);
    assert.ok(Math.abs(clock.monotonic() - 15_010) < 1e-6);
  });
});

describe('trace', () => {
  it('tells runs apart by any part of an event and by order', () => {
    const hash = (events: readonly (readonly [number, number, number, number])[]): string => {
      const trace = new Trace();
      for (const [now, node, detail, more] of events) trace.add(now, EVENT.frame, node, detail, more);
      return trace.hash;
    };
    const base = [
      [5, 1, 77, 9],
      [6, 2, 78, 9],
    ] as const;
    const others = [
      [[6, 2, 78, 9] as const, [5, 1, 77, 9] as const],
      [[5, 1, 77, 9] as const, [7, 2, 78, 9] as const],
      [[5, 1, 77, 9] as const, [6, 3, 78, 9] as const],
      [[5, 1, 77, 9] as const, [6, 2, 79, 9] as const],
      [[5, 1, 77, 9] as const, [6, 2, 78, 8] as const],
    ];
    assert.equal(hash(base), hash(base));
    const hashes = new Set([base, ...others].map(hash));
    assert.equal(hashes.size, 6);
    assert.match(hash(base), /^[0-9a-f]{16}$/);
  });
});
