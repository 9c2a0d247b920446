/**
 * What routing saves: the same client against the same cluster, once sending each request to a replica of its
 * key and once to a node chosen at random, which has to pass on what it does not hold.
 *
 * `node bench/client/main.ts [--nodes 5] [--replicas 3] [--policies PA/EL,PA/EC] [--rounds 3] [--seconds 4]
 *   [--workers 128] [--kinds get,put] [--routings replicas,any] [--value-bytes 128] [--profile] [--json FILE]`
 *
 * The picture: a race of two on one track. They run in turn, round by round, in changing order, so that whatever
 * else the machine does falls on both; the figure is the median of the rounds. Where nodes and client share
 * the cores, throughput is one over the processor time of a request, so that time is counted too, for nodes
 * and client apart: it tells where the hop costs, and how much of the difference the client hides.
 */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bytesCodec, type Client, connect } from '../../client/index.ts';
import {
  ask,
  cpuTime,
  endAll,
  endStarted,
  freePort,
  type Started,
  start,
  until,
} from '../cluster/processes.ts';
import { describe, describeParts, summarise } from '../cluster/profile.ts';

const cli = fileURLToPath(new URL('../../src/main/cli.ts', import.meta.url));
const keyCount = 10_000;
const warmUpMs = 1500;

const { values: flags } = parseArgs({
  options: {
    nodes: { type: 'string', default: '5' },
    replicas: { type: 'string', default: '3' },
    policies: { type: 'string', default: 'PA/EL,PA/EC' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    workers: { type: 'string', default: '128' },
    kinds: { type: 'string', default: 'get,put' },
    routings: { type: 'string', default: 'replicas,any' },
    'value-bytes': { type: 'string', default: '128' },
    profile: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

type Routing = 'replicas' | 'any';
type Kind = 'get' | 'put';

/** One of them alone is for profiles. */
const routings = flags.routings.split(',') as Routing[];

interface Cluster {
  readonly ports: readonly number[];
  readonly processes: readonly Started[];
}

/** One run: what was done, and what it took. */
interface Run {
  readonly operations: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Processor time an operation, microseconds. */
  readonly nodesUs: number;
  readonly clientUs: number;
  /** Share of the requests that went to a node that does not hold the key. */
  readonly hops: number;
}

async function startCluster(directory: string, policy: string): Promise<Cluster> {
  const members: { id: string; host: string; respPort: number; peerPort: number; httpPort: number }[] = [];
  for (let index = 1; index <= Number(flags.nodes); index++) {
    const [respPort, peerPort, httpPort] = [await freePort(), await freePort(), await freePort()];
    members.push({ id: `n${index}`, host: '127.0.0.1', respPort, peerPort, httpPort });
  }
  const processes = members.map((self) => {
    const own = join(directory, self.id);
    mkdirSync(own, { recursive: true });
    const file = join(own, 'node.yaml');
    const storage = { engine: 'classic-level', durability: 'interval' };
    const log = { level: 'warn', format: 'json' };
    const replicas = Number(flags.replicas);
    const dataDir = join(own, 'data');
    const config = {
      nodeId: self.id,
      clusterName: 'bench',
      dataDir,
      members,
      replicas,
      policy,
      storage,
      log,
    };
    writeFileSync(file, JSON.stringify(config));
    const profile = flags.profile ? ['--cpu-prof', `--cpu-prof-dir=${own}`, '--cpu-prof-interval=500'] : [];
    const args = [...profile, cli, 'start', '--config', file];
    return start(self.id, process.execPath, args, join(own, 'output.txt'));
  });
  const ports = members.map(({ respPort }) => respPort);
  await until(processes, async () => {
    for (const port of ports) {
      for (let i = 0; i < 20; i++) {
        if (!(await ask(port, 'SET', `ready:${i}`, '1')).startsWith('+OK')) return false;
      }
    }
    return true;
  });
  return { ports, processes };
}

/** Keys are visited in an order of their own by each worker; no worker waits for another. */
async function work(
  client: Client<Uint8Array>,
  kind: Kind,
  untilMs: number,
  value: Uint8Array,
): Promise<number> {
  let operations = 0;
  const worker = async (first: number): Promise<void> => {
    for (let i = first; performance.now() < untilMs; i = (i + 7919) % keyCount) {
      if (kind === 'get') {
        const got = await client.get(`bench:${i}`);
        // What is measured is an answer with the value, not any answer.
        if (got?.length !== value.length) throw new Error(`bench:${i} has ${got?.length} bytes`);
      }
      if (kind === 'put') await client.put(`bench:${i}`, value);
      operations += 1;
    }
  };
  const workers = Number(flags.workers);
  await Promise.all(Array.from({ length: workers }, (_, w) => worker(Math.floor((w * keyCount) / workers))));
  return operations;
}

async function measure(cluster: Cluster, routing: Routing, kind: Kind, value: Uint8Array): Promise<Run> {
  const nodes = cluster.ports.map((port) => `127.0.0.1:${port}`);
  const client = await connect({ nodes, routing, codec: bytesCodec });
  try {
    const deadline = performance.now() + 5000;
    while (client.metrics().connectionsMade < nodes.length && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await work(client, kind, performance.now() + warmUpMs / 3, value);
    const before = client.metrics();
    const nodesBefore = cpuTime(cluster.processes)!;
    const clientBefore = process.cpuUsage();
    const startedAt = performance.now();
    const operations = await work(client, kind, startedAt + Number(flags.seconds) * 1000, value);
    const seconds = (performance.now() - startedAt) / 1000;
    const clientTime = process.cpuUsage(clientBefore);
    const nodesAfter = cpuTime(cluster.processes)!;
    const metrics = client.metrics();
    if (metrics.failures > 0) throw new Error(`${metrics.failures} calls failed`);
    const taken = metrics.hopsTaken - before.hopsTaken;
    const saved = metrics.hopsSaved - before.hopsSaved;
    const nodesMs = nodesAfter.userMs + nodesAfter.systemMs - nodesBefore.userMs - nodesBefore.systemMs;
    return {
      operations,
      perSecond: operations / seconds,
      p50Ms: metrics.latency.p50Ms,
      p99Ms: metrics.latency.p99Ms,
      nodesUs: (nodesMs * 1000) / operations,
      clientUs: (clientTime.user + clientTime.system) / operations,
      hops: taken / (taken + saved),
    };
  } finally {
    await client.close();
  }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

function medianRun(runs: readonly Run[]): Run {
  const of = (key: keyof Run): number => median(runs.map((run) => run[key]));
  return {
    operations: of('operations'),
    perSecond: of('perSecond'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    nodesUs: of('nodesUs'),
    clientUs: of('clientUs'),
    hops: of('hops'),
  };
}

function line(label: string, run: Run): string {
  const cells = [
    Math.round(run.perSecond).toLocaleString('en').padStart(9),
    run.p50Ms.toFixed(2).padStart(8),
    run.p99Ms.toFixed(2).padStart(8),
    run.nodesUs.toFixed(1).padStart(9),
    run.clientUs.toFixed(1).padStart(9),
    `${(run.hops * 100).toFixed(0)} %`.padStart(7),
  ];
  return `  ${label.padEnd(24)}${cells.join('')}`;
}

async function race(policy: string, directory: string): Promise<Record<string, unknown>[]> {
  const cluster = await startCluster(directory, policy);
  const value = new Uint8Array(Number(flags['value-bytes'])).fill(0x61);
  const results: Record<string, unknown>[] = [];
  const nodes = cluster.ports.map((port) => `127.0.0.1:${port}`);
  const filler = await connect({ nodes, codec: bytesCodec });
  for (let from = 0; from < keyCount; from += 500) {
    await Promise.all(Array.from({ length: 500 }, (_, i) => filler.put(`bench:${from + i}`, value)));
  }
  await filler.close();
  const kinds = flags.kinds.split(',') as Kind[];
  await measure(cluster, routings.at(-1)!, kinds[0]!, value);
  for (const kind of kinds) {
    const runs: Record<Routing, Run[]> = { replicas: [], any: [] };
    for (let round = 0; round < Number(flags.rounds); round++) {
      for (const routing of round % 2 === 0 ? routings : routings.toReversed())
        runs[routing].push(await measure(cluster, routing, kind, value));
    }
    if (routings.length < 2) {
      console.log(line(`${policy} ${kind}, ${routings[0]}`, medianRun(runs[routings[0]!])));
      continue;
    }
    const [routed, random] = [medianRun(runs.replicas), medianRun(runs.any)];
    const ratio = median(runs.replicas.map((run, i) => run.perSecond / runs.any[i]!.perSecond));
    console.log(line(`${policy} ${kind}, to a replica`, routed));
    console.log(line(`${policy} ${kind}, to any node`, random));
    console.log(
      `  ratio ${ratio.toFixed(2)}; of node time alone ${(random.nodesUs / routed.nodesUs).toFixed(2)}`,
    );
    results.push({ policy, kind, ratio, routed, random, runs });
  }
  return results;
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'dure-bench-client-'));
  const { nodes, replicas, workers, rounds, seconds } = flags;
  console.log(
    `${nodes} nodes, N=${replicas}, ${workers} requests under way, values of ${flags['value-bytes']} bytes, ` +
      `${rounds} rounds of ${seconds} s, ${availableParallelism()} cores for all; medians`,
  );
  console.log('                             per s  p50 ms  p99 ms nodes µs client µs   hops');
  const results: Record<string, unknown>[] = [];
  try {
    for (const policy of flags.policies.split(',')) {
      const own = join(directory, policy.replace(/\W/g, '-'));
      results.push(...(await race(policy, own)));
      await endAllOf(own);
    }
  } finally {
    await endAll();
    rmSync(directory, { recursive: true, force: true });
  }
  if (flags.json !== undefined) writeFileSync(flags.json, JSON.stringify({ flags, results }, null, 2));
}

/** Ends the nodes of a policy, and tells where their time went if that was recorded. */
async function endAllOf(directory: string): Promise<void> {
  await endStarted();
  if (!flags.profile) return;
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => join(directory, name));
  const summary = summarise(files);
  console.log([...describeParts('nodes', summary, 12), ...describe('nodes', summary, 20)].join('\n'));
}

await main();
