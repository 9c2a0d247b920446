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
import { utf8Text } from '../../src/base/bytes.ts';
import type { RespValue } from '../../src/resp/value.ts';
import { liveSeenBy, NemesisCluster } from './cluster.ts';
import { closeHttp, getJson } from './http.ts';
import { nodeName } from './plan.ts';
import { type Answer, replyShown, replyText, Terminal } from './terminal.ts';

export interface LabOptions {
  /** 3 if left out. N, the copies of each row, is 3 as everywhere. */
  readonly nodes?: number;
  /** Policies by key prefix, as in the configuration: `{'cart:': 'PA/EC SIBLINGS'}`. */
  readonly policies?: Readonly<Record<string, string>>;
  /** Replicas are compared so often; 5 s if left out, instead of 10 minutes, so that after a cut nobody waits. */
  readonly repairInterval?: string;
  /** Where lines go; the standard output if left out. */
  readonly print?: (line: string) => void;
}

/** Nodes by number from 1, as people count: n1, n2, n3. */
export type Side = readonly number[];

/** Whatever is waited for must come within so long, milliseconds. */
const patienceMs = 30_000;
const lineWidth = 100;
const keystrokeMs = 5;
const quietMs = 250;

export class Lab {
  readonly cluster: NemesisCluster;
  readonly #directory: string;
  readonly #print: (line: string) => void;
  readonly #terminals: Terminal[];
  /** Causal contexts that were seen, by the names they are shown under. */
  readonly #contexts: Map<string, string> = new Map();
  readonly #stop = (): void => this.#endNow();

  private constructor(
    cluster: NemesisCluster,
    directory: string,
    terminals: Terminal[],
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
        settings: {
          clusterName: 'lab',
          policies,
          limits: { repairIntervalMs: options.repairInterval ?? '5s' },
        },
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

  /**
   * Types a command at a node's terminal, and prints it and what comes back. Causal contexts, which say nothing to
   * a person, are shown by names: C1, C2, …; the same context has the same name.
   */
  async type(node: number, ...words: readonly string[]): Promise<Answer> {
    const answer = await this.ask(node, ...words);
    // Clocks count milliseconds, and nobody types faster: what is typed later is later.
    await delay(keystrokeMs);
    this.#transcribe(node, words, answer);
    return answer;
  }

  /** Types commands, each at a node's terminal, all at the same moment. */
  async typeAtOnce(...commands: readonly (readonly [node: number, command: string])[]): Promise<void> {
    const answers = await Promise.all(
      commands.map(([node, command]) => this.ask(node, ...command.split(' '))),
    );
    for (const [i, [node, command]] of commands.entries()) {
      this.#transcribe(node, command.split(' '), answers[i]!);
    }
  }

  #transcribe(node: number, words: readonly string[], answer: Answer): void {
    const shown = words.map((word, i) => (words[i - 1] === 'CONTEXT' ? this.#nameOfContext(word) : word));
    this.#print(`${nameOf(node)}> ${shown.join(' ')}`);
    const versions = versionsOf(words, answer.reply);
    if (versions === undefined) this.#print(`    ${replyShown(answer.reply)}`);
    else this.#print(`    context ${this.#nameOfContext(versions.context)}: ${versions.values}`);
  }

  /** `DURE.GET` at a node's terminal. @returns the causal context, to write with. */
  async typeGet(node: number, key: string): Promise<string> {
    const { reply } = await this.type(node, 'DURE.GET', key);
    const versions = versionsOf(['DURE.GET'], reply);
    if (versions === undefined) throw new Error(`DURE.GET ${key}: ${replyText(reply)}`);
    return versions.context;
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

  /** Waits a moment: what was acknowledged by some replicas is then at all that can be reached. */
  async quiet(): Promise<void> {
    await delay(quietMs);
  }

  /** Cuts the network into sides, and waits until every node sees its own side only. Nodes not named are alone. */
  async cut(...sides: readonly Side[]): Promise<void> {
    await this.quiet();
    this.#sever('reset', sides);
    await this.noticed(...sides);
  }

  /** Waits until every node sees its own side only. */
  async noticed(...sides: readonly Side[]): Promise<void> {
    const all = this.#numbers();
    await this.#until('every node sees its side only', async () => {
      const views = await Promise.all(this.cluster.nodes.map((node) => liveSeenBy(node)));
      return views.every((seen, i) =>
        all.every((node) => seen.has(nameOf(node)) === isTogether(sides, i + 1, node)),
      );
    });
  }

  /** The same without a sign of it, as when a switch swallows all packets, and without waiting for anything. */
  async cutSilently(...sides: readonly Side[]): Promise<void> {
    await this.quiet();
    this.#sever('silent', sides);
  }

  #sever(mode: 'reset' | 'silent', sides: readonly Side[]): void {
    const all = this.#numbers();
    for (const from of all) {
      for (const to of all) {
        if (!isTogether(sides, from, to)) this.cluster.link(from - 1, to - 1).cut(mode);
      }
    }
    const names = all.map((node) => sideOf(sides, node).map(nameOf).join(' '));
    const how = mode === 'silent' ? ', silently' : '';
    this.#print('');
    this.#print(`=== the network is cut${how}: ${[...new Set(names)].join(' | ')} ===`);
  }

