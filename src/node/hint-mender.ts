/**
 * The hint mender: looks into rows kept for other members that fail their checksum.
 *
 * The picture: a parcel in the cupboard whose contents are spoiled. The neighbour it is for is not told "you
 * got it", and the parcel is not thrown away as though somebody else had surely brought another. The keeper
 * asks all who should have the same thing; when each of them has it, or something newer, the spoiled one may go.
 *
 * The stamp of a damaged row is read all the same. All replicas of the key are asked, under the rules of a
 * linearizable read that ends only when each of them holds what the newest of them held. If that is not older
 * than the damaged row's stamp, or was written after the damage was found, the hint has done its duty. If
 * it is older, or a replica is away, the hint stays, holds the floor (`hint-floor.ts`), is counted as unreadable,
 * and is looked into again: another node's hint for the same row may still be under way. Should the rot have
 * hit the stamp and made it less, the hint goes too early; the alarm and the count of damaged hints stay.
 */

import type { Policy } from '../coordinator/policy.ts';
import type { HintTarget, UnreadableHint } from '../hints/hint-target.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';
import type { Row, Stamp } from '../rows/row.ts';
import { compareStamps, stampTime } from '../rows/row.ts';
import type { NodeContext } from './context.ts';
import { isTooFarAhead } from './context.ts';
import { ReadFlight } from './read-flight.ts';

/** Hints looked into at once. */
const asksMax = 8;
const tickMs = 100;
/** A hint that was not resolved is left alone for so long, milliseconds. */
const retryMs = 5000;
const askTimeoutMs = 1000;

export class HintMender {
  readonly #context: NodeContext;
  #asking = 0;
  #tickAt = 0;

  constructor(context: NodeContext) {
    this.#context = context;
  }

  tick(now: number): void {
    if (now < this.#tickAt) return;
    this.#tickAt = now + tickMs;
    for (const target of this.#context.hints.targets()) {
      for (const [rowKey, hint] of target.unreadable) {
        if (this.#asking >= asksMax) return;
        if (!hint.asking && now >= hint.askAt) this.#ask(target, rowKey, hint, now);
      }
    }
  }

  #ask(target: HintTarget, rowKey: RowKey, hint: UnreadableHint, now: number): void {
    const context = this.#context;
    hint.askAt = now + retryMs;
    if (hint.since === 0) hint.since = context.wall();
    if (this.#claimOf(target, rowKey) === undefined) return;
    const plan = context.plans.of(rowKeySlot(rowKey));
    if (plan.remotesLive.length + (plan.selfIsReplica ? 1 : 0) < context.n) return;
    if (context.flights.closed || context.flights.isFull(context.limits.requestsMax)) return;
    this.#asking++;
    hint.asking = true;
    const heard = (error: unknown, _row: Row | undefined, stamp: Stamp): void => {
      this.#asking--;
      hint.asking = false;
      if (error === undefined) this.#heard(target, rowKey, hint, stamp);
    };
    const policy: Policy = { r: context.n, w: context.n, strict: true };
    new ReadFlight(context, rowKey, plan, policy, now + askTimeoutMs, false, heard).start();
  }

  /** The stamp the hint seems to have; undefined if it is unreadable no more, or storage cannot say. */
  #claimOf(target: HintTarget, rowKey: RowKey): Stamp | undefined {
    try {
      return this.#context.hints.unreadableStamp(target.id, rowKey);
    } catch {
      return undefined;
    }
  }

  /** All replicas hold a row of this stamp. */
  #heard(target: HintTarget, rowKey: RowKey, hint: UnreadableHint, stamp: Stamp): void {
    const context = this.#context;
    const claim = this.#claimOf(target, rowKey);
    if (claim === undefined || isTooFarAhead(context, stamp)) return;
    if (compareStamps(stamp, claim) < 0 && stampTime(stamp) <= hint.since) return;
    if (!context.hints.forget(target.id, rowKey)) return;
    context.log.write('info', 'hint-superseded', { target: target.id });
  }
}
