/**
 * Horizons and fences at the replica: what is too old to be taken from a message, what counts as gone,
 * and that both lines survive a restart.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import type { CodedError } from '../../../src/base/errors.ts';
import type { WriteEvent } from '../../../src/causality/version-set.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { horizonOfRow, mergeHanded } from '../../../src/replica/hand.ts';
import { type MergeSource, Replica } from '../../../src/replica/replica.ts';
import { rowKeyOf, rowKeySlot } from '../../../src/rows/key.ts';
import {
  encodeRow,
  isExpired,
  KIND_STRING,
  KIND_TOMBSTONE,
  type Row,
  rowDeathTime,
  rowStamp,
  rowTime,
  tombstoneOf,
} from '../../../src/rows/row.ts';
import { rowOfVersions, versionsOfRow } from '../../../src/rows/siblings.ts';
import { ManualStorage } from '../../support/manual-storage.ts';

const key = rowKeyOf('plum');
const partition = rowKeySlot(key) >> 4;

function row(time: number, kind = KIND_STRING, expireAt = 0): Row {
  const value = kind === KIND_STRING ? bytesOf(`at ${time}`) : new Uint8Array(0);
  return encodeRow(key, { kind, value, expireAt }, { time, logical: 0, actor: 7, counter: time });
}

function replicaOn(storage: ManualStorage, mutants: readonly string[] = []): Replica {
  const replica = new Replica({
    storage,
    durability: 'always',
    log: LOG_SILENT,
    wake: () => {},
    noteOfCommit: () => undefined,
    mutants: new Set(mutants),
  });
  replica.start({ time: 0, logical: 0 });
  return replica;
}

/** Merges and commits; the code of the refusal, or 'ok'. */
function taken(replica: Replica, merged: Row, source: MergeSource = 'request'): string {
  let answer = 'nothing';
  replica.merge(
    key,
    merged,
    { stored: (error: CodedError | undefined) => (answer = error?.code ?? 'ok') },
    source,
  );
  replica.commit();
  return answer;
}

const ignored = { stored: (): void => {} };

