/**
 * A client that reaches all nodes while one of them is cut off from the others: that one refuses everything, and
 * calls go on through the others without using up the budget of repetitions.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect, type DureError } from '../../client/index.ts';
import { NemesisCluster } from '../nemesis/cluster.ts';
import { delay, until } from '../support/wait.ts';

const workers = 16;

describe('the client while a node is cut off', { timeout: 120_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-client-cut-'));
  let cluster: NemesisCluster;

  before(async () => {
    const settings = { policies: [] };
    const options = { nodes: 3, directory, smallDisks: [], links: true, strictPolicy: 'PC/EC', settings };
    cluster = await NemesisCluster.start(options);
  });

  after(async () => {
    await cluster.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('calls go on, and repetitions are few', async () => {
    const nodes = cluster.nodes.map(({ respPort }) => `127.0.0.1:${respPort}`);
    const client = await connect<number>({ nodes, retryBudget: { share: 0, reserve: 300 } });
    const failures: string[] = [];
    const refusals = new Map<string, number>();
    client.on('retry', ({ node }) => refusals.set(node, (refusals.get(node) ?? 0) + 1));
    let calls = 0;
    let isOver = false;
    const work = async (w: number): Promise<void> => {
      for (let i = 0; !isOver; i++) {
        try {
          await client.put(`k${w}:${i % 50}`, i);
          await client.get(`k${w}:${i % 50}`);
          calls += 2;
        } catch (error) {
          failures.push((error as DureError).message);
          await delay(5);
        }
      }
    };
    const working = Array.from({ length: workers }, (_, w) => work(w));
    try {
      await until(() => calls > 500, 'the load runs', 20_000);
      for (const other of [1, 2]) {
        cluster.link(0, other).cut('reset');
        cluster.link(other, 0).cut('reset');
      }
      const cutAt = calls;
      await delay(5000);
      const whileCut = calls - cutAt;
      const { retries } = client.metrics();
      console.log({ whileCut, retries, refusals: Object.fromEntries(refusals) });
      assert.deepEqual(failures.slice(0, 3), []);
      assert.ok(whileCut > 1000, `${whileCut} calls while the node was cut off`);
      assert.ok(retries > 0 && retries < whileCut / 10, `${retries} repetitions`);
      await cluster.healAll();
      await cluster.linked(20_000);
      // The node is tried again, and serves.
      const before = refusals.get(nodes[0]!) ?? 0;
      await delay(2500);
      const healed = (refusals.get(nodes[0]!) ?? 0) - before;
      assert.ok(healed <= workers, `${healed} refusals after healing`);
      assert.deepEqual(failures.slice(0, 3), []);
    } finally {
      isOver = true;
      await Promise.all(working);
      await client.close();
    }
  });
});
