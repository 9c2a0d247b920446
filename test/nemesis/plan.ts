/**
 * What will be done to the cluster, drawn from a seed: a list of faults, each with its moment, its length
 * and its victims. A value, so that it can be printed, compared and replayed.
 *
 * The picture: a villain with a diary. Mostly one crime at a time, so that each can be seen in the
 * figures; now and then a second begins before the first is over; now and then all nodes fall at once.
 */

import { Prng } from '../../src/base/prng.ts';
import type { FaultClass } from './options.ts';

export type FaultKind =
  | 'kill'
  | 'kill-all'
  | 'crash-loop'
  | 'freeze'
  | 'isolate'
  | 'one-way'
  | 'partial'
  | 'disk-full';

/** How a cut link behaves: connections are reset, or bytes vanish and connections hang. */
export type CutMode = 'reset' | 'silent';

export interface PlannedFault {
  readonly kind: FaultKind;
  /** What a person calls it: `n2 frozen`. */
  readonly name: string;
  /** From the start of the load. */
  readonly atMs: number;
  readonly forMs: number;
  /** Nodes (from 0) that are killed, frozen or full. */
  readonly nodes: readonly number[];
  /** Directed links, from and to. */
  readonly links: readonly (readonly [number, number])[];
  readonly mode: CutMode;
}

export interface FaultPlan {
  readonly faults: readonly PlannedFault[];
  /** When everything is healed. */
  readonly healAtMs: number;
}

export interface PlanInput {
  readonly seed: number;
  readonly nodes: number;
  readonly classes: readonly FaultClass[];
  /** Nodes whose disk can be filled. */
  readonly smallDisks: readonly number[];
  readonly chaosMs: number;
}

/** The load runs undisturbed for so long, for a base line. */
const quietMs = 4000;
/** Between the end of a fault and the next. */
const gapMinMs = 1500;
const gapMaxMs = 4500;

export function nodeName(index: number): string {
  return `n${index + 1}`;
}

/** Draws a plan. Every class comes once before any comes again. */
export function drawPlan(input: PlanInput): FaultPlan {
  const prng = new Prng(input.seed);
  const classes = input.classes.filter((each) => each !== 'disk' || input.smallDisks.length > 0);
  const faults: PlannedFault[] = [];
  let atMs = quietMs;
  let bag: FaultClass[] = [];
  while (classes.length > 0) {
    if (bag.length === 0) bag = shuffled(prng, classes);
    const fault = drawFault(prng, input, bag.pop()!, atMs, []);
    if (fault.atMs + fault.forMs > input.chaosMs) break;
    faults.push(fault);
    const others = classes.filter((each) => each !== 'disk' && each !== classOf(fault));
    if (fault.nodes.length <= 1 && others.length > 0 && prng.chance(0.2)) {
      const during = atMs + Math.floor(fault.forMs * (0.2 + 0.6 * prng.unit()));
      const second = drawFault(prng, input, prng.pick(others), during, fault.nodes);
      if (second.nodes.length <= 1 && during + second.forMs <= input.chaosMs) faults.push(second);
    }
    const end = Math.max(...faults.map((each) => each.atMs + each.forMs));
    atMs = end + prng.between(gapMinMs, gapMaxMs);
  }
  return { faults, healAtMs: input.chaosMs };
}

function classOf(fault: PlannedFault): FaultClass {
  if (fault.links.length > 0) return 'cut';
  if (fault.kind === 'freeze') return 'freeze';
  return fault.kind === 'disk-full' ? 'disk' : 'kill';
}

function shuffled<T>(prng: Prng, items: readonly T[]): T[] {
  const left = [...items];
  const result: T[] = [];
  while (left.length > 0) result.push(...left.splice(prng.below(left.length), 1));
  return result;
}

function drawFault(
  prng: Prng,
  input: PlanInput,
  kind: FaultClass,
  atMs: number,
  spared: readonly number[],
): PlannedFault {
  const all = Array.from({ length: input.nodes }, (_, i) => i);
  const node = prng.pick(all.filter((each) => !spared.includes(each)));
  const base = { atMs, nodes: [node], links: [], mode: 'reset' as const };
  switch (kind) {
    case 'kill': {
      const draw = prng.unit();
      if (draw < 0.12 && spared.length === 0) {
        return { ...base, kind: 'kill-all', name: 'all killed', forMs: prng.between(300, 1500), nodes: all };
      }
      if (draw < 0.25) {
        const forMs = prng.between(3000, 5000);
        return { ...base, kind: 'crash-loop', name: `${nodeName(node)} crash loop`, forMs };
      }
      return { ...base, kind: 'kill', name: `${nodeName(node)} killed`, forMs: prng.between(300, 7000) };
    }
    case 'freeze':
      return { ...base, kind: 'freeze', name: `${nodeName(node)} frozen`, forMs: prng.between(1000, 4000) };
    case 'disk': {
      const victim = prng.pick(input.smallDisks);
      const name = `${nodeName(victim)} disk full`;
      return { ...base, kind: 'disk-full', name, forMs: prng.between(2000, 5000), nodes: [victim] };
    }
    case 'cut':
      return drawCut(prng, all, node, atMs);
  }
}

function drawCut(prng: Prng, all: readonly number[], node: number, atMs: number): PlannedFault {
  const others = all.filter((each) => each !== node);
  const other = prng.pick(others);
  const mode: CutMode = prng.chance(0.5) ? 'reset' : 'silent';
  const base = { atMs, forMs: prng.between(1500, 7000), nodes: [], mode };
  const words = mode === 'silent' ? ', silently' : '';
  switch (prng.below(3)) {
    case 0: {
      const links = others.flatMap((each) => [[node, each] as const, [each, node] as const]);
      return { ...base, kind: 'isolate', name: `${nodeName(node)} cut off${words}`, links };
    }
    case 1: {
      const links = [[node, other] as const];
      const name = `${nodeName(node)}→${nodeName(other)} cut${words}`;
      return { ...base, kind: 'one-way', name, links };
    }
    default: {
      const links = [[node, other] as const, [other, node] as const];
      const name = `${nodeName(node)}–${nodeName(other)} cut${words}`;
      return { ...base, kind: 'partial', name, links };
    }
  }
}
