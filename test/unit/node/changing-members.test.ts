/** Nodes that come and go: what a node makes of a list of members that changes while it runs. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NodeStatus } from '../../../src/node/status.ts';
import { place } from '../../../src/ring/placement.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { META_PREFIX } from '../../../src/rows/key.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { PumpedCluster, pumpedMember, textOf } from '../../support/pumped-cluster.ts';
import { TopologyCluster } from '../../support/topology-cluster.ts';

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

const strict = { policy: { r: 2, w: 2, strict: true } };
const join = { kind: 'join', member: pumpedMember('n4') } as const;

class Cluster extends TopologyCluster {
  status(id: string): NodeStatus {
    return this.node(id).status();
  }

  past(id: string): NonNullable<NodeStatus['past']> {
    return this.status(id).past!;
  }

  /** Whose cards lie on the disk of a node. */
  cards(id: string): string[] {
    const prefix = `${META_PREFIX}peer`;
    const keys = [...this.seat(id).storage.entries.keys()];
    return keys.flatMap((key) => (key.startsWith(prefix) ? [key.slice(prefix.length)] : [])).sort();
  }

  codes(id: string): string[] {
    return this.status(id).reasons.map(({ code, subject }) => `${code} ${subject}`);
  }

  /** What was said of members, at all nodes, since the last call. */
  rumours(): string[] {
    return [...this.seats.values()].flatMap(({ events }) =>
      events
        .splice(0)
        .filter((event) => /^member-|^peer-lost|clock-doubted|rumour|frame-damaged/.test(event)),
    );
  }
}

describe('a member that joins', () => {
  it('is met by all; nobody is suspected, no clock is doubted, no frame is refused', () => {
    const cluster = new Cluster({ nodes: 3 });
    cluster.rumours();
    const topology = cluster.mustBegin('n1', join);
    cluster.add('n4', topology);
    cluster.untilSteady();
    cluster.advance(3000);
    assert.deepEqual(cluster.rumours(), []);
    for (const id of cluster.ids) {
      assert.ok(
        cluster
          .node(id)
          .members()
          .every(({ live, status }) => live && status === 'alive'),
      );
      assert.equal(cluster.past(id).state, 'sure');
      assert.equal(cluster.past(id).unheard, 0);
      assert.deepEqual(
        cluster.cards(id),
        cluster.ids.filter((other) => other !== id),
      );
      assert.equal(cluster.status(id).epoch, cluster.node(id).topology.epoch);
      assert.deepEqual(
        cluster.status(id).members.map(({ state }) => state),
        ['owning', 'owning', 'owning', 'owning'],
      );
    }
    cluster.mustWrite('n4', 'key', 'value', strict);
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'key', strict), 'value');
    cluster.finish();
  });

  it('and does not come is waited for, and said to be; what the others serve does not wait', () => {
    const cluster = new Cluster({ nodes: 3 });
    const topology = cluster.mustBegin('n1', join);
    cluster.advance(8000);
    for (const id of cluster.ids) {
      assert.deepEqual(cluster.codes(id), ['change-waits n4'], id);
      const { change, members, settled } = cluster.status(id);
      assert.deepEqual([change?.kind, change?.phase, change?.nodes], ['join', 'enrol', ['n4']]);
      assert.deepEqual([change?.busy, change?.waitsFor], [['n1', 'n2', 'n3', 'n4'], ['n4']]);
      assert.equal(members.find((member) => member.id === 'n4')?.state, 'joining');
      assert.equal(settled, false);
      assert.equal(cluster.past(id).unheard, 0, 'it never met a life of this node');
    }
    cluster.mustWrite('n1', 'key', 'value', strict);
    assert.equal(cluster.mustRead('n2', 'key', strict), 'value');
    cluster.mustWrite('n1', 'flushed', 'value');
    const flush = cluster.flush('n2', strict);
    cluster.pump();
    assert.equal(flush.error, undefined, 'no clock is doubted because of it');
    cluster.add('n4', topology);
    cluster.untilSteady();
    cluster.advance(1500);
    for (const id of cluster.ids) {
      assert.equal(cluster.status(id).change, undefined);
      assert.deepEqual(cluster.codes(id), []);
    }
    cluster.finish();
  });

  it('is asked by those whose disk is still in doubt, and not by the others', () => {
    const cluster = new Cluster({ nodes: 3 });
    cluster.kill('n3');
    cluster.kill('n1');
    cluster.restart('n1');
    cluster.advance(4000);
    assert.equal(cluster.past('n1').unheard, 1, 'n3 did not tell this life of n1');
    const topology = cluster.mustBegin('n2', join);
    cluster.until(() => cluster.node('n1').topology.epoch === topology.epoch, 'n1 follows');
    assert.deepEqual([cluster.past('n1').unheard, cluster.past('n2').unheard], [2, 0]);
    cluster.add('n4', topology);
    cluster.advance(1000);
    assert.equal(cluster.past('n1').unheard, 1);
    cluster.restart('n3');
    cluster.untilSteady();
    assert.equal(cluster.past('n1').unheard, 0);
    assert.deepEqual(
      cluster.seat('n1').events.filter((event) => event === 'disk-lost-rows'),
      [],
    );
    cluster.finish();
  });

  it('to a node that was alone: linearizable reads go on, and what it says is remembered', () => {
    const cluster = new Cluster({ nodes: 1 });
    cluster.mustWrite('n1', 'key', 'value', strict);
    const topology = cluster.mustBegin('n1', { kind: 'join', member: pumpedMember('n2') });
    cluster.add('n2', topology);
    assert.equal(cluster.mustRead('n1', 'key', strict), 'value');
    cluster.untilSteady();
    cluster.advance(1000);
    for (const id of ['n1', 'n2']) {
      assert.equal(cluster.past(id).state, 'sure');
      assert.equal(cluster.mustRead(id, 'key', strict), 'value');
    }
    assert.deepEqual(cluster.cards('n2'), ['n1']);
    cluster.finish();
  });
});

