/**
 * Data that move while owners change, in clusters moved by hand: at rest every row lies with all of its owners and
 * with nobody else, however the change went.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import type { TopologyRequest } from '../../../src/node/api.ts';
import { movesTo } from '../../../src/node/move-plan.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import type { Topology } from '../../../src/topology/topology.ts';
import type { PumpedOptions } from '../../support/pumped-cluster.ts';
import { PumpedCluster, pumpedMember, textOf } from '../../support/pumped-cluster.ts';

const rare: PumpedOptions = {
  nodes: 4,
  policy: { r: 2, w: 2, strict: true },
  limits: { repairIntervalMs: 3_600_000 },
};
const names = Array.from({ length: 200 }, (_, i) => `key-${i}`);

function filled(options: PumpedOptions = rare): PumpedCluster {
  const cluster = new PumpedCluster(options);
  for (const name of names) cluster.mustWrite('n1', name, `value of ${name}`);
  cluster.advance(1200);
  return cluster;
}

function change(cluster: PumpedCluster, request: TopologyRequest): Topology {
  const call = cluster.call<never>(`change ${request.kind}`);
  cluster.node('n1').changeTopology(request, call.done);
  cluster.advance(200);
  assert.equal(call.isDone, true);
  assert.equal(call.error, undefined, call.error?.message);
  return cluster.node('n1').topology;
}

/** Asks n1 to take a node in, and starts it; data are about to be copied then. */
function join(cluster: PumpedCluster, each: () => void = () => undefined): Topology {
  cluster.add('n5', change(cluster, { kind: 'join', member: pumpedMember('n5') }));
  for (let i = 0; cluster.node('n1').topology.phase !== 'copy'; i++) {
    assert.ok(i < 2000, 'the newcomer is known to all');
    each();
    cluster.advance(5);
  }
  return cluster.node('n1').topology;
}

function strays(cluster: PumpedCluster): number {
  return [...cluster.seats.values()].reduce((sum, { node }) => sum + node.moves().strays, 0);
}

/** Lets time pass until the change is over and nothing lies where it does not belong. */
function settle(cluster: PumpedCluster, each: () => void = () => undefined): void {
  let calm = 0;
  for (let passed = 0; calm < 10; passed += 100) {
    assert.ok(passed < 60_000, 'the change comes to an end');
    cluster.advance(100);
    each();
    const topologies = [...cluster.seats.values()].map(({ node }) => node.topology);
    const isOver = topologies.every(
      ({ phase, epoch }) => phase === 'steady' && epoch === topologies[0]!.epoch,
    );
    calm = isOver && strays(cluster) === 0 ? calm + 1 : 0;
  }
}

/** Every key lies with each of its owners, and nowhere else. */
function assertPlaced(cluster: PumpedCluster, keys: readonly string[] = names): void {
  const table = cluster.node('n1').topology.read;
  for (const key of keys) {
    const owners = table.preferenceList(slotOf(key));
    const holders = cluster.ids.filter((id) => cluster.stored(id, key) !== undefined);
    assert.deepEqual(
      holders,
      cluster.ids.filter((id) => owners.includes(id)),
      key,
    );
    for (const id of owners) assert.deepEqual(cluster.stored(id, key), cluster.stored(owners[0]!, key), key);
  }
}

