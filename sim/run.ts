/**
 * A run: a plan is carried out from the first start to the verdict.
 *
 * In seven acts: the nodes start; clients and faults do their worst (chaos: whatever happens, the nodes
 * must be safe); everything is healed, and the nodes must recover by themselves within a bound
 * (`recovery.ts`), and serve; every key is read at R from every node, then at R=N, and all are listed; every
 * process is killed once more and every key read again; the oracles judge.
 */

import type { CodedError } from '../src/base/errors.ts';
import { type Policy, PolicyTable } from '../src/coordinator/policy.ts';
import { Node } from '../src/node/node.ts';
import { type Member, NODE_LIMITS_DEFAULT, type NodeOptions } from '../src/node/options.ts';
import { place } from '../src/ring/placement.ts';
import { SLOT_COUNT } from '../src/ring/slots.ts';
import type { Table } from '../src/ring/table.ts';
import { Churn, zonesOf } from './churn.ts';
import { Cluster, type NodeFactory } from './cluster.ts';
import { hasWildClocks } from './faults.ts';
import { overLimits } from './gauges.ts';
import { type Phase, Witness } from './history.ts';
import {
  greatestFloor,
  inspectFloors,
  inspectKeys,
  inspectStrays,
  inspectTopologies,
  type KeyState,
} from './inspection.ts';
import { Nemesis } from './nemesis.ts';
import { ORACLES } from './oracles/all.ts';
import type { Finding, RunRecord } from './oracles/oracle.ts';
import type { Plan } from './plan.ts';
import { Recovery } from './recovery.ts';
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

/** Between two looks at what has a limit. */
const boundsEveryUs = 100_000;

const NO_MUTANTS: ReadonlySet<string> = new Set();
const tables = new Map<string, Table>();

/** Members `a`, `b`, … of a simulated cluster. */
export function simMembers(count: number, zones = 1): Member[] {
  return Array.from({ length: count }, (_, i) => ({
    id: String.fromCharCode(0x61 + i),
    host: '127.0.0.1',
    respPort: 6371 + i,
    peerPort: 7371 + i,
    httpPort: 8371 + i,
    zone: zones === 1 ? 'z' : `z${i % zones}`,
    weight: 1,
  }));
}

/** The table of so many equal members; made once, because runs are many. */
export function simTable(nodes: number, n: number, zones = 1): Table {
  const name = `${nodes}/${n}/${zones}`;
  let table = tables.get(name);
  if (table === undefined) {
    table = place(undefined, simMembers(nodes, zones), { partitionCount: 32, replicaCount: n });
    tables.set(name, table);
  }
  return table;
}

/** The policy of every key of a plan. */
function policyOfPlan({ r, w, strict, siblings }: Plan): Policy {
  return siblings === undefined ? { r, w, strict } : { r, w, strict, conflicts: 'siblings' };
}

