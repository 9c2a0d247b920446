/**
 * The core of a quorum read, as a value: add answers until there are enough, then read off the row,
 * who is behind, and whether enough replicas hold the row for later reads to see it too.
 *
 * (After riak_kv's `riak_kv_get_core`: no messages, no time, no keys in here.)
 */

import type { NodeId } from '../ports/transport.ts';
import type { RowKey } from '../rows/key.ts';
import { mergeRows } from '../rows/merge.ts';
import type { Row, Stamp } from '../rows/row.ts';
import { compareStamps, rowStamp, STAMP_NONE } from '../rows/row.ts';
import { isMade, isSiblingsRow } from '../rows/siblings.ts';

interface Answer {
  readonly from: NodeId;
  stamp: Stamp;
  /** Who gave it was started anew since: what it held may be gone with its disk. */
  isFormer: boolean;
}

export class ReadCore {
  /** Answers that make a quorum: R. */
  needed: number;
  /** Greatest stamp seen, or that of all siblings seen, merged; all zero while nothing was. */
  stamp: Stamp = STAMP_NONE;
  /** The row with that stamp; undefined for a missing key or one dead by a flush. */
  row: Row | undefined = undefined;
  readonly #answers: Answer[] = [];

  readonly #rowKey: RowKey;

  constructor(needed: number, rowKey: RowKey) {
    this.needed = needed;
    this.#rowKey = rowKey;
  }

  /**
   * One replica's answer: the stamp it holds, and the row when it came along. A stamp alone is that of a flush, or
   * of a row that is known already: a made one, however great, says no more than has been merged.
   */
  add(from: NodeId, stamp: Stamp, row: Row | undefined): void {
    this.#answers.push({ from, stamp, isFormer: false });
    const held = this.row;
    if (row === undefined && held !== undefined && isMade(stamp)) return;
    if (row !== undefined && held !== undefined && (isSiblingsRow(row) || isSiblingsRow(held))) {
      this.row = mergeRows(this.#rowKey, held, row);
      this.stamp = rowStamp(this.row);
    } else if (compareStamps(stamp, this.stamp) > 0) {
      this.stamp = stamp;
      this.row = row;
    }
  }

  get isEnough(): boolean {
    return this.#answers.length >= this.needed;
  }

  get answers(): number {
    return this.#answers.length;
  }

  /** Replicas that answered with something older than the winner, or may have lost it since. */
  behind(): NodeId[] {
    const behind: NodeId[] = [];
    for (const answer of this.#answers) {
      if (answer.isFormer || compareStamps(answer.stamp, this.stamp) !== 0) behind.push(answer.from);
    }
    return behind;
  }

  /**
   * Replicas known to hold the winner durably.
   * @param among of these only
   */
  holders(among?: readonly NodeId[]): number {
    let holders = 0;
    for (const answer of this.#answers) {
      if (answer.isFormer || compareStamps(answer.stamp, this.stamp) !== 0) continue;
      if (among === undefined || among.includes(answer.from)) holders++;
    }
    return holders;
  }

  /** Whether somebody answered, or holds the winner by now. */
  hasAnswered(from: NodeId): boolean {
    return this.#answers.some((answer) => answer.from === from);
  }

  /** A replica that was behind, or had not answered, holds the winner now. */
  repaired(from: NodeId): void {
    const answer = this.#answers.find((one) => one.from === from);
    if (answer === undefined) this.#answers.push({ from, stamp: this.stamp, isFormer: false });
    else {
      answer.stamp = this.stamp;
      answer.isFormer = false;
    }
  }

  /**
   * A replica was started anew. What it answered was true, and makes the quorum still; that it holds the winner
   * is not known any more.
   * @returns whether it counted as a holder
   */
  reborn(from: NodeId): boolean {
    const answer = this.#answers.find((one) => one.from === from);
    if (answer === undefined || answer.isFormer) return false;
    answer.isFormer = true;
    return compareStamps(answer.stamp, this.stamp) === 0;
  }
}
