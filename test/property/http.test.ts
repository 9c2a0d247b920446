/**
 * The HTTP door over wild requests and broken bytes (test/fuzz/http-fuzz.ts): never a failure of its own, never
 * silence, never an event loop that stands still; and afterwards it serves as before.
 */

import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import fc from 'fast-check';
import { bytesOf } from '../../src/base/bytes.ts';
import { brokenBytes, checkBytes, checkConversation, wildRequest } from '../fuzz/http-fuzz.ts';
import { FakeNode } from '../support/fake-node.ts';
import { type HttpApi, putSiblings, withHttpApi } from '../support/http-api.ts';
import { sendRaw } from '../support/http-raw.ts';

/** A machine with other things to do makes any test late; one request must not come near to this, milliseconds. */
const blockedMsMax = 1500;
const timeoutMs = 8000;

async function fuzz(run: (api: HttpApi) => Promise<void>): Promise<void> {
  const node = new FakeNode(3, 10_240);
  putSiblings(node, 'siblings', [
    [bytesOf('1'), 0],
    [new Uint8Array([0xff]), 0],
  ]);
  await withHttpApi(
    async (api) => {
      const delay = monitorEventLoopDelay({ resolution: 5 });
      delay.enable();
      await run(api);
      delay.disable();
      assert.ok(delay.max / 1e6 < blockedMsMax, `the event loop stood still for ${delay.max / 1e6} ms`);
      assert.deepEqual(api.logged, [], 'no error that nobody expected');
      const put = await sendRaw(api.port, '/v1/keys/after', { method: 'PUT', body: 'all' });
      assert.equal(put.status, 204);
      assert.equal((await sendRaw(api.port, '/v1/keys/after?as=text')).text, 'all');
    },
    {},
    node,
  );
}

test('20,000 wild requests: each is answered, none with a failure', () =>
  fuzz(async (api) => {
    let count = 0;
    const conversation = fc.array(wildRequest, { minLength: 1, maxLength: 80, size: 'max' });
    await fc.assert(
      fc.asyncProperty(conversation, async (requests) => {
        count += requests.length;
        // A listing of many keys would be what takes the time.
        if (api.node.rows.size > 100) api.node.rows.clear();
        await checkConversation(api.port, requests, timeoutMs);
      }),
      { numRuns: 550 },
    );
    assert.ok(count >= 20_000, `${count} requests`);
  }));

test('2,000 connections with broken bytes: closed, and nothing else is touched', () =>
  fuzz(async (api) => {
    await fc.assert(
      fc.asyncProperty(fc.array(brokenBytes, { minLength: 10, maxLength: 10 }), async (all) => {
        await Promise.all(all.map((text) => checkBytes(api.port, text, timeoutMs)));
      }),
      { numRuns: 200 },
    );
  }));
