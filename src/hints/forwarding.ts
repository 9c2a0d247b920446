/**
 * Forwarding: hints for somebody who is not to own their rows, because he left the cluster or the rows moved.
 *
 * The picture: a parcel for a neighbour who moved away. The keeper reads in the register who lives there now, and
 * writes new labels: for himself he opens it, for the others he puts copies beside it. Only when all of them are
 * safe the old label is torn off; where a cupboard is full the parcel stays as it is, and he comes by again.
 *
 * It goes by who owns after the change that is under way (docs/design/topology.md, "Ex-owners"): what is handed to
 * an owner who goes, after those who come in its place asked it for all it had, would go with it. As long as reads
 * ask him he gets his parcel nevertheless, but only when there are copies for the others. References are torn up:
 * the row is on a replica, and the others were or are compared with it.
 *
 * Everything can stop anywhere and begin again: labels that are there already are merged with.
 */

import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import { equalBytes } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Log } from '../ports/log.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';
import type { Row } from '../rows/row.ts';
import { rowTime } from '../rows/row.ts';
import type { HintBook } from './hint-book.ts';
import { hintKey, hintRowKey, hintsEndOf } from './hint-keys.ts';
import type { HintWaiter } from './hint-shelf.ts';
import type { HintTarget } from './hint-target.ts';

/** Hints whose keys are read at a time. */
const pageRows = 256;
/** Bytes of rows that are being addressed anew at a time, at most. */
const bytesUnderwayMax = 256 * 1024;
/** Hints that could not be addressed anew are tried again after so long, milliseconds, ever later. */
const retryMinMs = 500;
const retryMaxMs = 30_000;

export interface ForwardingOptions {
  readonly self: NodeId;
  readonly book: HintBook;
  readonly storage: Storage;
  readonly log: Log;
  /** The members that are to own the rows of a slot; none while all are lost. */
  readonly owners: (slot: number) => readonly NodeId[];
  /** Takes a row in as an owner of it. */
  readonly merge: (rowKey: RowKey, row: Row, waiter: HintWaiter) => void;
  /** Asks for `pump` to be called soon. */
  readonly wake: () => void;
  readonly mutants: ReadonlySet<string>;
}

/** A full hint on its way to new owners. */
class Parcel implements HintWaiter {
  readonly id: NodeId;
  readonly rowKey: RowKey;
  readonly row: Row;
  /** The owners it was addressed to are those of this round. */
  readonly round: number;
  readonly #ended: (parcel: Parcel, isKept: boolean) => void;
  #labels: number;
  #isKept = true;

  /** @param labels how many times `stored` will be called */
  constructor(
    id: NodeId,
    rowKey: RowKey,
    row: Row,
    round: number,
    labels: number,
    ended: (parcel: Parcel, isKept: boolean) => void,
  ) {
    this.id = id;
    this.rowKey = rowKey;
    this.row = row;
    this.round = round;
    this.#labels = labels;
    this.#ended = ended;
  }

