/**
 * Waits for space on a disk that was full: looks now and then, and says when there is enough to open the
 * database anew. Opening writes the logs as tables, so these must fit a second time, with some to spare.
 */

import { statfs } from 'node:fs/promises';

export interface SpaceWatchOptions {
  readonly directory: string;
  /** Bytes of the logs. */
  readonly logBytes: () => Promise<number>;
  /** Whether the disk still counts as full; asked again after each look. */
  readonly isWaiting: () => boolean;
  /** There is space: opens the database anew. It may find that there is too little after all, and throw. */
  readonly onSpace: () => Promise<void>;
  readonly onError: (error: unknown) => void;
}

const checkMs = 1000;
const spareBytes = 4 * 1024 * 1024;

export class SpaceWatch {
  readonly #options: SpaceWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #look: Promise<void> | undefined;

  constructor(options: SpaceWatchOptions) {
    this.#options = options;
  }

  /** Looks in a while, and again and again as long as it `isWaiting`. */
  begin(): void {
    if (!this.#options.isWaiting()) return;
    this.#timer = setTimeout(() => {
      this.#look = this.#lookOnce().finally(() => this.begin());
    }, checkMs);
    this.#timer.unref();
  }

  /** Looks no more; resolves when a look under way is over. Never rejects. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#look;
  }

  async #lookOnce(): Promise<void> {
    const { directory, logBytes, isWaiting, onSpace, onError } = this.#options;
    try {
      const needed = 2 * (await logBytes()) + spareBytes;
      const { bavail, bsize } = await statfs(directory);
      if (bavail * bsize >= needed && isWaiting()) await onSpace();
    } catch (error) {
      onError(error);
    }
  }
}
