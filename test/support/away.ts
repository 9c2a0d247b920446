/**
 * Waiting until nodes know that another one is away. A process that is gone is known to be gone only when
 * its neighbours' turn of the event loop comes to that: a node that is late (a busy machine) reads the
 * requests of clients first, forwards some of them to whoever is dead, and can then say no more of these writes
 * than `UNKNOWN`. A test that means "while it is away" waits here; one that means "when it dies" does not.
 */

import type { NodeStatus } from '../../src/node/status.ts';
import { until } from './wait.ts';

/** Waits until each of the nodes at these HTTP ports sends no requests to member `id` any more. */
export async function untilAway(httpPorts: readonly number[], id: string): Promise<void> {
  for (const port of httpPorts) {
    await until(
      async () => {
        const response = await fetch(`http://127.0.0.1:${port}/status`);
        const { members } = (await response.json()) as NodeStatus;
        return members.some((member) => member.id === id && !member.reachable);
      },
      `the node at HTTP port ${port} knows that ${id} is away`,
      20_000,
    );
  }
}
