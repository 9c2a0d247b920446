/**
 * The cluster under attack: real processes, each with a configuration of its own in which the other
 * nodes' peer ports are those of links (`link.ts`) that can be cut.
 *
 * ```
 *   n1 ──dials──► link n1→n2 ──► n2's peer port        one link a direction: six for three nodes
 * ```
 *
 * Every process is on a channel to this one and ends itself when the channel closes, so that nothing
 * stays behind whatever happens here; what is frozen is thawed before.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePortBase } from '../support/ports.ts';
import { getJson } from './http.ts';
import { Link } from './link.ts';
import { nodeName } from './plan.ts';

const cli = fileURLToPath(new URL('../../src/main/cli.ts', import.meta.url));
const startMaxMs = 60_000;

export interface ClusterOptions {
  readonly nodes: number;
  /** Nodes beside them that may ask to be taken in later (`join`); none if left out. */
  readonly spares?: number;
  /** Where data and logs go. */
  readonly directory: string;
  /** Nodes that get a small disk of their own (needs the right to mount, see `namespace.ts`). */
  readonly smallDisks: readonly number[];
  /** Whether nodes reach each other through links that can be cut. */
  readonly links: boolean;
  /** Policy of keys that begin with `strict:`; PC/EC, unless one wants to see the nemesis find something. */
  readonly strictPolicy: string;
  /** More of the configuration of every node, in place of what is said here. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Told of the cluster before its processes start, so that a signal can end them. */
  readonly onCreated?: (cluster: NemesisCluster) => void;
}

export class NemesisNode {
  readonly index: number;
  readonly name: string;
  readonly respPort: number;
  readonly peerPort: number;
  readonly httpPort: number;
  readonly directory: string;
  child: ChildProcess | undefined = undefined;
  frozen = false;
  /** It is to leave: its process ends by itself then. */
  isLeaving = false;

  constructor(index: number, portBase: number, directory: string) {
    this.index = index;
    this.name = nodeName(index);
    this.respPort = portBase + index;
    this.peerPort = portBase + 1000 + index;
    this.httpPort = portBase + 2000 + index;
    this.directory = join(directory, this.name);
  }

  get configFile(): string {
    return join(this.directory, 'node.yaml');
  }

  get logFile(): string {
    return join(this.directory, 'log.txt');
  }

  get dataDirectory(): string {
    return join(this.directory, 'disk');
  }
}

export class NemesisCluster {
  /** Those that are members or on their way. */
  readonly nodes: NemesisNode[];
  /** Those that may come later. */
  readonly spares: NemesisNode[];
  readonly #options: ClusterOptions;
  readonly #links: Map<string, Link> = new Map();
  /** Processes that ended by themselves, with their last words. */
  readonly crashes: string[] = [];
  readonly #mounted: string[] = [];
  #closed = false;

  private constructor(nodes: readonly NemesisNode[], options: ClusterOptions) {
    this.nodes = nodes.slice(0, options.nodes);
    this.spares = nodes.slice(options.nodes);
    this.#options = options;
  }