describe('horizons', () => {
  test('behind the fence a row that is not held is refused from a message, and taken from a replica', () => {
    const storage = new ManualStorage(true);
    const replica = replicaOn(storage);
    replica.raiseFence(partition, 100, ignored);
    replica.commit();
    assert.equal(taken(replica, row(100)), 'straggler');
    assert.equal(storage.get(key), undefined);
    assert.equal(taken(replica, row(101)), 'ok');
    assert.equal(taken(replica, row(90)), 'ok', 'an older row than the one held is no news');
    const other = replicaOn(new ManualStorage(true));
    other.raiseFence(partition, 100, ignored);
    assert.equal(taken(other, row(100), 'sync'), 'ok');
  });

  test('a row that a read hands on is taken as the word of its holder, if the holder is not behind', () => {
    const handed = (ours: number, theirs: number, body: Row = row(50)): string => {
      const storage = new ManualStorage(true);
      const replica = replicaOn(storage);
      if (ours > 0) replica.raiseHorizon(partition, ours, ignored);
      replica.raiseFence(partition, 100, ignored);
      replica.commit();
      let answer = 'nothing';
      mergeHanded(replica, key, body, theirs, { stored: (error) => (answer = error?.code ?? 'ok') });
      replica.commit();
      const held = storage.get(key) === undefined ? 'not held' : 'held';
      return `${answer}, ${held}, ${replica.horizons.handedBehindFence(partition)}`;
    };
    assert.equal(handed(80, 80), 'ok, held, 1');
    assert.equal(handed(80, 90), 'ok, held, 1');
    assert.equal(handed(80, 79), 'straggler, not held, 0', 'it may have been deleted between the horizons');
    assert.equal(handed(0, 90), 'straggler, not held, 0', 'our own may be forgotten');
    assert.equal(handed(80, 0), 'straggler, not held, 0', 'nobody vouches for it');
    assert.equal(handed(80, 80, row(50, KIND_TOMBSTONE)), 'ok, not held, 0', 'it is gone');
    assert.equal(handed(80, 0, row(101)), 'ok, held, 0', 'before the fence nobody asks');
  });

  test('a row that is about to be deleted is held under no horizon', () => {
    const replica = replicaOn(new ManualStorage(true));
    const held = row(50);
    assert.equal(taken(replica, held), 'ok');
    replica.raiseHorizon(partition, 80, ignored);
    replica.commit();
    assert.equal(horizonOfRow(replica, key), 80);
    assert.equal(replica.dropRows([{ key, stamp: rowStamp(held) }], undefined), 1);
    assert.equal(horizonOfRow(replica, key), 0);
  });

  test('a slot that was quiet before the fence rose has no fast way past it', () => {
    const replica = replicaOn(new ManualStorage(true));
    assert.equal(taken(replica, row(10)), 'ok');
    replica.raiseFence(partition, 100, ignored);
    assert.equal(taken(replica, row(50)), 'straggler');
    assert.equal(taken(replica, row(50, KIND_TOMBSTONE)), 'straggler');
  });

  test('only the partition that was fenced is', () => {
    const replica = replicaOn(new ManualStorage(true));
    replica.raiseFence(partition + 1, 100, ignored);
    replica.raiseFence(partition - 1, 100, ignored);
    assert.equal(taken(replica, row(50)), 'ok');
  });

  test('fence and horizon survive a restart', () => {
    const storage = new ManualStorage(true);
    const replica = replicaOn(storage);
    replica.raiseHorizon(partition, 80, ignored);
    replica.raiseFence(partition, 100, ignored);
    replica.commit();
    const again = replicaOn(storage);
    assert.equal(again.horizons.fenceOf(partition), 100);
    assert.equal(again.horizons.horizonOf(partition), 80);
    assert.equal(taken(again, row(100)), 'straggler');
    assert.equal(taken(replicaOn(storage, ['fence-forgotten']), row(90)), 'ok', 'the mutant forgets it');
  });

  test('what died before the horizon counts as gone, and is cleaned up', () => {
    const storage = new ManualStorage(true);
    const replica = replicaOn(storage);
    assert.equal(taken(replica, row(50, KIND_TOMBSTONE)), 'ok');
    replica.raiseHorizon(partition, 49, ignored);
    replica.commit();
    assert.equal(replica.isGone(key, row(50, KIND_TOMBSTONE)), false);
    assert.equal(replica.cleanUp([{ key, value: row(50, KIND_TOMBSTONE) }], 0), 0);
    replica.raiseHorizon(partition, 50, ignored);
    assert.equal(replica.isGone(key, row(50, KIND_TOMBSTONE)), true);
    assert.equal(replica.isGone(key, row(50)), false, 'a living row stays');
    assert.equal(replica.cleanUp([{ key, value: row(50, KIND_TOMBSTONE) }], 0), 1);
    replica.commit();
    assert.equal(storage.get(key), undefined);
    assert.equal(taken(replica, row(50, KIND_TOMBSTONE), 'sync'), 'ok', 'nothing to keep, so all is well');
    assert.equal(storage.get(key), undefined);
  });

  test('an expired row is gone only when it expired before the horizon, and its tombstone knows when', () => {
    const storage = new ManualStorage(true);
    const replica = replicaOn(storage);
    const expiring = row(50, KIND_STRING, 70);
    assert.equal(rowDeathTime(expiring), 70);
    const tombstone = tombstoneOf(key, expiring);
    assert.equal(rowTime(tombstone), 50);
    assert.equal(rowDeathTime(tombstone), 70);
    assert.equal(isExpired(expiring, 71), true);
    replica.raiseHorizon(partition, 60, ignored);
    assert.equal(replica.isGone(key, expiring), false);
    assert.equal(replica.isGone(key, tombstone), false);
    replica.raiseHorizon(partition, 70, ignored);
    assert.equal(replica.isGone(key, expiring), true);
    assert.equal(replica.isGone(key, tombstone), true);
    assert.equal(rowDeathTime(row(50, KIND_STRING, 20)), 50, 'nothing dies before it is written');
    assert.equal(rowDeathTime(row(50)), Number.POSITIVE_INFINITY);
  });

  test('rows are dropped only as they were seen', () => {
    const storage = new ManualStorage(true);
    const replica = replicaOn(storage);
    taken(replica, row(50));
    const stamp = row(50).slice(2, 22);
    taken(replica, row(60));
    assert.equal(replica.dropRows([{ key, stamp }], undefined), 0);
    assert.equal(replica.dropRows([{ key, stamp: row(60).slice(2, 22) }], undefined), 1);
    replica.commit();
    assert.equal(storage.get(key), undefined);
  });

  test('the watcher is told of every row that changes, and not of notes', () => {
    const changed: string[] = [];
    const storage = new ManualStorage(true);
    const replica = new Replica({
      storage,
      durability: 'always',
      log: LOG_SILENT,
      wake: () => {},
      noteOfCommit: () => ({ key: '\xffclock', value: new Uint8Array(8) }),
      watcher: { rowChanged: (rowKey) => changed.push(rowKey) },
      mutants: new Set(),
    });
    replica.start({ time: 0, logical: 0 });
    taken(replica, row(50));
    replica.dropRows([{ key, stamp: row(50).slice(2, 22) }], undefined);
    replica.commit();
    assert.deepEqual(changed, [key, key]);
  });
});

