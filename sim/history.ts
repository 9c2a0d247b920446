/**
 * The history: what clients asked and were told, in order; and the witness: what disks stored.
 *
 * The picture: a court. The history is the testimony of the clients; each of their values is unique,
 * so a value seen anywhere names the request it came from. The witness stands at every disk and notes
 * which stamp each value was given. The oracles judge from these two and from the disks' last state.
 */

import { type ByteString, byteString, bytesOf } from '../src/base/bytes.ts';
import type { Outcome } from '../src/base/errors.ts';
import { META_PREFIX, type RowKey } from '../src/rows/key.ts';
import {
  compareStamps,
  encodeRow,
  isRowIntact,
  KIND_TOMBSTONE,
  ROW_HEADER_BYTES,
  type Row,
  rowActor,
  rowCounter,
  rowExpireAt,
  rowKind,
  rowStamp,
  STAMP_BYTES,
  type Stamp,
} from '../src/rows/row.ts';
import { isSiblingsRow, versionsOfRow } from '../src/rows/siblings.ts';
import type { OpKind } from './plan.ts';
import type { Micros } from './schedule.ts';

/** `pending`: not answered yet. Of a read that failed, `none`. */
export type OpOutcome = 'pending' | 'ok' | Outcome;

/**
 * Which act of the run a request belongs to: the workload; after healing, reads that meet damaged rows and
 * may fail of them, probes whether requests succeed,
 * reads at R from every node, reads at R=N that repair, and reads at R=N after every process was killed
 * once more.
 */
export type Phase = 'work' | 'meet' | 'probe' | 'quorum' | 'repair' | 'restart';

/** One request, as its client saw it. Its `id` (from 1) is in the value it writes. */
export interface OpRecord {
  readonly id: number;
  readonly kind: OpKind;
  readonly key: number;
  readonly node: number;
  readonly invokedAt: Micros;
  /** Place among all invocations and returns of the run: an order without ties. */
  readonly invokeOrder: number;
  readonly phase: Phase;
  returnedAt: Micros;
  returnOrder: number;
  outcome: OpOutcome;
  /** Code of the error, if one was answered. */
  code: string;
  /** Of a read: the id in the value read; 0 for no such key. */
  seen: number;
  /** Of a read that found a row: its stamp. */
  seenStamp: Stamp | undefined;
  /** Of `versions`: the ids in all values it was given, upwards. */
  seenAll: readonly number[];
  /** Of a write under policy `siblings`: the ids in the values its context came with. */
  basis: readonly number[];
  /** It was written under `last-write-wins` in a plan of siblings. */
  readonly plain: boolean;
  /** Of a value with an expiry: wall time, milliseconds; else 0. */
  expireAt: number;
  /** Of an update: what it answered. */
  reply: number;
  /** Times `done` was called. */
  answers: number;
  /** The node was frozen, or ended, while it was under way: deadlines mean nothing. */
  disturbed: boolean;
}

/** The value a request writes. */
export function requestValue(id: number, padBytes: number): Uint8Array {
  return bytesOf(`v${id}.${'.'.repeat(padBytes)}`);
}

/** The request a value came from; 0 if it is none of ours. */
export function idOf(bytes: Uint8Array, start: number): number {
  if (bytes[start] !== 0x76) return 0;
  let id = 0;
  for (let i = start + 1; i < bytes.length; i++) {
    const digit = bytes[i]! - 0x30;
    if (bytes[i] === 0x2e) return id;
    if (digit < 0 || digit > 9) return 0;
    id = id * 10 + digit;
  }
  return 0;
}

/** Hints lie under a prefix, the member they are for, a zero byte and their row key (`src/hints/`). */
export const HINT_PREFIX: ByteString = `${META_PREFIX}hint`;

