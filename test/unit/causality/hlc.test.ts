/** The hybrid logical clock: always forward, never the same twice, whatever the wall clock does. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Hlc, type HlcReading } from '../../../src/causality/hlc.ts';

const isAfter = (a: HlcReading, b: HlcReading): boolean =>
  a.time > b.time || (a.time === b.time && a.logical > b.logical);

const inRange = ({ time, logical }: HlcReading): boolean =>
  Number.isInteger(time) && Number.isInteger(logical) && logical >= 0 && logical <= 0xffff;

test('readings rise through jumps of the wall clock and readings from elsewhere', () => {
  const step = fc.oneof(
    fc.record({ wall: fc.nat(2000) }),
    fc.record({ time: fc.nat(2000), logical: fc.constantFrom(0, 1, 0xfffe, 0xffff) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const clock = new Hlc();
      let highest: HlcReading = { time: 0, logical: 0 };
      for (const each of steps) {
        if ('wall' in each) {
          const reading = clock.next(each.wall);
          assert.ok(isAfter(reading, highest), 'greater than any issued or observed');
          assert.ok(inRange(reading));
          assert.ok(reading.time >= each.wall, 'not behind the wall');
          highest = reading;
        } else {
          clock.observe(each.time, each.logical);
          if (isAfter(each, highest)) highest = { time: each.time, logical: each.logical };
          assert.deepEqual({ time: clock.time, logical: clock.logical }, highest);
        }
      }
    }),
  );
});

test('a wall clock that advances is followed; one that stands or falls back is not', () => {
  const clock = new Hlc();
  assert.deepEqual(clock.next(1000), { time: 1000, logical: 0 });
  assert.deepEqual(clock.next(1000), { time: 1000, logical: 1 });
  assert.deepEqual(clock.next(10), { time: 1000, logical: 2 });
  assert.deepEqual(clock.next(1001), { time: 1001, logical: 0 });
});

test('a millisecond that is used up moves time on by one', () => {
  const clock = new Hlc();
  let last = clock.next(5);
  for (let i = 0; i < 0xffff; i++) last = clock.next(5);
  assert.deepEqual(last, { time: 5, logical: 0xffff });
  assert.deepEqual(clock.next(5), { time: 6, logical: 0 });
  assert.deepEqual(clock.next(6), { time: 6, logical: 1 });

  const observer = new Hlc();
  observer.observe(9, 0xffff);
  assert.deepEqual(observer.next(3), { time: 10, logical: 0 });
});

test('a lower reading from elsewhere changes nothing', () => {
  const clock = new Hlc();
  clock.observe(100, 7);
  clock.observe(100, 3);
  clock.observe(99, 0xffff);
  assert.deepEqual(clock.next(0), { time: 100, logical: 8 });
});
