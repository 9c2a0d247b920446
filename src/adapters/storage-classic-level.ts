/**
 * The disk engine: LevelDB through classic-level, with group commit, a durable sequence and hot rows.
 *
 * The picture: a ferry. Batches board while one crossing is under way, and all that wait go with the
 * next; if one of them asked for `always`, that crossing ends with an fsync which all share. For
 * `interval` the logs are synced from beside LevelDB (`log-sync.ts`), so crossings never wait for it.
 *
 * Each crossing carries a commit number as a row of its own; the highest number known to be durable is
 * kept outside the database (`durable-sequence.ts`), so that a database which lost something it had
 * promised is found out when it is opened (`classic-level-open.ts`).
 *
 * When things go wrong:
 * - No space: writes are refused with `storage-full`, reads go on, and the engine opens its database
 *   anew by itself when there is space. LevelDB must not write on after a failed append: its log
 *   would then be out of step with its own block boundaries, and what follows could not be read back.
 * - Any other error of a commit or of an fsync: nobody knows what is on the disk. The engine stops for
 *   good, reads included (`storage-failed`); an fsync is never tried again, since the system may have
 *   dropped the data and would then report success.
 */

import { assert } from '../base/assert.ts';
import { type ByteString, writeU48 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type {
  Durability,
  RangeQuery,
  Storage,
  StorageEntry,
  StorageFigures,
  StorageWrite,
} from '../ports/storage.ts';
import {
  commitError,
  failedError,
  fullError,
  isFull,
  overloadedError,
  readingError,
  reopeningError,
  textOf,
} from './classic-level-errors.ts';
import {
  clearLoss,
  commitKey,
  type Database,
  type DatabaseSettings,
  type DirectoryOpened,
  endTrial,
  noteLoss,
  openDatabase,
  openDirectory,
  rowsDirectory,
} from './classic-level-open.ts';
import { directoryBytes, readRange } from './classic-level-read.ts';
import { type CommitGroup, CommitQueue } from './commit-queue.ts';
import type { DurableSequence } from './durable-sequence.ts';
import { HotRows } from './hot-rows.ts';
import { LogSync } from './log-sync.ts';
import type { MachineMark } from './machine-mark.ts';
import { SpaceWatch } from './space-watch.ts';
import { SyncSchedule } from './sync-schedule.ts';

const mebibyte = 1024 * 1024;

export interface ClassicLevelOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Unsynced commits are made durable within this time, milliseconds (default 1000). */
  readonly syncIntervalMs?: number;
  /** LevelDB's cache of uncompressed blocks (default 64 MiB). */
  readonly cacheBytes?: number;
  /** LevelDB's memtable, of which there may be two (default 32 MiB). */
  readonly writeBufferBytes?: number;
  /** Rows kept in memory as they are (default 64 MiB; 0 keeps none). */
  readonly hotBytesMax?: number;
  /** Batches waiting to be committed; past it writes fail as `overloaded` (default 64 MiB). */
  readonly queueBytesMax?: number;
  /**
   * Other replicas hold the rows as well: a database whose tables are damaged is given up, and set aside at
   * the next start. Left out, it goes on with what can be read.
   */
  readonly replaceable?: boolean;
  /** The engine failed for good, and says why. */
  readonly onFail?: (failure: string) => void;
}

export interface ClassicLevelOpened {
  readonly storage: ClassicLevelStorage;
  /** Commit number of the last batch the database holds. */
  readonly sequenceFound: number;
  /** Commit number up to which the database was known to be durable. */
  readonly sequencePromised: number;
  /**
   * The database does not hold everything it had promised, or an earlier start found so and the loss was
   * not repaired since. The caller repairs from the other replicas before it serves reads, and then
   * calls `lossRepaired`.
   */
  readonly lost: boolean;
  /** What was lost, in words; or, while not `lost`, what may be. */
  readonly loss: string | undefined;
}

/** `full`: no space; `reopening`: space is back, the database is closed for a moment. */
type State = 'open' | 'full' | 'reopening' | 'failed' | 'closed';

type Done = (error?: CodedError) => void;

/** A process that damaged tables bring down ends within this, milliseconds. */
const trialMs = 60_000;
const diskFiguresMs = 10_000;

export class ClassicLevelStorage implements Storage {
  readonly engine = 'classic-level';
  readonly durable = true;
  onReopened: (() => void) | undefined = undefined;
  readonly #directory: string;
  readonly #settings: DatabaseSettings;
  readonly #options: ClassicLevelOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #schedule: SyncSchedule;
  readonly #queueBytesMax: number;
  readonly #hot: HotRows;
  readonly #logSync: LogSync;
  readonly #durableSequence: DurableSequence;
  readonly #machineMark: MachineMark;
  /** What was lost, in words, until the node has taken note of it. */
  loss: string | undefined;
  #database: Database;
  #state: State = 'open';
  #failure = '';

