/** Figures of the event loop: those of a stretch of a second at least, whoever looks and how often. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { EventLoopWatch } from '../../../src/http/event-loop.ts';

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

test('a blocked loop shows, and a second look at once does not wipe it out', async () => {
  const watch = new EventLoopWatch();
  try {
    assert.equal(watch.look(), undefined, 'nothing can be said yet');
    for (let i = 0; i < 4; i++) {
      await delay(100);
      block(180);
    }
    await delay(100);
    const figures = watch.look();
    assert.ok(figures !== undefined);
    const [median, p99, most] = figures.delays;
    assert.ok(most > 0.1 && p99 > 0.1 && median <= p99, `late by ${figures.delays.join(', ')} s`);
    assert.ok(figures.utilization > 0.4 && figures.utilization < 1, `busy ${figures.utilization}`);
    assert.equal(watch.look(), figures, 'the same, and not "no delay, busy all the time"');
  } finally {
    watch.close();
  }
});
