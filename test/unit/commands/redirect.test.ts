/** Where a node that serves no more sends cluster clients, and whom it does not send away. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { place } from '../../../src/ring/placement.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { fakeServer } from '../../support/fake-facts.ts';
import { FakeNode } from '../../support/fake-node.ts';

const refusal = new CodedError('unavailable', 'fail', 'this node is draining; nothing was done');

/** The fake node n1, refusing the next `times` requests. */
function refusing(times: number, node: FakeNode = new FakeNode(3)) {
  for (let i = 0; i < times; i++) node.failures.push(refusal);
  return { node, ...fakeServer(node) };
}

/** The owner that is named for key `k`: the first of those that are neither n1 nor dead, else the first but n1. */
function namedFor(node: FakeNode): string {
  const others = node.table.preferenceList(slotOf('k')).filter((id) => id !== 'n1');
  const id = others.find((each) => !node.dead.has(each)) ?? others[0]!;
  return `${slotOf('k')} 127.0.0.1:${6370 + Number(id.slice(1))}|`;
}

/** The same cluster without n1: what it knows once it has left. */
function left(node: FakeNode): void {
  const members = node.topology.members.filter(({ id }) => id !== 'n1');
  const table = place(undefined, members, { partitionCount: 1024, replicaCount: 2 });
  node.topology = new Topology({ ...Topology.founding(members, table), epoch: 4 });
}

describe('a node that drains', () => {
  test('sends keyed commands to another owner, for this once', () => {
    const { node, facts, client } = refusing(3);
    facts.isDraining = true;
    for (const line of ['get k', 'set k v', 'incr k']) {
      assert.equal(client.ask(line), `-ASK ${namedFor(node)}`);
    }
    assert.equal(node.log.length, 3);
  });

  test('names one that lives; without one, the first there is', () => {
    for (const dead of [[], ['n2'], ['n3'], ['n2', 'n3']]) {
      const { node, facts, client } = refusing(1);
      facts.isDraining = true;
      for (const id of dead) node.dead.add(id);
      assert.equal(client.ask('get k'), `-ASK ${namedFor(node)}`);
    }
  });

  test('keeps its word where there is nobody to name: no keys, keys of several slots, a node that is alone', () => {
    const { facts, client } = refusing(2);
    facts.isDraining = true;
    assert.match(client.ask('dbsize'), /^-LOADING /);
    assert.match(client.ask('mget a b'), /^-LOADING /);
    const alone = refusing(1, new FakeNode(1));
    alone.facts.isDraining = true;
    assert.match(alone.client.ask('get k'), /^-LOADING /);
  });

  test('says what became of a write that was under way', () => {
    const { node, facts, client } = refusing(0);
    facts.isDraining = true;
    node.failures.push(new CodedError('unavailable', 'unknown', 'the node stops'));
    assert.match(client.ask('set k v'), /^-UNKNOWN /);
  });

  test('shows itself to nobody in the map', () => {
    const { facts, client } = refusing(0);
    const owners = (): readonly string[] =>
      (client.send(['cluster', 'slots']).reply as unknown as readonly (readonly unknown[])[]).flatMap(
        (range) => range.slice(2).map((node) => String((node as readonly unknown[])[2])),
      );
    const before = new Set(owners()).size;
    facts.isDraining = true;
    assert.equal(new Set(owners()).size, before - 1);
    assert.match(client.ask('cluster nodes'), /127\.0\.0\.1:6371/);
  });
});

test('a node that left sends them away for good', () => {
  const { node, client } = refusing(2);
  left(node);
  assert.equal(client.ask('get k'), `-MOVED ${namedFor(node)}`);
  assert.match(client.ask('mget {k}a {k}b'), /^-MOVED /);
});

test('a node that is to serve again at once sends nobody away', () => {
  const { client } = refusing(1);
  assert.match(client.ask('get k'), /^-LOADING this node is draining; nothing was done; use another node\|$/);
});
