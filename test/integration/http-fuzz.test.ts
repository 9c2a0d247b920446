/**
 * Wild requests and broken bytes (test/fuzz/http-fuzz.ts) against the HTTP door of real processes: none of them
 * ends, hangs or says that it failed, others are answered meanwhile, and the cluster serves as before.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { brokenBytes, checkBytes, checkConversation, wildRequest } from '../fuzz/http-fuzz.ts';
import { TestCluster } from '../support/cluster.ts';
import { sendRaw } from '../support/http-raw.ts';
import { isAlive } from '../support/process.ts';
import { delay } from '../support/wait.ts';

const timeoutMs = 20_000;
let cluster: TestCluster;

before(async () => {
  cluster = await TestCluster.start();
});

after(() => cluster?.close());

/** Asks for health again and again until it is stopped; gives the longest time that an answer took, milliseconds. */
function watch(port: number): () => Promise<number> {
  let stopped = false;
  let longest = 0;
  const done = (async () => {
    while (!stopped) {
      const at = performance.now();
      assert.equal((await sendRaw(port, '/health/live')).status, 200);
      longest = Math.max(longest, performance.now() - at);
      await delay(20);
    }
  })();
  return async () => {
    stopped = true;
    await done;
    return longest;
  };
}

test('3,000 wild requests and 600 broken connections leave three real nodes as they were', async () => {
  const ports = [0, 1, 2].map((i) => cluster.node(i).httpPort);
  const stop = watch(ports[0]!);
  let count = 0;
  let longest: number;
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(wildRequest, { minLength: 1, maxLength: 40, size: 'max' }), {
          minLength: 3,
          maxLength: 3,
        }),
        fc.array(brokenBytes, { minLength: 9, maxLength: 9 }),
        async (conversations, bytes) => {
          count += conversations.flat().length;
          await Promise.all([
            ...conversations.map((requests, i) => checkConversation(ports[i]!, requests, timeoutMs)),
            ...bytes.map((text, i) => checkBytes(ports[i % 3]!, text, timeoutMs)),
          ]);
        },
      ),
      { numRuns: 70, endOnFailure: true },
    );
  } finally {
    longest = await stop();
  }
  assert.ok(count >= 3000, `${count} requests`);
  assert.ok(longest < 3000, `health was answered within ${Math.round(longest)} ms`);

  for (let i = 0; i < 3; i++) assert.ok(isAlive(cluster.node(i).pid), `node ${i} is the process it was`);
  const output = cluster.dev.stdout + cluster.dev.stderr;
  assert.doesNotMatch(output, /http-(request|batch)-failed|uncaught|unhandled|assert/i);
  const key = '/v1/keys/after?consistency=PC/EC';
  assert.equal((await sendRaw(ports[0]!, key, { method: 'PUT', body: 'all' })).status, 204);
  for (const port of ports) assert.equal((await sendRaw(port, `${key}&as=text`)).text, 'all');
});
