/**
 * Scans of what this node itself holds: pages of keys for SCAN, counts for DBSIZE, and the clean-up of
 * rows that a flush declared dead. All walk storage in bounded pages, so that a long walk never holds
 * up a turn.
 */

import type { CodedError } from '../base/errors.ts';
import { murmur3 } from '../base/murmur3.ts';
import type { Storage, StorageEntry } from '../ports/storage.ts';
import type { Replica } from '../replica/replica.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeyElement, rowKeySlot, rowKeyUserKey, slotStart } from '../rows/key.ts';
import type { Stamp } from '../rows/row.ts';
import { isRowIntact, isRowLive, ROW_HEADER_BYTES, rowKind, rowStamp } from '../rows/row.ts';
import type { ScanRow } from '../wire/messages.ts';

const hashSpan = 0x1_0000_0000;
const pageEntries = 512;
/** Between two pages of the slow walk, and between two walks, milliseconds. */
const sweepPauseMs = 250;
const roundPauseMs = 30_000;
/** Expired rows are left alone for so long that all clocks agree they are dead, milliseconds. */
const expiredForMs = 60_000;

export type LocalScanDone = (
  error: CodedError | undefined,
  cursorNext: number,
  rows: readonly ScanRow[],
) => void;

interface Walk {
  readonly slotEnd: number;
  readonly cursor: number;
  readonly count: number;
  readonly rows: ScanRow[];
  /** Rows of the slot being read, not yet in position order. */
  slotRows: ScanRow[];
  slot: number;
  readonly done: LocalScanDone;
}

export class LocalScans {
  readonly #storage: Storage;
  readonly #replica: Replica;
  readonly #wall: () => number;
  readonly #wake: () => void;
  /** Walks that wait for the next turn to read their next page. */
  #ready: (() => void)[] = [];
  #sweepFrom: RowKey = slotStart(0);
  #sweepAt = 0;
  #sweepFast = false;
  #sweeping = false;

  constructor(storage: Storage, replica: Replica, wall: () => number, wake: () => void) {
    this.#storage = storage;
    this.#replica = replica;
    this.#wall = wall;
    this.#wake = wake;
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

  /** Keys at positions in [cursor, slotEnd * 2^32), about `count` of them, and where to go on. */
  scan(cursor: number, slotEnd: number, count: number, done: LocalScanDone): void {
    const slot = Math.floor(cursor / hashSpan);
    const walk: Walk = { slotEnd, cursor, count, rows: [], slotRows: [], slot, done };
    this.#scanPage(walk, slotStart(slot));
  }

  #scanPage(walk: Walk, from: RowKey): void {
    const limit = Math.min(pageEntries, Math.max(16, walk.count * 2));
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
      if (entries.length === limit) {
        this.#later(() => this.#scanPage(walk, `${entries.at(-1)!.key}\x00`));
      } else if (!this.#closeSlot(walk)) {
        walk.done(undefined, walk.slotEnd * hashSpan, walk.rows);
      }
    });
  }

  /** A slot is complete: its rows join the page in order. True when that filled and ended the page. */
  #closeSlot(walk: Walk): boolean {
    const sorted = walk.slotRows.sort((a, b) => a.position - b.position);
    walk.slotRows = [];
    for (const row of sorted) {
      // A page ends between two positions, never between two keys at one position.
      if (walk.rows.length >= walk.count && row.position !== walk.rows.at(-1)?.position) {
        walk.done(undefined, row.position, walk.rows);
        return true;
      }
      walk.rows.push(row);
    }
    if (walk.rows.length < walk.count) return false;
    walk.done(undefined, (walk.slot + 1) * hashSpan, walk.rows);
    return true;
  }

  #scanRow(entry: StorageEntry, slot: number): ScanRow | undefined {
    if (rowKeyElement(entry.key) !== '' || entry.value.length < ROW_HEADER_BYTES) return undefined;
    if (!isRowIntact(entry.key, entry.value)) return undefined;
    const key = rowKeyUserKey(entry.key);
    const live = isRowLive(entry.value, this.#wall()) && !this.#replica.isBelowFloor(entry.value);
    const stamp: Stamp = rowStamp(entry.value);
    return { position: slot * hashSpan + murmur3(key), key, kind: rowKind(entry.value), live, stamp };
  }

  /** Live keys in ranges of slots (pairs of start and end). */
  count(ranges: readonly number[], done: (error: CodedError | undefined, count: number) => void): void {
    this.#countRange(ranges, 0, slotStart(ranges[0] ?? 0), 0, done);
  }

  #countRange(
    ranges: readonly number[],
    at: number,
    from: RowKey,
    sum: number,
    done: (error: CodedError | undefined, count: number) => void,
  ): void {
    const end = ranges[at + 1];
    if (end === undefined) {
      done(undefined, sum);
      return;
    }
    this.#storage.range({ from, to: slotStart(end), limit: pageEntries }, (error, entries) => {
      if (error !== undefined) {
        done(error, 0);
        return;
      }
      const wall = this.#wall();
      let live = sum;
      for (const { key, value } of entries) {
        if (rowKeyElement(key) === '' && isRowLive(value, wall) && !this.#replica.isBelowFloor(value)) live++;
      }
      if (entries.length === pageEntries) {
        this.#later(() => this.#countRange(ranges, at, `${entries.at(-1)!.key}\x00`, live, done));
      } else {
        this.#later(() => this.#countRange(ranges, at + 2, slotStart(ranges[at + 2] ?? 0), live, done));
      }
    });
  }

  /** A flush happened: clean up at full speed, from the beginning. */
  sweepFromStart(): void {
    this.#sweepFrom = slotStart(0);
    this.#sweepFast = true;
  }

  /**
   * Cleans up one more page: deletes rows that a flush declared dead, and takes the value out of rows
   * that expired long ago (the tombstone that is left keeps them dead). Call every tick; it walks all
   * of storage over and over, slowly unless there was a flush.
   */
  sweep(now: number): void {
    if (this.#sweeping || (!this.#sweepFast && now < this.#sweepAt)) return;
    const from = this.#sweepFrom;
    this.#sweeping = true;
    this.#storage.range({ from, to: slotStart(SLOT_COUNT), limit: pageEntries }, (error, entries) => {
      this.#sweeping = false;
      this.#sweepAt = now + sweepPauseMs;
      // A flush while this page was read starts over: leave its mark alone.
      if (error !== undefined || this.#sweepFrom !== from) return;
      this.#replica.cleanUp(entries, this.#wall() - expiredForMs);
      const more = entries.length === pageEntries;
      this.#sweepFrom = more ? `${entries.at(-1)!.key}\x00` : slotStart(0);
      if (!more) {
        this.#sweepFast = false;
        this.#sweepAt = now + roundPauseMs;
      }
    });
  }
}