describe('a disk from before a member joined', () => {
  for (const what of ['an older copy', 'an empty one']) {
    it(`${what}: the node learns who the members are now, that rows are missing, and gets them back`, () => {
      const cluster = new Cluster({ nodes: 3, limits: { repairIntervalMs: 60_000 } });
      cluster.mustWrite('n2', 'before', 'value', strict);
      const copy = new Map(cluster.seat('n1').storage.entries);
      cluster.add('n4', cluster.mustBegin('n1', join));
      cluster.untilSteady();
      const keys = Array.from({ length: 40 }, (_, i) => `key-${i}`);
      for (const key of keys) cluster.mustWrite('n4', key, 'value', strict);
      cluster.advance(1000);
      cluster.kill('n1');
      const { entries } = cluster.seat('n1').storage;
      entries.clear();
      if (what === 'an older copy') for (const [key, value] of copy) entries.set(key, value);
      cluster.allowGaps();
      cluster.restart('n1');
      cluster.until(() => cluster.node('n1').topology.has('n4'), 'n1 learns of n4');
      cluster.until(() => cluster.past('n1').whole, 'n1 is whole again', 20_000);
      assert.ok(cluster.past('n1').generation > 0);
      assert.equal(cluster.seat('n1').events.filter((event) => event === 'disk-lost-rows').length, 1);
      assert.equal(cluster.past('n1').unheard, 0);
      for (const key of ['before', ...keys]) {
        assert.equal(cluster.mustRead('n1', key, strict), 'value', key);
        const isOwner = cluster.node('n1').topology.read.preferenceList(slotOf(key)).includes('n1');
        assert.equal(cluster.stored('n1', key) !== undefined, isOwner, key);
      }
      cluster.finish();
    });
  }
});

