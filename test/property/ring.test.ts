/**
 * Properties of the ring at random sizes, weights, zones and histories: what every table must hold to,
 * whatever led to it.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { balanceOf, movementOf } from '../../src/ring/balance.ts';
import { difference } from '../../src/ring/difference.ts';
import { place } from '../../src/ring/placement.ts';
import { type RingMember, Table } from '../../src/ring/table.ts';

const PARTITION_COUNT = 256;

const memberArbitrary = fc.record({
  id: fc.string({ minLength: 1, maxLength: 12 }),
  weight: fc.constantFrom(1, 2, 4),
  zone: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
});

const membersArbitrary = fc.uniqueArray(memberArbitrary, {
  selector: (member) => member.id,
  minLength: 1,
  maxLength: 24,
});

const replicaCountArbitrary = fc.integer({ min: 1, max: 5 });

/** Members now and members next: some leave, some join. */
const changeArbitrary = fc
  .tuple(membersArbitrary, membersArbitrary, fc.integer({ min: 0, max: 24 }))
  .map(([now, others, gone]) => {
    const staying = now.slice(Math.min(gone, now.length - 1));
    const known = new Set(now.map((member) => member.id));
    return { now, next: [...staying, ...others.filter((member) => !known.has(member.id)).slice(0, 3)] };
  });

function assertLists(table: Table): void {
  const zoneOf = new Map(table.members.map((member) => [member.id, member.zone]));
  const zoneCount = new Set(zoneOf.values()).size;
  for (let partition = 0; partition < table.partitionCount; partition++) {
    const list = table.preferenceListOfPartition(partition);
    assert.equal(list.length, Math.min(table.replicaCount, table.members.length));
    assert.equal(new Set(list).size, list.length);
    const zones = new Set(list.map((id) => zoneOf.get(id)));
    assert.equal(zones.size, Math.min(zoneCount, list.length));
  }
}

/** Nobody holds more than its fair share of replicas rounded up. */
function assertEven(table: Table): void {
  const { replicas } = balanceOf(table);
  assert.ok(replicas.surplusMax < 1, `replicas ${replicas.surplusMax} above the share`);
}

test('lists name distinct nodes in as many zones as there can be; replicas are even', () => {
  fc.assert(
    fc.property(membersArbitrary, replicaCountArbitrary, (members, replicaCount) => {
      const table = place(undefined, members, { partitionCount: PARTITION_COUNT, replicaCount });
      assertLists(table);
      assertEven(table);
    }),
    { numRuns: 100 },
  );
});

test('so they are after any change, and the table does not depend on the order of members', () => {
  fc.assert(
    fc.property(changeArbitrary, replicaCountArbitrary, ({ now, next }, replicaCount) => {
      const options = { partitionCount: PARTITION_COUNT, replicaCount };
      const before = place(undefined, now, options);
      assert.ok(before.equals(place(undefined, now.toReversed(), options)));
      const after = place(before, next);
      assertLists(after);
      assertEven(after);
      assert.ok(after.equals(place(Table.fromJson(before.toJson()), next.toReversed())));
    }),
    { numRuns: 100 },
  );
});

test('with equal weights and one zone any history of joins and leaves moves the minimum', () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat()), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 40 }), steps, (size, history) => {
      let next = 0;
      const newcomer = (): RingMember => ({ id: `n${next++}`, weight: 1, zone: 'z' });
      let members = Array.from({ length: size }, newcomer);
      let table = place(undefined, members);
      for (const [joins, pick] of history) {
        if (joins || members.length <= 3) members = [...members, newcomer()];
        else members = members.toSpliced(pick % members.length, 1);
        const after = place(table, members);
        const moved = movementOf(table, after);
        const slack = (least: number): number => Math.max(1, 0.05 * least);
        assert.ok(moved.replicasMoved <= moved.replicasMovedMin + slack(moved.replicasMovedMin));
        assert.ok(moved.primariesMoved <= moved.primariesMovedMin + slack(moved.primariesMovedMin));
        const { primaries, replicas } = balanceOf(after);
        assert.ok(primaries.surplusMax < 1 && replicas.surplusMax < 1);
        table = after;
      }
    }),
    { numRuns: 60 },
  );
});

test('JSON there and back is the same table', () => {
  fc.assert(
    fc.property(membersArbitrary, (members) => {
      const table = place(undefined, members, { partitionCount: 32 });
      const back = Table.fromJson(JSON.parse(JSON.stringify(table.toJson())));
      assert.ok(back.equals(table));
      assert.equal(back.hash, table.hash);
      assert.deepEqual(difference(table, back).partitionsChanged, []);
    }),
  );
});

test('a difference, applied, leads from one table to the other', () => {
  fc.assert(
    fc.property(changeArbitrary, ({ now, next }) => {
      const before = place(undefined, now, { partitionCount: 64 });
      const after = place(before, next);
      const found = difference(before, after);
      const changes = new Map(found.nodes.map((node) => [node.id, node]));
      const ids = new Set([...now, ...next].map((member) => member.id));
      let gained = 0;
      for (const id of ids) {
        const change = changes.get(id);
        const held = new Set(before.partitionsOf(id));
        for (const partition of change?.lost ?? []) assert.ok(held.delete(partition));
        for (const partition of change?.gained ?? []) {
          assert.ok(!held.has(partition));
          held.add(partition);
          gained++;
        }
        assert.deepEqual(
          [...held].sort((a, b) => a - b),
          after.partitionsOf(id),
        );
      }
      assert.equal(gained, found.replicasMoved);
    }),
    { numRuns: 60 },
  );
});
