/**
 * Taking a change back while somebody may stand on its page `switch`, who reads by the new owners: he must know the
 * page before the one that leads back to the old owners alone.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TopologyCluster } from '../../support/topology-cluster.ts';

const heavier = { kind: 'weight', id: 'n2', weight: 3 } as const;
const others = ['n3', 'n4', 'n5'] as const;

/** Five nodes in phase `copy`, of which n1 and n2 have gone on to `switch`, which nobody else heard of. */
function twoAhead(): TopologyCluster {
  const cluster = new TopologyCluster({ nodes: 5 });
  cluster.allowGaps();
  cluster.mustBegin('n1', heavier);
  for (const ahead of ['n1', 'n2']) {
    const { events } = cluster.seat(ahead);
    events.push = (event) => {
      // The page is on its way into force: nothing is sent under its number yet.
      if (event === 'topology-learned') for (const other of others) cluster.hold(ahead, other);
      events[events.length] = event;
      return events.length;
    };
  }
  cluster.until(() => cluster.node('n2').topology.phase === 'switch', 'n2 comes to switch');
  for (const other of others) {
    cluster.cut('n2', other);
    cluster.cut(other, 'n2');
  }
  cluster.seat('n2').events.push = Array.prototype.push;
  for (const other of others) cluster.drop('n2', other);
  for (const other of others) cluster.release('n2', other);
  cluster.remove('n1');
  cluster.pump();
  assert.deepEqual(cluster.epochs(), [3, 2, 2, 2]);
  return cluster;
}

describe('a change that was forced on in phase copy', () => {
  it('is not cancelled while somebody may read by the new owners', () => {
    const cluster = twoAhead();
    const forced = cluster.mustBegin('n3', { kind: 'force', gone: ['n1'] });
    assert.deepEqual([forced.phase, forced.epoch], ['copy', 1002]);
    cluster.until(() => others.every((id) => cluster.node(id).topology.epoch === 1002), 'the others know');
    const early = cluster.answered(cluster.ask('n3', { kind: 'cancel' }));
    assert.equal(early.error?.code, 'quorum-unreachable');
    assert.match(early.error!.message, /not known of n2/);
    assert.deepEqual(cluster.epochs(), [3, 1002, 1002, 1002]);
    for (const other of others) {
      cluster.heal('n2', other);
      cluster.heal(other, 'n2');
    }
    cluster.until(() => cluster.node('n2').topology.epoch >= 1002, 'n2 is told');
    assert.equal(cluster.untilSteady().member('n2')?.weight, 3);
    cluster.finish();
  });
});