describe('a join', () => {
  it('brings every row to its new owners for little more than its bytes, and takes it from the old', () => {
    const cluster = filled();
    const before = cluster.node('n1').topology;
    join(cluster);
    settle(cluster);
    assertPlaced(cluster);
    const moved = names.filter((name) => cluster.stored('n5', name) !== undefined);
    const { rowsTotal, partitionsDone, partitions } = cluster.node('n5').moves();
    assert.equal(rowsTotal, moved.length, 'each row came once');
    assert.equal(partitionsDone, partitions);
    let cleaned = 0;
    for (const { node } of cluster.seats.values()) cleaned += node.moves().partitionsCleaned;
    const lost = before.read.partitionCount * 3 - countKept(before, cluster.node('n1').topology);
    assert.ok(cleaned > 0 && cleaned <= lost, `${cleaned} of ${lost}`);
    for (const name of names) assert.equal(cluster.mustRead('n5', name), `value of ${name}`);
    cluster.finish();
  });

  it('under writes and deletes loses nothing, and brings nothing back', () => {
    const cluster = filled();
    for (const name of names.slice(0, 20)) cluster.mustWrite('n2', name, undefined);
    join(cluster);
    let round = 0;
    const expected = new Map<string, string | undefined>(names.map((name) => [name, `value of ${name}`]));
    for (const name of names.slice(0, 20)) expected.set(name, undefined);
    settle(cluster, () => {
      if (round >= 60) return;
      for (const id of cluster.ids) {
        const name = names[(round * 7) % names.length]!;
        const text = round % 4 === 0 ? undefined : `round ${round} at ${id}`;
        cluster.mustWrite(id, name, text);
        expected.set(name, text);
        round++;
      }
    });
    assert.ok(round >= 30, `${round} writes`);
    assertPlaced(cluster);
    for (const [name, text] of expected)
      for (const id of ['n1', 'n5']) assert.equal(cluster.mustRead(id, name), text);
    cluster.finish();
  });

  it('of a node whose disk is lost on the way begins anew', () => {
    const cluster = filled();
    join(cluster);
    for (let i = 0; cluster.node('n5').moves().partitionsDone < 5; i++) {
      assert.ok(i < 2000);
      cluster.advance(10);
    }
    cluster.kill('n5');
    cluster.seat('n5').storage.entries.clear();
    cluster.advance(500);
    cluster.restart('n5', undefined, cluster.node('n1').topology);
    settle(cluster);
    cluster.advance(3000);
    assertPlaced(cluster);
    cluster.finish();
  });

  it('of a node that is started again on the way goes on', () => {
    const cluster = filled();
    join(cluster);
    for (let i = 0; cluster.node('n5').moves().partitionsDone < 10; i++) {
      assert.ok(i < 2000);
      cluster.advance(10);
    }
    const before = cluster.node('n5').moves().rows;
    cluster.advance(1100);
    cluster.kill('n5');
    cluster.advance(500);
    cluster.restart('n5');
    settle(cluster);
    assertPlaced(cluster);
    const { rowsTotal } = cluster.node('n5').moves();
    const moved = names.filter((name) => cluster.stored('n5', name) !== undefined);
    assert.ok(before + rowsTotal <= moved.length * 1.3, `${before} + ${rowsTotal} of ${moved.length}`);
    cluster.finish();
  });

  it('that is given up leaves nothing behind', () => {
    const cluster = filled();
    join(cluster);
    for (let i = 0; cluster.node('n5').moves().partitionsDone < 5; i++) {
      assert.ok(i < 2000);
      cluster.advance(10);
    }
    change(cluster, { kind: 'cancel' });
    cluster.remove('n5');
    settle(cluster);
    assertPlaced(cluster);
    cluster.finish();
  });

  it('waits for an old owner that is away, and names it', () => {
    const cluster = filled();
    cluster.kill('n3');
    cluster.advance(3000);
    cluster.add('n5', change(cluster, { kind: 'join', member: pumpedMember('n5') }));
    cluster.advance(5000);
    assert.deepEqual(cluster.node('n5').moves().waitsFor, ['n3']);
    assert.equal(cluster.node('n1').topology.read.has('n5'), false);
    cluster.restart('n3');
    settle(cluster);
    assert.deepEqual(cluster.node('n5').moves().waitsFor, []);
    assertPlaced(cluster);
    cluster.finish();
  });
});

describe('a leave', () => {
  for (const nodes of [4, 3]) {
    const whom = nodes === 4 ? 'to those who come in its place' : 'to the first who stays where nobody comes';
    it(`hands over what it holds, ${whom}`, () => {
      const cluster = filled({ ...rare, nodes });
      const id = `n${nodes}`;
      const lonely = names.filter((name) => cluster.table.preferenceList(slotOf(name)).includes(id));
      for (const name of lonely) {
        // As many others hold it as W asks for beside who goes, or nobody.
        const others = cluster.table.preferenceList(slotOf(name)).filter((owner) => owner !== id);
        for (const owner of others.slice(nodes - 3)) {
          cluster.seat(owner).storage.entries.delete(rowKeyOf(name));
        }
      }
      assert.ok(lonely.length > 50);
      change(cluster, { kind: 'leave', id });
      for (let i = 0; cluster.node(id).topology.has(id); i++) {
        assert.ok(i < 1000, 'it is let go');
        cluster.advance(100);
      }
      cluster.remove(id);
      settle(cluster);
      for (const name of names) assert.equal(cluster.mustRead('n1', name), `value of ${name}`);
      cluster.finish();
    });
  }
});

