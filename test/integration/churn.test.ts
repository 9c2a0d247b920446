/**
 * Three nodes become five and three again, under load and with tens of thousands of keys of 1 KiB in them: nothing acknowledged is
 * lost, no client sees an error, and no more is moved than must be. The second newcomer is killed half-way
 * and started again. `DURE_CHURN_ROWS` says how many keys.
 */

import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { byteString, utf8Bytes } from '../../src/base/bytes.ts';
import { balanceOf, movementOf } from '../../src/ring/balance.ts';
import { slotOf } from '../../src/ring/slots.ts';
import type { Table } from '../../src/ring/table.ts';
import { decodeTopology } from '../../src/topology/codec.ts';
import { CalmCluster } from '../nemesis/calm.ts';
import type { Answer, Client } from '../nemesis/clients.ts';
import type { NemesisCluster, NemesisNode } from '../nemesis/cluster.ts';
import { errorWords, percentile } from '../nemesis/figures.ts';
import { readAll } from '../nemesis/final-reads.ts';
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

async function tableOf(node: NemesisNode): Promise<Table> {
  const { encoded } = (await topologyOf(node, '?encoded=true'))!;
  return decodeTopology(Buffer.from(encoded!, 'base64')).read;
}

/** Rows that nodes hold after a change and did not before: no change can do with less. */
function rowsToMove(before: Table, after: Table): number {
  let moved = 0;
  for (let i = 0; i < rows; i++) {
    const slot = slotOf(byteString(utf8Bytes(keyOf(i))));
    const held = before.preferenceList(slot);
    moved += after.preferenceList(slot).filter((id) => !held.includes(id)).length;
  }
  return moved;
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
    const before = await tableOf(first);
    const bytesBefore = await movedBytes(this.#cluster);
    const from = this.#workload.now();
    const bytesForgotten = await begin();
    await steady(this.#cluster, members);
    const to = this.#workload.now();
    const bytes = (await movedBytes(this.#cluster)) - bytesBefore + bytesForgotten;
    const after = await tableOf(first);
    const least = rowsToMove(before, after) * valueBytes;
    const { replicas, primaries } = balanceOf(after);
    const { replicasMoved, replicasMovedMin } = movementOf(before, after);
    const movedOverLeast = replicasMoved / replicasMovedMin;
    const p99 = this.p99(from, to);
    this.#test.diagnostic(
      `${name}: ${((to - from) / 1000).toFixed(1)} s, ${(bytes / 2 ** 20).toFixed(1)} MiB moved, ` +
        `${(bytes / least).toFixed(3)} of what ${(least / 2 ** 20).toFixed(1)} MiB of values need; p99 ${p99.toFixed(1)} ms ` +
        `(before ${this.beforeP99.toFixed(1)} ms); replicas ${replicas.ratioMax.toFixed(3)}, primaries ` +
        `${primaries.ratioMax.toFixed(3)} of a fair share at most, partitions moved ${movedOverLeast.toFixed(3)} of the least`,
    );
    assert.ok(
      replicas.ratioMax <= 1.05 && primaries.ratioMax <= 1.02,
      JSON.stringify({ replicas, primaries }),
    );
    assert.ok(movedOverLeast <= 1.05, `${replicasMoved} partitions moved, ${replicasMovedMin} had to`);
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
  const directory = process.env.DURE_CHURN_DIR;
  const calm = await CalmCluster.open({ name: 'churn', nodes: 3, spares: 2, directory });
  test.after(() => calm.close());
  const { cluster } = calm;
  const clients = await calm.clients();
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
  await delay(12_000);
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
  test.diagnostic(errorWords(workload.history));
  const { broken, strictUnknown } = judge(workload.history, await readAll(cluster, workload));
  assert.deepEqual(broken, []);
  assert.equal(strictUnknown, 0);
  let missing = 0;
  await forAll(rows, async (i) => {
    const answer = await ask(clients[3 + ((i + 1) % 3)]!, ['GET', keyOf(i)]);
    if (answer.value !== value) missing++;
  });
  assert.equal(missing, 0, 'every row is there');
  assert.deepEqual(errors.slice(0, 5), [], 'no client sees an error');
  assert.deepEqual(cluster.crashes, []);
});
