/**
 * `dure dev`: a whole cluster on this machine, one process a node, for trying things out.
 *
 * The picture: a foreman. Everything that can go wrong is looked at first (settings, ports, the data of
 * an earlier run), so that either the whole cluster starts or nothing does. Then the foreman starts the
 * nodes, says where they are, passes their logs on, tells when one is gone and how to bring it back, and
 * ends them when told to stop.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { relative, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loadConfig, type NodeConfig, problemLines } from './config.ts';
import type { MemberConfig } from './config-schema.ts';
import { SETTINGS } from './config-schema.ts';
import { gather, type Problem } from './config-sources.ts';
import { type ClusterNode, readClusterFile, writeClusterFile, writeNodeFile } from './dev-files.ts';
import { LockedError, lockDirectory } from './directory-lock.ts';
import { EXIT } from './exit-codes.ts';
import { VERSION } from './version.ts';

export interface DevOptions {
  readonly nodes: number;
  /** RESP port of the first node; the others count up from it, peer ports from +1000, HTTP from +2000. */
  readonly port: number;
  readonly dataDir: string;
  /** Settings for every node, by flag. */
  readonly flags: ReadonlyMap<string, string>;
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

const nodesMax = 100;
const killAfterMs = 10_000;
/** The nodes of a run that was killed may still be ending. */
const portPatienceMs = 3000;
const portPollMs = 100;
/** Beside this file: a source here, JavaScript in the package. */
const script = fileURLToPath(import.meta.url).replace(/dev(\.[jt]s)$/, 'cli$1');

/** Runs the cluster until it is told to stop. @returns the exit code. */
export async function runDev(options: DevOptions): Promise<number> {
  const dataDir = resolve(options.dataDir);
  const members = membersOf(options);
  const { config, problems } = checked(options, members);
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
    const obstacle = earlierRun(dataDir, options.nodes) ?? (await portsTaken(members));
    if (obstacle !== undefined) return failed(obstacle);
    const settings = settingsOf(options);
    const files = members.map((member) => writeNodeFile(dataDir, member.id, members, settings));
    return await new Foreman(dataDir, members, files, config).run();
  } finally {
    release();
  }
}

function failed(message: string): number {
  process.stderr.write(`dure: ${message}\n`);
  return EXIT.failed;
}

function membersOf({ nodes, port }: DevOptions): MemberConfig[] {
  return Array.from({ length: Math.min(nodes, nodesMax) }, (_, i) => ({
    id: `n${i + 1}`,
    host: '127.0.0.1',
    respPort: port + i,
    peerPort: port + 1000 + i,
    httpPort: port + 2000 + i,
    zone: 'default',
    weight: 1,
  }));
}

