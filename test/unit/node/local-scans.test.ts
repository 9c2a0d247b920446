/** The sweep of one node by hand: a flush that its disk did not take is stored once there is space. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { LocalScans } from '../../../src/node/local-scans.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { Replica } from '../../../src/replica/replica.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { encodeStamp } from '../../../src/rows/row.ts';
import { ManualStorage } from '../../support/manual-storage.ts';

function startedOn(storage: ManualStorage): Replica {
  const replica = new Replica({
    storage,
    durability: 'always',
    log: LOG_SILENT,
    wake: () => {},
    noteOfCommit: () => undefined,
    partitionCount: 64,
    mutants: new Set(),
  });
  replica.start({ time: 0, logical: 0 });
  return replica;
}

test('a flush that met a full disk is stored when there is space, though nobody asks for a row', () => {
  const storage = new ManualStorage(true);
  const replica = startedOn(storage);
  const scans = new LocalScans(
    storage,
    replica,
    () => 0,
    () => true,
    () => {},
    () => {},
  );
  const codes: (string | undefined)[] = [];
  storage.writeError = new CodedError('storage-full', 'fail', 'no space');
  const stamp = encodeStamp({ time: 1_700_000_000_000, logical: 0, actor: 7, counter: 1 });
  replica.raiseFloor(stamp, { stored: (error) => codes.push(error?.code) });
  replica.commit();
  assert.deepEqual(codes, ['storage-full']);
  for (let now = 5; now < 3000; now += 5) {
    scans.sweep(now);
    replica.commit();
  }
  assert.equal(replica.isFloorDurable, false, 'the disk is full still');
  assert.equal(replica.isPending(rowKeyOf('key')), true, 'a row may be dead, or not');
  storage.writeError = undefined;
  for (let now = 3000; now < 4100; now += 5) {
    scans.sweep(now);
    replica.commit();
  }
  assert.equal(replica.isFloorDurable, true);
  assert.equal(replica.isPending(rowKeyOf('key')), false);
  const again = startedOn(storage);
  assert.deepEqual(again.floor, stamp, 'a restart finds it');
});
