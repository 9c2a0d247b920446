/**
 * A run: a plan is carried out from the first start to the verdict.
 *
 * In six acts: the nodes start; clients and faults do their worst; everything is healed and comes to
 * rest; every key is read at R from every node, then at R=N, and all are listed; every process is
 * killed once more and every key read again; the oracles judge.
 */

import type { CodedError } from '../src/base/errors.ts';
import { type Policy, PolicyTable } from '../src/coordinator/policy.ts';
import { Node } from '../src/node/node.ts';
import { type Member, NODE_LIMITS_DEFAULT, type NodeOptions } from '../src/node/options.ts';
import { place } from '../src/ring/placement.ts';
import { SLOT_COUNT, slotOf } from '../src/ring/slots.ts';
import type { Table } from '../src/ring/table.ts';
import { META_PREFIX, rowKeyOf } from '../src/rows/key.ts';
import { compareStamps, STAMP_BYTES, STAMP_NONE, type Stamp } from '../src/rows/row.ts';
import { Cluster, type NodeFactory } from './cluster.ts';
import { type Phase, Witness } from './history.ts';
import { Nemesis } from './nemesis.ts';
import { ORACLES } from './oracles/all.ts';
import type { Finding, KeyState, RunRecord } from './oracles/oracle.ts';
import type { Plan } from './plan.ts';
import { Schedule } from './schedule.ts';
import { Trace, type TraceSink } from './trace.ts';
import { keyOf, SIM_UPDATES, Workload } from './workload.ts';

/** The real node. */
export const NODE_FACTORY: NodeFactory = (options, ports) => new Node(options, ports);

export interface RunOptions {
  /** Named bugs to switch on. */
  readonly mutants?: ReadonlySet<string>;
  /** Takes the readable log. */
  readonly sink?: TraceSink;
}

export interface RunResult {
  readonly plan: Plan;
  readonly findings: readonly Finding[];
  readonly hash: string;
  /** Full-stack events: delivered frames, storage completions, requests, ticks. */
  readonly events: number;
  readonly ops: number;
  readonly opsOk: number;
  /** Virtual time the run took, milliseconds. */
  readonly virtualMs: number;
}

/** Clients and faults begin when the nodes have found each other. */
export const START_MS = 300;

/** Reads after healing may take this long: they must succeed. */
const FINAL_TIMEOUT_MS = 3000;

const NO_MUTANTS: ReadonlySet<string> = new Set();
const tables = new Map<string, Table>();

/** Members `a`, `b`, … of a simulated cluster. */
export function simMembers(count: number): Member[] {
  return Array.from({ length: count }, (_, i) => ({
    id: String.fromCharCode(0x61 + i),
    host: '127.0.0.1',
    respPort: 6371 + i,
    peerPort: 7371 + i,
    httpPort: 8371 + i,
    zone: 'z',
    weight: 1,
  }));
}

/** The table of so many equal members; made once, because runs are many. */
export function simTable(nodes: number, n: number): Table {
  const name = `${nodes}/${n}`;
  let table = tables.get(name);
  if (table === undefined) {
    table = place(undefined, simMembers(nodes), { partitionCount: 32, replicaCount: n });
    tables.set(name, table);
  }
  return table;
}

/** Options of a node under a plan. */
export function simOptions(plan: Plan, index: number, mutants: ReadonlySet<string>): NodeOptions {
  const members = simMembers(plan.nodes);
  return {
    id: members[index]!.id,
    clusterName: 'simulation',
    members,
    table: simTable(plan.nodes, plan.n),
    policies: new PolicyTable({ r: plan.r, w: plan.w, strict: plan.strict }, [], plan.n),
    durability: plan.durability,
    limits: {
      ...NODE_LIMITS_DEFAULT,
      requestTimeoutMs: plan.requestTimeoutMs,
      requestsMax: plan.requestsMax,
      // Two clocks each 200 ms off, each drifting a little, may be 450 ms apart.
      clockOffsetMaxMs: 1000,
    },
    updates: SIM_UPDATES,
    mutants,
  };
}

/** Carries out a plan and judges it. */
export function runPlan(plan: Plan, options: RunOptions = {}): RunResult {
  return new Run(plan, options).carryOut();
}

class Run {
  readonly #plan: Plan;
  readonly #schedule = new Schedule();
  readonly #trace: Trace;
  readonly #cluster: Cluster;
  readonly #witness = new Witness();
  readonly #workload: Workload;
  readonly #nemesis: Nemesis;

