/**
 * Rows kept for members that go, in clusters moved by hand: a hint that may be the only copy of a write reaches
 * those who own its row in the end.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TopologyRequest } from '../../../src/node/api.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { PumpedCluster, type PumpedOptions, textOf } from '../../support/pumped-cluster.ts';

const sloppy: PumpedOptions = {
  nodes: 5,
  policy: { r: 1, w: 1, strict: false },
  // Anti-entropy does not come to help.
  limits: { repairIntervalMs: 3_600_000 },
};

function ask(cluster: PumpedCluster, at: string, request: TopologyRequest): void {
  const call = cluster.call<never>(`change ${request.kind}`);
  cluster.node(at).changeTopology(request, call.done);
  cluster.advance(300);
  assert.equal(call.error, undefined, call.error?.message);
  assert.equal(call.isDone, true, 'the first epoch is chosen');
}

/** Until nobody takes part in a change, and no row is kept for anybody. */
function settle(cluster: PumpedCluster): void {
  for (let passed = 0, calm = 0; calm < 5; passed += 100) {
    assert.ok(passed < 40_000, 'the change comes to an end');
    cluster.advance(100);
    const nodes = [...cluster.seats.values()].filter(({ running }) => running).map(({ node }) => node);
    const epoch = Math.max(...nodes.map(({ topology }) => topology.epoch));
    const members = nodes.filter((node) => node.topology.has(node.id));
    const isOver = members.every(({ topology }) => topology.epoch === epoch && topology.phase === 'steady');
    calm = isOver && members.every((node) => node.figures().hints === 0) ? calm + 1 : 0;
  }
}

/** Texts of a key by holder. */
function holders(cluster: PumpedCluster, key: string): Map<string, string | undefined> {
  const found = new Map<string, string | undefined>();
  for (const id of cluster.ids) {
    const row = cluster.stored(id, key);
    if (row !== undefined) found.set(id, textOf(row));
  }
  return found;
}

function assertWhole(cluster: PumpedCluster, at: string, key: string, text: string): void {
  const owners = cluster.node(at).topology.read.preferenceList(slotOf(key));
  const found = holders(cluster, key);
  for (const id of owners) assert.equal(found.get(id), text, `${key} at ${id}`);
}

/** With one replica a key, kept by another since its owner is down: the one copy there is. */
function onlyHinted(mutants: readonly string[] = []): { cluster: PumpedCluster; owner: string; at: string } {
  const cluster = new PumpedCluster({ ...sloppy, replicas: 1, mutants });
  const owner = cluster.table.preferenceList(slotOf('plum'))[0]!;
  cluster.kill(owner);
  cluster.advance(3000);
  const others = cluster.ids.filter((id) => id !== owner);
  cluster.mustWrite(others[0]!, 'plum', 'blue');
  assert.deepEqual([...holders(cluster, 'plum').keys()], []);
  const keepers = others.filter((id) => cluster.node(id).figures().hints > 0);
  assert.equal(keepers.length, 1);
  const at = keepers[0]!;
  return { cluster, owner, at };
}

describe('rows kept for a member', () => {
  test('that is removed go to those who take its place', () => {
    const cluster = new PumpedCluster(sloppy);
    const keys = Array.from({ length: 100 }, (_, i) => `key-${i}`);
    cluster.kill('n3');
    cluster.advance(3000);
    for (const [i, key] of keys.entries()) cluster.mustWrite(`n${[1, 2, 4, 5][i % 4]}`, key, `of ${key}`);
    const kept = ['n1', 'n2', 'n4', 'n5'].reduce((sum, id) => sum + cluster.node(id).figures().hints, 0);
    assert.ok(kept > 30, `${kept} hints`);
    ask(cluster, 'n1', { kind: 'remove', ids: ['n3'] });
    cluster.remove('n3');
    settle(cluster);
    for (const key of keys) assertWhole(cluster, 'n1', key, `of ${key}`);
    cluster.finish();
  });

  test('that leaves are with the new owner when it is gone', () => {
    const { cluster, owner, at } = onlyHinted();
    // Whoever keeps the row does not reach its owner again, while the others do.
    cluster.cut(at, owner);
    cluster.cut(owner, at);
    cluster.restart(owner);
    cluster.advance(3000);
    assert.deepEqual([...holders(cluster, 'plum').keys()], []);
    ask(cluster, cluster.ids.find((id) => id !== at && id !== owner)!, { kind: 'leave', id: owner });
    assert.equal(cluster.node(at).topology.phase, 'copy');
    cluster.heal(at, owner);
    cluster.heal(owner, at);
    settle(cluster);
    cluster.remove(owner);
    assertWhole(cluster, at, 'plum', 'blue');
    cluster.finish();
  });

  test('that is lost for good outlive it, even when they are the only copy', () => {
    const { cluster, owner, at } = onlyHinted();
    ask(cluster, at, { kind: 'force', gone: [owner] });
    cluster.remove(owner);
    settle(cluster);
    assertWhole(cluster, at, 'plum', 'blue');
    assert.equal(cluster.mustRead(at, 'plum'), 'blue');
    cluster.finish();
  });

  test('are lost by nodes that drop them, and that is seen', () => {
    const { cluster, owner, at } = onlyHinted(['hint-of-gone-dropped']);
    ask(cluster, at, { kind: 'force', gone: [owner] });
    cluster.remove(owner);
    settle(cluster);
    assert.deepEqual([...holders(cluster, 'plum').keys()], []);
    cluster.finish();
  });
});

test('who is about to go keeps nothing for others', () => {
  const cluster = new PumpedCluster({ ...sloppy, nodes: 5 });
  const call = cluster.call<never>('leave');
  cluster.node('n1').changeTopology({ kind: 'leave', id: 'n5' }, call.done);
  for (let passed = 0; cluster.node('n5').topology.phase !== 'switch'; passed += 5) {
    assert.ok(passed < 5000, 'the change gets to its second half');
    cluster.advance(5);
  }
  cluster.kill('n2');
  cluster.advance(3000);
  for (let i = 0; i < 50; i++) cluster.mustWrite(['n1', 'n3', 'n4'][i % 3]!, `key-${i}`, 'late');
  assert.equal(cluster.node('n5').figures().hints, 0);
  cluster.restart('n2');
  settle(cluster);
  cluster.finish();
});
