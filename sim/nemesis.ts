/**
 * The nemesis: carries out a plan's faults, and at the end takes all of them back.
 *
 * States (a cut, a slow link, a full disk) end after their time; ended processes are started again.
 * `healAll` is the moment after which the promises about convergence are checked.
 */

import { Prng } from '../src/base/prng.ts';
import { isRowKey } from '../src/rows/key.ts';
import type { Cluster } from './cluster.ts';
import type { DiskSnapshot } from './disk.ts';
import type { PlanFault } from './faults.ts';
import type { LinkTrouble } from './network.ts';
import type { Plan } from './plan.ts';
import type { Schedule } from './schedule.ts';
import { EVENT, type Trace } from './trace.ts';

export class Nemesis {
  readonly #schedule: Schedule;
  readonly #trace: Trace;
  readonly #cluster: Cluster;
  readonly #plan: Plan;
  readonly #prng: Prng;
  readonly #snapshots = new Map<PlanFault, DiskSnapshot>();
  #over = false;

  constructor(schedule: Schedule, trace: Trace, cluster: Cluster, plan: Plan) {
    this.#schedule = schedule;
    this.#trace = trace;
    this.#cluster = cluster;
    this.#plan = plan;
    this.#prng = new Prng(plan.seed ^ 0x6e656d65);
  }