/** Stands at the disks. Of a row of siblings it looks at each of them, as if it lay there alone. */
export class Witness {
  /** Stamp each request's value was first stored with. */
  readonly stamps: Map<number, Stamp> = new Map();
  /** Per row key: the greatest stamp of a row that may be dead (a tombstone, or one that expires). */
  readonly deadMax: Map<RowKey, Stamp> = new Map();
  /** Floors (stamps of flushes) stored on disks, each when it first was. */
  readonly floors: { readonly at: Micros; readonly stamp: Stamp }[] = [];
  /** What should never be: one dot for two rows, one request stamped twice. */
  readonly oddities: string[] = [];
  readonly #dots: Map<number, Map<number, string>> = new Map();

  /** Takes note of an entry stored on a disk. */
  entry(now: Micros, key: string, value: Uint8Array | undefined): void {
    if (value === undefined) return;
    if (key.charCodeAt(0) !== 0xff) {
      this.#noteRow(key, value);
    } else if (key.startsWith(HINT_PREFIX)) {
      this.#noteRow(key.slice(key.indexOf('\0') + 1), value);
    } else if (key === `${META_PREFIX}floor`) {
      this.#noteFloor(now, value.subarray(0, STAMP_BYTES));
    }
  }

  /** A row, be it in its place or a hint for its owner. */
  #noteRow(key: RowKey, value: Uint8Array): void {
    if (value.length < ROW_HEADER_BYTES) return;
    if (isSiblingsRow(value)) {
      if (isRowIntact(key, value)) this.#noteSiblings(key, value);
      return;
    }
    this.#noteDot(key, value);
    const id = idOf(value, ROW_HEADER_BYTES);
    if (id > 0) this.#noteStamp(id, value);
    if (rowKind(value) === KIND_TOMBSTONE || rowExpireAt(value) !== 0) {
      const stamp = rowStamp(value);
      const before = this.deadMax.get(key);
      if (before === undefined || compareStamps(stamp, before) > 0) this.deadMax.set(key, stamp.slice());
    }
  }

  #noteSiblings(key: RowKey, row: Row): void {
    const { siblings, register } = versionsOfRow(row);
    const { value } = register ?? {};
    const plain = register !== undefined && value !== undefined ? [{ event: register.event, value }] : [];
    // A delete leaves no row of its own behind, only its dot: a dot of a value is never that of another.
    for (const { event, value } of [...siblings, ...plain]) this.#noteRow(key, encodeRow(key, value, event));
  }

  #noteFloor(now: Micros, floor: Stamp): void {
    if (this.floors.some(({ stamp }) => compareStamps(stamp, floor) === 0)) return;
    this.floors.push({ at: now, stamp: floor.slice() });
  }

  #noteStamp(id: number, row: Row): void {
    const known = this.stamps.get(id);
    if (known === undefined) {
      this.stamps.set(id, rowStamp(row).slice());
    } else if (compareStamps(known, rowStamp(row)) !== 0) {
      const oddity = `the value of request ${id} is stored with two different stamps`;
      if (this.oddities.at(-1) !== oddity) this.oddities.push(oddity);
    }
  }

  #noteDot(key: string, row: Row): void {
    // An expired row shrinks to a tombstone of the same dot: that is no second row.
    if (rowKind(row) === KIND_TOMBSTONE && row.length === ROW_HEADER_BYTES) return;
    const actor = rowActor(row);
    const counter = rowCounter(row);
    let counters = this.#dots.get(actor);
    if (counters === undefined) {
      counters = new Map();
      this.#dots.set(actor, counters);
    }
    // Key and the header's checksum over key, stamp and value: equal only for the same row.
    const mark = key + byteString(row, 28, 32);
    const before = counters.get(counter);
    if (before === undefined) counters.set(counter, mark);
    else if (before !== mark)
      this.oddities.push(`dot (${actor}, ${counter}) was given to two different rows`);
  }
}

/** A stamp a person can compare. */
export function stampText(stamp: Stamp | undefined): string {
  if (stamp === undefined) return 'none';
  return Array.from(stamp, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
