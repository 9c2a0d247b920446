/**
 * What routing saves: the same client against the same cluster, once sending each request to a replica of its
 * key and once to a node chosen at random, which has to pass on what it does not hold.
 *
 * `node bench/client/main.ts [--nodes 5] [--replicas 3] [--policies PA/EL,PA/EC] [--seconds 10]
 *   [--slice-ms 250] [--workers 128] [--kinds get,put] [--routings replicas,any] [--value-bytes 128] [--profile] [--json FILE]`
 *
 * The picture: a race of two on one track. They run in turn, in slices of a quarter of a second, in changing order, so
 * that whatever else the machine does falls on both; the figures are those of all slices together, and the ratio is
 * told with the middle half of the ratios of neighbouring slices. Where nodes and client share the cores, throughput is
 * one over the processor time of a request, so that time is counted too, for nodes and client apart: it tells where the
 * hop costs, and how much of the difference the client hides.
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
const warmUpMs = 500;

const { values: flags } = parseArgs({
  options: {
    nodes: { type: 'string', default: '5' },
    replicas: { type: 'string', default: '3' },
    policies: { type: 'string', default: 'PA/EL,PA/EC' },
    seconds: { type: 'string', default: '10' },
    'slice-ms': { type: 'string', default: '250' },
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

/** What one of the two did, in all its slices. */
class Lane {
  readonly client: Client<Uint8Array>;
  readonly rates: number[] = [];
  operations = 0;
  ms = 0;
  nodesMs = 0;
  clientMs = 0;
  hops = 0;
  requests = 0;

  constructor(client: Client<Uint8Array>) {
    this.client = client;
  }
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

async function open(cluster: Cluster, routing: Routing): Promise<Lane> {
  const nodes = cluster.ports.map((port) => `127.0.0.1:${port}`);
  const client = await connect({ nodes, routing, codec: bytesCodec });
  const deadline = performance.now() + 5000;
  while (client.metrics().connectionsMade < nodes.length && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return new Lane(client);
}

/** One slice. */
async function run(cluster: Cluster, lane: Lane, kind: Kind, value: Uint8Array): Promise<void> {
  const before = lane.client.metrics();
  const nodesBefore = cpuTime(cluster.processes)!;
  const clientBefore = process.cpuUsage();
  const startedAt = performance.now();
  const operations = await work(lane.client, kind, startedAt + Number(flags['slice-ms']), value);
  const ms = performance.now() - startedAt;
  const clientTime = process.cpuUsage(clientBefore);
  const nodesAfter = cpuTime(cluster.processes)!;
  const metrics = lane.client.metrics();
  if (metrics.failures > 0) throw new Error(`${metrics.failures} calls failed`);
  lane.operations += operations;
  lane.ms += ms;
  lane.rates.push(operations / ms);
  lane.nodesMs += nodesAfter.userMs + nodesAfter.systemMs - nodesBefore.userMs - nodesBefore.systemMs;
  lane.clientMs += (clientTime.user + clientTime.system) / 1000;
  lane.hops += metrics.hopsTaken - before.hopsTaken;
  lane.requests += metrics.hopsTaken + metrics.hopsSaved - before.hopsTaken - before.hopsSaved;
}

interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Processor time an operation, microseconds. */
  readonly nodesUs: number;
  readonly clientUs: number;
  /** Share of the requests that went to a node that does not hold the key. */
  readonly hops: number;
}

function figuresOf({ client, operations, ms, nodesMs, clientMs, hops, requests }: Lane): Figures {
  const { p50Ms, p99Ms } = client.metrics().latency;
  return {
    perSecond: (operations / ms) * 1000,
    p50Ms,
    p99Ms,
    nodesUs: (nodesMs / operations) * 1000,
    clientUs: (clientMs / operations) * 1000,
    hops: hops / requests,
  };
}

function line(label: string, run: Figures): string {
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
  for (const kind of flags.kinds.split(',') as Kind[])
    results.push(await raceOf(cluster, policy, kind, value));
  return results;
}

async function raceOf(
  cluster: Cluster,
  policy: string,
  kind: Kind,
  value: Uint8Array,
): Promise<Record<string, unknown>> {
  const lanes = await Promise.all(routings.map((routing) => open(cluster, routing)));
  try {
    const slices = Math.ceil((Number(flags.seconds) * 1000) / Number(flags['slice-ms']));
    for (const lane of lanes) await work(lane.client, kind, performance.now() + warmUpMs, value);
    for (let slice = 0; slice < slices; slice++) {
      for (const lane of slice % 2 === 0 ? lanes : lanes.toReversed()) await run(cluster, lane, kind, value);
    }
    const figures = lanes.map(figuresOf);
    for (const [i, routing] of routings.entries()) {
      const words = routing === 'any' ? 'to any node' : 'to a replica';
      console.log(line(`${policy} ${kind}, ${words}`, figures[i]!));
    }
    const [routed, random] = figures;
    if (routed === undefined || random === undefined) return { policy, kind, figures };
    const ratio = routed.perSecond / random.perSecond;
    const ratios = lanes[0]!.rates.map((rate, i) => rate / lanes[1]!.rates[i]!).sort((a, b) => a - b);
    const at = (share: number): string => ratios[Math.floor(share * ratios.length)]!.toFixed(2);
    console.log(
      `  ratio ${ratio.toFixed(2)}; by slice ${at(0.5)} (${at(0.25)} to ${at(0.75)}); ` +
        `of node time alone ${(random.nodesUs / routed.nodesUs).toFixed(2)}`,
    );
    return { policy, kind, ratio, routed, random, ratios };
  } finally {
    await Promise.all(lanes.map(({ client }) => client.close()));
  }
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'dure-bench-client-'));
  const { nodes, replicas, workers, seconds, 'slice-ms': sliceMs } = flags;
  console.log(
    `${nodes} nodes, N=${replicas}, ${workers} requests under way, values of ${flags['value-bytes']} bytes, ` +
      `${seconds} s each in slices of ${sliceMs} ms, ${availableParallelism()} cores for all`,
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
