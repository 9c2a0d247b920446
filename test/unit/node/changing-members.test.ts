/** Nodes that come and go: what a node makes of a list of members that changes while it runs. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { place } from '../../../src/ring/placement.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { PumpedCluster, pumpedMember } from '../../support/pumped-cluster.ts';

/** The members n1, n2, ... with a table of their own. */
function topologyOf(epoch: number, ...ids: readonly string[]): Topology {
  const members = ids.map((id) => pumpedMember(id));
  const read = place(undefined, members, { partitionCount: 64, replicaCount: 3 });
  return new Topology({ epoch, phase: 'steady', members, read, other: undefined, change: undefined });
}

describe('pumped clusters that change', () => {
  it('a node that is started later finds the others, and they find it', () => {
    const four = topologyOf(5, 'n1', 'n2', 'n3', 'n4');
    const cluster = new PumpedCluster({ nodes: 3, topology: () => four });
    assert.equal(cluster.node('n1').topology.epoch, 5);
    const absent = cluster
      .node('n1')
      .members()
      .find(({ id }) => id === 'n4');
    assert.equal(absent?.live, false);
    cluster.add('n4', four);
    cluster.advance(1000);
    for (const { node } of cluster.seats.values()) {
      assert.deepEqual(
        node.members().map(({ live }) => live),
        [true, true, true, true],
      );
    }
    cluster.mustWrite('n4', 'key', 'value');
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'key'), 'value');
    cluster.finish();
  });

  it('a node that is removed is gone for the others', () => {
    const cluster = new PumpedCluster({ nodes: 3 });
    cluster.remove('n3');
    cluster.advance(6000);
    assert.deepEqual(cluster.ids, ['n1', 'n2']);
    const gone = cluster
      .node('n1')
      .members()
      .find(({ id }) => id === 'n3');
    assert.equal(gone?.live, false);
    cluster.finish();
  });
});
