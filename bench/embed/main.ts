/**
 * What reading one's own replica saves: the same keys read in four ways, side by side.
 *
 * `node bench/embed/main.ts [--rounds 7] [--milliseconds 400] [--value-bytes 128] [--json FILE]`
 *
 * | way             | what happens                                                                     |
 * |-----------------|----------------------------------------------------------------------------------|
 * | peek            | the embedded node's own replica, without a promise                               |
 * | get, own        | the same, by `get`                                                               |
 * | get, other's    | an embedded node that holds no replica of the key asks the member that does      |
 * | client          | `dure/client` over loopback, at the Redis port of the member that holds the key  |
 *
 * Two members with one replica a key: one embedded here, one in a process of its own. Each round takes all ways in
 * turn, in changing order, once one read after the other (latency) and once 64 at a time (throughput); figures are
 * medians over the rounds. Processor time of both processes is counted too: where many share the cores it is the
 * steadiest figure.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bytesCodec, connect } from '../../client/index.ts';
import { createNode } from '../../embed/index.ts';
import { ask, cpuTime, endAll, freePort, type Started, start, until } from '../cluster/processes.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    milliseconds: { type: 'string', default: '400' },
    'value-bytes': { type: 'string', default: '128' },
    json: { type: 'string' },
  },
});
const rounds = Number(flags.rounds);
const runMs = Number(flags.milliseconds);
const keyCount = 2000;
const workers = 64;
/** Reads between two looks at the clock. */
const stride = 16;
const cli = fileURLToPath(new URL('../../src/main/cli.ts', import.meta.url));

interface Way {
  readonly name: string;
  readonly keys: readonly string[];
  readonly read: (key: string) => unknown;
}

/** One run of one way. */
interface Run {
  readonly perSecond: number;
  /** Of one read, microseconds: wall time and processor time of both processes. */
  readonly wallUs: number;
  readonly cpuUs: number;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

function cpuMs(started: Started): number {
  const { userMs, systemMs } = cpuTime([started]) ?? { userMs: Number.NaN, systemMs: Number.NaN };
  return userMs + systemMs;
}

async function runWay({ keys, read }: Way, parallel: number, peer: Started): Promise<Run> {
  const cpuBefore = process.cpuUsage();
  const peerBefore = cpuMs(peer);
  const startedAt = performance.now();
  const end = startedAt + runMs;
  let reads = 0;
  let strides = 0;
  const work = async (from: number): Promise<void> => {
    for (let at = from; performance.now() < end; ) {
      for (let i = 0; i < stride; i++, at += parallel) {
        const value = read(keys[at % keys.length]!);
        if ((value instanceof Promise ? await value : value) === undefined)
          throw new Error('a read found nothing');
        reads += 1;
      }
      // Members must hear of each other meanwhile: reads that are answered at once let nobody else in.
      if (++strides % 64 === 0) await turn();
    }
  };
  await Promise.all(Array.from({ length: parallel }, (_, i) => work(i)));
  const elapsedMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpuBefore);
  const peerMs = cpuMs(peer) - peerBefore;
  return {
    perSecond: (reads / elapsedMs) * 1000,
    wallUs: (elapsedMs * 1000) / reads,
    cpuUs: (user + system + peerMs * 1000) / reads,
  };
}

