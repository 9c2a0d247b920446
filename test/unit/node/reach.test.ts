import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POLICY_PRESETS } from '../../../src/coordinator/policy.ts';
import { reachOf } from '../../../src/node/reach.ts';
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
