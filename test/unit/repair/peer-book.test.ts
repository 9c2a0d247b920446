/** When what is compared with a peer, and what is known of the agreement with it. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PartitionOutcome } from '../../../src/repair/outcome.ts';
import { PeerBook } from '../../../src/repair/peer-book.ts';
import { place } from '../../../src/ring/placement.ts';

const members = ['a', 'b', 'c', 'd'].map((id) => ({ id, weight: 1, zone: 'z' }));
const table = place(undefined, members, { partitionCount: 1024, replicaCount: 3 });
const intervalMs = 600_000;

function outcome(partition: number, more: Partial<PartitionOutcome> = {}): PartitionOutcome {
  return {
    partition,
    compared: true,
    equal: true,
    horizonOurs: 0,
    horizonTheirs: 0,
    differing: 0,
    unresolved: 0,
    damaged: 0,
    oldestDifferenceTime: Number.POSITIVE_INFINITY,
    oldestLackingTime: Number.POSITIVE_INFINITY,
    rowsSent: 0,
    rowsTaken: 0,
    rowsDropped: 0,
    rowBytesSent: 0,
    rowBytesTaken: 0,
    settled: false,
    ...more,
  };
}

describe('a peer book', () => {
  it('of all nodes together walks each pair of replicas once', () => {
    let walked = 0;
    for (const { id } of members) {
      for (const { id: peer } of members) {
        if (peer !== id) walked += new PeerBook(id, peer, table, intervalMs, 0).walked.length;
      }
    }
    assert.equal(walked, 1024 * 3);
  });

  it('spreads a round over the interval, and begins the next one after it', () => {
    const book = new PeerBook('a', 'b', table, intervalMs, 1000);
    book.fitStretch(true);
    const met = new Map<number, number>();
    const times: number[] = [];
    for (let now = 0; now < 1000 + 2 * intervalMs - 1; now += 1000) {
      const stretch = book.takeStretch(now);
      if (stretch.length === 0) continue;
      times.push(now);
      assert.deepEqual(book.takeStretch(now), [], 'one stretch at a time');
      for (const partition of stretch) met.set(partition, (met.get(partition) ?? 0) + 1);
      book.stretchDone(true, now);
    }
    assert.deepEqual(new Set(met.keys()), new Set(book.walked));
    assert.deepEqual(new Set(met.values()), new Set([2]));
    assert.equal(book.rounds, 2);
    for (let i = 1; i < times.length; i++) assert.ok(times[i]! - times[i - 1]! >= 60_000, `${times}`);
  });

  it('does not count a round in which something was not compared', () => {
    const book = new PeerBook('a', 'b', table, 1000, 0);
    for (let now = 0, stretches = 0; now < 1000; now += 10) {
      if (book.takeStretch(now).length > 0) book.stretchDone(stretches++ > 0, now);
    }
    assert.equal(book.rounds, 0);
    assert.equal(book.roundBeganAt, Number.NEGATIVE_INFINITY);
    for (let now = 1000; now < 2000; now += 10)
      if (book.takeStretch(now).length > 0) book.stretchDone(true, now);
    assert.equal(book.rounds, 1);
    assert.ok(book.roundBeganAt >= 1000);
  });

  it('looks again once where something differed, and everywhere when the member is back', () => {
    const book = new PeerBook('a', 'b', table, intervalMs, 1e9);
    const [first, second] = book.walked;
    book.record(outcome(first!, { equal: false, differing: 1 }), false, 0, 0);
    book.record(outcome(second!), false, 0, 0);
    assert.deepEqual(book.takeSoon(book.againMs - 1), []);
    assert.deepEqual(book.takeSoon(book.againMs), [first]);
    book.record(outcome(first!, { equal: false, differing: 1 }), false, 6000, 6000);
    assert.deepEqual(book.takeSoon(1e6), [], 'a third time only when there is time');
    assert.deepEqual(book.takeLater(1e6), [first]);
    assert.deepEqual(book.takeLater(2e6), []);
    book.walkSoon(2e6);
    assert.deepEqual(book.takeSoon(2e6 - 1), []);
    const soon: number[] = [];
    for (let taken = book.takeSoon(2e6); taken.length > 0; taken = book.takeSoon(2e6)) soon.push(...taken);
    assert.deepEqual(
      soon.toSorted((a, b) => a - b),
      [...book.walked],
    );
  });

  it('holds a partition for unknown from when a row was handed over, and looks when no more come', () => {
    const book = new PeerBook('a', 'b', table, intervalMs, 1e9);
    const notWalked = book.shared.find((partition) => !book.walked.includes(partition))!;
    for (const partition of book.shared) book.heard(partition, true, 0);
    assert.equal(book.counts().unknown, 0);
    book.handedOver(notWalked, 1000);
    assert.equal(book.counts().unknown, 1);
    book.handedOver(notWalked, 2000);
    book.record(outcome(notWalked), false, 900, 2000);
    assert.equal(book.counts().unknown, 1, 'the comparison began before');
    assert.deepEqual(book.takeSoon(1999 + book.againMs), []);
    assert.deepEqual(book.takeSoon(2000 + book.againMs), [notWalked]);
    book.record(outcome(notWalked), false, 2000 + book.againMs, 9000);
    assert.equal(book.counts().unknown, 0);
  });

  it('knows what is equal, differing, unknown and lacking', () => {
    const book = new PeerBook('a', 'b', table, intervalMs, 0);
    const [x, y, z] = book.shared;
    assert.deepEqual(book.counts(), { equal: 0, differing: 0, unknown: book.shared.length });
    book.record(outcome(x!), false, 10, 20);
    book.record(outcome(y!, { equal: false, differing: 2, oldestLackingTime: 77 }), true, 10, 20);
    book.heard(z!, true, 30);
    assert.deepEqual(book.counts(), { equal: 2, differing: 1, unknown: book.shared.length - 3 });
    assert.equal(book.oldestLackingTime(), 77);
    assert.equal(book.completedAt(x!), 10);
    assert.equal(book.completedAt(y!), Number.NEGATIVE_INFINITY);
    assert.equal(book.completedAt(z!), 30);
    book.record(outcome(y!, { equal: false, differing: 2, oldestLackingTime: 77 }), false, 40, 50);
    assert.equal(book.oldestLackingTime(), Number.POSITIVE_INFINITY);
    assert.equal(book.completedAt(y!), 40);
  });
});

describe('a peer book when owners change', () => {
  const without = (id: string): typeof table =>
    place(
      table,
      members.filter((member) => member.id !== id),
      { partitionCount: 1024, replicaCount: 3 },
    );
  const pairOf =
    (...tables: (typeof table)[]): ((partition: number) => boolean) =>
    (partition) =>
      tables.some((one) => ['a', 'b'].every((id) => one.preferenceListOfPartition(partition).includes(id)));

  it('keeps what is known of pairs that stay, and forgets the others', () => {
    const book = new PeerBook('a', 'b', table, intervalMs, 1e9);
    for (const partition of book.shared) book.record(outcome(partition), false, 10, 20);
    const before = book.shared;
    const next = without('d');
    book.setTable(next, pairOf(next), 100);
    assert.equal(book.shared.length, 1024, 'three members hold everything');
    assert.equal(book.counts().equal, before.length);
    assert.equal(book.counts().unknown, 1024 - before.length);
    for (const partition of before) assert.equal(book.completedAt(partition), 10);
    book.setTable(table, pairOf(table), 200);
    assert.equal(book.counts().equal, before.length);
    book.setTable(without('b'), pairOf(), 300);
    assert.deepEqual(book.shared, []);
    book.setTable(table, pairOf(table), 400);
    assert.equal(book.counts().equal, 0);
    assert.equal(book.completedAt(before[0]!), Number.NEGATIVE_INFINITY);
  });

  it('keeps what is known of pairs that another table in force names', () => {
    const book = new PeerBook('a', 'b', table, intervalMs, 1e9);
    const next = without('d');
    const gained = next.partitionsOf('a').find((partition) => !book.shared.includes(partition))!;
    book.setTable(table, pairOf(table, next), 100);
    book.record(outcome(gained), false, 110, 120);
    book.record(outcome(gained, { equal: false, differing: 3 }), false, 115, 120);
    assert.deepEqual(book.takeSoon(1e9 - 1), [], 'a pair that no round walks is not looked at again');
    book.record(outcome(gained), false, 130, 140);
    book.setTable(next, pairOf(next), 200);
    assert.equal(book.completedAt(gained), 130);
  });

  it('walks soon what was not walked before, and begins a round under way anew', () => {
    const book = new PeerBook('a', 'b', table, intervalMs, 0);
    book.fitStretch(true);
    const first = book.takeStretch(0);
    assert.ok(first.length > 0 && first.length < book.walked.length);
    const walked = new Set(book.walked);
    const next = without('d');
    book.setTable(next, pairOf(next), 1000);
    book.stretchDone(true, 1001);
    assert.equal(book.rounds, 0);
    const soon = new Set<number>();
    for (let now = 1000 + book.againMs, left = 100; left > 0; now += 100, left--) {
      for (const partition of book.takeSoon(now)) soon.add(partition);
    }
    assert.deepEqual(soon, new Set(book.walked.filter((partition) => !walked.has(partition))));
    assert.deepEqual(book.takeStretch(2000), book.walked.slice(0, 64), 'from the first');
  });

  it('counts no round whose last stretch was out when nothing is left to walk', () => {
    const book = new PeerBook('a', 'b', table, intervalMs, 0);
    assert.ok(book.takeStretch(0).length > 0);
    book.setTable(without('b'), pairOf(), 10);
    book.stretchDone(true, 20);
    assert.equal(book.rounds, 0);
    assert.deepEqual(book.takeStretch(1e9), []);
  });
});
