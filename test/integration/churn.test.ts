/**
 * Three nodes become five and three again, under load and with tens of thousands of keys of 1 KiB in them: nothing acknowledged is
 * lost, no client sees an error, and no more is moved than must be. The second newcomer is killed half-way
 * and started again. `DURE_CHURN_ROWS` says how many keys.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { byteString, utf8Bytes } from '../../src/base/bytes.ts';
import { slotOf } from '../../src/ring/slots.ts';
import { type Answer, type Client, clusterClient, plainClient, SocketClient } from '../nemesis/clients.ts';
import { NemesisCluster, type NemesisNode } from '../nemesis/cluster.ts';
import { percentile } from '../nemesis/figures.ts';
import { readAll } from '../nemesis/final-reads.ts';
import type { Op } from '../nemesis/history.ts';
import { closeHttp } from '../nemesis/http.ts';
import { judge } from '../nemesis/judge.ts';
import { letLeave, topologyOf } from '../nemesis/members.ts';
import { Workload } from '../nemesis/workload.ts';
import { delay, until } from '../support/wait.ts';

const rows = Number(process.env.DURE_CHURN_ROWS ?? 30_000);
const valueBytes = 1024;
const atOnce = 500;
/** A change of so many rows takes so long at most, milliseconds. */
const changeMaxMs = 90_000;
const movedShareMax = 1.1;
const p99FactorMax = 3;
/** Below it a factor says nothing: all nodes and the clients share two cores here; docs/design/moving.md has the figures. */
const p99FloorMs = 40;

/** Requests that a cluster client may lose with a connection of its own. */
const tornMost = 3;

const keyOf = (i: number): string => `row:${i}`;

/** Runs `act` for 0 to `count` - 1, some at once. */
async function forAll(count: number, act: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

function ask(client: Client, words: readonly string[]): Promise<Answer> {
  return new Promise((done) => client.send(words, done));
}

/** Waits until all nodes know one steady epoch with so many members, and everything is cleaned up. */
async function steady(cluster: NemesisCluster, members: number): Promise<void> {
  const deadline = performance.now() + changeMaxMs;
  for (;;) {
    const answers = await Promise.all(cluster.nodes.map((node) => topologyOf(node)));
    const epochs = new Set(answers.map((answer) => answer?.epoch));
    const isSteady = answers.every(
      (answer) =>
        answer?.phase === 'steady' && answer.members.length === members && answer.moves.strays === 0,
    );
    if (isSteady && epochs.size === 1) return;
    if (performance.now() > deadline) {
      const words = answers.map((answer) => JSON.stringify([answer?.epoch, answer?.phase, answer?.moves]));
      throw new Error(`no steady epoch of ${members} members:\n${words.join('\n')}`);
    }
    await delay(200);
  }
}

async function movedBytes(cluster: NemesisCluster): Promise<number> {
  const answers = await Promise.all(cluster.nodes.map((node) => topologyOf(node)));
  return answers.reduce((sum, answer) => sum + (answer?.moves.bytesTotal ?? 0), 0);
}

type Lists = readonly (readonly string[])[];

async function listsOf(node: NemesisNode): Promise<Lists> {
  const lists = (await topologyOf(node, '?lists=true'))!.lists!;
  return lists.read.map((list) => list.map((index) => lists.ids[index]!));
}

/** Rows that nodes hold after a change and did not before: no change can do with less. */
function rowsToMove(before: Lists, after: Lists): number {
  let moved = 0;
  for (let i = 0; i < rows; i++) {
    const partition = Math.floor((slotOf(byteString(utf8Bytes(keyOf(i)))) * after.length) / 16384);
    moved += after[partition]!.filter((id) => !before[partition]!.includes(id)).length;
  }
  return moved;
}

/** How even and how sparing a change of owners was, of partitions: as `npm run ring:table` says it of tables. */
interface Placement {
  /** Replicas a node, and primaries: the most over the mean. */
  readonly replicasOverMean: number;
  readonly primariesOverMean: number;
  /** Replicas that came to nodes, over those that had to: what each node holds more than before. */
  readonly movedOverLeast: number;
}

function placementOf(before: Lists, after: Lists): Placement {
  const countOf = (ids: readonly string[]): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
    return counts;
  };
  const overMean = (counts: Map<string, number>): number => {
    const all = [...counts.values()];
    return Math.max(...all) / (all.reduce((sum, count) => sum + count, 0) / all.length);
  };
  const held = countOf(after.flat());
  const heldBefore = countOf(before.flat());
  let moved = 0;
  after.forEach((list, partition) => {
    moved += list.filter((id) => !before[partition]!.includes(id)).length;
  });
  const least = [...held].reduce(
    (sum, [id, count]) => sum + Math.max(0, count - (heldBefore.get(id) ?? 0)),
    0,
  );
  return {
    replicasOverMean: overMean(held),
    primariesOverMean: overMean(countOf(after.map(([first]) => first!))),
    movedOverLeast: moved / least,
  };
}

