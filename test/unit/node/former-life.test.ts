/**
 * What a member acknowledged before it was started anew counts for nothing that is still under way: its disk may
 * be lost, and be made whole from replicas that do not hold the row yet.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { PumpedCluster, type PumpedOptions, textOf } from '../../support/pumped-cluster.ts';

const options = { policy: { r: 2, w: 2, strict: true }, timeoutMs: 30_000 };
const sloppy = { policy: { r: 2, w: 2, strict: false }, timeoutMs: 30_000 };

function clusterOf(more: PumpedOptions = {}): PumpedCluster {
  const cluster = new PumpedCluster({
    partitionCount: 4,
    limits: { repairIntervalMs: 3_600_000, hintBytesMax: 1 },
    ...more,
  });
  cluster.advance(600);
  return cluster;
}

function wipe(cluster: PumpedCluster, id: string): void {
  cluster.kill(id);
  cluster.seat(id).storage.entries.clear();
}

/** n3 stores nothing itself, n2 acknowledges, and the row waits on its way to n1. */
function writeHalf(cluster: PumpedCluster): ReturnType<PumpedCluster['write']> {
  cluster.seat('n3').storage.writeError = new CodedError('storage-full', 'fail', 'full');
  const before = cluster.trace.length;
  const write = cluster.write('n3', 'k', 'v', options);
  // First the greatest stamp is learned, from n1 or n2; then the row goes out.
  for (let i = 0; i < 100 && !cluster.trace.slice(before).some((line) => line === 'n3>n2 write'); i++) {
    cluster.endTurns();
    for (const [from, to] of [
      ['n3', 'n2'],
      ['n2', 'n3'],
      ['n1', 'n3'],
    ] as const) {
      while (cluster.waiting(from, to).length > 0) cluster.deliver(from, to);
    }
    const learned = cluster.trace.slice(before).some((line) => /n[12]>n3 read/.test(line));
    if (learned) cluster.hold('n3', 'n1');
    else while (cluster.waiting('n3', 'n1').length > 0) cluster.deliver('n3', 'n1');
  }
  cluster.pump();
  assert.equal(textOf(cluster.stored('n2', 'k')), 'v');
  assert.equal(cluster.stored('n1', 'k'), undefined);
  assert.equal(write.isDone, false);
  return write;
}

/** n2 is wiped and made whole from n1 while n3 does not hear of it; then the row comes to n1. */
function answeredUnheard(mutants: readonly string[]): string | undefined {
  const cluster = clusterOf({ mutants });
  const write = writeHalf(cluster);
  wipe(cluster, 'n2');
  cluster.cut('n2', 'n3');
  cluster.cut('n3', 'n2');
  cluster.restart('n2');
  cluster.advance(1300);
  assert.equal(cluster.stored('n1', 'k'), undefined);
  cluster.release('n3', 'n1');
  cluster.pump();
  assert.equal(write.error, undefined, write.error?.message);
  assert.equal(write.isDone, true, 'n1 and the former life of n2 make the quorum');
  assert.equal(cluster.stored('n2', 'k'), undefined, 'n2 was compared with n1 before');
  cluster.healAll();
  cluster.pump();
  for (let i = 0; i < 50 && cluster.node('n2').status().past?.whole !== true; i++) cluster.advance(100);
  assert.equal(cluster.node('n2').status().past?.whole, true);
  cluster.seat('n3').storage.writeError = undefined;
  cluster.isolate('n1');
  cluster.pump();
  const read = cluster.read('n2', 'k', options);
  cluster.pump();
  assert.equal(read.error, undefined, read.error?.message);
  const text = textOf(read.value);
  cluster.finish();
  return text;
}

describe('a member that is started anew', () => {
  test('is sent the row of a write under way again, and counts when it has it', () => {
    const cluster = clusterOf();
    const write = writeHalf(cluster);
    wipe(cluster, 'n2');
    cluster.restart('n2');
    assert.equal(textOf(cluster.stored('n2', 'k')), 'v');
    assert.equal(write.isDone, false, 'one disk holds it');
    cluster.release('n3', 'n1');
    cluster.pump();
    assert.equal(write.isDone && write.error === undefined, true);
    cluster.finish();
  });

  test('that cannot be reached again leaves the outcome open', () => {
    const cluster = clusterOf();
    const write = writeHalf(cluster);
    wipe(cluster, 'n2');
    cluster.cut('n3', 'n2');
    cluster.restart('n2');
    cluster.drop('n3', 'n1');
    cluster.cut('n3', 'n1');
    cluster.advance(31_000);
    assert.equal(write.error?.outcome, 'unknown');
    cluster.finish();
  });

  test('is full only after a comparison that began when all replicas knew of it', () => {
    assert.equal(answeredUnheard([]), 'v');
    assert.equal(answeredUnheard(['former-life-counted']), undefined, 'the acknowledged write is gone');
  });

  test('and stood in for another is sent the hint again', () => {
    const cluster = clusterOf({ nodes: 4, limits: { repairIntervalMs: 3_600_000 } });
    const slot = slotOf('plum');
    const [a, b, c] = cluster.table.preferenceList(slot) as [string, string, string];
    const standIn = cluster.table.standIns(slot)[0]!;
    cluster.kill(c);
    cluster.pump();
    cluster.seat(a).storage.writeError = new CodedError('storage-full', 'fail', 'full');
    cluster.hold(a, b);
    const write = cluster.write(a, 'plum', 'blue', sloppy);
    cluster.pump();
    assert.equal(cluster.node(standIn).figures().hints, 1);
    wipe(cluster, standIn);
    cluster.restart(standIn);
    assert.equal(cluster.node(standIn).figures().hints, 1, 'it keeps the row again');
    assert.equal(write.isDone, false);
    cluster.release(a, b);
    cluster.pump();
    assert.equal(write.isDone && write.error === undefined, true);
    cluster.restart(c);
    cluster.finish();
  });
});
