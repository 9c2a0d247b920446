/**
 * The row carrier: copies the rows of a partition out of storage, a message full at a time, for a node that holds
 * none of them (`RepairRows.page`).
 *
 * The picture: one man with a trolley, whoever asks. He fetches a few rows, goes to the end of the queue, and hands a
 * load over when it is full: so the storage is asked for one thing at a time, and the requests of clients, which use
 * it too, wait for little.
 */

import { CodedError } from '../base/errors.ts';
import type { Storage } from '../ports/storage.ts';
import type { CarriedRow, PageDone } from '../repair/ports.ts';
import type { Replica } from '../replica/replica.ts';
import { type RowKey, slotStart } from '../rows/key.ts';
import { isRowIntact, ROW_HEADER_BYTES, type Row } from '../rows/row.ts';

/** Rows are read so many at a time: most of them are needed, however large they are. */
const entriesMax = 64;
const waitingMax = 256;

export interface RowCarrierOptions {
  readonly storage: Storage;
  readonly replica: Replica;
  /** Runs `run` when the purse allows it. */
  whenAllowed(urgent: boolean, run: () => void): void;
  /** Rows were read; `ms` were spent on looking at them. */
  spent(urgent: boolean, rows: number, ms: number): void;
  now(): number;
}

/** A load that is being made up. */
interface Load {
  readonly to: RowKey;
  readonly bytesMax: number;
  readonly urgent: boolean;
  readonly done: PageDone;
  readonly rows: CarriedRow[];
  from: RowKey;
  bytes: number;
}

export class RowCarrier {
  readonly #options: RowCarrierOptions;
  readonly #waiting: Load[] = [];
  #isAway = false;

  constructor(options: RowCarrierOptions) {
    this.#options = options;
  }

  /** See `LocalRows.page`. */
  page(partition: number, after: RowKey, bytesMax: number, urgent: boolean, done: PageDone): void {
    if (this.#waiting.length >= waitingMax) {
      done(
        new CodedError('overloaded', 'none', 'too many comparisons are under way at this node'),
        [],
        false,
      );
      return;
    }
    const { slotFirst, slotEnd } = this.#options.replica.horizons.slotsOf(partition);
    const from = after === '' ? slotStart(slotFirst) : `${after}\x00`;
    this.#waiting.push({ to: slotStart(slotEnd), bytesMax, urgent, done, rows: [], from, bytes: 0 });
    this.#next();
  }

  /** Whether a stored row is to be handed to others: intact, and not gone. */
  isCarried(rowKey: RowKey, row: Row): boolean {
    const { storage, replica } = this.#options;
    if (row.length < ROW_HEADER_BYTES || (storage.durable && !isRowIntact(rowKey, row))) return false;
    return !replica.isGone(rowKey, row);
  }

  #next(): void {
    const load = this.#isAway ? undefined : this.#waiting.shift();
    if (load === undefined) return;
    this.#isAway = true;
    this.#options.whenAllowed(load.urgent, () => this.#fetch(load));
  }

  #fetch(load: Load): void {
    const { storage, now, spent } = this.#options;
    storage.range({ from: load.from, to: load.to, limit: entriesMax }, (error, entries) => {
      const began = now();
      const isFull = error === undefined && entries.some(({ key, value }) => !this.#lay(load, key, value));
      spent(load.urgent, entries.length, now() - began);
      this.#isAway = false;
      const isWhole = error !== undefined || isFull || entries.length < entriesMax;
      if (!isWhole) {
        load.from = `${entries.at(-1)!.key}\x00`;
        this.#waiting.push(load);
      }
      this.#next();
      if (isWhole) load.done(error, load.rows, isFull);
    });
  }

  /** @returns false if the row does not fit any more */
  #lay(load: Load, rowKey: RowKey, row: Row): boolean {
    if (!this.isCarried(rowKey, row)) return true;
    load.bytes += rowKey.length + row.length;
    if (load.rows.length > 0 && load.bytes > load.bytesMax) return false;
    load.rows.push({ rowKey, row: row.slice() });
    return true;
  }
}
