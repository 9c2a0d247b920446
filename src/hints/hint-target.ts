/** What a node keeps for one other member, in figures: how much, how old, and what of it cannot be read. */

import type { NodeId } from '../ports/transport.ts';
import type { RowKey } from '../rows/key.ts';
import { TimeLedger } from './time-ledger.ts';

/**
 * What a member has to do with the rows of a slot: it owns them and will go on to; it owns them until the change
 * under way is done (`goes`); or it does not. What is kept for others than those who stay is *astray*.
 */
export type HintClaim = 'stays' | 'goes' | 'none';

/** Damaged hints of one member that are looked into at a time; others are met again later. */
export const UNREADABLE_MAX = 1000;

/** A full hint that fails its checksum, since it was met in this life. */
export class UnreadableHint {
  /** Wall time it was looked into first, milliseconds; 0 before. */
  since = 0;
  /** Monotonic time at which the replicas are asked next for its row. */
  askAt = 0;
  asking = false;
}

export class HintTarget {
  readonly id: NodeId;
  /** Hints, and the bytes of their keys and values. */
  rows = 0;
  bytes = 0;
  /** Stamp times of the full hints, and of the first row each reference is about. */
  readonly full: TimeLedger = new TimeLedger();
  readonly references: TimeLedger = new TimeLedger();
  /** Those of the full hints that were met and fail their checksum; they count among `rows`. */
  readonly unreadable: Map<RowKey, UnreadableHint> = new Map();
  /** Some of the hints may be astray, and were not looked at: see `forwarding.ts`. */
  isAstray = false;
  /** All that are astray are kept for those who are to own them as well. */
  isForwarded = false;
  /** Told of a row whose hint changed: what is being handed over is not the last word. */
  onChanged: ((rowKey: RowKey) => void) | undefined = undefined;

  constructor(id: NodeId) {
    this.id = id;
  }

  goesAstray(): void {
    this.isAstray = true;
    this.isForwarded = false;
  }

  clear(): void {
    this.rows = 0;
    this.bytes = 0;
    this.full.clear();
    this.references.clear();
    this.unreadable.clear();
  }

  /** Hints that can be handed over, as far as is known. */
  get rowsReadable(): number {
    return Math.max(0, this.rows - this.unreadable.size);
  }

  /** Stamp time of the oldest, milliseconds, some seconds early at most; undefined for none. */
  oldestTime(): number | undefined {
    const full = this.full.oldest();
    const reference = this.references.oldest();
    if (full === undefined || reference === undefined) return full ?? reference;
    return Math.min(full, reference);
  }
}
