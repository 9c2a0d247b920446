/** Comparisons of two sides: what is exchanged, what it costs, and what happens in between. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { slotOf } from '../../../src/ring/slots.ts';
import type { RowKey } from '../../../src/rows/key.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { ManualStorage } from '../../support/manual-storage.ts';
import { Pair, rowOf, type Side, totals, WALL_MS } from '../../support/repair-pair.ts';

const horizonOf = (ms: number): number => WALL_MS - 1_000_000 + ms;
const done = { stored: () => undefined };

describe('a session', () => {
  it('of equal sides exchanges roots and nothing else', () => {
    const pair = new Pair();
    for (let i = 0; i < 500; i++) for (const side of [pair.a, pair.b]) side.put(`key ${i}`, i);
    const { error, outcomes, bytes, messages } = pair.compare(pair.a);
    assert.equal(error, undefined);
    assert.equal(totals(outcomes).equal, 64);
    assert.equal(messages, 2);
    assert.ok(bytes / 64 <= 12, `${bytes / 64} bytes a partition`);
  });

  for (const wide of [false, true]) {
    it(`brings rows where they are lacking or older, both ways (${wide ? 'wide' : 'narrow'})`, () => {
      const pair = new Pair({ partitionCount: wide ? 1 : 64 });
      for (let i = 0; i < 300; i++) {
        if (i % 7 !== 1) pair.a.put(`key ${i}`, i);
        if (i % 7 !== 2) pair.b.put(`key ${i}`, i % 7 === 3 ? 1000 + i : i);
        if (i % 7 === 4) pair.a.put(`key ${i}`, 2000 + i, null);
      }
      const first = pair.compare(pair.a, { wide });
      assert.equal(first.error, undefined);
      const sum = totals(first.outcomes);
      const count = (rest: number): number =>
        Array.from({ length: 300 }, (_, i) => i % 7).filter((m) => m === rest).length;
      assert.equal(sum.taken, count(1) + count(3), 'taken');
      assert.equal(sum.sent, count(2) + count(4), 'sent');
      assert.equal(sum.differing, sum.taken + sum.sent);
      assert.equal(sum.unresolved, 0);
      assert.deepEqual(pair.held(pair.a), pair.held(pair.b));
      const again = pair.compare(pair.b, { wide });
      assert.equal(totals(again.outcomes).equal, pair.table.partitionCount);
      assert.equal(again.messages, 2);
    });
  }

  it('tells the oldest difference, and what the peer lacked', () => {
    const pair = new Pair({ partitionCount: 1 });
    pair.a.put('old', 10);
    pair.b.put('new', 20);
    const [outcome] = pair.compare(pair.a, { wide: true }).outcomes;
    assert.equal(outcome!.oldestDifferenceTime, horizonOf(10));
    assert.equal(outcome!.oldestLackingTime, horizonOf(10));
    const [equal] = pair.compare(pair.a, { wide: true }).outcomes;
    assert.equal(equal!.equal, true);
    assert.equal(equal!.oldestDifferenceTime, Number.POSITIVE_INFINITY);
  });

  for (const asks of ['a', 'b'] as const) {
    it(`a late request that slips in before the fence is up is found, and dropped (${asks} asks)`, () => {
      let slipped = false;
      const late = rowKeyOf('late');
      const pair = new Pair({
        partitionCount: 1,
        between: ({ a }) => {
          if (slipped) return;
          slipped = true;
          // Deleted long ago, and its tombstone collected; side a has not heard of the horizon.
          a.replica.merge(late, rowOf(late, 50, 'deleted'), undefined, 'request');
        },
      });
      for (const side of [pair.a, pair.b]) side.put('key', 60);
      pair.b.replica.raiseHorizon(0, horizonOf(100), done);
      pair.pump();
      for (let round = 0; round < 3; round++) pair.compare(pair[asks], { wide: true });
      assert.equal(slipped, true);
      assert.equal(pair.a.replica.horizons.horizonOf(0), horizonOf(100));
      for (const side of [pair.a, pair.b]) assert.equal(side.storage.get(late), undefined, side.id);
    });
  }

  it('splits buckets that hold more than a message takes', () => {
    const pair = new Pair();
    const rows = Array.from({ length: 40_000 }, (_, i) => `{tag}${i}`);
    for (const key of rows) {
      const rowKey = rowKeyOf(key);
      pair.a.replica.merge(rowKey, rowOf(rowKey, 1, 'v'), undefined, 'sync');
    }
    pair.pump();
    pair.b.put('{tag}mine', 5);
    const { error, outcomes } = pair.compare(pair.b, { partitions: [slotOf('{tag}') >> 8] });
    assert.equal(error, undefined);
    assert.equal(totals(outcomes).taken, 40_000);
    assert.deepEqual(pair.held(pair.a), pair.held(pair.b));
  });

  it('meets writes that come in between: what it knew stays true, the next round has the rest', () => {
    let writes = 0;
    const pair: Pair = new Pair({
      between: (both) => {
        if (writes >= 40) return;
        (writes % 2 === 0 ? both.a : both.b).put(`between ${writes}`, 5000 + writes);
        both.a.put(`key ${writes}`, 6000 + writes++);
      },
    });
    for (let i = 0; i < 200; i++) (i % 3 === 0 ? pair.a : pair.b).put(`key ${i}`, i);
    for (let round = 0; round < 30; round++) pair.compare(round % 2 === 0 ? pair.a : pair.b);
    assert.equal(writes, 40);
    assert.deepEqual(pair.held(pair.a), pair.held(pair.b));
    assert.equal(totals(pair.compare(pair.a).outcomes).equal, 64);
  });

  it('never sends a damaged row, and leaves it to be mended', () => {
    const pair = new Pair({ partitionCount: 1 });
    for (let i = 0; i < 50; i++) for (const side of [pair.a, pair.b]) side.put(`key ${i}`, i);
    const rowKey = rowKeyOf('key 7');
    const bytes = pair.a.storage.entries!.get(rowKey)!.slice();
    bytes[40]! ^= 1;
    pair.a.storage.entries!.set(rowKey, bytes);
    for (const from of [pair.a, pair.b]) {
      const { outcomes } = pair.compare(from, { wide: true, rescan: true });
      assert.equal(outcomes[0]!.equal, false);
      assert.equal(outcomes[0]!.damaged, 1);
      assert.equal(outcomes[0]!.oldestDifferenceTime, 0);
      assert.equal(outcomes[0]!.rowsSent + outcomes[0]!.rowsTaken + outcomes[0]!.rowsDropped, 0);
    }
    assert.equal(pair.a.rows.takeDamaged(), rowKey);
    assert.deepEqual(pair.b.storage.entries!.get(rowKey), rowOf(rowKey, 7, 'value key 7 7'));
    // Without a rescan nobody looks: the leaves were weighed before.
    assert.equal(pair.a.rows.takeDamaged(), undefined);
  });

  it('does not count rows that a flush declared dead', () => {
    const pair = new Pair();
    for (let i = 0; i < 100; i++) pair.a.put(`key ${i}`, i);
    pair.compare(pair.a);
    const floor = rowOf(rowKeyOf('x'), 500, null).slice(2, 22);
    pair.a.replica.raiseFloor(floor, undefined);
    pair.pump();
    pair.b.put('key 3', 600);
    pair.b.replica.raiseFloor(floor, undefined);
    pair.pump();
    pair.compare(pair.b);
    const { outcomes } = pair.compare(pair.a);
    assert.equal(totals(outcomes).equal, 64);
    assert.equal(pair.held(pair.a).size, 1);
  });
});

/** A storage that says when it is about to be read. */
class HookedStorage extends ManualStorage {
  before: (() => void) | undefined = undefined;

