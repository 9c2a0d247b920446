/**
 * `kill -9` of one node in five, N=3, R=W=2, under load: no request is answered past its deadline of one
 * second, less than one in a thousand fails, and nothing is lost once the node is back.
 */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { CalmCluster } from '../nemesis/calm.ts';
import { errorWords, percentile, worstGap } from '../nemesis/figures.ts';
import { readAll } from '../nemesis/final-reads.ts';
import { judge } from '../nemesis/judge.ts';
import { Workload } from '../nemesis/workload.ts';
import { delay } from '../support/wait.ts';

const deadlineMs = 1000;

it('kill -9 of one of five nodes under load: nothing late, < 0.1 % errors, nothing lost', async (test) => {
  const calm = await CalmCluster.open({ name: 'kill-five', nodes: 5 });
  test.after(() => calm.close());
  const { cluster } = calm;
  const clients = await calm.clients();
  const workload = new Workload({ seed: 5, clients, rate: 600, deadlineMs });
  workload.begin();
  await delay(3000);
  const killedAt = workload.now();
  await cluster.kill(cluster.nodes[2]!);
  await delay(8000);
  const startedAt = workload.now();
  await cluster.startNode(cluster.nodes[2]!);
  await delay(1500);
  await workload.end();

  const ops = workload.history;
  const away = ops.filter(({ at }) => at >= killedAt && at < startedAt);
  const errors = ops.filter(({ outcome }) => outcome !== 'ok');
  const late = ops.filter(({ at, end, code }) => code === 'deadline' || end - at > deadlineMs);
  const latencies = away.map(({ at, end }) => end - at).sort((a, b) => a - b);
  const gap = worstGap(
    away.filter(({ outcome }) => outcome === 'ok'),
    killedAt,
    startedAt,
  );
  const share = errors.length / ops.length;
  test.diagnostic(
    `${errorWords(ops)} (${(share * 100).toFixed(3)} %); ${away.length} while the node was away; ` +
      `while away p50 ${percentile(latencies, 0.5).toFixed(1)} ms, p99 ${percentile(latencies, 0.99).toFixed(1)} ms, ` +
      `longest ${latencies.at(-1)!.toFixed(0)} ms, worst gap ${gap.ms.toFixed(0)} ms; ` +
      `the load generator itself was late by ${workload.ownLagMs.toFixed(0)} ms at most`,
  );
  assert.ok(ops.length > 5000, `${ops.length} requests`);
  assert.equal(late.length, 0, `${late.length} requests past their deadline`);
  assert.ok(share < 0.001, `${errors.length} of ${ops.length} requests failed`);
  const { broken, strictUnknown } = judge(ops, await readAll(cluster, workload));
  assert.deepEqual(broken, []);
  assert.equal(strictUnknown, 0);
  assert.deepEqual(cluster.crashes, []);
});
