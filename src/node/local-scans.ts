/**
 * Scans of what this node itself holds: pages of keys for SCAN, counts for DBSIZE, and the clean-up of
 * rows that a flush declared dead. All walk storage in bounded pages, so that a long walk never holds
 * up a turn, and a walk whose asker gave up is dropped.
 */

import { CodedError } from '../base/errors.ts';
import { murmur3 } from '../base/murmur3.ts';
import type { Storage, StorageEntry } from '../ports/storage.ts';
import type { Replica } from '../replica/replica.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import type { RowKey } from '../rows/key.ts';
import { isRowKey, rowKeyElement, rowKeySlot, rowKeyUserKey, slotStart } from '../rows/key.ts';
import type { Stamp } from '../rows/row.ts';
import { isRowIntact, isRowLive, ROW_HEADER_BYTES, rowStamp } from '../rows/row.ts';
import { shownKind } from '../rows/siblings.ts';
import type { ScanRow } from '../wire/messages.ts';

const hashSpan = 0x1_0000_0000;
const pageEntries = 512;
const countEntries = 2048;
/** Bytes of keys after which a page ends, so that any page fits a frame many times over. */
const pageKeyBytesMax = 4 * 1024 * 1024;
/** Walks under way beyond this are refused. */
const walksMax = 256;
const pageRowsMax = 10_000;
/** Between two pages of the slow walk, and between two walks, milliseconds. */
const sweepPauseMs = 250;
/** The same after a page with nothing to clean: a node that rests is not to be kept busy by it. */
const sweepLookMs = 1000;
const roundPauseMs = 30_000;
/** A floor that could not be stored is laid on again after so long, milliseconds. */
const floorAgainMs = 1000;
/**
 * Expired rows are left alone for so long that all clocks agree they are dead, milliseconds, and for as
 * long as most other clocks do not agree with ours: what a clock that jumped ahead took away is gone.
 */
const expiredForMs = 60_000;

export type LocalScanDone = (
  error: CodedError | undefined,
  cursorNext: number,
  rows: readonly ScanRow[],
) => void;

/** Whether somebody still waits for the result of a walk. */
export type Wanted = () => boolean;

interface Walk {
  readonly slotEnd: number;
  readonly cursor: number;
  readonly count: number;
  readonly rows: ScanRow[];
  /** Rows of the slot being read, not yet in position order. */
  slotRows: ScanRow[];
  slot: number;
  /** Entries to read next. */
  limit: number;
  keyBytes: number;
  readonly wanted: Wanted;
  readonly done: LocalScanDone;
}

export class LocalScans {
  readonly #storage: Storage;
  readonly #replica: Replica;
  readonly #wall: () => number;
  readonly #clockConfirmed: () => boolean;
  readonly #wake: () => void;
  readonly #rowDamaged: (rowKey: RowKey) => void;
  /** Walks that wait for the next turn to read their next page. */
  #ready: (() => void)[] = [];
  #walks = 0;
  #sweepFrom: RowKey = slotStart(0);
  #sweepAt = 0;
  #floorAt = 0;
  #sweepFast = false;
  #sweeping = false;

  /**
   * @param clockConfirmed whether most other nodes agree with our wall clock at this moment
   * @param rowDamaged told of every row that fails its checksum
   */
  constructor(
    storage: Storage,
    replica: Replica,
    wall: () => number,
    clockConfirmed: () => boolean,
    wake: () => void,
    rowDamaged: (rowKey: RowKey) => void,
  ) {
    this.#storage = storage;
    this.#replica = replica;
    this.#wall = wall;
    this.#clockConfirmed = clockConfirmed;
    this.#wake = wake;
    this.#rowDamaged = rowDamaged;
  }

  /** Reads one more page of every walk under way. Call once a turn. */
  turn(): void {
    if (this.#ready.length === 0) return;
    const ready = this.#ready;
    this.#ready = [];
    for (const nextPage of ready) nextPage();
  }

  #later(nextPage: () => void): void {
    this.#ready.push(nextPage);
    this.#wake();
  }

