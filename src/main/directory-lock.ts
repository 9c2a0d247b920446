/**
 * A lock on a directory: at most one process uses it at a time.
 *
 * The lock is a file with the process id and, where the system tells, when that process started: a
 * lock whose process is gone is stale and is taken over, and a process id that was given to somebody
 * else in the meantime is not mistaken for the owner. (LevelDB holds a lock of its own as well; this
 * one covers every engine and says in words who holds it.)
 */

import { linkSync, mkdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** The lock is held by a process that lives. */
export class LockedError extends Error {
  readonly pid: number;

  constructor(directory: string, pid: number) {
    super(`${directory} is in use by process ${pid}`);
    this.pid = pid;
  }
}

/**
 * Locks a directory, made if absent.
 * @returns a function that unlocks it.
 * @throws LockedError when another process holds it; the system's error when it cannot be written.
 */
export function lockDirectory(directory: string): () => void {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'lock');
  const own = join(directory, `lock.${process.pid}`);
  writeFileSync(own, `${process.pid} ${startOf(process.pid)}\n`);
  try {
    for (let attempt = 0; attempt < 3; attempt++) {
      if (linked(own, path)) return () => rmSync(path, { force: true });
      const owner = ownerOf(path);
      if (owner !== undefined) throw new LockedError(directory, owner);
      rmSync(path, { force: true });
    }
    throw new Error(`${path} cannot be taken: others keep taking it`);
  } finally {
    unlinkSync(own);
  }
}

const patienceMs = 3000;
const pollMs = 50;

/**
 * The same, with patience: a process that was killed may still be finishing a write to the disk.
 * @throws LockedError when it is still held after 3 s.
 */
export async function lockDirectoryPatiently(directory: string): Promise<() => void> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      return lockDirectory(directory);
    } catch (error) {
      if (!(error instanceof LockedError) || performance.now() > deadline) throw error;
    }
    await delay(pollMs);
  }
}

/** A link is made whole or not at all, unlike a file that is created and then written. */
function linked(own: string, path: string): boolean {
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** The process that holds the lock, if it lives. */
function ownerOf(path: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  const [pidText, start] = text.trim().split(' ');
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return undefined;
  return start === startOf(pid) ? pid : undefined;
}

/** Whether a process lives. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When a process started, as the system counts it; `unknown` where it does not tell. */
function startOf(pid: number): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 22, counted after the name, which may contain anything but ends with the last ")".
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${boot}:${ticks}`;
  } catch {
    return 'unknown';
  }
}
