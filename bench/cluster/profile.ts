/**
 * Reads CPU profiles of Node.js (`--cpu-prof`) and tells where the time went: self time by function and
 * by part of the program, idle time left out.
 *
 * `node bench/cluster/profile.ts FILE... [--top N]`
 *
 * The picture to have in mind: a profile is a list of samples, each naming a node of a call tree and
 * the microseconds since the sample before. A function's self time is the sum over the samples that
 * were in it and in nothing it called. Time in native code counts for the builtin, or as `(program)`.
 */

import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../../', import.meta.url));

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

interface Profile {
  readonly nodes: readonly ProfileNode[];
  /** Microseconds of the monotonic clock, the one of `process.hrtime`. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly name: string;
  /** Share of the time that was not idle. */
  readonly share: number;
}

export interface ProfileSummary {
  /** Share of the time in which the main thread did something. */
  readonly busy: number;
  readonly functions: readonly SelfTime[];
  readonly parts: readonly SelfTime[];
}

/** A span of the monotonic clock, in microseconds. */
export interface Span {
  readonly fromUs: number;
  readonly toUs: number;
}

function place(url: string): string {
  if (url.startsWith('file://')) return relative(root, fileURLToPath(url));
  return url;
}

function functionName({ callFrame }: ProfileNode): string {
  const { functionName, url, lineNumber } = callFrame;
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name.startsWith('(') ? name : `${name} (native)`;
  return `${name} ${place(url)}:${lineNumber + 1}`;
}

/** `src/node`, `node:internal`, `node:net`, a package, or a kind of native code. */
function partName({ callFrame }: ProfileNode): string {
  const { functionName, url } = callFrame;
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)';
  if (url.startsWith('node:')) return url.split('/')[0]!;
  const path = place(url);
  const packages = path.lastIndexOf('node_modules/');
  if (packages >= 0) return path.slice(packages).split('/').slice(0, 2).join('/');
  return path.split('/').slice(0, 2).join('/');
}

function ranked(times: ReadonlyMap<string, number>, total: number): SelfTime[] {
  return [...times]
    .map(([name, us]): SelfTime => ({ name, share: us / total }))
    .sort((a, b) => b.share - a.share);
}

/** Sums up profiles of one kind of process. @param span only what happened then */
export function summarise(files: readonly string[], span?: Span): ProfileSummary {
  const functions = new Map<string, number>();
  const parts = new Map<string, number>();
  let busyUs = 0;
  let totalUs = 0;
  const add = (times: Map<string, number>, name: string, us: number) =>
    times.set(name, (times.get(name) ?? 0) + us);
  for (const file of files) {
    const profile = JSON.parse(readFileSync(file, 'utf8')) as Profile;
    const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
    let nowUs = profile.startTime;
    for (const [index, sample] of profile.samples.entries()) {
      const deltaUs = profile.timeDeltas[index]!;
      nowUs += deltaUs;
      if (span !== undefined && (nowUs < span.fromUs || nowUs > span.toUs)) continue;
      // A sample stands for the time until the next one.
      const us = profile.timeDeltas[index + 1] ?? 0;
      totalUs += us;
      const node = nodes.get(sample)!;
      if (node.callFrame.functionName === '(idle)') continue;
      busyUs += us;
      add(functions, functionName(node), us);
      add(parts, partName(node), us);
    }
  }
  return {
    busy: totalUs === 0 ? 0 : busyUs / totalUs,
    functions: ranked(functions, busyUs),
    parts: ranked(parts, busyUs),
  };
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`.padStart(8);

/** The summary as lines of text. */
export function describe(title: string, summary: ProfileSummary, top: number): string[] {
  const list = (times: readonly SelfTime[]) =>
    times.slice(0, top).map(({ name, share }) => `${percent(share)}  ${name}`);
  return [
    `${title}: main thread busy ${(summary.busy * 100).toFixed(0)} % of the time; self time as a share of that`,
    ...list(summary.functions),
  ];
}

export function describeParts(title: string, summary: ProfileSummary, top: number): string[] {
  return describe(title, { ...summary, functions: summary.parts }, top);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { top: { type: 'string', default: '20' } },
  });
  if (positionals.length === 0) {
    console.error('usage: node bench/cluster/profile.ts FILE... [--top N]');
    process.exit(2);
  }
  const summary = summarise(positionals);
  console.log(describe('functions', summary, Number(values.top)).join('\n'));
  console.log(describeParts('parts', summary, Number(values.top)).join('\n'));
}
