/**
 * A node that asks what is remembered of its disk, and whose question or its answer comes late: what it acknowledges
 * meanwhile does not count against the disk it began with, even if the one it asks is started again in between.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ByteString } from '../../../src/base/bytes.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const all = { policy: { r: 1, w: 3, strict: false } };

/** Seed 402831 of the simulation, by hand: n1 asks n3, whose answer does not arrive; then it acknowledges a row to it. */
class AskedAgain extends PumpedCluster {
  /** The disk of n1 before it acknowledged the row, in the same life. */
  readonly before: ReadonlyMap<ByteString, Uint8Array>;

  constructor() {
    super({ partitionCount: 16, limits: { repairIntervalMs: 60_000 } });
    this.advance(600);
    this.mustWrite('n2', 'k', 'old', all);
    this.advance(1500);
    this.kill('n1');
    this.hold('n3', 'n1');
    this.restart('n1');
    this.advance(20);
    this.drop('n3', 'n1');
    this.release('n3', 'n1');
    this.before = new Map(this.seat('n1').storage.entries);
    this.mustWrite('n3', 'k', 'new', all);
    // As long as cards take to be stored.
    this.hold('n3', 'n1');
    this.advance(1000);
    assert.equal(this.node('n1').status().past?.unheard, 1, 'n1 acknowledged it, and did not hear n3 yet');
    this.drop('n3', 'n1');
    this.release('n3', 'n1');
    this.kill('n3');
    this.restart('n3');
  }

  get losses(): number {
    return this.seat('n1').events.filter((event) => event === 'disk-lost-rows').length;
  }
}

describe('a member that was asked and is started again before its answer was heard', () => {
  test('tells what it remembered when it was asked first', () => {
    const cluster = new AskedAgain();
    cluster.advance(3000);
    const { unheard, state } = cluster.node('n1').status().past!;
    assert.deepEqual([unheard, state, cluster.losses], [0, 'sure', 0]);
    cluster.finish();
  });

  test('tells the next life all it knows: a disk without the acknowledged row is found out', () => {
    const cluster = new AskedAgain();
    cluster.kill('n1');
    const { entries } = cluster.seat('n1').storage;
    entries.clear();
    for (const [key, value] of cluster.before) entries.set(key, value);
    cluster.restart('n1');
    cluster.advance(3000);
    assert.equal(cluster.losses, 1);
    assert.equal(cluster.node('n1').status().past?.unheard, 0);
    cluster.finish();
  });
});

/** Seed 930015 of the simulation, by hand: the question of n1 does not arrive at n3, and it acknowledges a row to it. */
class AskedLate extends PumpedCluster {
  constructor(isKnown: boolean) {
    super({ partitionCount: 16, limits: { repairIntervalMs: 60_000 } });
    this.advance(600);
    this.mustWrite('n2', 'k', 'old', all);
    this.advance(1500);
    this.kill('n1');
    if (!isKnown) {
      // A cluster that is founded: n3 starts on an empty disk too, and never met n1.
      for (const id of ['n2', 'n3']) this.kill(id);
      for (const seat of this.seats.values()) seat.storage.entries.clear();
      for (const id of ['n2', 'n3']) this.restart(id);
      this.advance(3500);
    }
    this.hold('n1', 'n3');
    this.restart('n1');
    this.drop('n1', 'n3');
    this.release('n1', 'n3');
    this.mustWrite('n3', 'k', 'new', all);
    assert.equal(this.node('n1').status().past?.unheard, 1, 'n1 acknowledged it, and n3 was not asked yet');
  }

  /** n3 is started again once its card of n1 is stored, and before any question of n1 came. */
  startAgain(): void {
    this.hold('n1', 'n3');
    this.advance(1000);
    assert.equal(this.node('n1').status().past?.unheard, 1, 'n3 was not asked yet');
    this.drop('n1', 'n3');
    this.release('n1', 'n3');
    this.kill('n3');
    this.restart('n3');
  }

  get losses(): number {
    return this.seat('n1').events.filter((event) => event === 'disk-lost-rows').length;
  }
}

describe('a member whose question is lost', () => {
  for (const isKnown of [true, false]) {
    const before = isKnown ? 'something' : 'nothing';
    for (const isStartedAgain of [false, true]) {
      const then = isStartedAgain ? ', also if the other is started again' : '';
      test(`is told what was remembered when it was met, which was ${before}${then}`, () => {
        const cluster = new AskedLate(isKnown);
        if (isStartedAgain) cluster.startAgain();
        cluster.advance(3500);
        const { unheard, state } = cluster.node('n1').status().past!;
        assert.deepEqual([unheard, state, cluster.losses], [0, 'sure', 0]);
        cluster.finish();
      });
    }
  }
});
