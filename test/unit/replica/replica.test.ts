/**
 * The replica over a storage that completes when told to: group commit, who is told what and when, the
 * floor, clean-up, damage, and a storage that fails.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import type { ReadWaiter, StoredWaiter } from '../../../src/replica/replica.ts';
import { Replica } from '../../../src/replica/replica.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import type { Row, RowBody, Stamp } from '../../../src/rows/row.ts';
import {
  compareStamps,
  encodeRow,
  encodeStamp,
  KIND_STRING,
  KIND_TOMBSTONE,
  rowKind,
  rowStamp,
  STAMP_NONE,
} from '../../../src/rows/row.ts';
import { ManualStorage } from '../../support/manual-storage.ts';

const rowKey = rowKeyOf('plum');
const otherKey = rowKeyOf('pear');

function row(time: number, text = `at ${time}`, key = rowKey, expireAt = 0): Row {
  const body: RowBody = { kind: KIND_STRING, value: bytesOf(text), expireAt };
  return encodeRow(key, body, { time, logical: 0, actor: 7, counter: time });
}

function stamp(time: number): Stamp {
  return encodeStamp({ time, logical: 0, actor: 7, counter: 0 });
}

class Stored implements StoredWaiter {
  times = 0;
  error: CodedError | undefined = undefined;
  stored(error: CodedError | undefined): void {
    this.times++;
    assert.equal(this.times, 1, 'told once');
    this.error = error;
  }
  /** `waiting`, `stored`, or the code of the error. */
  get state(): string {
    return this.times === 0 ? 'waiting' : (this.error?.code ?? 'stored');
  }
}

class Read implements ReadWaiter {
  times = 0;
  error: CodedError | undefined = undefined;
  stamp: Stamp = STAMP_NONE;
  row: Row | undefined = undefined;
  local(error: CodedError | undefined, stampHeld: Stamp, rowHeld: Row | undefined): void {
    this.times++;
    assert.equal(this.times, 1, 'told once');
    this.error = error;
    this.stamp = stampHeld;
    this.row = rowHeld;
  }
}

interface Desk {
  readonly replica: Replica;
  readonly storage: ManualStorage;
  wakes: number;
  merge(merged: Row, key?: string): Stored;
  read(key?: string): Read;
  raise(time: number): Stored;
}

function desk(storage: ManualStorage = new ManualStorage(false)): Desk {
  const made: Desk = {
    replica: new Replica({
      storage,
      durability: 'always',
      log: LOG_SILENT,
      wake: () => {
        made.wakes++;
      },
      noteOfCommit: () => undefined,
      mutants: new Set(),
    }),
    storage,
    wakes: 0,
    merge(merged, key = rowKey) {
      const waiter = new Stored();
      made.replica.merge(key, merged, waiter);
      return waiter;
    },
    read(key = rowKey) {
      const waiter = new Read();
      made.replica.read(key, waiter);
      return waiter;
    },
    raise(time) {
      const waiter = new Stored();
      made.replica.raiseFloor(stamp(time), waiter);
      return waiter;
    },
  };
  made.replica.start();
  return made;
}

const full = new CodedError('storage-full', 'fail', 'the disk is full');
const failed = new CodedError('storage-failed', 'unknown', 'fsync failed');

