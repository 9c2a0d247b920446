/** Pages that are told again, or make no sense, in clusters moved by hand. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeTopology } from '../../../src/topology/codec.ts';
import { EPOCH_MAX, Topology } from '../../../src/topology/topology.ts';
import { frameHeaderBytes } from '../../../src/wire/frame.ts';
import { TOPOLOGY_TOPOLOGY, writeTopology } from '../../../src/wire/topology-messages.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';
import { begin } from '../../support/topologies.ts';
import { TopologyCluster } from '../../support/topology-cluster.ts';

const heavier = { kind: 'weight', id: 'n2', weight: 3 } as const;

describe('a page that is told', () => {
  /** n2 is told a page of which only the epoch makes sense. @returns the resets it asked for */
  function resetsAfter(epoch: number): readonly string[] {
    const cluster = new TopologyCluster();
    const value = encodeTopology(cluster.node('n1').topology).slice();
    new DataView(value.buffer).setUint32(1, epoch);
    value.fill(0xff, 6);
    cluster.node('n2').frame(
      'n1',
      cluster.forge('n1', 'n2', (writer) => writeTopology(writer, value)),
    );
    cluster.pump();
    assert.equal(cluster.node('n2').topology.epoch, 1);
    const { resets } = cluster.seat('n2');
    cluster.finish();
    return resets;
  }

  it('and is known already is not read', () => assert.deepEqual(resetsAfter(1), []));

  it('and makes no sense changes nothing, and its teller starts over', () => {
    assert.match(resetsAfter(2).join(), /not a topology|members/);
  });

  it('is told by others, a little later, where whoever made it could not', () => {
    const cluster = new TopologyCluster({ nodes: 4 });
    const tellers = new Set<string>();
    cluster.watch = (from, to, frame) => {
      if (to === 'n4' && frame[frameHeaderBytes(frame)] === TOPOLOGY_TOPOLOGY) tellers.add(from);
    };
    cluster.cut('n1', 'n4');
    cluster.cut('n4', 'n1');
    cluster.mustBegin('n1', heavier);
    cluster.until(() => cluster.node('n4').topology.epoch === 2, 'n4 is told', 1500);
    assert.ok(!tellers.has('n1') && tellers.size > 0);
    cluster.healAll();
    cluster.untilSteady();
    cluster.finish();
  });
});

it('a page that cannot be made is said to be so, and nobody ends of it', () => {
  const last = (founding: Topology): Topology => {
    const { phase, members, read, other, change } = begin(founding, heavier);
    return new Topology({ epoch: EPOCH_MAX, phase, members, read, other, change });
  };
  const cluster = new PumpedCluster({ topology: last });
  cluster.advance(5000, 20);
  assert.equal(cluster.node('n1').topology.epoch, EPOCH_MAX);
  const said = cluster.seat('n1').events.filter((event) => event === 'page-not-turned');
  assert.equal(said.length, 1);
  cluster.mustWrite('n1', 'key', 'text');
  assert.equal(cluster.mustRead('n2', 'key'), 'text');
  cluster.finish();
});
