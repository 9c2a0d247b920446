/**
 * Plans: everything that is decided before a run begins, as plain JSON.
 *
 * Swarm testing (Groce et al. 2012): each seed draws its own kind of cluster, its own policy and its
 * own few kinds of fault, because a run in which everything happens at once hides as much as it
 * finds. What a plan leaves open (each frame's delay, which batch a crash loses) is drawn during the
 * run from `seed`, so a plan gives one run. Being data, a plan can be printed, replayed, and cut down.
 */

import { Prng } from '../src/base/prng.ts';
import { drawChurn } from './churn.ts';
import type { ClockFaults } from './clock.ts';
import type { DiskProfile } from './disk.ts';
import { ABILITIES, drawFaults, FAULT_KINDS, type FaultKind, type PlanFault } from './faults.ts';
import type { NetworkProfile } from './network.ts';

export type OpKind = 'read' | 'versions' | 'write' | 'delete' | 'expire' | 'setnx' | 'incr' | 'flush';

/** One request of a client: when, from which node, what. Its value is unique and made from its place. */
export interface PlanOp {
  readonly atMs: number;
  /** The node the client talks to; if it is down, the next one that is up. */
  readonly node: number;
  readonly kind: OpKind;
  /** Number of the key. */
  readonly key: number;
  /** Bytes the value is padded with. */
  readonly padBytes?: number;
  /** For `expire`: how long the value lives. */
  readonly ttlMs?: number;
  /**
   * Under policy `siblings`: who asks. A client keeps the context of its last `versions` of a key, however old,
   * and writes the key with it; a write of nobody, or of a client that has none, is blind.
   */
  readonly client?: number;
  /** The write is under `last-write-wins` although the plan is not. */
  readonly plain?: true;
}

/** What is drawn of a plan whose keys are under policy `siblings`. */
export interface SiblingsPlan {
  /** `siblingsMax` of the nodes. */
  readonly max: number;
}

/** How nodes keep their replicas equal, and how narrow their limits are. As in `NodeLimits`. */
export interface Upkeep {
  readonly repairIntervalMs: number;
  readonly horizonIntervalMs: number;
  readonly horizonMarginMs: number;
  readonly hintBytesMax: number;
  readonly handoffBytesPerSecond: number;
  /** After recovery so much time passes before anybody reads, milliseconds: tombstones are collected. */
  readonly lingerMs: number;
}

/** A change of the members that somebody asks for, again and again until it is begun or the chaos is over. */
export interface PlanChange {
  readonly atMs: number;
  readonly kind: 'join' | 'leave' | 'remove' | 'replace' | 'weight' | 'cancel';
  /** Who comes, goes, is lost for good, or weighs otherwise; for `replace` who comes. */
  readonly node: number;
  /** For `replace`: who is lost for good. */
  readonly lost: number;
  /** Whom it is asked of first. */
  readonly through: number;
  readonly weight: number;
}

/** Members that come and go while the run lasts. */
export interface ChurnPlan {
  /** Machines beside the founders, numbered after them, that wait to be taken in. */
  readonly spares: number;
  readonly zones: number;
  readonly changes: readonly PlanChange[];
}

export interface Plan {
  readonly seed: number;
  readonly nodes: number;
  /** N, R, W and strictness of every key. */
  readonly n: number;
  readonly r: number;
  readonly w: number;
  readonly strict: boolean;
  /** Present if all keys are under policy `siblings`. */
  readonly siblings?: SiblingsPlan;
  /** Present if members come and go. */
  readonly churn?: ChurnPlan;
  readonly durability: 'always' | 'interval';
  readonly requestTimeoutMs: number;
  readonly requestsMax: number;
  readonly tickMs: number;
  readonly turnUs: number;
  readonly network: NetworkProfile;
  readonly disk: DiskProfile;
  readonly clocks: readonly ClockFaults[];
  readonly upkeep: Upkeep;
  readonly keys: number;
  readonly ops: readonly PlanOp[];
  readonly faults: readonly PlanFault[];
}

