/** The topology desk when nodes crash, are cut off, lose their disks, or are lost for good. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { topologyKey, votesKey } from '../../../src/node/topology-note.ts';
import { TOPOLOGY_PROMISE } from '../../../src/wire/topology-messages.ts';
import { TopologyCluster } from '../../support/topology-cluster.ts';

const heavier = { kind: 'weight', id: 'n2', weight: 3 } as const;

describe('a crash', () => {
  /** Plays a change, kills a node after so many steps, and starts it again. @returns whether it was over before */
  function crash(victim: string, steps: number): boolean {
    const cluster = new TopologyCluster({ partitionCount: 16 });
    const call = cluster.ask('n1', heavier);
    for (let step = 0; step < steps; step++) if (!cluster.step()) cluster.advance(5);
    const isOver = cluster.epochs().every((epoch) => epoch === 4);
    cluster.kill(victim);
    if (victim === 'n1') cluster.abandon(call);
    cluster.advance(1500, 20);
    cluster.restart(victim);
    // Begun or not: in the end all agree, and another change can be made.
    cluster.untilSteady();
    const next = { kind: 'weight', id: 'n3', weight: 7 } as const;
    const { error } = cluster.answered(cluster.ask('n3', next));
    if (error !== undefined) {
      // Some had voted for the change of whoever crashed: it is made first.
      assert.equal(error.code, 'unavailable');
      assert.equal(cluster.untilSteady().member('n2')?.weight, 3);
      cluster.mustBegin('n3', next);
    }
    assert.equal(cluster.untilSteady().member('n3')?.weight, 7);
    cluster.finish();
    return isOver;
  }

  for (const [victim, what] of [
    ['n1', 'of whoever asked and proposes'],
    ['n2', 'of one who votes'],
  ] as const) {
    it(`${what}, at any step: all agree on each epoch, and go on`, () => {
      let steps = 1;
      while (!crash(victim, steps)) {
        steps += 2;
        assert.ok(steps < 200, 'the change is over after a number of steps');
      }
      assert.ok(steps > 10);
    });
  }

  it('of all but the one that knows the next page: they are told', () => {
    const cluster = new TopologyCluster();
    const call = cluster.ask('n1', heavier);
    for (let steps = 0; cluster.node('n1').topology.epoch === 1; steps++) {
      assert.ok(steps < 200, 'n1 goes on');
      // What n1 says of it reaches nobody.
      if (cluster.seat('n1').events.includes('topology-learned')) {
        cluster.drop('n1', 'n2');
        cluster.drop('n1', 'n3');
      }
      if (!cluster.step()) cluster.advance(5);
    }
    assert.deepEqual(cluster.epochs(), [2, 1, 1]);
    cluster.kill('n2');
    cluster.kill('n3');
    cluster.restart('n2');
    cluster.restart('n3');
    assert.equal(cluster.untilSteady().epoch, 4);
    assert.equal(call.error, undefined);
    cluster.finish();
  });
});

