/**
 * The simulator's command line.
 * `npm run sim -- --help` lists what it takes (`flags.ts`); the mutants are hunted by test/sim/mutants.test.ts.
 *
 * The exit code is 1 if anything failed. This file and `sweep.ts` alone of `sim/` look at the real clock,
 * and only to show progress.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 as platformCrc32 } from 'node:zlib';
import { accelerateCrc32 } from '../src/base/crc32.ts';
import { type Flags, readFlags, USAGE, UsageError } from './flags.ts';
import { huntMutant, MUTANTS, mutantNamed } from './mutants.ts';
import { churnBias, drawPlan, type Plan, readPlan, writePlan } from './plan.ts';
import { type RunResult, runPlan } from './run.ts';
import { shrinkPlan } from './shrink.ts';
import { type SeedOutcome, SweepTally, sweepInWorkers } from './sweep.ts';

const flags = flagsOrEnd();

/** The flags; where they cannot be used or help is asked for, the process ends here. */
function flagsOrEnd(): Flags {
  try {
    const read = readFlags(process.argv.slice(2));
    if (!read.help) return read;
    process.stdout.write(`${USAGE}\n`);
    process.exit(0);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`sim: ${error.message}\n\n${USAGE}\n`);
    process.exit(2);
  }
}

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** How many seeds of a CI run are run again in a second process. */
const repeatsInCi = 12;

async function main(): Promise<number> {
  accelerateCrc32((bytes, seed) => platformCrc32(bytes, seed));
  const from = Number(flags.from);
  if (flags.mutants) return hunt() === 0 ? 0 : 1;
  if (flags.plan !== undefined)
    return single(readPlan(readFileSync(flags.plan, 'utf8')), `--plan ${flags.plan}`);
  if (flags['hash-only']) return hashes(seedRange(from, Number(flags.seeds ?? 1)));
  if (flags['sweep-worker']) return await work(seedRange(from, Number(flags.seeds), Number(flags.stride)));
  if (flags.seed !== undefined) return single(planOf(Number(flags.seed)), `--seed ${flags.seed}`);
  if (flags.ci) return await ci(Number(flags.seeds ?? 500));
  const { failed } = await sweep(from, Number(flags.seeds ?? 100), Number(flags.workers ?? 1));
  return failed === 0 ? 0 : 1;
}

function seedRange(from: number, count: number, stride = 1): number[] {
  return Array.from({ length: count }, (_, i) => from + i * stride);
}

function planOf(seed: number): Plan {
  if (flags.mutant !== undefined) return drawPlan(seed, mutantNamed(flags.mutant).bias);
  return flags.churn ? drawPlan(seed, churnBias(seed)) : drawPlan(seed);
}

function mutantSet(): ReadonlySet<string> {
  return new Set(flags.mutant === undefined ? [] : [mutantNamed(flags.mutant).name]);
}

/** One plan: with its log on request, cut down on request. */
function single(plan: Plan, how: string): number {
  const mutants = mutantSet();
  if (flags['print-plan']) process.stdout.write(writePlan(plan));
  if (flags.shrink) {
    const shrunk = shrinkPlan(plan, mutants, 2000, (text) => process.stderr.write(`${text}\n`));
    if (shrunk.findings.length === 0) {
      say('the plan does not fail; there is nothing to shrink');
      return 0;
    }
    process.stdout.write(writePlan(shrunk.plan));
    for (const { oracle, text } of shrunk.findings) process.stderr.write(`${oracle}: ${text}\n`);
    return 1;
  }
  const result = runPlan(plan, { mutants, ...(flags.trace ? { sink: say } : {}) });
  say(describe(result));
  if (flags['check-determinism'] && flags.seed !== undefined) {
    const again = hashesOfChild(Number(flags.seed), 1)[0];
    say(again === result.hash ? 'a second process gave the same hash' : `a second process gave ${again}`);
    if (again !== result.hash) return 1;
  }
  report(result, how);
  return result.findings.length === 0 ? 0 : 1;
}

function describe(result: RunResult): string {
  const { plan } = result;
  const quorum = `N=${plan.n} R=${plan.r} W=${plan.w}${plan.strict ? ' strict' : ''}`;
  return (
    `seed ${plan.seed}: ${plan.nodes} nodes, ${quorum}, ${plan.durability}, ${plan.faults.length} faults, ` +
    (plan.churn === undefined ? '' : `${plan.churn.changes.length} changes of the members, `) +
    `${result.opsOk} of ${result.ops} requests ok, ${result.events} events in ${Math.round(result.virtualMs)} ms ` +
    `of virtual time, hash ${result.hash}`
  );
}

