/**
 * The replica: what this node itself holds, and the only place that writes it.
 *
 * The picture: a ledger with a tray. Rows to be kept are laid on the tray of this turn, each merged
 * with what is there; at the end of the turn the whole tray goes to storage as one atomic batch, and
 * when storage says it is safe, everyone who waited for a row on it is told. One tray is under way at
 * a time; the next one fills meanwhile. That is group commit: one fsync for many requests.
 *
 * A row on a tray is merged against and seen at once, but nobody is told of it before it is durable:
 * a reader who needs it waits for the tray (`read`).
 *
 * The floor is the stamp of the last flush: every row not above it is dead, here and wherever it
 * comes from later. A missing row then reads as if it were a tombstone with that stamp. It is a change
 * like any other: what rests on it is not told before it is durable.
 */

import type { ByteString } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sealed, unsealed } from '../base/sealed-note.ts';
import type { HlcReading } from '../causality/hlc.ts';
import type { StorageWrite } from '../ports/storage.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import { PARTITION_COUNT_DEFAULT } from '../ring/table.ts';
import type { RowKey } from '../rows/key.ts';
import { META_PREFIX, rowKeySlot } from '../rows/key.ts';
import { mergeRows } from '../rows/merge.ts';
import type { Row, Stamp } from '../rows/row.ts';
import {
  compareRowStamp,
  compareRowStamps,
  compareStamps,
  isExpired,
  isRowIntact,
  ROW_HEADER_BYTES,
  rowStamp,
  rowTime,
  STAMP_BYTES,
  STAMP_NONE,
  tombstoneOf,
} from '../rows/row.ts';
import { isSiblingsRow, withoutFlushed } from '../rows/siblings.ts';
import { Horizons } from './horizons.ts';
import { Notes } from './notes.ts';
import type { MergeSource, ReadWaiter, ReplicaOptions } from './replica-options.ts';
import { SlotMarks } from './slot-marks.ts';
import { damagedStored, peekStored } from './stored-bytes.ts';
import type { StoredWaiter, Tray } from './tray.ts';
import { batchOf, isTrayEmpty, isTrayFull, trayEmpty } from './tray.ts';

export type { MergeSource, ReadWaiter, ReplicaOptions, RowWatcher } from './replica-options.ts';
export type { StoredWaiter } from './tray.ts';

const floorKey: ByteString = `${META_PREFIX}floor`;

/**
 * While slot marks are not known: a damaged row whose stamp is newer than an arriving one by more than this
 * has a damaged stamp.
 */
const lateMaxMs = 3_600_000;

/** A write may be under way for so long, milliseconds: the longest a request between nodes may take. */
const underwayMaxMs = 65_536;

function fullError(): CodedError {
  return new CodedError('overloaded', 'fail', 'storage does not keep up; nothing was taken');
}

function stragglerError(): CodedError {
  return new CodedError(
    'straggler',
    'fail',
    'a row from before the tombstone horizon came too late and was not taken',
  );
}

