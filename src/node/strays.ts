/**
 * Strays: rows that lie here although neither table in force says so. They are left over when owners changed, or a
 * late message brought them.
 *
 * The picture: the house is sold, some boxes are still in the cellar. Before a box goes to the tip, each new owner
 * is shown everything in it and takes what he lacks; only when all of them have said that they hold it, or
 * something later, is it thrown away, a handful at a time. Should something be put into the box meanwhile, all
 * of them are asked again.
 *
 * 1. look: is there a row at all? Partitions not held here are marked at the start, when owners changed, and
 *    when a row of theirs is stored (`stray-marks.ts`).
 * 2. prove: `RepairDesk.give` to every owner, one after the other, patiently. It needs phase `steady`, and all
 *    members to know that epoch: until then the old owners still count for writes.
 * 3. forget the partition's tombstone horizon, durably. From now on rows are missing here that nobody deleted: a
 *    comparison must not take that for "deleted and collected" (`docs/design/tombstones.md`).
 * 4. drop the rows, without tombstones, in pages, as the urgent purse allows; each row only if it is still as it was read.
 */

import type { CodedError } from '../base/errors.ts';
import type { Storage, StorageEntry } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import { peekStored } from '../replica/stored-bytes.ts';
import { type RowKey, rowKeySlot, slotStart } from '../rows/key.ts';
import { compareRowStamps, ROW_HEADER_BYTES } from '../rows/row.ts';
import type { NodeContext } from './context.ts';
import type { RepairPurses } from './repair-purses.ts';
import type { StrayMarks } from './stray-marks.ts';

/** Partitions looked after at a time, and rows dropped in one batch: clients are served between two of them. */
const underwayMax = 4;
const pageEntries = 64;
/** What it costs to drop a row beside the time we see: the engine's own threads. Milliseconds. */
const dropCostMs = 0.03;
/** What could not be done is tried again after so long, milliseconds. */
const retryMs = 500;

/** What the strays need of their neighbours. */
export interface StrayNeighbours {
  /** See `RepairDesk.give`. */
  give(partition: number, owner: NodeId, done: (error: CodedError | undefined) => void): void;
  /** Whether all members know the epoch in force, durably. */
  doAllKnow(): boolean;
  /** What the time is paid from in which rows are dropped. */
  readonly purses: RepairPurses;
}

/** A partition being looked after; undefined in the book means that it was given up meanwhile. */
interface Work {
  readonly partition: number;
  /** What had arrived when it was begun: what was proved is proved of that. */
  readonly arrivals: number;
  /** Owners that were not shown everything yet. */
  readonly owners: NodeId[];
}

export class Strays {
  readonly #context: NodeContext;
  readonly #storage: Storage;
  readonly #marks: StrayMarks;
  readonly #neighbours: StrayNeighbours;
  readonly #underway: Map<number, Work> = new Map();
  readonly #retryAt: Map<number, number> = new Map();
  /** Partitions in which rows were found. */
  readonly #found: Set<number> = new Set();
  /** Partitions that were not held at the start, and were not looked at yet: mostly they are empty. */
  readonly #unseen: Set<number> = new Set();
  readonly #droppedEarly: boolean;
  /** Partitions cleaned up and rows dropped since start. */
  cleaned = 0;
  rowsDropped = 0;

  constructor(context: NodeContext, storage: Storage, marks: StrayMarks, neighbours: StrayNeighbours) {
    this.#context = context;
    this.#storage = storage;
    this.#marks = marks;
    this.#neighbours = neighbours;
    this.#droppedEarly = context.mutants.has('stray-dropped-early');
    this.#hold();
    for (const partition of marks.marked) this.#unseen.add(partition);
  }

