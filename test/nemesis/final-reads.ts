/** The last act: with the cluster at rest, every key is read through every node. */

import { setTimeout as delay } from 'node:timers/promises';
import { type Answer, type Client, SocketClient } from './clients.ts';
import type { NemesisCluster } from './cluster.ts';
import type { Op } from './history.ts';
import type { Workload } from './workload.ts';

/** Reads in flight at a time. */
const finalBatch = 100;
const readMaxMs = 3000;
const attemptsMax = 3;

/** Reads every key that was ever written through every node, on fresh connections; `workload` has ended. */
export async function readAll(cluster: NemesisCluster, workload: Workload): Promise<Op[]> {
  const groups = new Map(workload.history.map((op) => [op.key, op.group]));
  const keys = [...groups.keys()];
  const final: Op[] = [];
  for (const node of cluster.nodes) {
    const client = new SocketClient(node.index, node.respPort);
    await until(() => client.isUp(), 5000);
    for (let start = 0; start < keys.length; start += finalBatch) {
      const batch = keys.slice(start, start + finalBatch);
      const reads = batch.map((key) => readOnce(client, key, groups.get(key)!, workload));
      final.push(...(await Promise.all(reads)));
    }
    client.close();
  }
  return final;
}

/** A read that may be repeated: at rest it has to succeed. */
async function readOnce(client: Client, key: string, group: Op['group'], workload: Workload): Promise<Op> {
  for (let attempt = 1; ; attempt++) {
    const at = workload.now();
    const answer = await Promise.race([
      new Promise<Answer>((done) => client.send(['GET', key], done)),
      delay(readMaxMs, { outcome: 'unknown' as const, code: 'deadline', value: null }),
    ]);
    if (answer.outcome !== 'ok' && attempt < attemptsMax) continue;
    return {
      id: -1,
      group,
      key,
      kind: 'read',
      value: '',
      client: `${client.name} at the end`,
      at,
      end: workload.now(),
      outcome: answer.outcome,
      code: answer.code,
      seen: answer.value === null ? null : String(answer.value),
      removed: false,
      expireAt: Infinity,
    };
  }
}

export async function until(condition: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition() && performance.now() < deadline) await delay(10);
}