describe('a minority that is cut off', () => {
  it('changes nothing and says whom it misses; the others change, and it follows', () => {
    const cluster = new TopologyCluster();
    cluster.isolate('n1');
    const call = cluster.ask('n1', heavier);
    assert.equal(cluster.mustBegin('n2', { kind: 'weight', id: 'n3', weight: 9 }).epoch, 2);
    cluster.answered(call);
    assert.deepEqual([call.error?.code, call.error?.outcome], ['quorum-unreachable', 'fail']);
    assert.match(call.error!.message, /votes of 2 of 3 members, and no answer came from n2, n3/);
    assert.deepEqual(cluster.epochs(), [1, 2, 2]);
    cluster.healAll();
    assert.equal(cluster.untilSteady().member('n3')?.weight, 9);
    cluster.finish();
  });

  /** Two of five go on without the three they do not reach. @returns what they are told */
  function removeMost(mutants: readonly string[]): string | undefined {
    const cluster = new TopologyCluster({ nodes: 5, replicas: 5, mutants });
    for (const id of ['n3', 'n4', 'n5']) {
      for (const other of ['n1', 'n2']) {
        cluster.cut(id, other);
        cluster.cut(other, id);
      }
    }
    cluster.advance(2000, 20);
    const call = cluster.answered(cluster.ask('n1', { kind: 'remove', ids: ['n3', 'n4', 'n5'] }));
    return call.error?.code;
  }

  it('needs the votes of most members of now, and not of those it would go on with', () => {
    assert.equal(removeMost([]), 'quorum-unreachable');
    assert.equal(removeMost(['epoch-majority-of-next']), undefined, 'the mutant is seen');
  });

  /** @returns how far two go while the third is away */
  function pagesWithout(mutants: readonly string[]): number {
    const cluster = new TopologyCluster({ mutants });
    cluster.allowGaps();
    cluster.isolate('n3');
    cluster.mustBegin('n1', heavier);
    cluster.advance(5000, 20);
    return cluster.node('n1').topology.epoch;
  }

  it('is waited for before the next page', () => {
    assert.equal(pagesWithout([]), 2);
    assert.equal(pagesWithout(['epoch-skips-adoption']), 4, 'the mutant is seen');
  });

  it('that hears of an epoch two ahead takes no requests until it caught up', () => {
    const cluster = new TopologyCluster();
    cluster.allowGaps();
    cluster.kill('n2');
    cluster.isolate('n3');
    // By hand, and wrongly: n3 is well. It is how to get ahead of somebody by more than a page.
    const forced = cluster.mustBegin('n1', { kind: 'force', gone: ['n2'] });
    assert.equal(forced.epoch, 1001);
    cluster.remove('n2');
    cluster.mustWrite('n3', 'key', 'value', { policy: { r: 1, w: 1, strict: false } });
    cluster.healAll();
    cluster.until(
      () => cluster.write('n3', 'key', 'value').error?.code === 'unavailable',
      'n3 hears of it',
      2000,
    );
    const refused = cluster.write('n3', 'key', 'value');
    assert.deepEqual([refused.error?.code, refused.error?.outcome], ['unavailable', 'fail']);
    assert.match(refused.error!.message, /knows epoch 1 of the topology, and others epoch 100\d/);
    cluster.untilSteady();
    cluster.mustWrite('n3', 'key', 'value');
    cluster.finish();
  });
});

describe('a majority that is lost for good', () => {
  it('is given up by force, by one node, and those who are left go on', () => {
    const cluster = new TopologyCluster();
    cluster.allowGaps();
    const alive = cluster.answered(cluster.ask('n1', { kind: 'force', gone: ['n2', 'n3'] }));
    assert.deepEqual([alive.error?.code, alive.error?.outcome], ['invalid', 'fail']);
    cluster.mustWrite('n1', 'key', 'value');
    cluster.remove('n2');
    cluster.remove('n3');
    const weak = cluster.answered(cluster.ask('n1', { kind: 'remove', ids: ['n2', 'n3'] }));
    assert.deepEqual([weak.error?.code, weak.error?.outcome], ['quorum-unreachable', 'fail']);
    assert.equal(cluster.mustBegin('n1', { kind: 'force', gone: ['n2', 'n3'] }).epoch, 1001);
    assert.ok(cluster.seat('n1').events.includes('topology-forced'));
    const steady = cluster.untilSteady();
    assert.deepEqual([steady.epoch, steady.members.map(({ id }) => id)], [1003, ['n1']]);
    assert.equal(cluster.mustRead('n1', 'key'), 'value');
    cluster.mustWrite('n1', 'key', 'other');
    cluster.finish();
  });
});