async function main(directory: string): Promise<void> {
  const ports = {
    here: await freePort(),
    there: await freePort(),
    resp: await freePort(),
    http: await freePort(),
  };
  const members = [
    { id: 'here', peerPort: ports.here, respPort: 0, httpPort: 0 },
    { id: 'there', peerPort: ports.there, respPort: ports.resp, httpPort: ports.http },
  ];
  const common = { clusterName: 'bench-embed', members, replicas: 1, policy: 'PA/EL' };
  const file = join(directory, 'there.yaml');
  const own = { nodeId: 'there', dataDir: join(directory, 'there'), storage: { engine: 'memory' } };
  writeFileSync(file, JSON.stringify({ ...common, ...own, host: '127.0.0.1', log: { level: 'warn' } }));
  const peer = start(
    'there',
    process.execPath,
    [cli, 'start', '--config', file],
    join(directory, 'there.txt'),
  );
  const node = await createNode<Uint8Array>({ ...common, nodeId: 'here', memory: true, codec: bytesCodec });
  await until(
    [peer],
    async () => (await ask(ports.resp, 'PING')).includes('PONG') && (await node.linked(100)),
  );
  const client = await connect<Uint8Array>({ nodes: [`127.0.0.1:${ports.resp}`], codec: bytesCodec });
  try {
    const all = Array.from({ length: keyCount }, (_, i) => `user:${i}`);
    const value = new Uint8Array(Number(flags['value-bytes'])).fill(7);
    for (const key of all) await node.put(key, value);
    const ownKeys = all.filter((key) => node.holds(key));
    const othersKeys = all.filter((key) => !node.holds(key));
    const ways: readonly Way[] = [
      { name: 'peek', keys: ownKeys, read: (key) => node.peek(key)?.value },
      { name: 'get, own', keys: ownKeys, read: (key) => node.get(key) },
      { name: "get, other's", keys: othersKeys, read: (key) => node.get(key) },
      { name: 'client', keys: othersKeys, read: (key) => client.get(key) },
    ];
    for (const way of ways) await runWay(way, workers, peer);
    const single = new Map<string, Run[]>();
    const many = new Map<string, Run[]>();
    const before = node.figures();
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? ways : [...ways].reverse();
      for (const way of order) {
        single.set(way.name, [...(single.get(way.name) ?? []), await runWay(way, 1, peer)]);
        many.set(way.name, [...(many.get(way.name) ?? []), await runWay(way, workers, peer)]);
      }
    }
    report(ways, single, many);
    const { localReads, requests } = node.metrics();
    const sent = node.figures().messagesSent - before.messagesSent;
    const asked = requests - keyCount;
    console.log(
      `\n${localReads.toLocaleString('en')} reads of own replicas; ${asked.toLocaleString('en')} of the other's, ` +
        `${sent.toLocaleString('en')} messages sent, heartbeats included.`,
    );
    if (flags.json !== undefined) {
      writeFileSync(flags.json, JSON.stringify({ single: [...single], many: [...many] }, undefined, 2));
    }
  } finally {
    await client.close();
    await node.close();
  }
}

function report(
  ways: readonly Way[],
  single: ReadonlyMap<string, readonly Run[]>,
  many: ReadonlyMap<string, readonly Run[]>,
): void {
  const load = loadavg()[0]!.toFixed(1);
  console.log(
    `Node.js ${process.versions.node}, ${availableParallelism()} cores, load average ${load}; ` +
      `${rounds} rounds of ${runMs} ms, values of ${flags['value-bytes']} bytes\n`,
  );
  console.log('way            one at a time: µs   cpu µs/op   |   64 at a time: ops/s   cpu µs/op');
  for (const { name } of ways) {
    const of = (runs: ReadonlyMap<string, readonly Run[]>, pick: (run: Run) => number): number =>
      median(runs.get(name)!.map(pick));
    console.log(
      `${name.padEnd(14)} ${of(single, (run) => run.wallUs)
        .toFixed(2)
        .padStart(17)} ${of(single, (run) => run.cpuUs)
        .toFixed(2)
        .padStart(11)}   | ${Math.round(of(many, (run) => run.perSecond))
        .toLocaleString('en')
        .padStart(21)} ${of(many, (run) => run.cpuUs)
        .toFixed(2)
        .padStart(11)}`,
    );
  }
}

const directory = mkdtempSync(join(tmpdir(), 'dure-bench-embed-'));
try {
  await main(directory);
} finally {
  await endAll();
  rmSync(directory, { recursive: true, force: true });
}
