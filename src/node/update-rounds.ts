/**
 * Read-modify-write, a key at a time.
 *
 * The picture: a counter clerk. Updates of one key queue at its coordinator (the first live replica in
 * ring order); a round reads the key from a quorum once, applies all that were queued when it began
 * one after the other, and writes the result once. Fifty clients that increment one key cost two round trips, not
 * a hundred.
 *
 * What it is worth: while all nodes agree who the coordinator is, updates of a key are atomic with
 * respect to each other. During a partition, or while a coordinator is being replaced, two nodes may
 * do it at once, and the later stamp wins: an increment can then be lost (docs/guarantees.md).
 */

import type { ByteString } from '../base/bytes.ts';
import { BYTES_EMPTY } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { contextOf } from '../causality/version-set.ts';
import type { Plan } from '../coordinator/plan.ts';
import type { Policy } from '../coordinator/policy.ts';
import { encodeContext } from '../rows/context.ts';
import type { RowKey } from '../rows/key.ts';
import type { Row, RowBody, Stamp } from '../rows/row.ts';
import { BODY_TOMBSTONE, KIND_TOMBSTONE, liveBody } from '../rows/row.ts';
import { versionsOfRow } from '../rows/siblings.ts';
import type { UpdateDone, UpdateFunction, UpdateReply, WriteProgress } from './api.ts';
import type { NodeContext } from './context.ts';
import { deadlineError, isTooFarAhead, observeStamp } from './context.ts';
import { ReadFlight } from './read-flight.ts';
import { isSiblingsPolicy, shownRow, withDefaultExpiry } from './shown.ts';
import { WriteFlight } from './write-flight.ts';

/** An update that waits for its round. */
export interface QueuedUpdate {
  readonly policy: Policy;
  readonly apply: UpdateFunction;
  readonly args: readonly Uint8Array[];
  readonly deadline: number;
  readonly done: UpdateDone;
}

interface Answered {
  readonly update: QueuedUpdate;
  readonly reply: UpdateReply;
  readonly wrote: boolean;
}

interface KeyQueue {
  readonly key: ByteString;
  waiting: QueuedUpdate[];
  /** How many of them the read of the round under way is for; Infinity during the turn it began in. */
  joined: number;
  /** No round is under way. */
  isIdle: boolean;
  /** Rounds are being begun, one after the other: one that is over at once goes back to there. */
  isBeginning: boolean;
}

/** Updates waiting for one key beyond this are refused. */
const queueMax = 10_000;

export class UpdateRounds {
  readonly #context: NodeContext;
  readonly #queues: Map<RowKey, KeyQueue> = new Map();
  /** Those whose round began in this turn. */
  #begun: KeyQueue[] = [];
  /** Updates that are not answered yet, those of rounds under way included. */
  waiting = 0;

  constructor(context: NodeContext) {
    this.#context = context;
  }

  /** Queues an update; a round begins at once if none is under way for the key. */
  enqueue(key: ByteString, rowKey: RowKey, update: QueuedUpdate): void {
    const queue = this.#queues.get(rowKey);
    if (queue === undefined) {
      this.waiting++;
      const founded: KeyQueue = { key, waiting: [update], joined: 0, isIdle: true, isBeginning: false };
      this.#queues.set(rowKey, founded);
      this.#next(rowKey, founded);
      return;
    }
    if (queue.waiting.length >= queueMax) {
      this.#context.tally.failuresOverload++;
      const message = `${queueMax} updates of this key are waiting already; nothing was written; try again later`;
      update.done(new CodedError('overloaded', 'fail', message), null, undefined);
      return;
    }
    this.waiting++;
    queue.waiting.push(update);
  }

  /**
   * The turn is over, and the questions of the rounds that began in it are sent. What is queued from now on
   * may have begun after a write that their answers do not show, so it waits for the next round.
   */
  turnEnded(): void {
    if (this.#begun.length === 0) return;
    for (const queue of this.#begun) queue.joined = queue.waiting.length;
    this.#begun = [];
  }

  #round(rowKey: RowKey, queue: KeyQueue): void {
    const context = this.#context;
    queue.joined = Number.POSITIVE_INFINITY;
    this.#begun.push(queue);
    const first = queue.waiting[0]!;
    // The plan is taken anew each round: a replica may have died or come back since.
    const plan = context.plans.of((rowKey.charCodeAt(0) << 8) | rowKey.charCodeAt(1));
    const { policy } = first;
    new ReadFlight(context, rowKey, plan, policy, first.deadline, false, (error, row, stamp) => {
      const batch = this.#takeBatch(queue, policy);
      if (error?.code === 'deadline-exceeded') {
        // Only those whose time is up fail; the others get a round of their own.
        queue.waiting = [...batch, ...queue.waiting];
        this.#next(rowKey, queue);
      } else if (error !== undefined) {
        this.#failRound(rowKey, queue, batch, new CodedError(error.code, 'fail', error.message));
      } else if (batch.length === 0) {
        this.#next(rowKey, queue);
      } else {
        this.#apply(rowKey, queue, plan, policy, batch, row, stamp);
      }
    }).start();
  }

  /**
   * Takes from the queue what may share a round under `policy`, in order; the others wait for theirs.
   * What is too late by now is answered so.
   */
  #takeBatch(queue: KeyQueue, policy: Policy): QueuedUpdate[] {
    let end = queue.waiting.findIndex((update) => !isSamePolicy(update.policy, policy));
    if (end < 0) end = queue.waiting.length;
    end = Math.min(end, queue.joined);
    const taken = queue.waiting.slice(0, end);
    queue.waiting = queue.waiting.slice(end);
    const now = this.#context.now();
    const batch: QueuedUpdate[] = [];
    for (const update of taken) {
      if (update.deadline > now) batch.push(update);
      else this.#answer(update, deadlineError(this.#context, 'update', 'fail'), null);
    }
    return batch;
  }

