/**
 * From one node to three, as somebody does it who begins small: `dure start` alone, and two processes more that join
 * it, with the policy that is there by default. Clients write and read all the while; W is what the members there are
 * allow: 1 of one, 2 of two, 2 of three.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { httpCall, wholeText } from '../../src/main/http-call.ts';
import { untilAway } from '../support/away.ts';
import { LightLoad, plainRedis } from '../support/light-load.ts';
import { freePortBase } from '../support/ports.ts';
import { DURE, Started } from '../support/process.ts';
import { steadyTopology, topologyAt } from '../support/topology-look.ts';
import { delay } from '../support/wait.ts';

/** Nodes as processes, at ports one after the other. */
class House {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'dure-one-three-'));
  readonly running: (Started | undefined)[] = [];
  readonly base: number;

  constructor(base: number) {
    this.base = base;
  }

  /** Starts node `n<number>`; the first one founds the cluster, the others join it. */
  async start(number: number): Promise<void> {
    await this.begin(number).says(/node-ready/);
  }

  /** As `start`, without waiting for anything. */
  begin(number: number): Started {
    const ports = { resp: this.base, peer: this.base + 1000, http: this.base + 2000 };
    const argv = [
      ...DURE,
      'start',
      '--node-id',
      `n${number}`,
      '--data-dir',
      join(this.directory, `n${number}`),
    ];
    for (const [name, port] of Object.entries(ports)) argv.push(`--ports-${name}`, `${port + number - 1}`);
    if (number === 1) argv.push('--partitions', '64');
    else argv.push('--join', `http://127.0.0.1:${ports.http}`);
    const started = new Started(argv);
    this.running[number] = started;
    return started;
  }

  async kill(number: number): Promise<void> {
    await this.running[number]!.end('SIGKILL');
    this.running[number] = undefined;
  }

  async close(): Promise<void> {
    for (const each of this.running) if (each !== undefined && !each.ended) await each.end('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 });
  }

  httpPort(number: number): number {
    return this.base + 1999 + number;
  }

  /** Waits until the first `count` nodes are the members of one steady epoch, and owners of what they are to own. */
  async steady(count: number): Promise<void> {
    const numbers = Array.from({ length: count }, (_, at) => at + 1);
    const ids = numbers.map((number) => `n${number}`);
    const seen = await steadyTopology(
      numbers.map((number) => this.httpPort(number)),
      ids,
    );
    // One table names all of them for every key.
    for (const { members } of seen) for (const { replicas } of members) assert.equal(replicas, 64);
  }
}

/** A load on one node; every failure of it is one of the test. */
async function end(writer: LightLoad): Promise<void> {
  await writer.end();
  assert.deepEqual(writer.failures.slice(0, 3), [], `${writer.failures.length} failures`);
}

async function checkAll(port: number, writers: readonly LightLoad[]): Promise<void> {
  const client = plainRedis(port);
  const wanted = writers.flatMap(({ acknowledged }) => [...acknowledged]);
  assert.ok(wanted.length > 50, `${wanted.length} keys`);
  const values = await client.mget(wanted.map(([key]) => key));
  const wrong = wanted.filter(([, value], at) => values[at] !== value);
  assert.deepEqual(wrong.slice(0, 3), [], `${wrong.length} of ${wanted.length} keys`);
  client.disconnect();
}

it('one node becomes three, in use from the first moment, and W follows', { timeout: 240_000 }, async () => {
  const house = new House(await freePortBase(3));
  const [first, second, third] = [house.base, house.base + 1, house.base + 2];
  after(() => house.close());
  await house.start(1);
  const writers = [new LightLoad([first])];
  await delay(300);
  await house.start(2);
  writers.push(new LightLoad([second]));
  await house.steady(2);
  for (const writer of writers) await end(writer);
  for (const port of [first, second]) await checkAll(port, writers);

  // Of two both must hold what is acknowledged: one alone reads and acknowledges nothing under this policy.
  await house.kill(2);
  await untilAway([house.httpPort(1)], 'n2');
  const alone = plainRedis(first);
  await assert.rejects(alone.set('alone', '1'), /TRYAGAIN only 1 of 2 replicas .* the write needs 2/);
  alone.disconnect();
  await house.start(2);
  const more = [new LightLoad([first]), new LightLoad([second])];
  await house.start(3);
  more.push(new LightLoad([third]));
  await house.steady(3);
  for (const writer of more) await end(writer);
  writers.push(...more.reverse());
  for (const port of [first, second, third]) await checkAll(port, more);

  // Any one of three may fail, the one that began as well; and it comes back to what the cluster is now.
  await house.kill(1);
  const rest = [new LightLoad([second]), new LightLoad([third])];
  await delay(2500);
  for (const writer of rest) {
    // Until it is known to be dead a request may wait for it in vain.
    assert.ok(writer.failures.length <= 3, `${writer.failures}`);
    writer.failures.length = 0;
    await end(writer);
  }
  for (const port of [second, third]) await checkAll(port, rest);
  await house.start(1);
  await house.steady(3);
  await checkAll(first, rest);
});

it('a node that is given up while it starts ends, and says that it is no member', {
  timeout: 120_000,
}, async () => {
  const house = new House(await freePortBase(2));
  after(() => house.close());
  await house.start(1);
  const second = house.begin(2);
  await second.says(/"event":"joined"/);
  // Nobody counts on it yet: a write does not wait for it, and the change is given up at once.
  const client = plainRedis(house.base);
  assert.equal(await client.set('key', 'value'), 'OK');
  const call = { method: 'POST', timeoutMs: 5000 } as const;
  const answer = await httpCall(`127.0.0.1:${house.httpPort(1)}`, '/v1/topology/cancel', call);
  assert.equal(answer.status, 200, await wholeText(answer));
  const { code, stderr, stdout } = await second.finished(30_000);
  assert.equal(code, 5, `${stdout}\n${stderr}`);
  assert.match(`${stdout}${stderr}`, /no member of cluster|the others go on without this node/);
  assert.equal(await client.get('key'), 'value');
  client.disconnect();
  const { phase, members } = await topologyAt(house.httpPort(1));
  assert.deepEqual([phase, members.map(({ id }) => id)], ['steady', ['n1']]);
});
