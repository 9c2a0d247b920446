/** The sibling watch: what it counts, for how long it remembers, and how often it calls out. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  prefixOf,
  SIBLING_BOUNDS,
  SIBLING_WINDOW_MS,
  SiblingWatch,
} from '../../../src/node/sibling-watch.ts';
import type { SiblingsStatus } from '../../../src/node/status.ts';
import type { LogFields } from '../../../src/ports/log.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';

const none = { siblingWrites: 0, siblingsMet: 0, siblingsRefused: 0 };

function statusAt(watch: SiblingWatch, now: number, counters = none): SiblingsStatus {
  return watch.status(now, counters, 32);
}

describe('SiblingWatch', () => {
  it('a read goes into the column of its number of values', () => {
    const watch = new SiblingWatch();
    for (const values of [0, 1, 2, 3, 4, 32, 33, 64, 65, 1000]) watch.read(0, rowKeyOf('k'), values);
    const { readsByValues, readsValuesSum } = statusAt(watch, 0);
    assert.deepEqual(readsByValues, [2, 1, 2, 0, 0, 1, 2, 2]);
    assert.equal(readsByValues.length, SIBLING_BOUNDS.length + 1);
    assert.equal(readsValuesSum, 1204);
  });

  it('the most is that of the last minutes, and forgotten afterwards', () => {
    const watch = new SiblingWatch();
    watch.read(0, rowKeyOf('cart:7'), 9);
    watch.written(10, rowKeyOf('list/3'), { values: 4, actors: 5, rowBytes: 600 });
    const first = statusAt(watch, 20);
    assert.equal(first.valuesMost, 9);
    assert.equal(first.valuesMostPrefix, 'cart:');
    assert.equal(first.actorsMost, 5);
    assert.equal(first.actorsMostPrefix, 'list/');
    assert.equal(first.rowBytesMost, 600);
    // The next window still knows the one before.
    watch.read(SIBLING_WINDOW_MS, rowKeyOf('list/3'), 2);
    assert.equal(statusAt(watch, SIBLING_WINDOW_MS).valuesMost, 9);
    assert.equal(statusAt(watch, SIBLING_WINDOW_MS).valuesMostPrefix, 'cart:');
    const later = statusAt(watch, 2 * SIBLING_WINDOW_MS);
    assert.equal(later.valuesMost, 2);
    assert.equal(later.valuesMostPrefix, 'list/');
    assert.equal(later.actorsMost, 0);
    // After a silence nothing is left, not even of the window before.
    assert.equal(statusAt(watch, 5 * SIBLING_WINDOW_MS).valuesMost, 0);
  });

  it('refusals raise one alarm a minute and prefix, with the count of those since', () => {
    const watch = new SiblingWatch();
    const alarms: LogFields[] = [];
    const log = {
      write: (level: string, event: string, fields?: LogFields): void => {
        assert.equal(`${level} ${event}`, 'alarm siblings-full');
        alarms.push(fields!);
      },
    };
    for (let i = 0; i < 1000; i++) watch.refused(i, rowKeyOf(`cart:${i}`), 'full', log);
    assert.equal(alarms.length, 1);
    assert.equal(alarms[0]!.prefix, 'cart:');
    watch.refused(1000, rowKeyOf('list:1'), 'full', log);
    assert.equal(alarms.length, 2, 'another prefix is another cause');
    watch.refused(60_000, rowKeyOf('cart:x'), 'full', log);
    assert.equal(alarms.length, 3);
    assert.equal(alarms[2]!.refusedSince, 999);
    const { refusedAgoMs, refusedPrefix, refusedWhy } = statusAt(watch, 61_000, {
      ...none,
      siblingsRefused: 3,
    });
    assert.deepEqual([refusedAgoMs, refusedPrefix, refusedWhy], [1000, 'cart:', 'full']);
    assert.equal(statusAt(watch, 61_000).refusedAgoMs, null, 'none so far');
  });

  it('thousands of prefixes raise a bounded number of alarms', () => {
    const watch = new SiblingWatch();
    let alarms = 0;
    const log = { write: () => void alarms++ };
    for (let i = 0; i < 5000; i++) watch.refused(i, rowKeyOf(`p${i}:x`), 'full', log);
    assert.equal(alarms, 16);
    for (let i = 0; i < 100; i++) watch.refused(120_000 + i, rowKeyOf(`q${i}:x`), 'full', log);
    assert.equal(alarms, 32);
  });

  it('the beginning of a key is short and printable', () => {
    assert.equal(prefixOf(rowKeyOf('cart:7:x')), 'cart:');
    assert.equal(prefixOf(rowKeyOf('a/b:c')), 'a/');
    assert.equal(prefixOf(rowKeyOf('short')), 'short');
    assert.equal(prefixOf(rowKeyOf('x'.repeat(1000))), `${'x'.repeat(16)}…`);
    assert.equal(prefixOf(rowKeyOf(`${'x'.repeat(40)}:1`)), `${'x'.repeat(16)}…`);
    assert.equal(prefixOf(rowKeyOf('a\r\n\x00\xff:k')), 'a????:');
    assert.equal(prefixOf(rowKeyOf('')), '');
  });
});
