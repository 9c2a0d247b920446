/**
 * The row mender: brings back, from the other replicas, rows that fail their checksum here.
 *
 * The picture: a tray for torn pages. Whoever meets one (a read, a scan, the clean-up that walks over all
 * rows) puts its key there; a few at a time are copied out again from the other replicas. The torn page is
 * never read out to anybody meanwhile (`replica.ts`).
 *
 * All other replicas are asked, under the rules of a linearizable read: what they hold between them includes
 * every write that was acknowledged by more than this node. A row is left on the tray until they all can be
 * reached. The tray has a bound; what falls beside it is met again by the next walk.
 *
 * Several replicas may hold a row damaged at a time; if each waited for the others, none would be mended. Those
 * that say so are not waited for as long as they are, this node counted, fewer than W of the key's policy: each
 * acknowledged write is then on one that can be read. With W or more of them it may be on none, and what is left
 * may be older than what was acknowledged: the row stays damaged until the key is written anew.
 *
 * A damaged row whose stamp seems to be of just now may belong to a write under way, which counts on this
 * node's acknowledgement. Its coordinator is a replica and laid the row on its own tray before it sent it, so
 * it answers with it, unless its own disk refused the row. For those the mender asks once more when the time
 * of a request is over, and believes what all say then.
 */

import type { Policy } from '../coordinator/policy.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot, rowKeyUserKey } from '../rows/key.ts';
import type { Row, Stamp } from '../rows/row.ts';
import type { NodeContext } from './context.ts';
import { isTooFarAhead, observeStamp } from './context.ts';
import type { Policies } from './policies.ts';
import { ReadFlight } from './read-flight.ts';

/** Keys on the tray. */
const keysMax = 10_000;
/** Rows being mended at once. */
const mendsMax = 32;
const tickMs = 100;
/** A row that could not be mended is left alone for so long, milliseconds. */
const retryMs = 1000;
const mendTimeoutMs = 1000;

/** A torn page on the tray. */
interface Torn {
  readonly noticedAt: number;
  /** When it is tried next. */
  from: number;
}

export class RowMender {
  readonly #context: NodeContext;
  readonly #policies: Policies;
  readonly #tray: Map<RowKey, Torn> = new Map();
  readonly #underway: Set<RowKey> = new Set();
  #tickAt = 0;
  /** Rows mended since start. */
  mended = 0;

  /** @param policies say how many replicas hold what was acknowledged */
  constructor(context: NodeContext, policies: Policies) {
    this.#context = context;
    this.#policies = policies;
  }

  /** Rows that wait to be mended. */
  get waiting(): number {
    return this.#tray.size;
  }

  /** A row failed its checksum. @returns false if it is on the tray already. */
  damaged(rowKey: RowKey): boolean {
    if (this.#tray.has(rowKey)) return false;
    if (this.#context.n > 1 && this.#tray.size < keysMax) {
      this.#tray.set(rowKey, { noticedAt: this.#context.now(), from: 0 });
    }
    return true;
  }

  /** Begins to mend what is on the tray. */
  tick(now: number): void {
    if (this.#tray.size === 0 || now < this.#tickAt) return;
    this.#tickAt = now + tickMs;
    for (const [rowKey, torn] of this.#tray) {
      if (this.#underway.size >= mendsMax) return;
      if (now >= torn.from && !this.#underway.has(rowKey)) this.#mend(rowKey, torn, now);
    }
  }

  #mend(rowKey: RowKey, torn: Torn, now: number): void {
    const context = this.#context;
    const plan = context.plans.of(rowKeySlot(rowKey));
    if (!plan.selfIsTarget || !context.replica.isDamaged(rowKey)) {
      this.#tray.delete(rowKey);
      return;
    }
    torn.from = now + retryMs;
    // All others of the list that reads ask; this node may be an owner by the other list alone.
    const others = plan.replicas.length - (plan.selfIsReplica ? 1 : 0);
    if (plan.remotesLive.length < others) return;
    this.#underway.add(rowKey);
    const heard = (error: unknown, row: Row | undefined, stamp: Stamp): void => {
      this.#underway.delete(rowKey);
      if (error === undefined) this.#replace(rowKey, now - torn.noticedAt, row, stamp);
    };
    const deadline = now + mendTimeoutMs;
    const policy: Policy = { r: Math.max(1, others), w: Math.min(2, context.n), strict: true };
    const bearable = this.#damagedBearable(rowKey);
    new ReadFlight(context, rowKey, plan, policy, deadline, false, heard, true, bearable).start();
  }

  /** How many of the others may hold the row damaged too. */
  #damagedBearable(rowKey: RowKey): number {
    const w = this.#policies.leastW(rowKeyUserKey(rowKey));
    return Math.max(0, Math.min(w, this.#context.n) - 2);
  }

  /** @param afterMs so long after the damage was noticed the others were asked, milliseconds */
  #replace(rowKey: RowKey, afterMs: number, row: Row | undefined, stamp: Stamp): void {
    const context = this.#context;
    if (isTooFarAhead(context, stamp)) return;
    observeStamp(context, stamp);
    const isOver = afterMs > context.limits.requestTimeoutMs;
    const wall = isOver ? Number.POSITIVE_INFINITY : context.wall();
    if (!context.replica.replaceDamaged(rowKey, row, wall)) return;
    this.mended++;
    this.#tray.delete(rowKey);
  }
}
