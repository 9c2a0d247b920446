/**
 * Comparisons while owners change: rows are given away by one who is no owner any more, nobody learns from such a
 * one what was deleted, and an empty side gets all rows for little more than their bytes.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { place } from '../../../src/ring/placement.ts';
import { slotOf as slotOfName } from '../../../src/ring/slots.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { Pair, type Side, totals, WALL_MS } from '../../support/repair-pair.ts';

const horizonOf = (ms: number): number => WALL_MS - 1_000_000 + ms;
const done = { stored: () => undefined };
const gives = { wide: true, gives: true };

/** The owners are others now. */
function disown(side: Side): void {
  const members = ['x', 'y'].map((id) => ({ id, weight: 1, zone: 'z' }));
  const { partitionCount } = side.table;
  side.topology = Topology.founding([], place(undefined, members, { partitionCount, replicaCount: 2 }));
}

function damage(side: Side, key: string): void {
  const row = side.storage.entries!.get(rowKeyOf(key))!;
  row[row.length - 1]! ^= 1;
  side.forest.markRange(0, 16_384);
}

describe('a session that gives', () => {
  it('brings the owner what it lacks or has older, and takes nothing', () => {
    const pair = new Pair({ partitionCount: 1 });
    for (let i = 0; i < 300; i++) {
      if (i % 3 !== 1) pair.a.put(`key ${i}`, i % 5 === 0 ? 1000 + i : i);
      if (i % 3 !== 2) pair.b.put(`key ${i}`, i % 7 === 0 ? 2000 + i : i);
    }
    const before = pair.held(pair.a);
    disown(pair.a);
    const { error, outcomes } = pair.compare(pair.a, gives);
    assert.equal(error, undefined);
    assert.equal(totals(outcomes).unresolved, 0);
    assert.ok(totals(outcomes).sent > 100);
    assert.equal(totals(outcomes).taken, 0);
    assert.deepEqual(pair.held(pair.a), before);
    const held = pair.held(pair.b);
    assert.equal(held.size, 300);
    for (let i = 0; i < 300; i++) {
      const ours = i % 3 === 1 ? -1 : i % 5 === 0 ? 1000 + i : i;
      const theirs = i % 3 === 2 ? -1 : i % 7 === 0 ? 2000 + i : i;
      const winner = ours > theirs ? pair.a : pair.b;
      const key = rowKeyOf(`key ${i}`);
      assert.deepEqual(pair.b.storage.entries!.get(key), winner.storage.entries!.get(key), `key ${i}`);
    }
    // Once more: the owner has everything, and is asked for nothing.
    const again = pair.compare(pair.a, gives);
    assert.equal(totals(again.outcomes).sent, 0);
    assert.equal(totals(again.outcomes).unresolved, 0);
  });

  it('deletes nothing at the owner, whatever is lacking here, and raises nobody’s horizon', () => {
    const pair = new Pair({ partitionCount: 1 });
    pair.b.put('only theirs', 50);
    pair.a.put('only ours', 60);
    pair.a.replica.raiseHorizon(0, horizonOf(100), done);
    pair.pump();
    const { error, outcomes } = pair.compare(pair.a, gives);
    assert.equal(error, undefined);
    assert.equal(totals(outcomes).dropped, 0);
    assert.ok(pair.b.storage.entries!.has(rowKeyOf('only theirs')));
    assert.equal(pair.b.replica.horizons.horizonOf(0), 0);
    assert.ok(
      pair.b.storage.entries!.has(rowKeyOf('only ours')),
      'we agreed with all replicas that it lives',
    );
  });

  it('drops here what was deleted and collected at the owner, and takes over no horizon', () => {
    const pair = new Pair({ partitionCount: 1 });
    for (const side of [pair.a, pair.b]) side.put('kept', 40);
    pair.a.put('deleted there', 50);
    pair.a.put('written since', 150);
    pair.b.replica.raiseHorizon(0, horizonOf(100), done);
    pair.pump();
    const { error, outcomes } = pair.compare(pair.a, gives);
    assert.equal(error, undefined);
    assert.equal(totals(outcomes).unresolved, 0);
    assert.equal(pair.b.storage.entries!.has(rowKeyOf('deleted there')), false);
    assert.equal(pair.a.storage.entries!.has(rowKeyOf('deleted there')), false);
    assert.ok(pair.b.storage.entries!.has(rowKeyOf('written since')));
    assert.equal(pair.a.replica.horizons.horizonOf(0), 0);
    assert.equal(pair.a.replica.horizons.fenceOf(0), horizonOf(100), 'nothing late slips in behind it');
  });

  it('is not done while the owner’s row is damaged, and does not wait for one of its own', () => {
    const pair = new Pair({ partitionCount: 1 });
    for (const key of ['one', 'two']) for (const side of [pair.a, pair.b]) side.put(key, 10);
    damage(pair.a, 'one');
    assert.equal(totals(pair.compare(pair.a, gives).outcomes).unresolved, 0);
    damage(pair.b, 'two');
    assert.ok(totals(pair.compare(pair.a, gives).outcomes).unresolved > 0);
  });
});

