/**
 * A cluster of real processes for tests, started by `dure dev` as a user would: nodes can be killed by
 * process id and started again by the command line in `cluster.json`.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClusterFile, ClusterNode } from '../../src/main/dev-files.ts';
import { freePortBase } from './ports.ts';
import { DURE, isAlive, Started } from './process.ts';
import { until } from './wait.ts';

export interface ClusterOptions {
  readonly nodes?: number;
  /** More words for the command line of `dure dev`. */
  readonly flags?: readonly string[];
}

export class TestCluster {
  /** The data directory, removed by `close`. */
  readonly directory: string;
  readonly port: number;
  readonly count: number;
  readonly #flags: readonly string[];
  /** Nodes that were started again, beside the children of `dure dev`. */
  readonly #restarted: Map<number, Started> = new Map();
  dev: Started;

  private constructor(directory: string, port: number, options: ClusterOptions) {
    this.directory = directory;
    this.port = port;
    this.count = options.nodes ?? 3;
    this.#flags = options.flags ?? [];
    this.dev = this.#startDev();
  }

  /** Starts a cluster in an empty directory and waits until it is ready. */
  static async start(options: ClusterOptions = {}): Promise<TestCluster> {
    const directory = mkdtempSync(join(tmpdir(), 'dure-test-'));
    const cluster = new TestCluster(directory, await freePortBase(options.nodes ?? 3), options);
    try {
      await cluster.ready();
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  #startDev(): Started {
    const own = ['--nodes', String(this.count), '--port', String(this.port), '--data-dir', this.directory];
    return new Started([...DURE, 'dev', ...own, '--log-format', 'pretty', ...this.#flags]);
  }

  async ready(): Promise<void> {
    await this.dev.says(/Stop: {2}Ctrl-C/, 60_000);
    const { stdout, stderr } = this.dev;
    if (stdout.includes('not running')) throw new Error(`a node did not start:\n${stdout}\n${stderr}`);
  }

  file(): ClusterFile {
    return JSON.parse(readFileSync(join(this.directory, 'cluster.json'), 'utf8')) as ClusterFile;
  }

  node(index: number): ClusterNode {
    return this.file().nodes[index]!;
  }

  respPort(index: number): number {
    return this.port + index;
  }

  /** `kill -9` of one node, or another signal. Waits until it is gone. */
  async kill(index: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const restarted = this.#restarted.get(index);
    if (restarted !== undefined) {
      await restarted.end(signal);
      this.#restarted.delete(index);
      return;
    }
    const { pid } = this.node(index);
    process.kill(pid, signal);
    await until(() => !isAlive(pid), `process ${pid} of node ${index} is gone`);
  }

  /** Starts a killed node again, by its own command line, and waits until it is ready. */
  async restart(index: number, flags: readonly string[] = []): Promise<Started> {
    const started = new Started([...this.node(index).argv, '--log-format', 'json', ...flags]);
    this.#restarted.set(index, started);
    await started.says(/node-ready/, 60_000);
    return started;
  }

  /** Starts the whole cluster again on the same data, after `dure dev` has ended. */
  async startAgain(): Promise<void> {
    this.dev = this.#startDev();
    await this.ready();
  }

  /** Stops everything as Ctrl-C does. */
  async stop(): Promise<void> {
    for (const started of this.#restarted.values()) await started.end();
    this.#restarted.clear();
    await this.dev.end('SIGTERM');
  }

  /** Ends everything and removes the data. */
  async close(): Promise<void> {
    try {
      await this.stop();
    } finally {
      rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 });
    }
  }
}
