/** Calls on the node in one's own process, against a node that answers as it is told: what is tried again. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textCodec } from '../../../client/codec.ts';
import { DureError } from '../../../client/errors.ts';
import { LocalSpace } from '../../../embed/local-space.ts';
import { LocalStore, type LocalStoreOptions } from '../../../embed/local-store.ts';
import { CodedError, type ErrorCode, type Outcome } from '../../../src/base/errors.ts';
import type { NodeApi, RequestOptions, WriteDone } from '../../../src/node/api.ts';

/** Answers of the node to one write after the other; when they are used up, writes succeed. */
type Script = readonly (readonly [code: ErrorCode, outcome: Outcome])[];

interface Fixture {
  readonly space: LocalSpace<string>;
  readonly store: LocalStore;
  readonly writes: RequestOptions[];
}

function fixture(script: Script, strict = false, options: Partial<LocalStoreOptions> = {}): Fixture {
  const writes: RequestOptions[] = [];
  const node = {
    replicas: 3,
    wall: () => 1_000_000,
    policyOf: () => ({ r: 2, w: 2, strict }),
    readNow: () => undefined,
    write: (_key: string, _body: unknown, request: RequestOptions, done: WriteDone) => {
      const said = script[writes.length];
      writes.push(request);
      setImmediate(() => done(said && new CodedError(said[0], said[1], 'it was told to'), undefined));
    },
    read: () => {},
  } as unknown as NodeApi;
  const store = new LocalStore(node, {
    deadlineMs: 2000,
    callsMax: 100,
    retryBudget: { share: 0.1, reserve: 100, attemptsMax: 4 },
    requestTimeoutMs: 500,
    ...options,
  });
  return { store, space: new LocalSpace<string>(store, '', { codec: textCodec }), writes };
}

async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'ok';
  } catch (error) {
    assert.ok(error instanceof DureError, `a DureError, not ${error}`);
    return `${error.code} ${error.outcome}${error.retryable ? ' retryable' : ''}`;
  }
}

test('what was not done is done again, whatever the policy', async () => {
  const script: Script = [
    ['quorum-unreachable', 'fail'],
    ['overloaded', 'fail'],
  ];
  for (const strict of [false, true]) {
    const { space, writes, store } = fixture(script, strict);
    await space.put('k', 'v');
    assert.equal(writes.length, 3);
    assert.equal(store.metrics.retries, 2);
  }
});

test('what may have been done is done again, but not under a strict policy; the call has the last word', async () => {
  const script: Script = [['deadline-exceeded', 'unknown']];
  const sloppy = fixture(script);
  await sloppy.space.put('k', 'v');
  assert.equal(sloppy.writes.length, 2);
  const strict = fixture(script, true);
  assert.equal(await failure(strict.space.put('k', 'v')), 'deadline-exceeded unknown');
  assert.equal(strict.writes.length, 1);
  const said = fixture(script);
  assert.equal(
    await failure(said.space.put('k', 'v', { consistency: 'PC/EC' })),
    'deadline-exceeded unknown',
  );
  const forced = fixture(script, true);
  await forced.space.put('k', 'v', { repeat: true });
  assert.equal(forced.writes.length, 2);
});

test('once a write may have been done, no later refusal makes that a certain no', async () => {
  const script: Script = [
    ['deadline-exceeded', 'unknown'],
    ['pair-too-large', 'fail'],
  ];
  const { space } = fixture(script);
  assert.equal(await failure(space.put('k', 'v')), 'pair-too-large unknown');
});

test('refusals that no other time can help are told at once', async () => {
  for (const code of ['pair-too-large', 'siblings-full', 'storage-full', 'invalid'] as const) {
    const { space, writes } = fixture([[code, 'fail']]);
    assert.equal(await failure(space.put('k', 'v')), `${code} fail`);
    assert.equal(writes.length, 1);
  }
});

test('attempts and budget are bounded; without a budget nothing is done again', async () => {
  const script: Script = Array.from({ length: 20 }, () => ['quorum-unreachable', 'fail'] as const);
  const bounded = fixture(script);
  assert.equal(await failure(bounded.space.put('k', 'v')), 'quorum-unreachable fail retryable');
  assert.equal(bounded.writes.length, 4);
  const none = fixture(script, false, { retryBudget: { share: 0, reserve: 0, attemptsMax: 8 } });
  assert.equal(await failure(none.space.put('k', 'v')), 'quorum-unreachable fail retryable');
  assert.equal(none.writes.length, 1);
  assert.equal(none.store.metrics.retriesRefused, 1);
});

test('an attempt never gets more time than is left of the call', async () => {
  const { space, writes } = fixture([]);
  await space.put('k', 'v', { deadlineMs: 100 });
  assert.ok(writes[0]!.timeoutMs! > 0 && writes[0]!.timeoutMs! <= 100, `${writes[0]!.timeoutMs} ms`);
  await space.put('k', 'v', { deadlineMs: 1000 });
  assert.equal(writes[1]!.timeoutMs, undefined, 'its own deadline is shorter');
});

test('more calls than allowed are refused; when the node is closed those under way are given up', async () => {
  const { space, store } = fixture([], false, { callsMax: 3 });
  const reads = [1, 2, 3].map((n) => failure(space.get(`k${n}`)));
  assert.equal(await failure(space.put('k', 'v')), 'overloaded fail retryable');
  assert.equal(store.metrics.callsUnderWay, 3);
  await store.close(10);
  store.endCalls();
  assert.deepEqual(await Promise.all(reads), ['closed none', 'closed none', 'closed none']);
  assert.equal(store.metrics.callsUnderWay, 0);
});
