/**
 * Recovery: the second phase of a run. Faults have ended; from now on the cluster must get well by itself,
 * within a bound of virtual time, and stay so.
 *
 * The picture: convalescence, with a date by which the patient must walk. Chaos asks only for safety;
 * a cluster that is safe and never works again would pass it. So here progress is asked for: every node is
 * up and sees all others, requests are answered, no hints are left to hand over, and the replicas of every
 * partition are equal although no client reads anything.
 */

import type { Table } from '../src/ring/table.ts';
import type { Churn } from './churn.ts';
import type { Cluster } from './cluster.ts';
import { ABILITIES, hasWildClocks, isMadeEqual } from './faults.ts';
import {
  differenceOf,
  greatestFloor,
  inspectFloors,
  inspectHints,
  inspectKeys,
  unsettledTopology,
} from './inspection.ts';
import type { Plan } from './plan.ts';
import type { Micros, Schedule } from './schedule.ts';
import type { Workload } from './workload.ts';

/**
 * After healing everything is well again within so long, milliseconds of virtual time. Most runs need two or
 * three seconds; an answer of anti-entropy that was lost under way is waited for up to ten.
 */
export const RECOVERY_MAX_MS = 20_000;

/** A half-open pipe is no cut that heals: it must be noticed, and until then all may look well. */
const stableForMs = 2500;

/** Between two looks, milliseconds. */
const lookEveryMs = 20;
/** Nodes are asked for their status every so many looks. */
const lieEveryLooks = 8;

export class Recovery {
  readonly #schedule: Schedule;
  readonly #cluster: Cluster;
  readonly #workload: Workload;
  readonly #plan: Plan;
  readonly #table: Table;
  readonly #churn: Churn;

  constructor(
    schedule: Schedule,
    cluster: Cluster,
    workload: Workload,
    plan: Plan,
    table: Table,
    churn: Churn,
  ) {
    this.#schedule = schedule;
    this.#cluster = cluster;
    this.#workload = workload;
    this.#plan = plan;
    this.#table = table;
    this.#churn = churn;
  }

  /** Waits until the cluster is well. @returns what is not when the time is over, as sentences. */
  await(lastWriteAt: Micros): string[] {
    const deadline = this.#schedule.now + RECOVERY_MAX_MS * 1000;
    const stableMs = this.#plan.faults.some(({ kind }) => kind === 'half-open') ? stableForMs : 0;
    let wellSince = this.#schedule.now;
    for (let look = 0; ; look++) {
      const lies = look % lieEveryLooks === 0 ? this.lies(lastWriteAt) : [];
      if (lies.length > 0) return lies;
      // A process that was told to stop may have ended only now.
      for (const machine of this.#cluster.present) if (!machine.up) this.#cluster.start(machine.index);
      const ills = this.#ills();
      if (ills.length > 0) wellSince = this.#schedule.now;
      else if (this.#schedule.now - wellSince >= stableMs * 1000) return [];
      if (ills.length > 0 && this.#schedule.now >= deadline)
        return ills.map((ill) => `${RECOVERY_MAX_MS} ms after healing ${ill}`);
      this.#schedule.runUntil(this.#schedule.now + lookEveryMs * 1000);
    }
  }

  /** Whether what the nodes say of themselves contradicts the disks: all settled, and replicas differ. */
  lies(lastWriteAt: Micros): string[] {
    const lies: string[] = [];
    let settled = true;
    for (const machine of this.#cluster.present) {
      const status = machine.ready ? machine.node?.status() : undefined;
      const roundAgeMs = status?.repair?.roundAgeMs ?? Number.POSITIVE_INFINITY;
      settled &&= status?.settled === true && roundAgeMs < (this.#schedule.now - lastWriteAt) / 1000;
      const hints = inspectHints(machine);
      if (status?.settled && hints > 0)
        lies.push(`${machine.id} says it is settled and holds ${hints} hints`);
    }
    if (!settled || hasWildClocks(this.#plan)) return lies;
    return [...lies, ...this.#differences().map((words) => `every node says it is settled, and ${words}`)];
  }

  #differences(): string[] {
    const floor = greatestFloor(inspectFloors(this.#cluster));
    const wall = this.#cluster.present[0]!.clock.wall();
    return inspectKeys(this.#cluster, this.#cluster.topology?.read ?? this.#table, this.#plan.keys).flatMap(
      (state) => {
        const difference = differenceOf(state, floor, wall, true);
        return difference === undefined ? [] : [`the replicas differ of ${difference}`];
      },
    );
  }

  /** What is not well, the cheapest questions first: the dear ones are asked when all else is well. */
  #ills(): string[] {
    const ills = this.#unready();
    if (this.#workload.pending > 0) ills.push(`${this.#workload.pending} requests are not answered`);
    if (ills.length > 0 || hasWildClocks(this.#plan)) return ills;
    for (const machine of this.#cluster.present) {
      const hints = inspectHints(machine);
      if (hints > 0) ills.push(`${machine.id} still holds ${hints} hints`);
    }
    if (ills.length === 0 && isMadeEqual(this.#plan)) ills.push(...this.#differences());
    return ills;
  }

  #unready(): string[] {
    // Rows stamped an hour ahead are refused until then: so long a change that moves them waits.
    const isWild = hasWildClocks(this.#plan);
    const ills: string[] = isWild ? [] : unsettledTopology(this.#cluster);
    if (this.#churn.pending > 0 && !isWild)
      ills.push(`${this.#churn.pending} changes of the members are asked for yet`);
    for (const machine of this.#cluster.present) {
      if (!machine.node || !machine.ready) ills.push(`${machine.id} is not ready`);
      else {
        for (const member of machine.node.members()) {
          if (!member.live) ills.push(`${machine.id} does not see ${member.id}`);
        }
        // A loss that nobody told of yet begins later.
        if (ABILITIES.vouching && (machine.node.status().past?.unheard ?? 0) > 0)
          ills.push(`${machine.id} has not heard everybody's memory of it`);
        // Rows stamped an hour ahead are refused: a rebuild must wait for the clocks to get there.
        if (ABILITIES.vouching && !hasWildClocks(this.#plan) && machine.node.status().past?.whole === false)
          ills.push(`${machine.id} is not whole`);
      }
    }
    return ills;
  }
}
