/**
 * A member of the release before: whatever the others do, and whatever it is asked to do, what travels from and to it
 * are messages of protocol version 4, byte for byte. What that release really sent is in `test/fixtures/v4/`.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CodedError } from '../../../src/base/errors.ts';
import { checkFrame, frameEpoch } from '../../../src/wire/frame.ts';
import { copyFrame } from '../../support/frame-copy.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const OLDER = 'n3';

/** Four nodes of whom n3 is of the release before; every frame is looked at. */
function clusterOf(seen: Set<string>[]): PumpedCluster {
  const cluster = new PumpedCluster({
    nodes: 4,
    limits: { repairIntervalMs: 3000, horizonIntervalMs: 1000 },
  });
  cluster.isolate(OLDER);
  cluster.versions.set(OLDER, 4);
  cluster.healAll();
  cluster.watch = (from, to, frame) => {
    checkFrame(frame);
    const version = from === OLDER || to === OLDER ? 4 : 5;
    assert.equal(frame[8], version, `${from} to ${to}`);
    assert.equal(frameEpoch(frame), version === 4 ? 0 : 1);
    if (version !== 4) return;
    // The copy fails for a message that version 4 does not know.
    const copy = copyFrame(frame, cluster.ids);
    assert.deepEqual(copy.frame, new Uint8Array(frame), copy.names.join(', '));
    for (const name of copy.names) seen[from === OLDER ? 0 : 1]!.add(name);
  };
  cluster.advance(1000);
  return cluster;
}

describe('a member of protocol version 4', () => {
  test('takes part in everything, in messages that it knows', () => {
    const seen = [new Set<string>(), new Set<string>()];
    const cluster = clusterOf(seen);
    for (let i = 0; i < 40; i++) {
      const at = cluster.ids[i % 4]!;
      cluster.mustWrite(at, `key ${i}`, `value ${i}`);
      if (i % 5 === 0) cluster.mustWrite(at, `key ${i}`, undefined);
    }
    for (const id of cluster.ids) {
      for (let i = 0; i < 40; i++) {
        const expected = i % 5 === 0 ? undefined : `value ${i}`;
        assert.equal(cluster.mustRead(id, `key ${i}`), expected, `key ${i} at ${id}`);
      }
      assert.equal(cluster.mustScan(id, 100).length, 32);
    }
    cluster.isolate('n4');
    cluster.advance(3000);
    for (let i = 0; i < 40; i++) cluster.mustWrite('n1', `key ${i}`, 'n4 is away');
    cluster.healAll();
    cluster.advance(20_000);
    for (const id of cluster.ids) assert.equal(cluster.mustRead(id, 'key 7'), 'n4 is away');
    const all = new Set([...seen[0]!, ...seen[1]!]);
    const needed = [
      'ping',
      'pong',
      'read',
      'readEqual',
      'write',
      'stored',
      'scan',
      'forward 1',
      '30',
      '40',
      '41',

      '62',
    ];
    assert.deepEqual(
      needed.filter((name) => !all.has(name)),
      [],
      [...all].join(', '),
    );
    cluster.finish();
  });

  test('keeps the members as they are', () => {
    const cluster = clusterOf([new Set(), new Set()]);
    let refusal: CodedError | undefined;
    cluster.node('n1').changeTopology({ kind: 'weight', id: 'n2', weight: 2 }, (error) => {
      refusal = error;
    });
    cluster.advance(1000);
    assert.equal(refusal?.code, 'unsupported');
    assert.match(refusal!.message, /n3 runs an older release/);
    cluster.advance(5000);
    for (const id of cluster.ids) assert.equal(cluster.node(id).topology.epoch, 1);
    // And once it is upgraded they can change.
    cluster.versions.clear();
    cluster.isolate(OLDER);
    cluster.watch = undefined;
    cluster.healAll();
    cluster.advance(2000);
    let changed = false;
    cluster.node('n1').changeTopology({ kind: 'weight', id: 'n2', weight: 2 }, (error) => {
      assert.equal(error, undefined);
      changed = true;
    });
    cluster.advance(5000);
    assert.ok(changed);
    for (const id of cluster.ids) assert.ok(cluster.node(id).topology.epoch > 1);
    cluster.finish();
  });
});
