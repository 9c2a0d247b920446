/** The page on which a newcomer is waited for, in clusters moved by hand. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REQUEST_DEFAULTS } from '../../../src/node/api.ts';
import { pumpedMember } from '../../support/pumped-cluster.ts';
import { TopologyCluster } from '../../support/topology-cluster.ts';

const join = { kind: 'join', member: pumpedMember('n4') } as const;
const names = Array.from({ length: 40 }, (_, i) => `key-${i}`);
/** Every owner acknowledges a write, and one is asked by a read. */
const all = { r: 1, w: 3, strict: true };
const strict = { ...REQUEST_DEFAULTS, strict: true };

function phaseOf(cluster: TopologyCluster, id = 'n1'): string {
  const { phase, epoch } = cluster.node(id).topology;
  return `${epoch} ${phase}`;
}

/** Writes and reads all keys through every node but those named. */
function use(cluster: TopologyCluster, round: number, ...but: readonly string[]): void {
  for (const [at, name] of names.entries()) {
    const users = cluster.ids.filter((id) => !but.includes(id));
    cluster.mustWrite(users[at % users.length]!, name, `${round} of ${name}`, strict);
    assert.equal(cluster.mustRead(users[(at + 1) % users.length]!, name, strict), `${round} of ${name}`);
  }
}

describe('a newcomer', () => {
  it('that never comes hinders no write, even of all owners, and can be given up', () => {
    const cluster = new TopologyCluster({ nodes: 3, policy: all });
    cluster.mustBegin('n1', join);
    for (let round = 0; round < 5; round++) {
      use(cluster, round);
      cluster.advance(1000, 20);
      assert.equal(phaseOf(cluster), '2 enrol');
    }
    const back = cluster.mustBegin('n2', { kind: 'cancel' });
    assert.deepEqual([back.phase, back.epoch, back.has('n4')], ['steady', 3, false]);
    use(cluster, 9);
    cluster.finish();
  });

  it('that comes is counted on at once by all: no write of all owners fails on the way', () => {
    const cluster = new TopologyCluster({ nodes: 3, policy: all });
    cluster.add('n4', cluster.mustBegin('n1', join));
    let round = 0;
    const seen = new Set<string>();
    for (; cluster.epochs().some((epoch) => epoch < 5); round++) {
      assert.ok(round < 400, 'the change ends');
      use(cluster, round, 'n4');
      cluster.advance(40, 20);
      seen.add(cluster.node('n1').topology.phase);
    }
    assert.ok(seen.has('copy') && round > 3, `${[...seen]}`);
    cluster.finish();
  });

  it('is not counted on before the last member reaches it', () => {
    const cluster = new TopologyCluster({ nodes: 3, policy: all });
    const topology = cluster.mustBegin('n1', join);
    cluster.add('n4', topology);
    cluster.cut('n2', 'n4');
    cluster.cut('n4', 'n2');
    cluster.advance(4000, 20);
    assert.equal(phaseOf(cluster), '2 enrol');
    use(cluster, 1);
    cluster.heal('n2', 'n4');
    cluster.heal('n4', 'n2');
    assert.ok(cluster.untilSteady().read.has('n4'));
    cluster.finish();
  });

  it('that runs when it is given up learns that it is no member', () => {
    const cluster = new TopologyCluster({ nodes: 3 });
    cluster.isolate('n3');
    const topology = cluster.mustBegin('n1', join);
    cluster.add('n4', topology);
    // Nobody goes on without n3, which does not know the page yet.
    cluster.advance(3000, 20);
    assert.equal(phaseOf(cluster), '2 enrol');
    cluster.allowGaps();
    cluster.mustBegin('n2', { kind: 'cancel' });
    cluster.until(() => !cluster.node('n4').topology.has('n4'), 'n4 learns it');
    assert.equal(cluster.write('n4', 'key', 'value').error?.code, 'unavailable');
    cluster.healAll();
    cluster.remove('n4');
    assert.deepEqual([cluster.untilSteady().epoch, cluster.epochs()], [3, [3, 3, 3]]);
    use(cluster, 1);
    cluster.finish();
  });

  it('that is lost while it is waited for takes the change with it', () => {
    const cluster = new TopologyCluster({ nodes: 3 });
    cluster.mustBegin('n1', join);
    const back = cluster.mustBegin('n3', { kind: 'remove', ids: ['n4'] });
    assert.deepEqual([back.phase, back.change!.isCancelled, back.has('n4')], ['steady', true, false]);
    assert.equal(cluster.untilSteady().epoch, 3);
    cluster.finish();
  });
});

describe('a member that is lost while a newcomer is waited for', () => {
  it('is taken out by the same change', () => {
    const cluster = new TopologyCluster({ nodes: 3 });
    use(cluster, 1);
    const topology = cluster.mustBegin('n1', join);
    cluster.kill('n3');
    cluster.advance(3000, 20);
    const without = cluster.mustBegin('n2', { kind: 'remove', ids: ['n3'] });
    assert.deepEqual([without.phase, without.epoch], ['enrol', 3]);
    cluster.remove('n3');
    cluster.add('n4', topology);
    const steady = cluster.untilSteady();
    assert.deepEqual(
      [steady.epoch, steady.ghosts, steady.read.members.map(({ id }) => id)],
      [6, [], ['n1', 'n2', 'n4']],
    );
    for (const name of names) assert.equal(cluster.mustRead('n4', name, strict), `1 of ${name}`);
    cluster.finish();
  });

  it('may be the one that is replaced: W of the others go on, and the newcomer takes its places', () => {
    const cluster = new TopologyCluster({ nodes: 4 });
    use(cluster, 1);
    cluster.kill('n3');
    cluster.advance(3000, 20);
    const topology = cluster.mustBegin('n1', { kind: 'replace', id: 'n3', member: pumpedMember('n5') });
    assert.deepEqual([topology.phase, topology.ghosts], ['enrol', ['n3']]);
    use(cluster, 2, 'n3');
    cluster.remove('n3');
    const places = topology.read.partitionsOf('n3').length;
    cluster.add('n5', topology);
    const steady = cluster.untilSteady();
    assert.equal(steady.read.partitionsOf('n5').length, places);
    for (const name of names) assert.equal(cluster.mustRead('n5', name, strict), `2 of ${name}`);
    cluster.finish();
  });
});
