/**
 * The hint book: rows this node keeps for members that are away.
 *
 * The picture: a neighbour takes in parcels. A *full hint* is a parcel: this node is no replica of the
 * row and keeps it for one that is; it may be the only copy of an acknowledged write, so it is never
 * thrown away. When the cupboard for a neighbour is full, the next parcel is refused at the door. A
 * *reference hint* is a slip of paper, "your neighbour missed this row": this node is a replica too and
 * has the row itself; a slip that is lost costs time (anti-entropy finds the row) and no data.
 *
 * Hints lie in the node's own storage (`hint-keys.ts`), one a row and target: a later row is merged with
 * the earlier one as replicas merge, so a thousand writes of one key are one hint. What is counted here
 * of them is exact at any time, also while the book is read back after a start, and after a batch that
 * storage refused.
 */

import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Log } from '../ports/log.ts';
import type { Storage, StorageEntry } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';
import { mergeRows } from '../rows/merge.ts';
import type { Row, Stamp } from '../rows/row.ts';
import { compareRowStamps, isRowIntact, rowStamp, rowTime, STAMP_NONE } from '../rows/row.ts';
import { isSiblingsRow, rowOldestTime } from '../rows/siblings.ts';
import { HintFloor } from './hint-floor.ts';
import { HINTS_END, HINTS_FIRST, hintKey, hintRowKey, hintSlot, hintTarget } from './hint-keys.ts';
import type { HintReader, HintShelf, HintWaiter } from './hint-shelf.ts';
import { type HintClaim, HintTarget, UNREADABLE_MAX, UnreadableHint } from './hint-target.ts';
import { isFullHint, REFERENCE_BYTES, referenceOf, referenceTime, unreadableError } from './hint-value.ts';

export interface HintBookOptions {
  readonly storage: Storage;
  readonly shelf: HintShelf;
  readonly log: Log;
  /** Keys and values of the hints for one target, together, bytes. */
  readonly bytesMax: number;
  /** No hint is accepted that is stamped further behind the clock than this, once that was announced. */
  readonly marginMs: number;
  /** Hints read at a time when the book is read back; 1000 if left out. */
  readonly pageRows?: number;
  readonly mutants: ReadonlySet<string>;
}

export class HintBook {
  readonly #options: HintBookOptions;
  readonly #shelf: HintShelf;
  readonly #targets: Map<NodeId, HintTarget> = new Map();
  readonly #floor: HintFloor;
  /** How far the hints of the former life are counted; all of them at `HINTS_END`. */
  #loadedTo: ByteString = HINTS_FIRST;
  /** Hints beyond `#loadedTo` that changed in this life: they are counted when the reading gets there. */
  readonly #fresh: Set<ByteString> = new Set();
  #reading = false;
  /** Times the counting began anew: a page read for an earlier one counts for nothing. */
  #counts = 0;
  readonly #pageRows: number;
  readonly #dropped: boolean;
  readonly #unreadableDropped: boolean;
  /** Whom the rows of a slot belong to: to everybody they are kept for, until somebody says otherwise. */
  claimOf: (id: NodeId, slot: number) => HintClaim = () => 'stays';
  /** Full hints taken, and refused because the target's share is full. */
  accepted = 0;
  refused = 0;
  /** References not made for want of room. */
  referencesSkipped = 0;
  /** Full hints met that fail their checksum, since start. */
  damaged = 0;

