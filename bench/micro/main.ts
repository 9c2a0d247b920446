/**
 * Runs the micro benchmarks: small loops over one part each, to see what a change to that part does.
 *
 * `npm run bench:micro -- [--only TEXT] [--rounds N] [--json FILE]`
 *
 * The picture to have in mind: each benchmark is warmed up, then its number of iterations is set so that
 * a round lasts a fixed time, then the rounds of all benchmarks are run in turn (so that a disturbance
 * of the machine hits all of them a little and none of them altogether). The median round is what counts;
 * the fastest round is printed beside it, and if the two lie far apart the machine was busy.
 */

import { existsSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import type { MicroBenchmark } from './benchmark.ts';

interface Measured {
  readonly name: string;
  readonly nsMedian: number;
  readonly nsMin: number;
  readonly perSecond: number;
  readonly megabytesPerSecond?: number;
}

const modules = ['./repair.ts', './resp.ts', './ring.ts', './rows.ts', './wire.ts'];
const warmUpMs = 300;
const roundMs = 100;
const roundsDefault = 15;

async function load(): Promise<MicroBenchmark[]> {
  const all: MicroBenchmark[] = [];
  for (const path of modules) {
    if (!existsSync(new URL(path, import.meta.url))) continue;
    const module = (await import(path)) as { benchmarks: MicroBenchmark[] };
    all.push(...module.benchmarks);
  }
  return all;
}

/** Milliseconds that `iterations` take. */
function time(benchmark: MicroBenchmark, iterations: number): number {
  const began = performance.now();
  benchmark.run(iterations);
  return performance.now() - began;
}

/** Warms up and tells how many iterations make a round. */
function iterationsOf(benchmark: MicroBenchmark): number {
  let iterations = 16;
  let spentMs = 0;
  for (;;) {
    const tookMs = time(benchmark, iterations);
    spentMs += tookMs;
    if (spentMs >= warmUpMs && tookMs >= roundMs / 4) {
      return Math.max(16, Math.ceil((iterations * roundMs) / tookMs / 16) * 16);
    }
    if (tookMs < roundMs / 2) iterations *= 2;
  }
}

function measured(benchmark: MicroBenchmark, rounds: number[]): Measured {
  const sorted = rounds.toSorted((a, b) => a - b);
  const nsMedian = sorted[sorted.length >> 1]!;
  const bytes = benchmark.bytesPerIteration;
  return {
    name: benchmark.name,
    nsMedian,
    nsMin: sorted[0]!,
    perSecond: 1e9 / nsMedian,
    ...(bytes === undefined ? {} : { megabytesPerSecond: (bytes * 1000) / nsMedian }),
  };
}

function print(results: readonly Measured[]): void {
  const width = Math.max(...results.map((result) => result.name.length));
  const column = (text: string) => text.padStart(12);
  console.log('benchmark'.padEnd(width) + ['ns/op', 'fastest', 'op/s', 'MB/s'].map(column).join(''));
  for (const result of results) {
    const { nsMedian, nsMin, perSecond, megabytesPerSecond } = result;
    console.log(
      result.name.padEnd(width) +
        column(nsMedian.toFixed(1)) +
        column(nsMin.toFixed(1)) +
        column(Math.round(perSecond).toLocaleString('en')) +
        column(megabytesPerSecond === undefined ? '' : megabytesPerSecond.toFixed(0)),
    );
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { json: { type: 'string' }, only: { type: 'string' }, rounds: { type: 'string' } },
  });
  const rounds = Math.max(1, Number(values.rounds ?? roundsDefault));
  const chosen = (await load()).filter((benchmark) => benchmark.name.includes(values.only ?? ''));
  if (chosen.length === 0 || !Number.isInteger(rounds)) {
    console.error('no such benchmark, or not a number of rounds');
    process.exitCode = 2;
    return;
  }
  const runs = chosen.map((benchmark) => ({
    benchmark,
    iterations: iterationsOf(benchmark),
    rounds: [] as number[],
  }));
  for (let round = 0; round < rounds; round++) {
    for (const run of runs) {
      run.rounds.push((time(run.benchmark, run.iterations) * 1e6) / run.iterations);
    }
  }
  const results = runs.map((run) => measured(run.benchmark, run.rounds));
  print(results);
  if (values.json !== undefined) {
    const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version };
    writeFileSync(values.json, `${JSON.stringify({ machine, rounds, results }, null, 2)}\n`);
  }
}

if (import.meta.main) await main();
