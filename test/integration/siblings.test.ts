/**
 * Siblings on three real processes, by ioredis: what concurrent clients wrote is all there through kill -9 of a node,
 * a restart of all and the loss of a disk, and a write with a context replaces what that context has seen.
 */

import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import type { StatusAnswer } from '../../src/http/status.ts';
import { TestCluster } from '../support/cluster.ts';
import { delay, until } from '../support/wait.ts';

const siblingsMax = 8;
const policies = [
  { prefix: 'cart:', policy: 'PA/EC SIBLINGS' },
  { prefix: 'sure:', policy: 'PA/EC SIBLINGS SIBLINGS-READ=ERROR' },
];
const keyCount = 60;
const allNodes = [0, 1, 2] as const;

interface Versions {
  readonly context: string;
  readonly values: readonly string[];
}

describe('siblings on real processes', { timeout: 180_000 }, () => {
  let cluster: TestCluster;
  let clients: Redis[];

  before(async () => {
    cluster = await TestCluster.start({
      flags: [
        ...['--policies', JSON.stringify(policies)],
        ...['--limits-siblings-max', String(siblingsMax)],
        ...['--limits-repair-interval-ms', '1000', '--limits-repair-share-max', '0.5', '--partitions', '64'],
      ],
    });
    clients = allNodes.map((i) => {
      const client = new Redis({
        port: cluster.respPort(i),
        retryStrategy: () => 50,
        maxRetriesPerRequest: 1,
      });
      client.on('error', () => {});
      return client;
    });
  });

  after(async () => {
    for (const client of clients ?? []) client.disconnect();
    await cluster?.close();
  });

  const at = (index: number): Redis => clients[index]!;

  async function versions(index: number, key: string): Promise<Versions> {
    const [context, text, values, list] = (await at(index).call('DURE.GET', key)) as [
      string,
      string,
      string,
      string[],
    ];
    assert.deepEqual([context, values], ['context', 'values']);
    return { context: text, values: [...list].sort() };
  }

  async function status(index: number): Promise<StatusAnswer> {
    const { httpPort } = cluster.node(index);
    return (await (await fetch(`http://127.0.0.1:${httpPort}/status`)).json()) as StatusAnswer;
  }

  async function settled(indexes: readonly number[]): Promise<void> {
    const isSettled = async (): Promise<boolean> => {
      const answers = await Promise.all(indexes.map((i) => status(i).catch(() => undefined)));
      return answers.every((answer) => answer?.settled === true);
    };
    for (let tries = 0; tries < 300 && !(await isSettled()); tries++) await delay(100);
    assert.ok(await isSettled(), 'the nodes settled');
  }

  const key = (i: number): string => `cart:${i}`;
  /** What must be there of each key. */
  const expected = new Map<string, string[]>();

  async function allThere(indexes: readonly number[], when: string): Promise<void> {
    for (const index of indexes) {
      for (const [name, values] of expected) {
        assert.deepEqual((await versions(index, name)).values, values, `${name} at node ${index} ${when}`);
      }
    }
  }

  it('blind writes through two nodes while the third is killed are both kept', async () => {
    let killed: Promise<void> | undefined;
    for (let i = 0; i < keyCount; i++) {
      if (i === 10) killed = cluster.kill(2);
      // A write whose outcome is not known is written again: it may then be there twice, never less than once.
      await Promise.all([write(0, key(i), `a${i}`), write(1, key(i), `b${i}`)]);
      expected.set(key(i), [`a${i}`, `b${i}`]);
    }
    await killed;
    for (const index of [0, 1]) {
      for (const name of expected.keys()) {
        const { values } = await versions(index, name);
        assert.deepEqual([...new Set(values)], expected.get(name), `${name} at node ${index}`);
        expected.set(name, [...values]);
      }
    }
    await cluster.restart(2);
    await settled(allNodes);
    await allThere(allNodes, 'after the third is back');
  });

  async function write(index: number, name: string, value: string): Promise<void> {
    for (let tries = 0; tries < 50; tries++) {
      const answer = await at(index)
        .set(name, value)
        .catch((error: Error) => error);
      if (answer === 'OK') return;
      assert.match(String(answer), /TRYAGAIN|UNKNOWN/);
      await delay(50);
    }
    assert.fail('the write did not succeed in 50 tries');
  }

  it('a write with a context replaces what it saw, at every node, and a delete too', async () => {
    for (let i = 0; i < keyCount; i += 3) {
      const seen = await versions(i % 3, key(i));
      assert.equal(await at((i + 1) % 3).call('SET', key(i), 'unseen'), 'OK');
      assert.equal(await at((i + 2) % 3).call('DURE.SET', key(i), 'merged', 'CONTEXT', seen.context), 'OK');
      expected.set(key(i), ['merged', 'unseen']);
    }
    for (let i = 1; i < keyCount; i += 3) {
      const seen = await versions(i % 3, key(i));
      assert.equal(await at((i + 1) % 3).call('DURE.DEL', key(i), 'CONTEXT', seen.context), 'OK');
      expected.set(key(i), []);
    }
    await allThere(allNodes, 'after the writes');
  });

  it('plain commands see the newest, or an error that names DURE.GET, as the policy says', async () => {
    for (const index of allNodes) {
      await at(index).set('cart:plain', `v${index}`);
      await at(index).set('sure:plain', `v${index}`);
    }
    assert.equal(await at(0).get('cart:plain'), 'v2');
    assert.deepEqual(await at(1).mget('cart:plain', 'cart:none'), ['v2', null]);
    assert.equal(await at(2).exists('cart:plain'), 1);
    for (const command of ['get', 'strlen', 'type', 'ttl', 'incr', 'del'] as const) {
      await assert.rejects(at(0).call(command, 'sure:plain'), /SIBLINGS the key has 3 siblings.*DURE\.GET/);
    }
    for (const prefix of ['cart:', 'sure:']) {
      await assert.rejects(at(0).rename(`${prefix}plain`, 'other'), /SIBLINGS the key has 3 siblings/);
    }
    assert.equal(await at(1).append('cart:plain', '!'), 3);
    expected.set('cart:plain', ['v2!']);
    expected.set('sure:plain', ['v0', 'v1', 'v2']);
    await allThere(allNodes, 'after an update');
  });

  it('a full key refuses what adds a value, and status, metrics and log say so', async () => {
    for (let i = 0; i < siblingsMax; i++) await at(i % 3).set('cart:full', `v${i}`);
    for (let i = 0; i < 20; i++)
      await assert.rejects(at(1).set('cart:full', 'more'), /SIBLINGS the key is full/);
    const { verdict, siblings, reasons } = await status(1);
    assert.equal(verdict, 'critical');
    assert.equal(reasons[0]!.code, 'siblings-full');
    assert.match(reasons[0]!.what, /cart:/);
    assert.deepEqual([siblings!.refused, siblings!.valuesMost], [20, siblingsMax]);
    const page = await (await fetch(`http://127.0.0.1:${cluster.node(1).httpPort}/metrics`)).text();
    assert.match(page, /^dure_siblings_refused_total 20$/m);
    assert.match(await at(1).info('siblings'), /siblings_refused:20\r\n/);
    const { context, values } = await versions(0, 'cart:full');
    assert.equal(values.length, siblingsMax);
    assert.equal(await at(1).call('DURE.SET', 'cart:full', 'merged', 'CONTEXT', context), 'OK');
    expected.set('cart:full', ['merged']);
    await until(() => /siblings-full/.test(cluster.dev.stdout), 'the alarm is in the log');
    assert.equal(cluster.dev.stdout.match(/siblings-full/g)?.length, 1, 'one alarm for twenty refusals');
  });

  it('a restart of all nodes keeps them', async () => {
    await cluster.stop();
    await cluster.startAgain();
    await settled(allNodes);
    await allThere(allNodes, 'after the restart');
    // An actor that goes on after a restart hides nothing of what it wrote before.
    await at(0).set('cart:plain', 'again');
    expected.set('cart:plain', ['again', 'v2!']);
    await allThere(allNodes, 'after a write of the next life');
  });

  it('a node that lost its disk gets them back, and what it writes then hides nothing', async () => {
    await cluster.kill(1);
    const data = join(cluster.directory, cluster.node(1).id, 'data');
    assert.ok(existsSync(data), data);
    rmSync(data, { recursive: true });
    await cluster.restart(1);
    // While it is made whole, too.
    await write(1, 'cart:0', 'reborn');
    expected.set('cart:0', ['merged', 'reborn', 'unseen']);
    await settled(allNodes);
    await allThere(allNodes, 'after the loss');
    // What it holds itself: nobody else is asked, and nobody else can be.
    await cluster.kill(0);
    await cluster.kill(2);
    for (const [name, values] of expected) {
      const [, , , list] = (await at(1).call('DURE.WITH', 'R=1', 'W=1', 'DO', 'DURE.GET', name)) as [
        string,
        string,
        string,
        string[],
      ];
      assert.deepEqual([...list].sort(), values, `${name} on the new disk`);
    }
  });
});
