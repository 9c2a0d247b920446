/** Handoff: its window, its order, its rate, and what each answer leads to. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Delivery, Handoff, TokenBucket } from '../../../src/hints/handoff.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { rowKeyOf, rowKeyUserKey } from '../../../src/rows/key.ts';
import { type Row, rowTime } from '../../../src/rows/row.ts';
import { HintHouse, HOUSE_TIME } from './hint-house.ts';

const T = HOUSE_TIME;

interface Sent {
  readonly delivery: Delivery;
  readonly row: Row;
}

class Mover {
  readonly house: HintHouse;
  readonly bucket: TokenBucket;
  readonly handoff: Handoff;
  readonly sent: Sent[] = [];
  open = true;
  now = 1000;

  constructor(house: HintHouse, bytesPerSecond = 100_000_000, mutants: readonly string[] = []) {
    this.house = house;
    this.bucket = new TokenBucket(bytesPerSecond);
    this.handoff = new Handoff({
      target: 'x',
      book: house.book,
      storage: house.storage,
      bucket: this.bucket,
      log: LOG_SILENT,
      mutants: new Set(mutants),
      send: (_handoff, delivery, row) => {
        if (this.open) this.sent.push({ delivery, row });
        return this.open;
      },
      wake: () => {},
    });
    this.bucket.fill(this.now);
  }

  tick(ms = 5, rowsMax = 64, live = true): void {
    this.now += ms;
    this.bucket.fill(this.now);
    this.handoff.tick(this.now, live);
    // A page comes between two calls.
    for (let i = 0; i < 3; i++) this.handoff.pump(this.now, rowsMax);
    this.house.replica.commit();
  }

  keys(): string[] {
    return this.sent.map(({ delivery }) => rowKeyUserKey(delivery.rowKey));
  }

  /** Answers the oldest delivery. */
  answer(act: (delivery: Delivery) => void): void {
    act(this.sent.shift()!.delivery);
    this.house.replica.commit();
  }

  get rows(): number {
    return this.house.book.totals().rows;
  }
}

function filled(count: number, mutants: readonly string[] = []): HintHouse {
  const house = new HintHouse(10_000_000, mutants);
  for (let i = 0; i < count; i++) house.accept('x', `plum-${i}`, house.row(`plum-${i}`, T + i, 100));
  return house;
}

