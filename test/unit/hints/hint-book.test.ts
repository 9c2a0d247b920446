/** The hint book: what it takes, what it refuses, what it serves, and the floor it announces. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { hintFloorKey } from '../../../src/hints/hint-floor.ts';
import { hintKey } from '../../../src/hints/hint-keys.ts';
import { TimeLedger } from '../../../src/hints/time-ledger.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { encodeStamp, KIND_STRING, type Row } from '../../../src/rows/row.ts';
import { rowOfVersions } from '../../../src/rows/siblings.ts';
import { HintHouse, HOUSE_TIME } from './hint-house.ts';

const T = HOUSE_TIME;

describe('taking', () => {
  test('one hint a row and target, the greatest row; an older one is as good as kept', () => {
    const house = new HintHouse();
    house.accept('x', 'plum', house.row('plum', T + 5));
    house.accept('x', 'plum', house.row('plum', T + 9, 30));
    house.accept('x', 'plum', house.row('plum', T + 1));
    house.accept('y', 'plum', house.row('plum', T + 2));
    assert.deepEqual(house.answers, ['ok', 'ok', 'ok', 'ok']);
    assert.equal(house.book.target('x')?.rows, 1);
    assert.equal(house.book.totals().rows, 2);
    assert.equal(house.read('plum'), T + 9);
  });

  test('at the bound it refuses, drops nothing, and still merges what fits', () => {
    const house = new HintHouse(400);
    for (let i = 0; i < 20; i++) house.accept('x', `plum-${i}`, house.row(`plum-${i}`, T + i));
    const kept = house.answers.filter((answer) => answer === 'ok').length;
    assert.ok(kept >= 5 && kept < 10);
    assert.ok(house.answers.slice(kept).every((answer) => answer === 'overloaded'));
    assert.equal(house.book.refused, 20 - kept);
    for (let i = 0; i < 20; i++) assert.equal(house.read(`plum-${i}`), i < kept ? T + i : 0, `plum-${i}`);
    house.accept('x', 'plum-0', house.row('plum-0', T + 100));
    assert.equal(house.answers.at(-1), 'ok');
    house.accept('x', 'plum-0', house.row('plum-0', T + 200, 300));
    assert.equal(house.answers.at(-1), 'overloaded', 'a larger row does not fit');
    assert.equal(house.read('plum-0'), T + 100);
    house.book.refer('x', rowKeyOf('plum-19'), T);
    assert.equal(house.book.referencesSkipped, 0, 'a slip of paper fits');
    house.book.refer('x', rowKeyOf('p'.repeat(300)), T);
    assert.equal(house.book.referencesSkipped, 1);
  });

  test('a reference keeps the time of the first row missed; a full hint takes its place', () => {
    const house = new HintHouse();
    house.book.refer('x', rowKeyOf('plum'), T + 20_000);
    house.book.refer('x', rowKeyOf('plum'), T + 90_000);
    const target = house.book.target('x')!;
    assert.equal(target.rows, 1);
    assert.equal(target.full.size, 0);
    const oldest = target.oldestTime()!;
    assert.ok(oldest <= T + 20_000 && oldest > T + 15_000);
    assert.equal(house.read('plum'), 0, 'a reference holds nothing to serve');
    house.accept('x', 'plum', house.row('plum', T + 90_000));
    assert.deepEqual([target.rows, target.full.size, target.references.size], [1, 1, 0]);
    assert.equal(house.read('plum'), T + 90_000);
  });

  test('a damaged hint is not served, and gives way to an intact one', () => {
    const house = new HintHouse();
    house.accept('x', 'plum', house.row('plum', T + 5, 40));
    const stored = house.storage.entries.get(hintKey('x', rowKeyOf('plum')))!;
    stored[40]! ^= 1;
    assert.equal(house.read('plum'), 'corrupt');
    assert.equal(house.book.damaged, 1);
    assert.equal(house.read('plum'), 'corrupt');
    assert.deepEqual([house.book.damaged, house.book.totals().unreadable], [1, 1], 'it is counted once');
    house.accept('x', 'plum', house.row('plum', T + 3));
    assert.equal(house.answers.at(-1), 'corrupt', 'a late row does not take the place of a newer one');
    house.accept('x', 'plum', house.row('plum', T + 6));
    assert.equal(house.answers.at(-1), 'ok');
    assert.equal(house.read('plum'), T + 6);
    assert.equal(house.book.totals().unreadable, 0);
  });

  test('siblings take the place of no damaged hint: it may have had some that they do not know', () => {
    const house = new HintHouse();
    const key = rowKeyOf('plum');
    const siblings = (actor: number, time: number): Row => {
      const event = { time, logical: 0, actor, counter: 1 };
      const value = { kind: KIND_STRING, value: bytesOf('one'), expireAt: 0 };
      return rowOfVersions(key, { vector: [event], register: undefined, siblings: [{ event, value }] })!;
    };
    house.accept('x', 'plum', siblings(1, T + 5));
    const stored = house.storage.entries.get(hintKey('x', key))!;
    stored[stored.length - 1]! ^= 1;
    house.accept('x', 'plum', siblings(2, T + 6));
    assert.equal(house.answers.at(-1), 'corrupt');
    house.accept('x', 'plum', house.row('plum', T + 7));
    assert.equal(house.answers.at(-1), 'ok', 'a plain write is later than all of them');
  });

  test('hints that storage had refused and holds after all are counted when it was opened anew', () => {
    const house = new HintHouse();
    house.accept('x', 'plum', house.row('plum', T + 5));
    const refused = house.row('pear', T + 6);
    house.storage.entries.set(hintKey('x', rowKeyOf('pear')), refused);
    house.storage.entries.set(hintKey('y', rowKeyOf('fig')), house.row('fig', T + 7));
    house.book.recount();
    assert.equal(house.book.isLoading, false);
    assert.equal(house.book.totals().rows, 3);
    assert.equal(house.book.target('y')?.full.oldest(), T + 7 - ((T + 7) % 4096));
    house.accept('x', 'pear', house.row('pear', T + 9));
    for (const key of ['plum', 'pear']) assert.ok(house.book.forget('x', rowKeyOf(key)));
    assert.ok(house.book.forget('y', rowKeyOf('fig')));
    assert.deepEqual(house.book.totals(), { rows: 0, bytes: 0, unreadable: 0 });
  });

  test('what a flush declared dead is not kept, and not served', () => {
    const house = new HintHouse();
    house.accept('x', 'plum', house.row('plum', T + 5));
    house.replica.raiseFloor(encodeStamp({ time: T + 50, logical: 0, actor: 0, counter: 0 }), undefined);
    house.replica.commit();
    assert.equal(house.read('plum'), T + 50, 'the floor answers');
    house.accept('x', 'pear', house.row('pear', T + 6));
    assert.equal(house.answers.at(-1), 'ok', 'dead on arrival');
    assert.equal(house.book.totals().rows, 1);
    assert.equal(house.book.rowToSend('x', rowKeyOf('plum')), undefined);
    assert.equal(house.book.totals().rows, 0, 'deleted when met');
  });
});

describe('the floor', () => {
  test('is behind the clock by the margin, and below every full hint; it never goes back', () => {
    const house = new HintHouse();
    assert.equal(house.raise(T + 50_000), T + 40_000);
    assert.equal(house.raise(T + 20_000), T + 40_000, 'the clock went back, the word stands');
    house.accept('x', 'plum', house.row('plum', T + 45_000));
    house.book.refer('x', rowKeyOf('pear'), T + 41_000);
    const held = house.raise(T + 500_000);
    assert.ok(
      held < T + 45_000 && held >= T + 45_000 - 4097,
      `a hint holds it, a reference does not: ${held - T}`,
    );
    house.book.forget('x', rowKeyOf('plum'));
    house.replica.commit();
    assert.equal(house.raise(T + 500_000), T + 490_000);
  });

  test('a hint at or below what was announced is refused for good', () => {
    const house = new HintHouse();
    const floor = house.raise(T + 50_000);
    house.accept('x', 'plum', house.row('plum', floor));
    house.accept('x', 'plum', house.row('plum', floor + 1));
    assert.deepEqual(house.answers, ['straggler', 'ok']);
  });
});

describe('the floor of a former life', () => {
  test('binds the next: hints up to it are refused before anything is announced', () => {
    const house = new HintHouse();
    const floor = house.raise(T + 50_000);
    assert.equal(floor, T + 40_000);
    const next = house.restart();
    assert.equal(next.book.floor, floor);
    next.accept('x', 'plum', next.row('plum', floor));
    next.accept('x', 'plum', next.row('plum', floor + 1));
    assert.deepEqual(next.answers, ['straggler', 'ok']);
    const forgetful = house.restart(['hint-floor-forgotten']);
    forgetful.accept('x', 'plum', forgetful.row('plum', floor));
    assert.deepEqual(forgetful.answers, ['ok'], 'the mutant takes it');
  });

  test('is announced when its note is durable, and refused from the moment it is laid down', () => {
    const house = new HintHouse();
    house.book.raiseFloor(T + 50_000);
    assert.equal(house.book.floor, 0);
    house.accept('x', 'plum', house.row('plum', T + 40_000));
    assert.deepEqual(house.answers, ['straggler']);
    assert.equal(house.book.floor, T + 40_000);
    house.storage.writeError = new CodedError('storage-full', 'fail', 'full');
    assert.equal(house.raise(T + 90_000), T + 40_000, 'the note was refused');
    house.storage.writeError = undefined;
    assert.equal(house.raise(T + 190_000), T + 180_000);
  });

  test('is not announced over an older hint that a refused batch brought back', () => {
    const house = new HintHouse();
    house.accept('x', 'plum', house.row('plum', T + 10_000));
    house.storage.automatic = false;
    // A newer row takes the hint's place, and the floor follows; then the first of the two batches is refused.
    house.accept('x', 'plum', house.row('plum', T + 80_000));
    house.book.raiseFloor(T + 60_000);
    house.storage.complete(new CodedError('storage-full', 'fail', 'full'));
    house.replica.commit();
    house.storage.complete();
    assert.deepEqual(house.answers, ['ok', 'storage-full']);
    assert.equal(house.read('plum'), T + 10_000);
    assert.ok(house.book.floor < T + 10_000, 'the old hint is there');
    const next = house.restart();
    assert.ok(next.book.floor < T + 10_000, 'also for the next life');
    assert.ok(next.book.forget('x', rowKeyOf('plum')));
    next.replica.commit();
    assert.equal(next.book.floor, T + 50_000);
  });

  test('a note that is damaged says nothing, and that is said', () => {
    const house = new HintHouse();
    house.raise(T + 50_000);
    house.storage.entries.get(hintFloorKey)![2]! ^= 1;
    const next = house.restart();
    assert.deepEqual(next.events, ['hint-floor-damaged']);
    assert.equal(next.book.floor, 0);
  });
});

test('a time ledger tells the oldest, at most four seconds early', () => {
  const ledger = new TimeLedger();
  assert.equal(ledger.oldest(), undefined);
  const times = [T + 30_000, T, T + 5000, T, T + 60_000];
  for (const time of times) ledger.add(time);
  for (const [gone, oldest] of [
    [T, T],
    [T + 60_000, T],
    [T, T + 5000],
    [T + 5000, T + 30_000],
    [T + 30_000, undefined],
  ] as const) {
    ledger.remove(gone);
    const told = ledger.oldest();
    if (oldest === undefined) assert.equal(told, undefined);
    else assert.ok(told !== undefined && told <= oldest && told > oldest - 4096, `${gone - T}`);
  }
  assert.equal(ledger.size, 0);
});
