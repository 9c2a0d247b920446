/** Nodes that learn while they start what became of the cluster, in clusters moved by hand. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TopologyCluster } from '../../support/topology-cluster.ts';

/** A cluster of four that goes on without n4, which was ended. */
function withoutLast(): TopologyCluster {
  const cluster = new TopologyCluster({ nodes: 4 });
  cluster.kill('n4');
  cluster.advance(3000, 20);
  cluster.mustBegin('n1', { kind: 'remove', ids: ['n4'] });
  cluster.until(() => cluster.node('n1').topology.epoch === 4, 'n4 is removed');
  cluster.allowGaps();
  return cluster;
}

describe('a start', () => {
  for (const afterMs of [0, 500, 900]) {
    it(`of a node that is told after ${afterMs} ms that it is no member ends with an error that says so`, () => {
      const cluster = withoutLast();
      cluster.restart('n4');
      const { node, started } = cluster.seat('n4');
      cluster.advance(afterMs, 20);
      assert.equal(started!.isDone, false, 'it waits for the others, who do not talk to it');
      node.learnTopology(cluster.node('n1').topology);
      cluster.advance(20);
      assert.deepEqual([started!.isDone, started!.error?.code], [true, 'unavailable']);
      assert.match(started!.error!.message, /no member of its cluster any more/);
      assert.equal(cluster.write('n4', 'key', 'value').error?.code, 'unavailable');
      // Whatever it waited for besides changes nothing any more.
      cluster.advance(4000, 20);
      assert.equal(cluster.write('n4', 'key', 'value').error?.code, 'unavailable');
      cluster.mustWrite('n1', 'key', 'value');
      cluster.remove('n4');
      cluster.finish();
    });
  }

  it('of a node that is told a later epoch in which it is a member ends well', () => {
    const cluster = new TopologyCluster({ nodes: 4 });
    cluster.kill('n4');
    cluster.advance(3000, 20);
    cluster.mustBegin('n1', { kind: 'weight', id: 'n1', weight: 2 });
    cluster.restart('n4');
    cluster.node('n4').learnTopology(cluster.node('n1').topology);
    cluster.until(() => cluster.seat('n4').started!.isDone, 'n4 is started');
    assert.equal(cluster.seat('n4').started!.error, undefined);
    assert.equal(cluster.untilSteady().member('n1')!.weight, 2);
    cluster.finish();
  });
});