describe('group commit', () => {
  test('one batch is under way; what comes meanwhile shares the next', () => {
    const { replica, storage, merge } = desk();
    const first = merge(row(1));
    assert.equal(storage.pending.length, 0, 'nothing goes to storage before the end of the turn');
    replica.commit();
    const second = merge(row(2));
    const third = merge(row(3, 'other', otherKey), otherKey);
    replica.commit();
    replica.commit();
    assert.equal(storage.pending.length, 1, 'the second tray waits for the first');
    assert.deepEqual([first.state, second.state, third.state], ['waiting', 'waiting', 'waiting']);
    storage.complete();
    assert.deepEqual([first.state, second.state, third.state], ['stored', 'waiting', 'waiting']);
    replica.commit();
    assert.equal(storage.pending[0]!.batch.length, 2, 'both rows in one batch');
    storage.complete();
    assert.deepEqual([second.state, third.state], ['stored', 'stored']);
    assert.equal(storage.pendingMax, 1);
  });

  test('the end of a batch asks for the next turn when something waits, and only then', () => {
    const made = desk();
    made.merge(row(1));
    made.replica.commit();
    made.merge(row(2));
    const before = made.wakes;
    made.storage.complete();
    assert.equal(made.wakes, before + 1);
    made.replica.commit();
    made.storage.complete();
    assert.equal(made.wakes, before + 1, 'nothing is left: no turn is asked for');
    made.replica.commit();
    assert.equal(made.storage.pending.length, 0, 'an empty tray is not committed');
  });

  test('rows of one key on one tray are one write of the winner', () => {
    const { replica, storage, merge } = desk();
    const waiters = [merge(row(5)), merge(row(3)), merge(row(9)), merge(row(9)), merge(row(7))];
    replica.commit();
    assert.equal(storage.pending[0]!.batch.length, 1);
    storage.complete();
    assert.deepEqual(storage.entries.get(rowKey), row(9));
    assert.ok(waiters.every((waiter) => waiter.state === 'stored'));
  });

  test('a storage that completes within write, and waiters that merge again at once', () => {
    const { replica, storage } = desk(new ManualStorage(true));
    const told: number[] = [];
    const again = (time: number): StoredWaiter => ({
      stored: () => {
        told.push(time);
        if (time < 5) replica.merge(rowKey, row(time + 1), again(time + 1));
      },
    });
    replica.merge(rowKey, row(1), again(1));
    for (let turn = 0; turn < 5; turn++) replica.commit();
    assert.deepEqual(told, [1, 2, 3, 4, 5]);
    assert.deepEqual(storage.entries.get(rowKey), row(5));
  });
});

describe('nobody is told before it is durable', () => {
  test('a read waits for the tray of its row, and not for other rows', () => {
    const { replica, storage, merge, read } = desk();
    storage.entries.set(otherKey, row(1, 'other', otherKey));
    merge(row(4));
    assert.equal(replica.isPending(rowKey), true);
    const onTray = read();
    assert.equal(read(otherKey).times, 1, 'a row that is not on a tray is read at once');
    replica.commit();
    const underway = read();
    assert.deepEqual([onTray.times, underway.times], [0, 0]);
    storage.complete();
    assert.deepEqual(onTray.row, row(4));
    assert.deepEqual(underway.row, row(4));
    assert.equal(replica.isPending(rowKey), false);
  });

  test('a read of a row on both trays waits for the later one', () => {
    const { replica, storage, merge, read } = desk();
    merge(row(4));
    replica.commit();
    merge(row(6));
    const reader = read();
    storage.complete();
    assert.equal(reader.times, 0);
    replica.commit();
    storage.complete();
    assert.deepEqual(reader.row, row(6));
  });

  test('an older row is acknowledged with the newer one that is under way, and not before', () => {
    const { replica, storage, merge } = desk();
    merge(row(6));
    replica.commit();
    const older = merge(row(4));
    assert.equal(older.state, 'waiting');
    storage.complete();
    assert.equal(older.state, 'stored');
    assert.equal(merge(row(5)).state, 'stored', 'a newer row is durable: nothing to wait for');
  });
});

describe('a storage that refuses or fails', () => {
  test('full: waiters get the error, the row is not there, and later rows are taken again', () => {
    const { replica, storage, merge, read } = desk();
    storage.entries.set(rowKey, row(1));
    const writer = merge(row(2));
    const older = merge(row(1, 'a greater value of the same stamp'));
    replica.commit();
    const reader = read();
    storage.complete(full);
    assert.equal(writer.state, 'storage-full');
    assert.equal(older.state, 'storage-full', 'what leant on the row stands or falls with it');
    assert.equal(reader.error?.code, 'storage-full');
    assert.deepEqual(read().row, row(1), 'what is durable is served');
    assert.equal(replica.failure, undefined);
    const later = merge(row(3));
    replica.commit();
    storage.complete();
    assert.equal(later.state, 'stored');
  });

  test('failed: nothing is believed from then on, and nothing more is written', () => {
    const { replica, storage, merge, read, raise } = desk();
    storage.entries.set(otherKey, row(1, 'other', otherKey));
    const first = merge(row(2));
    replica.commit();
    const nextTray = merge(row(3));
    const nextReader = read();
    const floor = raise(9);
    storage.complete(failed);
    assert.equal(first.state, 'storage-failed');
    replica.commit();
    assert.equal(storage.pending.length, 0, 'the next tray does not go to the failed engine');
    assert.equal(nextTray.state, 'storage-failed');
    assert.equal(nextReader.error?.code, 'storage-failed');
    assert.equal(floor.state, 'storage-failed');
    assert.equal(merge(row(4)).state, 'storage-failed');
    assert.equal(read(otherKey).error?.code, 'storage-failed');
    assert.throws(() => replica.peek(otherKey), CodedError);
    assert.equal(replica.failure, failed);
  });

  test('a read that fails within a merge is answered, not thrown', () => {
    const { storage, merge } = desk();
    storage.getError = new CodedError('storage-failed', 'none', 'read error');
    assert.equal(merge(row(1)).state, 'storage-failed');
  });

  test('a storage that hangs: trays do not grow for ever', () => {
    const { replica, merge, read } = desk();
    const value = 'x'.repeat(1024 * 1024);
    merge(row(1));
    replica.commit();
    let taken = 0;
    for (let i = 0; i < 100; i++) {
      const key = rowKeyOf(`large-${i}`);
      const waiter = merge(row(2, value, key), key);
      if (waiter.state === 'waiting') taken++;
      else assert.equal(waiter.state, 'overloaded');
    }
    assert.ok(taken >= 64 && taken <= 66, `${taken} rows of 1 MiB were taken`);
    assert.equal(read().error?.code, 'overloaded', 'a read that must wait is refused too');
  });
});

