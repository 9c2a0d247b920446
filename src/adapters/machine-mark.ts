/**
 * The machine mark: a small file that tells, after a power loss, that the last commits may be gone.
 *
 * The picture: a sign on the workshop door, "at work", with the date the lights were last switched on. Who
 * finds it next morning under a later date knows that the lights went out while someone was at work: what
 * lay on the bench may have been swept away. A commit of durability `interval` survives the death of the
 * process, not that of the machine, and no file of LevelDB shows that such a commit ever was there.
 *
 * The date is the id that Linux draws at each boot. Where a system has none, nothing can be told: then only
 * the other members, who remember what this node acknowledged, notice (`src/node/past-desk.ts`).
 */

import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const bootIdPath = '/proc/sys/kernel/random/boot_id';
const atWork = 'at-work';
const clean = 'clean';

function markPath(directory: string): string {
  return join(directory, 'machine');
}

/** The id of this boot of the machine; undefined where the system does not tell. */
export function bootId(): string | undefined {
  try {
    return readFileSync(bootIdPath, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

export class MachineMark {
  readonly #directory: string;
  readonly #boot: string | undefined;
  /** The machine went down while commits may not have been durable, in words; undefined if not so. */
  readonly loss: string | undefined;
  #isAtWork = false;

  /** Reads the mark that the last process left. */
  constructor(directory: string, boot: string | undefined = bootId()) {
    this.#directory = directory;
    this.#boot = boot;
    let text = '';
    try {
      text = readFileSync(markPath(directory), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    const [state, bootBefore] = text.trim().split(' ');
    const went = state === atWork && boot !== undefined && bootBefore !== undefined && bootBefore !== boot;
    this.loss = went
      ? 'the machine went down before the last writes were synced (durability interval), so some that were acknowledged may be gone'
      : undefined;
  }

  /** Before the first commit that is not synced at once. Takes effect durably; once. @throws the system's error. */
  atWork(): void {
    if (this.#isAtWork || this.#boot === undefined) return;
    this.#write(`${atWork} ${this.#boot}`);
    this.#isAtWork = true;
  }

  /** Everything is durable, and the process ends. @throws the system's error. */
  clean(): void {
    if (this.#isAtWork) this.#write(`${clean} ${this.#boot}`);
    this.#isAtWork = false;
  }

  /** What may be gone is known now. @throws the system's error. */
  noted(): void {
    if (this.loss !== undefined && !this.#isAtWork) this.#write(`${clean} ${this.#boot}`);
  }

  #write(text: string): void {
    // Of one length and in place: a torn write leaves one or the other, or what means nothing.
    const descriptor = openSync(markPath(this.#directory), 'a+', 0o644);
    closeSync(descriptor);
    const handle = openSync(markPath(this.#directory), 'r+');
    try {
      writeSync(handle, text.padEnd(63).concat('\n'), 0);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    const folder = openSync(this.#directory, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }
}
