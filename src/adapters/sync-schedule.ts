/**
 * When commits become durable: which are done, which are known to be on stable storage, and the timer
 * that brings the second up to the first.
 *
 * The picture: two marks on the ledger's margin. `sequenceDone` moves with each commit;
 * `sequenceDurable` follows at once after a synced commit, or within the interval otherwise.
 */

import type { Log } from '../ports/log.ts';
import { textOf } from './classic-level-errors.ts';
import type { DurableSequence } from './durable-sequence.ts';
import type { LogSync } from './log-sync.ts';

export interface SyncScheduleOptions {
  readonly logSync: LogSync;
  readonly durableSequence: DurableSequence;
  readonly intervalMs: number;
  readonly log: Log;
  /** An fsync failed: what was not durable may be gone. */
  readonly onFail: (failure: string) => void;
  /** Called after each round of the timer. */
  readonly onRound: () => Promise<void>;
}

export class SyncSchedule {
  readonly #options: SyncScheduleOptions;
  /** Number of the newest commit done, and of the newest one known to be durable. */
  sequenceDone: number;
  #sequenceDurable: number;
  /** Fsyncs of the logs. */
  syncs = 0;
  #running = true;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;

  constructor(options: SyncScheduleOptions, sequence: number) {
    this.#options = options;
    this.sequenceDone = sequence;
    this.#sequenceDurable = sequence;
  }

  /** A commit is done; `durable` if LevelDB synced it. */
  done(sequence: number, durable: boolean): void {
    this.sequenceDone = sequence;
    if (durable) this.#durableUpTo(sequence);
    this.#start();
  }

  /** The timer rests: the disk is full, or the engine stops. */
  stop(): void {
    this.#running = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** After a full disk: everything up to `sequence` was found, and is durable. */
  resume(sequence: number): void {
    this.#running = true;
    this.done(sequence, true);
  }

  /** Makes all that is done durable, and the durable sequence itself. Never rejects. */
  async sync(): Promise<void> {
    await this.#round;
    await this.#sync();
  }

  #durableUpTo(sequence: number): void {
    if (sequence <= this.#sequenceDurable) return;
    this.#sequenceDurable = sequence;
    try {
      this.#options.durableSequence.write(sequence);
    } catch (error) {
      // It may lag: a loss would be found less surely until it works again.
      this.#options.log.write('error', 'durable-sequence-not-written', { error: textOf(error) });
    }
  }

  #start(): void {
    if (this.#timer !== undefined || this.#round !== undefined || !this.#running) return;
    if (this.sequenceDone === this.#sequenceDurable && !this.#options.durableSequence.dirty) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#round = this.#sync().then(this.#options.onRound);
      this.#round.finally(() => {
        this.#round = undefined;
        this.#start();
      });
    }, this.#options.intervalMs);
    this.#timer.unref();
  }

  async #sync(): Promise<void> {
    const { logSync, durableSequence, log, onFail } = this.#options;
    const sequence = this.sequenceDone;
    if (sequence > this.#sequenceDurable) {
      try {
        await logSync.sync();
      } catch (error) {
        this.stop();
        onFail(`an fsync failed (${textOf(error)})`);
        return;
      }
      this.syncs++;
      this.#durableUpTo(sequence);
    }
    try {
      if (durableSequence.dirty) await durableSequence.sync();
    } catch (error) {
      log.write('error', 'durable-sequence-not-synced', { error: textOf(error) });
    }
  }
}
