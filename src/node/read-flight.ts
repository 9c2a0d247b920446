/**
 * A quorum read in flight.
 *
 * The picture: ask myself and R-1 neighbours, telling them the stamp I hold. A neighbour answers
 * "the same", "mine is older: this stamp", or with its newer row. Enough answers make the result;
 * those behind are handed the winner: before the answer under a linearizable policy, so that no later
 * read sees an older value (ABD, Attiya, Bar-Noy and Dolev 1995), after it otherwise.
 *
 * Unless the policy is strict, stand-ins answer for replicas that are missing, from the hints they keep;
 * so may this node, if it is no replica.
 */

import { assert } from '../base/assert.ts';
import type { ErrorCode } from '../base/errors.ts';
import { CodedError } from '../base/errors.ts';
import { hedgeDelayMs } from '../coordinator/hedge.ts';
import type { Plan } from '../coordinator/plan.ts';
import { reachableNodes } from '../coordinator/plan.ts';
import type { Policy } from '../coordinator/policy.ts';
import { isLinearizable } from '../coordinator/policy.ts';
import { ReadCore } from '../coordinator/read-core.ts';
import type { NodeId } from '../ports/transport.ts';
import { horizonOfRow, mergeHanded } from '../replica/hand.ts';
import type { ReadWaiter } from '../replica/replica.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';
import type { Row, Stamp } from '../rows/row.ts';
import { compareStamps, rowStamp, STAMP_NONE } from '../rows/row.ts';
import { isMade } from '../rows/siblings.ts';
import { writeFloor, writeHand, writeRead, writeWrite } from '../wire/messages.ts';
import type { NodeContext } from './context.ts';
import { deadlineError, isTooFarAhead, observeRow, observeStamp, quorumError } from './context.ts';
import { Flight } from './flights.ts';
import type { Link } from './links.ts';

/** The winning row (dead or alive, undefined for none), and its stamp. */
export type ReadFlightDone = (error: CodedError | undefined, row: Row | undefined, stamp: Stamp) => void;

export class ReadFlight extends Flight implements ReadWaiter {
  readonly #context: NodeContext;
  readonly #rowKey: RowKey;
  readonly #plan: Plan;
  readonly policy: Policy;
  readonly #mending: boolean;
  #damagedBearable: number;
  readonly #stampOnly: boolean;
  readonly #core: ReadCore;
  #done: ReadFlightDone[];
  /** Stamp the neighbours were told we hold. */
  #stampSent: Stamp = STAMP_NONE;
  #nextRemote = 0;
  #nextStandIn = 0;
  /** Neighbours asked and not heard from. */
  #waiting: NodeId[] = [];
  #localWaiting = true;
  /** We do not vouch for our own row: it counts for nothing in a read. */
  #localForgetful = false;
  /** Replicas that are reached and may not answer, ourselves included. */
  #unvouched = 0;
  /** Our own row fails its checksum. */
  #localDamaged = false;
  /** When the first neighbour was asked, and when the last one was (by a hedge, or after a loss). */
  #askedFirstAt = 0;
  #askedAt = 0;
  #askedLast: NodeId = '';
  #hedgeAt = Number.POSITIVE_INFINITY;
  /** Holders still missing before a linearizable read may answer; 0 while not writing back. */
  #writingBack = false;
  /** The horizon under which a replica held the winner when it answered; 0 if that is not known. */
  #horizon = 0;
  #finished = false;

  /**
   * @param stampOnly learn the greatest stamp, not the row: the first phase of a strict write.
   * @param mending for our own damaged row: nobody is answered, so nothing is written back for later reads;
   *   with N=2 our own replica would have to take what it may not take before it is mended.
   * @param damagedBearable of the others so many may say that theirs is damaged too: the rest is then enough
   */
  constructor(
    context: NodeContext,
    rowKey: RowKey,
    plan: Plan,
    policy: Policy,
    deadline: number,
    stampOnly: boolean,
    done: ReadFlightDone,
    mending = false,
    damagedBearable = 0,
  ) {
    super(deadline);
    this.#context = context;
    this.#rowKey = rowKey;
    this.#plan = plan;
    this.policy = policy;
    this.#stampOnly = stampOnly;
    this.#mending = mending;
    this.#damagedBearable = damagedBearable;
    const short = context.mutants.has('quorum-read-one-short') ? 1 : 0;
    this.#core = new ReadCore(Math.max(1, policy.r - short), rowKey);
    this.#done = [done];
  }

