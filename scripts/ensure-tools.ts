/**
 * Installs the programs that the integration tests and the benchmark compare with, where this machine
 * can: Debian's redis-server (with redis-cli and redis-benchmark) and python3-redis.
 *
 * The tests go on without them, and say which of them were skipped.
 */

import { spawnSync } from 'node:child_process';

interface Tool {
  readonly what: string;
  readonly check: readonly (readonly string[])[];
  readonly packageName: string;
}

const tools: readonly Tool[] = [
  {
    what: 'redis-server, redis-cli, redis-benchmark',
    check: [
      ['redis-server', '--version'],
      ['redis-cli', '--version'],
      ['redis-benchmark', '--version'],
    ],
    packageName: 'redis-server',
  },
  {
    what: 'python3-redis',
    check: [['/usr/bin/python3', '-c', 'import redis']],
    packageName: 'python3-redis',
  },
];

function works([program, ...words]: readonly string[]): boolean {
  return spawnSync(program!, words, { stdio: 'ignore' }).status === 0;
}

const missing = tools.filter((tool) => !tool.check.every(works));
if (missing.length === 0) {
  console.log('all tools are there');
} else {
  const packages = missing.map((tool) => tool.packageName);
  const command = `apt-get install -y ${packages.join(' ')}`;
  const isRoot = process.getuid?.() === 0;
  if (isRoot && works(['apt-get', '--version'])) {
    const options = { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } } as const;
    spawnSync('apt-get', ['update'], options);
    spawnSync('apt-get', ['install', '-y', '--no-install-recommends', ...packages], options);
  }
  const still = missing.filter((tool) => !tool.check.every(works));
  for (const tool of still) console.error(`missing: ${tool.what}`);
  if (still.length > 0) {
    console.error(`Install it with your package manager; on Debian and Ubuntu, as root: ${command}`);
    process.exitCode = 1;
  }
}