  constructor(options: HintBookOptions) {
    this.#options = options;
    this.#shelf = options.shelf;
    this.#pageRows = options.pageRows ?? 1000;
    this.#dropped = options.mutants.has('hint-dropped');
    this.#unreadableDropped = options.mutants.has('unreadable-hint-dropped');
    options.shelf.notes.onLost = (lost) => this.#lost(lost);
    const { shelf, marginMs } = options;
    this.#floor = new HintFloor(
      {
        note: (key, value, waiter) => shelf.note(key, value, waiter),
        emptyTo: () => this.#emptyTo(),
        isSettled: () => this.isDurable,
      },
      marginMs,
      options.mutants,
    );
  }

  /** Whether hints of the former life are still being counted. */
  get isLoading(): boolean {
    return this.#loadedTo !== HINTS_END;
  }

  /** Whether storage holds exactly what is counted. */
  get isDurable(): boolean {
    return !this.isLoading && this.#shelf.notes.areDurable;
  }

  /** Those hints are or were kept for. */
  targets(): IterableIterator<HintTarget> {
    return this.#targets.values();
  }

  target(id: NodeId): HintTarget | undefined {
    return this.#targets.get(id);
  }

  /** All hints, their bytes, and how many of them were met and cannot be read. */
  totals(): { rows: number; bytes: number; unreadable: number } {
    let rows = 0;
    let bytes = 0;
    let unreadable = 0;
    for (const target of this.#targets.values()) {
      rows += target.rows;
      bytes += target.bytes;
      unreadable += target.unreadable.size;
    }
    return { rows, bytes, unreadable };
  }

  /** Reads the floor of the former life. Call it first. @throws CodedError when storage cannot say. */
  open(): void {
    if (this.#floor.open(this.#options.storage)) return;
    const meaning = 'the note of the time before which no rows are kept for others is lost; nothing else is';
    this.#options.log.write('alarm', 'hint-floor-damaged', { meaning });
  }

  /** Counts the hints of the former life, page by page. Call after the start, and again if it failed. */
  load(): void {
    if (this.#reading || !this.isLoading) return;
    const count = this.#counts;
    this.#reading = true;
    const query = { from: this.#loadedTo, to: HINTS_END, limit: this.#pageRows };
    this.#options.storage.range(query, (error, entries) => {
      if (count !== this.#counts) return;
      this.#reading = false;
      if (error !== undefined) {
        this.#options.log.write('warn', 'hints-not-loaded', { code: error.code });
        return;
      }
      this.#loaded(entries);
      this.load();
    });
  }

  /** Counts all hints anew: storage may hold some that it had refused. */
  recount(): void {
    this.#counts++;
    this.#reading = false;
    for (const target of this.#targets.values()) target.clear();
    this.#fresh.clear();
    // What lies on trays is counted as it is then, when the reading gets there.
    for (const key of this.#shelf.notes.pendingKeys()) if (key.startsWith(HINTS_FIRST)) this.#fresh.add(key);
    this.#loadedTo = HINTS_FIRST;
    this.load();
  }

  #loaded(entries: readonly StorageEntry[]): void {
    const last = entries.at(-1);
    const to = last === undefined || entries.length < this.#pageRows ? HINTS_END : `${last.key}\0`;
    for (const { key, value } of entries)
      if (!this.#fresh.has(key)) this.#add(this.#makeTarget(hintTarget(key)), key, value);
    for (const key of this.#fresh) {
      if (key >= to) continue;
      this.#fresh.delete(key);
      const value = this.#peek(key);
      if (value !== undefined) this.#add(this.#makeTarget(hintTarget(key)), key, value);
    }
    this.#loadedTo = to;
    if (this.#dropped) for (const { key } of entries) this.forget(hintTarget(key), hintRowKey(key));
    if (this.isLoading) return;
    const { rows, bytes } = this.totals();
    if (rows > 0) this.#options.log.write('info', 'hints-loaded', { rows, bytes });
  }

  #makeTarget(id: NodeId): HintTarget {
    let target = this.#targets.get(id);
    if (target === undefined) {
      target = new HintTarget(id);
      this.#targets.set(id, target);
    }
    return target;
  }

  /** Whether this node keeps no row for anybody, and knows that. References are no rows. */
  get isEmpty(): boolean {
    return !this.isLoading && [...this.#targets.values()].every(({ full }) => full.size === 0);
  }

  /** Somebody is no member any more: nothing is left to be remembered, if nothing is kept. */
  release(id: NodeId): void {
    if (this.#targets.get(id)?.rows === 0) this.#targets.delete(id);
  }

  // Counting.

  #add(target: HintTarget, key: ByteString, value: Uint8Array): void {
    if (!target.isAstray && this.claimOf(target.id, hintSlot(key)) !== 'stays') target.goesAstray();
    target.rows++;
    target.bytes += key.length + value.length;
    if (isFullHint(value)) target.full.add(rowOldestTime(value));
    else target.references.add(referenceTime(value));
  }

  #remove(target: HintTarget, key: ByteString, value: Uint8Array): void {
    target.rows--;
    target.bytes -= key.length + value.length;
    if (isFullHint(value)) target.full.remove(rowOldestTime(value));
    else target.references.remove(referenceTime(value));
    assert(target.rows >= 0, 'no more hints go than came');
  }

  #changed(
    target: HintTarget,
    key: ByteString,
    from: Uint8Array | undefined,
    to: Uint8Array | undefined,
  ): void {
    if (this.isLoading && key >= this.#loadedTo) {
      this.#fresh.add(key);
      return;
    }
    if (from !== undefined) this.#remove(target, key, from);
    if (target.unreadable.size > 0) target.unreadable.delete(hintRowKey(key));
    if (to !== undefined) this.#add(target, key, to);
  }

  /** A batch was not stored: its hints are what they were before it, unless they changed again since. */
  #lost(lost: ReadonlyMap<ByteString, Uint8Array | undefined>): void {
    for (const [key, value] of lost) {
      if (!key.startsWith(HINTS_FIRST) || this.#shelf.notes.isLaid(key)) continue;
      this.#changed(this.#makeTarget(hintTarget(key)), key, value, this.#peek(key));
    }
  }

  /** The hint, or undefined if there is none or storage gives none for now. */
  #peek(key: ByteString): Uint8Array | undefined {
    try {
      return this.#shelf.notes.get(key);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return undefined;
    }
  }

  // Taking.

  /**
   * Keeps a row for `target`, as a full hint. `waiter` is told when it is durable, or why it is not kept:
   * `overloaded` when the target's share is full, `straggler` for a row that is too old to be promised.
   * The row must be intact, its stamp believed and observed.
   */
  accept(id: NodeId, rowKey: RowKey, row: Row, waiter: HintWaiter): void {
    if (rowTime(row) <= this.#floor.closed) {
      waiter.stored(new CodedError('straggler', 'fail', 'a hint from before the announced floor'));
      return;
    }
    if (this.#shelf.isBelowFloor(row)) {
      // Dead on arrival; the replica answers for the floor.
      this.#shelf.merge(rowKey, row, waiter);
      return;
    }
    const target = this.#makeTarget(id);
    const key = hintKey(id, rowKey);
    const old = this.#lookup(key, waiter);
    if (old === null) return;
    const oldRow = old !== undefined && isFullHint(old) ? this.#intact(id, rowKey, old) : undefined;
    const isDamaged = oldRow === undefined && old !== undefined && isFullHint(old);
    if (isDamaged && (isSiblingsRow(row) || compareRowStamps(old, row) > 0)) {
      // A late row does not take the place of a newer one that was acknowledged, damaged as it is; siblings of none.
      waiter.stored(unreadableError('fail'));
      return;
    }
    const merged = oldRow === undefined ? row : mergeRows(rowKey, oldRow, row);
    if (merged === oldRow) {
      this.#shelf.notes.whenDurable(key, waiter);
      return;
    }
    const before = old === undefined ? 0 : key.length + old.length;
    if (target.bytes - before + key.length + merged.length > this.#options.bytesMax) {
      this.refused++;
      if (this.#dropped) waiter.stored(undefined);
      else waiter.stored(new CodedError('overloaded', 'fail', `the hints for ${id} are as many as allowed`));
      return;
    }
    const refusal = this.#shelf.notes.lay(key, merged, waiter);
    if (refusal !== undefined) {
      waiter.stored(refusal);
      return;
    }
    this.accepted++;
    this.#changed(target, key, old, merged);
    target.onChanged?.(rowKey);
  }

  /** The hint; null if storage cannot say, and `waiter` was told so. A damaged one is as good as none. */
  #lookup(key: ByteString, waiter: HintWaiter | undefined): Uint8Array | undefined | null {
    try {
      return this.#shelf.notes.get(key);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      waiter?.stored(error);
      return null;
    }
  }

  /**
   * Notes that `target` lacks a row this node holds as a replica; `time` is the stamp's, milliseconds.
   * Costs nothing but memory if that is noted already. Left out when there is no room.
   */
  refer(id: NodeId, rowKey: RowKey, time: number): void {
    const target = this.#makeTarget(id);
    const key = hintKey(id, rowKey);
    const old = this.#lookup(key, undefined);
    if (old === null) return;
    if (old === undefined) {
      const value = referenceOf(time);
      const room = target.bytes + key.length + REFERENCE_BYTES <= this.#options.bytesMax;
      if (!room || this.#shelf.notes.lay(key, value, undefined) !== undefined) {
        this.referencesSkipped++;
        return;
      }
      this.#changed(target, key, undefined, value);
    }
    // Also if it was noted: what is on its way to the target may be an older row.
    target.onChanged?.(rowKey);
  }

  // Serving.

  /**
   * Tells `out` the greatest row kept here for anybody, once that is durable; the stamp of none if none.
   * @param replicas whose hints there may be, for the time in which the book is not read back yet
   */
  read(rowKey: RowKey, replicas: readonly NodeId[], out: HintReader): void {
    const keys: ByteString[] = [];
    let row: Row | undefined;
    try {
      row = this.held(rowKey, replicas, keys);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      out.local(error, STAMP_NONE, undefined);
      return;
    }
    const durable = (error: CodedError | undefined): void => {
      if (error !== undefined) {
        out.local(error, STAMP_NONE, undefined);
        return;
      }
      const key = keys.pop();
      if (key === undefined) this.#shelf.answer(row, out);
      else this.#shelf.notes.whenDurable(key, { stored: durable });
    };
    durable(undefined);
  }

  /**
   * What is kept of a row for anybody, merged, durable or not; undefined for none.
   * @param keys the hints it is made of are added here
   * @throws CodedError when storage cannot vouch for one.
   */
  held(rowKey: RowKey, replicas: readonly NodeId[], keys: ByteString[] = []): Row | undefined {
    let best: Row | undefined;
    const ids = this.isLoading ? new Set([...replicas, ...this.#targets.keys()]) : this.#targets.keys();
    for (const id of ids) {
      if (!this.isLoading && this.#targets.get(id)?.rows === 0) continue;
      const key = hintKey(id, rowKey);
      const value = this.#shelf.notes.get(key);
      if (value === undefined || !isFullHint(value)) continue;
      if (this.#intact(id, rowKey, value) === undefined) throw unreadableError('none');
      const merged = best === undefined ? value : mergeRows(rowKey, best, value);
      if (merged === best) continue;
      // The winner of two alone; of siblings every hint is part of it.
      if (merged === value) keys.length = 0;
      keys.push(key);
      best = merged;
    }
    return best;
  }

  /** The row of a full hint; undefined if it fails its checksum, which is said once and not forgotten. */
  #intact(id: NodeId, rowKey: RowKey, value: Uint8Array): Row | undefined {
    if (!this.#options.storage.durable || isRowIntact(rowKey, value)) return value;
    const { unreadable } = this.#makeTarget(id);
    if (unreadable.has(rowKey) || unreadable.size >= UNREADABLE_MAX) return undefined;
    unreadable.set(rowKey, new UnreadableHint());
    this.damaged++;
    const meaning =
      'a row kept for this member fails its checksum: it is kept, and not handed over; the replicas are asked for it';
    this.#options.log.write('alarm', 'hint-damaged', { target: id, meaning });
    return undefined;
  }

  /**
   * The stamp a damaged hint seems to have; undefined if there is no such hint any more, or it is readable
   * after all. Then it does not count as unreadable from now on.
   * @throws CodedError when storage cannot say.
   */
  unreadableStamp(id: NodeId, rowKey: RowKey): Stamp | undefined {
    const value = this.#shelf.notes.get(hintKey(id, rowKey));
    const damaged = value !== undefined && isFullHint(value) && !isRowIntact(rowKey, value);
    if (damaged) return rowStamp(value);
    this.#targets.get(id)?.unreadable.delete(rowKey);
    return undefined;
  }

  // Handing over.

  /**
   * The row to send for a hint: the one kept, or for a reference the one the replica holds now. Undefined
   * when there is nothing to send: the hint is gone, cannot be read, or was worth nothing and is forgotten.
   * @throws CodedError when storage cannot say.
   */
  rowToSend(id: NodeId, rowKey: RowKey): Row | undefined {
    if (!this.mayHand(id, rowKey)) return undefined;
    const value = this.#shelf.notes.get(hintKey(id, rowKey));
    if (value === undefined) return undefined;
    const row = isFullHint(value) ? this.#intact(id, rowKey, value) : this.#held(rowKey);
    if (row !== undefined && !(this.#shelf.isFloorDurable && this.#shelf.isBelowFloor(row))) return row;
    // What cannot be read may be the only copy of its row: see `src/node/hint-mender.ts`.
    if (row !== undefined || !isFullHint(value) || this.#unreadableDropped) this.forget(id, rowKey);
    return undefined;
  }

  /** Whether a hint may be handed over: who goes gets it when those who come in his place are seen to. */
  mayHand(id: NodeId, rowKey: RowKey): boolean {
    const claim = this.claimOf(id, rowKeySlot(rowKey));
    return claim === 'stays' || (claim === 'goes' && this.#targets.get(id)?.isForwarded === true);
  }

  /**
   * What a hint is: the row of a full one, null for a reference; undefined if it is gone, or cannot be read.
   * @throws CodedError when storage cannot say.
   */
  parcel(id: NodeId, rowKey: RowKey): Row | null | undefined {
    const value = this.#shelf.notes.get(hintKey(id, rowKey));
    if (value === undefined) return undefined;
    return isFullHint(value) ? this.#intact(id, rowKey, value) : null;
  }

  /** Hints for a member that wait to become durable: storage may not list them. */
  pendingOf(id: NodeId): RowKey[] {
    return [...this.#shelf.notes.pendingKeys()]
      .filter((key) => key.startsWith(hintKey(id, '')))
      .map(hintRowKey);
  }

  /** What the replica holds of the row; undefined also for a damaged one, which others have to mend first. */
  #held(rowKey: RowKey): Row | undefined {
    try {
      return this.#shelf.peek(rowKey);
    } catch (error) {
      if (!(error instanceof CodedError) || error.code !== 'corrupt') throw error;
      return undefined;
    }
  }

  /**
   * Deletes a hint: its row is durable where it belongs, or worth nothing.
   * @returns false if it stays for now.
   */
  forget(id: NodeId, rowKey: RowKey): boolean {
    const key = hintKey(id, rowKey);
    const old = this.#peek(key);
    if (old === undefined) return true;
    if (this.#shelf.notes.lay(key, undefined, undefined) !== undefined) return false;
    this.#changed(this.#makeTarget(id), key, old, undefined);
    return true;
  }

  // The floor.

  /**
   * A time T, milliseconds as in stamps: this node holds no full hint stamped at or before T, and accepts
   * none from now on, in this life and the next (`hint-floor.ts`). It never goes back.
   */
  get floor(): number {
    return this.#floor.told;
  }

  /**
   * Raises the floor, durably with the next batch. Call it only while the clock of this node is confirmed by
   * others: what a clock far ahead promises refuses hints for as long.
   * @param wall wall time, milliseconds
   */
  raiseFloor(wall: number): void {
    this.#floor.raise(wall - this.#options.marginMs);
  }

  #emptyTo(): number {
    if (this.isLoading) return Number.NEGATIVE_INFINITY;
    let oldest = Number.POSITIVE_INFINITY;
    for (const { full } of this.#targets.values()) oldest = Math.min(oldest, full.oldest() ?? oldest);
    return oldest - 1;
  }
}
