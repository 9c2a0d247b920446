/**
 * Compare-and-set by causal context, in a cluster moved by hand: of all who read the same state and want to write
 * over it, one may win, also where their updates meet in one round of the key's queue.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { byteString } from '../../../src/base/bytes.ts';
import { UPDATES } from '../../../src/commands/updates.ts';
import type { Versions } from '../../../src/node/api.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const ids = ['n1', 'n2', 'n3'] as const;

/** The causal context of a key, as the text that an update takes. */
function contextOf(cluster: PumpedCluster, key: string): string {
  let read: Versions | undefined;
  cluster.node('n1').readVersions(key, {}, (error, versions) => {
    assert.equal(error, undefined);
    read = versions;
  });
  cluster.pump();
  return byteString(read!.context);
}

function withKey(run: (cluster: PumpedCluster, key: string, context: string) => void): void {
  const cluster = new PumpedCluster({ updates: UPDATES });
  const key = cluster.keyOf('n1');
  cluster.mustWrite('n1', key, 'first');
  run(cluster, key, contextOf(cluster, key));
  cluster.finish();
}

describe('compare-and-set by context', () => {
  test('two in one round with the same context: the first wins, the second is told that the key changed', () =>
    withKey((cluster, key, context) => {
      const a = cluster.update('n1', key, 'putmatch', [context, 'a', '0']);
      const b = cluster.update('n1', key, 'putmatch', [context, 'b', '0']);
      cluster.pump();
      assert.deepEqual([a.reply, b.reply], [1, 0]);
      for (const id of ids) assert.equal(cluster.mustRead(id, key), 'a');
    }));

  test('a delete and a write in one round, either way round', () =>
    withKey((cluster, key, context) => {
      const removed = cluster.update('n1', key, 'delmatch', [context]);
      const put = cluster.update('n1', key, 'putmatch', [context, 'b', '0']);
      cluster.pump();
      assert.deepEqual([removed.reply, put.reply], [1, 0]);
      assert.equal(cluster.mustRead('n2', key), undefined);
      const gone = contextOf(cluster, key);
      const again = cluster.update('n1', key, 'putmatch', [gone, 'c', '0']);
      const late = cluster.update('n1', key, 'delmatch', [gone]);
      cluster.pump();
      assert.deepEqual([again.reply, late.reply], [1, 0]);
      assert.equal(cluster.mustRead('n3', key), 'c');
    }));

  test('behind an increment of the same round, which no context can have seen', () =>
    withKey((cluster, key) => {
      cluster.mustWrite('n1', key, '7');
      const context = contextOf(cluster, key);
      const sum = cluster.update('n1', key, 'incr', ['1']);
      const put = cluster.update('n1', key, 'putmatch', [context, '0', '0']);
      cluster.pump();
      assert.deepEqual([Number(sum.reply), put.reply], [8, 0]);
      assert.equal(cluster.mustRead('n2', key), '8');
    }));

  test('from three nodes at once: one wins, and its value is what all see', () =>
    withKey((cluster, key, context) => {
      const calls = ids.map((id) => cluster.update(id, key, 'putmatch', [context, `by-${id}`, '0']));
      cluster.pump();
      const winners = ids.filter((_, i) => calls[i]!.reply === 1);
      assert.equal(winners.length, 1);
      assert.equal(calls.filter(({ reply }) => reply === 0).length, 2);
      for (const id of ids) assert.equal(cluster.mustRead(id, key), `by-${winners[0]}`);
    }));

  test('one that failed its own limit changes nothing for the next of its round', () =>
    withKey((cluster, key, context) => {
      const large = cluster.update('n1', key, 'putmatch', [context, 'x'.repeat(2 ** 21), '0']);
      const small = cluster.update('n1', key, 'putmatch', [context, 'small', '0']);
      cluster.pump();
      assert.equal(large.error?.code, 'pair-too-large');
      assert.equal(small.reply, 1);
      assert.equal(cluster.mustRead('n1', key), 'small');
    }));

  test('an old context does not match, nor does an empty one or one of another key', () =>
    withKey((cluster, key, context) => {
      cluster.mustWrite('n2', key, 'second');
      const other = cluster.keyOf('n2');
      cluster.mustWrite('n2', other, 'elsewhere');
      for (const wrong of [context, '', contextOf(cluster, other)]) {
        const call = cluster.update('n1', key, 'putmatch', [wrong, 'no', '0']);
        cluster.pump();
        assert.equal(call.reply, 0);
      }
      assert.equal(cluster.mustRead('n1', key), 'second');
    }));
});