describe('the floor', () => {
  test('rows not above it are dead, a missing row reads as a tombstone of its stamp', () => {
    const { replica, storage, merge, read, raise } = desk();
    storage.entries.set(rowKey, row(4));
    const flush = raise(5);
    replica.commit();
    storage.complete();
    assert.equal(flush.state, 'stored');
    for (const key of [rowKey, otherKey]) {
      const reader = read(key);
      assert.equal(reader.row, undefined);
      assert.equal(compareStamps(reader.stamp, stamp(5)), 0);
      assert.equal(replica.peek(key), undefined);
    }
    assert.equal(merge(row(4, 'late')).state, 'stored', 'a late row is acknowledged: the floor answers');
    replica.commit();
    assert.equal(storage.pending.length, 0, 'and it is not stored');
    merge(row(6));
    replica.commit();
    storage.complete();
    assert.deepEqual(read().row, row(6));
  });

  test('it never falls, and is there after a restart', () => {
    const { replica, storage, raise } = desk();
    raise(5);
    replica.commit();
    storage.complete();
    assert.equal(raise(3).state, 'stored');
    assert.equal(compareStamps(replica.floor, stamp(5)), 0);
    const later = desk(new ManualStorage(false, storage.entries));
    assert.equal(compareStamps(later.replica.floor, stamp(5)), 0);
    assert.equal(later.read().row, undefined);
    assert.equal(compareStamps(later.read().stamp, stamp(5)), 0);
  });

  test('nothing that rests on it is told before it is durable', () => {
    const { replica, storage, merge, read, raise } = desk();
    storage.entries.set(rowKey, row(4));
    const flush = raise(5);
    const dead = read();
    const missing = read(otherKey);
    const late = merge(row(3));
    assert.equal(replica.isPending(rowKey), true, 'no fast read either');
    assert.deepEqual([flush.state, dead.times, missing.times, late.state], ['waiting', 0, 0, 'waiting']);
    replica.commit();
    assert.equal(read().times, 0, 'under way is not durable');
    storage.complete();
    assert.deepEqual([flush.state, dead.times, missing.times, late.state], ['stored', 1, 1, 'stored']);
    assert.equal(compareStamps(dead.stamp, stamp(5)), 0);
  });

  test('a floor that could not be stored is stored again before anybody is told of it', () => {
    const { replica, storage, raise, read } = desk();
    const first = raise(5);
    replica.commit();
    storage.complete(full);
    assert.equal(first.state, 'storage-full');
    const second = raise(5);
    const reader = read();
    replica.commit();
    assert.equal(storage.pending.length, 1, 'the note is written again');
    assert.deepEqual([second.state, reader.times], ['waiting', 0]);
    storage.complete();
    assert.deepEqual([second.state, reader.times], ['stored', 1]);
    assert.equal(compareStamps(desk(new ManualStorage(false, storage.entries)).replica.floor, stamp(5)), 0);
  });

  test('a higher floor in the same turn, and one while the first is under way', () => {
    const { replica, storage, raise } = desk();
    const five = raise(5);
    const six = raise(6);
    replica.commit();
    const seven = raise(7);
    storage.complete();
    assert.deepEqual([five.state, six.state, seven.state], ['stored', 'stored', 'waiting']);
    replica.commit();
    storage.complete();
    assert.equal(seven.state, 'stored');
    assert.equal(compareStamps(desk(new ManualStorage(false, storage.entries)).replica.floor, stamp(7)), 0);
  });

  test('a row on the tray when the floor rises above it is dead when its reader is told', () => {
    const { replica, storage, merge, read, raise } = desk();
    merge(row(4));
    const reader = read();
    replica.commit();
    raise(5);
    storage.complete();
    assert.equal(reader.times, 0, 'the floor is not durable yet');
    replica.commit();
    storage.complete();
    assert.equal(reader.row, undefined);
    assert.equal(compareStamps(reader.stamp, stamp(5)), 0);
  });
});

