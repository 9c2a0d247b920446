/**
 * Carries out a plan of faults on a cluster, and notes for each when it began, when the nodes noticed,
 * when it was over and when all was as before.
 *
 * *Detected*: every node that can tell sees the victim down (for a cut link, whoever hears nothing over it).
 * *Recovered*, counted from the end of the fault: every node answers and sees every other live.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { NemesisCluster, NemesisNode } from './cluster.ts';
import type { PlannedFault } from './plan.ts';
import type { Watch } from './watch.ts';

/** A fault as it happened; times on the clock of the history. */
export interface FaultRecord {
  readonly name: string;
  readonly kind: PlannedFault['kind'];
  readonly from: number;
  to: number;
  /** After the beginning; undefined when no node took the victim for down before it was over. */
  detectedMs: number | undefined;
  /** After the end; undefined when the next fault came first. */
  recoveredMs: number | undefined;
}

/** So long an end of a fault may take to be over, before it is called not recovered. */
const recoverMaxMs = 30_000;

export class Villain {
  readonly records: FaultRecord[] = [];
  readonly #cluster: NemesisCluster;
  readonly #watch: Watch;
  readonly #now: () => number;
  readonly #say: (text: string) => void;
  readonly #observations: Promise<void>[] = [];
  /** Per node: the end of what is done to it. A node is harmed by one fault at a time. */
  readonly #busy: Map<number, Promise<unknown>> = new Map();
  #active = 0;
  #stopped = false;

  constructor(cluster: NemesisCluster, watch: Watch, now: () => number, say: (text: string) => void) {
    this.#cluster = cluster;
    this.#watch = watch;
    this.#now = now;
    this.#say = say;
  }

  /** Carries out the faults, each at its moment after `origin`. */
  async carryOut(faults: readonly PlannedFault[], origin: number): Promise<void> {
    await Promise.all(
      faults.map(async (fault) => {
        await delay(Math.max(0, origin + fault.atMs - this.#now()));
        // A start may take longer than planned: what comes next for this node waits.
        const before = Promise.all(fault.nodes.map((index) => this.#busy.get(index)));
        const done = before.then(() => (this.#stopped ? undefined : this.#commit(fault)));
        for (const index of fault.nodes) this.#busy.set(index, done);
        await done;
      }),
    );
  }

  /** Begins no other fault. */
  stop(): void {
    this.#stopped = true;
  }

  /** Waits for the last observation. */
  async settled(): Promise<void> {
    await Promise.all(this.#observations);
  }

  async #commit(fault: PlannedFault): Promise<void> {
    const nodes = fault.nodes.map((index) => this.#cluster.nodes[index]!);
    const record: FaultRecord = {
      name: fault.name,
      kind: fault.kind,
      from: this.#now(),
      to: Number.NaN,
      detectedMs: undefined,
      recoveredMs: undefined,
    };
    this.records.push(record);
    this.#active++;
    this.#say(`${fault.name}, for ${(fault.forMs / 1000).toFixed(1)} s`);
    this.#observations.push(this.#observeDetection(fault, record));
    await this.#harm(fault, nodes);
    record.to = this.#now();
    this.#active--;
    this.#observations.push(this.#observeRecovery(record));
  }

  async #harm(fault: PlannedFault, nodes: readonly NemesisNode[]): Promise<void> {
    const cluster = this.#cluster;
    const over = this.#now() + fault.forMs;
    const wait = (): Promise<void> => delay(Math.max(0, over - this.#now()));
    switch (fault.kind) {
      case 'kill':
      case 'kill-all':
        await Promise.all(nodes.map((node) => cluster.kill(node)));
        await wait();
        await Promise.all(nodes.map((node) => cluster.startNode(node)));
        return;
      case 'crash-loop':
        do {
          for (const node of nodes) await cluster.kill(node);
          for (const node of nodes) await cluster.startNode(node);
          await delay(100);
        } while (this.#now() < over);
        return;
      case 'freeze':
        for (const node of nodes) cluster.freeze(node);
        await wait();
        for (const node of nodes) cluster.thaw(node);
        return;
      case 'disk-full':
        for (const node of nodes) cluster.fillDisk(node);
        await wait();
        for (const node of nodes) cluster.freeDisk(node);
        return;
      default:
        for (const [from, to] of fault.links) cluster.link(from, to).cut(fault.mode);
        await wait();
        for (const [from, to] of fault.links) cluster.link(from, to).heal();
    }
  }

  async #observeDetection(fault: PlannedFault, record: FaultRecord): Promise<void> {
    const { nodes } = this.#cluster;
    // Who should see whom as down: over a link, the one that hears nothing.
    const pairs: (readonly [number, number])[] = fault.links.map(([from, to]) => [to, from] as const);
    if (fault.kind !== 'disk-full' && fault.kind !== 'kill-all') {
      for (const victim of fault.nodes) {
        for (const { index } of nodes) if (index !== victim) pairs.push([index, victim]);
      }
    }
    if (pairs.length === 0) return;
    const noticed = new Set<string>();
    const at = await this.#watch.when(
      () => {
        for (const [observer, victim] of pairs) {
          if (this.#watch.answers(observer) && !this.#watch.sees(observer, victim)) {
            noticed.add(`${observer} ${victim}`);
          }
        }
        return noticed.size === pairs.length;
      },
      () => !Number.isNaN(record.to),
    );
    if (at !== undefined) record.detectedMs = at - record.from;
  }

  async #observeRecovery(record: FaultRecord): Promise<void> {
    const all = this.#cluster.nodes.map(({ index }) => index);
    const at = await this.#watch.when(
      () => all.every((observer) => all.every((node) => this.#watch.sees(observer, node))),
      () => this.#active > 0 || this.#now() > record.to + recoverMaxMs,
    );
    if (at !== undefined) record.recoveredMs = at - record.to;
  }
}