describe('siblings behind the horizon', () => {
  const event = (time: number, actor = 7): WriteEvent => ({ time, logical: 0, actor, counter: time });
  const siblings = (vector: readonly WriteEvent[], shown: readonly WriteEvent[]): Row =>
    rowOfVersions(key, {
      vector,
      register: undefined,
      siblings: shown.map((one) => ({
        event: one,
        value: { kind: KIND_STRING, value: bytesOf(`at ${one.time}`), expireAt: 0 },
      })),
    })!;
  const shownTimes = (replica: Replica): number[] =>
    versionsOfRow(replica.held(key)).siblings.map((one) => one.event.time);

  /** The sweep that deletes what may be. */
  const sweep = (replica: Replica, storage: ManualStorage): void => {
    const entries = [...storage.entries].filter(([name]) => name === key);
    replica.cleanUp(
      entries.map(([name, value]) => ({ key: name, value })),
      0,
    );
    replica.commit();
  };
  const raise = (replica: Replica, time: number, wall: number): void => {
    replica.raiseHorizon(partition, time, { stored: () => {} }, wall);
    replica.commit();
  };

  test('a dead row is deleted when a second horizon stands beyond the proof of the first', () => {
    for (const mutant of [undefined, 'sibling-forgotten-early']) {
      const storage = new ManualStorage(true);
      const replica = replicaOn(storage, mutant === undefined ? [] : [mutant]);
      assert.equal(taken(replica, siblings([event(100)], [])), 'ok');
      raise(replica, 150, 10_000);
      sweep(replica, storage);
      assert.equal(storage.entries.has(key), mutant === undefined, 'the first horizon covers it');
      raise(replica, 9000, 11_000);
      sweep(replica, storage);
      assert.equal(storage.entries.has(key), mutant === undefined, 'not beyond the moment of the proof');
      raise(replica, 13_000, 15_000);
      sweep(replica, storage);
      assert.equal(storage.entries.has(key), false);
    }
  });

  test('a value from before it that is not held was overwritten, whatever a younger row says', () => {
    const young = siblings([event(100), event(300, 8)], [event(100), event(300, 8)]);
    for (const [mutant, times] of [
      [undefined, [300]],
      ['sibling-settled-returns', [100, 300]],
    ] as const) {
      const replica = replicaOn(new ManualStorage(true), mutant === undefined ? [] : [mutant]);
      raise(replica, 150, 10_000);
      assert.equal(taken(replica, young, 'sync'), 'ok');
      assert.deepEqual(shownTimes(replica), times);
    }
  });

  test('a value from before it that is held stays, and one from after it is taken', () => {
    const replica = replicaOn(new ManualStorage(true));
    assert.equal(taken(replica, siblings([event(100)], [event(100)])), 'ok');
    raise(replica, 150, 10_000);
    const young = siblings(
      [event(100), event(200, 8), event(300, 9)],
      [event(100), event(200, 8), event(300, 9)],
    );
    assert.equal(taken(replica, young), 'ok');
    assert.deepEqual(shownTimes(replica), [100, 200, 300]);
  });

  test('what mends a damaged row brings its values back', () => {
    const storage = new ManualStorage(true);
    const replica = replicaOn(storage);
    const held = siblings([event(100)], [event(100)]);
    assert.equal(taken(replica, held), 'ok');
    raise(replica, 150, 10_000);
    const rotten = held.slice();
    rotten[rotten.length - 1]! ^= 1;
    storage.entries.set(key, rotten);
    const younger = siblings([event(120, 8)], [event(120, 8)]);
    assert.equal(
      replica.replaceDamaged(key, younger, 130),
      false,
      'a write under way may count on what rotted',
    );
    assert.equal(replica.replaceDamaged(key, held, Number.POSITIVE_INFINITY), true);
    replica.commit();
    assert.deepEqual(shownTimes(replica), [100]);
  });
});