  override range(...[query, done]: Parameters<ManualStorage['range']>): void {
    this.before?.();
    super.range(query, done);
  }
}

/** A key of a slot that is weighed early. */
function keyInFront(): string {
  for (let i = 0; i < 100_000; i++) if (slotOf(`key ${i}`) < 64) return `key ${i}`;
  assert.fail('no key lies in front');
}

/** A third member hands over a row that was deleted long ago. */
function takeFromThird(side: Side, rowKey: RowKey, pair: Pair): void {
  side.rows.take('c', rowKey, rowOf(rowKey, 10, 'deleted long ago'), 'sync', () => undefined);
  pair.pump();
}

describe('horizons in a session', () => {
  for (const askedByAhead of [true, false]) {
    it(`whoever is behind drops what was collected, and catches up (asked by ${askedByAhead ? 'the one ahead' : 'the one behind'})`, () => {
      const pair = new Pair({ partitionCount: 1 });
      for (let i = 0; i < 40; i++) for (const side of [pair.a, pair.b]) side.put(`key ${i}`, i);
      // Deleted, proved equal and collected at a; b has an old copy of its disk, and an old tombstone.
      pair.a.put('key 5', 50, null);
      pair.b.put('buried', 60, null);
      pair.a.replica.raiseHorizon(0, horizonOf(100), done);
      pair.pump();
      pair.b.put('new at b', 200);
      pair.a.put('key 6', 210);
      const from = askedByAhead ? pair.a : pair.b;
      const { error, outcomes } = pair.compare(from, { wide: true });
      assert.equal(error, undefined);
      assert.equal(outcomes[0]!.unresolved, 0);
      assert.equal(outcomes[0]!.rowsDropped, 2);
      assert.equal(outcomes[0]!.settled, true);
      assert.equal(outcomes[0]!.oldestDifferenceTime, 0);
      assert.equal(pair.b.replica.horizons.horizonOf(0), horizonOf(100));
      assert.equal(pair.held(pair.b).has(rowKeyOf('key 5')), false);
      assert.equal(pair.held(pair.a).has(rowKeyOf('key 5')), false);
      assert.equal(pair.held(pair.a).has(rowKeyOf('new at b')), true);
      assert.deepEqual(pair.held(pair.a), pair.held(pair.b));
      assert.equal(totals(pair.compare(pair.b, { wide: true }).outcomes).equal, 1);
    });
  }

  it('a horizon is not caught up with if rows came from elsewhere meanwhile', () => {
    for (const side of ['a', 'b'] as const) {
      let asked = 0;
      const pair: Pair = new Pair({
        partitionCount: 1,
        between: (both) => {
          if (++asked !== 3) return;
          const rowKey = rowKeyOf('from c');
          both.b.rows.take('c', rowKey, rowOf(rowKey, 10, 'deleted long ago'), 'sync', () => undefined);
          both.pump();
        },
      });
      for (let i = 0; i < 40; i++) for (const one of [pair.a, pair.b]) one.put(`key ${i}`, i);
      pair.b.put('only b', 300);
      pair.a.replica.raiseHorizon(0, horizonOf(100), done);
      pair.pump();
      const first = pair.compare(pair[side], { wide: true });
      assert.equal(first.outcomes[0]!.settled, false, side);
      assert.equal(pair.b.replica.horizons.horizonOf(0), 0);
      const second = pair.compare(pair[side], { wide: true });
      assert.equal(second.outcomes[0]!.settled, true, side);
      assert.equal(pair.held(pair.b).has(rowKeyOf('from c')), false);
      assert.equal(pair.held(pair.a).has(rowKeyOf('from c')), false);
    }
  });

  it('what others handed over is in the hashes, or the horizon is not taken over, however old they are', () => {
    const rowKey = rowKeyOf(keyInFront());
    for (const when of ['weighed for another', 'asked again'] as const) {
      const [atA, atB] = [new HookedStorage(true), new HookedStorage(true)];
      let asked = 0;
      const pair: Pair = new Pair({
        partitionCount: 1,
        storages: [atA, atB],
        between: ({ a, b }) => {
          asked++;
          if (asked === 1) for (const side of [a, b]) side.nowMs += 10;
          if (asked === 2 && when === 'asked again') takeFromThird(b, rowKey, pair);
        },
      });
      for (const side of [pair.a, pair.b]) side.put('key', 60);
      pair.a.replica.raiseHorizon(0, horizonOf(100), done);
      pair.pump();
      if (when === 'asked again') {
        // Half of it is weighed, then the purse is empty for 4 s: the rest is asked about again.
        let pages = 0;
        atB.before = () => {
          if (++pages === 100) pair.b.rows.whenAllowed(true, 120_000_000, () => undefined);
        };
      } else {
        // While side a weighs, side b weighs for a third member, and is then handed a row by it.
        atA.before = () => {
          atA.before = undefined;
          for (const side of [pair.a, pair.b]) side.nowMs += 1000;
          const need = { since: pair.b.nowMs, rescan: false, urgent: true, until: Number.POSITIVE_INFINITY };
          const slots = Array.from({ length: 16_384 }, (_, slot) => slot);
          pair.b.rows.refresh(slots, need, (error) => {
            assert.equal(error, undefined);
            takeFromThird(pair.b, rowKey, pair);
          });
        };
      }
      let tries = 0;
      while (!pair.compare(pair.a, { wide: true }).outcomes[0]!.settled) {
        assert.ok(++tries < 3, when);
        assert.equal(pair.b.replica.horizons.horizonOf(0), 0);
      }
      assert.ok(asked > 2, when);
      assert.equal(pair.b.replica.horizons.horizonOf(0), horizonOf(100));
      assert.equal(pair.held(pair.b).has(rowKey), false, when);
    }
  });

  it('keeps a row of the side behind that the side ahead holds damaged', () => {
    const pair = new Pair({ partitionCount: 1 });
    for (let i = 0; i < 20; i++) for (const side of [pair.a, pair.b]) side.put(`key ${i}`, i);
    pair.a.replica.raiseHorizon(0, horizonOf(100), done);
    pair.pump();
    const rowKey = rowKeyOf('key 9');
    const bytes = pair.a.storage.entries!.get(rowKey)!.slice();
    bytes[40]! ^= 1;
    pair.a.storage.entries!.set(rowKey, bytes);
    for (const from of [pair.a, pair.b]) {
      pair.compare(from, { wide: true });
      assert.equal(pair.held(pair.b).has(rowKey), true);
    }
  });

  it('a horizon in the future is not believed', () => {
    for (const side of ['a', 'b'] as const) {
      const pair = new Pair({ partitionCount: 1 });
      pair.b.put('key', 10);
      pair.a.replica.raiseHorizon(0, WALL_MS + 60_000, done);
      pair.pump();
      assert.equal(pair.compare(pair[side], { wide: true }).outcomes[0]!.settled, false);
      assert.equal(pair.b.replica.horizons.horizonOf(0), 0);
      assert.equal(pair.b.replica.horizons.fenceOf(0), 0);
    }
  });

  it('a narrow session leaves horizons that differ to a wide one', () => {
    const pair = new Pair({ partitionCount: 1 });
    pair.b.put('only b', 10);
    pair.a.replica.raiseHorizon(0, horizonOf(100), done);
    pair.pump();
    const [outcome] = pair.compare(pair.a).outcomes;
    assert.equal(outcome!.compared, true);
    assert.equal(outcome!.equal, false);
    assert.equal(outcome!.rowsTaken, 0);
    assert.equal(outcome!.horizonTheirs, 0);
    assert.equal(pair.held(pair.a).size, 0);
  });
});

describe('mutants', () => {
  it('sync-skips-older: rows that the asking side has newer never arrive', () => {
    const pair = new Pair({ mutants: { skipsOlder: true } });
    pair.a.put('key', 1);
    pair.compare(pair.a);
    assert.equal(pair.held(pair.b).size, 0);
  });

  it('horizon-not-caught-up: a deleted row stays', () => {
    const pair = new Pair({ partitionCount: 1, mutants: { horizonNotCaughtUp: true } });
    pair.b.put('deleted elsewhere', 10);
    pair.a.replica.raiseHorizon(0, horizonOf(100), done);
    pair.pump();
    pair.compare(pair.a, { wide: true });
    assert.equal(pair.held(pair.b).size, 1);
  });

  it('tree-not-marked: a side does not see its own writes', () => {
    const pair = new Pair({ forgetful: true });
    pair.compare(pair.a);
    for (let i = 0; i < 30; i++) pair.a.put(`key ${i}`, i);
    pair.compare(pair.a);
    assert.notDeepEqual(pair.held(pair.a), pair.held(pair.b));
  });
});