/** The configuration the first node will have, or all problems with it. */
function checked(
  options: DevOptions,
  members: readonly MemberConfig[],
): { config: NodeConfig | undefined; problems: readonly Problem[] } {
  const problems: Problem[] = [...options.problems];
  const { nodes, port } = options;
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > nodesMax) {
    problems.push({ where: '--nodes', message: `expected a whole number from 1 to ${nodesMax}` });
  }
  if (!Number.isInteger(port) || port < 1 || port + nodesMax + 2000 > 65535) {
    problems.push({
      where: '--port',
      message: `expected a port from 1 to ${65535 - 2000 - nodesMax}, with room for +1000 and +2000`,
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
  return environment;
}

function earlierRun(dataDir: string, nodes: number): string | undefined {
  const earlier = readClusterFile(dataDir)?.nodes.length;
  if (earlier === undefined || earlier === nodes) return undefined;
  return (
    `${dataDir} holds a cluster of ${earlier} nodes, and --nodes is ${nodes}. ` +
    `A cluster cannot be made larger or smaller yet: use --nodes ${earlier}, or another --data-dir.`
  );
}

/** Tells every port that is taken, before anything is started. */
async function portsTaken(members: readonly MemberConfig[]): Promise<string | undefined> {
  const wanted = members.flatMap(({ respPort, peerPort, httpPort }) => [respPort, peerPort, httpPort]);
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

interface Crew {
  readonly node: Omit<ClusterNode, 'pid'>;
  readonly child: ChildProcess;
  /** Ready, or gone before it was. */
  readonly settled: Promise<void>;
  ready: boolean;
  gone: boolean;
}

class Foreman {
  readonly #dataDir: string;
  readonly #config: NodeConfig;
  readonly #crew: Crew[];
  readonly #terminal: boolean = process.stdout.isTTY === true;
  /** Whether lines are for people: then each says which node it is from. */
  readonly #pretty: boolean;
  #stopping = false;

  constructor(
    dataDir: string,
    members: readonly MemberConfig[],
    files: readonly string[],
    config: NodeConfig,
  ) {
    this.#dataDir = dataDir;
    this.#config = config;
    const { format } = config.log;
    this.#pretty = format === 'pretty' || (format === 'auto' && this.#terminal);
    this.#crew = members.map((member, i) => this.#start(member, files[i]!));
  }

  async run(): Promise<number> {
    const stopped = new Promise<void>((done) => {
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => done());
    });
    const allGone = Promise.all(this.#crew.map(({ child }) => exited(child)));
    this.#writeFile();
    await Promise.race([Promise.all(this.#crew.map(({ settled }) => settled)), stopped]);
    if (this.#crew.some(({ ready }) => ready)) process.stdout.write(this.#welcome());
    await Promise.race([stopped, allGone]);
    this.#stopping = true;
    const alive = this.#crew.filter(({ gone }) => !gone);
    if (alive.length === 0) return failed('every node has ended.');
    process.stdout.write(`Stopping ${alive.length === 1 ? '1 node' : `${alive.length} nodes`} ...\n`);
    for (const { child } of alive) child.kill('SIGTERM');
    const timer = setTimeout(() => {
      for (const { node, child, gone } of this.#crew) {
        if (gone) continue;
        process.stderr.write(`dure: ${node.id} did not stop within ${killAfterMs / 1000} s and is killed\n`);
        child.kill('SIGKILL');
      }
    }, killAfterMs);
    await allGone;
    clearTimeout(timer);
    process.stdout.write(`Stopped. The data stays in ${this.#dataDir}.\n`);
    return 0;
  }

  #start(member: MemberConfig, file: string): Crew {
    const args = [script, 'start', '--config', file];
    const environment = nodeEnvironment();
    if (this.#pretty) environment.DURE_LOG_FORMAT ??= 'pretty';
    if (this.#terminal) environment.FORCE_COLOR ??= '1';
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: environment,
    });
    this.#pass(member.id, child);
    const { id, respPort, peerPort, httpPort } = member;
    const crew: Crew = {
      node: { id, respPort, peerPort, httpPort, config: file, argv: [process.execPath, ...args] },
      child,
      ready: false,
      gone: false,
      settled: new Promise((done) => {
        child.once('message', () => {
          crew.ready = true;
          done();
        });
        child.once('exit', (code, signal) => {
          crew.gone = true;
          done();
          if (!this.#stopping) this.#reportLoss(crew, code, signal);
        });
      }),
    };
    return crew;
  }

  /** Passes on what a node writes, line by line, so that lines of two nodes never mix. */
  #pass(id: string, child: ChildProcess): void {
    const prefix = this.#pretty ? `${id} | ` : '';
    for (const [from, to] of [
      [child.stdout!, process.stdout],
      [child.stderr!, process.stderr],
    ] as const) {
      createInterface({ input: from }).on('line', (line) => to.write(`${prefix}${line}\n`));
    }
  }

  #reportLoss({ node, child, ready }: Crew, code: number | null, signal: string | null): void {
    const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
    const others = this.#crew.filter(({ gone }) => !gone).length;
    process.stderr.write(
      `dure: ${node.id} (process ${child.pid}) ${how}${ready ? '' : ' before it was ready'}. ` +
        `${others} of ${this.#crew.length} nodes go on. To start it again:\n  ${commandOf(node.argv)}\n`,
    );
  }

  #writeFile(): void {
    writeClusterFile(this.#dataDir, {
      nodes: this.#crew.map(({ node, child }) => {
        const { id, respPort, peerPort, httpPort, config, argv } = node;
        return { id, pid: child.pid ?? 0, respPort, peerPort, httpPort, config, argv };
      }),
    });
  }

  #welcome(): string {
    const { replicas, policy, storage, http } = this.#config;
    const count = this.#crew.length;
    const n = Math.min(replicas, count);
    const rows = this.#crew.map(({ node, child, ready }) => [
      node.id,
      `127.0.0.1:${node.respPort}`,
      `http://127.0.0.1:${node.httpPort}/health/ready`,
      `127.0.0.1:${node.peerPort}`,
      ready ? String(child.pid) : 'not running',
    ]);
    const table = tableOf([['node', 'Redis', 'HTTP', 'peers', 'process'], ...rows]);
    const first = this.#crew[0]!.node.respPort;
    const last = this.#crew.at(-1)!.node.respPort;
    const auth = this.#config.password === undefined ? '' : ' -a PASSWORD';
    // "dure status" looks in .dure by itself.
    const where = this.#dataDir === resolve('.dure') ? [] : ['--data-dir', shortened(this.#dataDir)];
    const bearer = auth === '' ? '' : "-H 'Authorization: Bearer PASSWORD' ";
    const durability =
      storage.engine === 'memory' ? 'memory only' : `${storage.engine}, fsync ${storage.durability}`;
    return [
      '',
      `Dure ${VERSION}: ${count === 1 ? '1 node' : `${count} nodes`}, N=${n} R=${policy.r} W=${policy.w}` +
        `${policy.strict ? ' strict' : ''}, ${durability}, data in ${shortened(this.#dataDir)}`,
      '',
      ...table.map((line) => `  ${line}`),
      '',
      `  Try:   redis-cli -p ${first}${auth} SET greeting hello`,
      `         redis-cli -p ${last}${auth} GET greeting`,
      ...(http.api
        ? [`         curl ${bearer}http://127.0.0.1:${this.#crew[0]!.node.httpPort}/v1/keys/greeting`]
        : []),
      `  Look:  ${commandOf(['npx', 'dure', 'status', ...where])}`,
      '  Stop:  Ctrl-C',
      '',
      '',
    ].join('\n');
  }
}

function exited(child: ChildProcess): Promise<void> {
  return new Promise((done) => {
    child.once('exit', () => done());
    child.once('error', () => done());
  });
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

/** A command line that can be pasted into a shell. */
function commandOf(argv: readonly string[]): string {
  return argv
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