/** What a plan is drawn from; the mutants narrow it to what reveals them. */
export interface PlanBias {
  readonly nodes?: readonly number[];
  readonly n?: number;
  readonly r?: number;
  readonly w?: number;
  readonly strict?: boolean;
  readonly durability?: 'always' | 'interval';
  readonly keys?: number;
  readonly ops?: number;
  readonly opKinds?: Readonly<Partial<Record<OpKind, number>>>;
  readonly faultKinds?: readonly FaultKind[];
  readonly faults?: readonly [number, number];
  readonly skewMs?: number;
  readonly calm?: boolean;
  readonly turnUs?: number;
  readonly durationMs?: number;
  /** Clocks jump by seconds and hours, in strict plans. */
  readonly wildClocks?: boolean;
  /** Requests come in so many bursts; 0 for evenly. */
  readonly bursts?: number;
  readonly upkeep?: Partial<Upkeep>;
  /** Members come and go; left out of a bias, they do not. Drawn where there is no bias at all. */
  readonly churn?: boolean;
  /** Kinds of change to draw from. */
  readonly changeKinds?: readonly PlanChange['kind'][];
  /** How many changes are asked for, at least and at most. */
  readonly changes?: readonly [number, number];
  /** Faults strike shortly before or after somebody asks for a change. */
  readonly faultsNearChanges?: boolean;
  /** Left out of a bias, `last-write-wins`; drawn where there is no bias at all. */
  readonly siblings?: boolean;
}

/** For plans like any other, but that members come and go. */
export function churnBias(seed: number): PlanBias {
  return { churn: true, siblings: new Prng(seed ^ 0x51b1).chance(0.35) };
}

/** The plan of a seed. */
export function drawPlan(seed: number, given?: PlanBias): Plan {
  const bias = given ?? {};
  const prng = new Prng(seed);
  const nodes = prng.pick(bias.nodes ?? [1, 2, 3, 3, 3, 3, 4, 5, 5, 7]);
  const n = Math.min(nodes, bias.n ?? prng.pick([1, 2, 3, 3, 3, 3, 3, 4, 5]));
  const strict = bias.strict ?? prng.chance(0.5);
  const [r, w] = drawQuorum(prng, n, strict, bias);
  const calm = bias.calm ?? prng.chance(0.1);
  const durability = bias.durability ?? (prng.chance(0.5) ? 'always' : 'interval');
  const durationMs = bias.durationMs ?? prng.pick([1500, 3000, 3000, 6000]);
  const keys = bias.keys ?? prng.pick([1, 2, 3, 5, 8, 12]);
  const skewMax = bias.skewMs ?? prng.pick([0, 0, 20, 200]);
  const skews = prng.fork();
  // A sequence of its own: what else is drawn stays as it was before there were siblings.
  const dial = new Prng(seed ^ 0x51b1);
  const churnDial = new Prng(seed ^ 0x70b0);
  const churns = bias.churn ?? (ABILITIES.churn && given === undefined && churnDial.chance(0.3));
  const churn =
    churns && nodes > 1
      ? drawChurn(churnDial, { nodes, w, durationMs, kinds: bias.changeKinds, count: bias.changes })
      : undefined;
  const machines = nodes + (churn?.spares ?? 0);
  const siblings = bias.siblings ?? (given === undefined && dial.chance(0.35));
  const nearFaults = (faults: PlanFault[]): PlanFault[] =>
    bias.faultsNearChanges ? nearChanges(churnDial, faults, churn?.changes ?? []) : faults;
  return {
    seed,
    nodes,
    n,
    r,
    w,
    strict,
    durability,
    requestTimeoutMs: prng.pick([200, 500, 1000]),
    requestsMax: prng.chance(0.1) ? 4 : 20_000,
    tickMs: prng.pick([10, 10, 20]),
    turnUs: bias.turnUs ?? prng.pick([0, 0, 300, 1500]),
    network: drawNetwork(prng.fork()),
    disk: drawDisk(prng.fork()),
    clocks: Array.from({ length: machines }, () => ({
      skewMs: skewMax === 0 ? 0 : skews.between(-skewMax, skewMax),
      driftPpm: skews.chance(0.3) ? skews.between(-2000, 2000) : 0,
    })),
    upkeep: { ...drawUpkeep(prng.fork()), ...bias.upkeep },
    keys,
    ...(churn === undefined ? {} : { churn }),
    ...(siblings ? { siblings: { max: dial.pick([4, 32, 1000]) } } : {}),
    ops: withClients(
      drawOps(prng.fork(), { nodes, keys, strict, calm, durationMs, bias }),
      siblings,
      strict,
      dial,
    ),
    faults: calm
      ? []
      : nearFaults(
          drawFaults(prng.fork(), {
            nodes: machines,
            n,
            w: Math.min(w, 1 + silentMost(nodes, churn)),
            strict,
            durability,
            durationMs,
            kinds: bias.faultKinds,
            count: bias.faults ?? [1, 12],
            wildClocks: bias.wildClocks,
          }),
        ),
  };
}