describe('votes', () => {
  /** The type of the first message of a frame. */
  const isPromise = (frame: Uint8Array): boolean =>
    frame.includes(TOPOLOGY_PROMISE, 23) && frame[23] === TOPOLOGY_PROMISE;

  /** @returns whether n2 promises while its disk has not stored the promise */
  function promisesEarly(mutants: readonly string[]): boolean {
    const cluster = new TopologyCluster({ mutants });
    cluster.isolate('n3');
    cluster.seat('n2').storage.automatic = false;
    cluster.hold('n2', 'n1');
    cluster.ask('n1', heavier);
    cluster.pump();
    const early = cluster.waiting('n2', 'n1').some(isPromise);
    while (cluster.seat('n2').storage.pending.length > 0) {
      cluster.seat('n2').storage.complete();
      cluster.pump();
    }
    assert.ok(cluster.waiting('n2', 'n1').some(isPromise), 'once it is stored');
    return early;
  }

  it('are promised only when the promise is durable', () => {
    assert.equal(promisesEarly([]), false);
    assert.equal(promisesEarly(['paxos-promise-unpersisted']), true, 'the mutant is seen');
  });

  it('are not given by a node that lost its disk, in decisions it may have voted in', () => {
    const cluster = new TopologyCluster();
    cluster.allowGaps();
    cluster.kill('n2');
    cluster.seat('n2').storage.entries.clear();
    cluster.isolate('n3');
    cluster.restart('n2');
    cluster.advance(5000, 20);
    const without = cluster.answered(cluster.ask('n1', heavier));
    assert.deepEqual([without.error?.code, without.error?.outcome], ['quorum-unreachable', 'fail']);
    // It remembers that it forgot.
    cluster.kill('n2');
    cluster.restart('n2');
    cluster.advance(2000, 20);
    assert.equal(cluster.answered(cluster.ask('n1', heavier)).error?.code, 'quorum-unreachable');
    assert.deepEqual(cluster.epochs(), [1, 1, 1]);
    // As soon as the others can, they turn two pages for it; then it votes as before.
    cluster.healAll();
    cluster.until(() => cluster.epochs().every((epoch) => epoch === 3), 'the epoch is renewed');
    cluster.advance(1000, 20);
    cluster.isolate('n3');
    cluster.advance(2000, 20);
    assert.equal(cluster.mustBegin('n1', heavier).phase, 'copy');
    cluster.healAll();
    cluster.untilSteady();
    cluster.finish();
  });

  it('are given by a node that lost its last writes: what it promised is safe from that', () => {
    const cluster = new TopologyCluster();
    cluster.isolate('n3');
    for (const id of ['n1', 'n2']) {
      cluster.kill(id);
      cluster.restart(id, 'the machine went down');
    }
    cluster.advance(5000, 20);
    assert.deepEqual(cluster.seat('n1').events.filter((event) => event === 'disk-lost-rows').length, 1);
    assert.equal(cluster.mustBegin('n1', heavier).phase, 'copy');
    cluster.healAll();
    assert.equal(cluster.untilSteady().epoch, 4);
    cluster.finish();
  });

  it('and epochs are stored so that a power loss does not take them, whatever rows are', () => {
    const cluster = new TopologyCluster({ durability: 'interval' });
    const synced: string[] = [];
    const { storage } = cluster.seat('n2');
    const write = storage.write.bind(storage);
    storage.write = (batch, durability, done) => {
      for (const { key } of batch) {
        if (key === topologyKey || key === votesKey)
          synced.push(`${key === votesKey ? 'votes' : 'topology'} ${durability}`);
      }
      write(batch, durability, done);
    };
    cluster.mustBegin('n1', heavier);
    cluster.untilSteady();
    assert.deepEqual(new Set(synced), new Set(['votes always', 'topology always']));
    cluster.finish();
  });

  it('are not given by a node whose notebook is damaged', () => {
    const cluster = new TopologyCluster();
    cluster.mustBegin('n1', heavier);
    cluster.untilSteady();
    cluster.kill('n2');
    const { entries } = cluster.seat('n2').storage;
    assert.ok(entries.has(topologyKey));
    entries.get(votesKey)![10]! ^= 1;
    cluster.restart('n2');
    assert.ok(cluster.seat('n2').events.includes('votes-damaged'));
    cluster.isolate('n3');
    cluster.advance(2000, 20);
    const call = cluster.answered(cluster.ask('n1', { kind: 'weight', id: 'n1', weight: 2 }));
    assert.equal(call.error?.code, 'quorum-unreachable');
    cluster.healAll();
    cluster.untilSteady();
    cluster.finish();
  });
});