describe('one who is no owner any more', () => {
  it('answers no question', () => {
    const pair = new Pair({ partitionCount: 1 });
    pair.a.put('key', 10);
    disown(pair.b);
    for (const wide of [false, true]) {
      const { error, outcomes } = pair.compare(pair.a, { wide });
      assert.notEqual(error, undefined);
      assert.equal(outcomes[0]!.equal, false);
    }
  });

  for (const at of [3, 5, 7, 9, 11, 13]) {
    it(`answers no more from message ${at} of a comparison on, and nothing is taken for deleted`, () => {
      let messages = 0;
      const pair: Pair = new Pair({
        partitionCount: 1,
        between: () => {
          messages = pair.messages - before;
          if (messages < at || pair.b.topology !== known) return;
          // It was shown to its owners, and the first rows are dropped.
          disown(pair.b);
          for (const key of keys.slice(0, 30)) pair.b.storage.entries!.delete(rowKeyOf(key));
        },
      });
      const known = pair.b.topology;
      const keys = Array.from({ length: 40 }, (_, i) => `key ${i}`);
      for (const key of keys) for (const side of [pair.a, pair.b]) side.put(key, 10);
      pair.a.put('another', 20);
      // What was settled at `b` is not at `a`: rows that `b` lacks would be taken for deleted ones.
      pair.b.replica.raiseHorizon(0, horizonOf(100), done);
      pair.b.put('newer', 200);
      pair.pump();
      const before = pair.messages;
      const { error } = pair.compare(pair.a, { wide: true });
      const isOver = pair.b.topology === known;
      assert.equal(error === undefined, isOver, `${error?.message}`);
      for (const key of keys) assert.ok(pair.a.storage.entries!.has(rowKeyOf(key)), key);
    });
  }
});

describe('an empty side', () => {
  for (const [name, perSlot] of [
    ['few', 0.2],
    ['many', 20],
  ] as const) {
    it(`gets ${name} rows of 1 KiB for at most 1.1 times their bytes`, () => {
      const pair = new Pair({ partitionCount: 1024 });
      const text = 'x'.repeat(1000);
      const partition = 77;
      const slots = new Set(Array.from({ length: 16 }, (_, i) => partition * 16 + i));
      for (let i = 0, left = perSlot * 16; left > 0; i++) {
        const slot = pair.b.table.partitionOfSlot(slotOfName(`key ${i}`));
        if (slot !== partition) continue;
        pair.b.put(`key ${i}`, i, text);
        left--;
      }
      assert.equal(slots.size, 16);
      const { error, outcomes, bytes } = pair.compare(pair.a, {
        wide: true,
        moves: true,
        partitions: [partition],
      });
      assert.equal(error, undefined);
      assert.deepEqual(pair.held(pair.a), pair.held(pair.b));
      const { rowBytes } = totals(outcomes);
      assert.ok(rowBytes >= perSlot * 16 * 1000);
      assert.ok(bytes / rowBytes <= 1.1, `${bytes / rowBytes}`);
    });
  }
});
