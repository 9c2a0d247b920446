/**
 * A row behind the fence that one of two live replicas lacks: a strict read hands it on, as the word of the
 * replica that holds it, and answers. With `handed-row-refused` it cannot.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { PumpedCluster, textOf } from '../../support/pumped-cluster.ts';

/** Three replicas whose horizons have passed the row `k`; then n2 lacks it, and n3 is away. */
function clusterBehindFence(mutants: readonly string[]): PumpedCluster {
  const cluster = new PumpedCluster({
    policy: 'PC/EC',
    partitionCount: 4,
    limits: { horizonIntervalMs: 50, horizonMarginMs: 100, repairIntervalMs: 3_600_000, hintBytesMax: 1 },
    mutants,
  });
  cluster.mustWrite('n1', 'k', 'v');
  cluster.advance(4000);
  cluster.seat('n2').storage.entries.delete(rowKeyOf('k'));
  cluster.isolate('n3');
  cluster.pump();
  return cluster;
}

describe('a row behind the fence that a replica lacks', () => {
  for (const reader of ['n1', 'n2']) {
    test(`is handed on by a strict read at ${reader}`, () => {
      const cluster = clusterBehindFence([]);
      assert.equal(cluster.mustRead(reader, 'k'), 'v');
      assert.ok(cluster.stored('n2', 'k'), 'the read wrote it back');
      cluster.finish();
    });

    test(`fails a strict read at ${reader} where it is taken for a late message`, () => {
      const cluster = clusterBehindFence(['handed-row-refused']);
      const read = cluster.read(reader, 'k');
      cluster.pump();
      assert.equal(read.error?.code, 'quorum-unreachable');
      assert.equal(textOf(read.value), undefined);
      cluster.finish();
    });
  }
});
