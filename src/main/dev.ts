/**
 * `dure dev`: a whole cluster on this machine, one process a node, for trying things out.
 *
 * Everything that can go wrong is looked at first (settings, ports, the data of an earlier run), so that either the
 * whole cluster starts or nothing does. Then the crew (`dev-crew.ts`) is started, the terminal says where its nodes
 * are, and they are ended when told to stop. A cluster that had fewer nodes, or more, is brought to the number that is
 * asked for while it runs (`dev-change.ts`).
 */

import { createServer } from 'node:net';
import { relative, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type LocalAutoscale, scaleCrew } from './autoscale/local.ts';
import { AUTOSCALE_SETTINGS } from './autoscale/settings.ts';
import { loadConfig, type NodeConfig, problemLines } from './config.ts';
import type { MemberConfig } from './config-schema.ts';
import { SETTINGS } from './config-schema.ts';
import { gather, type Problem } from './config-sources.ts';
import { Resize } from './dev-change.ts';
import { Crew, commandOf } from './dev-crew.ts';
import { type ClusterFile, readClusterFile } from './dev-files.ts';
import { earlierSeats, hasChanged, portOf, SEATS_MAX, type Seat, seatOf } from './dev-seats.ts';
import { LockedError, lockDirectory } from './directory-lock.ts';
import { EXIT } from './exit-codes.ts';
import { VERSION } from './version.ts';

export interface DevOptions {
  /** Left out: as many as there were, or three. */
  readonly nodes: number | undefined;
  /**
   * RESP port of the first node; the others count up from it, peer ports from +1000, HTTP from +2000. Left out: as it
   * was, or 6371.
   */
  readonly port: number | undefined;
  readonly dataDir: string;
  /** Settings for every node, by flag. */
  readonly flags: ReadonlyMap<string, string>;
  /** Lets the number of nodes follow the load; left out, it stays. */
  readonly autoscale: LocalAutoscale | undefined;
  /** Found on the command line already. */
  readonly problems: readonly Problem[];
}

/** Settings that `dure dev` makes itself, for each node. */
export const DEV_OWN_SETTINGS: ReadonlySet<string> = new Set([
  'nodeId',
  'dataDir',
  'host',
  'bind',
  'ports.resp',
  'ports.peer',
  'ports.http',
  'members',
  'zone',
  'weight',
  'join',
]);

export const DEV_NODES_DEFAULT = 3;
export const DEV_PORT_DEFAULT = 6371;

/** The nodes of a run that was killed may still be ending. */
const portPatienceMs = 3000;
const portPollMs = 100;

/** What is to be started, and how many nodes there are to be in the end. */
interface DevPlan {
  readonly seats: readonly Seat[];
  readonly nodes: number;
  readonly port: number;
}

/** Runs the cluster until it is told to stop. @returns the exit code. */
export async function runDev(options: DevOptions): Promise<number> {
  const dataDir = resolve(options.dataDir);
  let earlier: ClusterFile | undefined;
  try {
    earlier = readClusterFile(dataDir);
  } catch (error) {
    return failed((error as Error).message);
  }
  const plan = planOf(options, earlier);
  const { config, problems } = checked(options, plan);
  if (config === undefined || problems.length > 0) {
    process.stderr.write(`dure: ${problemLines(problems)}\n`);
    return EXIT.config;
  }
  let release: () => void;
  try {
    release = lockDirectory(dataDir);
  } catch (error) {
    const why =
      error instanceof LockedError ? 'A cluster runs there already: stop it first, or choose' : 'Choose';
    return failed(`${(error as Error).message}. ${why} another --data-dir (and --port).`);
  }
  try {
    const obstacle = movedWords(dataDir, plan, earlier) ?? (await portsTaken(plan));
    if (obstacle !== undefined) return failed(obstacle);
    return await runCluster({
      dataDir,
      plan,
      config,
      settings: settingsOf(options),
      autoscale: options.autoscale,
    });
  } finally {
    release();
  }
}

function failed(message: string): number {
  process.stderr.write(`dure: ${message}\n`);
  return EXIT.failed;
}