describe('clean-up', () => {
  const entry = (value: Row, key = rowKey): { key: string; value: Row } => ({ key, value });

  test('deletes rows below the floor, and what is left of expired rows is a tombstone', () => {
    const { replica, storage, raise, read } = desk();
    const expired = row(8, 'old news', otherKey, 100);
    storage.entries.set(rowKey, row(4));
    storage.entries.set(otherKey, expired);
    raise(5);
    replica.commit();
    storage.complete();
    assert.equal(replica.cleanUp([entry(row(4)), entry(expired, otherKey)], 200), 2);
    replica.commit();
    storage.complete();
    assert.equal(storage.entries.has(rowKey), false);
    const left = storage.entries.get(otherKey)!;
    assert.equal(rowKind(left), KIND_TOMBSTONE);
    assert.equal(compareStamps(rowStamp(left), rowStamp(expired)), 0);
    assert.equal(compareStamps(read().stamp, stamp(5)), 0);
  });

  test('never replaces a newer row: on a tray, under way, or stored since the page was read', () => {
    const { replica, storage, merge, raise } = desk();
    raise(5);
    replica.commit();
    storage.complete();
    const page = [entry(row(4))];
    storage.entries.set(rowKey, row(4));
    merge(row(8));
    assert.equal(replica.cleanUp(page, 0), 0, 'on the tray');
    replica.commit();
    assert.equal(replica.cleanUp(page, 0), 0, 'under way');
    storage.complete();
    assert.equal(replica.cleanUp(page, 0), 0, 'stored');
    assert.deepEqual(storage.entries.get(rowKey), row(8));
  });

  test('a row written in the same turn survives its own clean-up', () => {
    const { replica, storage, merge, raise } = desk();
    storage.entries.set(rowKey, row(4));
    raise(5);
    replica.commit();
    storage.complete();
    assert.equal(replica.cleanUp([entry(row(4))], 0), 1);
    merge(row(8));
    replica.commit();
    storage.complete();
    assert.deepEqual(storage.entries.get(rowKey), row(8));
  });

  test('rows are not deleted for a floor that is not durable', () => {
    const { replica, storage, raise } = desk();
    storage.entries.set(rowKey, row(4));
    raise(5);
    assert.equal(replica.cleanUp([entry(row(4))], 0), 0);
  });
});

