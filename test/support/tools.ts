/**
 * Programs that are not ours. Where one is missing its tests are skipped, and say so: `npm run test`
 * counts them in its last lines, and `node scripts/ensure-tools.ts` installs what can be installed.
 */

import { spawnSync } from 'node:child_process';

function works(argv: readonly string[]): boolean {
  const { status } = spawnSync(argv[0]!, argv.slice(1), { stdio: 'ignore', timeout: 10_000 });
  return status === 0;
}

/** What to give `it` as `skip`: false when the program is there, else why not. */
export function skipWithout(program: 'redis-cli' | 'redis-benchmark' | 'redis-server'): string | false {
  return works([program, '--version'])
    ? false
    : `SKIPPED: ${program} is not installed (node scripts/ensure-tools.ts)`;
}

/** A Python that has the package `redis`, or undefined. */
export function pythonWithRedis(): string | undefined {
  return ['python3', '/usr/bin/python3'].find((python) => works([python, '-c', 'import redis']));
}
