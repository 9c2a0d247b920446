/**
 * The rows of this node as comparisons see them: reads storage in pages, keeps the hash forest fresh, and
 * takes in what a peer hands over. It implements `LocalRows`.
 *
 * Jobs wait in two lines, the urgent before the patient; one page is read at a time, and between pages the
 * pace is asked whether more may be spent. A job works on runs of adjacent slots, and a run once begun is
 * finished before another job's: only one set of scales is in use.
 */

import { CodedError } from '../base/errors.ts';
import type { HashForest, NodeHash } from '../merkle/hash-forest.ts';
import { BUCKETS_PER_SLOT } from '../merkle/hash-forest.ts';
import { RowHash } from '../merkle/row-hash.ts';
import type { Storage, StorageEntry } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import type { Pace } from '../repair/pace.ts';
import type { LocalRows, Need, PageDone, RepairDone, RowVisitor } from '../repair/ports.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import type { Table } from '../ring/table.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot, slotStart } from '../rows/key.ts';
import type { Row, Stamp } from '../rows/row.ts';
import { compareStamps, isRowIntact, ROW_HEADER_BYTES, rowStamp } from '../rows/row.ts';
import type { NodeContext } from './context.ts';
import { isTooFarAhead, observeStamp } from './context.ts';
import type { RepairPurses } from './repair-purses.ts';
import { RowCarrier } from './row-carrier.ts';

const pageEntries = 512;
const runSlotsMax = 64;
/** Jobs that wait: where owners change each member may have a dozen sessions with this node. */
const jobsMax = 256;
/** Where the stamp begins in a row. */
const stampOffset = 2;
/** What a row costs beside the time we see: the engine's own threads, the garbage. Milliseconds. */
const rowCostMs = 0.0005;
/**
 * Rows are read anew after so many intervals although no write touched them: disks rot, and what nobody
 * reads would be found damaged only when its last good copy is gone.
 */
const scrubIntervals = 4;
/** Keys of damaged rows that wait to be mended. */
const damagedMax = 1000;

interface Job {
  readonly slots: readonly number[];
  readonly need: Need;
  /** Leaves to visit; undefined for a job that only weighs. */
  readonly leaves: ReadonlySet<number> | undefined;
  readonly visit: RowVisitor | undefined;
  readonly done: RepairDone;
  /** The next slot to look at. */
  at: number;
}

/** A stretch of adjacent slots being read. */
interface Run {
  readonly job: Job;
  readonly end: number;
  readonly beganAt: number;
  slot: number;
  from: RowKey;
}

export interface RepairRowsOptions {
  readonly context: NodeContext;
  readonly storage: Storage;
  readonly forest: HashForest;
  /** Another one each life and node: makes damaged rows differ from everybody else's, and begins tokens. */
  readonly seed: number;
  readonly purses: RepairPurses;
}

export class RepairRows implements LocalRows {
  readonly partitionCount: number;
  readonly #context: NodeContext;
  readonly #storage: Storage;
  readonly #forest: HashForest;
  readonly #seed: number;
  readonly #hash: RowHash = new RowHash();
  readonly #purses: RepairPurses;
  readonly #damaged: Set<RowKey> = new Set();
  /** Horizon and floor the leaves were weighed by. */
  readonly #horizons: Float64Array;
  #floor: Stamp = new Uint8Array(20);
  /** Rows taken from peers, a partition: altogether, and by peer. */
  readonly #taken: Uint32Array;
  readonly #takenFrom: Map<NodeId, Uint32Array> = new Map();
  #jobs: Job[] = [];
  readonly #carrier: RowCarrier;
  #run: Run | undefined = undefined;
  #reading = false;
  #pumping = false;
  /** Rows read for comparisons, and rows that failed their checksum on the way. */
  rowsRead = 0;
  rowsDamaged = 0;

