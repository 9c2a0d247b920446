/**
 * Sweeps: many seeds, counted, with a line of progress; shared among processes if there are cores.
 *
 * The picture: a tally clerk, to whom workers call out what became of each seed. Runs share nothing, so
 * every n-th seed goes to the same worker and the outcome is the same for any number of workers.
 */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Finding } from './oracles/oracle.ts';

/** What became of a seed. */
export interface SeedOutcome {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly findings: readonly Finding[];
}

export class SweepTally {
  done = 0;
  failed = 0;
  events = 0;
  readonly hashOf: Map<number, string> = new Map();
  readonly #report: (outcome: SeedOutcome, how: string) => void;
  readonly #begun = performance.now();
  #shownAt = performance.now();

  constructor(report: (outcome: SeedOutcome, how: string) => void) {
    this.#report = report;
  }

  take(outcome: SeedOutcome): void {
    this.done++;
    this.events += outcome.events;
    this.hashOf.set(outcome.seed, outcome.hash);
    if (outcome.findings.length > 0) {
      this.failed++;
      this.#report(outcome, `--seed ${outcome.seed}`);
    }
    const everyMs = process.stdout.isTTY ? 500 : 10_000;
    if (performance.now() - this.#shownAt < everyMs) return;
    this.#shownAt = performance.now();
    process.stdout.write(process.stdout.isTTY ? `\r${this.#line()}` : `${this.#line()}\n`);
  }

  /** Says the last line. Seeds that were not run have failed. */
  end(wanted: number): void {
    if (this.done < wanted) {
      process.stdout.write(`FAILED: ${wanted - this.done} seeds were not run: a worker died\n`);
      this.failed += wanted - this.done;
    }
    process.stdout.write(`${process.stdout.isTTY ? '\r' : ''}${this.#line()}\n`);
  }

  #line(): string {
    const seconds = Math.max(1e-3, (performance.now() - this.#begun) / 1000);
    const rate = (this.done / seconds).toFixed(1);
    return `${this.done} seeds, ${rate} seeds/s, ${this.events} events, ${(this.events / seconds).toFixed(0)} events/s, ${this.failed} failed`;
  }
}

/** Shares seeds among processes started with `argv`, which print a `SeedOutcome` a line. */
export async function sweepInWorkers(
  argv: readonly string[],
  from: number,
  count: number,
  workers: number,
  tally: SweepTally,
): Promise<void> {
  const shares = Array.from({ length: workers }, (_, i) => Math.floor((count + workers - 1 - i) / workers));
  await Promise.all(
    shares.map(async (share, i) => {
      if (share === 0) return;
      const range = ['--from', String(from + i), '--seeds', String(share), '--stride', String(workers)];
      const child = spawn(process.execPath, [...argv, '--sweep-worker', ...range], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      for await (const line of createInterface({ input: child.stdout }))
        tally.take(JSON.parse(line) as SeedOutcome);
    }),
  );
}
