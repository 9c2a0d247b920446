/**
 * Causal contexts from hostile hands: bytes that are no context are refused with the one error for it; a forged one
 * (its checksum is no seal) may replace what is there, as any client may, and hides nothing that is written later.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { byteString, bytesOf } from '../../src/base/bytes.ts';
import { crc32 } from '../../src/base/crc32.ts';
import { CodedError } from '../../src/base/errors.ts';
import { murmur3 } from '../../src/base/murmur3.ts';
import { entryOf, type WriteEvent } from '../../src/causality/version-set.ts';
import type { Policy } from '../../src/coordinator/policy.ts';
import { CONTEXT_BYTES_MAX, decodeContext, encodeContext } from '../../src/rows/context.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { KIND_STRING } from '../../src/rows/row.ts';
import { PumpedCluster } from '../support/pumped-cluster.ts';

const rowKey = rowKeyOf('k');
const now = 1_700_000_000_000;
const siblings: Policy = { r: 2, w: 2, strict: false, conflicts: 'siblings' };

/** True if it was taken for a context. Any error but the one for bad contexts fails the test. */
function isTaken(bytes: Uint8Array): boolean {
  try {
    const { vector } = decodeContext(rowKey, bytes, now);
    for (const { actor, time } of vector) {
      assert.ok(entryOf(vector, actor) !== undefined && time <= now);
    }
    return true;
  } catch (error) {
    assert.ok(error instanceof CodedError, String(error));
    assert.equal(`${error.code} ${error.outcome}`, 'invalid fail');
    assert.match(error.message, /^the causal context .*; nothing was written; read the key again/);
    return false;
  }
}

/** Bytes with the head and the checksum of a context of the key. */
function sealed(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(body.length + 9);
  const view = new DataView(bytes.buffer);
  bytes[0] = 1;
  view.setUint32(1, murmur3(rowKey));
  bytes.set(body, 5);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, bytes.length - 4)));
  return bytes;
}

const event: fc.Arbitrary<WriteEvent> = fc.record({
  actor: fc.integer({ min: 0, max: 2 ** 47 }),
  counter: fc.integer({ min: 0, max: 2 ** 47 }),
  time: fc.integer({ min: 0, max: now }),
  logical: fc.integer({ min: 0, max: 0xffff }),
});

const vectorOf = (events: readonly WriteEvent[]): WriteEvent[] =>
  [...new Map(events.map((each) => [each.actor, each])).values()].sort((a, b) => a.actor - b.actor);

describe('contexts from hostile hands', () => {
  test('any bytes, with a right checksum or not, are a context or the one error', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        assert.equal(isTaken(bytes), false, 'nobody guesses a checksum');
        if (isTaken(sealed(bytes))) taken++;
      }),
      { numRuns: 2000, seed: 4, examples: [[new Uint8Array(3)], [new Uint8Array(CONTEXT_BYTES_MAX)]] },
    );
    assert.ok(taken > 0, 'the empty context is among them');
  });

  test('a context with a bit turned, cut or lengthened is refused', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 5 }), fc.nat(), fc.nat(), (events, at, kind) => {
        const context = encodeContext(rowKey, {
          vector: vectorOf(events),
          register: undefined,
          siblings: [],
        });
        assert.equal(isTaken(context), true);
        const turned = context.slice();
        turned[at % turned.length]! ^= 1 << (kind % 8);
        for (const wrong of [
          turned,
          context.subarray(0, at % context.length),
          Uint8Array.from([...context, 0]),
        ]) {
          assert.equal(isTaken(wrong), false);
        }
      }),
      { numRuns: 300, seed: 4 },
    );
  });

  test('after writes with forged contexts, what is written at any node is seen at all', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(2), fc.nat(2 ** 20), fc.nat(2)), { maxLength: 6 }),
        (forgeries) => {
          const cluster = new PumpedCluster({});
          const write = (id: string, value: string, context?: Uint8Array): CodedError | undefined => {
            let answer: [CodedError | undefined] | undefined;
            const options = context === undefined ? { policy: siblings } : { policy: siblings, context };
            const body = { kind: KIND_STRING, value: bytesOf(value), expireAt: 0 };
            cluster.node(id).write('k', body, options, (error) => {
              answer = [error];
            });
            cluster.pump();
            assert.ok(answer, 'the write is answered');
            return answer[0];
          };
          const read = (id: string): { values: string[]; context: Uint8Array } => {
            let result: { values: string[]; context: Uint8Array } | undefined;
            cluster.node(id).readVersions('k', { policy: siblings }, (error, versions) => {
              assert.equal(error, undefined);
              const values = versions!.versions.map(({ value }) => byteString(value));
              result = { values, context: versions!.context };
            });
            cluster.pump();
            assert.ok(result, 'the read is answered');
            return result;
          };
          for (const id of ['n1', 'n2', 'n3']) assert.equal(write(id, `first-${id}`), undefined);
          for (const [index, ahead, by] of forgeries) {
            // The actors of this cluster, with writes they have not made.
            const real = decodeContext(rowKey, read('n1').context, cluster.node('n1').wall() + 500).vector;
            const forged = real.map((each, i) =>
              i === index % real.length ? { ...each, counter: each.counter + ahead } : each,
            );
            const context = encodeContext(rowKey, { vector: forged, register: undefined, siblings: [] });
            const refused = write(`n${by + 1}`, 'forged', context);
            if (refused !== undefined) assert.equal(refused.outcome, 'fail');
          }
          for (const id of ['n1', 'n2', 'n3']) assert.equal(write(id, `last-${id}`), undefined);
          for (const id of ['n1', 'n2', 'n3']) {
            const { values } = read(id);
            for (const each of ['n1', 'n2', 'n3'])
              assert.ok(values.includes(`last-${each}`), values.join(' '));
          }
          cluster.finish();
        },
      ),
      { numRuns: 40, seed: 4 },
    );
  });
});
