/**
 * Keys as registers, on real processes, judged by the search in `sim/linearizability`: with a strict quorum and
 * R+W>N no read is stale and none goes backwards, whatever is done to the nodes; with the same numbers and a
 * sloppy quorum one can be made stale at will.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { SocketClient } from '../nemesis/clients.ts';
import { NemesisCluster, type NemesisNode } from '../nemesis/cluster.ts';
import type { Op } from '../nemesis/history.ts';
import { closeHttp } from '../nemesis/http.ts';
import { judge } from '../nemesis/judge.ts';
import { Lab } from '../nemesis/lab.ts';
import { RegisterLoad } from '../support/register-load.ts';
import { delay, until } from '../support/wait.ts';

/** Policies that promise registers, by prefix. */
const strict: Readonly<Record<string, string>> = {
  'r2w2:': 'PC/EC',
  'r1w3:': 'R=1 W=3 STRICT',
  'r3w1:': 'R=3 W=1 STRICT',
  'r2w3:': 'R=2 W=3 STRICT',
};
/** And those that do not, under the same faults: that the judge finds them out shows that it can. */
const loose: Readonly<Record<string, string>> = { 'r1w1:': 'R=1 W=1 STRICT', 'pael:': 'PA/EL' };
const keysOfPrefix = 4;
const workers = 8;

/** Faults one after the other; a node each time, or links. */
async function torment(cluster: NemesisCluster): Promise<void> {
  const [n1, n2, n3] = cluster.nodes as [NemesisNode, NemesisNode, NemesisNode];
  const cut = (mode: 'reset' | 'silent', ...links: [NemesisNode, NemesisNode][]): void => {
    for (const [a, b] of links) {
      cluster.link(a.index, b.index).cut(mode);
      cluster.link(b.index, a.index).cut(mode);
    }
  };
  const killed = async (node: NemesisNode, ms: number): Promise<void> => {
    await cluster.kill(node);
    await delay(ms);
    await cluster.startNode(node);
  };
  await delay(1000);
  await killed(n1, 1500);
  await delay(1000);
  cut('reset', [n2, n1], [n2, n3]);
  await delay(2500);
  await cluster.healAll();
  await delay(1000);
  cluster.freeze(n3);
  await delay(2500);
  cluster.thaw(n3);
  await delay(500);
  cut('silent', [n1, n2], [n1, n3]);
  await delay(2500);
  await cluster.healAll();
  cluster.link(n2.index, n3.index).cut('reset');
  await killed(n1, 500);
  await delay(1000);
  await cluster.healAll();
  await Promise.all(cluster.nodes.map((node) => killed(node, 300)));
  await delay(500);
  cut('reset', [n1, n2], [n1, n3], [n2, n3]);
  await delay(1000);
  await cluster.healAll();
  await cluster.linked(15_000);
  await delay(1500);
}

describe('registers on real processes', { timeout: 220_000 }, () => {
  after(closeHttp);

  it('strict R+W>N: no stale read and none backwards, through kills, cuts and freezes', async (test) => {
    const directory = mkdtempSync(join(tmpdir(), 'dure-registers-'));
    test.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
    const policies = Object.entries({ ...strict, ...loose }).map(([prefix, policy]) => ({ prefix, policy }));
    const cluster = await NemesisCluster.start({
      ...{ nodes: 3, directory, smallDisks: [], links: true, strictPolicy: 'PC/EC' },
      settings: { clusterName: 'registers', policies },
    });
    test.after(() => cluster.close());
    const clients = cluster.nodes.map(({ index, respPort }) => new SocketClient(index, respPort));
    test.after(() => {
      for (const client of clients) client.close();
    });
    await until(() => clients.every((client) => client.isUp()), 'every client is connected');
    const keys = policies.flatMap(({ prefix }) => Array.from({ length: keysOfPrefix }, (_, i) => prefix + i));
    const load = new RegisterLoad(7, clients, keys);
    load.begin(workers);
    await torment(cluster);
    await load.end();
    assert.deepEqual(cluster.crashes, []);

    const isOf = (op: Op, prefixes: Readonly<Record<string, string>>): boolean =>
      Object.keys(prefixes).some((prefix) => op.key.startsWith(prefix));
    for (const [prefix, policy] of Object.entries(strict)) {
      const ops = load.history.filter(({ key }) => key.startsWith(prefix));
      const good = ops.filter(({ outcome }) => outcome === 'ok').length;
      test.diagnostic(`${policy}: ${ops.length} requests, ${good} ok`);
      assert.deepEqual(judge(ops, []).broken, [], policy);
      // Those that need all three replicas are answered between the faults only.
      const goodMin = policy === 'PC/EC' ? 200 : 40;
      assert.ok(good > goodMin, `${policy}: only ${good} of ${ops.length} requests were answered`);
    }
    const control = judge(
      load.history.filter((op) => isOf(op, loose)),
      [],
    );
    const { readsBackwards, strictViolated } = control;
    test.diagnostic(
      `R=1 W=1: ${readsBackwards} stale or backward reads, ${strictViolated} of 8 keys violated`,
    );
    assert.ok(strictViolated > 0 && readsBackwards > 0, 'the faults were felt, and the judge sees it');
  });

  it('sloppy with the same numbers: a stale read, made on purpose', async (test) => {
    const policies = { 'sloppy:': 'R=2 W=2 SLOPPY', 'strict:': 'R=2 W=2 STRICT' };
    await Lab.run({ nodes: 5, policies, print: () => {} }, async (lab) => {
      const clients = lab.cluster.nodes.map(({ index, respPort }) => new SocketClient(index, respPort));
      test.after(() => {
        for (const client of clients) client.close();
      });
      await until(() => clients.every((client) => client.isUp()), 'every client is connected');
      const sloppy = 'sloppy:{account}';
      const other = 'strict:{account}';
      const owners = await lab.replicasOf(sloppy);
      assert.deepEqual(await lab.replicasOf(other), owners, 'the tag puts both keys on the same nodes');
      const others = [1, 2, 3, 4, 5].filter((node) => !owners.includes(node));
      const [owner, standIn] = [clients[owners[0]! - 1]!, clients[others[0]! - 1]!];
      const load = new RegisterLoad(1, clients, [sloppy, other]);
      for (const key of [sloppy, other]) assert.equal((await load.request(owner, key, true)).outcome, 'ok');

      await lab.cut(owners, others);
      const write = await load.request(standIn, sloppy, true);
      const read = await load.request(owner, sloppy, false);
      assert.equal(write.outcome, 'ok', 'two stand-ins acknowledge: W=2');
      assert.deepEqual(
        [read.outcome, read.seen],
        ['ok', 'v0.'],
        'two owners answer, R=2, with the value before',
      );
      const refused = await load.request(standIn, other, true);
      assert.deepEqual(
        [refused.outcome, refused.code],
        ['fail', 'TRYAGAIN'],
        'strict: stand-ins do not count',
      );
      await load.request(owner, other, false);

      await lab.heal();
      const healed = await load.request(owner, sloppy, false);
      assert.equal(healed.seen, write.value, 'the hint was handed over: nothing acknowledged is lost');
      const byKey = (key: string): Op[] => load.history.filter((op) => op.key === key);
      assert.deepEqual(
        judge(byKey(sloppy), []).broken.map(({ promise }) => promise),
        ['a strict read went backwards', 'a strict key is not linearizable'],
      );
      assert.deepEqual(judge(byKey(other), []).broken, []);
    });
  });
});