  /** Another reader of the same key in the same turn. */
  join(done: ReadFlightDone): void {
    this.#done.push(done);
  }

  get isFinished(): boolean {
    return this.#finished;
  }

  start(): void {
    const context = this.#context;
    // A replica that may have forgotten something asks the others, and holds what they answer.
    const strict = isLinearizable(this.policy, context.n);
    const { vouching } = context;
    const { selfIsReplica } = this.#plan;
    const vouched = vouching.isWhole || vouching.mayAnswer(rowKeySlot(this.#rowKey), strict);
    this.#localWaiting = selfIsReplica && vouched;
    this.#localForgetful = selfIsReplica && !vouched;
    if (this.#localForgetful) this.#unvouched++;
    const reachable = reachableNodes(this.#plan, !this.policy.strict, this.#localWaiting);
    if (reachable < this.#core.needed) {
      this.#fail(quorumError(context, 'read', reachable, this.#core.needed, 'none', this.#unvouched));
      return;
    }
    context.flights.add(this);
    context.hedgeBudget.earn();
    if (this.#localWaiting) context.replica.read(this.#rowKey, this);
    if (this.#finished) return;
    // Even while our own row waits to become durable, the neighbours can be asked.
    this.#askEnough();
  }

  /** Asks as many neighbours as a quorum still lacks; fails when there are too few. */
  #askEnough(): void {
    while (this.#possible() < this.#core.needed && this.#askNext());
    this.#checkReachable();
  }

  #possible(): number {
    return this.#core.answers + (this.#localWaiting ? 1 : 0) + this.#waiting.length;
  }

  local(error: CodedError | undefined, stamp: Stamp, row: Row | undefined): void {
    this.#localWaiting = false;
    // While a winner is being written back, the acknowledgements are for that winner and no other.
    if (this.#finished || this.#writingBack) return;
    if (error !== undefined) {
      this.#localDamaged = error.code === 'corrupt' && this.#plan.selfIsReplica;
      this.#askEnough();
      return;
    }
    if (this.#waiting.length === 0) this.#stampSent = stamp;
    const { replica, self } = this.#context;
    // Only who waits for what it hands on has to care.
    const vouches = row !== undefined && this.policy.strict && this.#plan.selfIsReplica;
    // Where stamps alone are learned the greatest counts, though a row be here: of siblings too.
    const shown = this.#stampOnly ? undefined : row;
    this.#answer(self, stamp, shown, vouches ? horizonOfRow(replica, this.#rowKey) : 0);
  }

  /** Asks the next neighbour. False when there is none left. */
  #askNext(): boolean {
    const context = this.#context;
    while (this.#nextRemote < this.#plan.remotesLive.length) {
      const peer = this.#plan.remotesLive[this.#nextRemote++]!;
      const link = context.links.get(peer);
      if (link !== undefined && this.#ask(link)) return true;
    }
    return !this.policy.strict && this.#askStandIn();
  }

  /** Asks the next stand-in, this node included where it is one. False when there is none left. */
  #askStandIn(): boolean {
    const context = this.#context;
    const { standIns } = this.#plan;
    while (this.#nextStandIn < standIns.length) {
      const peer = standIns[this.#nextStandIn++]!;
      if (peer === context.self) {
        this.#localWaiting = true;
        context.hints.read(this.#rowKey, this.#plan.replicas, this);
        return true;
      }
      const link = context.links.get(peer);
      if (link !== undefined && this.#ask(link)) return true;
    }
    return false;
  }

  #ask(link: Link): boolean {
    const context = this.#context;
    const writer = link.live ? context.links.writer(link) : undefined;
    if (writer === undefined) return false;
    const peer = link.member.id;
    this.#askedAt = context.now();
    if (this.#askedLast === '') this.#askedFirstAt = this.#askedAt;
    this.#askedLast = peer;
    this.#hedgeAt = this.#askedAt + hedgeDelayMs(link.replyTime.p95Ms);
    this.#waiting.push(peer);
    writeRead(
      writer,
      this.id,
      this.deadline - this.#askedAt,
      this.#stampOnly,
      this.#rowKey,
      this.#stampSent,
      isLinearizable(this.policy, context.n),
    );
    return true;
  }

  override tick(now: number): void {
    if (now < this.#hedgeAt || this.#writingBack || this.#waiting.length === 0) return;
    this.#hedgeAt = Number.POSITIVE_INFINITY;
    if (this.#nextRemote >= this.#plan.remotesLive.length || !this.#context.hedgeBudget.spend()) return;
    if (this.#askNext()) this.#context.tally.hedges++;
  }

  override readEqual(link: Link): void {
    this.#heard(link, this.#stampSent, undefined);
  }

  override readStamp(link: Link, stamp: Stamp): void {
    // A stamp without a row, above what we sent, would be taken for a flush.
    if (!this.#stampOnly && compareStamps(stamp, this.#stampSent) > 0) {
      throw new CodedError('protocol', 'none', 'a READ_STAMP above the stamp that was asked about');
    }
    this.#heard(link, stamp, undefined);
  }

  override readRow(link: Link, row: Row, horizon: number): void {
    this.#heard(link, rowStamp(row), row, horizon);
  }

  override readFloor(link: Link, stamp: Stamp): void {
    if (!isTooFarAhead(this.#context, stamp)) this.#context.replica.raiseFloor(stamp, undefined);
    this.#heard(link, stamp, undefined);
  }

  #heard(link: Link, stamp: Stamp, row: Row | undefined, horizon = 0): void {
    const at = this.#waiting.indexOf(link.member.id);
    if (at < 0 || this.#writingBack) return;
    this.#waiting.splice(at, 1);
    const askedAt = link.member.id === this.#askedLast ? this.#askedAt : this.#askedFirstAt;
    link.replyTime.sample(this.#context.now() - askedAt);
    observeStamp(this.#context, stamp);
    this.#answer(link.member.id, stamp, row, horizon);
  }

  #answer(from: NodeId, stamp: Stamp, row: Row | undefined, horizon: number): void {
    const before = this.#core.stamp;
    this.#core.add(from, stamp, row);
    const after = this.#core.stamp;
    const wasWinner = compareStamps(after, before) === 0;
    // Siblings of two replicas, merged: nobody held them together.
    if (compareStamps(after, stamp) === 0)
      this.#horizon = wasWinner ? Math.max(this.#horizon, horizon) : horizon;
    else if (!wasWinner) this.#horizon = 0;
    if (this.#core.isEnough) this.#conclude();
  }

  #conclude(): void {
    const context = this.#context;
    if (this.#stampOnly) {
      this.#succeed();
      return;
    }
    const linearizable =
      isLinearizable(this.policy, context.n) && !this.#mending && !context.mutants.has('repair-not-blocking');
    const holdersNeeded = this.#holdersNeeded;
    if (
      linearizable &&
      this.#core.holders() < holdersNeeded &&
      compareStamps(this.#core.stamp, STAMP_NONE) > 0
    ) {
      this.#writeBack();
      return;
    }
    this.#succeed();
    if (!context.mutants.has('repair-skipped')) this.#repairAfter();
  }

  /**
   * Replicas that must hold the winner before a linearizable read answers. Later reads ask R: they meet it for
   * sure if N-R+1 hold it; and what was read must bear the loss of as many disks as what was acknowledged.
   */
  get #holdersNeeded(): number {
    return Math.max(this.#context.n - this.policy.r + 1, this.policy.w);
  }

  #repairAfter(): void {
    // A stand-in that knows nothing lacks nothing.
    const behind = this.#core.behind().filter((peer) => this.#plan.replicas.includes(peer));
    if (behind.length === 0) return;
    this.#context.tally.repairsAfter += behind.length;
    for (const peer of behind) this.#hand(peer, 0);
  }

  /** Hands the winner to a replica, ourselves included. False when it cannot be reached. */
  #hand(peer: NodeId, id: number): boolean {
    const context = this.#context;
    const { row, stamp } = this.#core;
    assert(row !== undefined || !isMade(stamp), 'what is handed on without a row is a flush');
    if (peer === context.self) {
      if (isTooFarAhead(context, stamp)) return false;
      // Once more: what was beyond belief when it came may not be so now, and no row is stored unobserved.
      if (row === undefined) observeStamp(context, stamp);
      else observeRow(context, row);
      const waiter = id === 0 ? undefined : { stored: (error?: CodedError) => this.#storedHere(error) };
      if (row === undefined) context.replica.raiseFloor(stamp, waiter);
      else mergeHanded(context.replica, this.#rowKey, row, this.#horizon, waiter);
      return true;
    }
    const writer = context.links.writerTo(peer);
    if (writer === undefined) return false;
    if (row === undefined) writeFloor(writer, id, stamp);
    else if (this.#horizon === 0) writeWrite(writer, id, this.#rowKey, row);
    else writeHand(writer, id, this.#rowKey, row, this.#horizon);
    return true;
  }

  #storedHere(error: CodedError | undefined): void {
    if (error === undefined) this.storedBy(this.#context.self);
    else this.refusedBy(this.#context.self, error.code);
  }

  #writeBack(): void {
    const context = this.#context;
    this.#writingBack = true;
    context.tally.repairsBlocking++;
    // Everyone not known to hold it is handed it: a replica that did not answer may have to count.
    const behind = this.#core.behind();
    const unasked = this.#plan.remotesLive.slice(this.#nextRemote);
    if (this.#localWaiting || this.#localForgetful) behind.push(context.self);
    const handed = [...behind, ...this.#waiting, ...unasked];
    // All first: our own replica may answer within the call.
    this.#waiting = [...handed];
    for (const peer of handed) {
      if (!this.#finished && !this.#hand(peer, this.id)) this.#lose(peer);
    }
    this.#checkReachable();
  }

  override storedBy(peer: NodeId): void {
    const at = this.#waiting.indexOf(peer);
    if (!this.#writingBack || this.#finished || at < 0) return;
    this.#waiting.splice(at, 1);
    this.#context.past.acknowledgedStamp(peer, this.#core.stamp);
    this.#core.repaired(peer);
    if (this.#core.holders() >= this.#holdersNeeded) this.#succeed();
  }

  override refusedBy(peer: NodeId, code: ErrorCode): void {
    if (code === 'corrupt' && this.#damagedBearable > 0 && this.#waiting.includes(peer)) {
      this.#damagedBearable--;
      this.#core.needed--;
      this.#waiting.splice(this.#waiting.indexOf(peer), 1);
      if (this.#core.isEnough) this.#conclude();
      else this.#askEnough();
      return;
    }
    if (code === 'unavailable' && !this.#writingBack && this.#waiting.includes(peer)) this.#unvouched++;
    this.#lose(peer);
  }

  override peerLost(peer: NodeId): void {
    this.#lose(peer);
  }

  /** A holder of the winner may have lost it: it is handed the winner like those that never held it. */
  override peerReborn(peer: NodeId): void {
    if (!this.#core.reborn(peer) || !this.#writingBack || this.#finished) return;
    this.#waiting.push(peer);
    if (!this.#context.links.isLive(peer) || !this.#hand(peer, this.id)) this.#lose(peer);
  }

  #lose(peer: NodeId): void {
    const at = this.#waiting.indexOf(peer);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    if (this.#writingBack) this.#checkReachable();
    else this.#askEnough();
  }

  /** Fails when the answers under way cannot make a quorum any more. */
  #checkReachable(): void {
    if (this.#finished) return;
    const possible = this.#writingBack ? this.#core.holders() + this.#waiting.length : this.#possible();
    const needed = this.#writingBack ? this.#holdersNeeded : this.#core.needed;
    if (possible >= needed) return;
    // Whoever may not answer a read may take what it found.
    const unvouched = this.#writingBack ? 0 : this.#unvouched;
    this.#fail(quorumError(this.#context, 'read', possible, needed, 'none', unvouched));
  }

  override expire(): void {
    this.#fail(deadlineError(this.#context, 'read', 'none'));
  }

  #succeed(): void {
    this.#finish();
    const { row, stamp } = this.#core;
    for (const done of this.#done) done(undefined, row, stamp);
    if (this.#localDamaged && !this.#stampOnly) this.#mendLocal();
  }

  /** Our own row is damaged, and the others made the quorum without it: what they hold takes its place. */
  #mendLocal(): void {
    const context = this.#context;
    const { row, stamp } = this.#core;
    if (context.mutants.has('repair-skipped') || isTooFarAhead(context, stamp)) return;
    observeStamp(context, stamp);
    if (isLinearizable(this.policy, context.n)) {
      if (context.replica.replaceDamaged(this.#rowKey, row, context.wall())) context.tally.repairsAfter++;
    } else if (row !== undefined) {
      // Who asked fewer, or stand-ins, may not have met the newest row: only what is not older takes its place.
      context.tally.repairsAfter++;
      context.replica.merge(this.#rowKey, row, undefined);
    }
  }

  #fail(error: CodedError): void {
    if (this.#finished) return;
    this.#finish();
    for (const done of this.#done) done(error, undefined, STAMP_NONE);
  }

  #finish(): void {
    this.#finished = true;
    if (this.id !== 0) this.#context.flights.remove(this);
  }
}
