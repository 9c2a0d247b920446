/**
 * Small disks need mounts, and mounts outlive whoever made them. So the nemesis runs itself again in a
 * mount namespace of its own: what is mounted there nobody else sees, and it is gone with the last
 * process, however that ends.
 */

import { spawn, spawnSync } from 'node:child_process';

/** Tells the one inside that it is, and where to keep data and logs. */
const mark = 'NEMESIS_DIRECTORY';

/** As root, or as a user that is root in a namespace of its own. */
const ways: readonly (readonly string[])[] = [['--mount'], ['--user', '--map-root-user', '--mount']];

/** The directory that was made outside; undefined when this process is not in a namespace. */
export function directoryOfNamespace(): string | undefined {
  return process.env[mark];
}

/** The way in which a small disk can be mounted here, or undefined. */
function findWay(): readonly string[] | undefined {
  const attempt =
    'd=$(mktemp -d) && mount -t tmpfs -o size=1m tmpfs "$d" && umount "$d"; s=$?; rmdir "$d"; exit $s';
  return ways.find((way) => {
    return spawnSync('unshare', [...way, 'sh', '-c', attempt], { timeout: 10_000 }).status === 0;
  });
}

/**
 * Runs this program again in a namespace, and gives its exit code; undefined when there can be none.
 * Signals go to the one inside, which ends everything it started.
 */
export async function runInNamespace(
  script: string,
  argv: readonly string[],
  directory: string,
): Promise<number | undefined> {
  const way = findWay();
  if (way === undefined) return undefined;
  const child = spawn('unshare', [...way, process.execPath, script, ...argv], {
    stdio: 'inherit',
    env: { ...process.env, [mark]: directory },
  });
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on('SIGINT', forward);
  process.on('SIGTERM', forward);
  return new Promise((resolve) => {
    child.on('error', () => resolve(undefined));
    child.on('exit', (code) => resolve(code ?? 1));
  });
}
