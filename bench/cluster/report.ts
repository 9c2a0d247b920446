/**
 * From the rounds measured to the tables printed. A figure is the median over the rounds; a ratio is
 * the median of the ratios round by round, as the two runs of a round lie close together in time and so
 * share what disturbed the machine.
 */

import type { Latency } from './histogram.ts';
import type { Row } from './plan.ts';
import type { Durability, SystemName } from './system.ts';

/** One system, one workload, one round. */
export interface Measurement {
  readonly scene: Durability;
  readonly workload: string;
  readonly system: SystemName;
  readonly label: string;
  readonly round: number;
  readonly perSecond: number;
  readonly errors: number;
  readonly firstError?: string;
  readonly latency: Latency;
  /** Processor time of all processes of the system, an operation. */
  readonly cpuUserUs?: number;
  readonly cpuSystemUs?: number;
  /** The same by kind of thread. */
  readonly threadsUs: Readonly<Record<string, number>>;
  /** Share of a core that the load generator took; of no use where redis-benchmark was it. */
  readonly generatorCpu: number;
  /** Share of a core that the other systems, idle meanwhile, took together. */
  readonly idleCpu?: number;
}

export interface Figures {
  readonly scene: Durability;
  readonly workload: string;
  readonly system: SystemName;
  readonly label: string;
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
  readonly cpuUserUs: number;
  readonly cpuSystemUs: number;
  /** Of the processor time, the main threads' part. */
  readonly cpuMainUs: number;
  readonly generatorCpu: number;
  readonly errors: number;
}

export interface Comparison {
  readonly row: number;
  readonly what: string;
  readonly against: string;
  readonly ratio: number;
  readonly ratioMin: number;
  readonly ratioMax: number;
  readonly p99Ratio: number;
  readonly cpuRatio: number;
  readonly goal: string;
  readonly met: boolean;
  readonly leastMet?: boolean;
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.filter((number) => !Number.isNaN(number)).toSorted((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Measurements of one system and workload, over the rounds. */
function groups(all: readonly Measurement[]): Measurement[][] {
  const byKey = Map.groupBy(all, ({ scene, workload, system }) => `${scene} ${workload} ${system}`);
  return [...byKey.values()];
}

const cpuUs = (one: Measurement) => (one.cpuUserUs ?? Number.NaN) + (one.cpuSystemUs ?? Number.NaN);

export function figures(all: readonly Measurement[]): Figures[] {
  return groups(all).map((rounds) => {
    const of = (pick: (one: Measurement) => number) => median(rounds.map(pick));
    const { scene, workload, system, label } = rounds[0]!;
    return {
      scene,
      workload,
      system,
      label,
      perSecond: of((one) => one.perSecond),
      p50Us: of((one) => one.latency.p50Us),
      p99Us: of((one) => one.latency.p99Us),
      p999Us: of((one) => one.latency.p999Us),
      maxUs: Math.max(...rounds.map((one) => one.latency.maxUs)),
      cpuUserUs: of((one) => one.cpuUserUs ?? Number.NaN),
      cpuSystemUs: of((one) => one.cpuSystemUs ?? Number.NaN),
      cpuMainUs: of((one) => one.threadsUs['main thread'] ?? Number.NaN),
      generatorCpu: of((one) => one.generatorCpu),
      errors: rounds.reduce((sum, one) => sum + one.errors, 0),
    };
  });
}

function compare(row: Row, workload: string, all: readonly Measurement[]): Comparison | undefined {
  const pick = (system: SystemName) =>
    all.filter((one) => one.scene === row.scene && one.workload === workload && one.system === system);
  const others = new Map(pick(row.against).map((one) => [one.round, one]));
  const pairs = pick('dure').flatMap((dure) => {
    const other = others.get(dure.round);
    return other === undefined ? [] : [{ dure, other }];
  });
  if (pairs.length === 0) return undefined;
  const ratios = pairs.map(({ dure, other }) => dure.perSecond / other.perSecond);
  const p99Ratio = median(pairs.map(({ dure, other }) => dure.latency.p99Us / other.latency.p99Us));
  const ratio = median(ratios);
  return {
    row: row.row,
    what: `${row.scene}, ${workload}`,
    against: row.against,
    ratio,
    ratioMin: Math.min(...ratios),
    ratioMax: Math.max(...ratios),
    p99Ratio,
    cpuRatio: median(pairs.map(({ dure, other }) => cpuUs(dure) / cpuUs(other))),
    goal: `>= ${row.goal}${row.p99 ? ', p99 <=' : ''}`,
    met: ratio >= row.goal && (!row.p99 || p99Ratio <= 1),
    ...(row.least === undefined ? {} : { leastMet: ratio >= row.least }),
  };
}

export function comparisons(rows: readonly Row[], all: readonly Measurement[]): Comparison[] {
  return rows.flatMap((row) => {
    const names = all.filter((one) => one.scene === row.scene).map((one) => one.workload);
    return [...new Set(names)]
      .filter((name) => row.workload === undefined || row.workload === name)
      .flatMap((name) => compare(row, name, all) ?? []);
  });
}

/** A table in Markdown, with its columns lined up; the first column to the left, the others to the right. */
function table(head: readonly string[], lines: readonly (readonly string[])[], left: number): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...lines.map((line) => line[column]!.length)),
  );
  const cell = (text: string, column: number) =>
    column < left ? text.padEnd(widths[column]!) : text.padStart(widths[column]!);
  const rule = widths.map((width, column) =>
    column < left ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [head, rule, ...lines].map((line) => `| ${line.map(cell).join(' | ')} |`);
}

const count = (value: number) => Math.round(value).toLocaleString('en-US').replaceAll(',', ' ');
const ms = (us: number) => (us / 1000).toFixed(us < 10_000 ? 2 : 1);
const fixed = (value: number, digits: number) => (Number.isNaN(value) ? '-' : value.toFixed(digits));

export function figuresTable(all: readonly Figures[]): string[] {
  const head =
    'work|system|op/s|p50 ms|p99 ms|p99.9 ms|max ms|cpu µs/op|user|sys|main thread|generator|errors'.split(
      '|',
    );
  const lines = all.map((one) => [
    `${one.scene}, ${one.workload}`,
    one.label,
    count(one.perSecond),
    ...[one.p50Us, one.p99Us, one.p999Us, one.maxUs].map(ms),
    fixed(one.cpuUserUs + one.cpuSystemUs, 1),
    fixed(one.cpuUserUs, 1),
    fixed(one.cpuSystemUs, 1),
    fixed(one.cpuMainUs, 1),
    one.generatorCpu === 0 ? '-' : `${(one.generatorCpu * 100).toFixed(0)} %`,
    String(one.errors),
  ]);
  return table(head, lines, 2);
}

export function comparisonsTable(all: readonly Comparison[]): string[] {
  const head = 'row|Dure|against|ratio|min|max|p99 ratio|cpu ratio|goal|met'.split('|');
  const lines = all.map((one) => [
    String(one.row),
    one.what,
    one.against,
    ...[one.ratio, one.ratioMin, one.ratioMax, one.p99Ratio, one.cpuRatio].map((value) => fixed(value, 2)),
    one.goal,
    one.met ? 'yes' : one.leastMet === true ? 'no (least: yes)' : 'no',
  ]);
  return table(head, lines, 3);
}
