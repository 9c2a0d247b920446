/**
 * The sibling composer: turns a write under policy `siblings` into the row that all replicas are sent.
 *
 * A version vector says "all writes of this actor up to that one", so an actor must know all its earlier writes of
 * a key when it makes another. A replica does: its writes are durable here before anybody else hears of them
 * (`write-flight.ts`), and after a loss of its disk it is another actor. But whether its disk is the one it had it
 * knows only when every other member told. Until then, and after a damaged row was replaced by what others hold, it
 * writes *aside*: under an actor drawn for this stretch of its life, of which nothing can be forgotten. So it does
 * where it finds writes of itself that it has not made yet: somebody forged a context.
 *
 * A stand-in does not know its earlier writes: its hint goes when it is handed over. It writes each time under a
 * name of its own, except where the hint that it made last is still there.
 */

import { CodedError } from '../base/errors.ts';
import type { CausalContext, WriteEvent } from '../causality/version-set.ts';
import { CONTEXT_NONE, entryOf, versionsOf, withoutDead, writeInto } from '../causality/version-set.ts';
import type { HintBook } from '../hints/hint-book.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { NodeId } from '../ports/transport.ts';
import type { Replica } from '../replica/replica.ts';
import { decodeContext, latestOf, VECTOR_ENTRIES_MAX } from '../rows/context.ts';
import type { RowKey } from '../rows/key.ts';
import type { Row, RowBody, StampParts } from '../rows/row.ts';
import { compareStamps, encodeStamp, KIND_TOMBSTONE } from '../rows/row.ts';
import { rowOfVersions, SIBLINGS_BYTES_MAX, versionsOfRow } from '../rows/siblings.ts';
import { drawActor, type Identity } from './identity.ts';
import type { NodeLimits } from './options.ts';
import { type SiblingsWritten, SiblingWatch } from './sibling-watch.ts';
import type { SiblingsStatus } from './status.ts';
import type { Tally } from './tally.ts';

/** What the composer touches of a node (`NodeContext`). */
export interface ComposerContext {
  readonly self: NodeId;
  readonly limits: NodeLimits;
  readonly log: Log;
  readonly replica: Replica;
  readonly hints: HintBook;
  readonly identity: Identity;
  readonly tally: Tally;
  readonly mutants: ReadonlySet<string>;
  /** Monotonic milliseconds. */
  now(): number;
  /** Wall milliseconds. */
  wall(): number;
}

/** Keys whose last stand-in write is remembered. */
const standInsMax = 4096;

export class SiblingComposer {
  readonly #random: Random;
  /** The last write this node made of a key it is no replica of. */
  readonly #standIns: Map<RowKey, WriteEvent> = new Map();
  /**
   * The actor to write as while the node's own may have written what this disk does not know; 0 if none is drawn.
   * Of this life, and of one stretch of it in which no damaged row was replaced.
   */
  #aside = 0;
  #asideSince = 0;
  /** The most siblings a write left behind, since the start. */
  siblingsMost = 0;
  readonly watch: SiblingWatch = new SiblingWatch();

  constructor(random: Random) {
    this.#random = random;
  }

  /**
   * Reads a client's context, and lets the clock go above it.
   * @throws CodedError `invalid`
   */
  seen(context: ComposerContext, rowKey: RowKey, bytes: Uint8Array | undefined): CausalContext {
    if (bytes === undefined || bytes.length === 0) return CONTEXT_NONE;
    if (context.mutants.has('sibling-context-ignored')) return CONTEXT_NONE;
    const seen = decodeContext(rowKey, bytes, context.wall() + context.limits.clockOffsetMaxMs);
    const latest = latestOf(seen);
    if (latest !== undefined) context.identity.hlc.observe(latest.time, latest.logical);
    return seen;
  }

  /**
   * The row after a write.
   * @param replicas of the key; this node may be none of them
   * @throws CodedError `siblings-full`, or what storage says
   */
  compose(
    context: ComposerContext,
    rowKey: RowKey,
    body: RowBody,
    seen: CausalContext,
    stamp: StampParts,
    replicas: readonly NodeId[],
  ): Row {
    const isReplica = replicas.includes(context.self);
    const held = isReplica ? context.replica.held(rowKey) : context.hints.held(rowKey, replicas);
    const wall = context.wall();
    const { floor } = context.replica;
    const living = withoutDead(
      versionsOfRow(held),
      (event, { expireAt }) =>
        (expireAt !== 0 && expireAt <= wall) || compareStamps(encodeStamp(event), floor) <= 0,
    );
    const asReplica = isReplica || context.mutants.has('sibling-stand-in-continues');
    const event = asReplica
      ? this.#asReplica(context, living.vector, stamp)
      : this.#asStandIn(rowKey, living.vector, stamp);
    const set = writeInto(living, seen, event, body.kind === KIND_TOMBSTONE ? undefined : body);
    const row = rowOfVersions(rowKey, set)!;
    const written = { values: versionsOf(set).length, actors: set.vector.length, rowBytes: row.length };
    const before = {
      values: versionsOf(living).length,
      actors: living.vector.length,
      rowBytes: held?.length ?? 0,
    };
    this.#bound(context, rowKey, written, before);
    if (!isReplica) this.#remember(rowKey, event);
    return row;
  }

