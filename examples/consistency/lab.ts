/**
 * A laboratory: real node processes in a directory of their own, with a link between any two that can be cut and
 * made slow, and a terminal to each node. What is typed and what is answered is printed, so that a run is a
 * transcript. The cluster is the one that the nemesis torments (docs/nemesis.md).
 *
 * ```
 *   terminal 1     terminal 2     terminal 3        never cut: a client sits beside its node
 *       │              │              │
 *      n1 ═══link═══  n2 ═══link═══  n3             cut and slow: what is between nodes
 *       ╚═════════════ link ══════════╝
 * ```
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { liveSeenBy, NemesisCluster } from '../../test/nemesis/cluster.ts';
import { closeHttp, getJson } from '../../test/nemesis/http.ts';
import { nodeName } from '../../test/nemesis/plan.ts';
import { type Answer, Terminal } from './terminal.ts';

export interface LabOptions {
  /** 3 if left out. N, the copies of each row, is 3 as everywhere. */
  readonly nodes?: number;
  /** Policies by key prefix, as in the configuration: `{'cart:': 'PA/EC SIBLINGS'}`. */
  readonly policies?: Readonly<Record<string, string>>;
  /** Where lines go; the standard output if left out. */
  readonly print?: (line: string) => void;
}

/** Nodes by number from 1, as people count: n1, n2, n3. */
export type Side = readonly number[];

/** Whatever is waited for must come within so long, milliseconds. */
const patienceMs = 30_000;
const lineWidth = 100;

export class Lab {
  readonly cluster: NemesisCluster;
  readonly #directory: string;
  readonly #print: (line: string) => void;
  readonly #terminals: readonly Terminal[];
  readonly #stop = (): void => this.#endNow();