  stored(error: CodedError | undefined): void {
    if (error !== undefined) this.#isKept = false;
    assert(this.#labels > 0, 'each label is heard of once');
    if (--this.#labels === 0) this.#ended(this, this.#isKept);
  }

  get bytes(): number {
    return this.rowKey.length + this.row.length;
  }
}

export class Forwarding {
  readonly #options: ForwardingOptions;
  readonly #isDropped: boolean;
  /** Whose hints are gone through, and the keys in hand. */
  #target: HintTarget | undefined;
  #cursor: ByteString = '';
  #isLastPage = false;
  #isReading = false;
  #page: RowKey[] = [];
  #next = 0;
  /** Raised with each change of addresses: a page read before it counts for nothing. */
  #round = 0;
  #underway = 0;
  #bytesUnderway = 0;
  /** In this pass a hint stayed. */
  #isLeftOver = false;
  #retryAt = 0;
  #retryMs = retryMinMs;
  /** Full hints addressed anew, since start. */
  forwarded = 0;

  constructor(options: ForwardingOptions) {
    this.#options = options;
    this.#isDropped = options.mutants.has('hint-of-gone-dropped');
  }

  /** Members or owners changed: all hints are looked at again. */
  addressesChanged(): void {
    for (const target of this.#options.book.targets()) if (target.rows > 0) target.goesAstray();
    this.#round++;
    this.#isReading = false;
    this.#target = undefined;
    this.#retryAt = 0;
    this.#retryMs = retryMinMs;
  }

  /** Goes on: up to `rowsMax` rows are addressed anew at a time. */
  pump(now: number, rowsMax: number): void {
    if (this.#isReading || now < this.#retryAt) return;
    this.#target ??= this.#begin();
    if (this.#target === undefined) return;
    while (this.#next < this.#page.length) {
      if (this.#underway >= rowsMax || this.#bytesUnderway >= bytesUnderwayMax) return;
      this.#forward(this.#target.id, this.#page[this.#next++]!);
    }
    if (!this.#isLastPage) this.#turnPage(this.#target);
    else if (this.#underway === 0) this.#endPass(now);
  }

  /** The next member some of whose hints may be astray. */
  #begin(): HintTarget | undefined {
    for (const target of this.#options.book.targets()) {
      if (!target.isAstray) continue;
      // What comes from now on is met in this pass, or asks for another.
      target.isAstray = false;
      this.#cursor = hintKey(target.id, '');
      this.#isLastPage = false;
      this.#page = this.#options.book.pendingOf(target.id);
      this.#next = 0;
      this.#isLeftOver = false;
      return target;
    }
    return undefined;
  }

  #turnPage(target: HintTarget): void {
    const { storage, log, wake } = this.#options;
    const round = this.#round;
    this.#isReading = true;
    const query = { from: this.#cursor, to: hintsEndOf(target.id), limit: pageRows };
    storage.range(query, (error, entries) => {
      if (round !== this.#round) return;
      this.#isReading = false;
      if (error !== undefined) {
        log.write('warn', 'hints-not-read', { target: target.id, code: error.code });
        this.#isLeftOver = true;
      }
      this.#page = entries.map(({ key }) => hintRowKey(key));
      this.#next = 0;
      this.#isLastPage = error !== undefined || entries.length < pageRows;
      const last = entries.at(-1);
      if (last !== undefined) this.#cursor = `${last.key}\0`;
      wake();
    });
  }

  #endPass(now: number): void {
    const target = this.#target!;
    this.#target = undefined;
    if (this.#isLeftOver) {
      target.goesAstray();
      this.#retryAt = now + this.#retryMs;
      this.#retryMs = Math.min(retryMaxMs, this.#retryMs * 2);
    } else {
      // Unless more came meanwhile.
      target.isForwarded = !target.isAstray;
      this.#retryMs = retryMinMs;
      this.#options.wake();
    }
  }

  #forward(id: NodeId, rowKey: RowKey): void {
    const { book, self, merge, owners } = this.#options;
    const slot = rowKeySlot(rowKey);
    const claim = book.claimOf(id, slot);
    if (claim === 'stays') return;
    const row = this.#parcel(id, rowKey);
    // What cannot be read is looked into by `src/node/hint-mender.ts`, whoever it was for.
    if (row === undefined) return;
    const to = owners(slot);
    if (row === null && claim === 'goes') return;
    if (row === null || this.#isDropped) {
      if (!book.forget(id, rowKey)) this.#isLeftOver = true;
      return;
    }
    if (to.length === 0) {
      this.#isLeftOver = true;
      return;
    }
    const isOwner = to.includes(self);
    const labels = isOwner ? 1 : to.length;
    const ended = (parcel: Parcel, isKept: boolean): void => this.#ended(parcel, isKept);
    const parcel = new Parcel(id, rowKey, row, this.#round, labels, ended);
    this.#underway++;
    this.#bytesUnderway += parcel.bytes;
    if (isOwner) merge(rowKey, row, parcel);
    else for (const owner of to) book.accept(owner, rowKey, row, parcel);
  }

  /** As in the book; undefined also when storage cannot say now. */
  #parcel(id: NodeId, rowKey: RowKey): Row | null | undefined {
    try {
      return this.#options.book.parcel(id, rowKey);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#isLeftOver = true;
      return undefined;
    }
  }

  /** All labels are durable (`isKept`), or one was refused. */
  #ended(parcel: Parcel, isKept: boolean): void {
    const { book, self, owners, wake } = this.#options;
    const { id, rowKey, row } = parcel;
    this.#underway--;
    this.#bytesUnderway -= parcel.bytes;
    wake();
    // The owners changed meanwhile: the hint is met again, with those of now.
    if (parcel.round !== this.#round) return;
    const now = isKept ? this.#parcel(id, rowKey) : undefined;
    const isSame = now !== undefined && now !== null && equalBytes(now, row);
    const slot = rowKeySlot(rowKey);
    if (!isSame || (book.claimOf(id, slot) === 'none' && !book.forget(id, rowKey))) {
      this.#isLeftOver = true;
      return;
    }
    this.forwarded++;
    const to = owners(slot);
    if (!to.includes(self)) return;
    // The row lies here now: that the others lack it is said on slips.
    for (const owner of to) if (owner !== self) book.refer(owner, rowKey, rowTime(row));
  }
}