  #numbers(): number[] {
    return this.cluster.nodes.map(({ index }) => index + 1);
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

  /** `kill -9`, and waits until the others take the node for dead. */
  async kill(node: number): Promise<void> {
    await this.cluster.kill(this.cluster.nodes[node - 1]!);
    this.#print('');
    this.#print(`=== kill -9 of ${nameOf(node)} ===`);
    await this.#until('the others see that it is gone', async () => {
      const others = this.cluster.nodes.filter(({ index }) => index !== node - 1);
      const views = await Promise.all(others.map((other) => liveSeenBy(other)));
      return views.every((seen) => !seen.has(nameOf(node)));
    });
  }

  /** Starts a node that was killed, and waits until it has what it missed. */
  async restart(node: number): Promise<void> {
    await this.cluster.startNode(this.cluster.nodes[node - 1]!);
    await this.cluster.linked(patienceMs);
    this.#terminals[node - 1]!.close();
    this.#terminals[node - 1] = await Terminal.open(this.cluster.nodes[node - 1]!.respPort);
    this.#print('');
    this.#print(`=== ${nameOf(node)} is started again ===`);
    await this.settled();
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

  #nameOfContext(context: string): string {
    const name = this.#contexts.get(context) ?? `C${this.#contexts.size + 1}`;
    this.#contexts.set(context, name);
    return name;
  }

  async #until(what: string, condition: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + patienceMs;
    while (!(await condition())) {
      if (performance.now() > deadline) throw new Error(`not within ${patienceMs / 1000} s: ${what}`);
      await delay(20);
    }
  }
}

/** A node that is on no side is alone. */
function sideOf(sides: readonly Side[], node: number): Side {
  return sides.find((side) => side.includes(node)) ?? [node];
}

function isTogether(sides: readonly Side[], a: number, b: number): boolean {
  return sideOf(sides, a).includes(b);
}

export function nameOf(node: number): string {
  return nodeName(node - 1);
}

/** What `DURE.GET` answers: in RESP2 names and values in turn. Undefined for anything else. */
function versionsOf(
  words: readonly string[],
  reply: RespValue,
): { context: string; values: string } | undefined {
  if (words[0] !== 'DURE.GET' || !Array.isArray(reply)) return undefined;
  const [, context, , values] = reply as RespValue[];
  if (!(context instanceof Uint8Array) || !Array.isArray(values)) return undefined;
  const shown = values.map((value) => replyShown(value as RespValue)).join(' and ');
  return { context: utf8Text(context), values: shown === '' ? '(no value)' : shown };
}
