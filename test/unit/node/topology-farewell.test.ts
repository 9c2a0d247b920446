/** Who goes stays an owner until those who stay have turned the page, in clusters moved by hand. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ByteString } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import type { TopologyPhase } from '../../../src/topology/topology.ts';
import { pumpedMember } from '../../support/pumped-cluster.ts';
import { TopologyCluster } from '../../support/topology-cluster.ts';

/** One replica a key, linearizable: where a partition moves, its old owner and its new one are both needed. */
const alone = { replicas: 1, policy: { r: 1, w: 1, strict: true } } as const;
const full = new CodedError('storage-full', 'fail', 'the disk is full');

function stepUntil(cluster: TopologyCluster, what: string, isSo: () => boolean): void {
  for (let steps = 0; !isSo(); steps++) {
    assert.ok(steps < 20_000, what);
    if (!cluster.step()) cluster.advance(5);
  }
}

function untilAllAt(
  cluster: TopologyCluster,
  phase: TopologyPhase,
  ids: readonly string[] = cluster.ids,
): void {
  stepUntil(cluster, `${ids.join(', ')} at ${phase}`, () =>
    ids.every((id) => cluster.node(id).topology.phase === phase),
  );
}

/** A key that `from` owns by one list of the page that n2 goes by, and n2 by the other. */
function keyBetween(cluster: TopologyCluster, from: string): ByteString {
  const { read, other } = cluster.node('n2').topology;
  const owners = [from, 'n2'].join();
  for (let i = 0; i < 10_000; i++) {
    const key = `key-${i}`;
    const lists = [read, other!].flatMap((table) => table.preferenceList(slotOf(key)));
    if (lists.sort().reverse().join() === owners) return key;
  }
  throw new Error(`nothing moves between ${owners}`);
}

/** n4 leaves, and all but n2 have turned the last page. */
function lateCopy(mutants: readonly string[] = []): TopologyCluster {
  const cluster = new TopologyCluster({ nodes: 4, ...alone, mutants });
  cluster.mustBegin('n1', { kind: 'leave', id: 'n4' });
  untilAllAt(cluster, 'switch');
  cluster.seat('n2').storage.writeError = full;
  untilAllAt(cluster, 'steady', ['n1', 'n3']);
  assert.equal(cluster.node('n2').topology.phase, 'switch');
  return cluster;
}

function hasLeft(cluster: TopologyCluster, id: string): boolean {
  const { node, events } = cluster.seat(id);
  assert.equal(node.topology.has(id), !events.includes('left-cluster'));
  return !node.topology.has(id);
}

describe('who goes', () => {
  it('stays an owner for a node that copies the last page later than the others, and takes no requests', () => {
    const cluster = lateCopy();
    const key = keyBetween(cluster, 'n4');
    cluster.seat('n2').storage.writeError = undefined;
    cluster.mustWrite('n2', key, 'value');
    assert.equal(cluster.mustRead('n2', key), 'value');
    assert.equal(cluster.node('n2').topology.phase, 'switch');
    assert.ok(cluster.stored('n4', key) !== undefined);
    const refused = cluster.write('n4', key, 'other');
    assert.deepEqual([refused.error?.code, refused.error?.outcome], ['unavailable', 'fail']);
    assert.equal(hasLeft(cluster, 'n4'), false);
    // n2 tries its disk again, turns the page, and is seen to.
    cluster.advance(600);
    assert.equal(cluster.untilSteady().has('n4'), false);
    assert.equal(hasLeft(cluster, 'n4'), true);
    assert.equal(cluster.mustRead('n1', key), 'value');
    cluster.finish();
  });

  it('would leave a request without an owner if it went at once', () => {
    const cluster = lateCopy(['leaver-goes-at-once']);
    const key = keyBetween(cluster, 'n4');
    assert.equal(hasLeft(cluster, 'n4'), true);
    cluster.seat('n2').storage.writeError = undefined;
    const write = cluster.answered(cluster.write('n2', key, 'value'));
    assert.deepEqual([write.error?.code, write.error?.outcome], ['quorum-unreachable', 'fail']);
    cluster.advance(600);
    cluster.untilSteady();
    cluster.finish();
  });

  it('stays for two seconds and no longer', () => {
    const cluster = lateCopy();
    cluster.advance(1500);
    assert.equal(hasLeft(cluster, 'n4'), false);
    cluster.advance(700);
    assert.equal(hasLeft(cluster, 'n4'), true);
    assert.equal(cluster.node('n2').topology.phase, 'switch');
    cluster.seat('n2').storage.writeError = undefined;
    cluster.advance(600);
    assert.equal(cluster.untilSteady().has('n4'), false);
    cluster.finish();
  });

  it('does not wait for a node that is down', () => {
    const cluster = lateCopy();
    cluster.kill('n2');
    cluster.advance(50);
    assert.equal(hasLeft(cluster, 'n4'), true);
    cluster.allowGaps();
    cluster.seat('n2').storage.writeError = undefined;
    cluster.restart('n2');
    assert.equal(cluster.untilSteady().has('n4'), false);
    cluster.finish();
  });

  it('tells a node that heard of the page from nobody else', () => {
    const cluster = new TopologyCluster({ nodes: 4, ...alone });
    cluster.mustBegin('n1', { kind: 'leave', id: 'n4' });
    untilAllAt(cluster, 'switch');
    for (const id of ['n1', 'n3']) cluster.hold(id, 'n2');
    untilAllAt(cluster, 'steady', ['n1', 'n3']);
    const { clock } = cluster.seat('n2');
    const since = clock.monotonicMs;
    stepUntil(cluster, 'n2 knows it', () => cluster.node('n2').topology.phase === 'steady');
    assert.ok(clock.monotonicMs - since < 500);
    for (const id of ['n1', 'n3']) assert.ok(cluster.waiting(id, 'n2').length > 0);
    cluster.releaseAll();
    cluster.untilSteady();
    cluster.finish();
  });

  it('is as well the newcomer of a change that is given up', () => {
    const cluster = new TopologyCluster({ nodes: 3, ...alone });
    const joining = cluster.mustBegin('n1', { kind: 'join', member: pumpedMember('n4') });
    cluster.add('n4', joining);
    untilAllAt(cluster, 'copy');
    const key = keyBetween(cluster, 'n4');
    const cancel = cluster.ask('n1', { kind: 'cancel' });
    cluster.seat('n2').storage.writeError = full;
    untilAllAt(cluster, 'steady', ['n1', 'n3']);
    assert.equal(cluster.node('n2').topology.phase, 'copy');
    assert.equal(cluster.node('n1').topology.change?.isCancelled, true);
    cluster.seat('n2').storage.writeError = undefined;
    cluster.mustWrite('n2', key, 'value');
    assert.ok(cluster.stored('n4', key) !== undefined);
    assert.equal(hasLeft(cluster, 'n4'), false);
    cluster.advance(600);
    assert.equal(hasLeft(cluster, 'n4'), true);
    assert.equal(cluster.untilSteady().has('n4'), false);
    assert.equal(cluster.mustRead('n1', key), 'value');
    assert.equal(cluster.answered(cancel).error, undefined);
    cluster.finish();
  });
});