  #apply(
    rowKey: RowKey,
    queue: KeyQueue,
    plan: Plan,
    policy: Policy,
    batch: QueuedUpdate[],
    row: Row | undefined,
    stamp: Stamp,
  ): void {
    const context = this.#context;
    const versions = versionsOfRow(row);
    let wrote = false;
    const update = {
      key: queue.key,
      wall: context.wall(),
      // What an earlier update of this round makes of the key has no context yet.
      contextOf: () => (wrote ? BYTES_EMPTY : encodeContext(rowKey, versions)),
    };
    const shown = shownRow(context, rowKey, row, policy);
    if (shown instanceof CodedError) {
      this.#failRound(rowKey, queue, batch, new CodedError(shown.code, 'fail', shown.message));
      return;
    }
    let body = liveBody(shown, update.wall);
    const answered: Answered[] = [];
    let deadline = Number.POSITIVE_INFINITY;
    for (const one of batch) {
      const result = one.apply(body, one.args, update);
      const isNew = result.isNew === true || body === undefined;
      deadline = Math.min(deadline, one.deadline);
      if (result.body === undefined) {
        answered.push({ update: one, reply: result.reply, wrote: false });
        continue;
      }
      const tooLarge = pairError(queue.key, result.body, context.limits.pairBytesMax);
      if (tooLarge !== undefined) {
        this.#answer(one, tooLarge, null);
        continue;
      }
      const written = isNew ? withDefaultExpiry(result.body, policy, update.wall) : result.body;
      body = written.kind === KIND_TOMBSTONE ? undefined : written;
      wrote = true;
      answered.push({ update: one, reply: result.reply, wrote: true });
    }
    if (!wrote) {
      for (const { update: one, reply } of answered) this.#answer(one, undefined, reply);
      this.#next(rowKey, queue);
      return;
    }
    if (isTooFarAhead(context, stamp)) {
      // What is written now would be older than what is there, and never be seen.
      const message = 'the newest row of this key is stamped by a clock too far ahead; nothing was written';
      const updates = answered.map(({ update: one }) => one);
      this.#failRound(rowKey, queue, updates, new CodedError('clock-offset', 'fail', message));
      return;
    }
    observeStamp(context, stamp);
    const written = (error: CodedError | undefined, progress: WriteProgress | undefined): void => {
      for (const one of answered) {
        // A reply that saw an earlier write of this round stands or falls with it.
        if (error !== undefined) this.#answer(one.update, error, null);
        else this.#answer(one.update, undefined, one.reply, one.wrote ? progress : undefined);
      }
      this.#next(rowKey, queue);
    };
    const after = body ?? BODY_TOMBSTONE;
    const seen = isSiblingsPolicy(policy) ? contextOf(versions) : undefined;
    new WriteFlight(context, rowKey, after, plan, policy, deadline, written, seen).start(true);
  }

  #failRound(rowKey: RowKey, queue: KeyQueue, updates: readonly QueuedUpdate[], error: CodedError): void {
    for (const update of updates) this.#answer(update, error, null);
    this.#next(rowKey, queue);
  }

  #answer(
    update: QueuedUpdate,
    error: CodedError | undefined,
    reply: UpdateReply,
    progress?: WriteProgress,
  ): void {
    this.waiting--;
    update.done(error, reply, progress);
  }

  /** A round is over, or there was none. Many that are over at once, each under another policy, must not nest. */
  #next(rowKey: RowKey, queue: KeyQueue): void {
    queue.isIdle = true;
    if (queue.isBeginning) return;
    queue.isBeginning = true;
    while (queue.isIdle && queue.waiting.length > 0) {
      queue.isIdle = false;
      this.#round(rowKey, queue);
    }
    queue.isBeginning = false;
    if (queue.isIdle) this.#queues.delete(rowKey);
  }
}

function isSamePolicy(a: Policy, b: Policy): boolean {
  if (a === b) return true;
  if (a.r !== b.r || a.w !== b.w || a.strict !== b.strict) return false;
  return a.conflicts === b.conflicts && a.siblingsRead === b.siblingsRead && a.ttlMs === b.ttlMs;
}

/** The error for a pair above the limit, or undefined. */
export function pairError(key: ByteString, body: RowBody, pairBytesMax: number): CodedError | undefined {
  const size = key.length + body.value.length;
  if (size <= pairBytesMax || body.kind === KIND_TOMBSTONE) return undefined;
  return new CodedError(
    'pair-too-large',
    'fail',
    `key and value together are ${size} bytes and the limit is ${pairBytesMax} (limits.pairBytesMax); nothing was written`,
  );
}