/** The same faults, when the members change: a change takes a fraction of a second. */
function nearChanges(prng: Prng, faults: PlanFault[], changes: readonly PlanChange[]): PlanFault[] {
  if (changes.length === 0) return faults;
  return faults
    .map((fault) => ({ ...fault, atMs: Math.max(0, prng.pick(changes).atMs + prng.between(-150, 350)) }))
    .sort((a, b) => a.atMs - b.atMs);
}

/**
 * So many machines may forget what they acknowledged: they forget their votes too, and the others must be a majority of
 * those that vote on the topology, or nothing can be changed any more (docs/design/topology.md).
 */
function silentMost(nodes: number, churn: ChurnPlan | undefined): number {
  if (churn === undefined) return nodes;
  const isLoss = ({ kind }: PlanChange): boolean => kind === 'remove' || kind === 'replace';
  if (churn.changes.some(isLoss)) return 0;
  const voters = nodes - churn.changes.filter(({ kind }) => kind === 'leave').length;
  return Math.max(0, voters - (Math.floor(voters / 2) + 1));
}

/** R and W. A strict plan always has R+W>N: that is what P6 speaks of. */
function drawQuorum(prng: Prng, n: number, strict: boolean, bias: PlanBias): [number, number] {
  if (bias.r !== undefined && bias.w !== undefined) return [Math.min(n, bias.r), Math.min(n, bias.w)];
  const majority = Math.floor(n / 2) + 1;
  if (prng.chance(0.6)) return [majority, majority];
  const r = prng.between(1, n);
  const w = prng.between(strict ? n + 1 - r : 1, n);
  return [r, w];
}

function drawNetwork(prng: Prng): NetworkProfile {
  return {
    delayMinUs: prng.pick([20, 100, 500]),
    delayMeanUs: prng.pick([50, 200, 1000, 3000]),
    tailShare: prng.pick([0, 0, 0.01, 0.05]),
    delayTailUs: prng.pick([10_000, 50_000, 300_000]),
    queueFramesMax: prng.chance(0.1) ? 8 : 10_000,
  };
}

function drawDisk(prng: Prng): DiskProfile {
  return {
    commitMinUs: 20,
    commitMeanUs: prng.pick([50, 300, 2000]),
    syncMeanUs: prng.pick([200, 2000, 8000]),
    syncIntervalUs: prng.pick([50_000, 200_000, 1_000_000]),
    visibleEarly: prng.chance(0.5),
  };
}

/** Everything a real node does in minutes happens in seconds here. */
function drawUpkeep(prng: Prng): Upkeep {
  const collects = prng.chance(0.4);
  return {
    repairIntervalMs: prng.pick([1000, 2000]),
    horizonIntervalMs: collects ? prng.pick([300, 1000]) : 600_000,
    horizonMarginMs: prng.pick([1000, 2500]),
    hintBytesMax: prng.chance(0.2) ? prng.pick([300, 2000]) : 1_000_000,
    handoffBytesPerSecond: prng.pick([50_000, 10_000_000]),
    lingerMs: collects ? prng.pick([0, 3000, 6000]) : 0,
  };
}

interface OpsContext {
  readonly nodes: number;
  readonly keys: number;
  readonly strict: boolean;
  readonly calm: boolean;
  readonly durationMs: number;
  readonly bias: PlanBias;
}

