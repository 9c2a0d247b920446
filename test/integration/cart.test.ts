/**
 * The shopping cart of `examples/cart.ts` on real processes: two sides of a cut network change one cart, and
 * nothing is lost; the same under last-write-wins loses what one side did.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Client, connect, type Space } from '../../client/index.ts';
import { type Cart, cartsOf, contents, emptyCart, mergeCarts, putIn, takeOut } from '../../examples/cart.ts';
import { liveSeenBy, NemesisCluster } from '../nemesis/cluster.ts';
import { dialOnly } from '../support/dial-only.ts';
import { run } from '../support/process.ts';
import { until } from '../support/wait.ts';

const script = fileURLToPath(new URL('../../examples/cart.ts', import.meta.url));

describe('the shopping cart', { timeout: 120_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-cart-'));
  const clients: Client<unknown>[] = [];
  let cluster: NemesisCluster;
  /** Knows the node on one side only, and one of the two on the other. */
  let left: Client<unknown>;
  let right: Client<unknown>;

  before(async () => {
    cluster = await NemesisCluster.start({
      nodes: 3,
      directory,
      smallDisks: [],
      links: true,
      strictPolicy: 'PC/EC',
      settings: {
        policy: 'PA/EL',
        policies: [{ prefix: 'cart:', policy: 'PA/EL SIBLINGS' }],
      },
    });
    [left, right] = await Promise.all([0, 1].map(clientOf) as [Promise<Client<unknown>>, never]);
  });

  after(async () => {
    for (const client of clients) await client.close();
    await cluster.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function clientOf(index: number): Promise<Client<unknown>> {
    const port = cluster.nodes[index]!.respPort;
    const client = await connect({ nodes: [`127.0.0.1:${port}`], dial: dialOnly([port]) });
    clients.push(client);
    return client;
  }

  /** Cuts off node 0, or heals that; resolves when all know. */
  async function cutOff(isCut: boolean): Promise<void> {
    for (const other of [1, 2]) {
      for (const link of [cluster.link(0, other), cluster.link(other, 0)]) {
        if (isCut) link.cut('reset');
        else link.heal();
      }
    }
    const live = isCut ? [1, 2, 2] : [3, 3, 3];
    await until(
      async () => {
        const seen = await Promise.all(cluster.nodes.map(liveSeenBy));
        return seen.every(({ size }, i) => size === live[i]);
      },
      'all know of the cut',
      30_000,
    );
  }

  /** What both sides do to a cart that has milk in it while they cannot hear of each other. */
  async function changeBoth(id: string, spaces: readonly [Space<Cart>, Space<Cart>]): Promise<void> {
    const [there, here] = spaces;
    await there.update(id, (cart = emptyCart) => putIn(cart, 'milk'));
    await until(async () => contents(await here.get(id)).milk === 1, 'the other side has the milk');
    await cutOff(true);
    await there.update(id, (cart = emptyCart) => putIn(takeOut(cart, 'milk'), 'bread'));
    await here.update(id, (cart = emptyCart) => putIn(putIn(cart, 'milk', 5), 'tea'));
    assert.deepEqual(contents(await there.get(id)), { bread: 1 });
    assert.deepEqual(contents(await here.get(id)), { milk: 6, tea: 1 });
    await cutOff(false);
  }

  it('loses nothing that was put in, and what was taken out stays out', async () => {
    const spaces = [cartsOf(left), cartsOf(right)] as const;
    await changeBoth('1', spaces);
    for (const space of spaces) {
      await until(
        async () => (await space.getVersions('1')).values.length === 2,
        'both carts are there',
        20_000,
      );
    }
    // The milk that both had seen is out; the five that were put in meanwhile are in.
    const whole = { bread: 1, milk: 5, tea: 1 };
    assert.deepEqual(contents(await spaces[0].get('1')), whole);
    assert.equal(left.metrics().mergesWritten, 1);
    for (const space of spaces) {
      await until(
        async () => (await space.getVersions('1')).values.length === 1,
        'the merged one replaced both',
      );
      assert.deepEqual(contents(await space.get('1')), whole);
    }
  });

  it('the same under last-write-wins loses what one side did', async () => {
    const spaces = [left, right].map((client) => client.space<Cart>('plain:', { merge: mergeCarts }));
    await changeBoth('1', spaces as [Space<Cart>, Space<Cart>]);
    await until(async () => contents(await spaces[0]!.get('1')).tea === 1, 'the later one is on both sides');
    assert.deepEqual(
      contents(await spaces[0]!.get('1')),
      { milk: 6, tea: 1 },
      'no bread, and the milk is back',
    );
  });

  it('says how to start a cluster where there is none', async () => {
    const { code, stderr } = await run([process.execPath, script, '127.0.0.1:1']);
    assert.equal(code, 1);
    assert.match(stderr, /^no node could be reached .*ECONNREFUSED.*\n"npm start" in another terminal/);
  });

  it('runs as a program, and leaves nothing behind', async () => {
    const addresses = cluster.nodes.map(({ respPort }) => `127.0.0.1:${respPort}`);
    const { code, stdout, stderr } = await run([process.execPath, script, ...addresses]);
    assert.equal(code, 0, stderr);
    const results = stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(': ')[1]);
    assert.deepEqual(results, ['1 bread, 2 milk', '1 bread, 1 tea', '3 bread, 1 tea'], stdout);
  });
});
