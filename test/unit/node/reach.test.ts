import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { POLICY_PRESETS } from '../../../src/coordinator/policy.ts';
import { reachOf } from '../../../src/node/reach.ts';
import { place } from '../../../src/ring/placement.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { FakeNode } from '../../support/fake-node.ts';

test('with as many nodes as replicas nobody can stand in', () => {
  const node = new FakeNode(3);
  assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: 0, onRebuilding: 0 });
  node.dead.add('n2');
  assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: 0, onRebuilding: 0 });
  node.dead.add('n3');
  assert.deepEqual(reachOf(node), { withoutQuorum: 1024, onStandIns: 0, onRebuilding: 0 });
});

test('two of five away: a sloppy policy goes on with stand-ins, a strict one fails where a quorum is away', () => {
  const node = new FakeNode(5);
  node.dead.add('n4').add('n5');
  const { table } = node;
  let short = 0;
  for (let partition = 0; partition < table.partitionCount; partition++) {
    const list = table.preferenceListOfPartition(partition);
    if (list.includes('n4') && list.includes('n5')) short++;
  }
  assert.ok(short > 100 && short < 900, `some partitions have lost two of three replicas: ${short}`);
  assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: short, onRebuilding: 0 });
  node.policy = POLICY_PRESETS['PC/EC'];
  assert.deepEqual(reachOf(node), { withoutQuorum: short, onStandIns: 0, onRebuilding: 0 });
});

test('fewer nodes than a quorum: nobody is left to stand in', () => {
  const node = new FakeNode(5);
  for (const id of ['n2', 'n3', 'n4', 'n5']) node.dead.add(id);
  assert.deepEqual(reachOf(node), { withoutQuorum: 1024, onStandIns: 0, onRebuilding: 0 });
});

test('a node that lost its disk is no replica to read from', () => {
  const node = new FakeNode(3);
  node.forgetful = true;
  assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: 0, onRebuilding: 0 });
  node.dead.add('n2');
  assert.deepEqual(reachOf(node), { withoutQuorum: 1024, onStandIns: 0, onRebuilding: 0 });
  node.policy = POLICY_PRESETS['PA/EL'];
  assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: 0, onRebuilding: 0 });
});

test('of five nodes, others stand in for what one of them lost', () => {
  const node = new FakeNode(5);
  node.forgetful = true;
  node.dead.add('n2');
  const { table } = node;
  let short = 0;
  for (let partition = 0; partition < table.partitionCount; partition++) {
    const list = table.preferenceListOfPartition(partition);
    if (list.includes('n1') && list.includes('n2')) short++;
  }
  assert.ok(short > 100, `some partitions are on both: ${short}`);
  assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: short, onRebuilding: 0 });
});

test('a member that is being rebuilt answers reads only as far as it got: that may be too little', () => {
  const node = new FakeNode(3);
  node.rebuilding.set('n2', 5);
  assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: 0, onRebuilding: 0 }, 'two others answer');
  node.dead.add('n3');
  assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: 0, onRebuilding: 1024 });
  node.policy = POLICY_PRESETS['PA/EL'];
  assert.deepEqual(
    reachOf(node),
    { withoutQuorum: 0, onStandIns: 0, onRebuilding: 0 },
    'R=1: this node does',
  );
});

test('of five nodes, others stand in for the member that is being rebuilt too', () => {
  const node = new FakeNode(5);
  node.rebuilding.set('n2', 5);
  node.dead.add('n3');
  const { onStandIns, onRebuilding, withoutQuorum } = reachOf(node);
  assert.ok(onStandIns > 100 && onRebuilding === 0 && withoutQuorum === 0, JSON.stringify(reachOf(node)));
  node.policy = POLICY_PRESETS['PC/EC'];
  assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: 0, onRebuilding: onStandIns });
});

describe('while owners change', () => {
  /** A node of a cluster in which n4 joins, or n1 leaves, with as many members as that takes. */
  function changing(phase: 'copy' | 'switch', before: number, after: readonly string[]): FakeNode {
    const node = new FakeNode(Math.max(before, after.length));
    const members = node.members();
    const settings = { partitionCount: 1024, replicaCount: 3 };
    const old = place(undefined, members.slice(0, before), settings);
    const next = place(
      old,
      members.filter(({ id }) => after.includes(id)),
      settings,
    );
    const [read, other] = phase === 'copy' ? [old, next] : [next, old];
    node.topology = new Topology({ epoch: 2, phase, members, read, other, change: undefined });
    return node;
  }

  test('a member that joins is missed by writes to what it is to own, and stands in for nobody', () => {
    const node = changing('copy', 2, ['n1', 'n2', 'n3']);
    assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: 0, onRebuilding: 0 });
    node.dead.add('n3');
    // W=2 of n1, n2 and n3 is reached without it.
    assert.deepEqual(reachOf(node), { withoutQuorum: 0, onStandIns: 0, onRebuilding: 0 });
    node.dead.delete('n3');
    node.dead.add('n2');
    // R=2 of n1 and n2 is not, and n3 may not help out.
    assert.deepEqual(reachOf(node), { withoutQuorum: 1024, onStandIns: 0, onRebuilding: 0 });
  });

  test('the second list needs its W too', () => {
    const node = changing('copy', 3, ['n1', 'n2', 'n3', 'n4', 'n5']);
    node.policy = POLICY_PRESETS['PC/EC'];
    node.dead.add('n4').add('n5');
    const both = node.topology.next
      .partitionsOf('n4')
      .filter((partition) => node.topology.next.preferenceListOfPartition(partition).includes('n5')).length;
    assert.ok(both > 100, `${both} partitions are to move to both`);
    assert.deepEqual(reachOf(node), { withoutQuorum: both, onStandIns: 0, onRebuilding: 0 });
  });

  test('who is about to go stands in for nobody', () => {
    const node = changing('copy', 5, ['n2', 'n3', 'n4', 'n5']);
    node.dead.add('n3').add('n4').add('n5');
    const { read, next } = node.topology;
    let lost = 0;
    for (let partition = 0; partition < read.partitionCount; partition++) {
      const list = read.preferenceListOfPartition(partition);
      const second = next.preferenceListOfPartition(partition);
      const live = (ids: readonly string[]): number => ids.filter((id) => !node.dead.has(id)).length;
      const standIns = ['n2'].filter((id) => !list.includes(id) && !second.includes(id)).length;
      if (live(list) + standIns < 2 || live(second) + standIns < 2) lost++;
    }
    assert.ok(lost > 700, 'n1 and n2 are there, and n1 may not help out');
    assert.equal(reachOf(node).withoutQuorum, lost);
  });
});