  /** Starts the nodes and waits until each serves and sees all others. */
  static async start(options: ClusterOptions): Promise<NemesisCluster> {
    const all = options.nodes + (options.spares ?? 0);
    const base = await freePortBase(all);
    const nodes = Array.from({ length: all }, (_, index) => new NemesisNode(index, base, options.directory));
    const cluster = new NemesisCluster(nodes, options);
    options.onCreated?.(cluster);
    try {
      for (const node of cluster.nodes) await cluster.#prepare(node, options);
      await Promise.all(cluster.nodes.map((node) => cluster.startNode(node)));
      await cluster.linked(startMaxMs);
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  async #prepare(node: NemesisNode, options: ClusterOptions): Promise<void> {
    mkdirSync(node.dataDirectory, { recursive: true });
    if (options.smallDisks.includes(node.index)) this.#mount(node.dataDirectory);
    const members = [];
    for (const { index, name, respPort, peerPort, httpPort } of this.nodes) {
      let port = peerPort;
      if (options.links && index !== node.index) {
        const link = await Link.open(peerPort);
        this.#links.set(`${node.index}>${index}`, link);
        port = link.port;
      }
      members.push({ id: name, host: '127.0.0.1', respPort, peerPort: port, httpPort });
    }
    const config = {
      nodeId: node.name,
      clusterName: 'nemesis',
      dataDir: join(node.dataDirectory, 'data'),
      members,
      policies: [{ prefix: 'strict:', policy: options.strictPolicy }],
      storage: { writeBufferBytes: '4MiB' },
      log: { level: 'info', format: 'json' },
      ...options.settings,
    };
    writeFileSync(node.configFile, JSON.stringify(config, undefined, 2));
  }

  /** Starts a spare, which asks the nodes that are there to take it in. Waits until its process serves. */
  async join(through: readonly NemesisNode[] = this.nodes): Promise<NemesisNode> {
    const node = this.spares.shift();
    if (node === undefined) throw new Error('there is no spare node left');
    mkdirSync(node.dataDirectory, { recursive: true });
    const { name, respPort, peerPort, httpPort } = node;
    const config = {
      nodeId: name,
      clusterName: 'nemesis',
      dataDir: join(node.dataDirectory, 'data'),
      host: '127.0.0.1',
      ports: { resp: respPort, peer: peerPort, http: httpPort },
      join: through.map((each) => `http://127.0.0.1:${each.httpPort}`),
      policies: [{ prefix: 'strict:', policy: this.#options.strictPolicy }],
      storage: { writeBufferBytes: '4MiB' },
      log: { level: 'info', format: 'json' },
      ...this.#options.settings,
    };
    writeFileSync(node.configFile, JSON.stringify(config, undefined, 2));
    this.nodes.push(node);
    await this.startNode(node);
    return node;
  }

  /** Waits until a node that leaves has ended. @returns its exit code */
  async left(node: NemesisNode, timeoutMs: number): Promise<number | null> {
    const deadline = performance.now() + timeoutMs;
    while (!hasEnded(node.child)) {
      if (performance.now() > deadline) throw new Error(`${node.name} does not end:\n${lastWords(node)}`);
      await delay(20);
    }
    this.nodes.splice(this.nodes.indexOf(node), 1);
    return node.child?.exitCode ?? null;
  }

  #mount(directory: string): void {
    mountSmallDisk(directory);
    this.#mounted.push(directory);
  }

  /** Starts a process and waits until it serves; one that fails to start is started again. */
  async startNode(node: NemesisNode): Promise<void> {
    const deadline = performance.now() + startMaxMs;
    this.#spawn(node);
    while (!(await isReady(node))) {
      if (this.#closed) return;
      if (performance.now() > deadline) throw new Error(`${node.name} does not start:\n${lastWords(node)}`);
      await delay(20);
      if (hasEnded(node.child)) this.#spawn(node);
    }
  }

  #spawn(node: NemesisNode): void {
    if (this.#closed) return;
    const log = openSync(node.logFile, 'a');
    const child = spawn(process.execPath, [cli, 'start', '--config', node.configFile], {
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    node.child = child;
    node.frozen = false;
    child.on('error', (error) => this.crashes.push(`${node.name}: ${error.message}`));
    child.on('exit', (code, signal) => {
      // Only this class ends processes, and it does so by SIGKILL.
      if (signal === 'SIGKILL' || this.#closed || (node.isLeaving && code === 0)) return;
      this.crashes.push(`${node.name} ended by itself (${signal ?? `code ${code}`}):\n${lastWords(node)}`);
    });
  }

  /** Asks a process to stop, and waits until it has. @returns its exit code */
  async stop(node: NemesisNode): Promise<number | null> {
    const { child } = node;
    if (child === undefined || hasEnded(child)) return null;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    node.isLeaving = true;
    child.kill('SIGTERM');
    await exited;
    node.isLeaving = false;
    return child.exitCode;
  }

  /** `kill -9`. Resolves when the process is gone. */
  async kill(node: NemesisNode): Promise<void> {
    const { child } = node;
    if (child === undefined || hasEnded(child)) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }

  freeze(node: NemesisNode): void {
    node.frozen = node.child?.kill('SIGSTOP') ?? false;
  }

  thaw(node: NemesisNode): void {
    if (node.frozen) node.child?.kill('SIGCONT');
    node.frozen = false;
  }

  link(from: number, to: number): Link {
    const link = this.#links.get(`${from}>${to}`);
    if (link === undefined) throw new Error(`there is no link from ${from} to ${to}`);
    return link;
  }

  /** Fills the small disk of a node to the last byte. */
  fillDisk(node: NemesisNode): void {
    const file = openSync(join(node.dataDirectory, 'ballast'), 'w');
    try {
      for (let bytes = 1 << 20; bytes >= 512; bytes >>= 1) {
        const chunk = new Uint8Array(bytes);
        // A small disk holds fewer than so many chunks.
        for (let i = 0; i < 1000; i++) writeSync(file, chunk);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
  }

  freeDisk(node: NemesisNode): void {
    rmSync(join(node.dataDirectory, 'ballast'), { force: true });
  }

  /** Waits until every node sees every other live. @returns how long that took, milliseconds */
  async linked(timeoutMs: number): Promise<number> {
    const from = performance.now();
    while (performance.now() - from < timeoutMs) {
      const views = await Promise.all(this.nodes.map((node) => liveSeenBy(node)));
      if (views.every((seen) => seen.size === this.nodes.length)) return performance.now() - from;
      await delay(20);
    }
    throw new Error(`the nodes do not see each other after ${timeoutMs} ms`);
  }

  /** Heals everything and starts what is not running. */
  async healAll(): Promise<void> {
    for (const link of this.#links.values()) link.heal();
    for (const node of this.nodes) {
      this.thaw(node);
      this.freeDisk(node);
    }
    await Promise.all(this.nodes.filter(({ child }) => hasEnded(child)).map((node) => this.startNode(node)));
  }

  /** Ends every process, by its id. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const node of this.nodes) await this.kill(node);
    for (const link of this.#links.values()) await link.close();
    for (const directory of this.#mounted) spawnSync('umount', [directory]);
  }

  /** The same at once, for a signal that ends this process. */
  endNow(): void {
    this.#closed = true;
    for (const { child } of this.nodes) child?.kill('SIGKILL');
  }
}

function hasEnded(child: ChildProcess | undefined): boolean {
  return child === undefined || child.exitCode !== null || child.signalCode !== null;
}

async function isReady(node: NemesisNode): Promise<boolean> {
  const answer = await getJson(node.httpPort, '/health/ready', 500);
  return answer?.status === 200;
}

/** Names of the members a node sees live, itself included; empty when it does not answer. */
export async function liveSeenBy(node: NemesisNode): Promise<Set<string>> {
  const answer = await getJson(node.httpPort, '/members', 500);
  const members = (answer?.body as { members?: { id: string; live: boolean }[] } | undefined)?.members ?? [];
  return new Set(members.filter(({ live }) => live).map(({ id }) => id));
}

function lastWords(node: NemesisNode): string {
  return readFileSync(node.logFile, 'utf8').trimEnd().split('\n').slice(-6).join('\n');
}

function mountSmallDisk(directory: string): void {
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', directory], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`no small disk can be mounted at ${directory}: ${stderr}`);
}
