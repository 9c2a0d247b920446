/**
 * Hinted handoff among real processes: a node is killed, writes go on, and when it is back everything it
 * missed is brought to it at a bounded pace, by itself, and then no replica differs from another. With
 * `DURE_HANDOFF_ROWS=100000` this is the measurement of docs/design/hints.md.
 */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import type { NodeStatus } from '../../src/node/status.ts';
import { untilAway } from '../support/away.ts';
import { TestCluster } from '../support/cluster.ts';
import { DURE, run } from '../support/process.ts';
import { until } from '../support/wait.ts';

const rows = Number(process.env.DURE_HANDOFF_ROWS ?? 3000);
const valueBytes = 1024;
const atOnce = 200;
/** From the start of the node until no hint is left, and until a comparison finds all roots equal. */
const healedWithinMs = 30_000;

async function hintsOf(cluster: TestCluster, index: number): Promise<NodeStatus['hints']> {
  const { httpPort } = cluster.node(index);
  const response = await fetch(`http://127.0.0.1:${httpPort}/status`);
  return ((await response.json()) as NodeStatus).hints;
}

async function totals(
  cluster: TestCluster,
  indices: readonly number[],
): Promise<{ count: number; bytes: number }> {
  let count = 0;
  let bytes = 0;
  for (const index of indices) {
    const hints = await hintsOf(cluster, index);
    count += hints?.count ?? 0;
    bytes += hints?.bytes ?? 0;
  }
  return { count, bytes };
}

interface Compared {
  readonly pairs: number;
  readonly equal: number;
  readonly rowsDiffering: number;
}

/** All rows are read again and all replicas compared: what `dure repair` says in the end. */
async function compareAll(cluster: TestCluster): Promise<Compared | undefined> {
  const argv = [...DURE, 'repair', '--data-dir', cluster.directory, '--json'];
  const { code, stdout } = await run(argv, { timeoutMs: 60_000 });
  const last = stdout.trim().split('\n').at(-1) ?? '';
  return code === 0 ? (JSON.parse(last) as Compared) : undefined;
}

/** Runs `act` for 0 to `count` - 1, some at once. */
async function forAll(count: number, act: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

describe('handoff', { timeout: 600_000 }, () => {
  const ends: (() => unknown)[] = [];
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  for (const nodes of [3, 5]) {
    it(`of ${nodes} nodes one is away for ${rows} writes, and is brought all it missed`, async (t) => {
      const cluster = await TestCluster.start({ nodes });
      ends.push(() => cluster.close());
      const last = nodes - 1;
      const others = Array.from({ length: last }, (_, i) => i);
      const client = new Redis({ host: '127.0.0.1', port: cluster.respPort(0), enableAutoPipelining: true });
      client.on('error', () => {});
      ends.push(() => client.disconnect());
      await cluster.kill(last);
      // What is forwarded to it before its end is known is answered with UNKNOWN, as it has to be.
      const { id } = cluster.node(last);
      await untilAway(
        others.map((index) => cluster.node(index).httpPort),
        id,
      );
      const value = 'x'.repeat(valueBytes);
      const writing = performance.now();
      await forAll(rows, async (i) => {
        assert.equal(await client.set(`plum:${i}`, `${i}:${value}`), 'OK');
      });
      const wroteMs = performance.now() - writing;
      const kept = await totals(cluster, others);
      assert.ok(kept.count >= rows * (3 / nodes) * 0.8, `${kept.count} hints for ${rows} writes`);

      const restarted = performance.now();
      await cluster.restart(last);
      const readyMs = performance.now() - restarted;
      await until(async () => (await totals(cluster, others)).count === 0, 'hints are zero', healedWithinMs);
      const doneMs = performance.now() - restarted;
      // Whatever it would mend shows that something differed: then it was too early, and is asked again.
      let compared: Compared | undefined;
      await until(
        async () => {
          compared = await compareAll(cluster);
          return compared?.rowsDiffering === 0;
        },
        () => `roots are equal: ${JSON.stringify(compared)}`,
        healedWithinMs - doneMs,
      );
      const equalMs = performance.now() - restarted;
      assert.ok(equalMs < healedWithinMs, `roots equal after ${equalMs} ms`);
      assert.equal(compared!.equal, compared!.pairs);
      assert.ok(compared!.pairs > 0);
      t.diagnostic(
        `${rows} writes in ${Math.round(wroteMs)} ms; ${kept.count} hints, ${kept.bytes} bytes; ` +
          `ready after ${Math.round(readyMs)} ms, hints zero after ${Math.round(doneMs)} ms, ` +
          `roots equal after ${Math.round(equalMs)} ms (${compared!.pairs} pairs)`,
      );

      let delivered = 0;
      for (const index of others) delivered += (await hintsOf(cluster, index))?.delivered ?? 0;
      assert.ok(delivered >= kept.count, `${delivered} rows delivered for ${kept.count} hints`);

      if (nodes > 3) return;
      // What the node counts now it holds by itself: everybody else is gone.
      for (const index of others) await cluster.kill(index);
      const alone = new Redis({ host: '127.0.0.1', port: cluster.respPort(last) });
      alone.on('error', () => {});
      ends.push(() => alone.disconnect());
      assert.equal(/keys=(\d+)/.exec(await alone.info('keyspace'))?.[1], `${rows}`);
    });
  }
});
