/**
 * The simulated disk: the twin of the storage engines.
 *
 * The picture: a book and a pile of slips beside it. A batch handed in is a slip; after a while it is
 * copied into the book and `done` is called; now and then the ink dries (a sync). A process that is
 * killed may lose slips, last ones first, never what is in the book. A power loss also blots out
 * what is not dry yet, last pages first. So batches are lost only as a suffix, as with a commit log.
 *
 * `SimDisk` is the disk and outlives processes; `SimStorage` is the port one process holds on it.
 */

import { assert } from '../src/base/assert.ts';
import type { ByteString } from '../src/base/bytes.ts';
import { CodedError } from '../src/base/errors.ts';
import type { Prng } from '../src/base/prng.ts';
import type {
  Durability,
  RangeQuery,
  Storage,
  StorageEntry,
  StorageFigures,
  StorageWrite,
} from '../src/ports/storage.ts';
import type { Micros, Schedule } from './schedule.ts';

/** How a disk behaves when nothing is wrong with it. */
export interface DiskProfile {
  /** Time of a commit: at least, and added on average (exponential). */
  readonly commitMinUs: number;
  readonly commitMeanUs: number;
  /** Added for a sync, on average. */
  readonly syncMeanUs: number;
  /** Under `interval`, what was written is synced this often. */
  readonly syncIntervalUs: number;
  /** Whether a reader may see a batch before its `done`. Engines differ. */
  readonly visibleEarly: boolean;
}

/** The commit times of an idle machine; the conformance suite and scenarios use it. */
export const DISK_PROFILE_CALM: DiskProfile = {
  commitMinUs: 50,
  commitMeanUs: 100,
  syncMeanUs: 500,
  syncIntervalUs: 200_000,
  visibleEarly: false,
};

/** Runs completions of the process that holds the storage. */
export type Complete = (run: () => void) => void;

interface Undo {
  readonly key: ByteString;
  readonly before: Uint8Array | undefined;
}

interface Slip {
  readonly batch: readonly StorageWrite[];
  readonly sync: boolean;
  readonly done: (error?: CodedError) => void;
  undo: Undo[] | undefined;
}

/** What a disk held at a moment. */
export type DiskSnapshot = ReadonlyMap<ByteString, Uint8Array>;

export class SimDisk {
  /** The next commits fail with an IO error, this many. */
  failNext = 0;
  /** Writes fail for want of space while this is set. */
  full = false;
  /** Commit times are multiplied by this. */
  slowFactor = 1;
  /** What the engine knows to be lost, until the node has taken note of it. */
  loss: string | undefined = undefined;
  /** Called with every entry that is stored for good (unless the power goes before it is synced). */
  onEntry: ((key: ByteString, value: Uint8Array | undefined) => void) | undefined;
  readonly #schedule: Schedule;
  readonly #prng: Prng;
  readonly #profile: DiskProfile;
  #entries = new Map<ByteString, Uint8Array>();
  /** Batches that are in the book and not dry, oldest first. */
  #unsynced: Undo[][] = [];
  #holder: SimStorage | undefined;

  constructor(schedule: Schedule, prng: Prng, profile: DiskProfile) {
    this.#schedule = schedule;
    this.#prng = prng;
    this.#profile = profile;
  }

  /** Opens the disk for a process. `complete` runs its completions (a frozen process keeps them). */
  open(complete: Complete): SimStorage {
    this.#holder?.abandon();
    this.#holder = new SimStorage(this, this.#schedule, this.#prng, this.#profile, complete);
    return this.#holder;
  }

  /** The process is gone: slips may be lost, last ones first. */
  crash(): void {
    this.#holder?.crash();
    this.#holder = undefined;
  }

