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
import { Redis } from 'ioredis';
import type { TopologyAnswer } from '../../src/http/api/topology-json.ts';
import { httpCall, wholeText } from '../../src/main/http-call.ts';
import { freePortBase } from '../support/ports.ts';
import { DURE, Started } from '../support/process.ts';
import { delay, until } from '../support/wait.ts';

const changeMaxMs = 60_000;

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

  async topology(number: number): Promise<TopologyAnswer> {
    const answer = await httpCall(`127.0.0.1:${this.base + 1999 + number}`, '/v1/topology', {
      timeoutMs: 2000,
    });
    return JSON.parse(await wholeText(answer)) as TopologyAnswer;
  }

  /** Waits until the first `count` nodes are the members of one steady epoch, and owners of what they are to own. */
  async steady(count: number): Promise<void> {
    const numbers = Array.from({ length: count }, (_, at) => at + 1);
    let seen: TopologyAnswer[] = [];
    await until(
      async () => {
        seen = await Promise.all(numbers.map((number) => this.topology(number)));
        return seen.every(({ phase, members, moves, epoch }) => {
          const isWhole = members.length === count && members.every(({ state }) => state === 'owning');
          return phase === 'steady' && isWhole && epoch === seen[0]!.epoch && moves.strays === 0;
        });
      },
      () =>
        `${count} members: ${JSON.stringify(seen.map(({ epoch, phase, moves }) => [epoch, phase, moves]))}`,
      changeMaxMs,
    );
    // One table names all of them for every key.
    for (const { members } of seen) for (const { replicas } of members) assert.equal(replicas, 64);
  }
}

/** A client of a node that gives up nothing by itself. */
function clientOf(port: number): Redis {
  const client = new Redis({ host: '127.0.0.1', port, retryStrategy: null, maxRetriesPerRequest: 0 });
  client.on('error', () => {});
  return client;
}

/** One client that writes keys and reads them back through a node, until it is told to end. */
class Writer {
  readonly acknowledged: Map<string, string> = new Map();
  readonly failures: string[] = [];
  isOver = false;
  readonly done: Promise<void>;

  constructor(port: number) {
    this.done = this.#work(port);
  }

  async #work(port: number): Promise<void> {
    const client = clientOf(port);
    for (let i = 0; !this.isOver; i++) {
      const [key, value] = [`${port}:${i % 500}`, `${i}`];
      try {
        await client.set(key, value);
        this.acknowledged.set(key, value);
        const read = await client.get(key);
        if (read !== value) this.failures.push(`${key} is ${read}, and ${value} was acknowledged`);
      } catch (error) {
        this.failures.push(`${key}: ${(error as Error).message}`);
      }
      await delay(4);
    }
    client.disconnect();
  }

  async end(): Promise<void> {
    this.isOver = true;
    await this.done;
    assert.deepEqual(this.failures.slice(0, 3), [], `${this.failures.length} failures`);
  }
}

async function checkAll(port: number, writers: readonly Writer[]): Promise<void> {
  const client = clientOf(port);
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
  const writers = [new Writer(first)];
  await delay(300);
  await house.start(2);
  writers.push(new Writer(second));
  await house.steady(2);
  for (const writer of writers) await writer.end();
  for (const port of [first, second]) await checkAll(port, writers);

  // Of two both must hold what is acknowledged: one alone reads and acknowledges nothing under this policy.
  await house.kill(2);
  const alone = clientOf(first);
  await assert.rejects(alone.set('alone', '1'), /TRYAGAIN only 1 of 2 replicas .* the write needs 2/);
  alone.disconnect();
  await house.start(2);
  const more = [new Writer(first), new Writer(second)];
  await house.start(3);
  more.push(new Writer(third));
  await house.steady(3);
  for (const writer of more) await writer.end();
  writers.push(...more.reverse());
  for (const port of [first, second, third]) await checkAll(port, more);

  // Any one of three may fail, the one that began as well; and it comes back to what the cluster is now.
  await house.kill(1);
  const rest = [new Writer(second), new Writer(third)];
  await delay(2500);
  for (const writer of rest) {
    // Until it is known to be dead a request may wait for it in vain.
    assert.ok(writer.failures.length <= 3, `${writer.failures}`);
    writer.failures.length = 0;
    await writer.end();
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
  const client = clientOf(house.base);
  assert.equal(await client.set('key', 'value'), 'OK');
  const call = { method: 'POST', timeoutMs: 5000 } as const;
  const answer = await httpCall(`127.0.0.1:${house.base + 2000}`, '/v1/topology/cancel', call);
  assert.equal(answer.status, 200, await wholeText(answer));
  const { code, stderr, stdout } = await second.finished(30_000);
  assert.equal(code, 5, `${stdout}\n${stderr}`);
  assert.match(`${stdout}${stderr}`, /no member of cluster|the others go on without this node/);
  assert.equal(await client.get('key'), 'value');
  client.disconnect();
  const { phase, members } = await house.topology(1);
  assert.deepEqual([phase, members.map(({ id }) => id)], ['steady', ['n1']]);
});