describe('a member that goes', () => {
  it('is forgotten by those who turned the page before it, and what it still says is not heard', () => {
    const cluster = new Cluster({ nodes: 4 });
    cluster.rumours();
    cluster.mustBegin('n2', { kind: 'leave', id: 'n4' });
    cluster.until(() => !cluster.node('n1').topology.has('n4'), 'n4 is out');
    cluster.untilSteady();
    cluster.advance(2000);
    const left = ['n1', 'n2', 'n3'];
    for (const id of left) {
      assert.deepEqual(
        cluster
          .node(id)
          .members()
          .map((member) => [member.id, member.live]),
        left.map((other) => [other, true]),
      );
      assert.deepEqual(
        cluster.cards(id),
        left.filter((other) => other !== id),
      );
      assert.equal(cluster.past(id).unheard, 0);
      assert.deepEqual(cluster.codes(id), []);
    }
    for (const id of left) {
      const said = cluster.seat(id).events.filter((event) => /^member-|^peer-lost/.test(event));
      assert.deepEqual(said, ['peer-lost'], 'n4, and nobody else');
    }
    // A process that does not end goes on talking, to nobody.
    cluster.advance(8000);
    for (const id of left)
      assert.ok(
        cluster
          .node(id)
          .members()
          .every(({ status }) => status === 'alive'),
      );
    cluster.remove('n4');
    cluster.finish();
  });

  it('and comes back with its old disk is a member like any other', () => {
    const cluster = new Cluster({ nodes: 4 });
    cluster.mustWrite('n4', 'key', 'old', strict);
    cluster.mustBegin('n1', { kind: 'leave', id: 'n4' });
    cluster.untilSteady();
    cluster.until(() => !cluster.node('n1').topology.has('n4'), 'n4 is out');
    cluster.kill('n4');
    cluster.mustWrite('n1', 'key', 'new', strict);
    const topology = cluster.mustBegin('n1', join);
    cluster.restart('n4', undefined, topology);
    cluster.untilSteady();
    cluster.advance(2000);
    assert.ok(cluster.node('n4').topology.has('n4'));
    for (const id of cluster.ids) {
      assert.equal(cluster.past(id).state, 'sure', id);
      assert.equal(cluster.mustRead(id, 'key', strict), 'new');
    }
    cluster.finish();
  });

  it('and comes back while somebody is in doubt is not taken for one who knows of a loss', () => {
    const cluster = new Cluster({ nodes: 4 });
    cluster.kill('n1');
    cluster.restart('n1');
    cluster.advance(1000);
    cluster.mustBegin('n1', { kind: 'leave', id: 'n4' });
    cluster.until(() => !cluster.node('n1').topology.has('n4'), 'n4 is out');
    cluster.untilSteady();
    cluster.kill('n4');
    cluster.kill('n3');
    cluster.kill('n2');
    cluster.restart('n2');
    cluster.advance(4000);
    for (let i = 0; i < 20; i++) cluster.mustWrite('n1', `key-${i}`, 'value');
    const topology = cluster.mustBegin('n1', join);
    cluster.restart('n4', undefined, topology);
    cluster.advance(2000);
    assert.deepEqual([cluster.past('n1').unheard, cluster.past('n2').unheard], [0, 1], 'n2 misses n3');
    cluster.restart('n3');
    cluster.untilSteady();
    for (const id of cluster.ids) {
      assert.ok(!cluster.seat(id).events.includes('disk-lost-rows'), id);
      assert.equal(cluster.past(id).state, 'sure');
    }
    cluster.finish();
  });

  it('and was never met since a founding is not waited for any more: linearizable reads are answered', () => {
    const cluster = new PumpedCluster({ nodes: 3 });
    for (const id of ['n1', 'n2', 'n3']) {
      cluster.kill(id);
      cluster.seat(id).storage.entries.clear();
    }
    cluster.restart('n1');
    cluster.restart('n2');
    cluster.advance(5000);
    cluster.mustWrite('n1', 'key', 'value');
    const refused = cluster.read('n1', 'key', strict);
    cluster.advance(1500);
    assert.equal(refused.error?.code, 'quorum-unreachable', 'n3 might know more');
    const call = cluster.call<never>('removal');
    cluster.node('n1').changeTopology({ kind: 'remove', ids: ['n3'] }, call.done);
    cluster.advance(6000);
    assert.equal(call.error, undefined, call.error?.message);
    assert.equal(cluster.node('n1').topology.phase, 'steady');
    const read = cluster.read('n1', 'key', strict);
    cluster.pump();
    assert.equal(textOf(read.value), 'value', read.error?.message);
    for (const id of ['n1', 'n2']) assert.equal(cluster.node(id).status().past?.unheard, 0);
    cluster.finish();
  });
});
