/** Changes that cannot end well any more, in clusters moved by hand: they go back the way they came. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TopologyPhase } from '../../../src/topology/topology.ts';
import { PumpedCluster, pumpedMember } from '../../support/pumped-cluster.ts';

/** Asks n1 for a change and plays on until n1 is in a phase of it. */
function until(cluster: PumpedCluster, phase: TopologyPhase): void {
  for (let passed = 0; cluster.node('n1').topology.phase !== phase; passed += 5) {
    assert.ok(passed < 20_000, `n1 comes to phase ${phase}`);
    cluster.advance(5);
  }
}

describe('all who were to own the data are lost', () => {
  for (const phase of ['copy', 'switch'] as const) {
    test(`in phase ${phase}: the one who was leaving stays, with everything`, () => {
      const cluster = new PumpedCluster({ nodes: 3 });
      const keys = Array.from({ length: 30 }, (_, i) => `key-${i}`);
      for (const key of keys) cluster.mustWrite('n2', key, `of ${key}`);
      const leave = cluster.call<never>('leave');
      cluster.node('n2').changeTopology({ kind: 'leave', id: 'n1' }, leave.done);
      until(cluster, phase);
      cluster.abandon(leave);
      for (const id of ['n2', 'n3']) cluster.remove(id);
      cluster.advance(3000);
      const force = cluster.call<never>('force');
      cluster.node('n1').changeTopology({ kind: 'force', gone: ['n2', 'n3'] }, force.done);
      cluster.advance(500);
      assert.equal(force.error, undefined, force.error?.message);
      for (let passed = 0; passed < 20_000; passed += 100) {
        const { topology } = cluster.node('n1');
        if (topology.phase === 'steady' && topology.ghosts.length === 0) break;
        cluster.advance(100);
      }
      const { topology } = cluster.node('n1');
      assert.deepEqual([topology.phase, topology.members.map(({ id }) => id)], ['steady', ['n1']]);
      for (const key of keys) assert.equal(cluster.mustRead('n1', key), `of ${key}`);
      cluster.mustWrite('n1', 'one more', 'text');
      cluster.finish();
    });
  }
});

test('a newcomer that never comes is waited for before anything is moved, and given up by force too', () => {
  const cluster = new PumpedCluster({ nodes: 3 });
  const join = cluster.call<never>('join');
  cluster.node('n1').changeTopology({ kind: 'join', member: pumpedMember('n4') }, join.done);
  cluster.advance(4000);
  const { phase, epoch } = cluster.node('n1').topology;
  assert.deepEqual([phase, epoch], ['enrol', 2], 'the newcomer is waited for');
  const force = cluster.call<never>('force');
  cluster.node('n1').changeTopology({ kind: 'force', gone: ['n4'] }, force.done);
  until(cluster, 'steady');
  cluster.advance(500);
  for (const id of ['n1', 'n2', 'n3']) {
    const { topology } = cluster.node(id);
    assert.equal(topology.change?.isCancelled, true);
    assert.deepEqual(topology.read, cluster.table);
  }
  cluster.finish();
});