  #asReplica(context: ComposerContext, vector: readonly WriteEvent[], stamp: StampParts): WriteEvent {
    const { identity, replica, mutants } = context;
    const knowsAll =
      (identity.isContinued && replica.rowsReplaced === 0) || mutants.has('sibling-actor-unproved');
    if (knowsAll && isNews(vector, stamp)) return stamp;
    const stale =
      this.#asideSince !== replica.rowsReplaced || !isNews(vector, { ...stamp, actor: this.#aside });
    if (this.#aside === 0 || stale) {
      this.#aside = drawActor(this.#random);
      this.#asideSince = replica.rowsReplaced;
    }
    return { ...stamp, actor: this.#aside };
  }

  #asStandIn(rowKey: RowKey, vector: readonly WriteEvent[], stamp: StampParts): WriteEvent {
    const last = this.#standIns.get(rowKey);
    const known = last === undefined ? undefined : entryOf(vector, last.actor);
    if (last !== undefined && known?.counter === last.counter) {
      return { ...stamp, actor: last.actor, counter: last.counter + 1 };
    }
    return { ...stamp, actor: drawActor(this.#random), counter: 1 };
  }

  #remember(rowKey: RowKey, event: WriteEvent): void {
    this.#standIns.delete(rowKey);
    this.#standIns.set(rowKey, event);
    if (this.#standIns.size > standInsMax) this.#standIns.delete(this.#standIns.keys().next().value!);
  }

  /** Siblings are never cut: a write that would make too much is refused. One that makes less never is. */
  #bound(context: ComposerContext, rowKey: RowKey, written: SiblingsWritten, before: SiblingsWritten): void {
    const { limits, log, tally } = context;
    const { values, actors, rowBytes } = written;
    tally.siblingWrites++;
    let why = '';
    const isCrowded = actors > VECTOR_ENTRIES_MAX && actors > before.actors;
    if (isCrowded) why = `it was written by more than ${VECTOR_ENTRIES_MAX} actors`;
    else if (values > limits.siblingsMax && values > before.values) {
      why = `it has ${before.values} siblings and the limit is ${limits.siblingsMax}`;
    } else if (rowBytes > SIBLINGS_BYTES_MAX && rowBytes > before.rowBytes) {
      why = `its siblings would be ${rowBytes} bytes together and the limit is ${SIBLINGS_BYTES_MAX}`;
    }
    if (why === '') {
      this.siblingsMost = Math.max(this.siblingsMost, values);
      this.watch.written(context.now(), rowKey, written);
      return;
    }
    if (values === 1 && before.values <= 1 && !isCrowded) {
      const message = `the value and its causality are ${rowBytes} bytes and the limit under policy siblings is ${SIBLINGS_BYTES_MAX}; nothing was written`;
      throw new CodedError('pair-too-large', 'fail', message);
    }
    tally.siblingsRefused++;
    this.watch.refused(context.now(), rowKey, why, log);
    const remedy = isCrowded
      ? 'read it with DURE.GET, and write one value without siblings, which forgets them (DURE.WITH PA/EC LWW DO SET)'
      : 'read it with all its siblings (DURE.GET) and write one value with the context that comes with them';
    const message = `the key is full: ${why}; nothing was written; ${remedy}`;
    throw new CodedError('siblings-full', 'fail', message);
  }

  /** What the watch saw, for `NodeStatus`. */
  status(context: Pick<ComposerContext, 'tally' | 'limits' | 'now'>): SiblingsStatus {
    return this.watch.status(context.now(), context.tally, context.limits.siblingsMax);
  }
}

/** Whether an actor can have made the write, as far as a vector knows of its others. */
function isNews(vector: readonly WriteEvent[], event: WriteEvent): boolean {
  const own = entryOf(vector, event.actor);
  return own === undefined || own.counter < event.counter;
}