export class Replica {
  readonly #options: ReplicaOptions;
  #tray: Tray = trayEmpty();
  #underway: Tray | undefined = undefined;
  #floor: Stamp = STAMP_NONE;
  #floorSet = false;
  /** Whether the floor is in storage for good; if not, the tray its note lies on, unless that failed. */
  #floorDurable = true;
  #floorTray: Tray | undefined = undefined;
  #failure: CodedError | undefined = undefined;
  /** Whether the notes of floor and horizons passed their checksums at the start. */
  areNotesIntact = true;
  /** Rows that failed their checksum when read, since start. */
  rowsDamaged = 0;
  /** Damaged rows that gave way to others, since start: what they held besides is forgotten here. */
  rowsReplaced = 0;
  readonly #marks: SlotMarks = new SlotMarks();
  readonly #mergeLastArrival: boolean;
  readonly #ackBeforeCommit: boolean;
  readonly #floorForgotten: boolean;
  readonly #damagedServed: boolean;
  readonly #siblingsLaidBlindly: boolean;
  readonly #siblingsDropped: boolean;
  /** What is too old to be taken, a partition. */
  readonly horizons: Horizons;
  /** Notes of the node that are looked at before they are changed: hints. */
  readonly notes: Notes;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.notes = new Notes({
      storage: options.storage,
      tray: () => this.#tray,
      underway: () => this.#underway,
      refusal: () => this.#failure ?? (this.#isFull ? fullError() : undefined),
      waitFor: (tray, waiter) => this.#await(tray, waiter),
      wake: options.wake,
    });
    this.horizons = new Horizons(options.partitionCount ?? PARTITION_COUNT_DEFAULT, options.mutants);
    this.#mergeLastArrival = options.mutants.has('merge-last-arrival');
    this.#ackBeforeCommit = options.mutants.has('ack-before-commit');
    this.#floorForgotten = options.mutants.has('floor-forgotten');
    this.#damagedServed = options.mutants.has('damaged-row-served');
    this.#siblingsLaidBlindly = options.mutants.has('sibling-laid-blindly');
    this.#siblingsDropped = options.mutants.has('sibling-dropped');
  }

  /**
   * Reads the floor back. Call once before anything else.
   *
   * @param mark a clock reading not below that of any row in storage; left out, nothing is known of them.
   */
  start(mark?: HlcReading): void {
    if (mark !== undefined) this.#marks.set(mark);
    this.areNotesIntact = this.horizons.load(this.#options.storage);
    for (let slot = 0; slot < SLOT_COUNT; slot++) this.#marks.raiseTo(slot, this.horizons.fence(slot));
    const note = this.#options.storage.get(floorKey);
    if (note === undefined) return;
    const floor = unsealed(note, STAMP_BYTES);
    if (floor === undefined) this.areNotesIntact = false;
    else this.#setFloor(floor);
  }

  /** Stamp of the last flush; all zero when there was none. */
  get floor(): Stamp {
    return this.#floor;
  }

  /** Why storage can no longer be trusted, once it failed. */
  get failure(): CodedError | undefined {
    return this.#failure;
  }

  /** Whether rows go by themselves, to make room: nobody can prove then to hold them all. */
  get evicts(): boolean {
    return this.#options.storage.evicts === true;
  }

  #setFloor(stamp: Stamp): void {
    this.#floor = stamp;
    this.#floorSet = true;
  }

  /**
   * The row as the next merge would see it, durable or not; dead rows included.
   * @throws CodedError when storage cannot vouch for it.
   */
  #lookup(rowKey: RowKey): Row | undefined {
    return this.#tray.rows.get(rowKey) ?? this.#underway?.rows.get(rowKey) ?? this.#lookupStored(rowKey);
  }

  #lookupStored(rowKey: RowKey): Row | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    const row = this.#getStored(rowKey);
    // Rows of a memory engine were checked when they came and never left this process.
    if (row === undefined || !this.#options.storage.durable) return row;
    if (!isRowIntact(rowKey, row) && !this.#damagedServed) {
      this.#damaged(rowKey);
      throw new CodedError('corrupt', 'none', 'a stored row fails its checksum on this node');
    }
    return row;
  }

  /** Whether a restart would find the same floor. */
  get isFloorDurable(): boolean {
    return this.#floorDurable;
  }

  #getStored(rowKey: RowKey): Uint8Array | undefined {
    try {
      return this.#options.storage.get(rowKey);
    } catch (error) {
      if (error instanceof CodedError && error.code === 'corrupt') this.#damaged(rowKey);
      throw error;
    }
  }

  #damaged(rowKey: RowKey): void {
    if (this.#options.rowDamaged?.(rowKey) === false) return;
    this.rowsDamaged++;
    this.#options.log.write('alarm', 'row-damaged', {
      meaning: 'a stored row fails its checksum; it is not served, another replica answers',
    });
  }

  /** Whether the row is dead by a flush. */
  isBelowFloor(row: Row): boolean {
    return this.#floorSet && !this.#floorForgotten && compareRowStamp(row, this.#floor) <= 0;
  }

  /**
   * Tells `out` what is held: before returning if that is durable, else when its tray is.
   */
  read(rowKey: RowKey, out: ReadWaiter): void {
    let row: Row | undefined;
    try {
      row = this.#lookup(rowKey);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      out.local(error, STAMP_NONE, undefined);
      return;
    }
    const waitFor = this.#trayOf(rowKey);
    if (waitFor === undefined) this.answer(row, out);
    else if (this.#isFull) {
      out.local(new CodedError('overloaded', 'none', 'storage does not keep up'), STAMP_NONE, undefined);
    } else {
      waitFor.waiters.push({
        stored: (error) => {
          if (error !== undefined) out.local(error, STAMP_NONE, undefined);
          else this.answer(row, out);
        },
      });
    }
  }

  /** Tells `out` of a durable row, or of the floor if that is above it; once the floor is durable. */
  answer(row: Row | undefined, out: ReadWaiter): void {
    if (row !== undefined && !this.isBelowFloor(row)) {
      out.local(undefined, rowStamp(row), row);
    } else if (this.#floorDurable) {
      out.local(undefined, this.#floorForgotten ? STAMP_NONE : this.#floor, undefined);
    } else {
      this.#trayOfFloor().waiters.push({
        stored: (error) => {
          if (error !== undefined) out.local(error, STAMP_NONE, undefined);
          else this.answer(row, out);
        },
      });
    }
  }

  /** The tray to wait for until the floor is durable; its note is laid on again if that failed. */
  #trayOfFloor(): Tray {
    if (this.#floorTray === undefined) {
      this.#floorTray = this.#tray;
      this.#tray.notes.push({ key: floorKey, value: sealed(this.#floor) });
      this.#options.wake();
    }
    return this.#floorTray;
  }

  /**
   * The fastest read: the row if it is there and durable, undefined if it is missing or dead by a
   * flush. Only meaningful when `isPending` is false.
   * @throws CodedError when storage cannot vouch for it.
   */
  peek(rowKey: RowKey): Row | undefined {
    const row = this.#lookupStored(rowKey);
    return row !== undefined && this.#floorSet && this.isBelowFloor(row) ? undefined : row;
  }

  /** Whether a change of this row waits to become durable. */
  isPending(rowKey: RowKey): boolean {
    return !this.#floorDurable || this.#trayOf(rowKey) !== undefined;
  }

  #trayOf(rowKey: RowKey): Tray | undefined {
    if (this.#tray.rows.size > 0 && this.#tray.rows.has(rowKey)) return this.#tray;
    return this.#underway?.rows.has(rowKey) ? this.#underway : undefined;
  }

  /**
   * Merges a row into what is held. `waiter` is told when what is held afterwards is durable: the row
   * itself, or a greater one that was there; or that this cannot be. The clock must have observed the
   * row's stamp: the mark stored with the batch says that no row in storage is above it.
   * An old row that would change what is held is refused with `straggler` below the partition's fence
   * (`horizons.ts`).
   */
  merge(rowKey: RowKey, row: Row, waiter: StoredWaiter | undefined, source: MergeSource = 'request'): void {
    if (this.#failure !== undefined) {
      waiter?.stored(this.#failure);
      return;
    }
    if (this.isBelowFloor(row)) {
      // Dead on arrival: a row from before the flush. The floor answers for it.
      if (this.#floorDurable) waiter?.stored(undefined);
      else this.#await(this.#trayOfFloor(), waiter);
      return;
    }
    if (this.#isFull) {
      waiter?.stored(fullError());
      return;
    }
    const isNews = this.#marks.raise(rowKeySlot(rowKey), row);
    // A last-write-wins row above its slot's mark is later than all that may be there, siblings too.
    if (isNews && (!isSiblingsRow(row) || this.#siblingsLaidBlindly)) {
      this.#lay(rowKey, row, waiter);
      return;
    }
    let old: Row | undefined;
    try {
      old = this.#lookup(rowKey);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      if (error.code !== 'corrupt') {
        waiter?.stored(error);
        return;
      }
      if (source !== 'mend' && (isSiblingsRow(row) || this.#isBehindDamaged(rowKey, row))) {
        waiter?.stored(error);
        return;
      }
      old = undefined; // a damaged row gives way to an intact one
      this.rowsReplaced++;
    }
    const news = source === 'mend' ? row : this.horizons.unsettled(rowKey, row, old, this.#options.storage);
    const merged = this.#merged(rowKey, old, news);
    if (merged !== old) {
      if (old === undefined || compareRowStamps(old, merged) !== 0) {
        const verdict = this.horizons.judge(rowKeySlot(rowKey), row, source);
        if (verdict !== 'take') {
          waiter?.stored(verdict === 'dead' ? undefined : stragglerError());
          return;
        }
      }
      this.#lay(rowKey, merged, waiter);
      return;
    }
    const tray = this.#trayOf(rowKey);
    if (tray === undefined) waiter?.stored(undefined);
    else this.#await(tray, waiter);
  }

  /** What is to be held after `row` came: `old` itself if that says it all. */
  #merged(rowKey: RowKey, old: Row | undefined, row: Row): Row {
    if (this.#mergeLastArrival) return row;
    if (!isSiblingsRow(row) && (old === undefined || !isSiblingsRow(old))) {
      return old === undefined ? row : mergeRows(rowKey, old, row);
    }
    if (this.#siblingsDropped && old !== undefined) return compareRowStamps(old, row) >= 0 ? old : row;
    // What a flush declared dead stays dead, even within a row that is younger than the flush.
    const arrived = this.#floorSet ? withoutFlushed(rowKey, row, this.#floor) : row;
    return old === undefined || this.isBelowFloor(old) ? arrived : mergeRows(rowKey, old, arrived);
  }

  /**
   * What is held of a row now, durable or not; undefined for none, or one that is dead by a flush.
   * @throws CodedError when storage cannot vouch for it.
   */
  held(rowKey: RowKey): Row | undefined {
    const row = this.#lookup(rowKey);
    return row === undefined || this.isBelowFloor(row) ? undefined : row;
  }

  #lay(rowKey: RowKey, row: Row, waiter: StoredWaiter | undefined): void {
    this.#tray.rows.set(rowKey, row);
    this.#tray.bytes += rowKey.length + row.length;
    this.#await(this.#tray, waiter);
    this.#options.wake();
  }

  /**
   * Raises the fence of a partition: rows stamped at or before `time` are taken from nobody but a replica
   * that holds them. `waiter` is told when that is durable.
   */
  raiseFence(partition: number, time: number, waiter: StoredWaiter): void {
    this.horizons.raiseFence(partition, time);
    const { slotFirst, slotEnd } = this.horizons.slotsOf(partition);
    for (let slot = slotFirst; slot < slotEnd; slot++) this.#marks.raiseTo(slot, time);
    // Even if it was as high already: it may have been raised just now, and not be durable.
    this.note(this.horizons.noteKey(partition), this.horizons.noteOf(partition), waiter);
  }

  /**
   * Raises the horizon of a partition: all its replicas proved equal up to `time`. Rows that died at or
   * before it count as gone from now on; `cleanUp` takes them away.
   * @param wall wall time, milliseconds; left out, rows of siblings that it covers are kept for now
   */
  raiseHorizon(partition: number, time: number, waiter: StoredWaiter, wall: number = Infinity): void {
    this.horizons.raiseHorizon(partition, time, wall);
    this.raiseFence(partition, time, waiter);
  }

  /** Rows were lost here: no horizon is known any more, durably with the next batch. See `Horizons.forget`. */
  forgetHorizons(): void {
    for (const partition of this.horizons.forget()) {
      const value = this.horizons.noteOf(partition);
      this.#tray.notes.push({ key: this.horizons.noteKey(partition), value });
    }
    this.#options.wake();
  }

  /** Whether a row counts as gone: dead by a flush, or dead since before the horizon. */
  isGone(rowKey: RowKey, row: Row): boolean {
    return this.isBelowFloor(row) || this.horizons.isPast(rowKeySlot(rowKey), row);
  }

  /**
   * Deletes rows as they were read from storage, if nothing happened to them since: anti-entropy found
   * that they were deleted elsewhere and their tombstones collected.
   * @returns how many are deleted, with the next batch
   */
  dropRows(entries: readonly { key: RowKey; stamp: Stamp }[], waiter: StoredWaiter | undefined): number {
    let dropped = 0;
    for (const { key, stamp } of entries) {
      if (this.#trayOf(key) !== undefined) continue;
      const held = peekStored(this.#options.storage, key);
      if (held === undefined || held.length < ROW_HEADER_BYTES || compareRowStamp(held, stamp) !== 0)
        continue;
      this.#tray.notes.push({ key, value: undefined });
      this.horizons.dropped(rowKeySlot(key));
      dropped++;
    }
    if (dropped > 0) {
      this.#await(this.#tray, waiter);
      this.#options.wake();
    } else waiter?.stored(undefined);
    return dropped;
  }

  /**
   * Whether a row is a late one, older than the damaged row it would replace: this replica acknowledged
   * the newer one, and must not go back and vote for the older. What repairs it is not older, or comes from
   * a quorum (`replaceDamaged`). A new write is above its slot's mark and never gets here, so a damaged
   * stamp keeps nobody from the key; only where marks are not known it has to be guessed.
   */
  #isBehindDamaged(rowKey: RowKey, row: Row): boolean {
    const damaged = peekStored(this.#options.storage, rowKey);
    if (damaged === undefined || damaged.length < ROW_HEADER_BYTES) return false;
    if (compareRowStamps(damaged, row) <= 0) return false;
    return this.#marks.isKnown(rowKeySlot(rowKey)) || rowTime(damaged) - rowTime(row) <= lateMaxMs;
  }

  /**
   * Mends a damaged row with what a read quorum of the other replicas holds (undefined: no row), where that
   * meets every acknowledged write (R+W>N). Unlike `merge` it takes an older row over a damaged newer one,
   * unless that is stamped about now: a write may be under way that counts on it. Does nothing if the
   * stored row is not damaged.
   * @param wall wall time, milliseconds; Infinity if no write can be under way (`row-mender.ts`)
   * @returns whether the row is mended, with the next batch
   */
  replaceDamaged(rowKey: RowKey, row: Row | undefined, wall: number): boolean {
    if (this.#failure !== undefined || this.#isFull || this.#trayOf(rowKey) !== undefined) return false;
    const damaged = damagedStored(this.#options.storage, rowKey);
    if (damaged === undefined) return false;
    if (damaged.length >= ROW_HEADER_BYTES && Math.abs(rowTime(damaged) - wall) < underwayMaxMs) {
      // Of siblings the greater stamp need not know what the damaged row knew.
      if (row === undefined || isSiblingsRow(row) || compareRowStamps(damaged, row) > 0) return false;
    }
    if (row !== undefined && !this.isGone(rowKey, row)) {
      this.merge(rowKey, row, undefined, 'mend');
      return true;
    }
    // What a floor that may yet be forgotten declares dead is not deleted.
    if (!this.#floorDurable) return false;
    this.rowsReplaced++;
    this.#tray.notes.push({ key: rowKey, value: undefined });
    this.#options.wake();
    return true;
  }

  isDamaged(rowKey: RowKey): boolean {
    return damagedStored(this.#options.storage, rowKey) !== undefined;
  }

  /** Whether storage hangs and the trays hold as much as they may. */
  get #isFull(): boolean {
    return isTrayFull(this.#tray, this.#underway);
  }

  #await(tray: Tray, waiter: StoredWaiter | undefined): void {
    if (waiter === undefined) return;
    if (this.#ackBeforeCommit) waiter.stored(undefined);
    else tray.waiters.push(waiter);
  }

  /**
   * Stores a note of the node itself (identity, reservations) with the next batch; undefined removes it.
   * @param isSynced it is to survive a power loss even where rows need not
   */
  note(key: ByteString, value: Uint8Array | undefined, waiter: StoredWaiter, isSynced = false): void {
    this.#tray.notes.push({ key, value });
    if (isSynced) this.#tray.isSynced = true;
    this.#tray.waiters.push(waiter);
    this.#options.wake();
  }

  /** Raises the floor; `waiter` is told when it is durable. A lower one changes nothing. */
  raiseFloor(stamp: Stamp, waiter: StoredWaiter | undefined): void {
    if (compareStamps(stamp, this.#floor) > 0) {
      this.#setFloor(new Uint8Array(stamp));
      this.#floorDurable = false;
      this.#floorTray = undefined;
    }
    if (this.#floorDurable) {
      waiter?.stored(undefined);
      return;
    }
    const tray = this.#trayOfFloor();
    if (waiter !== undefined) tray.waiters.push(waiter);
  }

  /**
   * Cleans up rows as read from storage, if nothing happened to them since: those below the floor are
   * deleted, those expired before `expiredBefore` (wall time) keep only their stamp, as tombstones.
   * @returns how many rows gave up space.
   */
  cleanUp(entries: readonly { key: RowKey; value: Row }[], expiredBefore: number): number {
    let cleaned = 0;
    for (const { key, value } of entries) {
      // What a floor that may yet be forgotten declares dead is not deleted.
      const dead =
        this.#floorDurable && this.isBelowFloor(value) ? true : this.horizons.isPast(rowKeySlot(key), value);
      if ((!dead && !isExpired(value, expiredBefore)) || this.#trayOf(key) !== undefined) continue;
      // Since the page was read a newer row may have been stored: look again.
      const held = peekStored(this.#options.storage, key);
      if (held === undefined || !isRowIntact(key, held) || compareRowStamps(held, value) !== 0) continue;
      if (!dead) this.#tray.rows.set(key, tombstoneOf(key, value));
      else if (this.isBelowFloor(value) || this.horizons.mayForget(rowKeySlot(key), value)) {
        this.#tray.notes.push({ key, value: undefined });
      } else continue;
      cleaned++;
    }
    if (cleaned > 0) this.#options.wake();
    return cleaned;
  }

  /** Sends the tray to storage, unless one is under way. Call at the end of each turn. */
  commit(): void {
    const tray = this.#tray;
    if (this.#underway !== undefined || isTrayEmpty(tray)) return;
    this.#tray = trayEmpty();
    this.#underway = tray;
    if (this.#failure !== undefined) {
      // Storage that lost data once is not believed again.
      this.#committed(tray, this.#failure);
      return;
    }
    const batch = batchOf(tray);
    this.#tellWatcher(batch);
    if (batch.length === 0) {
      this.#committed(tray, undefined);
      return;
    }
    const note = this.#options.noteOfCommit();
    if (note !== undefined) batch.push(note);
    const durability = tray.isSynced ? 'always' : this.#options.durability;
    this.#options.storage.write(batch, durability, (error) => this.#committed(tray, error));
  }

  #tellWatcher(batch: readonly StorageWrite[]): void {
    const { watcher } = this.#options;
    if (watcher === undefined) return;
    for (const { key, value } of batch) {
      if (key.charCodeAt(0) < 0x40) watcher.rowChanged(key, value === undefined);
    }
  }

  #committed(tray: Tray, error: CodedError | undefined): void {
    this.#underway = undefined;
    // What was not stored after all is not there either.
    if (error !== undefined) this.#tellWatcher(tray.notes);
    else this.#options.committed?.();
    if (error !== undefined) this.notes.lost(tray);
    if (error?.code === 'storage-failed' && this.#failure === undefined) {
      this.#failure = error;
      this.#options.log.write('alarm', 'storage-failed', { message: error.message });
    }
    if (this.#floorTray === tray) {
      this.#floorTray = undefined;
      this.#floorDurable = error === undefined;
    }
    for (const waiter of tray.waiters) waiter.stored(error);
    if (!isTrayEmpty(this.#tray)) this.#options.wake();
  }
}