function planOf({ nodes, port }: DevOptions, earlier: ClusterFile | undefined): DevPlan {
  const before = earlier === undefined ? undefined : portOf(earlier);
  const used = port ?? before ?? DEV_PORT_DEFAULT;
  if (earlier !== undefined && earlier.nodes.length > 0) {
    return { seats: earlierSeats(earlier, used), nodes: nodes ?? earlier.nodes.length, port: used };
  }
  const count = nodes ?? DEV_NODES_DEFAULT;
  const founders = Number.isInteger(count) ? Math.max(1, Math.min(count, SEATS_MAX)) : 1;
  const seats = Array.from({ length: founders }, (_, i) => seatOf(i + 1, used, false));
  return { seats, nodes: count, port: used };
}

/** Members keep their addresses once the cluster is not as it was founded. */
function movedWords(
  dataDir: string,
  { port }: DevPlan,
  earlier: ClusterFile | undefined,
): string | undefined {
  const before = earlier === undefined ? undefined : portOf(earlier);
  if (before === undefined || before === port || !hasChanged(dataDir, earlier!)) return undefined;
  return (
    `${dataDir} holds a cluster whose first node is at port ${before}, and --port is ${port}. Nodes have joined or ` +
    `left it since it was founded, and know each other by their ports: leave --port away, or use another --data-dir.`
  );
}

/** The configuration the first node will have, or all problems with it. */
function checked(
  options: DevOptions,
  { seats, nodes, port }: DevPlan,
): { config: NodeConfig | undefined; problems: readonly Problem[] } {
  const problems: Problem[] = [...options.problems];
  const members: readonly MemberConfig[] = seats.map(({ member }) => member);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > SEATS_MAX) {
    problems.push({ where: '--nodes', message: `expected a whole number from 1 to ${SEATS_MAX}` });
  }
  if (!Number.isInteger(port) || port < 1 || port + SEATS_MAX + 2000 > 65535) {
    problems.push({
      where: '--port',
      message: `expected a port from 1 to ${65535 - 2000 - SEATS_MAX}, with room for +1000 and +2000`,
    });
  }
  const own = new Map([
    ['node-id', members[0]?.id ?? 'n1'],
    ['members', JSON.stringify(problems.length === 0 ? members : [])],
  ]);
  const loaded = loadConfig({ flags: new Map([...options.flags, ...own]), environment: nodeEnvironment() });
  return { config: loaded.config, problems: [...problems, ...loaded.problems] };
}

/** What flags and variables set, as a tree for the YAML file: a node is the same when started alone later. */
function settingsOf(options: DevOptions): Readonly<Record<string, unknown>> {
  return gather({ flags: options.flags, environment: nodeEnvironment() }).tree;
}

/** The environment without what would make all nodes the same one. */
function nodeEnvironment(): NodeJS.ProcessEnv {
  const environment = { ...process.env };
  for (const info of SETTINGS) if (DEV_OWN_SETTINGS.has(info.path)) delete environment[info.variable];
  delete environment.DURE_CONFIG;
  for (const { variable } of AUTOSCALE_SETTINGS) delete environment[variable];
  return environment;
}

/** Tells every port that is taken, before anything is started. */
async function portsTaken({ seats }: DevPlan): Promise<string | undefined> {
  const wanted = seats.flatMap(({ member: { respPort, peerPort, httpPort } }) => [
    respPort,
    peerPort,
    httpPort,
  ]);
  const deadline = performance.now() + portPatienceMs;
  let taken: number[];
  for (;;) {
    taken = (await Promise.all(wanted.map(async (port) => ((await isFree(port)) ? [] : [port])))).flat();
    if (taken.length === 0 || performance.now() > deadline) break;
    await delay(portPollMs);
  }
  if (taken.length === 0) return undefined;
  const list = taken.sort((a, b) => a - b).join(', ');
  return `in use by other programs: ${taken.length === 1 ? 'port' : 'ports'} ${list}. Choose another --port, or end them.`;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => done(true)));
  });
}