  /** Partitions that hold rows of others, or may since owners changed; those of the start only once rows were found. */
  get count(): number {
    let count = 0;
    for (const partition of this.#marks.marked) if (!this.#unseen.has(partition)) count++;
    return count;
  }

  get isQuiet(): boolean {
    return this.#underway.size === 0;
  }

  /** Owners changed: what is under way is given up, what was proved was proved to others. */
  topologyChanged(): void {
    this.#underway.clear();
    this.#retryAt.clear();
    this.#hold();
  }

  #hold(): void {
    const { topology, self } = this.#context;
    this.#marks.hold((partition) => topology.isHolder(partition, self));
    for (const partitions of [this.#found, this.#unseen]) {
      for (const partition of partitions)
        if (!this.#marks.marked.has(partition)) partitions.delete(partition);
    }
  }

  /** Goes on. Call every few milliseconds. */
  tick(now: number): void {
    if (this.#marks.marked.size === 0 || !this.#mayWork()) return;
    for (const partition of this.#marks.marked) {
      if (this.#underway.size >= underwayMax) return;
      if (this.#underway.has(partition) || now < (this.#retryAt.get(partition) ?? 0)) continue;
      this.#look(partition);
    }
  }

  #mayWork(): boolean {
    const { topology, self, replica } = this.#context;
    if (topology.phase !== 'steady' || !topology.has(self) || replica.failure !== undefined) return false;
    return this.#droppedEarly || this.#neighbours.doAllKnow();
  }

  #look(partition: number): void {
    const { replica, topology } = this.#context;
    const owners = topology.read.preferenceListOfPartition(partition);
    const work: Work = { partition, arrivals: this.#marks.arrivals(partition), owners: [...owners] };
    this.#underway.set(partition, work);
    // What lies on a tray still is in no storage.
    replica.notes.whenTraysWent({
      stored: () =>
        this.#read(work, slotStart(replica.horizons.slotsOf(partition).slotFirst), 1, (entries) => {
          this.#unseen.delete(partition);
          if (entries.length === 0) this.#clean(work);
          else {
            this.#found.add(partition);
            if (this.#droppedEarly) this.#forgetHorizon(work);
            else this.#prove(work);
          }
        }),
    });
  }

  /** Whether a step may go on: nothing arrived, and nobody gave it up. */
  #goesOn(work: Work): boolean {
    if (this.#underway.get(work.partition) !== work) return false;
    if (this.#marks.arrivals(work.partition) === work.arrivals) return true;
    this.#later(work, 0);
    return false;
  }

  #later(work: Work, afterMs: number): void {
    if (this.#underway.get(work.partition) !== work) return;
    this.#underway.delete(work.partition);
    this.#retryAt.set(work.partition, this.#context.now() + afterMs);
  }

  #read(work: Work, from: RowKey, limit: number, then: (entries: readonly StorageEntry[]) => void): void {
    if (!this.#goesOn(work)) return;
    const { slotEnd } = this.#context.replica.horizons.slotsOf(work.partition);
    this.#storage.range({ from, to: slotStart(slotEnd), limit }, (error, entries) => {
      if (error !== undefined) this.#later(work, retryMs);
      else if (this.#goesOn(work)) then(entries);
    });
  }

  #clean(work: Work): void {
    const { partition } = work;
    this.#underway.delete(partition);
    this.#retryAt.delete(partition);
    this.#marks.clear(partition);
    if (this.#found.delete(partition)) this.cleaned++;
  }

  #prove(work: Work): void {
    const owner = work.owners[0];
    if (owner === undefined) {
      this.#forgetHorizon(work);
      return;
    }
    this.#neighbours.give(work.partition, owner, (error) => {
      if (error !== undefined) this.#later(work, retryMs);
      else if (this.#goesOn(work)) {
        work.owners.shift();
        this.#prove(work);
      }
    });
  }

  #forgetHorizon(work: Work): void {
    const { replica } = this.#context;
    const { horizons } = replica;
    const { partition } = work;
    const from = slotStart(horizons.slotsOf(partition).slotFirst);
    horizons.forgetOf(partition);
    replica.note(horizons.noteKey(partition), horizons.noteOf(partition), {
      stored: (error) => {
        if (error !== undefined) this.#later(work, retryMs);
        else this.#drop(work, from);
      },
    });
  }

  #drop(work: Work, from: RowKey): void {
    this.#neighbours.purses.whenAllowed(true, 0, () => this.#dropFrom(work, from));
  }

  #dropFrom(work: Work, from: RowKey): void {
    this.#read(work, from, pageEntries, (entries) => {
      const last = entries.at(-1);
      if (last === undefined) {
        // Whatever was passed over is met from the start.
        this.#later(work, 0);
        return;
      }
      const next = `${last.key}\x00`;
      this.#dropPage(entries, (error) => {
        if (error !== undefined) this.#later(work, retryMs);
        else this.#drop(work, next);
      });
    });
  }

  /** Deletes rows that are still as they were read; `done` when that is durable. */
  #dropPage(entries: readonly StorageEntry[], done: (error: CodedError | undefined) => void): void {
    const { replica, now } = this.#context;
    const began = now();
    const dropped = entries.filter(({ key, value }) => !replica.isPending(key) && this.#isAsRead(key, value));
    this.rowsDropped += dropped.length;
    for (const { key } of dropped) {
      replica.horizons.dropped(rowKeySlot(key));
      replica.note(key, undefined, { stored: () => undefined });
    }
    this.#neighbours.purses.of(true).spend(now() - began + dropped.length * dropCostMs);
    replica.notes.whenTraysWent({ stored: done });
  }

  #isAsRead(key: RowKey, value: Uint8Array): boolean {
    const held = peekStored(this.#storage, key);
    if (held?.length !== value.length) return false;
    return held.length < ROW_HEADER_BYTES || compareRowStamps(held, value) === 0;
  }
}
