/**
 * What a node counts, as its metrics page tells it, and what two such pages a while apart say of its load.
 *
 * The picture: reading a gas meter. The meter only ever counts up; what was used is the difference of two
 * readings, and a meter that stands lower than last time is a new meter: nothing can be said until it is read again.
 * The time between is told by the page itself (how long the process runs), so a page that comes late does no harm.
 */

import type { NodeLoad } from './load.ts';

/** A bucket of a histogram: how many were at most as large as `bound`. */
export interface Bucket {
  readonly bound: number;
  readonly count: number;
}

/** What is taken from a metrics page. Undefined where the page does not have it. */
export interface Reading {
  readonly uptimeSeconds: number | undefined;
  /** Reads, writes and updates since its start, without those it sent on to another node. */
  readonly operations: number | undefined;
  readonly cpuSeconds: number | undefined;
  readonly storedBytes: number | undefined;
  /** Latency of commands in seconds, by ascending bound; empty if the page has none. */
  readonly latency: readonly Bucket[];
}

const latencyBucket = 'dure_resp_latency_seconds_bucket';
const operationNames: readonly string[] = ['dure_reads_total', 'dure_writes_total', 'dure_updates_total'];
/** A request that is sent on is counted by both nodes. */
const forwardNames: readonly string[] = ['dure_forwards_total'];
const cpuNames: readonly string[] = ['process_cpu_user_seconds_total', 'process_cpu_system_seconds_total'];
/** A memory engine has nothing on disk, another one little in memory: the greater is what fills up. */
const storedNames: readonly string[] = ['dure_storage_disk_bytes', 'dure_storage_memory_bytes'];
/** `name{labels} value`; what follows the value is of no interest. */
const linePattern = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})? (\S+)/;

/** Reads a page in Prometheus' text format. What it does not know it passes over. */
export function readMetrics(page: string): Reading {
  const values = new Map<string, number>();
  const latency: Bucket[] = [];
  for (const line of page.split('\n')) {
    const match = linePattern.exec(line);
    if (match === null) continue;
    const [, name, labels, text] = match;
    const value = Number(text);
    if (name === latencyBucket) {
      const bound = /le="([^"]*)"/.exec(labels ?? '')?.[1];
      if (bound !== undefined) latency.push({ bound: boundOf(bound), count: value });
    } else if (labels === undefined) values.set(name!, value);
  }
  latency.sort((a, b) => a.bound - b.bound);
  return {
    uptimeSeconds: values.get('process_uptime_seconds'),
    operations: difference(sumOf(values, operationNames), sumOf(values, forwardNames)),
    cpuSeconds: sumOf(values, cpuNames),
    storedBytes: mostOf(values, storedNames),
    latency,
  };
}

function boundOf(text: string): number {
  return text === '+Inf' ? Number.POSITIVE_INFINITY : Number(text);
}

function sumOf(values: ReadonlyMap<string, number>, names: readonly string[]): number | undefined {
  let sum = 0;
  for (const name of names) {
    const value = values.get(name);
    if (value === undefined || !Number.isFinite(value)) return undefined;
    sum += value;
  }
  return sum;
}

function difference(all: number | undefined, part: number | undefined): number | undefined {
  return all === undefined || part === undefined ? undefined : all - part;
}

function mostOf(values: ReadonlyMap<string, number>, names: readonly string[]): number | undefined {
  const known = names.map((name) => values.get(name)).filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

/** Remembers the last reading of each node. */
export class Meters {
  #last: Map<string, Reading> = new Map();

  /**
   * The load of every member since its reading before.
   * @param members all there are: others are forgotten
   * @param readings of those that answered
   */
  read(
    members: readonly { readonly id: string; readonly zone: string }[],
    readings: ReadonlyMap<string, Reading>,
  ): NodeLoad[] {
    const last = this.#last;
    this.#last = new Map();
    return members.map(({ id, zone }) => {
      const reading = readings.get(id);
      const before = last.get(id);
      if (reading === undefined) return { id, zone, ...nothingKnown };
      this.#last.set(id, reading);
      return { id, zone, ...loadBetween(before, reading) };
    });
  }
}

type Load = Omit<NodeLoad, 'id' | 'zone'>;

const nothingKnown: Load = { operations: undefined, cpu: undefined, p99Ms: undefined, diskBytes: undefined };

function loadBetween(before: Reading | undefined, now: Reading): Load {
  const diskBytes = now.storedBytes;
  const seconds = (now.uptimeSeconds ?? 0) - (before?.uptimeSeconds ?? Number.POSITIVE_INFINITY);
  // Less than before: the process has been started again since.
  if (before === undefined || !(seconds > 0)) return { ...nothingKnown, diskBytes };
  return {
    operations: rateOf(before.operations, now.operations, seconds),
    cpu: rateOf(before.cpuSeconds, now.cpuSeconds, seconds),
    p99Ms: quantileBetween(before.latency, now.latency, 0.99),
    diskBytes,
  };
}

function rateOf(before: number | undefined, now: number | undefined, seconds: number): number | undefined {
  if (before === undefined || now === undefined || now < before) return undefined;
  return (now - before) / seconds;
}

/**
 * A quantile of what came between two readings of a histogram, milliseconds, by straight lines within a bucket (as
 * Prometheus' `histogram_quantile`). 0 when nothing came, undefined when the readings do not belong together.
 * Beyond the last bound it is that bound.
 */
export function quantileBetween(
  before: readonly Bucket[],
  now: readonly Bucket[],
  quantile: number,
): number | undefined {
  if (now.length === 0 || before.length !== now.length) return undefined;
  const counts: number[] = [];
  for (const [i, { bound, count }] of now.entries()) {
    const was = before[i]!;
    if (was.bound !== bound || count < was.count) return undefined;
    counts.push(count - was.count);
  }
  const total = counts.at(-1)!;
  if (total === 0) return 0;
  const rank = quantile * total;
  const index = counts.findIndex((count) => count >= rank);
  const low = index <= 0 ? 0 : now[index - 1]!.bound;
  const high = now[index]!.bound;
  if (high === Number.POSITIVE_INFINITY) return low * 1000;
  const below = index <= 0 ? 0 : counts[index - 1]!;
  const within = counts[index]! - below;
  return (low + (high - low) * (within === 0 ? 1 : (rank - below) / within)) * 1000;
}