  /** Sets an alarm for every fault. */
  begin(startMs: number): void {
    this.#plan.faults.forEach((fault, number) => {
      if (fault.kind === 'restore') this.#copyDisk(fault, startMs);
      this.#schedule.at((startMs + fault.atMs) * 1000, () => {
        if (this.#over) return;
        this.#trace.add(this.#schedule.now, EVENT.fault, fault.node, number, fault.peer);
        this.#trace.say(this.#schedule.now, () => `FAULT ${describeFault(fault, this.#cluster)}`);
        this.#apply(fault);
      });
    });
  }

  /** Takes everything back: links whole, disks well, clocks as they were, every process running. */
  healAll(): void {
    this.#over = true;
    this.#cluster.network.healAll();
    for (const machine of this.#cluster.machines) {
      machine.disk.full = false;
      machine.disk.slowFactor = 1;
      this.#cluster.slowCpu(machine.index, 0);
      machine.clock.setSkew(this.#plan.clocks[machine.index]!.skewMs);
      this.#cluster.thaw(machine.index);
      // A node that saw its disk fail serves no more until it is started anew.
      if (machine.disk.failNext > 0 || this.#failed.has(machine.index)) this.#cluster.crash(machine.index);
      machine.disk.failNext = 0;
      this.#cluster.start(machine.index);
    }
    this.#trace.say(this.#schedule.now, () => 'HEALED');
  }

  readonly #failed = new Set<number>();

  #apply(fault: PlanFault): void {
    const undo = this.#applyToProcess(fault) ?? this.#applyToMachine(fault) ?? this.#applyToLink(fault);
    if (undo) this.#later(fault, undo);
  }

  /** Faults that end a process. Returns how to take the fault back, or undefined if it is not of this kind. */
  #applyToProcess(fault: PlanFault): (() => void) | undefined {
    const cluster = this.#cluster;
    const { node } = fault;
    switch (fault.kind) {
      case 'crash':
        cluster.crash(node);
        break;
      case 'crash-loop':
        this.#crashAgain(fault, fault.amount);
        break;
      case 'power':
        cluster.losePower(node);
        break;
      case 'torn':
        cluster.losePower(node, true);
        break;
      case 'wipe':
        cluster.wipe(node);
        break;
      case 'restore':
        cluster.restore(node, this.#snapshots.get(fault)!);
        break;
      case 'stop':
        cluster.stop(node);
        break;
      default:
        return undefined;
    }
    return () => cluster.start(node);
  }

  /** Faults of a machine and its disk, likewise. */
  #applyToMachine(fault: PlanFault): (() => void) | undefined {
    const cluster = this.#cluster;
    const { node } = fault;
    const machine = cluster.machines[node]!;
    const { disk } = machine;
    switch (fault.kind) {
      case 'rot':
        this.#rot(fault);
        return () => {};
      case 'slow-cpu':
        cluster.slowCpu(node, fault.amount);
        return () => cluster.slowCpu(node, 0);
      case 'freeze':
        cluster.freeze(node);
        return () => cluster.thaw(node);
      case 'clock-jump':
        machine.clock.setSkew(fault.amount);
        return () => {};
      case 'disk-slow':
        disk.slowFactor = fault.amount;
        return () => {
          disk.slowFactor = 1;
        };
      case 'disk-full':
        disk.full = true;
        return () => {
          disk.full = false;
        };
      case 'disk-error':
        return this.#failDisk(fault);
      default:
        return undefined;
    }
  }

  /** Faults of a link or of several. Returns how to take the fault back, if that is to be done here. */
  #applyToLink(fault: PlanFault): (() => void) | undefined {
    const { network } = this.#cluster;
    const { node, peer } = fault;
    switch (fault.kind) {
      case 'break':
        network.breakPipe(node, peer);
        return undefined;
      case 'corrupt':
        network.corrupt(node, peer, fault.amount);
        return undefined;
      case 'slow':
        network.slow(node, peer, fault.amount);
        return () => network.slow(node, peer, 1);
      case 'delay':
        return this.#trouble(fault, { delayUs: fault.amount * 1000 }, { delayUs: 0 });
      case 'drop':
        return this.#trouble(fault, { drop: fault.amount / 100 }, { drop: 0 });
      case 'double':
        return this.#trouble(fault, { double: fault.amount / 100 }, { double: 0 });
      case 'reorder':
        return this.#trouble(fault, { reorder: fault.amount / 100 }, { reorder: 0 });
      case 'half-open':
        network.halfOpen(node, peer);
        return undefined;
      case 'flap':
        this.#flap(fault, 0);
        return undefined;
      default:
        this.#cutFor(this.#directions(fault), fault.forMs);
        return undefined;
    }
  }

  #trouble({ node, peer }: PlanFault, begin: Partial<LinkTrouble>, end: Partial<LinkTrouble>): () => void {
    const { network } = this.#cluster;
    network.trouble(node, peer, begin);
    return () => network.trouble(node, peer, end);
  }

  /** A copy of the disk as it is `amount` milliseconds before it will be put back. */
  #copyDisk(fault: PlanFault, startMs: number): void {
    const atMs = startMs + Math.max(0, fault.atMs - fault.amount);
    this.#schedule.at(atMs * 1000, () => {
      this.#snapshots.set(fault, this.#cluster.machines[fault.node]!.disk.snapshot());
    });
  }

  /** Ends the process so many times, with a short life in between. The last start is that of `#later`. */
  #crashAgain(fault: PlanFault, times: number): void {
    const cluster = this.#cluster;
    cluster.crash(fault.node);
    if (times <= 1) return;
    const pauseUs = Math.floor((fault.forMs * 1000) / (2 * fault.amount));
    this.#schedule.after(pauseUs, () => {
      if (this.#over) return;
      cluster.start(fault.node);
      this.#schedule.after(pauseUs, () => {
        if (!this.#over) this.#crashAgain(fault, times - 1);
      });
    });
  }

  /** Flips bits in rows of a disk, notes of the node excepted. */
  #rot(fault: PlanFault): void {
    const { disk } = this.#cluster.machines[fault.node]!;
    const keys = [...disk.entries()].map(([key]) => key).filter((key) => isRowKey(key));
    keys.sort();
    for (let left = fault.amount; left > 0 && keys.length > 0; left--) {
      disk.rot(this.#prng.pick(keys), this.#prng.u32());
    }
  }

  /** An IO error ends the service of that process; somebody starts it anew. */
  #failDisk(fault: PlanFault): () => void {
    const cluster = this.#cluster;
    const { disk } = cluster.machines[fault.node]!;
    disk.failNext += fault.amount;
    this.#failed.add(fault.node);
    return () => {
      disk.failNext = 0;
      this.#failed.delete(fault.node);
      cluster.crash(fault.node);
      this.#later({ ...fault, forMs: 20 }, () => cluster.start(fault.node));
    };
  }

  #flap(fault: PlanFault, elapsed: number): void {
    if (this.#over || elapsed > fault.forMs) return;
    this.#cutFor(this.#directions({ ...fault, kind: 'cut' }), 30);
    this.#schedule.after(70_000, () => this.#flap(fault, elapsed + 70));
  }

  #cutFor(directions: readonly (readonly [number, number])[], forMs: number): void {
    for (const [from, to] of directions) this.#cluster.network.cut(from, to);
    this.#schedule.after(forMs * 1000, () => {
      if (this.#over) return;
      for (const [from, to] of directions) this.#cluster.network.mend(from, to);
    });
  }

  /** The directions a fault cuts. */
  #directions(fault: PlanFault): (readonly [number, number])[] {
    const { node, peer } = fault;
    const all = this.#cluster.machines.map((machine) => machine.index);
    switch (fault.kind) {
      case 'cut-one-way':
        return [[node, peer]];
      case 'isolate':
        return all
          .filter((other) => other !== node)
          .flatMap((other) => [[node, other] as const, [other, node] as const]);
      case 'split': {
        // Two sides: the nodes from `node` on, half of them going round, and the rest.
        const side = (index: number) => (index - node + all.length) % all.length < all.length / 2;
        return all.flatMap((a) => all.filter((b) => side(a) !== side(b)).map((b) => [a, b] as const));
      }
      default:
        return [
          [node, peer],
          [peer, node],
        ];
    }
  }

  #later(fault: PlanFault, act: () => void): void {
    this.#schedule.after(fault.forMs * 1000, () => {
      if (this.#over) return;
      this.#trace.add(this.#schedule.now, EVENT.fault, fault.node, -1, 0);
      this.#trace.say(this.#schedule.now, () => `END   ${describeFault(fault, this.#cluster)}`);
      act();
    });
  }
}

function describeFault(fault: PlanFault, cluster: Cluster): string {
  const id = (index: number) => cluster.machines[index]?.id ?? '?';
  return `${fault.kind} ${id(fault.node)} (peer ${id(fault.peer)}, for ${fault.forMs} ms, amount ${fault.amount})`;
}