/** The findings in plain words, and how to see them again. */
function report(result: Pick<RunResult, 'findings'>, how: string): void {
  if (result.findings.length === 0) return;
  say(`FAILED ${how}`);
  for (const { oracle, text } of result.findings.slice(0, 5)) say(`  ${oracle}: ${text.slice(0, 2000)}`);
  if (result.findings.length > 5) say(`  and ${result.findings.length - 5} more`);
  const mutant = flags.mutant === undefined ? '' : ` --mutant ${flags.mutant}`;
  const again = `npm run sim -- ${how}${mutant}${flags.churn ? ' --churn' : ''}`;
  say(`  replay: ${again} --trace`);
  say(`  shrink: ${again} --shrink`);
}

/** Runs plans in this process, or shares them among so many. */
async function sweep(from: number, count: number, workers: number): Promise<SweepTally> {
  const tally = new SweepTally(report);
  if (workers <= 1) {
    for (const seed of seedRange(from, count)) tally.take(outcomeOf(seed));
  } else {
    const argv = [new URL(import.meta.url).pathname];
    if (flags.mutant !== undefined) argv.push('--mutant', flags.mutant);
    if (flags.churn) argv.push('--churn');
    await sweepInWorkers(argv, from, count, workers, tally);
  }
  tally.end(count);
  return tally;
}

function outcomeOf(seed: number): SeedOutcome {
  const { hash, events, findings } = runPlan(planOf(seed), { mutants: mutantSet() });
  return { seed, hash, events, findings };
}

/** A worker's share of a sweep: one outcome a line, which leaves the process before the next run begins. */
async function work(seeds: readonly number[]): Promise<number> {
  for (const seed of seeds) {
    say(JSON.stringify(outcomeOf(seed)));
    await nextTurn();
  }
  return 0;
}

/** Prints one hash a line: what a second process is asked for. */
function hashes(seeds: readonly number[]): number {
  for (const seed of seeds) say(runPlan(planOf(seed)).hash);
  return 0;
}

function hashesOfChild(from: number, count: number): string[] {
  const script = new URL(import.meta.url).pathname;
  const child = spawnSync(
    process.execPath,
    [
      script,
      '--hash-only',
      '--from',
      String(from),
      '--seeds',
      String(count),
      ...(flags.churn ? ['--churn'] : []),
    ],
    { encoding: 'utf8' },
  );
  return child.stdout.trim().split('\n');
}

/** Hunts all mutants. Returns how many got away or raised a false alarm. */
function hunt(): number {
  let failed = 0;
  for (const mutant of MUTANTS) {
    const verdict = huntMutant(mutant);
    const caught = verdict.caughtBy !== undefined;
    if (!caught || verdict.falseAlarms.length > 0) failed++;
    say(
      `${caught ? 'caught' : 'MISSED'} ${mutant.name} (${mutant.bug}) ` +
        (caught ? `by seed ${verdict.caughtBy} of ${mutant.seedsMax}` : `within ${mutant.seedsMax} seeds`),
    );
    if (caught) say(`    ${verdict.finding}`);
    if (verdict.falseAlarms.length > 0) {
      say(
        `    FALSE ALARM: without the mutant these seeds of its plans fail: ${verdict.falseAlarms.join(' ')}`,
      );
      say(`    replay: sim/mutants.ts plans of ${mutant.name}`);
    }
  }
  return failed;
}

async function ci(count: number): Promise<number> {
  const workers = Number(flags.workers ?? Math.min(2, availableParallelism()));
  const { done, failed, hashOf } = await sweep(1, count, workers);
  const repeats = Math.min(repeatsInCi, count);
  const again = hashesOfChild(1, repeats);
  let differing = 0;
  again.forEach((hash, i) => {
    if (hash === hashOf.get(i + 1)) return;
    differing++;
    say(`FAILED seed ${i + 1} gave hash ${hashOf.get(i + 1)} here and ${hash} in another process`);
  });
  say(`${again.length - differing} of ${repeats} seeds gave the same hash in another process`);
  say(`${done - failed + repeats - differing} passed, ${failed + differing} failed`);
  return failed + differing === 0 && done === count ? 0 : 1;
}

process.exitCode = await main();