class Figures {
  readonly #test: TestContext;
  readonly #cluster: NemesisCluster;
  readonly #workload: Workload;
  beforeP99 = 0;

  constructor(test: TestContext, cluster: NemesisCluster, workload: Workload) {
    this.#test = test;
    this.#cluster = cluster;
    this.#workload = workload;
  }

  p99(from: number, to: number): number {
    const ops = this.#workload.history.filter(({ at, outcome }) => at >= from && at < to && outcome === 'ok');
    return percentile(
      ops.map(({ at, end }) => end - at).sort((a, b) => a - b),
      0.99,
    );
  }

  /**
   * A change of the members, from `begin` until it is over everywhere: its time, its p99, its bytes.
   * @param begin tells how many bytes were moved to a process that is gone, and counts them no more
   */
  async change(name: string, members: number, begin: () => Promise<number>): Promise<void> {
    const [first] = this.#cluster.nodes as [NemesisNode];
    const before = await listsOf(first);
    const bytesBefore = await movedBytes(this.#cluster);
    const from = this.#workload.now();
    const bytesForgotten = await begin();
    await steady(this.#cluster, members);
    const to = this.#workload.now();
    const bytes = (await movedBytes(this.#cluster)) - bytesBefore + bytesForgotten;
    const after = await listsOf(first);
    const least = rowsToMove(before, after) * valueBytes;
    const placement = placementOf(before, after);
    const p99 = this.p99(from, to);
    this.#test.diagnostic(
      `${name}: ${((to - from) / 1000).toFixed(1)} s, ${(bytes / 2 ** 20).toFixed(1)} MiB moved, ` +
        `${(bytes / least).toFixed(3)} of what ${(least / 2 ** 20).toFixed(1)} MiB of values need; p99 ${p99.toFixed(1)} ms ` +
        `(before ${this.beforeP99.toFixed(1)} ms); replicas ${placement.replicasOverMean.toFixed(3)}, primaries ` +
        `${placement.primariesOverMean.toFixed(3)} of the mean at most, partitions moved ${placement.movedOverLeast.toFixed(3)} of the least`,
    );
    assert.ok(
      placement.replicasOverMean <= 1.05 && placement.primariesOverMean <= 1.02,
      JSON.stringify(placement),
    );
    assert.ok(placement.movedOverLeast <= 1.05, JSON.stringify(placement));
    assert.ok(
      bytes > least * 0.9,
      `${bytes} bytes moved for ${least} bytes of values: they were not counted`,
    );
    assert.ok(bytes <= least * movedShareMax, `${bytes} bytes moved where ${least} bytes of values need to`);
    const limit = p99FactorMax * Math.max(p99FloorMs, this.beforeP99);
    assert.ok(p99 <= limit, `p99 ${p99} ms during ${name}, ${this.beforeP99} ms before`);
  }
}

it('3 -> 5 -> 3 nodes under load: nothing lost, no errors, little moved', {
  timeout: 600_000,
}, async (test) => {
  const directory = process.env.DURE_CHURN_DIR ?? mkdtempSync(join(tmpdir(), 'dure-churn-'));
  if (process.env.DURE_CHURN_DIR === undefined)
    test.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  const cluster = await NemesisCluster.start({
    nodes: 3,
    spares: 2,
    directory,
    smallDisks: [],
    links: false,
    strictPolicy: 'PC/EC',
  });
  test.after(async () => {
    await cluster.close();
    closeHttp();
  });
  const ports = cluster.nodes.map(({ respPort }) => respPort);
  const clients = [
    ...ports.map((port, node) => plainClient(node, port)),
    ...ports.map((port, node) => new SocketClient(node, port)),
    clusterClient(ports),
  ];
  test.after(() => {
    for (const client of clients) client.close();
  });
  await until(() => clients.every((client) => client.isUp()), 'every client is connected');
  const value = 'v'.repeat(valueBytes);
  await forAll(rows, async (i) => {
    const { outcome, code } = await ask(clients[3 + (i % 3)]!, ['SET', keyOf(i), value]);
    assert.equal(outcome, 'ok', code);
  });

  const workload = new Workload({ seed: 7, clients, rate: 400, deadlineMs: 1000 });
  test.after(() => workload.end());
  const figures = new Figures(test, cluster, workload);
  workload.begin();
  await delay(2000);
  const from = workload.now();
  await delay(5000);
  figures.beforeP99 = figures.p99(from, workload.now());

  let fourth: NemesisNode | undefined;
  let fifth: NemesisNode | undefined;
  await figures.change('the fourth joins', 4, async () => {
    fourth = await cluster.join(cluster.nodes.slice(0, 1));
    return 0;
  });
  await figures.change('the fifth joins, killed half-way', 5, async () => {
    fifth = await cluster.join(cluster.nodes.slice(3));
    let forgotten = 0;
    await until(async () => {
      const answer = await topologyOf(fifth!);
      const moves = answer?.moves;
      forgotten = moves?.bytesTotal ?? forgotten;
      return moves !== undefined && moves.partitions > 0 && moves.partitionsDone * 3 > moves.partitions;
    }, 'a third of its ranges are there');
    await cluster.kill(fifth);
    await delay(500);
    await cluster.startNode(fifth);
    return forgotten;
  });
  for (const node of [fifth!, fourth!]) {
    await figures.change(`${node.name} leaves`, cluster.nodes.length - 1, async () => {
      const gone = (await topologyOf(node))!.moves.bytesTotal;
      await letLeave(cluster, node, changeMaxMs);
      return gone;
    });
  }
  await delay(1000);
  await workload.end();

  const errors = workload.history.filter(({ outcome }) => outcome !== 'ok');
  const byCode = Object.groupBy(errors, ({ outcome, code }: Op) => `${outcome} ${code}`);
  test.diagnostic(
    `${workload.history.length} requests, ${errors.length} errors: ` +
      Object.entries(byCode)
        .map(([name, list]) => `${name} ${list!.length}`)
        .join(', '),
  );
  const { broken, strictUnknown } = judge(workload.history, await readAll(cluster, workload));
  assert.deepEqual(broken, []);
  assert.equal(strictUnknown, 0);
  let missing = 0;
  await forAll(rows, async (i) => {
    const answer = await ask(clients[3 + ((i + 1) % 3)]!, ['GET', keyOf(i)]);
    if (answer.value !== value) missing++;
  });
  assert.equal(missing, 0, 'every row is there');
  // The cluster client repeats nothing here, and now and then loses a connection when its map changes (1 of 15,000 requests
  // in one of three runs; the cause was not found). As people use it, it repeats: cluster-clients.test.ts.
  const isTorn = ({ client, code }: Op): boolean =>
    client === 'ioredis cluster' && code === 'connection-lost';
  const seen = errors.filter((op) => !isTorn(op));
  assert.deepEqual(seen.slice(0, 5), [], 'no client sees an error');
  assert.ok(
    errors.length - seen.length <= tornMost,
    `${errors.length} connections lost by the cluster client`,
  );
  assert.deepEqual(cluster.crashes, []);
});