  /**
   * The power is gone: what is not dry may be lost too, last ones first.
   * @param torn the page being written is torn, and nothing that is not dry is legible.
   */
  losePower(torn = false): void {
    this.crash();
    const kept = torn ? 0 : this.#prng.below(this.#unsynced.length + 1);
    // An engine may notice that its log is torn; it cannot notice that it merely ends early.
    if (torn && this.#unsynced.length > 0 && this.#prng.chance(0.5)) this.loss = 'the log is torn';
    for (let i = this.#unsynced.length - 1; i >= kept; i--) this.undo(this.#unsynced[i]!);
    this.#unsynced = [];
  }

  /** The disk is replaced by an empty one. */
  wipe(): void {
    this.crash();
    this.loss = undefined;
    this.#entries.clear();
    this.#unsynced = [];
  }

  /** A copy of what is in the book, as a backup makes it. */
  snapshot(): DiskSnapshot {
    const copy = new Map(this.#entries);
    for (const undo of this.#holder?.shownEarly() ?? []) undoIn(copy, undo);
    return copy;
  }

  /** The disk is put back to an older state. */
  restore(snapshot: DiskSnapshot): void {
    this.crash();
    this.#entries = new Map(snapshot);
    this.loss = undefined;
    this.#unsynced = [];
  }

  /**
   * Flips a bit of a stored value. Nobody is told: a reader must notice.
   * @returns false if nothing is stored there.
   */
  rot(key: ByteString, bit: number): boolean {
    const value = this.#entries.get(key);
    if (value === undefined || value.length === 0) return false;
    const rotten = value.slice();
    const at = (bit >>> 3) % rotten.length;
    rotten[at] = rotten[at]! ^ (1 << (bit & 7));
    this.#entries.set(key, rotten);
    return true;
  }

  /** What is stored, for oracles: not a way for a node to read. */
  peek(key: ByteString): Uint8Array | undefined {
    return this.#entries.get(key);
  }

  /** All that is stored, for oracles. */
  entries(): IterableIterator<[ByteString, Uint8Array]> {
    return this.#entries.entries();
  }

  get entryCount(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    let total = 0;
    for (const [key, value] of this.#entries) total += key.length + value.length;
    return total;
  }

  /** Copies a batch into the book; what it replaced, to undo it. */
  apply(batch: readonly StorageWrite[]): Undo[] {
    const undo: Undo[] = [];
    for (const { key, value } of batch) {
      undo.push({ key, before: this.#entries.get(key) });
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, value);
    }
    return undo;
  }

  /** Tells who watches that a batch is stored. */
  tell(batch: readonly StorageWrite[]): void {
    if (this.onEntry) for (const { key, value } of batch) this.onEntry(key, value);
  }

  undo(changes: readonly Undo[]): void {
    undoIn(this.#entries, changes);
  }

  /** A batch is in the book. With `sync` all that is there is dry; else it dries in a while. */
  committed(changes: Undo[], sync: boolean): void {
    if (sync) {
      this.#unsynced = [];
      return;
    }
    this.#unsynced.push(changes);
    if (this.#unsynced.length > 1) return;
    this.#schedule.after(this.#profile.syncIntervalUs, () => {
      this.#unsynced = [];
    });
  }

  /** Entries from `from` to `to`, in byte order. */
  range(query: RangeQuery): StorageEntry[] {
    const keys: ByteString[] = [];
    for (const key of this.#entries.keys()) if (key >= query.from && key < query.to) keys.push(key);
    keys.sort();
    return keys.slice(0, query.limit).map((key) => ({ key, value: this.#entries.get(key)! }));
  }
}

function undoIn(entries: Map<ByteString, Uint8Array>, changes: readonly Undo[]): void {
  for (let i = changes.length - 1; i >= 0; i--) {
    const { key, before } = changes[i]!;
    if (before === undefined) entries.delete(key);
    else entries.set(key, before);
  }
}

export class SimStorage implements Storage {
  readonly engine = 'simulated';
  readonly durable = true;
  /** Called at each completion, for the trace. */
  onDone: ((entries: number, failed: boolean) => void) | undefined;
  readonly #disk: SimDisk;
  readonly #schedule: Schedule;
  readonly #prng: Prng;
  readonly #profile: DiskProfile;
  readonly #complete: Complete;
  #slips: Slip[] = [];
  #lastAt: Micros = 0;
  #gone = false;
  #closing = false;
  #commits = 0;
  #syncs = 0;

  constructor(disk: SimDisk, schedule: Schedule, prng: Prng, profile: DiskProfile, complete: Complete) {
    this.#disk = disk;
    this.#schedule = schedule;
    this.#prng = prng;
    this.#profile = profile;
    this.#complete = complete;
  }

  get loss(): string | undefined {
    return this.#disk.loss;
  }

  lossNoted(): void {
    this.#disk.loss = undefined;
  }

  get(key: ByteString): Uint8Array | undefined {
    return this.#disk.peek(key);
  }

  write(batch: readonly StorageWrite[], durability: Durability, done: (error?: CodedError) => void): void {
    assert(!this.#closing, 'nothing is written to a closed engine');
    const disk = this.#disk;
    // The engine keeps neither keys nor bytes of the caller: copied at once.
    const copied = batch.map(({ key, value }) => ({ key, value: value?.slice() }));
    const sync = durability === 'always';
    const slip: Slip = { batch: copied, sync, done, undo: undefined };
    if (
      this.#profile.visibleEarly &&
      !disk.full &&
      disk.failNext === 0 &&
      !this.#slips.some((other) => !other.undo)
    ) {
      slip.undo = disk.apply(copied);
    }
    this.#slips.push(slip);
    this.#schedule.at(this.#nextAt(sync), () => this.#commitFirst(slip));
  }

  range(
    query: RangeQuery,
    done: (error: CodedError | undefined, entries: readonly StorageEntry[]) => void,
  ): void {
    this.#schedule.at(this.#nextAt(false), () => {
      if (!this.#gone) this.#complete(() => done(undefined, this.#disk.range(query)));
    });
  }

  figures(): StorageFigures {
    return {
      bytesMemory: 0,
      bytesDisk: this.#disk.bytes,
      evictions: 0,
      commits: this.#commits,
      syncs: this.#syncs,
    };
  }

  close(done: (error?: CodedError) => void): void {
    assert(!this.#closing, 'an engine is closed once');
    this.#closing = true;
    this.#schedule.at(this.#nextAt(true), () => {
      if (this.#gone) return;
      this.#disk.committed([], true);
      this.#gone = true;
      this.#complete(() => done());
    });
  }

  /** Changes that readers see although they are not in the book yet, last ones first. */
  shownEarly(): (readonly Undo[])[] {
    return this.#slips.flatMap((slip) => (slip.undo ? [slip.undo] : [])).reverse();
  }

  /** The process died: each slip may have reached the book, first ones first. */
  crash(): void {
    if (this.#gone) return;
    this.#gone = true;
    const kept = this.#disk.full ? 0 : this.#prng.below(this.#slips.length + 1);
    for (let i = this.#slips.length - 1; i >= kept; i--) {
      const undo = this.#slips[i]!.undo;
      if (undo) this.#disk.undo(undo);
    }
    for (let i = 0; i < kept; i++) {
      const slip = this.#slips[i]!;
      this.#disk.committed(slip.undo ?? this.#disk.apply(slip.batch), false);
      this.#disk.tell(slip.batch);
    }
    this.#slips = [];
  }

  /** Another process opens the disk: this one never hears from it again. */
  abandon(): void {
    this.crash();
  }

  /** Operations on one disk complete in order. */
  #nextAt(sync: boolean): Micros {
    const profile = this.#profile;
    let time = profile.commitMinUs - profile.commitMeanUs * Math.log(1 - this.#prng.unit());
    if (sync) time -= profile.syncMeanUs * Math.log(1 - this.#prng.unit());
    this.#lastAt = Math.max(this.#lastAt, this.#schedule.now) + Math.floor(time * this.#disk.slowFactor);
    return this.#lastAt;
  }

  #commitFirst(slip: Slip): void {
    if (this.#gone) return;
    this.#slips.shift();
    const error = this.#errorOf();
    if (error) {
      // Later batches that were shown early stand on this one: they are shown again when they commit.
      for (const later of this.#slips.toReversed()) {
        if (later.undo) this.#disk.undo(later.undo);
        later.undo = undefined;
      }
      if (slip.undo) this.#disk.undo(slip.undo);
    } else {
      this.#commits++;
      if (slip.sync) this.#syncs++;
      this.#disk.committed(slip.undo ?? this.#disk.apply(slip.batch), slip.sync);
      this.#disk.tell(slip.batch);
    }
    this.onDone?.(slip.batch.length, error !== undefined);
    this.#complete(() => slip.done(error));
  }

  #errorOf(): CodedError | undefined {
    if (this.#disk.failNext > 0) {
      this.#disk.failNext--;
      return new CodedError('storage-failed', 'fail', 'simulated disk: input/output error');
    }
    if (this.#disk.full) return new CodedError('storage-full', 'fail', 'simulated disk: no space left');
    return undefined;
  }
}