  private constructor(
    cluster: NemesisCluster,
    directory: string,
    terminals: readonly Terminal[],
    print: (line: string) => void,
  ) {
    this.cluster = cluster;
    this.#directory = directory;
    this.#terminals = terminals;
    this.#print = print;
    process.once('SIGINT', this.#stop);
    process.once('SIGTERM', this.#stop);
  }

  /** Starts the nodes and waits until each sees all others. */
  static async start(options: LabOptions = {}): Promise<Lab> {
    const directory = mkdtempSync(join(tmpdir(), 'dure-lab-'));
    const rules = Object.entries(options.policies ?? {});
    const policies = rules.map(([prefix, policy]) => ({ prefix, policy }));
    try {
      const cluster = await NemesisCluster.start({
        nodes: options.nodes ?? 3,
        directory,
        smallDisks: [],
        links: true,
        strictPolicy: 'PC/EC',
        settings: { clusterName: 'lab', policies },
      });
      const terminals = await Promise.all(cluster.nodes.map(({ respPort }) => Terminal.open(respPort)));
      const lab = new Lab(cluster, directory, terminals, options.print ?? ((line) => console.log(line)));
      return lab;
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Runs an experiment, and ends every process that was started, whatever happens. */
  static async run(options: LabOptions, experiment: (lab: Lab) => Promise<void>): Promise<void> {
    const lab = await Lab.start(options);
    try {
      await experiment(lab);
    } finally {
      await lab.close();
    }
  }

  /** Sends a command to a node without a word about it. */
  ask(node: number, ...words: readonly (string | Uint8Array)[]): Promise<Answer> {
    return this.#terminals[node - 1]!.ask(...words);
  }

  /** Types a command (words between blanks) at a node's terminal, and prints it and what comes back. */
  async type(node: number, command: string): Promise<Answer> {
    const answer = await this.ask(node, ...command.split(' '));
    this.#print(`${nodeName(node - 1)}> ${command}`);
    this.#print(`    ${answer.text}`);
    return answer;
  }

  /** Prints an explanation, a paragraph of it. */
  say(text: string): void {
    this.#print('');
    let line = '#';
    for (const word of text.split(/\s+/)) {
      if (line.length + word.length >= lineWidth) {
        this.#print(line);
        line = '#';
      }
      line += ` ${word}`;
    }
    this.#print(line);
  }

  /** Prints a line as it is. */
  show(line: string): void {
    this.#print(line);
  }

  /** Cuts the network into sides, and waits until every node sees its own side only. Nodes not named are alone. */
  async cut(...sides: readonly Side[]): Promise<void> {
    const count = this.cluster.nodes.length;
    const sideOf = (node: number): number => sides.findIndex((side) => side.includes(node));
    const isTogether = (a: number, b: number): boolean =>
      a === b || (sideOf(a) >= 0 && sideOf(a) === sideOf(b));
    const all = Array.from({ length: count }, (_, i) => i + 1);
    for (const from of all) {
      for (const to of all) if (!isTogether(from, to)) this.cluster.link(from - 1, to - 1).cut('reset');
    }
    const names = all.map((node) => sides[sideOf(node)] ?? [node]).map((side) => side.map(nameOf).join(' '));
    this.#print('');
    this.#print(`=== the network is cut: ${[...new Set(names)].join(' | ')} ===`);
    await this.#until('every node sees its side only', async () => {
      const views = await Promise.all(this.cluster.nodes.map((node) => liveSeenBy(node)));
      return views.every((seen, i) =>
        all.every((node) => seen.has(nameOf(node)) === isTogether(i + 1, node)),
      );
    });
  }

  /** Mends all links, and waits until the nodes see each other and have told each other what they missed. */
  async heal(): Promise<void> {
    await this.join();
    await this.settled();
  }

  /** Mends all links, and waits only until the nodes see each other. */
  async join(): Promise<void> {
    await this.cluster.healAll();
    await this.cluster.linked(patienceMs);
    this.#print('');
    this.#print('=== the network is whole again ===');
  }

  /** Makes what one node sends to another arrive so much later, milliseconds. */
  slow(from: number, to: number, ms: number): void {
    this.cluster.link(from - 1, to - 1).delay(ms);
  }

  /** Waits until no node keeps hints and all replicas were compared and found equal. */
  async settled(): Promise<void> {
    await this.#until('all replicas are equal', async () => {
      const answers = await Promise.all(
        this.cluster.nodes.map(({ httpPort }) => getJson(httpPort, '/status', 1000)),
      );
      return answers.every((answer) => {
        const status = answer?.body as { settled?: boolean; hints?: { count: number } } | undefined;
        return status?.settled === true && status.hints?.count === 0;
      });
    });
  }

  /** The replicas of a key in the order of the ring, by number, as `CLUSTER SLOTS` tells any Redis client. */
  async replicasOf(key: string): Promise<number[]> {
    const { reply } = await this.ask(1, 'CLUSTER', 'SLOTS');
    const slot = Number((await this.ask(1, 'CLUSTER', 'KEYSLOT', key)).reply);
    for (const range of reply as [number, number, ...[unknown, number][]][]) {
      const [from, to, ...nodes] = range;
      if (slot < from || slot > to) continue;
      return nodes.map(([, port]) => 1 + this.cluster.nodes.findIndex(({ respPort }) => respPort === port));
    }
    throw new Error(`no node has slot ${slot}`);
  }

  async close(): Promise<void> {
    process.off('SIGINT', this.#stop);
    process.off('SIGTERM', this.#stop);
    for (const terminal of this.#terminals) terminal.close();
    await this.cluster.close();
    closeHttp();
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 3 });
  }

  #endNow(): void {
    this.cluster.endNow();
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 3 });
    process.exit(130);
  }

  async #until(what: string, condition: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + patienceMs;
    while (!(await condition())) {
      if (performance.now() > deadline) throw new Error(`not within ${patienceMs / 1000} s: ${what}`);
      await delay(20);
    }
  }
}

function nameOf(node: number): string {
  return nodeName(node - 1);
}