describe('a member that is removed', () => {
  it('is waited for no longer by one that is made whole', () => {
    const cluster = filled({ ...rare, nodes: 5 });
    for (const id of ['n3', 'n4']) cluster.kill(id);
    cluster.seat('n4').storage.entries.clear();
    cluster.advance(500);
    cluster.restart('n4', undefined, cluster.node('n1').topology);
    cluster.advance(8000);
    const unsure = (): number => {
      const { topology } = cluster.node('n4');
      return topology.read
        .partitionsOf('n4')
        .filter((partition) => !cluster.node('n4').answersFor(partition, true)).length;
    };
    assert.ok(unsure() > 10, 'what it shares with n3 may be with n3 alone');
    change(cluster, { kind: 'remove', ids: ['n3'] });
    cluster.remove('n3');
    settle(cluster);
    cluster.advance(2000);
    assert.equal(unsure(), 0);
    assertPlaced(cluster);
    cluster.finish();
  });
});

describe('mutants', () => {
  it('copy-from-one: a row that one old owner lacks does not reach the new one', () => {
    for (const mutants of [[], ['copy-from-one']]) {
      const cluster = filled({ ...rare, mutants });
      const topology = join(cluster);
      for (const { partition, peers } of movesTo('n5', topology, () => 'z')) {
        const [first] = peers;
        for (const name of names) {
          if (topology.read.partitionOfSlot(slotOf(name)) !== partition) continue;
          cluster.seat(first!).storage.entries.delete(rowKeyOf(name));
        }
      }
      settle(cluster);
      const { read } = cluster.node('n1').topology;
      const owned = names.filter((name) => read.preferenceList(slotOf(name)).includes('n5'));
      const there = owned.filter((name) => cluster.stored('n5', name) !== undefined);
      assert.equal(there.length === owned.length, mutants.length === 0, `${there.length} of ${owned.length}`);
    }
  });

  it('copy-before-all-know: a write by the old owners alone, after they were asked, does not reach the new one', () => {
    for (const mutants of [[], ['copy-before-all-know']]) {
      const cluster = filled({ ...rare, mutants });
      // n4 cannot note the epoch, goes by the one before, and says so.
      const topology = join(cluster, () => {
        if (cluster.node('n4').topology.phase === 'steady') return;
        cluster.seat('n4').storage.writeError = new CodedError('storage-full', 'fail', 'the disk is full');
      });
      assert.equal(cluster.node('n4').topology.other, undefined);
      const { read, next } = topology;
      const moved = names.find((name) => {
        const [before, after] = [read, next].map((table) => table.preferenceList(slotOf(name)));
        return before!.includes('n4') && after!.includes('n4') && after!.includes('n5');
      });
      assert.ok(moved !== undefined);
      cluster.advance(3000);
      cluster.mustWrite('n4', moved, 'late');
      cluster.seat('n4').storage.writeError = undefined;
      for (let i = 0; cluster.node('n1').topology.phase === 'copy'; i++) {
        assert.ok(i < 2000, 'the change goes on when n4 knows of it');
        cluster.advance(20);
      }
      const newest = read.preferenceList(slotOf(moved)).map((id) => cluster.stored(id, moved)!);
      const row = newest.find((one) => textOf(one) === 'late');
      assert.ok(row !== undefined);
      assert.equal(textOf(cluster.stored('n5', moved)!) === 'late', mutants.length === 0);
    }
  });

  it('stray-dropped-early: what only an old owner holds is lost', () => {
    for (const mutants of [[], ['stray-dropped-early']]) {
      const cluster = filled({ ...rare, mutants });
      // A late message brought a row to who does not own it, and to nobody else.
      const name = names.find((one) => !cluster.table.preferenceList(slotOf(one)).includes('n2'))!;
      const [first] = cluster.table.preferenceList(slotOf(name));
      const row = cluster.stored(first!, name)!;
      cluster.kill('n2');
      cluster.seat('n2').storage.entries.set(rowKeyOf(name), row);
      for (const owner of cluster.table.preferenceList(slotOf(name))) {
        cluster.seat(owner).storage.entries.delete(rowKeyOf(name));
      }
      cluster.restart('n2');
      settle(cluster);
      cluster.advance(3000);
      assert.equal(cluster.stored('n2', name), undefined, 'it is where it does not belong');
      const holders = cluster.ids.filter((id) => cluster.stored(id, name) !== undefined);
      assert.equal(holders.length, mutants.length === 0 ? 3 : 0);
    }
  });
});

/** Places that stay with their owners. */
function countKept(before: Topology, now: Topology): number {
  let kept = 0;
  for (let partition = 0; partition < now.partitionCount; partition++) {
    const after = now.read.preferenceListOfPartition(partition);
    kept += before.read.preferenceListOfPartition(partition).filter((id) => after.includes(id)).length;
  }
  return kept;
}
