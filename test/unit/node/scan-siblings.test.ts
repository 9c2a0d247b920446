/**
 * SCAN over keys of siblings whose replicas differ: which of two made stamps is greater says nothing, so a key that is
 * alive at one replica is not taken for dead by the word of another.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Policy } from '../../../src/coordinator/policy.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const ids = ['n1', 'n2', 'n3'] as const;
const policy: Policy = { r: 2, w: 2, strict: true, conflicts: 'siblings' };
const alone: Policy = { ...policy, r: 1, w: 1, strict: false };

/** A key of which n1 and n2 hold a value, and n3 a delete that had not seen it. */
function divided(laterMs: number): { cluster: PumpedCluster; key: string } {
  const cluster = new PumpedCluster({ policy });
  const key = cluster.keyOf('n3', 'n1');
  cluster.mustWrite('n1', key, 'eggs');
  let context: Uint8Array | undefined;
  cluster.node('n3').readVersions(key, {}, (_error, versions) => {
    context = versions!.context;
  });
  cluster.pump();
  cluster.isolate('n3');
  const early = cluster.seat(laterMs < 0 ? 'n3' : 'n1').clock;
  early.wallMs -= Math.abs(laterMs);
  cluster.mustWrite('n1', key, 'milk', { context: context! });
  cluster.mustWrite('n3', key, undefined, { policy: alone, context: context! });
  early.wallMs += Math.abs(laterMs);
  const rows = new Map(ids.map((id) => [id, cluster.stored(id, key)!]));
  cluster.healAll();
  cluster.advance(500, 50);
  // The disks as they were before hints and repair made them equal.
  for (const [id, row] of rows) cluster.seat(id).storage.entries.set(rowKeyOf(key), row);
  return { cluster, key };
}

for (const laterMs of [100, -100]) {
  test(`a value beside a delete made ${laterMs} ms later is listed at every node`, () => {
    const { cluster, key } = divided(laterMs);
    for (const id of ids) assert.deepEqual(cluster.mustScan(id, 10), [key], id);
    assert.equal(cluster.mustRead('n3', key), 'milk');
    cluster.finish();
  });
}

test('a plain delete later than all siblings is believed', () => {
  const { cluster, key } = divided(100);
  cluster.advance(200, 50);
  const row = cluster.stored('n1', key)!;
  cluster.mustWrite('n3', key, undefined, { policy: { ...policy, conflicts: 'last-write-wins' } });
  cluster.seat('n1').storage.entries.set(rowKeyOf(key), row);
  for (const id of ids) assert.deepEqual(cluster.mustScan(id, 10), [], id);
  cluster.finish();
});