interface Cluster {
  readonly dataDir: string;
  readonly plan: DevPlan;
  /** Of the first node. */
  readonly config: NodeConfig;
  /** Of every node. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly autoscale: LocalAutoscale | undefined;
}

async function runCluster(cluster: Cluster): Promise<number> {
  const { dataDir, plan, config, settings, autoscale } = cluster;
  const { format } = config.log;
  const isPretty = format === 'pretty' || (format === 'auto' && process.stdout.isTTY === true);
  const stopped = new Promise<void>((done) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => done());
  });
  const crew = new Crew({ dataDir, port: plan.port, settings, environment: nodeEnvironment(), isPretty });
  crew.start(plan.seats);
  await Promise.race([Promise.all(crew.hands.map(({ settled }) => settled)), stopped]);
  if (crew.hands.some(({ isReady }) => isReady)) process.stdout.write(welcome(cluster, crew));
  const resize = new Resize({ crew, password: config.password, out: process.stdout });
  const resized = resize.to(plan.nodes).catch((error: unknown) => {
    if (!crew.isStopping) process.stderr.write(`dure: ${(error as Error).message}\n`);
    return false;
  });
  const ending = new AbortController();
  const scaled = resized.then(async () => {
    if (autoscale === undefined || crew.isStopping) return;
    await scaleCrew(crew, autoscale, config.password, !isPretty, process.stdout, ending.signal);
  });
  await Promise.race([stopped, crew.emptied]);
  ending.abort();
  const alive = crew.hands.filter(({ isGone }) => !isGone).length;
  if (alive === 0) return failed('every node has ended.');
  process.stdout.write(`Stopping ${alive === 1 ? '1 node' : `${alive} nodes`} ...\n`);
  await crew.stop();
  await scaled;
  process.stdout.write(`Stopped. The data stays in ${dataDir}.\n`);
  return 0;
}

/** Where the nodes are, and what to try. */
function welcome({ dataDir, plan, config }: Cluster, crew: Crew): string {
  const { replicas, policy, storage, http, password } = config;
  const { hands } = crew;
  const count = hands.length;
  const n = Math.min(replicas, count);
  const rows = hands.map(({ node, pid, isReady }) => [
    node.id,
    `127.0.0.1:${node.respPort}`,
    `http://127.0.0.1:${node.httpPort}/health/ready`,
    `127.0.0.1:${node.peerPort}`,
    isReady ? String(pid) : 'not running',
  ]);
  const table = tableOf([['node', 'Redis', 'HTTP', 'peers', 'process'], ...rows]);
  const first = hands[0]!.node.respPort;
  const last = hands.at(-1)!.node.respPort;
  const auth = password === undefined ? '' : ' -a PASSWORD';
  // "dure status" looks in .dure by itself.
  const where = dataDir === resolve('.dure') ? [] : ['--data-dir', shortened(dataDir)];
  const bearer = auth === '' ? '' : "-H 'Authorization: Bearer PASSWORD' ";
  const durability =
    storage.engine === 'memory' ? 'memory only' : `${storage.engine}, fsync ${storage.durability}`;
  return [
    '',
    `Dure ${VERSION}: ${count === 1 ? '1 node' : `${count} nodes`}, N=${n} R=${policy.r} W=${policy.w}` +
      `${policy.strict ? ' strict' : ''}, ${durability}, data in ${shortened(dataDir)}`,
    '',
    ...table.map((line) => `  ${line}`),
    '',
    `  Try:   redis-cli -p ${first}${auth} SET greeting hello`,
    `         redis-cli -p ${last}${auth} GET greeting`,
    ...(http.api
      ? [`         curl ${bearer}http://127.0.0.1:${hands[0]!.node.httpPort}/v1/keys/greeting`]
      : []),
    `  Look:  ${commandOf(['npx', 'dure', 'status', ...where])}`,
    ...(plan.nodes === count
      ? []
      : [`  Next:  it ${plan.nodes > count ? 'grows' : 'shrinks'} to ${plan.nodes}, while it is used`]),
    '  Stop:  Ctrl-C',
    '',
    '',
  ].join('\n');
}

function tableOf(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]! + 3))
      .join('')
      .trimEnd(),
  );
}

function shortened(path: string): string {
  const near = relative(process.cwd(), path);
  return near !== '' && !near.startsWith('..') ? near : path;
}
