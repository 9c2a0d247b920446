/** Limits of rows of siblings: values, bytes, actors; what is refused, what the error says, and what helps. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { byteString } from '../../../src/base/bytes.ts';
import type { CodedError } from '../../../src/base/errors.ts';
import type { CausalContext } from '../../../src/causality/version-set.ts';
import type { Policy } from '../../../src/coordinator/policy.ts';
import type { Versions } from '../../../src/node/api.ts';
import { NODE_LIMITS_DEFAULT } from '../../../src/node/options.ts';
import { encodeContext, VECTOR_ENTRIES_MAX } from '../../../src/rows/context.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { KIND_STRING } from '../../../src/rows/row.ts';
import { SIBLINGS_BYTES_MAX } from '../../../src/rows/siblings.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

const siblings: Policy = { r: 2, w: 2, strict: false, conflicts: 'siblings' };
const plain: Policy = { r: 2, w: 2, strict: false, conflicts: 'last-write-wins' };
const mebi = 1024 * 1024;

function versions(cluster: PumpedCluster, id: string, key: string): Versions {
  let read: Versions | undefined;
  cluster.node(id).readVersions(key, { policy: siblings }, (error, answer) => {
    assert.equal(error, undefined);
    read = answer;
  });
  cluster.pump();
  assert.ok(read, 'the read is answered');
  return read;
}

/** Writes a value of so many bytes, all of them `letter`. */
function put(
  cluster: PumpedCluster,
  id: string,
  key: string,
  [letter, bytes]: readonly [string, number],
  { context, policy = siblings }: { context?: Uint8Array; policy?: Policy } = {},
): CodedError | undefined {
  let answer: [CodedError | undefined] | undefined;
  const value = new Uint8Array(bytes).fill(letter.charCodeAt(0));
  const options = context === undefined ? { policy } : { policy, context };
  cluster.node(id).write(key, { kind: KIND_STRING, value, expireAt: 0 }, options, (error) => {
    answer = [error];
  });
  cluster.pump();
  assert.ok(answer, 'the write is answered');
  return answer[0];
}

function letters(cluster: PumpedCluster, id: string, key: string): string {
  return versions(cluster, id, key)
    .versions.map(({ value }) => byteString(value.subarray(0, 1)))
    .sort()
    .join('');
}

/** A context that has seen a write of each of these actors, as another cluster might have given for the key. */
function foreign(cluster: PumpedCluster, key: string, actors: number, first = 1): Uint8Array {
  const time = cluster.node('n1').wall() - 1000;
  const vector = Array.from({ length: actors }, (_, i) => ({
    actor: first + i,
    counter: 7,
    time,
    logical: 0,
  }));
  const seen: CausalContext = { vector, register: undefined };
  return encodeContext(rowKeyOf(key), { vector: seen.vector, register: undefined, siblings: [] });
}

