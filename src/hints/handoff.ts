/**
 * Handoff: hints on their way to a member that is back.
 *
 * The picture: a mover with a small van. He goes along the shelf of one neighbour in order, carries a van
 * load at a time, and crosses a parcel off only when it was signed for. What was exchanged on the shelf
 * while he was on the road stays, and he comes by again. He drives no faster than he is allowed to, with a
 * smaller van while the house is busy, and when nobody opens he waits and tries again, ever later.
 */

import type { ByteString } from '../base/bytes.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import type { Log } from '../ports/log.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import type { RowKey } from '../rows/key.ts';
import type { Row } from '../rows/row.ts';
import type { HintBook } from './hint-book.ts';
import { hintKey, hintRowKey, hintsEndOf } from './hint-keys.ts';

/** Rows and bytes on their way to one target at most. */
export const HANDOFF_WINDOW_ROWS = 64;
const windowBytesMax = 256 * 1024;

/** Hints whose keys are read at a time. */
const pageRows = 512;

const backoffMinMs = 100;
const backoffMaxMs = 5000;

/** A rate: tokens for bytes, a little of which may be saved up. */
export class TokenBucket {
  readonly #bytesPerMs: number;
  readonly #tokensMax: number;
  #tokens: number;
  #filledAt = 0;

  /** @param savedMs what comes in so long may be saved up, milliseconds */
  constructor(bytesPerSecond: number, savedMs = 100) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#tokensMax = this.#bytesPerMs * savedMs;
    this.#tokens = this.#tokensMax;
  }

  /** Time passed. @param share of the rate that may be used meanwhile, 0 to 1 */
  fill(now: number, share = 1): void {
    const since = Math.max(0, now - this.#filledAt);
    this.#tokens = Math.min(this.#tokensMax, this.#tokens + since * this.#bytesPerMs * share);
    this.#filledAt = now;
  }

  /** Whether something may be sent; one row may be more than there are tokens, and is paid for later. */
  get isOpen(): boolean {
    return this.#tokens > 0;
  }

  spend(bytes: number): void {
    this.#tokens -= bytes;
  }
}

/** A row on its way. */
export interface Delivery {
  readonly rowKey: RowKey;
  readonly bytes: number;
  /** The hint, or who owns its row, changed since the row was sent: it stays. */
  changed: boolean;
}

export interface HandoffOptions {
  readonly target: NodeId;
  readonly book: HintBook;
  readonly storage: Storage;
  readonly bucket: TokenBucket;
  readonly log: Log;
  readonly mutants: ReadonlySet<string>;
  /** Sends a row to the target as a WRITE, and reports back; false if it cannot be sent now. */
  readonly send: (handoff: Handoff, delivery: Delivery, row: Row) => boolean;
  /** Asks for `pump` to be called soon. */
  readonly wake: () => void;
}

/** The handoff of one target's hints. */
export class Handoff {
  readonly #options: HandoffOptions;
  readonly #deleteUnacknowledged: boolean;
  /** Keys of the page in hand, and the next of them. */
  #page: RowKey[] = [];
  #next = 0;
  #reading = false;
  /** Where the next page begins; undefined when no pass along the shelf is under way. */
  #cursor: ByteString | undefined = undefined;
  #lastPage = false;
  readonly #underway: Map<RowKey, Delivery> = new Map();
  #bytesUnderway = 0;
  /** In this pass something was crossed off, or there was a pause because of a refusal. */
  #progressed = false;
  #paused = false;
  #live = false;
  #pausedUntil = 0;
  #backoffMs = backoffMinMs;
  #rateRows = 0;
  #rateSince = 0;
  /** Rows and bytes the target acknowledged, and rows it refused for good, since this node started. */
  rowsDelivered = 0;
  bytesDelivered = 0;
  stragglers = 0;
  /** Lately. */
  rowsPerSecond = 0;

  constructor(options: HandoffOptions) {
    this.#options = options;
    this.#deleteUnacknowledged = options.mutants.has('hint-deleted-unacknowledged');
  }

  get target(): NodeId {
    return this.#options.target;
  }