  /** Takes up a walk, or gives the error for one too many. */
  #beginWalk(): CodedError | undefined {
    if (this.#walks >= walksMax) {
      return new CodedError('overloaded', 'none', `${walksMax} scans are under way at this node already`);
    }
    this.#walks++;
    return undefined;
  }

  /**
   * Keys at positions in [cursor, slotEnd * 2^32), about `count` of them, and where to go on. `done` is
   * called once, unless nobody wants it any more.
   */
  scan(cursor: number, slotEnd: number, count: number, wanted: Wanted, done: LocalScanDone): void {
    const refusal = this.#beginWalk();
    if (refusal !== undefined) {
      done(refusal, cursor, []);
      return;
    }
    const slot = Math.floor(cursor / hashSpan);
    const rows = Math.max(1, Math.min(pageRowsMax, count));
    const ended: LocalScanDone = (error, cursorNext, page) => {
      this.#walks--;
      done(error, cursorNext, page);
    };
    const limit = Math.min(pageEntries, Math.max(16, rows * 2));
    const walk: Walk = {
      slotEnd,
      cursor,
      count: rows,
      rows: [],
      slotRows: [],
      slot,
      limit,
      keyBytes: 0,
      wanted,
      done: ended,
    };
    this.#scanPage(walk, slotStart(slot));
  }

  #scanPage(walk: Walk, from: RowKey): void {
    if (!walk.wanted()) {
      this.#walks--;
      return;
    }
    // A slot of many keys has to be read to its end: after a small first bite, larger ones.
    const limit = walk.limit;
    walk.limit = Math.min(pageEntries, limit * 4);
    this.#storage.range({ from, to: slotStart(walk.slotEnd), limit }, (error, entries) => {
      if (error !== undefined) {
        walk.done(error, walk.cursor, []);
        return;
      }
      for (const entry of entries) {
        const slot = rowKeySlot(entry.key);
        if (slot !== walk.slot && this.#closeSlot(walk)) return;
        walk.slot = slot;
        const row = this.#scanRow(entry, slot);
        if (row !== undefined && row.position >= walk.cursor) walk.slotRows.push(row);
      }
      this.#trimSlot(walk);
      if (entries.length === limit) {
        this.#later(() => this.#scanPage(walk, `${entries.at(-1)!.key}\x00`));
      } else if (!this.#closeSlot(walk)) {
        walk.done(undefined, walk.slotEnd * hashSpan, walk.rows);
      }
    });
  }

  /**
   * All keys of one hash tag lie in one slot: of a slot with more keys than the page can take only the
   * first by position are kept, and one beyond them, where the next page begins.
   */
  #trimSlot(walk: Walk): void {
    const enough = walk.count - walk.rows.length + 1;
    if (walk.slotRows.length < 2 * (enough + pageEntries)) return;
    const sorted = walk.slotRows.sort((a, b) => a.position - b.position);
    let end = enough;
    while (end < sorted.length && sorted[end]!.position === sorted[end - 1]!.position) end++;
    walk.slotRows = sorted.slice(0, end + 1);
  }

  /** A slot is complete: its rows join the page in order. True when that filled and ended the page. */
  #closeSlot(walk: Walk): boolean {
    const sorted = walk.slotRows.sort((a, b) => a.position - b.position);
    walk.slotRows = [];
    for (const row of sorted) {
      // A page ends between two positions, never between two keys at one position.
      const full = walk.rows.length >= walk.count || walk.keyBytes >= pageKeyBytesMax;
      if (full && row.position !== walk.rows.at(-1)?.position) {
        walk.done(undefined, row.position, walk.rows);
        return true;
      }
      walk.rows.push(row);
      walk.keyBytes += row.key.length;
    }
    if (walk.rows.length < walk.count && walk.keyBytes < pageKeyBytesMax) return false;
    walk.done(undefined, (walk.slot + 1) * hashSpan, walk.rows);
    return true;
  }

  #scanRow(entry: StorageEntry, slot: number): ScanRow | undefined {
    if (rowKeyElement(entry.key) !== '' || entry.value.length < ROW_HEADER_BYTES) return undefined;
    if (!this.#checkRow(entry)) return undefined;
    const key = rowKeyUserKey(entry.key);
    const live = isRowLive(entry.value, this.#wall()) && !this.#replica.isBelowFloor(entry.value);
    const stamp: Stamp = rowStamp(entry.value);
    return { position: slot * hashSpan + murmur3(key), key, kind: shownKind(entry.value), live, stamp };
  }

  /** Whether a row that was read passes its checksum; one that does not is to be mended. */
  #checkRow({ key, value }: StorageEntry): boolean {
    if (isRowIntact(key, value)) return true;
    if (isRowKey(key)) this.#rowDamaged(key);
    return false;
  }

  /** Live keys in ranges of slots (pairs of start and end). `done` as for `scan`. */
  count(
    ranges: readonly number[],
    wanted: Wanted,
    done: (error: CodedError | undefined, count: number) => void,
  ): void {
    const refusal = this.#beginWalk();
    if (refusal !== undefined) {
      done(refusal, 0);
      return;
    }
    this.#countPage(ranges, 0, slotStart(ranges[0] ?? 0), 0, wanted, (error, count) => {
      this.#walks--;
      done(error, count);
    });
  }

  /** Counts on from `from`, which lies in the range at `at` or in a gap before it. */
  #countPage(
    ranges: readonly number[],
    at: number,
    from: RowKey,
    sum: number,
    wanted: Wanted,
    done: (error: CodedError | undefined, count: number) => void,
  ): void {
    if (!wanted()) {
      this.#walks--;
      return;
    }
    // One walk over all ranges: reading what lies between them costs less than an iterator for each.
    const to = slotStart(ranges.at(-1) ?? 0);
    this.#storage.range({ from, to, limit: countEntries }, (error, entries) => {
      if (error !== undefined) {
        done(error, 0);
        return;
      }
      const wall = this.#wall();
      let live = sum;
      let range = at;
      for (const { key, value } of entries) {
        const slot = rowKeySlot(key);
        while (slot >= ranges[range + 1]!) range += 2;
        if (slot < ranges[range]! || rowKeyElement(key) !== '') continue;
        if (isRowLive(value, wall) && !this.#replica.isBelowFloor(value)) live++;
      }
      if (entries.length < countEntries) {
        done(undefined, live);
        return;
      }
      const next = `${entries.at(-1)!.key}\x00`;
      const start = slotStart(ranges[range]!);
      this.#later(() => this.#countPage(ranges, range, start > next ? start : next, live, wanted, done));
    });
  }

  /** A flush happened: clean up at full speed, from the beginning. */
  sweepFromStart(): void {
    this.#sweepFrom = slotStart(0);
    this.#sweepFast = true;
  }

  /** A floor that met a full disk is stored once there is space: until it is, no row is dropped here. */
  #layFloor(now: number): void {
    const replica = this.#replica;
    if (replica.isFloorDurable || now < this.#floorAt) return;
    this.#floorAt = now + floorAgainMs;
    replica.raiseFloor(replica.floor, undefined);
  }

  /**
   * Cleans up one more page: deletes rows that a flush declared dead, and takes the value out of rows
   * that expired long ago (the tombstone that is left keeps them dead). Call every tick; it walks all
   * of storage over and over, slowly unless there was a flush.
   */
  sweep(now: number): void {
    this.#layFloor(now);
    if (this.#sweeping || (!this.#sweepFast && now < this.#sweepAt)) return;
    const from = this.#sweepFrom;
    this.#sweeping = true;
    this.#storage.range({ from, to: slotStart(SLOT_COUNT), limit: pageEntries }, (error, entries) => {
      this.#sweeping = false;
      this.#sweepAt = now + sweepPauseMs;
      // A flush while this page was read starts over: leave its mark alone.
      if (error !== undefined || this.#sweepFrom !== from) return;
      const expiredBefore = this.#clockConfirmed() ? this.#wall() - expiredForMs : Number.NEGATIVE_INFINITY;
      // The walk meets every row sooner or later: a damaged one is mended without anybody asking for it.
      if (this.#storage.durable) for (const entry of entries) this.#checkRow(entry);
      const cleaned = this.#replica.cleanUp(entries, expiredBefore);
      if (cleaned === 0) this.#sweepAt = now + sweepLookMs;
      const more = entries.length === pageEntries;
      this.#sweepFrom = more ? `${entries.at(-1)!.key}\x00` : slotStart(0);
      if (!more) {
        this.#sweepFast = false;
        this.#sweepAt = now + roundPauseMs;
      }
    });
  }
}
