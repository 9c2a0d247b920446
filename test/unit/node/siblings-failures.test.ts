/**
 * Siblings when disks refuse, forget and rot: what was built upon is not called failed, and no actor goes on where
 * its disk may have forgotten one of its writes.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { byteString } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import type { Policy } from '../../../src/coordinator/policy.ts';
import type { Versions } from '../../../src/node/api.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { versionsOfRow } from '../../../src/rows/siblings.ts';
import { PumpedCluster, textBody } from '../../support/pumped-cluster.ts';

const policy: Policy = { r: 2, w: 2, strict: false, conflicts: 'siblings' };
const one: Policy = { ...policy, r: 1, w: 1 };
const key = 'cart';

interface Answer {
  error: CodedError | undefined;
  answered: boolean;
}

function begin(cluster: PumpedCluster, id: string, value: string, context?: Uint8Array, by = policy): Answer {
  const answer: Answer = { error: undefined, answered: false };
  const options = context === undefined ? { policy: by } : { policy: by, context };
  cluster.node(id).write(key, textBody(value), options, (error) => {
    answer.answered = true;
    answer.error = error;
  });
  return answer;
}

function put(cluster: PumpedCluster, id: string, value: string, context?: Uint8Array, by = policy): void {
  const answer = begin(cluster, id, value, context, by);
  cluster.pump();
  assert.deepEqual(answer, { error: undefined, answered: true }, value);
}

function versions(cluster: PumpedCluster, id: string, by: Policy = policy): Versions {
  let read: Versions | undefined;
  cluster.node(id).readVersions(key, { policy: by }, (error, found) => {
    assert.equal(error, undefined);
    read = found;
  });
  cluster.pump();
  assert.ok(read, 'the read is answered');
  return read;
}

function values(cluster: PumpedCluster, id: string, by: Policy = policy): string[] {
  return versions(cluster, id, by)
    .versions.map(({ value }) => byteString(value))
    .sort();
}

/** Actors in the vector of the row on a disk. */
function actors(cluster: PumpedCluster, id: string): number[] {
  return versionsOfRow(cluster.stored(id, key)).vector.map(({ actor }) => actor);
}

describe('siblings on a full disk', () => {
  const full = (): CodedError => new CodedError('storage-full', 'fail', 'the disk is full');

  test('a write whose batch was refused, and that a later one was built upon, is unknown', () => {
    const cluster = new PumpedCluster({});
    const { storage } = cluster.seat('n1');
    storage.automatic = false;
    const first = begin(cluster, 'n1', 'first');
    cluster.endTurn('n1');
    // The first is on its way to the disk; the second is made of what lies there.
    const second = begin(cluster, 'n1', 'second');
    storage.complete(full());
    cluster.endTurn('n1');
    storage.complete();
    storage.automatic = true;
    cluster.pump();
    assert.equal(first.error?.outcome, 'unknown');
    assert.deepEqual(second, { error: undefined, answered: true });
    assert.deepEqual(values(cluster, 'n2'), ['first', 'second']);
    cluster.finish();
  });

  test('a write whose batch was refused, and nothing else, failed', () => {
    const cluster = new PumpedCluster({});
    const { storage } = cluster.seat('n1');
    storage.automatic = false;
    const first = begin(cluster, 'n1', 'first');
    cluster.endTurn('n1');
    storage.complete(full());
    storage.automatic = true;
    cluster.pump();
    assert.equal(first.error?.outcome, 'fail');
    put(cluster, 'n1', 'second');
    assert.deepEqual(values(cluster, 'n2'), ['second']);
    cluster.finish();
  });
});

describe('siblings of a disk that may have forgotten', () => {
  test('a restart with everybody there goes on as the same actor', () => {
    const cluster = new PumpedCluster({});
    put(cluster, 'n1', 'a');
    cluster.advance(500);
    cluster.kill('n1');
    cluster.pump();
    cluster.restart('n1');
    cluster.advance(3500);
    put(cluster, 'n1', 'b');
    assert.equal(actors(cluster, 'n1').length, 1);
    assert.deepEqual(values(cluster, 'n2'), ['a', 'b']);
  });

  test('started while a member is away, it writes aside, under one actor a life; then as itself again', () => {
    const cluster = new PumpedCluster({});
    put(cluster, 'n1', 'a');
    cluster.advance(500);
    cluster.kill('n3');
    cluster.kill('n1');
    cluster.pump();
    cluster.restart('n1');
    cluster.advance(3500);
    put(cluster, 'n1', 'b');
    put(cluster, 'n1', 'c');
    assert.equal(actors(cluster, 'n1').length, 2, 'itself and one beside');
    cluster.restart('n3');
    cluster.advance(3500);
    put(cluster, 'n1', 'd');
    assert.equal(actors(cluster, 'n1').length, 2, 'itself again');
    assert.deepEqual(values(cluster, 'n2', { ...policy, r: 3 }), ['a', 'b', 'c', 'd']);
  });

  test('after a damaged row was replaced it writes aside: what only its disk and a hint knew is not hidden', () => {
    const cluster = new PumpedCluster({ nodes: 4, policy: one });
    const rowKey = rowKeyOf(key);
    const [owner, ...others] = cluster.table.preferenceList(slotOf(key)) as [string, ...string[]];
    put(cluster, owner, 'known', undefined, one);
    cluster.advance(500);
    const { storage } = cluster.seat(owner);
    const actorsBefore = actors(cluster, owner).length;
    const row = storage.entries.get(rowKey)!.slice();
    row[row.length - 1]! ^= 1;
    storage.entries.set(rowKey, row);
    assert.deepEqual(values(cluster, others[0]!, { ...policy, r: 2 }), ['known']);
    // It is found when it is met, and replaced once no write can be under way.
    versions(cluster, owner, { ...policy, r: 2 });
    cluster.advance(5000);
    assert.deepEqual(values(cluster, owner, one), ['known']);
    put(cluster, owner, 'later', undefined, one);
    cluster.advance(100);
    assert.equal(actors(cluster, owner).length, actorsBefore + 1);
    assert.deepEqual(values(cluster, others[1]!, one), ['known', 'later']);
  });

  test('nobody is sent a value before it is durable here: by mutant, the next one hides what a crash forgot', () => {
    for (const mutant of [undefined, 'sibling-sent-early']) {
      const cluster = new PumpedCluster(mutant === undefined ? {} : { mutants: [mutant] });
      cluster.seat('n1').storage.automatic = false;
      const first = begin(cluster, 'n1', 'first');
      cluster.pump();
      assert.equal(first.answered, mutant !== undefined);
      assert.equal(cluster.stored('n2', key) === undefined, mutant === undefined);
      cluster.kill('n1');
      cluster.pump();
      cluster.restart('n1');
      put(cluster, 'n1', 'second');
      assert.deepEqual(values(cluster, 'n2', { ...policy, r: 3 }), ['second'], 'acknowledged or not');
    }
  });

  test('a replica that lost rows makes no siblings of what is left: another one does', () => {
    for (const mutant of [undefined, 'sibling-on-lost-ground']) {
      const cluster = new PumpedCluster(mutant === undefined ? {} : { mutants: [mutant] });
      put(cluster, 'n2', 'a');
      put(cluster, 'n3', 'b');
      cluster.advance(500);
      cluster.kill('n1');
      cluster.pump();
      cluster.restart('n1', 'its log is torn');
      put(cluster, 'n1', 'c');
      assert.equal(actors(cluster, 'n2').length, mutant === undefined ? 2 : 3);
      assert.deepEqual(values(cluster, 'n2'), ['a', 'b', 'c']);
    }
  });
});