/** Options of a node under a plan. */
export function simOptions(plan: Plan, index: number, mutants: ReadonlySet<string>): NodeOptions {
  const zones = zonesOf(plan);
  const members = simMembers(plan.nodes + (plan.churn?.spares ?? 0), zones);
  const { lingerMs: _, ...upkeep } = plan.upkeep;
  return {
    id: members[index]!.id,
    clusterName: 'simulation',
    // A machine that waits is founder of nothing: it is told a topology when it is taken in.
    members: members.slice(0, plan.nodes),
    table: simTable(plan.nodes, plan.n, zones),
    policies: new PolicyTable(policyOfPlan(plan), [], plan.n),
    durability: plan.durability,
    limits: {
      ...NODE_LIMITS_DEFAULT,
      requestTimeoutMs: plan.requestTimeoutMs,
      requestsMax: plan.requestsMax,
      siblingsMax: plan.siblings?.max ?? NODE_LIMITS_DEFAULT.siblingsMax,
      ...upkeep,
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
  readonly #recovery: Recovery;
  readonly #churn: Churn;
  /** Keys in use. */
  #keys: number;
  readonly #overgrown: string[] = [];

  constructor(plan: Plan, options: RunOptions) {
    this.#plan = plan;
    this.#keys = plan.keys;
    this.#trace = new Trace(options.sink);
    const mutants = options.mutants ?? NO_MUTANTS;
    const config = {
      seed: plan.seed,
      ids: simMembers(plan.nodes + (plan.churn?.spares ?? 0)).map((member) => member.id),
      founders: plan.nodes,
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
    this.#churn = new Churn(
      this.#schedule,
      this.#trace,
      this.#cluster,
      plan,
      simMembers(plan.nodes + (plan.churn?.spares ?? 0), zonesOf(plan)),
    );
    this.#recovery = new Recovery(
      this.#schedule,
      this.#cluster,
      this.#workload,
      plan,
      simTable(plan.nodes, plan.n, zonesOf(plan)),
      this.#churn,
    );
  }

  carryOut(): RunResult {
    const plan = this.#plan;
    for (const machine of this.#cluster.present) this.#cluster.start(machine.index);
    this.#nemesis.begin(START_MS);
    this.#churn.begin(START_MS);
    this.#workload.begin(plan, START_MS);
    this.#watchBounds();
    const lastMs = Math.max(
      0,
      ...plan.ops.map((op) => op.atMs),
      ...(plan.churn?.changes ?? []).map(({ atMs }) => atMs + 300),
      // A long freeze is long on purpose; other states end with the healing.
      ...plan.faults.map(
        ({ kind, atMs, forMs }) => atMs + (kind === 'freeze' ? forMs : Math.min(forMs, 300)),
      ),
    );
    this.#advance(START_MS + lastMs + 20);
    const chaosEndedAt = this.#schedule.now;
    const chaosEnded = this.#states();
    this.#nemesis.healAll();
    this.#churn.healed();
    const leftovers = this.#recovery.await(chaosEndedAt);
    this.#advance(plan.upkeep.lingerMs);
    this.#meetDamage();
    // A round of anti-entropy fills a pipe of eight frames by itself, and where reads need every node one that breaks
    // fails them. The cluster had to get well with such pipes; what is asked of it from now on must succeed.
    this.#cluster.network.isRoomy = true;
    this.#rest();
    const recovered = this.#states();
    this.#probe();
    this.#readAll('quorum');
    const beforeRepair = this.#states();
    this.#readAll('repair');
    this.#rest();
    const afterRepair = this.#states();
    const scannedAtMs = this.#cluster.present[0]!.clock.wall();
    const { scanned, counted } = this.#list();
    leftovers.push(...this.#leftovers());
    for (const machine of this.#cluster.present) this.#cluster.crash(machine.index);
    this.#advance(10);
    this.#cluster.network.isRoomy = false;
    leftovers.push(...this.#recovery.await(this.#schedule.now));
    this.#cluster.network.isRoomy = true;
    this.#readAll('restart');
    this.#rest();
    this.#agree();
    const record: RunRecord = {
      plan,
      history: this.#workload.history,
      witness: this.#witness,
      chaosEndedAt,
      chaosEnded,
      recovered,
      beforeRepair,
      afterRepair,
      floors: inspectFloors(this.#cluster),
      floor: greatestFloor(inspectFloors(this.#cluster)),
      scanned,
      counted,
      scannedAtMs,
      faults: this.#cluster.faults,
      topologies: inspectTopologies(this.#cluster),
      strays: inspectStrays(this.#cluster),
      epochsContradicted: [...this.#cluster.epochsContradicted],
      leftovers: [...leftovers, ...this.#leftovers(), ...this.#overgrown],
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

  /** A voter that lost its disk has two pages turned to be one again, at any time: the last one may be on its way. */
  #agree(): void {
    const deadline = this.#schedule.now + FINAL_TIMEOUT_MS * 1000;
    const epochs = (): number =>
      new Set(inspectTopologies(this.#cluster).map(({ topology }) => topology.epoch)).size;
    while (epochs() > 1 && this.#schedule.now < deadline) this.#advance(20);
  }

  /** Looks now and then, during chaos and after it, whether anything has grown beyond its limit. */
  #watchBounds(): void {
    for (const machine of this.#cluster.present) {
      for (const text of overLimits(machine, this.#plan)) {
        if (!this.#overgrown.includes(text)) this.#overgrown.push(text);
      }
    }
    this.#schedule.after(boundsEveryUs, () => this.#watchBounds());
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

  /**
   * A row that rotted is found when it is met, and no read at R=N can be answered while it is damaged: so in
   * plans with rot every row is met, and mended, before reads must succeed.
   */
  #meetDamage(): void {
    if (!this.#plan.faults.some((fault) => fault.kind === 'rot')) return;
    this.#readAll('meet');
    this.#advance(6000);
  }

  /** Requests succeed again at every node, writes too: on a key of its own. */
  #probe(): void {
    if (hasWildClocks(this.#plan)) return;
    this.#keys++;
    const probes = this.#cluster.present.flatMap(({ index }) =>
      (['write', 'read'] as const).map((kind) => {
        const op = { atMs: 0, node: index, kind, key: this.#plan.keys };
        const record = this.#workload.invoke(op, { timeoutMs: FINAL_TIMEOUT_MS, phase: 'probe' });
        this.#waitForRequests();
        return record;
      }),
    );
    if (probes.includes(undefined)) this.#cluster.faults.push('after healing no node takes requests');
  }

  /** Reads every key: at the plan's R from every node, or at R=N from one. */
  #readAll(phase: Phase): void {
    const plan = this.#plan;
    // One by one where limits are small, so that none is refused.
    const oneByOne = plan.requestsMax < 100 || plan.network.queueFramesMax < 100;
    const policy = { ...policyOfPlan(plan), r: plan.n };
    const kind = plan.siblings === undefined ? ('read' as const) : ('versions' as const);
    const options = { timeoutMs: FINAL_TIMEOUT_MS, phase };
    for (let key = 0; key < this.#keys; key++) {
      const everywhere = phase === 'quorum' || phase === 'meet';
      const readers = everywhere
        ? this.#cluster.present.map((machine) => machine.index)
        : [this.#readerOf(key)];
      for (const node of readers) {
        const op = { atMs: 0, node, kind, key };
        this.#workload.invoke(op, phase === 'quorum' ? options : { ...options, policy });
        if (oneByOne) this.#waitForRequests();
      }
      if (phase === 'repair') this.#readCounter(key, this.#readerOf(key), policy, !hasWildClocks(plan));
      if (phase === 'meet') for (const node of readers) this.#readCounter(key, node, policy, false);
      if (oneByOne) this.#advance(50);
    }
    this.#waitForRequests();
  }

  #readerOf(key: number): number {
    const { present } = this.#cluster;
    return present[key % present.length]!.index;
  }

  #readCounter(key: number, index: number, policy: Policy, mustSucceed: boolean): void {
    const name = keyOf('incr', key);
    this.#cluster.input(this.#cluster.machines[index]!, (node) =>
      node.read(name, { policy, timeoutMs: FINAL_TIMEOUT_MS }, (error) => {
        if (!error || !mustSucceed) return;
        this.#cluster.faults.push(`after healing a read of ${name} at R=N failed: ${error.message}`);
      }),
    );
  }

  /** Lists the whole cluster's keys in small pages from one node, and counts them from another. */
  #list(): { scanned: ReadonlySet<string> | undefined; counted: number | undefined } {
    const first = this.#cluster.present[0]!;
    const last = this.#cluster.present.at(-1)!;
    const seen = new Set<string>();
    let complete = false;
    let counted: number | undefined;
    const served = !hasWildClocks(this.#plan);
    const failed = (what: string, error: CodedError) => {
      if (served) this.#cluster.faults.push(`after healing a ${what} failed: ${error.message}`);
    };
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
    if (!complete && served) this.#cluster.faults.push('after healing a scan did not come to its end');
    return { scanned: complete ? seen : undefined, counted };
  }

  #waitForRequests(): void {
    const deadline = this.#schedule.now + 2 * FINAL_TIMEOUT_MS * 1000;
    while (this.#workload.pending > 0 && this.#schedule.now < deadline) this.#advance(2);
  }

  #states(): KeyState[] {
    const table =
      this.#cluster.topology?.read ?? simTable(this.#plan.nodes, this.#plan.n, zonesOf(this.#plan));
    return inspectKeys(this.#cluster, table, this.#keys);
  }

  #leftovers(): string[] {
    const left: string[] = [];
    for (const machine of this.#cluster.present) {
      const figures = machine.node?.figures();
      const inFlight = figures === undefined ? 0 : figures.requestsInFlight + figures.writesUnsettled;
      if (inFlight > 0) left.push(`${machine.id} still has ${inFlight} requests in flight at rest`);
    }
    return left;
  }
}