  readonly #queue: CommitQueue = new CommitQueue();
  #committing = false;
  #closing = false;
  readonly #commitValue = new Uint8Array(6);

  /** Number of the newest commit handed to LevelDB. */
  #sequence: number;

  readonly #trialTimer: NodeJS.Timeout;
  readonly #spaceWatch: SpaceWatch;
  #ranges = 0;
  #rangesDone: (() => void) | undefined;
  #idle: (() => void) | undefined;

  #commits = 0;
  #syncs = 0;
  #bytesDisk = 0;
  #bytesDiskAt = Number.NEGATIVE_INFINITY;

  private constructor(
    directory: string,
    options: ClassicLevelOptions,
    settings: DatabaseSettings,
    opened: DirectoryOpened,
    sequence: number,
  ) {
    const { database, durableSequence, machineMark, loss } = opened;
    this.#directory = directory;
    this.#settings = settings;
    this.#options = options;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#queueBytesMax = options.queueBytesMax ?? 64 * mebibyte;
    this.#hot = new HotRows(options.hotBytesMax ?? 64 * mebibyte);
    this.#logSync = new LogSync(rowsDirectory(directory));
    this.#database = database;
    this.#durableSequence = durableSequence;
    this.#machineMark = machineMark;
    this.loss = loss;
    this.#sequence = sequence;
    const scheduleOptions = {
      logSync: this.#logSync,
      durableSequence,
      intervalMs: options.syncIntervalMs ?? 1000,
      log: options.log,
      onFail: (failure: string) => this.#fail(failure),
      onRound: () => this.#measureDisk(),
    };
    this.#schedule = new SyncSchedule(scheduleOptions, sequence);
    this.#spaceWatch = new SpaceWatch({
      directory,
      logBytes: () => this.#logSync.bytes(),
      isWaiting: () => !this.#closing && (this.#state === 'full' || this.#state === 'reopening'),
      onSpace: () => this.#reopen(),
      onError: (error) => this.#stillFull(error),
    });
    this.#trialTimer = setTimeout(() => endTrial(directory), trialMs);
    this.#trialTimer.unref();
  }

  /**
   * Opens (or makes) a storage directory. A database that lost something opens all the same and says so.
   * @throws CodedError `corrupt` (it does not open), `storage-failed` (in use, IO error), `storage-full`.
   */
  static async open(directory: string, options: ClassicLevelOptions): Promise<ClassicLevelOpened> {
    const settings: DatabaseSettings = {
      cacheBytes: options.cacheBytes ?? 64 * mebibyte,
      writeBufferBytes: options.writeBufferBytes ?? 32 * mebibyte,
    };
    const opened = await openDirectory(directory, settings);
    const { sequenceFound, sequencePromised, loss } = opened;
    // Numbers go on above the promise, so that it never goes backwards.
    const sequence = Math.max(sequenceFound, sequencePromised);
    const storage = new ClassicLevelStorage(directory, options, settings, opened, sequence);
    await storage.#measureDisk();
    if (loss !== undefined) {
      options.log.write('alarm', 'storage-loss-found', { directory, loss, sequenceFound, sequencePromised });
    }
    return { storage, sequenceFound, sequencePromised, lost: opened.isLossCertain, loss };
  }

  /** The caller has brought back what was lost: the next open reports no loss. */
  async lossRepaired(): Promise<void> {
    this.#machineMark.noted();
    await clearLoss(this.#directory);
    this.loss = undefined;
  }

  lossNoted(): void {
    this.lossRepaired().catch((error: unknown) => {
      // It is told of once more at the next opening, which costs a comparison with the other replicas.
      this.#log.write('warn', 'storage-loss-not-cleared', { error: textOf(error) });
    });
  }

  get(key: ByteString): Uint8Array | undefined {
    const hot = this.#hot.get(key);
    if (hot !== undefined && this.#state !== 'failed') return hot ?? undefined;
    this.#assertReadable();
    let value: Uint8Array | undefined;
    try {
      value = this.#database.getSync(Buffer.from(key, 'latin1'));
    } catch (error) {
      throw readingError(error);
    }
    return value === undefined ? undefined : (this.#hot.put(key, value) ?? value);
  }

  write(batch: readonly StorageWrite[], durability: Durability, done: Done): void {
    assert(!this.#closing, 'nothing is written to a closed engine');
    const refused = this.#refusal();
    if (refused !== undefined) {
      done(refused);
      return;
    }
    this.#queue.push({ rows: batch, durability, done });
    if (!this.#committing) this.#commit();
  }

  range(
    query: RangeQuery,
    done: (error: CodedError | undefined, entries: readonly StorageEntry[]) => void,
  ): void {
    assert(query.limit >= 1 && query.limit <= 10_000, 'a range asks for 1 to 10,000 entries');
    // Behind everything handed in before: an empty batch keeps the place in the queue.
    const begin = (): void => {
      this.#ranges++;
      this.#readRange(query).then(
        (entries) => this.#rangeEnded(() => done(undefined, entries)),
        (error: unknown) => this.#rangeEnded(() => done(this.#rangeError(error), [])),
      );
    };
    if (!this.#committing) begin();
    else this.#queue.push({ rows: [], durability: 'interval', done: begin });
  }

  /** Single rows that cannot be read are mended from outside; a stretch cannot be listed without them. */
  #rangeError(error: unknown): CodedError {
    const coded = error instanceof CodedError ? error : readingError(error);
    if (coded.code === 'corrupt' && this.#options.replaceable === true) this.#fail(textOf(error), true);
    return coded;
  }

  figures(): StorageFigures {
    return {
      bytesMemory: this.#hot.bytes + this.#queue.bytes,
      bytesDisk: this.#bytesDisk,
      evictions: 0,
      commits: this.#commits,
      syncs: this.#syncs + this.#schedule.syncs,
      full: this.#state === 'full' || this.#state === 'reopening',
    };
  }

  close(done: Done): void {
    assert(!this.#closing, 'an engine is closed once');
    this.#closing = true;
    this.#closeAll().then(
      () => done(),
      (error: unknown) =>
        done(
          error instanceof CodedError
            ? error
            : new CodedError('storage-failed', 'unknown', `closing the database failed: ${textOf(error)}`),
        ),
    );
  }

  async #closeAll(): Promise<void> {
    if (this.#committing) await new Promise<void>((resolve) => (this.#idle = resolve));
    await this.#spaceWatch.stop();
    this.#schedule.stop();
    if (this.#state !== 'failed') await this.#schedule.sync();
    const failure = this.#refusal();
    this.#state = 'closed';
    await this.#rangesEnd();
    this.#durableSequence.close();
    this.#hot.clear();
    await this.#database.close();
    clearTimeout(this.#trialTimer);
    if (failure?.code !== 'storage-failed') endTrial(this.#directory);
    if (failure === undefined) this.#machineMark.clean();
    // A full disk is no reason to fail: what was acknowledged is durable.
    if (failure?.code === 'storage-failed') throw failure;
  }

  /** Why writes are refused now, if they are. */
  #refusal(): CodedError | undefined {
    if (this.#state === 'failed') return failedError(this.#failure);
    if (this.#state !== 'open') return fullError();
    return this.#queue.bytes > this.#queueBytesMax ? overloadedError() : undefined;
  }

  #assertReadable(): void {
    if (this.#state === 'failed') {
      throw new CodedError('storage-failed', 'none', `storage has failed: ${this.#failure}`);
    }
    if (this.#database.status !== 'open') throw reopeningError();
  }

  // ---- commits ----

  /** Takes what waits and hands it to LevelDB as one batch. */
  #commit(): void {
    const group = this.#queue.take();
    this.#committing = true;
    if (group.isEmpty) {
      queueMicrotask(() => this.#committed(group, undefined));
      return;
    }
    if (!group.sync && !this.#isAtWork(group)) return;
    const sequence = ++this.#sequence;
    this.#writeGroup(group, sequence).then(
      () => this.#committed(group, sequence),
      (error: unknown) => this.#commitFailed(group, error),
    );
  }

  /** Before the first commit that is not synced at once. False, and the engine failed, if it cannot be said. */
  #isAtWork(group: CommitGroup): boolean {
    try {
      this.#machineMark.atWork();
      return true;
    } catch (error) {
      this.#commitFailed(group, error);
      return false;
    }
  }

  async #writeGroup({ batches, sync }: CommitGroup, sequence: number): Promise<void> {
    const batch = this.#database.batch();
    for (const { rows } of batches) {
      for (const { key, value } of rows) {
        if (value === undefined) batch.del(Buffer.from(key, 'latin1'));
        else batch.put(Buffer.from(key, 'latin1'), value);
      }
    }
    writeU48(this.#commitValue, 0, sequence);
    batch.put(commitKey, this.#commitValue);
    await batch.write(sync ? writeSynced : writeUnsynced);
  }

  /** `sequence` is undefined when there was nothing to commit. */
  #committed(group: CommitGroup, sequence: number | undefined): void {
    if (this.#state === 'failed') {
      // An fsync beside it failed meanwhile: whatever LevelDB says, this one is not to be trusted.
      this.#commitFailed(group, new Error(this.#failure));
      return;
    }
    const { batches, sync } = group;
    this.#queue.settled(group);
    // From here on a read must see the batch; one that came earlier may have kept an older row.
    for (const { rows } of batches) for (const { key, value } of rows) this.#hot.refresh(key, value ?? null);
    if (sequence !== undefined) {
      this.#commits++;
      if (sync) this.#syncs++;
      this.#schedule.done(sequence, sync);
    }
    this.#committing = false;
    // The next crossing starts before the news is told, so that the disk is not idle meanwhile.
    if (this.#queue.length > 0) this.#commit();
    for (const { done } of batches) done();
    if (!this.#committing) this.#idle?.();
  }

  #commitFailed(group: CommitGroup, error: unknown): void {
    this.#queue.settled(group);
    const full = isFull(error);
    if (full) this.#becomeFull(textOf(error));
    else this.#fail(`a commit failed (${textOf(error)})`, readingError(error).code === 'corrupt');
    const cause = commitError(full, this.#failure);
    for (const { rows, done } of group.batches) done(rows.length === 0 ? undefined : cause);
    this.#committing = false;
    this.#queue.refuse(this.#refusal());
    this.#idle?.();
  }

  /** @param damaged the tables are, and so it would be once more after a restart */
  #fail(failure: string, damaged = false): void {
    if (this.#state === 'failed' || this.#state === 'closed') return;
    this.#state = 'failed';
    this.#failure = damaged
      ? `tables are damaged (${failure})`
      : `${failure}; what was written last may be gone`;
    noteLoss(this.#directory, this.#failure, damaged && this.#options.replaceable === true);
    this.#hot.clear();
    this.#schedule.stop();
    this.#log.write('alarm', 'storage-failed', { directory: this.#directory, error: failure });
    this.#options.onFail?.(this.#failure);
  }

  // ---- a full disk ----

  #becomeFull(error: string): void {
    if (this.#state !== 'open') return;
    this.#state = 'full';
    // Rows of batches that did not go through are among them.
    this.#hot.clear();
    this.#schedule.stop();
    this.#log.write('alarm', 'storage-full', { directory: this.#directory, error });
    this.#spaceWatch.begin();
  }

  async #reopen(): Promise<void> {
    this.#state = 'reopening';
    await this.#rangesEnd();
    if (this.#database.status === 'open') await this.#database.close();
    const { database, sequence } = await openDatabase(this.#directory, this.#settings);
    this.#database = database;
    this.#reopened(sequence);
  }

  #stillFull(error: unknown): void {
    if (error instanceof CodedError && error.code !== 'storage-full') this.#fail(error.message);
    else this.#log.write('warn', 'storage-still-full', { error: textOf(error) });
  }

  #reopened(sequence: number): void {
    const { sequenceDone } = this.#schedule;
    if (sequence < sequenceDone) {
      this.#fail(`after a full disk commits ${sequence + 1} to ${sequenceDone} are gone`);
      return;
    }
    // Opening wrote the logs as tables and synced them: all that was found is durable.
    this.#sequence = Math.max(this.#sequence, sequence);
    this.#hot.clear();
    this.#state = 'open';
    this.#schedule.resume(sequence);
    this.#log.write('info', 'storage-space-back', { directory: this.#directory, sequence });
    this.onReopened?.();
  }

  // ---- ranges ----

  async #readRange(query: RangeQuery): Promise<StorageEntry[]> {
    this.#assertReadable();
    if (this.#state === 'reopening') throw reopeningError();
    return await readRange(this.#database, query);
  }

  #rangeEnded(tell: () => void): void {
    this.#ranges--;
    if (this.#ranges === 0) this.#rangesDone?.();
    tell();
  }

  #rangesEnd(): Promise<void> {
    if (this.#ranges === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#rangesDone = resolve;
    });
  }

  // ---- figures ----

  async #measureDisk(): Promise<void> {
    const now = this.#clock.monotonic();
    if (now - this.#bytesDiskAt < diskFiguresMs) return;
    this.#bytesDiskAt = now;
    this.#bytesDisk = await directoryBytes(rowsDirectory(this.#directory));
  }
}

const writeSynced = { sync: true };
const writeUnsynced = { sync: false };
