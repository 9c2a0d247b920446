/**
 * Three nodes under load are stopped and started again, one by one, as at an upgrade or when machines are emptied:
 * nothing is lost, nobody is left guessing whether a write was done, and whatever is refused may be tried at once at
 * another node.
 */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { CalmCluster } from '../nemesis/calm.ts';
import { nodeClients } from '../nemesis/clients.ts';
import { errorWords } from '../nemesis/figures.ts';
import { readAll } from '../nemesis/final-reads.ts';
import { getJson } from '../nemesis/http.ts';
import { judge } from '../nemesis/judge.ts';
import { Workload } from '../nemesis/workload.ts';
import { DURE, run } from '../support/process.ts';
import { delay, until } from '../support/wait.ts';

const rate = 300;
const startMaxMs = 60_000;
/** A stop without grace takes so long at most, milliseconds, on a machine that has much else to do. */
const stopMaxMs = 6000;
/** Nothing was done, and another node, or the same a moment later, will do it. */
const retryable: ReadonlySet<string> = new Set(['LOADING', 'ASK', 'TRYAGAIN', 'not-sent', 'no-connection']);

it('a rolling restart under load: nothing lost, nothing unknown, and what is refused may be tried again', {
  timeout: 240_000,
}, async (test) => {
  const calm = await CalmCluster.open({ name: 'drain', nodes: 3 });
  test.after(() => calm.close());
  const { cluster } = calm;
  // What a cluster client makes of it is for cluster-clients.test.ts.
  const clients = await calm.clients(nodeClients);
  const workload = new Workload({ seed: 11, clients, rate, deadlineMs: 2000 });
  test.after(() => workload.end());
  workload.begin();
  await delay(1500);
  const stops: number[] = [];
  for (const node of cluster.nodes) {
    const from = performance.now();
    assert.equal(await cluster.stop(node), 0, `${node.name} ends in good order`);
    stops.push(performance.now() - from);
    await cluster.startNode(node);
    await cluster.linked(startMaxMs);
    await delay(1000);
  }
  await workload.end();

  const { history } = workload;
  test.diagnostic(
    `${errorWords(history)}; stopping took ${stops.map((ms) => `${Math.round(ms)} ms`).join(', ')}`,
  );
  const unknown = history.filter(({ outcome }) => outcome === 'unknown');
  assert.deepEqual(unknown, [], 'nobody is left guessing');
  const failed = history.filter(({ outcome, code }) => outcome === 'fail' && !retryable.has(code));
  assert.deepEqual(failed, [], 'whatever is refused may be tried again');
  const { broken, strictUnknown } = judge(history, await readAll(cluster, workload));
  assert.deepEqual(broken, []);
  assert.equal(strictUnknown, 0);
  assert.deepEqual(cluster.crashes, []);
  assert.ok(Math.max(...stops) < stopMaxMs, `a stop took ${Math.max(...stops)} ms`);

  // Beforehand, by hand, with a grace in which health says so already and clients are served on.
  const [first, second] = cluster.nodes as [(typeof cluster.nodes)[0], (typeof cluster.nodes)[0]];
  const client = clients[3]!;
  const write = (key: string): Promise<string> =>
    new Promise((done) =>
      client.send(['SET', key, 'v'], ({ outcome, code }) => done(`${outcome} ${code}`.trim())),
    );
  const command = [
    ...DURE,
    'node',
    'drain',
    first.name,
    '--grace',
    '2s',
    '--node',
    `127.0.0.1:${second.httpPort}`,
  ];
  const draining = run(command);
  await until(
    async () => (await getJson(first.httpPort, '/health/ready', 500))?.status === 503,
    'health tells that it drains',
    20_000,
  );
  assert.equal(await write('in-grace'), 'ok');
  const { code, stdout } = await draining;
  assert.equal(code, 0);
  assert.match(stdout, /serves on for 2 s …\nn1 is drained: it takes no requests\. Stop its process now/);
  assert.equal(await write('after-grace'), 'fail ASK');
  assert.equal(await cluster.stop(first), 0);
});
