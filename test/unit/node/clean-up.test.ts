/**
 * Clean-up of expired rows: the value is taken out of a row for good, so no clock that is alone with its
 * opinion may do it.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CodedError } from '../../../src/base/errors.ts';
import { PumpedCluster, textOf } from '../../support/pumped-cluster.ts';

describe('clean-up of expired rows', () => {
  /** A row that expires in ten minutes lies on all nodes. */
  function lasting(): PumpedCluster {
    const cluster = new PumpedCluster();
    const expireAt = cluster.seat('n1').clock.wallMs + 600_000;
    const call = cluster.call<(error?: CodedError) => void>('a write that expires');
    cluster.node('n1').write('plum', { kind: 1, value: new Uint8Array([65]), expireAt }, {}, call.done);
    cluster.pump();
    cluster.advance(1000);
    return cluster;
  }

  test('a clock that jumps ahead takes no value out of any row, and one that is right does', () => {
    const cluster = lasting();
    cluster.seat('n1').clock.wallMs += 3_600_000;
    // Ticks before any peer was asked about the clock since the jump, and long after.
    cluster.seat('n1').clock.monotonicMs += 60_000;
    for (let i = 0; i < 5; i++) {
      cluster.seat('n1').clock.monotonicMs += 300;
      cluster.node('n1').tick();
      cluster.endTurn('n1');
    }
    cluster.pump();
    cluster.advance(70_000, 100);
    assert.equal(textOf(cluster.stored('n1', 'plum')), 'A');
    cluster.seat('n1').clock.wallMs -= 3_600_000;
    cluster.advance(10_000, 100);
    assert.equal(cluster.mustRead('n1', 'plum'), 'A');
    cluster.advance(700_000, 100);
    assert.equal(textOf(cluster.stored('n1', 'plum')), '');
    cluster.finish();
  });

  test('a jump between two heartbeats is seen at once', () => {
    const cluster = lasting();
    const { clock, node } = cluster.seat('n1');
    // The slow walk pauses for 30 s after its first round: go there with everybody in agreement.
    cluster.advance(29_000, 100);
    clock.wallMs += 3_600_000;
    for (const other of ['n2', 'n3']) cluster.hold(other, 'n1');
    for (let i = 0; i < 20; i++) {
      clock.monotonicMs += 100;
      clock.wallMs += 100;
      node.tick();
      cluster.endTurn('n1');
    }
    cluster.releaseAll();
    cluster.pump();
    assert.equal(textOf(cluster.stored('n1', 'plum')), 'A');
    cluster.finish();
  });

  test('without most of the others it waits; a node alone goes by its own clock', () => {
    const cluster = lasting();
    cluster.isolate('n1');
    cluster.advance(800_000, 200);
    assert.equal(textOf(cluster.stored('n1', 'plum')), 'A', 'nobody confirms its clock');
    assert.equal(textOf(cluster.stored('n2', 'plum')), 'A', 'one of two is not most');
    cluster.healAll();
    cluster.advance(35_000, 100);
    for (const id of cluster.ids) assert.equal(textOf(cluster.stored(id, 'plum')), '');
    cluster.finish();

    const alone = new PumpedCluster({ nodes: 1 });
    const expireAt = alone.seat('n1').clock.wallMs + 1000;
    const call = alone.call<(error?: CodedError) => void>('a write that expires');
    alone.node('n1').write('plum', { kind: 1, value: new Uint8Array([65]), expireAt }, {}, call.done);
    alone.advance(120_000, 200);
    assert.equal(textOf(alone.stored('n1', 'plum')), '');
    alone.finish();
  });
});