describe('a handoff', () => {
  test('waits for its target, goes in key order, and no more is under way than the window', () => {
    const mover = new Mover(filled(200));
    mover.tick(5, 64, false);
    assert.equal(mover.sent.length, 0);
    mover.tick();
    assert.equal(mover.sent.length, 64);
    const order = mover.sent.map(({ delivery }) => delivery.rowKey);
    assert.deepEqual(order, order.toSorted());
    mover.tick();
    assert.equal(mover.sent.length, 64);
    for (let i = 0; i < 10; i++) mover.answer((delivery) => mover.handoff.stored(delivery));
    assert.equal(mover.rows, 190);
    mover.tick(5, 2);
    assert.equal(mover.sent.length, 54, 'a smaller window while the node is busy');
    while (mover.sent.length > 0) {
      mover.answer((delivery) => mover.handoff.stored(delivery));
      mover.tick();
    }
    assert.equal(mover.rows, 0);
    assert.equal(mover.handoff.rowsDelivered, 200);
  });

  test('rows of 10 KiB: a window of bytes', () => {
    const house = new HintHouse(10_000_000);
    for (let i = 0; i < 60; i++) house.accept('x', `plum-${i}`, house.row(`plum-${i}`, T + i, 10_000));
    const mover = new Mover(house);
    mover.tick();
    assert.ok(mover.sent.length >= 26 && mover.sent.length <= 27, `${mover.sent.length}`);
  });

  test('a reference sends what the replica holds now, and is worth nothing without it', () => {
    const house = new HintHouse();
    house.hold('plum', house.row('plum', T + 7));
    house.book.refer('x', rowKeyOf('plum'), T + 3);
    house.book.refer('x', rowKeyOf('pear'), T + 3);
    house.replica.commit();
    const mover = new Mover(house);
    mover.tick();
    assert.deepEqual(mover.keys(), ['plum']);
    assert.equal(rowTime(mover.sent[0]!.row), T + 7);
    assert.equal(mover.rows, 1);
    mover.answer((delivery) => mover.handoff.stored(delivery));
    assert.equal(mover.rows, 0);
  });

  test('a hint or a reference that changed while its row was on the way stays, and goes again', () => {
    const house = filled(1);
    house.hold('pear', house.row('pear', T + 1));
    house.book.refer('x', rowKeyOf('pear'), T + 1);
    house.replica.commit();
    const mover = new Mover(house);
    mover.tick();
    assert.equal(mover.sent.length, 2);
    house.accept('x', 'plum-0', house.row('plum-0', T + 500));
    house.hold('pear', house.row('pear', T + 600));
    house.book.refer('x', rowKeyOf('pear'), T + 600);
    for (let i = 0; i < 2; i++) mover.answer((delivery) => mover.handoff.stored(delivery));
    assert.equal(mover.rows, 2);
    mover.tick();
    assert.deepEqual(mover.sent.map(({ row }) => rowTime(row)).toSorted(), [T + 500, T + 600]);
    for (let i = 0; i < 2; i++) mover.answer((delivery) => mover.handoff.stored(delivery));
    assert.equal(mover.rows, 0);
  });

  test('a straggler is dead elsewhere: the hint goes, and is counted', () => {
    const mover = new Mover(filled(1));
    mover.tick();
    mover.answer((delivery) => mover.handoff.refused(delivery, 'straggler', mover.now));
    assert.equal(mover.rows, 0);
    assert.equal(mover.handoff.stragglers, 1);
    assert.equal(mover.handoff.rowsDelivered, 0);
  });

  test('refusals make it wait, twice as long each time; nothing is deleted', () => {
    const mover = new Mover(filled(100));
    const pauses: number[] = [];
    for (let round = 0; round < 8; round++) {
      const since = mover.now;
      while (mover.sent.length === 0) mover.tick(10);
      if (round > 0) pauses.push(mover.now - since);
      while (mover.sent.length > 0) {
        mover.answer((delivery) => mover.handoff.refused(delivery, 'storage-full', mover.now));
      }
    }
    assert.equal(mover.rows, 100);
    assert.deepEqual(pauses.slice(0, 4), [100, 200, 400, 800]);
    assert.ok(pauses.every((pause) => pause <= 5100));
    // A new life of the target begins afresh.
    mover.tick(10, 64, false);
    mover.tick(10);
    assert.equal(mover.sent.length, 64);
    for (const { delivery } of mover.sent.splice(0)) mover.handoff.lost(delivery, mover.now);
    assert.equal(mover.rows, 100, 'no answer is no signature');
  });

  test('a target whose pipe is full is tried again later', () => {
    const mover = new Mover(filled(3));
    mover.open = false;
    mover.tick();
    assert.equal(mover.sent.length, 0);
    mover.open = true;
    mover.tick(50);
    assert.equal(mover.sent.length, 0);
    mover.tick(100);
    mover.tick(1200);
    assert.equal(mover.sent.length, 3);
  });

  test('it keeps to its rate', () => {
    const mover = new Mover(filled(200), 2000);
    for (let i = 0; i < 200; i++) {
      mover.tick(10);
      while (mover.sent.length > 0) mover.answer((delivery) => mover.handoff.stored(delivery));
    }
    const { bytesDelivered, rowsPerSecond } = mover.handoff;
    assert.ok(bytesDelivered >= 3700 && bytesDelivered <= 4400, `${bytesDelivered} bytes in two seconds`);
    assert.ok(rowsPerSecond >= 10 && rowsPerSecond <= 17, `${rowsPerSecond} rows a second`);
  });

  test('mutant hint-deleted-unacknowledged: the hint goes with the row', () => {
    const mover = new Mover(filled(3), undefined, ['hint-deleted-unacknowledged']);
    mover.tick();
    assert.equal(mover.rows, 0);
  });
});
