/** Waiting in tests: for a condition, never for a fixed time where a condition will do. */

import { setTimeout as delay } from 'node:timers/promises';

export { delay };

/** Polls until `condition` holds; fails with `what` after `timeoutMs`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  timeoutMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${typeof what === 'string' ? what : what()}`);
    }
    await delay(5);
  }
}
