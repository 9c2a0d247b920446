/**
 * What the simulator is told on its command line, checked: a number that is none would be a sweep over no seeds at all,
 * which never fails.
 */

import { parseArgs } from 'node:util';

export const USAGE = `npm run sim -- [options]

  --seed 17 [--trace]         one run, with its log
  --seeds 1000 [--from 5000]  a sweep (default: 100 seeds from 1); --workers 2 shares it among processes
  --plan FILE                 a plan as printed by --shrink or --print-plan
  --seed 17 --shrink          the smallest plan that fails as this one does
  --seed 17 --print-plan      the plan of a seed
  --seed 17 --check-determinism
                              whether a second process gives the same run
  --churn                     in every plan members come and go; with any of the above
  --seed 17 --mutant NAME     with a named bug switched on, on its own plans
  --mutants                   hunts every named bug
  --seeds 500 --ci            what npm test runs: sweep, determinism

Exit code: 0 nothing failed; 1 a promise was broken; 2 the command line cannot be used.`;

/** A command line that cannot be used. */
export class UsageError extends Error {}

const numbers = ['seed', 'seeds', 'from', 'workers', 'stride'] as const;

export interface Flags {
  readonly seed?: string;
  readonly seeds?: string;
  readonly from: string;
  readonly plan?: string;
  readonly 'print-plan': boolean;
  readonly trace: boolean;
  readonly churn: boolean;
  readonly shrink: boolean;
  readonly mutant?: string;
  readonly mutants: boolean;
  readonly ci: boolean;
  readonly workers?: string;
  readonly 'sweep-worker': boolean;
  readonly stride: string;
  readonly 'hash-only': boolean;
  readonly 'check-determinism': boolean;
  readonly help: boolean;
}

/** @throws UsageError */
export function readFlags(argv: readonly string[]): Flags {
  let flags: Flags;
  try {
    ({ values: flags } = parseArgs({
      args: [...argv],
      options: {
        seed: { type: 'string' },
        seeds: { type: 'string' },
        from: { type: 'string', default: '1' },
        plan: { type: 'string' },
        'print-plan': { type: 'boolean', default: false },
        churn: { type: 'boolean', default: false },
        trace: { type: 'boolean', default: false },
        shrink: { type: 'boolean', default: false },
        mutant: { type: 'string' },
        mutants: { type: 'boolean', default: false },
        ci: { type: 'boolean', default: false },
        workers: { type: 'string' },
        'sweep-worker': { type: 'boolean', default: false },
        stride: { type: 'string', default: '1' },
        'hash-only': { type: 'boolean', default: false },
        'check-determinism': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  for (const name of numbers) {
    const text = flags[name];
    const least = name === 'seed' || name === 'from' ? 0 : 1;
    if (text === undefined || (/^\d{1,15}$/.test(text) && Number(text) >= least)) continue;
    throw new UsageError(`--${name} ${text}: expected a whole number from ${least}`);
  }
  return flags;
}