  get #rows(): number {
    return this.#options.book.target(this.target)?.rowsReadable ?? 0;
  }

  /** Time passes. `live`: whether the target can be sent to. */
  tick(now: number, live: boolean): void {
    if (live !== this.#live) {
      this.#live = live;
      this.#pausedUntil = 0;
      this.#backoffMs = backoffMinMs;
      if (!live) this.#endPass();
    }
    if (now - this.#rateSince < 1000) return;
    this.rowsPerSecond = Math.round(((this.rowsDelivered - this.#rateRows) * 1000) / (now - this.#rateSince));
    this.#rateRows = this.rowsDelivered;
    this.#rateSince = now;
  }

  /**
   * Members or owners changed: what is on its way stays here, since the target may be no owner any more by the
   * time it takes the row.
   */
  addressesChanged(): void {
    for (const delivery of this.#underway.values()) delivery.changed = true;
  }

  get isIdle(): boolean {
    return this.#underway.size === 0;
  }

  /** Sends what may be sent now: up to `rowsMax` rows under way. */
  pump(now: number, rowsMax: number): void {
    if (!this.#live || now < this.#pausedUntil) return;
    if (this.#cursor === undefined && !this.#begin()) return;
    const { book, bucket, send } = this.#options;
    while (this.#underway.size < rowsMax && this.#bytesUnderway < windowBytesMax) {
      if (this.#next >= this.#page.length) {
        this.#turnPage(now);
        return;
      }
      if (!bucket.isOpen) return;
      const rowKey = this.#page[this.#next++]!;
      if (this.#underway.has(rowKey)) continue;
      const row = this.#rowToSend(rowKey, now);
      if (row === null) return;
      if (row === undefined) continue;
      const delivery: Delivery = { rowKey, bytes: rowKey.length + row.length, changed: false };
      this.#underway.set(rowKey, delivery);
      this.#bytesUnderway += delivery.bytes;
      if (!send(this, delivery, row)) {
        this.#forgetDelivery(delivery);
        this.#next--;
        this.#backOff(now);
        return;
      }
      bucket.spend(delivery.bytes);
      if (this.#deleteUnacknowledged) book.forget(this.target, rowKey);
    }
  }

  /** Null when storage cannot say now. */
  #rowToSend(rowKey: RowKey, now: number): Row | undefined | null {
    try {
      return this.#options.book.rowToSend(this.target, rowKey);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#backOff(now);
      return null;
    }
  }

  #begin(): boolean {
    const rows = this.#rows;
    if (rows === 0) return false;
    this.#cursor = hintKey(this.target, '');
    this.#lastPage = false;
    this.#progressed = false;
    this.#paused = false;
    this.#page = [];
    this.#next = 0;
    this.#options.book.target(this.target)!.onChanged = (rowKey) => {
      const delivery = this.#underway.get(rowKey);
      if (delivery !== undefined) delivery.changed = true;
    };
    this.#options.log.write('info', 'handoff-begins', { target: this.target, rows });
    return true;
  }

  #turnPage(now: number): void {
    if (this.#reading) return;
    if (this.#lastPage) {
      if (this.#underway.size === 0) this.#passEnded(now);
      return;
    }
    this.#reading = true;
    const from = this.#cursor!;
    const query = { from, to: hintsEndOf(this.target), limit: pageRows };
    this.#options.storage.range(query, (error, entries) => {
      this.#reading = false;
      // The target went away meanwhile.
      if (this.#cursor !== from) return;
      if (error !== undefined) {
        this.#options.log.write('warn', 'hints-not-read', { target: this.target, code: error.code });
        this.#endPass();
        return;
      }
      this.#page = entries.map(({ key }) => hintRowKey(key));
      this.#next = 0;
      this.#lastPage = entries.length < pageRows;
      const last = entries.at(-1);
      if (last !== undefined) this.#cursor = `${last.key}\0`;
      this.#options.wake();
    });
  }

  #passEnded(now: number): void {
    const rows = this.#rows;
    const { rowsDelivered, bytesDelivered } = this;
    this.#options.log.write('info', 'handoff-pass-ended', {
      target: this.target,
      rowsLeft: rows,
      rowsDelivered,
      bytesDelivered,
    });
    const stuck = rows > 0 && !this.#progressed && !this.#paused;
    this.#endPass();
    if (stuck) this.#backOff(now);
    else if (rows > 0) this.#options.wake();
  }

  #endPass(): void {
    this.#cursor = undefined;
    this.#page = [];
    this.#next = 0;
  }

  #forgetDelivery(delivery: Delivery): void {
    this.#underway.delete(delivery.rowKey);
    this.#bytesUnderway -= delivery.bytes;
  }

  // What becomes of a delivery.

  /** The target holds the row, or a greater one, durably. */
  stored(delivery: Delivery): void {
    this.#forgetDelivery(delivery);
    this.rowsDelivered++;
    this.bytesDelivered += delivery.bytes;
    this.#backoffMs = backoffMinMs;
    this.#progressed = true;
    if (!delivery.changed) this.#options.book.forget(this.target, delivery.rowKey);
    this.#options.wake();
  }

  /** The target did not take the row. */
  refused(delivery: Delivery, code: ErrorCode, now: number): void {
    this.#forgetDelivery(delivery);
    if (code !== 'straggler') {
      this.#backOff(now);
      return;
    }
    // It is older than what all replicas agreed on: dead everywhere, or known to all.
    this.stragglers++;
    this.#progressed = true;
    if (!delivery.changed) this.#options.book.forget(this.target, delivery.rowKey);
    this.#options.wake();
  }

  /** No answer came: the target may hold the row or not. */
  lost(delivery: Delivery, now: number): void {
    this.#forgetDelivery(delivery);
    this.#backOff(now);
  }

  /** A window full of refusals is one refusal. */
  #backOff(now: number): void {
    if (now < this.#pausedUntil) return;
    this.#paused = true;
    this.#pausedUntil = now + this.#backoffMs;
    this.#backoffMs = Math.min(backoffMaxMs, this.#backoffMs * 2);
  }
}