describe('damage', () => {
  test('a damaged row is refused and counted, and an intact one takes its place', () => {
    const { replica, storage, merge, read } = desk();
    const damaged = new Uint8Array(row(4, 'some words'));
    damaged[35]! ^= 1;
    storage.entries.set(rowKey, damaged);
    assert.equal(read().error?.code, 'corrupt');
    assert.throws(() => replica.peek(rowKey), CodedError);
    assert.ok(replica.rowsDamaged >= 2);
    const repair = merge(row(4, 'some words'));
    replica.commit();
    storage.complete();
    assert.equal(repair.state, 'stored');
    assert.deepEqual(read().row, row(4, 'some words'));
  });

  test('a late row older than the damaged one does not take its place; one hour older, it does', () => {
    const { replica, storage, merge, read } = desk();
    const damaged = new Uint8Array(row(10_000_000, 'newest'));
    damaged[35]! ^= 1;
    storage.entries.set(rowKey, damaged);
    const late = merge(row(9_999_999));
    assert.equal(late.state, 'corrupt', 'this replica acknowledged the newer one');
    assert.equal(read().error?.code, 'corrupt');
    const next = merge(row(10_000_001));
    replica.commit();
    storage.complete();
    assert.equal(next.state, 'stored');
    const absurd = new Uint8Array(row(10_000_002));
    absurd[2]! ^= 0x80;
    storage.entries.set(rowKey, absurd);
    assert.equal(merge(row(10_000_003)).state, 'waiting', 'a damaged stamp does not keep the key for ever');
  });

  test('however late: with marks a row of days ago does not take the place of a damaged newer one', () => {
    const day = 86_400_000;
    const storage = new ManualStorage(false);
    const { replica, merge, read } = desk(storage);
    replica.start({ time: 10 * day, logical: 0 });
    const damaged = new Uint8Array(row(9 * day, 'newest'));
    damaged[35]! ^= 1;
    storage.entries.set(rowKey, damaged);
    assert.equal(merge(row(2 * day)).state, 'corrupt', 'the newer one was acknowledged here');
    assert.equal(read().error?.code, 'corrupt');
    damaged[2]! ^= 0x80;
    const fresh = merge(row(10 * day + 1));
    replica.commit();
    storage.complete();
    assert.equal(fresh.state, 'stored', 'a damaged stamp does not keep a new write from the key');
  });

  describe('mended with what a quorum of the others holds', () => {
    const longAfter = 10_000_000;

    function damaged(time: number): { desk: Desk; bytes: Uint8Array } {
      const made = desk();
      const bytes = new Uint8Array(row(time, 'newest'));
      bytes[35]! ^= 1;
      made.storage.entries.set(rowKey, bytes);
      return { desk: made, bytes };
    }

    test('an older row takes the place of a damaged newer one', () => {
      const { replica, storage, read, merge } = damaged(1000).desk;
      assert.equal(replica.replaceDamaged(rowKey, row(900), longAfter), true);
      replica.commit();
      storage.complete();
      assert.deepEqual(read().row, row(900));
      assert.equal(replica.replaceDamaged(rowKey, row(800), longAfter), false, 'it is intact now');
      merge(row(1000));
      replica.commit();
      storage.complete();
      assert.deepEqual(read().row, row(1000), 'the newer one is still welcome');
    });

    test('not one stamped about now, which a write under way may count on; but by a row not older', () => {
      const { desk: made, bytes } = damaged(1000);
      const { replica, storage } = made;
      for (const wall of [900, 1000, 60_000]) {
        assert.equal(replica.replaceDamaged(rowKey, row(900), wall), false);
        assert.equal(replica.replaceDamaged(rowKey, undefined, wall), false);
      }
      replica.commit();
      assert.equal(storage.pending.length, 0);
      assert.deepEqual(storage.entries.get(rowKey), bytes);
      assert.equal(replica.replaceDamaged(rowKey, row(1000), 1000), true);
    });

    test('nothing there, or what a flush declared dead: it is deleted', () => {
      const { replica, storage } = damaged(1000).desk;
      assert.equal(replica.replaceDamaged(rowKey, undefined, longAfter), true);
      replica.commit();
      storage.complete();
      assert.equal(storage.entries.has(rowKey), false);
      assert.equal(replica.replaceDamaged(rowKey, row(5), longAfter), false, 'a missing row is not damaged');

      const other = damaged(1000).desk;
      other.raise(950);
      assert.equal(other.replica.replaceDamaged(rowKey, row(900), longAfter), false, 'the floor may yet go');
      other.replica.commit();
      other.storage.complete();
      assert.equal(other.replica.replaceDamaged(rowKey, row(900), longAfter), true);
      other.replica.commit();
      other.storage.complete();
      assert.equal(other.storage.entries.has(rowKey), false);
    });

    test('a row on its way is left alone, and one the engine gives no bytes of is not', () => {
      const { replica, storage, merge, read } = damaged(1000).desk;
      merge(row(1001));
      assert.equal(replica.replaceDamaged(rowKey, row(900), longAfter), false);
      replica.commit();
      assert.equal(replica.replaceDamaged(rowKey, row(900), longAfter), false);
      storage.complete();
      storage.getError = new CodedError('unavailable', 'none', 'being opened anew');
      assert.equal(replica.replaceDamaged(rowKey, row(900), longAfter), false);
      storage.getError = new CodedError('corrupt', 'none', 'a block fails its checksum');
      assert.equal(replica.replaceDamaged(rowKey, row(900), longAfter), true);
      replica.commit();
      storage.complete();
      storage.getError = undefined;
      assert.deepEqual(read().row, row(900));
    });
  });

  test('a row meant for another key is damage too', () => {
    const { storage, read } = desk();
    storage.entries.set(rowKey, row(4, 'other', otherKey));
    assert.equal(read().error?.code, 'corrupt');
  });
});
