/** What a pod does before it ends: leaves, or stays a member. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Sight } from '../../../../src/main/autoscale/lookout.ts';
import { leaveIfExtra } from '../../../../src/main/autoscale/pod-stop.ts';
import { FakeTopology } from '../../../support/fake-topology.ts';

const pods = (count: number) => ({
  list: () =>
    Promise.resolve(Array.from({ length: count }, (_, i) => ({ id: `dure-${i}`, removable: true }))),
});

/** A cluster that goes one epoch further at each look. */
class Hurrying extends FakeTopology {
  override look(): Promise<Sight> {
    this.advance();
    return super.look();
  }
}

describe('a pod that ends', () => {
  const four = ['dure-0', 'dure-1', 'dure-2', 'dure-3'];

  test('stays a member if another one takes its place', async () => {
    const cluster = new Hurrying(four);
    assert.equal(await leaveIfExtra('dure-3', pods(4), cluster, () => {}), false);
    assert.deepEqual(cluster.leaves, []);
  });

  test('leaves if there are to be fewer, after the change that is under way', async () => {
    const cluster = new Hurrying(four);
    cluster.begin('weight', ['dure-0']);
    const told: string[] = [];
    assert.equal(await leaveIfExtra('dure-3', pods(3), cluster, (line) => told.push(line), 1), true);
    assert.deepEqual(cluster.leaves, ['dure-3']);
    assert.deepEqual(told, [
      'weight of dure-0 is under way',
      'dure-3 leaves',
      'leave of dure-3 is under way',
      'dure-3 has left',
    ]);
  });

  test('asks again while nobody answers or it is refused', async () => {
    const cluster = new Hurrying(four);
    const told: string[] = [];
    let looks = 0;
    cluster.dark = true;
    const leave = cluster.leave.bind(cluster);
    cluster.leave = (id) => (looks < 6 ? Promise.reject(new Error('too busy')) : leave(id));
    const lookout = {
      look: () => {
        looks++;
        cluster.dark = looks < 4;
        return cluster.look();
      },
      leave: (id: string) => cluster.leave(id),
    };
    assert.equal(await leaveIfExtra('dure-3', pods(0), lookout, (line) => told.push(line), 1), true);
    assert.deepEqual(told.slice(0, 3), ['no member answers', 'too busy', 'dure-3 leaves']);
  });

  test('gives up when no member answers, not even its own node', async () => {
    const cluster = new Hurrying(four);
    cluster.dark = true;
    await assert.rejects(
      leaveIfExtra('dure-3', pods(3), cluster, () => {}, 1),
      /no member answers: 127/,
    );
  });

  test('does not leave when nobody says how many pods there are to be', async () => {
    const cluster = new Hurrying(four);
    const broken = { list: () => Promise.reject(new Error('404')) };
    await assert.rejects(
      leaveIfExtra('dure-3', broken, cluster, () => {}),
      /404/,
    );
    assert.deepEqual(cluster.leaves, []);
  });
});
