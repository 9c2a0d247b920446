/**
 * Slot marks: a row stamped above its slot's mark is taken without a look at what is stored. That is only
 * right if no stored row is ever above the mark, also after a restart.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import type { HlcReading } from '../../../src/causality/hlc.ts';
import { clockMark } from '../../../src/node/identity.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { Replica } from '../../../src/replica/replica.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import {
  compareRowStamps,
  encodeRow,
  KIND_STRING,
  type Row,
  rowLogical,
  rowTime,
} from '../../../src/rows/row.ts';
import { ManualStorage } from '../../support/manual-storage.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const key = rowKeyOf('plum');

function row(time: number, logical = 0, actor = 7): Row {
  const body = { kind: KIND_STRING, value: bytesOf(`${time}.${logical}.${actor}`), expireAt: 0 };
  return encodeRow(key, body, { time, logical, actor, counter: 0 });
}

/** A replica on `storage` as it is after a restart, told that nothing there is above `mark`. */
function replicaOn(storage: ManualStorage, mark: HlcReading | undefined): Replica {
  const replica = new Replica({
    storage,
    durability: 'always',
    log: LOG_SILENT,
    wake: () => {},
    noteOfCommit: () => undefined,
    mutants: new Set(),
  });
  replica.start(mark);
  return replica;
}

function take(replica: Replica, merged: Row): void {
  replica.merge(key, merged, undefined);
  replica.commit();
}

function stored(storage: ManualStorage): Row {
  const held = storage.get(key);
  assert.ok(held !== undefined);
  return held;
}

describe('slot marks', () => {
  test('whatever the order rows come in, the greatest stays', () => {
    const rows = [row(5), row(3), row(5, 1), row(5, 1, 9), row(5, 1, 8), row(4, 9)];
    for (let round = 0; round < 50; round++) {
      const storage = new ManualStorage(true);
      const replica = replicaOn(storage, { time: 0, logical: 0 });
      const order = rows.map((_, index) => rows[(index * 5 + round) % rows.length]!);
      for (const merged of order) take(replica, merged);
      assert.equal(compareRowStamps(stored(storage), row(5, 1, 9)), 0);
    }
  });

  test('after a restart an older row does not replace a newer one, with the mark or without', () => {
    for (const mark of [{ time: 9, logical: 2 }, undefined]) {
      const storage = new ManualStorage(true);
      take(replicaOn(storage, { time: 0, logical: 0 }), row(9, 2));
      take(replicaOn(storage, mark), row(9, 1));
      assert.equal(compareRowStamps(stored(storage), row(9, 2)), 0);
    }
  });

  test('a mark below what is stored would lose it: this is what the clock note is for', () => {
    const storage = new ManualStorage(true);
    take(replicaOn(storage, { time: 0, logical: 0 }), row(9, 2));
    take(replicaOn(storage, { time: 0, logical: 0 }), row(9, 1));
    assert.equal(compareRowStamps(stored(storage), row(9, 1)), 0);
  });

  test('the note stored with a batch is never below a row in storage, on any node', () => {
    const cluster = new PumpedCluster({ policy: 'PA/EC' });
    for (let i = 0; i < 30; i++) {
      cluster.mustWrite(`n${(i % 3) + 1}`, `key${i % 7}`, `value ${i}`);
      for (const id of ['n1', 'n2', 'n3']) {
        const mark = clockMark(cluster.seat(id).storage);
        assert.ok(mark !== undefined);
        const held = cluster.stored(id, `key${i % 7}`);
        assert.ok(held !== undefined);
        const above =
          rowTime(held) > mark.time || (rowTime(held) === mark.time && rowLogical(held) > mark.logical);
        assert.equal(above, false);
      }
    }
    cluster.finish();
  });
});