describe('limits of siblings', () => {
  test('a write that would make a row of more than 4 MiB is refused; one with the context of all is not', () => {
    const cluster = new PumpedCluster({ limits: { ...NODE_LIMITS_DEFAULT, pairBytesMax: 16 * mebi } });
    for (const letter of ['a', 'b', 'c'])
      assert.equal(put(cluster, 'n1', 'k', [letter, 1.2 * mebi]), undefined);
    const refused = put(cluster, 'n2', 'k', ['d', 1.2 * mebi]);
    assert.equal(refused?.code, 'siblings-full');
    assert.equal(refused.outcome, 'fail');
    assert.match(refused.message, new RegExp(`limit is ${SIBLINGS_BYTES_MAX}; nothing was written`));
    assert.equal(letters(cluster, 'n3', 'k'), 'abc');
    const { context } = versions(cluster, 'n2', 'k');
    assert.equal(put(cluster, 'n2', 'k', ['e', 1.2 * mebi], { context }), undefined);
    assert.equal(letters(cluster, 'n3', 'k'), 'e');
    const status = cluster.node('n2').status().siblings!;
    assert.equal(status.refused, 1);
    assert.equal(status.refusedPrefix, 'k');
    cluster.finish();
  });

  test('a single value too large for a row of siblings is a pair too large, and no alarm', () => {
    const cluster = new PumpedCluster({ limits: { ...NODE_LIMITS_DEFAULT, pairBytesMax: 16 * mebi } });
    const refused = put(cluster, 'n1', 'k', ['a', 5 * mebi]);
    assert.equal(refused?.code, 'pair-too-large');
    assert.match(refused.message, /nothing was written/);
    assert.equal(
      put(cluster, 'n1', 'k', ['a', 5 * mebi], { policy: plain }),
      undefined,
      'without siblings it may',
    );
    // Beside such a value nothing fits; in place of it, something smaller.
    assert.equal(put(cluster, 'n2', 'k', ['b', 10])?.code, 'siblings-full');
    const { context } = versions(cluster, 'n2', 'k');
    assert.equal(put(cluster, 'n2', 'k', ['b', 10], { context }), undefined);
    assert.equal(letters(cluster, 'n3', 'k'), 'b');
    cluster.finish();
  });

  test('after a partition a key may have more values than the limit; writes that make fewer go on', () => {
    const cluster = new PumpedCluster({ limits: { ...NODE_LIMITS_DEFAULT, siblingsMax: 2 } });
    const one: Policy = { ...siblings, r: 1, w: 1 };
    cluster.isolate('n1');
    cluster.pump();
    for (const letter of ['a', 'b']) put(cluster, 'n1', 'k', [letter, 1], { policy: one });
    for (const letter of ['c', 'd']) put(cluster, 'n2', 'k', [letter, 1], { policy: one });
    const { context } = versions(cluster, 'n2', 'k');
    cluster.healAll();
    cluster.advance(2000);
    assert.equal(letters(cluster, 'n1', 'k'), 'abcd', 'none is cut');
    assert.equal(put(cluster, 'n1', 'k', ['e', 1])?.code, 'siblings-full');
    assert.equal(put(cluster, 'n1', 'k', ['f', 1], { context }), undefined, 'three for four');
    assert.equal(letters(cluster, 'n3', 'k'), 'abf');
    cluster.finish();
  });

  test('a context of another cluster replaces nothing here', () => {
    const cluster = new PumpedCluster({});
    put(cluster, 'n1', 'k', ['a', 1]);
    assert.equal(put(cluster, 'n2', 'k', ['b', 1], { context: foreign(cluster, 'k', 3) }), undefined);
    assert.equal(letters(cluster, 'n3', 'k'), 'ab');
    cluster.finish();
  });

  test('a key written by too many actors refuses, says what helps, and that helps', () => {
    const cluster = new PumpedCluster({});
    put(cluster, 'n1', 'k', ['a', 1]);
    const context = foreign(cluster, 'k', VECTOR_ENTRIES_MAX);
    const refused = put(cluster, 'n1', 'k', ['b', 1], { context });
    assert.equal(refused?.code, 'siblings-full');
    assert.match(refused.message, /more than 128 actors; nothing was written;.*DURE\.WITH PA\/EC LWW DO SET/);
    // One actor may be spared: the coordinator's own entry needs its place, and it has it already.
    assert.equal(
      put(cluster, 'n1', 'k', ['b', 1], { context: foreign(cluster, 'k', VECTOR_ENTRIES_MAX - 1) }),
      undefined,
    );
    // Another coordinator is one actor too many, for any write but one without siblings.
    const seen = versions(cluster, 'n2', 'k').context;
    assert.equal(put(cluster, 'n2', 'k', ['c', 1], { context: seen })?.code, 'siblings-full');
    assert.equal(put(cluster, 'n2', 'k', ['d', 1], { policy: plain }), undefined);
    assert.equal(put(cluster, 'n2', 'k', ['e', 1]), undefined, 'the vector is forgotten');
    assert.equal(letters(cluster, 'n3', 'k'), 'de');
    cluster.finish();
  });
});
