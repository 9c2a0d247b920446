/**
 * The figures placement promises (docs/design/ring.md), at the sizes it promises them for, with equal
 * weights and 1:2:4. Fair shares are worked out here in another way than the placement does it.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { movementOf } from '../../../src/ring/balance.ts';
import { place } from '../../../src/ring/placement.ts';
import { fairShares, zoneBounds } from '../../../src/ring/shares.ts';
import type { RingMember, Table } from '../../../src/ring/table.ts';

const SIZES = [3, 5, 10, 30, 100];
const MIXES = [[1], [1, 2, 4]];

function cluster(size: number, weights: readonly number[], zoneCount = 1): RingMember[] {
  return Array.from({ length: size }, (_, n) => ({
    id: `node-${n}`,
    weight: weights[n % weights.length]!,
    zone: `zone-${Math.floor(n / weights.length) % zoneCount}`,
  }));
}

/** Shares by weight with nobody above `cap`: who would be is set to it, and the rest shared again. */
function cappedShares(weights: readonly number[], total: number, cap: number): number[] {
  const full = new Set<number>();
  for (;;) {
    const left = total - full.size * cap;
    const open = weights.reduce((sum, weight, n) => sum + (full.has(n) ? 0 : weight), 0);
    const over = weights.flatMap((weight, n) =>
      !full.has(n) && (weight / open) * left > cap + 1e-9 ? [n] : [],
    );
    if (over.length === 0) return weights.map((weight, n) => (full.has(n) ? cap : (weight / open) * left));
    for (const n of over) full.add(n);
  }
}

function assertEven(counts: readonly number[], shares: readonly number[], ratio: number, what: string): void {
  counts.forEach((count, n) => {
    const share = shares[n]!;
    const ok = count <= share * ratio || count - share < 1;
    assert.ok(ok, `${what}: node ${n} has ${count}, its share is ${share}`);
  });
}

function assertBalanced(table: Table, what: string): void {
  const weights = table.members.map((member) => member.weight);
  const { partitionCount, listLength } = table;
  const replicas = cappedShares(weights, partitionCount * listLength, partitionCount);
  assertEven(table.replicaCounts(), replicas, 1.05, `${what}, replicas`);
  assertEven(
    table.primaryCounts(),
    cappedShares(weights, partitionCount, partitionCount),
    1.02,
    `${what}, primaries`,
  );
}

/** A share is whole partitions: one more than the minimum is allowed where 5% of it is less than one. */
function assertLittle(moved: number, least: number, what: string): void {
  assert.ok(moved <= 1.05 * least || moved - least <= 1, `${what}: ${moved} moved, ${least} would do`);
}

for (const weights of MIXES) {
  for (const size of SIZES) {
    test(`${size} nodes ${weights.join(':')}: balance, and what joins and leaves move`, () => {
      const members = cluster(size, weights);
      const table = place(undefined, members);
      assertBalanced(table, 'founded');
      for (const weight of weights) {
        const joined = place(table, [...members, { id: 'new', weight, zone: 'zone-0' }]);
        assertBalanced(joined, `joined by ${weight}`);
        const moved = movementOf(table, joined);
        const newcomer = joined.indexOf('new');
        const least = [joined.replicaCounts()[newcomer]!, joined.primaryCounts()[newcomer]!];
        assertLittle(moved.replicasMoved, least[0]!, `replicas, joined by ${weight}`);
        assertLittle(moved.primariesMoved, least[1]!, `primaries, joined by ${weight}`);
      }
      for (let leaver = 0; leaver < weights.length; leaver++) {
        const left = place(table, members.toSpliced(leaver, 1));
        assertBalanced(left, `left by ${leaver}`);
        const moved = movementOf(table, left);
        const held = table.replicaCounts()[table.indexOf(members[leaver]!.id)]!;
        const primaries = table.primaryCounts()[table.indexOf(members[leaver]!.id)]!;
        const surplus = table.partitionCount * (table.listLength - left.listLength);
        assertLittle(moved.replicasMoved, held - surplus, `replicas, left by ${leaver}`);
        assertLittle(moved.primariesMoved, primaries, `primaries, left by ${leaver}`);
      }
    });
  }
}

