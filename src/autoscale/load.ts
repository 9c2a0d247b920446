/**
 * The load: what was seen of the nodes at one moment, held against the targets.
 *
 * The picture: a load is a weight on a table, and each node a leg. Operations, CPU and rows spread over all legs,
 * so the question before a leg is taken away is what the others would carry then. Latency does not spread: how
 * long commands wait says only whether the table bends.
 */

import { bytesWords, countWords } from '../base/words.ts';
import type { AutoscaleSettings } from './settings.ts';

/** A node since the sample before. Undefined is what nobody knows. */
export interface NodeLoad {
  readonly id: string;
  readonly zone: string;
  /** Operations a second it coordinated. */
  readonly operations: number | undefined;
  /** Cores its process was busy with: seconds of CPU a second. */
  readonly cpu: number | undefined;
  /** 99th percentile of the latency of its commands, milliseconds; 0 when it had none. */
  readonly p99Ms: number | undefined;
  /** What its storage holds. */
  readonly diskBytes: number | undefined;
}

/** The cluster at one moment. */
export interface Observation {
  /** Of the topology; undefined while nobody tells it. */
  readonly epoch: number | undefined;
  /** Every member. */
  readonly nodes: readonly NodeLoad[];
  /** Copies of a row (N). */
  readonly replicas: number;
  /** What is changing now, in words: nothing is decided meanwhile. Empty when nothing is. */
  readonly underWay: string;
  /** How far that is, in words; it may be another at each look. */
  readonly progress: string;
  /** What keeps a change from being made now, in words; empty for nothing. */
  readonly obstacle: string;
  /** Members that can be taken away, the oldest first. */
  readonly removable: readonly string[];
}

export type MeasureName = 'operations' | 'cpu' | 'p99' | 'disk';

/** One figure of all nodes, and how it stands to its target. */
export interface Measure {
  readonly name: MeasureName;
  /** Of a node: the mean; of `p99` the node in the middle, of `disk` the fullest. NaN when nobody told. */
  readonly value: number;
  readonly target: number;
  /** Nodes that told it. */
  readonly told: number;
  /** `value / target`: above 1, a node is missing. NaN when too few told. */
  readonly ratio: number;
  /** The same with one node less. NaN unless every node told. */
  readonly ratioOneLess: number;
}

interface Kind {
  readonly name: MeasureName;
  readonly target: (settings: AutoscaleSettings) => number;
  readonly read: (node: NodeLoad) => number | undefined;
  readonly sum: (values: readonly number[]) => number;
  /** Whether fewer nodes carry more of it each. */
  readonly spreads: boolean;
}

const kinds: readonly Kind[] = [
  {
    name: 'operations',
    target: (settings) => settings.operationsTarget,
    read: (node) => node.operations,
    sum: mean,
    spreads: true,
  },
  {
    name: 'cpu',
    target: (settings) => settings.cpuTarget,
    read: (node) => node.cpu,
    sum: mean,
    spreads: true,
  },
  {
    name: 'p99',
    target: (settings) => settings.p99TargetMs,
    read: (node) => node.p99Ms,
    sum: middle,
    spreads: false,
  },
  {
    name: 'disk',
    target: (settings) => settings.diskTargetBytes,
    read: (node) => node.diskBytes,
    // A full disk refuses writes, whatever the others have left.
    sum: (values) => Math.max(...values),
    spreads: true,
  },
];

/** Every measure that has a target. */
export function measuresOf(nodes: readonly NodeLoad[], settings: AutoscaleSettings): readonly Measure[] {
  return kinds
    .filter(({ target }) => target(settings) > 0)
    .map((kind) => measureOf(nodes, kind, kind.target(settings)));
}

function measureOf(nodes: readonly NodeLoad[], kind: Kind, target: number): Measure {
  const { name, read, sum, spreads } = kind;
  const values = nodes.map(read).filter((value) => value !== undefined);
  const told = values.length;
  const value = told === 0 ? Number.NaN : sum(values);
  const count = nodes.length;
  // Half of the nodes may be the slow half: more than that must have told.
  const ratio = 2 * told > count ? value / target : Number.NaN;
  const factor = spreads ? count / (count - 1) : 1;
  const ratioOneLess = told === count && count > 1 ? ratio * factor : Number.NaN;
  return { name, value, target, told, ratio, ratioOneLess };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The lower one of the middle two, where there are two. */
function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
}

/** The measure that is furthest above its target; undefined when none is above. */
export function worstOf(measures: readonly Measure[]): Measure | undefined {
  let worst: Measure | undefined;
  for (const measure of measures) {
    if (measure.ratio > 1 && (worst === undefined || measure.ratio > worst.ratio)) worst = measure;
  }
  return worst;
}

/** The measure that would be fullest with one node less; undefined when one of them cannot be told. */
export function fullestOneLess(measures: readonly Measure[]): Measure | undefined {
  let fullest: Measure | undefined;
  for (const measure of measures) {
    if (Number.isNaN(measure.ratioOneLess)) return undefined;
    if (fullest === undefined || measure.ratioOneLess > fullest.ratioOneLess) fullest = measure;
  }
  return fullest;
}

/** A value of a measure for people: `1,204 operations/s`, `0.73 cores`. */
export function valueWords(name: MeasureName, value: number): string {
  if (Number.isNaN(value)) return 'nobody knows';
  if (name === 'operations') return `${countWords(value)} operations/s`;
  if (name === 'cpu') return `${value.toFixed(2)} cores`;
  if (name === 'p99') return `p99 ${value < 10 ? value.toFixed(1) : countWords(value)} ms`;
  return `${bytesWords(value)} stored`;
}

/**
 * Which node to give away: of those that can be taken, one of the zone with the most nodes, so that the replicas
 * can still be spread; of these the last, which joined last and has had the least time to grow old.
 */
export function leaverOf({ nodes, removable }: Observation): string | undefined {
  const sizes = new Map<string, number>();
  const zones = new Map<string, string>();
  for (const { id, zone } of nodes) {
    sizes.set(zone, (sizes.get(zone) ?? 0) + 1);
    zones.set(id, zone);
  }
  let leaver: string | undefined;
  let most = 0;
  for (const id of removable) {
    const size = sizes.get(zones.get(id) ?? '') ?? 0;
    if (size === 0 || size < most) continue;
    most = size;
    leaver = id;
  }
  return leaver;
}