function drawOps(prng: Prng, context: OpsContext): PlanOp[] {
  const count = context.bias.ops ?? prng.pick([60, 150, 300, 600]);
  const weights: [OpKind, number][] = Object.entries(
    context.bias.opKinds ?? drawMix(prng, context.strict),
  ) as [OpKind, number][];
  const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
  // Clients that come in bursts meet each other; clients that come evenly meet the faults.
  const bursts = context.bias.bursts ?? (prng.chance(0.5) ? prng.between(5, 40) : 0);
  const oneNode = prng.chance(0.2);
  const ops: PlanOp[] = [];
  for (let i = 0; i < count; i++) {
    const kind = drawKind(weights, prng.unit() * total);
    const atMs =
      bursts > 0
        ? Math.floor((prng.below(bursts) * context.durationMs) / bursts) + prng.below(8)
        : prng.below(context.durationMs);
    const op: PlanOp = {
      atMs: atMs + Math.round(prng.unit() * 1000) / 1000,
      node: oneNode ? 0 : prng.below(context.nodes),
      kind,
      key: prng.below(context.keys),
      ...(prng.chance(0.3) ? { padBytes: prng.below(prng.chance(0.1) ? 4000 : 100) } : {}),
      ...(kind === 'expire' ? { ttlMs: prng.between(1, 1500) } : {}),
    };
    ops.push(op);
  }
  return ops.sort((a, b) => a.atMs - b.atMs);
}

/** The requests of clients that know of siblings: who asks, who has seen what. */
function withClients(ops: PlanOp[], siblings: boolean, strict: boolean, dial: Prng): PlanOp[] {
  if (!siblings) return ops;
  const clients = dial.pick([1, 2, 3, 8]);
  const blindShare = dial.pick([0, 0.2, 0.6]);
  const deleteShare = dial.pick([0, 0.1, 0.3]);
  const plainShare = !strict && dial.chance(0.25) ? 0.1 : 0;
  return ops.map((op) => {
    if (op.kind === 'read' && dial.chance(0.8))
      return { ...op, kind: 'versions', client: dial.below(clients) };
    if (op.kind !== 'write' && op.kind !== 'delete' && op.kind !== 'expire') return op;
    const kind = op.kind === 'write' && dial.chance(deleteShare) ? 'delete' : op.kind;
    if (dial.chance(plainShare)) return { ...op, kind, plain: true };
    return dial.chance(blindShare) ? { ...op, kind } : { ...op, kind, client: dial.below(clients) };
  });
}

function drawKind(weights: readonly [OpKind, number][], draw: number): OpKind {
  let left = draw;
  for (const [kind, weight] of weights) {
    left -= weight;
    if (left < 0) return kind;
  }
  return weights[0]![0];
}

/** A strict plan has reads and writes, and rarely a flush: its keys are judged as registers (oracle P6). */
function drawMix(prng: Prng, strict: boolean): Partial<Record<OpKind, number>> {
  const mix: Partial<Record<OpKind, number>> = { read: prng.pick([1, 2, 4]), write: prng.pick([1, 2, 4]) };
  if (strict) {
    // A flush is no write of one register: such a run is judged by the other oracles.
    if (prng.chance(0.1)) mix.flush = 0.04;
    return mix;
  }
  if (prng.chance(0.5)) mix.delete = 0.5;
  if (prng.chance(0.3)) mix.expire = 0.5;
  if (prng.chance(0.4)) mix.setnx = 0.5;
  if (prng.chance(0.4)) mix.incr = 0.5;
  if (prng.chance(0.3)) mix.flush = 0.04;
  return mix;
}

/** The plan as text that `readPlan` reads back. */
export function writePlan(plan: Plan): string {
  const { ops, faults, ...rest } = plan;
  const lines = (items: readonly unknown[]) => items.map((item) => `    ${JSON.stringify(item)}`).join(',\n');
  const head = JSON.stringify(rest, undefined, 2).slice(0, -2);
  return `${head},\n  "faults": [\n${lines(faults)}\n  ],\n  "ops": [\n${lines(ops)}\n  ]\n}\n`;
}

/** @throws Error if the text is not a plan. */
export function readPlan(text: string): Plan {
  const value = JSON.parse(text) as Partial<Plan>;
  for (const name of ['seed', 'nodes', 'n', 'r', 'w', 'keys'] as const) {
    if (!Number.isInteger(value[name])) throw new Error(`plan: ${name} is not an integer`);
  }
  if (!Array.isArray(value.ops) || !Array.isArray(value.faults)) throw new Error('plan: no ops or no faults');
  for (const fault of value.faults as PlanFault[]) {
    if (!FAULT_KINDS.includes(fault.kind)) throw new Error(`plan: unknown fault ${fault.kind}`);
  }
  return value as Plan;
}