test('wear does not show: thirty equal nodes reached by joins, and back to five by leaves', () => {
  const members = cluster(30, [1]);
  let table = place(undefined, members.slice(0, 3));
  const sizes = [
    ...Array.from({ length: 27 }, (_, n) => n + 4),
    ...Array.from({ length: 25 }, (_, n) => 29 - n),
  ];
  for (const size of sizes) {
    const next = place(table, members.slice(0, size));
    assertBalanced(next, `${size} nodes`);
    const moved = movementOf(table, next);
    assertLittle(moved.replicasMoved, moved.replicasMovedMin, `replicas at ${size}`);
    assertLittle(moved.primariesMoved, moved.primariesMovedMin, `primaries at ${size}`);
    table = next;
  }
});

test('a node that takes the place of another takes what it held', () => {
  const members = cluster(10, [1], 5);
  const table = place(undefined, members);
  const after = place(table, members.with(4, { ...members[4]!, id: 'substitute' }));
  const held = table.partitionsOf('node-4');
  assert.equal(movementOf(table, after).replicasMoved, held.length);
  assert.deepEqual(after.partitionsOf('substitute'), held);
});

test('with N or more zones each list spans N of them; a new zone is used at once', () => {
  const spans = (table: Table): number[] => {
    const zoneOf = new Map(table.members.map((member) => [member.id, member.zone]));
    return Array.from(
      { length: table.partitionCount },
      (_, partition) => new Set(table.preferenceListOfPartition(partition).map((id) => zoneOf.get(id))).size,
    );
  };
  const two = place(undefined, cluster(9, [1], 2));
  assert.ok(spans(two).every((span) => span === 2));
  const three = place(two, [...cluster(9, [1], 2), { id: 'far', weight: 1, zone: 'zone-2' }]);
  assert.ok(spans(three).every((span) => span === 3));
  assert.equal(three.partitionsOf('far').length, 1024);
  assertLittle(movementOf(two, three).replicasMoved, 1024, 'replicas, a third zone');
  const back = place(three, cluster(9, [1], 2));
  assert.ok(spans(back).every((span) => span === 2));
});

test('N may grow and shrink', () => {
  const members = cluster(8, [1, 2]);
  const three = place(undefined, members);
  const five = place(three, members, { replicaCount: 5 });
  assertBalanced(five, 'N = 5');
  assert.ok(movementOf(three, five).replicasMoved <= 2 * 1024 * 1.05);
  const two = place(five, members, { replicaCount: 2 });
  assertBalanced(two, 'N = 2');
  assert.ok(movementOf(five, two).replicasMoved <= 1024 * 0.05);
});

test('zone bounds are as even as zone sizes allow', () => {
  assert.deepEqual(zoneBounds([4, 4, 4], 3), { low: [1, 1, 1], high: [2, 2, 2] });
  assert.deepEqual(zoneBounds([4, 4, 4, 1], 3), { low: [0, 0, 0, 0], high: [1, 1, 1, 1] });
  assert.deepEqual(zoneBounds([4, 4], 3), { low: [1, 1], high: [2, 2] });
  assert.deepEqual(zoneBounds([1, 5], 3), { low: [1, 2], high: [1, 3] });
  assert.deepEqual(zoneBounds([5], 3), { low: [3], high: [4] });
});

test('fair shares pour over full nodes and full zones', () => {
  const near = (found: readonly number[], wanted: readonly number[]): void => {
    assert.equal(found.length, wanted.length);
    found.forEach((share, n) => {
      assert.ok(Math.abs(share - wanted[n]!) < 1e-6, `${found} is not ${wanted}`);
    });
  };
  const one = { zoneOf: [0, 0, 0, 0], zoneLow: [300], zoneHigh: [300] };
  const caps = [100, 100, 100, 100];
  near(fairShares({ ...one, weights: [1, 1, 1, 1], caps, total: 300 }), [75, 75, 75, 75]);
  near(fairShares({ ...one, weights: [1, 2, 4, 1], caps, total: 300 }), [50, 100, 100, 50]);
  const zones = { zoneOf: [0, 1, 1, 2], zoneLow: [0, 0, 0], zoneHigh: [100, 100, 100] };
  near(fairShares({ ...zones, weights: [1, 1, 1, 1], caps, total: 200 }), [50, 50, 50, 50]);
  near(fairShares({ ...zones, weights: [1, 1, 1, 1], caps, total: 300 }), [100, 50, 50, 100]);
});

test('a placement of a hundred nodes and 4096 partitions is quick', () => {
  const members = cluster(100, [1, 2, 4], 5);
  const started = performance.now();
  const table = place(undefined, members, { partitionCount: 4096 });
  place(table, members.slice(1));
  assert.ok(performance.now() - started < 4000);
});