  constructor(plan: Plan, options: RunOptions) {
    this.#plan = plan;
    this.#trace = new Trace(options.sink);
    const mutants = options.mutants ?? NO_MUTANTS;
    const config = {
      seed: plan.seed,
      ids: simMembers(plan.nodes).map((member) => member.id),
      clocks: plan.clocks,
      network: plan.network,
      disk: plan.disk,
      optionsOf: (index: number) => simOptions(plan, index, mutants),
      tickUs: plan.tickMs * 1000,
      turnUs: plan.turnUs,
    };
    this.#cluster = new Cluster(this.#schedule, this.#trace, config, NODE_FACTORY);
    for (const machine of this.#cluster.machines) {
      machine.disk.onEntry = (key, value) => this.#witness.entry(this.#schedule.now, key, value);
    }
    this.#workload = new Workload(this.#schedule, this.#trace, this.#cluster);
    this.#nemesis = new Nemesis(this.#schedule, this.#trace, this.#cluster, plan);
  }

  carryOut(): RunResult {
    const plan = this.#plan;
    for (const machine of this.#cluster.machines) this.#cluster.start(machine.index);
    this.#nemesis.begin(START_MS);
    this.#workload.begin(plan, START_MS);
    const lastMs = Math.max(
      0,
      ...plan.ops.map((op) => op.atMs),
      // A long freeze is long on purpose; other states end with the healing.
      ...plan.faults.map(
        ({ kind, atMs, forMs }) => atMs + (kind === 'freeze' ? forMs : Math.min(forMs, 300)),
      ),
    );
    this.#advance(START_MS + lastMs + 20);
    this.#nemesis.healAll();
    const settled = this.#settle();
    this.#advance(100);
    this.#rest();
    this.#readAll('quorum');
    const beforeRepair = this.#states();
    this.#readAll('repair');
    this.#rest();
    const afterRepair = this.#states();
    const scannedAtMs = this.#cluster.machines[0]!.clock.wall();
    const { scanned, counted } = this.#list();
    const leftovers = [...settled, ...this.#leftovers()];
    for (const machine of this.#cluster.machines) this.#cluster.crash(machine.index);
    this.#advance(10);
    leftovers.push(...this.#settle());
    this.#readAll('restart');
    this.#rest();
    const record: RunRecord = {
      plan,
      history: this.#workload.history,
      witness: this.#witness,
      beforeRepair,
      afterRepair,
      floors: this.#floors(),
      floor: this.#floors().reduce((a, { floor }) => (compareStamps(a, floor) > 0 ? a : floor), STAMP_NONE),
      scanned,
      counted,
      scannedAtMs,
      faults: this.#cluster.faults,
      leftovers: [...leftovers, ...this.#leftovers()],
    };
    const findings = ORACLES.flatMap((judge) => judge(record));
    return {
      plan,
      findings,
      hash: this.#trace.hash,
      events: this.#trace.events,
      ops: record.history.length,
      opsOk: record.history.filter((op) => op.outcome === 'ok').length,
      virtualMs: this.#schedule.now / 1000,
    };
  }

  #advance(ms: number): void {
    this.#schedule.runUntil(this.#schedule.now + ms * 1000);
  }

  /** Waits until nothing is in flight any more: repairs, and writes that wait for the last replica. */
  #rest(): void {
    const deadline = this.#schedule.now + (FINAL_TIMEOUT_MS + 200) * 1000;
    this.#advance(300);
    while (this.#schedule.now < deadline && this.#leftovers().length > 0) this.#advance(50);
  }

  /** Waits until every node is ready, sees all others, and no request is open; for a bounded time. */
  #settle(): string[] {
    const deadline = this.#schedule.now + 6_000_000;
    while (this.#schedule.now < deadline) {
      if (this.#workload.pending === 0 && this.#unsettled().length === 0) return [];
      // A process that was told to stop may have ended only now.
      for (const machine of this.#cluster.machines) if (!machine.up) this.#cluster.start(machine.index);
      this.#advance(20);
    }
    return this.#unsettled();
  }

  #unsettled(): string[] {
    const left: string[] = [];
    for (const machine of this.#cluster.machines) {
      if (!machine.node || !machine.ready) left.push(`${machine.id} is not ready 6 s after healing`);
      else {
        for (const member of machine.node.members()) {
          if (!member.live) left.push(`${machine.id} does not see ${member.id} 6 s after healing`);
        }
      }
    }
    return left;
  }

  /** Reads every key: at the plan's R from every node, or at R=N from one. */
  #readAll(phase: Phase): void {
    const plan = this.#plan;
    // One by one where limits are small, so that none is refused.
    const oneByOne = plan.requestsMax < 100 || plan.network.queueFramesMax < 100;
    const policy = { r: plan.n, w: plan.w, strict: plan.strict };
    const options = { timeoutMs: FINAL_TIMEOUT_MS, phase };
    for (let key = 0; key < plan.keys; key++) {
      const readers =
        phase === 'quorum' ? this.#cluster.machines.map((machine) => machine.index) : [key % plan.nodes];
      for (const node of readers) {
        const op = { atMs: 0, node, kind: 'read' as const, key };
        this.#workload.invoke(op, phase === 'quorum' ? options : { ...options, policy });
        if (oneByOne) this.#waitForRequests();
      }
      if (phase === 'repair') this.#repairCounter(key, policy);
      if (oneByOne) this.#advance(50);
    }
    this.#waitForRequests();
  }

  #repairCounter(key: number, policy: Policy): void {
    const name = keyOf('incr', key);
    this.#cluster.input(this.#cluster.machines[key % this.#plan.nodes]!, (node) =>
      node.read(name, { policy, timeoutMs: FINAL_TIMEOUT_MS }, (error) => {
        if (error)
          this.#cluster.faults.push(`after healing a read of ${name} at R=N failed: ${error.message}`);
      }),
    );
  }

  /** Lists the whole cluster's keys in small pages from one node, and counts them from another. */
  #list(): { scanned: ReadonlySet<string> | undefined; counted: number | undefined } {
    const first = this.#cluster.machines[0]!;
    const last = this.#cluster.machines.at(-1)!;
    const seen = new Set<string>();
    let complete = false;
    let counted: number | undefined;
    const failed = (what: string, error: CodedError) =>
      this.#cluster.faults.push(`after healing a ${what} failed: ${error.message}`);
    const page = (cursor: number): void => {
      this.#cluster.input(first, (node) =>
        node.scan(cursor, 3, { timeoutMs: FINAL_TIMEOUT_MS }, (error, result) => {
          if (error || !result) {
            if (error) failed('scan', error);
            return;
          }
          for (const entry of result.entries) seen.add(entry.key);
          if (result.cursor === 0) complete = true;
          else this.#schedule.after(0, () => page(result.cursor));
        }),
      );
    };
    page(0);
    this.#cluster.input(last, (node) =>
      node.count(0, SLOT_COUNT, { timeoutMs: FINAL_TIMEOUT_MS }, (error, count) => {
        if (error) failed('count', error);
        else counted = count;
      }),
    );
    const deadline = this.#schedule.now + FINAL_TIMEOUT_MS * 1000;
    while ((!complete || counted === undefined) && this.#schedule.now < deadline) this.#advance(5);
    if (!complete) this.#cluster.faults.push('after healing a scan did not come to its end');
    return { scanned: complete ? seen : undefined, counted };
  }

  #waitForRequests(): void {
    const deadline = this.#schedule.now + 2 * FINAL_TIMEOUT_MS * 1000;
    while (this.#workload.pending > 0 && this.#schedule.now < deadline) this.#advance(2);
  }

  /** What the replicas of each key hold on their disks. */
  #states(): KeyState[] {
    const plan = this.#plan;
    const table = simTable(plan.nodes, plan.n);
    const states: KeyState[] = [];
    for (const counter of [false, true]) {
      for (let key = 0; key < plan.keys; key++) {
        const name = keyOf(counter ? 'incr' : 'read', key);
        const rowKey = rowKeyOf(name);
        const replicas = table.preferenceList(slotOf(name)).map((node) => ({
          node,
          row: this.#cluster.machines.find((machine) => machine.id === node)!.disk.peek(rowKey),
        }));
        states.push({ key, counter, rowKey, replicas });
      }
    }
    return states;
  }

  #floors(): { node: string; floor: Stamp }[] {
    return this.#cluster.machines.map((machine) => {
      const stored = machine.disk.peek(`${META_PREFIX}floor`);
      return { node: machine.id, floor: stored?.length === STAMP_BYTES ? stored : STAMP_NONE };
    });
  }

  #leftovers(): string[] {
    const left: string[] = [];
    for (const machine of this.#cluster.machines) {
      const figures = machine.node?.figures();
      const inFlight = figures === undefined ? 0 : figures.requestsInFlight + figures.writesUnsettled;
      if (inFlight > 0) left.push(`${machine.id} still has ${inFlight} requests in flight at rest`);
    }
    return left;
  }
}
