/** The topology desk: how epochs are asked for, chosen, kept and put in force. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { topologyKey } from '../../../src/node/topology-note.ts';
import { pumpedMember } from '../../support/pumped-cluster.ts';
import { TopologyCluster } from '../../support/topology-cluster.ts';

const heavier = { kind: 'weight', id: 'n2', weight: 3 } as const;

describe('a change', () => {
  it('goes through its three pages at all nodes, in far less than two seconds when there is nothing to copy', () => {
    const cluster = new TopologyCluster();
    const begunAt = cluster.seat('n1').clock.monotonicMs;
    const topology = cluster.mustBegin('n1', heavier);
    assert.ok(topology.epoch >= 2 && topology.change?.kind === 'weight');
    const steady = cluster.untilSteady();
    assert.ok(cluster.seat('n1').clock.monotonicMs - begunAt < 500);
    assert.deepEqual([...cluster.pages.keys()], [1, 2, 3, 4]);
    assert.equal(steady.epoch, 4);
    assert.equal(steady.member('n2')?.weight, 3);
    cluster.advance(500);
    for (const { node } of cluster.seats.values()) {
      const told = node.members().map(({ epoch, settledEpoch }) => [epoch, settledEpoch]);
      assert.deepEqual(told, [
        [4, 4],
        [4, 4],
        [4, 4],
      ]);
    }
    cluster.mustWrite('n3', 'key', 'value');
    assert.equal(cluster.mustRead('n2', 'key'), 'value');
    cluster.finish();
  });

  it('that is so already is no error, and changes nothing; one that makes no sense is refused', () => {
    const cluster = new TopologyCluster();
    const same = cluster.mustBegin('n1', { kind: 'weight', id: 'n2', weight: 1 });
    assert.equal(same.epoch, 1);
    const unknown = cluster.answered(cluster.ask('n1', { kind: 'leave', id: 'n9' }));
    assert.deepEqual([unknown.error?.code, unknown.error?.outcome], ['invalid', 'fail']);
    assert.deepEqual(cluster.epochs(), [1, 1, 1]);
    cluster.finish();
  });

  it('two at once: one begins, and whoever asked for the other is told of it', () => {
    for (const [first, second] of [
      ['n1', 'n3'],
      ['n3', 'n2'],
      ['n2', 'n2'],
    ] as const) {
      const cluster = new TopologyCluster();
      const calls = [
        cluster.ask(first, heavier),
        cluster.ask(second, { kind: 'weight', id: 'n1', weight: 5 }),
      ];
      for (const call of calls) cluster.answered(call);
      const errors = calls.flatMap(({ error }) => error ?? []);
      assert.equal(errors.length, 1);
      assert.deepEqual([errors[0]!.code, errors[0]!.outcome], ['unavailable', 'fail']);
      assert.match(errors[0]!.message, /another change is under way: weight n[12]/);
      const steady = cluster.untilSteady();
      const weights = steady.members.map(({ weight }) => weight);
      assert.ok(`${weights}` === '1,3,1' || `${weights}` === '5,1,1', `${weights}`);
      cluster.finish();
    }
  });

  it('the same one asked for at two nodes is begun once, and both are told so', () => {
    const cluster = new TopologyCluster();
    const calls = [cluster.ask('n1', heavier), cluster.ask('n3', heavier)];
    for (const call of calls) assert.equal(cluster.answered(call).error, undefined);
    assert.equal(cluster.untilSteady().epoch, 4);
    cluster.finish();
  });

  it('waits in copy for a member that is away, can be cancelled then, and not later', () => {
    const cluster = new TopologyCluster();
    cluster.kill('n3');
    assert.equal(cluster.mustBegin('n1', heavier).phase, 'copy');
    cluster.advance(3000, 20);
    assert.deepEqual([cluster.node('n1').topology.epoch, cluster.node('n2').topology.epoch], [2, 2]);
    cluster.allowGaps();
    assert.equal(cluster.mustBegin('n2', { kind: 'cancel' }).epoch, 3);
    // Another change waits for whoever is away.
    const early = cluster.answered(cluster.ask('n2', heavier));
    assert.deepEqual([early.error?.code, early.error?.outcome], ['quorum-unreachable', 'fail']);
    assert.match(early.error!.message, /epoch 3, and this is not known of n3/);
    cluster.restart('n3');
    assert.equal(cluster.untilSteady().epoch, 3);
    cluster.mustBegin('n2', heavier);
    assert.equal(cluster.untilSteady().member('n2')?.weight, 3);
    const late = cluster.answered(cluster.ask('n2', { kind: 'cancel' }));
    assert.deepEqual([late.error?.code, late.error?.outcome], ['invalid', 'fail']);
    cluster.finish();
  });

  it('of a newcomer that never comes is cancelled: the members are those of before', () => {
    const cluster = new TopologyCluster();
    const member = { ...pumpedMember('n4'), respPort: 1004 };
    const joining = cluster.mustBegin('n2', { kind: 'join', member });
    assert.ok(joining.phase !== 'steady' && joining.has('n4'));
    cluster.advance(1000, 20);
    assert.deepEqual(cluster.epochs(), [2, 2, 2]);
    const back = cluster.mustBegin('n1', { kind: 'cancel' });
    assert.deepEqual([back.phase, back.has('n4'), back.epoch], ['steady', false, 3]);
    cluster.untilSteady();
    cluster.finish();
  });
});

describe('members that come and go', () => {
  it('a node alone takes in a second one, can give that up while it never came, and be alone again', () => {
    const cluster = new TopologyCluster({ nodes: 1, replicas: 2 });
    cluster.mustWrite('n1', 'key', 'value');
    cluster.mustBegin('n1', { kind: 'join', member: pumpedMember('n2') });
    cluster.advance(500, 20);
    // A newcomer has no vote, or nothing could be decided without it.
    assert.equal(cluster.mustBegin('n1', { kind: 'cancel' }).has('n2'), false);
    cluster.add('n2', cluster.mustBegin('n1', { kind: 'join', member: pumpedMember('n2') }));
    const two = cluster.untilSteady();
    assert.deepEqual(
      two.read.members.map(({ id }) => id),
      ['n1', 'n2'],
    );
    assert.equal(cluster.mustRead('n2', 'key'), 'value');
    cluster.mustBegin('n2', { kind: 'leave', id: 'n1' });
    cluster.until(() => !cluster.node('n2').topology.has('n1'), 'n1 has left');
    assert.equal(cluster.mustRead('n2', 'key'), 'value');
    cluster.finish();
  });

  it('a newcomer is started with the epoch that names it, and takes part', () => {
    const cluster = new TopologyCluster();
    const joining = cluster.mustBegin('n1', { kind: 'join', member: pumpedMember('n4') });
    cluster.add('n4', joining);
    const steady = cluster.untilSteady();
    assert.deepEqual(
      steady.read.members.map(({ id }) => id),
      ['n1', 'n2', 'n3', 'n4'],
    );
    cluster.mustWrite('n4', 'key', 'value');
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'key'), 'value');
    // Its vote counts like any other.
    cluster.isolate('n1');
    cluster.advance(2000, 20);
    assert.equal(cluster.mustBegin('n4', heavier).phase, 'copy');
    cluster.healAll();
    assert.equal(cluster.untilSteady().member('n2')?.weight, 3);
    cluster.finish();
  });

  it('who leaves learns it, takes no requests and says so; a restart says it too', () => {
    const cluster = new TopologyCluster({ nodes: 4 });
    cluster.mustBegin('n3', { kind: 'leave', id: 'n3' });
    cluster.until(() => !cluster.node('n3').topology.has('n3'), 'n3 has left');
    cluster.until(() => !cluster.node('n1').topology.has('n3'), 'n1 knows it');
    assert.equal(cluster.seat('n3').events.filter((event) => event === 'left-cluster').length, 1);
    const write = cluster.write('n3', 'key', 'value');
    assert.deepEqual([write.error?.code, write.error?.outcome], ['unavailable', 'fail']);
    assert.match(write.error!.message, /left the cluster with epoch 4/);
    const change = cluster.ask('n3', heavier);
    assert.deepEqual([change.error?.code, change.error?.outcome], ['unavailable', 'fail']);
    cluster.advance(3000, 20);
    cluster.mustWrite('n1', 'key', 'value');
    cluster.kill('n3');
    assert.throws(() => cluster.restart('n3'), { code: 'unavailable', message: /it left with epoch 4/ });
    cluster.remove('n3');
    cluster.finish();
  });

  it('who leaves is told again when the first word of it is lost', () => {
    const cluster = new TopologyCluster({ nodes: 4 });
    const leave = cluster.ask('n1', { kind: 'leave', id: 'n4' });
    for (let steps = 0; cluster.node('n4').topology.phase !== 'switch'; steps++) {
      assert.ok(steps < 5000, 'the last page but one');
      if (!cluster.step()) cluster.advance(5);
    }
    for (const id of ['n1', 'n2', 'n3']) cluster.hold(id, 'n4');
    cluster.advance(200);
    for (const id of ['n1', 'n2', 'n3']) cluster.drop(id, 'n4');
    assert.ok(cluster.node('n4').topology.has('n4'));
    // They wait for it a while before they hang up.
    assert.ok(cluster.node('n1').topology.has('n4'));
    cluster.releaseAll();
    cluster.advance(600);
    assert.deepEqual(
      cluster.ids.map((id) => cluster.node(id).topology.has('n4')),
      [false, false, false, false],
    );
    assert.equal(leave.error, undefined);
    cluster.finish();
  });

  it('who leaves and is not reached holds nobody up for longer than two seconds', () => {
    const cluster = new TopologyCluster({ nodes: 4 });
    cluster.mustBegin('n1', { kind: 'leave', id: 'n4' });
    for (let steps = 0; cluster.node('n4').topology.phase !== 'switch'; steps++) {
      assert.ok(steps < 5000, 'the last page but one');
      if (!cluster.step()) cluster.advance(5);
    }
    for (const id of ['n1', 'n2', 'n3']) cluster.hold(id, 'n4');
    cluster.until(() => !cluster.node('n1').topology.has('n4'), 'they go on', 2500);
    cluster.remove('n4');
    cluster.untilSteady();
    cluster.finish();
  });

  it('is refused where rows go by themselves, if it moves any', () => {
    const cluster = new TopologyCluster({ nodes: 4 });
    const asked = (request: Parameters<typeof cluster.ask>[1]): string => {
      const { error } = cluster.answered(cluster.ask('n1', request));
      return error === undefined ? 'begun' : `${error.code} ${error.outcome} ${error.message}`;
    };
    cluster.seat('n1').storage.evicts = true;
    const refused =
      /^invalid fail rows go by themselves here \(storage.evictionPolicy\).*nothing was changed$/;
    assert.match(asked({ kind: 'leave', id: 'n4' }), refused);
    assert.match(asked({ kind: 'weight', id: 'n2', weight: 3 }), refused);
    assert.match(asked({ kind: 'join', member: pumpedMember('n5') }), refused);
    assert.equal(cluster.node('n1').topology.epoch, 1);
    // Somebody that all hold the rows of may go for good: nobody fetches any.
    const few = new TopologyCluster({ nodes: 3 });
    for (const { storage } of few.seats.values()) storage.evicts = true;
    few.remove('n3');
    few.mustBegin('n1', { kind: 'remove', ids: ['n3'] });
    assert.equal(few.untilSteady().members.length, 2);
    cluster.finish();
    few.finish();
  });

  it('a member that is gone for good is removed while it is away, and not while it answers', () => {
    const cluster = new TopologyCluster({ nodes: 4 });
    const alive = cluster.answered(cluster.ask('n1', { kind: 'remove', ids: ['n4'] }));
    assert.deepEqual([alive.error?.code, alive.error?.outcome], ['invalid', 'fail']);
    assert.match(alive.error!.message, /n4 is reached/);
    cluster.remove('n4');
    cluster.mustBegin('n2', { kind: 'remove', ids: ['n4'] });
    assert.deepEqual(
      cluster.untilSteady().members.map(({ id }) => id),
      ['n1', 'n2', 'n3'],
    );
    cluster.finish();
  });

  it('a member lost in the middle of a change is removed, and the change ends without it', () => {
    const cluster = new TopologyCluster({ nodes: 4 });
    cluster.kill('n4');
    cluster.mustBegin('n1', heavier);
    cluster.advance(1000, 20);
    assert.equal(cluster.node('n1').topology.phase, 'copy');
    cluster.remove('n4');
    cluster.mustBegin('n3', { kind: 'remove', ids: ['n4'] });
    // The change ends, and another takes what the lost one owned away.
    cluster.until(() => cluster.untilSteady().ghosts.length === 0, 'nobody is named who is gone');
    const steady = cluster.node('n1').topology;
    assert.equal(steady.member('n2')?.weight, 3);
    assert.deepEqual(
      steady.read.members.map(({ id }) => id),
      ['n1', 'n2', 'n3'],
    );
    cluster.finish();
  });
});

describe('what a node knows of epochs', () => {
  it('is on its disk, and in force before it hears anybody', () => {
    const cluster = new TopologyCluster();
    cluster.mustBegin('n1', heavier);
    cluster.untilSteady();
    for (const id of cluster.ids) cluster.kill(id);
    for (const id of ['n1', 'n2', 'n3']) {
      cluster.restart(id);
      assert.equal(cluster.node(id).topology.epoch, 4);
    }
    cluster.advance(2000, 20);
    assert.deepEqual(
      cluster
        .node('n2')
        .members()
        .map(({ epoch }) => epoch),
      [4, 4, 4],
    );
    cluster.finish();
  });

  it('is caught up with before it serves, when its disk is behind', () => {
    const cluster = new TopologyCluster();
    cluster.mustBegin('n1', heavier);
    cluster.untilSteady();
    cluster.kill('n3');
    cluster.allowGaps();
    cluster.seat('n3').storage.entries.delete(topologyKey);
    cluster.hold('n1', 'n3');
    cluster.hold('n2', 'n3');
    cluster.restart('n3');
    for (let steps = 0; cluster.node('n3').topology.epoch < 4; steps++) {
      assert.ok(steps < 200, 'it catches up');
      // Not even its start is over.
      assert.equal(cluster.write('n3', 'key', 'value').error?.code, 'unavailable');
      for (const id of ['n1', 'n2']) if (cluster.waiting(id, 'n3').length > 0) cluster.deliver(id, 'n3');
      cluster.advance(5);
    }
    cluster.releaseAll();
    cluster.advance(1000, 20);
    cluster.mustWrite('n3', 'key', 'value');
    cluster.finish();
  });

  it('that is damaged is asked of the others', () => {
    const cluster = new TopologyCluster();
    cluster.mustBegin('n1', heavier);
    cluster.untilSteady();
    cluster.kill('n3');
    cluster.allowGaps();
    const note = cluster.seat('n3').storage.entries.get(topologyKey)!;
    note[20]! ^= 1;
    cluster.isolate('n3');
    cluster.restart('n3');
    cluster.advance(5000, 20);
    // Alone it has no page to go by that is not older than any disk.
    assert.ok(cluster.seat('n3').events.includes('topology-damaged'));
    assert.equal(cluster.write('n3', 'key', 'value').error?.code, 'unavailable');
    cluster.healAll();
    cluster.until(() => cluster.node('n3').topology.epoch === 4, 'n3 caught up');
    cluster.advance(1000, 20);
    cluster.mustWrite('n3', 'key', 'value');
    cluster.finish();
  });

  it('is not said before it is durable, and waits for a disk that is full', () => {
    const cluster = new TopologyCluster();
    cluster.seat('n3').storage.automatic = false;
    cluster.mustBegin('n1', heavier);
    cluster.advance(1000, 20);
    assert.deepEqual(cluster.epochs(), [2, 2, 1]);
    const views = cluster.node('n1').members();
    assert.deepEqual(
      views.map(({ epoch }) => epoch),
      [2, 2, 1],
    );
    cluster.seat('n3').storage.automatic = true;
    cluster.seat('n3').storage.complete();
    cluster.untilSteady();
    cluster.finish();
  });
});
