/**
 * Makes LevelDB's unsynced commits durable from beside it.
 *
 * LevelDB itself can only sync by a synced write, and all other writes wait behind that: at 40 MB
 * unsynced that is a pause of 100 ms and more each second. An fsync of a file does the same through any
 * descriptor, so the log files are opened once more here and synced while LevelDB goes on appending.
 *
 * Why it covers every commit that was done before the call: such a commit is in a log that exists when
 * the directory is listed, or in a table, which LevelDB syncs before it deletes the log. It even covers
 * more than a synced write, which only syncs the newest log and not one that LevelDB has just left.
 */

import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from './durable-sequence.ts';
import { logNames } from './leveldb-log.ts';

export class LogSync {
  readonly #directory: string;
  #namesDurable: Set<string> = new Set();

  /** `directory`: where LevelDB's own files are. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Syncs all logs, and the directory when there is a new one. @throws the file system's error. */
  async sync(): Promise<void> {
    const names = await logNames(this.#directory);
    for (const name of names) {
      let handle: Awaited<ReturnType<typeof open>>;
      try {
        handle = await open(join(this.#directory, name), 'r+');
      } catch (error) {
        // Deleted since: its rows are in a table, which is durable.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
        throw error;
      }
      try {
        await handle.datasync();
      } finally {
        await handle.close();
      }
    }
    if (names.some((name) => !this.#namesDurable.has(name))) {
      await syncDirectory(this.#directory);
      this.#namesDurable = new Set(names);
    }
  }

  /** Bytes of the logs: what LevelDB has to write as tables when it is opened anew. */
  async bytes(): Promise<number> {
    let bytes = 0;
    for (const name of await logNames(this.#directory)) {
      const { size } = await stat(join(this.#directory, name)).catch(() => ({ size: 0 }));
      bytes += size;
    }
    return bytes;
  }
}
