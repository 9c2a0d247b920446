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
 */

import type { Policy } from '../coordinator/policy.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';
import type { NodeContext } from './context.ts';
import { ReadFlight } from './read-flight.ts';

/** Keys on the tray. */
const keysMax = 10_000;
/** Rows being mended at once. */
const mendsMax = 32;
const tickMs = 100;
/** A row that could not be mended is left alone for so long, milliseconds. */
const retryMs = 2000;
const mendTimeoutMs = 1000;

export class RowMender {
  readonly #context: NodeContext;
  readonly #policy: Policy;
  /** Rows to be mended, and from when on. */
  readonly #tray: Map<RowKey, number> = new Map();
  readonly #underway: Set<RowKey> = new Set();
  #tickAt = 0;
  /** Rows mended since start. */
  mended = 0;

  constructor(context: NodeContext) {
    this.#context = context;
    this.#policy = { r: Math.max(1, context.n - 1), w: Math.min(2, context.n), strict: true };
  }

  /** Rows that wait to be mended. */
  get waiting(): number {
    return this.#tray.size;
  }

  /** A row failed its checksum. */
  damaged(rowKey: RowKey): void {
    if (this.#context.n < 2 || this.#tray.size >= keysMax || this.#tray.has(rowKey)) return;
    this.#tray.set(rowKey, 0);
  }

  /** Begins to mend what is on the tray. */
  tick(now: number): void {
    if (this.#tray.size === 0 || now < this.#tickAt) return;
    this.#tickAt = now + tickMs;
    for (const [rowKey, from] of this.#tray) {
      if (this.#underway.size >= mendsMax) return;
      if (now >= from && !this.#underway.has(rowKey)) this.#mend(rowKey, now);
    }
  }

  #mend(rowKey: RowKey, now: number): void {
    const context = this.#context;
    const plan = context.plans.of(rowKeySlot(rowKey));
    if (!plan.selfIsReplica) {
      this.#tray.delete(rowKey);
      return;
    }
    if (plan.remotesLive.length < context.n - 1) {
      this.#tray.set(rowKey, now + retryMs);
      return;
    }
    this.#underway.add(rowKey);
    const mended = (error: unknown): void => {
      this.#underway.delete(rowKey);
      if (error === undefined) {
        this.mended++;
        this.#tray.delete(rowKey);
      } else {
        this.#tray.set(rowKey, context.now() + retryMs);
      }
    };
    new ReadFlight(context, rowKey, plan, this.#policy, now + mendTimeoutMs, false, mended).start();
  }
}
