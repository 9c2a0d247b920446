/**
 * The nemesis: carries out a plan's faults, and at the end takes all of them back.
 *
 * States (a cut, a slow link, a full disk) end after their time; ended processes are started again.
 * `healAll` is the moment after which the promises about convergence are checked.
 */

import type { Cluster } from './cluster.ts';
import type { Plan, PlanFault } from './plan.ts';
import type { Schedule } from './schedule.ts';
import { EVENT, type Trace } from './trace.ts';

export class Nemesis {
  readonly #schedule: Schedule;
  readonly #trace: Trace;
  readonly #cluster: Cluster;
  readonly #plan: Plan;
  #over = false;

  constructor(schedule: Schedule, trace: Trace, cluster: Cluster, plan: Plan) {
    this.#schedule = schedule;
    this.#trace = trace;
    this.#cluster = cluster;
    this.#plan = plan;
  }

  /** Sets an alarm for every fault. */
  begin(startMs: number): void {
    this.#plan.faults.forEach((fault, number) => {
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
    const cluster = this.#cluster;
    const { node, peer } = fault;
    const machine = cluster.machines[node]!;
    switch (fault.kind) {
      case 'crash':
        cluster.crash(node);
        return this.#later(fault, () => cluster.start(node));
      case 'power':
        cluster.losePower(node);
        return this.#later(fault, () => cluster.start(node));
      case 'wipe':
        cluster.wipe(node);
        return this.#later(fault, () => cluster.start(node));
      case 'stop':
        cluster.stop(node);
        return this.#later(fault, () => cluster.start(node));
      case 'freeze':
        cluster.freeze(node);
        return this.#later(fault, () => cluster.thaw(node));
      case 'clock-jump':
        return machine.clock.setSkew(fault.amount);
      case 'disk-slow':
        machine.disk.slowFactor = fault.amount;
        return this.#later(fault, () => {
          machine.disk.slowFactor = 1;
        });
      case 'disk-full':
        machine.disk.full = true;
        return this.#later(fault, () => {
          machine.disk.full = false;
        });
      case 'disk-error':
        return this.#failDisk(fault);
      case 'break':
        return cluster.network.breakPipe(node, peer);
      case 'corrupt':
        return cluster.network.corrupt(node, peer, fault.amount);
      case 'slow':
        cluster.network.slow(node, peer, fault.amount);
        return this.#later(fault, () => cluster.network.slow(node, peer, 1));
      case 'flap':
        return this.#flap(fault, 0);
      default:
        return this.#cutFor(this.#directions(fault), fault.forMs);
    }
  }

  /** An IO error ends the service of that process; somebody starts it anew. */
  #failDisk(fault: PlanFault): void {
    const cluster = this.#cluster;
    cluster.machines[fault.node]!.disk.failNext += fault.amount;
    this.#failed.add(fault.node);
    this.#later(fault, () => {
      cluster.machines[fault.node]!.disk.failNext = 0;
      this.#failed.delete(fault.node);
      cluster.crash(fault.node);
      this.#later({ ...fault, forMs: 20 }, () => cluster.start(fault.node));
    });
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