  constructor(options: RepairRowsOptions) {
    this.#context = options.context;
    this.#storage = options.storage;
    this.#forest = options.forest;
    this.#seed = options.seed;
    this.partitionCount = options.context.topology.partitionCount;
    this.#purses = options.purses;
    this.#carrier = new RowCarrier({
      storage: options.storage,
      replica: options.context.replica,
      whenAllowed: (urgent, run) => this.whenAllowed(urgent, 0, run),
      spent: (urgent, rows, ms) => {
        this.rowsRead += rows;
        this.#purses.of(urgent).spend(ms + rows * rowCostMs);
      },
      now: () => this.now(),
    });
    this.#horizons = new Float64Array(this.partitionCount);
    // Another beginning each life: what was proved of a former one is not believed.
    this.#taken = new Uint32Array(this.partitionCount).fill(options.seed);
  }

  get #table(): Table {
    return this.#context.topology.read;
  }

  now(): number {
    return this.#context.now();
  }

  isReplica(partition: number): boolean {
    return this.#context.topology.isHolder(partition, this.#context.self);
  }

  /** A member is gone: what it handed over is nobody's in particular. */
  forget(peer: NodeId): void {
    this.#takenFrom.delete(peer);
  }

  horizonOf(partition: number): number {
    return this.#context.replica.horizons.horizonOf(partition);
  }

  sum(first: number, count: number): NodeHash {
    return this.#forest.sum(first, count);
  }

  /** Milliseconds spent on comparisons since start. */
  get spentMs(): number {
    return this.#purses.spentMs;
  }

  /** Nothing waits to be read or sent. */
  get isQuiet(): boolean {
    return this.#jobs.length === 0 && !this.#purses.hasWaiters;
  }

  /** Whether patient work may be begun. */
  get isCalm(): boolean {
    return this.#jobs.length === 0 && this.#purses.of(false).allows;
  }

  /** A row that failed its checksum when it was read, and is to be mended. */
  takeDamaged(): RowKey | undefined {
    for (const rowKey of this.#damaged) {
      this.#damaged.delete(rowKey);
      return rowKey;
    }
    return undefined;
  }

  refresh(slots: readonly number[], need: Need, done: RepairDone): void {
    // A row that was taken but lies on a tray still is in no storage and has marked no slot yet.
    const stored = (): void => this.#refresh(slots, need, done);
    this.#context.replica.notes.whenTraysWent({ stored });
  }

  #refresh(slots: readonly number[], need: Need, done: RepairDone): void {
    this.#followHorizons(slots);
    if (slots.every((slot) => this.#isFresh(slot, need))) done(undefined);
    else this.#add({ slots, need, leaves: undefined, visit: undefined, done, at: 0 });
  }

  collect(leaves: readonly number[], need: Need, visit: RowVisitor, done: RepairDone): void {
    const slots = [...new Set(leaves.map((leaf) => Math.floor(leaf / BUCKETS_PER_SLOT)))];
    this.#followHorizons(slots);
    this.#add({ slots, need, leaves: new Set(leaves), visit, done, at: 0 });
  }

  #isFresh(slot: number, need: Need): boolean {
    const weighedAt = this.#forest.weighedAt(slot);
    // Within one millisecond nobody can tell what came first but the mark.
    if (weighedAt > need.since || (weighedAt === need.since && !this.#forest.isMarked(slot))) return true;
    const scrubBefore = this.now() - scrubIntervals * this.#context.limits.repairIntervalMs;
    return !need.rescan && weighedAt > scrubBefore && !this.#forest.isMarked(slot);
  }

  /** What counts as gone depends on floor and horizon: where they rose, leaves are out of date. */
  #followHorizons(slots: readonly number[]): void {
    const { replica } = this.#context;
    if (compareStamps(replica.floor, this.#floor) !== 0) {
      this.#floor = replica.floor;
      this.#forest.markRange(0, SLOT_COUNT);
    }
    for (const slot of slots) {
      const partition = this.#table.partitionOfSlot(slot);
      const horizon = replica.horizons.horizonOf(partition);
      if (horizon === this.#horizons[partition]) continue;
      this.#horizons[partition] = horizon;
      const { slotFirst, slotEnd } = replica.horizons.slotsOf(partition);
      this.#forest.markRange(slotFirst, slotEnd);
    }
  }

  #add(job: Job): void {
    if (this.#jobs.length >= jobsMax) {
      job.done(new CodedError('overloaded', 'none', 'too many comparisons are under way at this node'));
      return;
    }
    if (this.#storage.figures().evictions > 0) {
      const meaning = 'the storage of this node evicts rows: its replicas cannot be kept equal';
      job.done(new CodedError('unsupported', 'none', meaning));
      return;
    }
    this.#jobs.push(job);
    this.#pump();
  }

  /** Time passes: refills the purses, and goes on with what waits. Call every few milliseconds. */
  tick(now: number): void {
    const { flights } = this.#context;
    this.#purses.pass(now, flights.unanswered, this.#context.lateMs(), !this.isQuiet);
    if (this.isQuiet) return;
    for (const job of this.#jobs.filter(({ need }) => now >= need.until)) {
      if (this.#run?.job !== job) this.#finish(job, lateError());
    }
    this.#pump();
  }

  whenAllowed(urgent: boolean, bytes: number, run: () => void): void {
    this.#purses.whenAllowed(urgent, bytes, run);
  }

  whenMoveAllowed(run: () => void): void {
    this.#purses.whenMoveAllowed(run);
  }

  moved(bytes: number): void {
    this.#purses.moved(bytes);
  }

  /** Works on as long as purses and storage allow; a storage that answers at once is no recursion. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#reading && this.#step());
    this.#pumping = false;
    this.#purses.release();
  }

  #step(): boolean {
    const urgent = this.#jobs.some(({ need }) => need.urgent);
    const pace = this.#purses.of(urgent);
    if (this.#jobs.length === 0 || !pace.allows) return false;
    const run = this.#run ?? this.#nextRun(this.#jobs.find(({ need }) => need.urgent === urgent)!);
    if (run !== undefined) this.#readPage(run, pace);
    return true;
  }

  /** The next stretch of slots of a job; undefined, and the job done, if there is none. */
  #nextRun(job: Job): Run | undefined {
    const { slots, need } = job;
    const wanted = (slot: number): boolean => job.leaves !== undefined || !this.#isFresh(slot, need);
    while (job.at < slots.length && !wanted(slots[job.at]!)) job.at++;
    if (job.at === slots.length) {
      this.#finish(job, undefined);
      return undefined;
    }
    const first = slots[job.at]!;
    let end = first;
    while (job.at < slots.length && slots[job.at] === end && end - first < runSlotsMax && wanted(end)) {
      // Before its rows are read: a write that comes now marks it again.
      this.#forest.unmark(end);
      job.at++;
      end++;
    }
    const beganAt = this.now();
    this.#run = { job, end, beganAt, slot: first, from: slotStart(first) };
    this.#forest.begin(first, beganAt);
    return this.#run;
  }

  #readPage(run: Run, pace: Pace): void {
    this.#reading = true;
    const query = { from: run.from, to: slotStart(run.end), limit: pageEntries };
    this.#storage.range(query, (error, entries) => {
      this.#reading = false;
      const began = this.now();
      let failure = error;
      if (failure === undefined) {
        this.#page(run, entries);
        pace.spend(this.now() - began + entries.length * rowCostMs);
        if (this.#run === run && began >= run.job.need.until) failure = lateError();
      }
      if (failure !== undefined) this.#breakOff(run, failure);
      this.#pump();
    });
  }

  #breakOff(run: Run, error: CodedError): void {
    if (this.#run === run) {
      this.#forest.abandon();
      this.#forest.markRange(run.slot, run.end);
      this.#run = undefined;
    }
    this.#finish(run.job, error);
  }

  #page(run: Run, entries: readonly StorageEntry[]): void {
    this.rowsRead += entries.length;
    for (const { key, value } of entries) {
      this.#reach(run, rowKeySlot(key));
      this.#weigh(run, key, value);
    }
    if (entries.length === pageEntries) {
      run.from = `${entries.at(-1)!.key}\x00`;
      return;
    }
    this.#reach(run, run.end);
    this.#run = undefined;
  }

  /** All rows of the slots before `slot` were met. */
  #reach(run: Run, slot: number): void {
    while (run.slot < slot) {
      this.#forest.end();
      run.slot++;
      if (run.slot < run.end) this.#forest.begin(run.slot, run.beganAt);
    }
  }

  #weigh(run: Run, rowKey: RowKey, value: Uint8Array): void {
    const hash = this.#hash;
    hash.key(rowKey);
    let row: Row | undefined = value;
    if (value.length < ROW_HEADER_BYTES || (this.#storage.durable && !isRowIntact(rowKey, value))) {
      hash.damaged(this.#seed);
      row = undefined;
      this.rowsDamaged++;
      if (this.#damaged.size < damagedMax) this.#damaged.add(rowKey);
    } else {
      if (this.#context.replica.isGone(rowKey, value)) return;
      hash.stamp(value, stampOffset);
    }
    const { bucket } = hash;
    this.#forest.add(bucket, hash.a, hash.b);
    const { job } = run;
    const leaf = run.slot * BUCKETS_PER_SLOT + bucket;
    if (job.visit !== undefined && job.leaves!.has(leaf)) job.visit(leaf, hash, rowKey, row);
  }

  page(partition: number, after: RowKey, bytesMax: number, urgent: boolean, done: PageDone): void {
    this.#carrier.page(partition, after, bytesMax, urgent, done);
  }

  #finish(job: Job, error: CodedError | undefined): void {
    const at = this.#jobs.indexOf(job);
    if (at < 0) return;
    this.#jobs.splice(at, 1);
    job.done(error);
  }

  rowOf(rowKey: RowKey): Row | undefined {
    try {
      const row = this.#storage.get(rowKey);
      return row !== undefined && this.#carrier.isCarried(rowKey, row) ? row : undefined;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return undefined;
    }
  }

  take(peer: NodeId, rowKey: RowKey, row: Row, source: 'sync' | 'request', done: RepairDone): void {
    const context = this.#context;
    const stamp = rowStamp(row);
    if (isTooFarAhead(context, stamp)) {
      context.tally.rowsRefusedClock++;
      done(new CodedError('clock-offset', 'fail', 'a row is stamped too far ahead of our clock'));
      return;
    }
    // Nothing is noted of whose siblings came: the peer may show what is on its way to the disk yet.
    observeStamp(context, stamp);
    const partition = this.#table.partitionOfSlot(rowKeySlot(rowKey));
    let from = this.#takenFrom.get(peer);
    if (from === undefined) {
      from = new Uint32Array(this.partitionCount);
      this.#takenFrom.set(peer, from);
    }
    this.#taken[partition] = this.#taken[partition]! + 1;
    from[partition] = from[partition]! + 1;
    const began = this.now();
    // A key that is held was not deleted before the horizon, whoever says that it is newer.
    const trusted = source === 'sync' || this.rowOf(rowKey) !== undefined;
    context.replica.merge(rowKey, row, { stored: done }, trusted ? 'sync' : 'request');
    this.#purses.of(false).spend(this.now() - began);
  }

  drop(entries: readonly { key: RowKey; stamp: Stamp }[]): number {
    return this.#context.replica.dropRows(entries, undefined);
  }

  raiseHorizon(partition: number, time: number, done: RepairDone): void {
    // No horizon lies in the future: behind such a one every write would be too late.
    if (time > this.#context.wall()) {
      done(new CodedError('clock-offset', 'none', 'the horizon of a peer lies in the future'));
      return;
    }
    this.#context.replica.raiseHorizon(partition, time, { stored: done }, this.#context.wall());
  }

  raiseFence(partition: number, time: number): boolean {
    const { replica } = this.#context;
    if (time <= replica.horizons.fenceOf(partition) || time > this.#context.wall()) return false;
    replica.raiseFence(partition, time, { stored: () => undefined });
    return true;
  }

  token(partition: number, peer: NodeId): number {
    // What reads handed on came from anybody.
    const handed = this.#context.replica.horizons.handedBehindFence(partition);
    return (this.#taken[partition]! - (this.#takenFrom.get(peer)?.[partition] ?? 0) + handed) >>> 0;
  }
}

function lateError(): CodedError {
  return new CodedError('deadline-exceeded', 'none', 'the rows could not be read in time');
}
