/** The table as a value: lookups, stand-ins, JSON and what it refuses, differences. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { difference } from '../../../src/ring/difference.ts';
import { place } from '../../../src/ring/placement.ts';
import { SLOT_COUNT } from '../../../src/ring/slots.ts';
import { type RingMember, Table, type TableJson } from '../../../src/ring/table.ts';

function members(count: number): RingMember[] {
  return Array.from({ length: count }, (_, n) => ({ id: `n${n}`, weight: 1, zone: 'z' }));
}

test('a founding table of three nodes and N = 3 has every node in every list, primaries even', () => {
  const table = place(undefined, members(3));
  assert.equal(table.epoch, 1);
  assert.equal(table.partitionCount, 1024);
  assert.equal(table.slotsPerPartition, 16);
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    assert.deepEqual([...table.preferenceList(slot)].sort(), ['n0', 'n1', 'n2']);
  }
  assert.deepEqual(table.primaryCounts().sort(), [341, 341, 342]);
});

test('all slots of a partition share one frozen list, and the owner comes first', () => {
  const table = place(undefined, members(5));
  for (let partition = 0; partition < table.partitionCount; partition++) {
    const first = table.firstSlotOf(partition);
    const list = table.preferenceList(first);
    assert.ok(Object.isFrozen(list));
    for (let slot = first; slot < first + table.slotsPerPartition; slot++) {
      assert.equal(table.partitionOfSlot(slot), partition);
      assert.equal(table.preferenceList(slot), list);
    }
    assert.equal(list[0], table.members[table.owners[partition]!]!.id);
    assert.equal(table.isReplica(first, list[1]!), true);
  }
});

test('stand-ins are all other nodes, in the order the ring meets them', () => {
  const table = place(undefined, members(6));
  for (let partition = 0; partition < table.partitionCount; partition++) {
    const slot = table.firstSlotOf(partition);
    const standIns = table.standIns(slot);
    assert.equal(table.standIns(slot), standIns);
    assert.equal(new Set([...table.preferenceList(slot), ...standIns]).size, 6);
    const walk: string[] = [];
    for (let step = 1; walk.length < standIns.length; step++) {
      const id = table.members[table.owners[(partition + step) % table.partitionCount]!]!.id;
      if (!walk.includes(id) && !table.isReplica(slot, id)) walk.push(id);
    }
    assert.deepEqual(standIns, walk);
  }
});

test('fewer members than N: every member in every list', () => {
  const table = place(undefined, members(2), { replicaCount: 3 });
  assert.equal(table.replicaCount, 3);
  assert.equal(table.listLength, 2);
  assert.deepEqual(table.replicaCounts(), [1024, 1024]);
  assert.equal(place(table, members(3)).listLength, 3);
});

test('partitionsOf agrees with the lists', () => {
  const table = place(undefined, members(7), { partitionCount: 64 });
  for (const { id } of table.members) {
    const held = table.partitionsOf(id);
    assert.equal(held.length, table.replicaCounts()[table.indexOf(id)]);
    for (const partition of held) assert.ok(table.preferenceListOfPartition(partition).includes(id));
  }
  assert.deepEqual(table.partitionsOf('stranger'), []);
});

test('sharesOf counts what the lists say, and gives the same value each time', () => {
  const table = place(undefined, members(5), { partitionCount: 64 });
  for (const { id } of table.members) {
    const lists = table.partitionsOf(id).map((partition) => table.preferenceListOfPartition(partition));
    const primaries = lists.filter(([first]) => first === id).length;
    assert.deepEqual(table.sharesOf(id), { primaries, replicas: lists.length });
    assert.equal(table.sharesOf(id), table.sharesOf(id));
  }
  assert.deepEqual(table.sharesOf('stranger'), { primaries: 0, replicas: 0 });
});

test('equality and hash see the epoch, a weight and a list', () => {
  const table = place(undefined, members(4), { partitionCount: 16 });
  const json = table.toJson();
  assert.ok(Table.fromJson(json).equals(table));
  const swapped = json.lists.map((list, n) => (n === 3 ? [list[1]!, list[0]!, list[2]!] : list));
  const others: TableJson[] = [
    { ...json, epoch: 2 },
    { ...json, members: json.members.map((member, n) => (n === 0 ? { ...member, weight: 2 } : member)) },
    { ...json, lists: swapped },
  ];
  for (const other of others) {
    assert.equal(Table.fromJson(other).equals(table), false);
    assert.notEqual(Table.fromJson(other).hash, table.hash);
  }
});

test('a JSON value that is not a table is refused with the fault', () => {
  const json = place(undefined, members(4), { partitionCount: 4 }).toJson();
  const list = json.lists[0]!;
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [null, /not an object/],
    [[], /not an object/],
    [{ ...json, format: 2 }, /format/],
    [{ ...json, epoch: 0 }, /epoch/],
    [{ ...json, epoch: '1' }, /epoch/],
    [{ ...json, partitionCount: 3 }, /power of two/],
    [{ ...json, partitionCount: 2 ** 40 }, /power of two/],
    [{ ...json, partitionCount: Number.NaN }, /power of two/],
    [{ ...json, replicaCount: 1e9 }, /replicaCount/],
    [{ ...json, members: 'n0' }, /members/],
    [{ ...json, members: [] }, /members|does not have/],
    [{ ...json, members: json.members.toReversed() }, /sorted/],
    [{ ...json, members: json.members.map(() => json.members[0]) }, /duplicate/],
    [{ ...json, members: json.members.map((member) => ({ ...member, weight: 0 })) }, /weight/],
    [{ ...json, members: json.members.map(() => null) }, /member/],
    [{ ...json, lists: json.lists.slice(1) }, /one list a partition/],
    [{ ...json, lists: json.lists.map(() => [0, 1]) }, /does not have 3/],
    [{ ...json, lists: json.lists.map(() => [0, 1, 4]) }, /names no member/],
    [{ ...json, lists: json.lists.map(() => [0, 1, 0.5]) }, /names no member/],
    [{ ...json, lists: json.lists.map(() => [list[0], list[0], list[1]]) }, /twice/],
  ];
  for (const [value, fault] of cases) {
    assert.throws(() => Table.fromJson(value), { name: 'CodedError', code: 'invalid', message: fault });
  }
});

test('placement refuses members and shapes it cannot use', () => {
  const invalid = { name: 'CodedError', code: 'invalid' };
  assert.throws(() => place(undefined, []), invalid);
  assert.throws(() => place(undefined, [...members(2), ...members(1)]), invalid);
  assert.throws(() => place(undefined, [{ id: 'a', weight: Number.POSITIVE_INFINITY, zone: '' }]), invalid);
  assert.throws(() => place(undefined, members(3), { partitionCount: 1000 }), invalid);
  assert.throws(() => place(undefined, members(3), { replicaCount: 0 }), invalid);
  const table = place(undefined, members(3));
  assert.throws(() => place(table, members(3), { partitionCount: 512 }), invalid);
});

test('the difference counts what a join moves, node by node', () => {
  const before = place(undefined, members(3), { partitionCount: 8, replicaCount: 2 });
  const after = place(before, members(4));
  const found = difference(before, after);
  assert.deepEqual(found.membersJoined, ['n3']);
  assert.deepEqual(found.membersLeft, []);
  assert.equal(found.replicasMoved, 4);
  assert.equal(found.replicasDropped, 4);
  assert.equal(found.primariesMoved, 2);
  const newcomer = found.nodes.find((node) => node.id === 'n3')!;
  assert.deepEqual(newcomer.gained, after.partitionsOf('n3'));
  assert.deepEqual(newcomer.lost, []);
  assert.equal(newcomer.primariesGained.length, 2);
  const lost = found.nodes.flatMap((node) => node.lost).sort((a, b) => a - b);
  assert.deepEqual(lost, newcomer.gained);
  assert.throws(() => difference(before, place(undefined, members(3), { partitionCount: 16 })), {
    code: 'invalid',
  });
});

test('a table differs from itself in nothing, and placing the same members again moves nothing', () => {
  const table = place(undefined, members(10));
  const again = place(table, members(10));
  assert.equal(again.epoch, 2);
  assert.deepEqual(difference(table, table).nodes, []);
  assert.deepEqual(difference(table, again).partitionsChanged, []);
});
