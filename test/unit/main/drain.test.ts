/** The steps of draining, in their order and in their time. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drain, type Drained } from '../../../src/main/drain.ts';

/** A house that notes what is done to it. */
class NotedHouse implements Drained {
  readonly steps: string[] = [];
  readonly #from = performance.now();
  refusedAfterMs = Number.NaN;
  requests = 0;

  say(fault: string): void {
    this.steps.push(`say ${fault}`);
  }
  shut(): void {
    this.steps.push('shut');
  }
  refuse(): void {
    this.steps.push('refuse');
    this.refusedAfterMs = performance.now() - this.#from;
  }
  waiting(): number {
    return this.requests;
  }
}

const silent = { write: () => {} };
const steps = ['say the node is draining', 'shut', 'refuse'];

test('without grace: the sign, the door, and requests are refused for a moment, even where none is under way', async () => {
  const house = new NotedHouse();
  const from = performance.now();
  assert.equal(await new Drain(house, silent).run(0), 0);
  assert.deepEqual(house.steps, steps);
  assert.ok(house.refusedAfterMs < 80);
  assert.ok(performance.now() - from >= 95);
});

test('requests under way are waited for, two seconds at most', async () => {
  const house = new NotedHouse();
  house.requests = 2;
  const from = performance.now();
  setTimeout(() => {
    house.requests = 0;
  }, 300);
  assert.equal(await new Drain(house, silent).run(0), 0);
  const tookMs = performance.now() - from;
  assert.ok(tookMs >= 295 && tookMs < 1500, `${tookMs} ms`);

  const stuck = new NotedHouse();
  stuck.requests = 2;
  const again = performance.now();
  assert.equal(await new Drain(stuck, silent).run(0), 2);
  assert.ok(performance.now() - again >= 1990);
});

test('in its grace it serves on; asked again with less, that counts; it is done once', async () => {
  const house = new NotedHouse();
  const drain = new Drain(house, silent);
  const first = drain.run(60_000);
  await new Promise((next) => setTimeout(next, 50));
  assert.deepEqual(house.steps, steps.slice(0, 1));
  const second = drain.run(200);
  const third = drain.run(30_000);
  assert.deepEqual(await Promise.all([first, second, third]), [0, 0, 0]);
  assert.deepEqual(house.steps, steps);
  assert.ok(house.refusedAfterMs >= 240 && house.refusedAfterMs < 2000, `${house.refusedAfterMs} ms`);
});
