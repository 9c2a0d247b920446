/**
 * A quorum read in flight.
 *
 * The picture: ask myself and R-1 neighbours, telling them the stamp I hold. A neighbour answers
 * "the same", "mine is older: this stamp", or with its newer row. Enough answers make the result;
 * those behind are handed the winner: before the answer under a linearizable policy, so that no later
 * read sees an older value (ABD, Attiya, Bar-Noy and Dolev 1995), after it otherwise.
 *
 * While a change of the topology moves the partition, some nodes read the old owners and some the new. What a
 * linearizable read answers must then be held by enough of both lists: the next reader may ask the other one. So
 * such a read prefers nodes that are on both, and writes back to both. When another page comes into force while it
 * is under way it begins anew, with what is left of its time.
 *
 * Unless the policy is strict, stand-ins answer for replicas that are missing, from the hints they keep;
 * so may this node, if it is no replica.
 */

import { CodedError, type ErrorCode } from '../base/errors.ts';
import { hedgeDelayMs } from '../coordinator/hedge.ts';
import { hasSameLists, type Plan, reachableNodes, secondListOf } from '../coordinator/plan.ts';
import { holdersNeeded, isLinearizable, type Policy, quorumOf } from '../coordinator/policy.ts';
import { ReadCore } from '../coordinator/read-core.ts';
import type { NodeId } from '../ports/transport.ts';
import { horizonOfRow } from '../replica/hand.ts';
import type { ReadWaiter } from '../replica/replica.ts';
import { type RowKey, rowKeySlot } from '../rows/key.ts';
import { compareStamps, type Row, rowStamp, STAMP_NONE, type Stamp } from '../rows/row.ts';
import { writeRead } from '../wire/messages.ts';
import { deadlineError, isTooFarAhead, type NodeContext, observeStamp, quorumError } from './context.ts';
import { Flight } from './flights.ts';
import type { Link } from './links.ts';
import { handWinner, handWinnerHere, holdersError, isWinnerHeld, mendWithWinner } from './winner.ts';

/** The winning row (dead or alive, undefined for none), and its stamp. */
export type ReadFlightDone = (error: CodedError | undefined, row: Row | undefined, stamp: Stamp) => void;

export class ReadFlight extends Flight implements ReadWaiter {
  readonly #context: NodeContext;
  readonly #rowKey: RowKey;
  #plan: Plan;
  /** The second list of owners, where enough must hold what is answered; undefined where that does not matter. */
  #second: readonly NodeId[] | undefined = undefined;
  readonly policy: Policy;
  readonly #mending: boolean;
  readonly #damagedBearableMax: number;
  #damagedBearable = 0;
  readonly #stampOnly: boolean;
  #core: ReadCore;
  #done: ReadFlightDone[];
  /** Stamp the neighbours were told we hold. */
  #stampSent: Stamp = STAMP_NONE;
  #nextRemote = 0;
  #nextStandIn = 0;
  /** Neighbours asked and not heard from. */
  #waiting: NodeId[] = [];
  #localWaiting = false;
  /** Who hears of our own row; undefined for this flight itself, as it is unless the read began anew. */
  #localReader: ReadWaiter | undefined = undefined;
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
    this.#damagedBearableMax = damagedBearable;
    this.#core = this.#coreOf(plan);
    this.#done = [done];
  }

  #coreOf(plan: Plan): ReadCore {
    const short = this.#context.mutants.has('quorum-read-one-short') ? 1 : 0;
    return new ReadCore(Math.max(1, quorumOf(this.policy.r, plan.replicas.length) - short), this.#rowKey);
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
    if (!this.#prepare()) return;
    context.flights.add(this);
    context.hedgeBudget.earn();
    if (this.#localWaiting) context.replica.read(this.#rowKey, this);
    if (this.#finished) return;
    // Even while our own row waits to become durable, the neighbours can be asked.
    this.#askEnough();
  }

  /** Finds out who counts. False if they are too few: then the read has failed. */
  #prepare(): boolean {
    const context = this.#context;
    // A replica that may have forgotten something asks the others, and holds what they answer.
    const strict = isLinearizable(this.policy, context.n);
    const { vouching } = context;
    const { selfIsReplica, otherMask } = this.#plan;
    const vouched = vouching.isWhole || vouching.mayAnswer(rowKeySlot(this.#rowKey), strict);
    this.#localWaiting = selfIsReplica && vouched;
    this.#localForgetful = selfIsReplica && !vouched;
    this.#unvouched = this.#localForgetful ? 1 : 0;
    this.#damagedBearable = this.#damagedBearableMax;
    const isJoint = otherMask !== 0 && strict && !this.#stampOnly && !this.#mending;
    this.#second =
      isJoint && !context.mutants.has('joint-repair-one-list') ? secondListOf(this.#plan) : undefined;
    const reachable = reachableNodes(this.#plan, !this.policy.strict, this.#localWaiting);
    if (reachable >= this.#core.needed) return true;
    this.#fail(quorumError(context, 'read', reachable, this.#core.needed, 'none', this.#unvouched));
    return false;
  }

  /** Another epoch is in force: with other owners, all that was asked and heard counts for nothing. */
  override topologyChanged(): void {
    const context = this.#context;
    if (this.#finished) return;
    const plan = context.plans.of(rowKeySlot(this.#rowKey));
    if (hasSameLists(plan, this.#plan) || context.mutants.has('flight-not-replanned')) {
      for (const peer of [...this.#waiting]) if (!context.topology.has(peer)) this.#lose(peer);
      return;
    }
    this.#plan = plan;
    this.#core = this.#coreOf(plan);
    this.#stampSent = STAMP_NONE;
    this.#nextRemote = this.#nextStandIn = 0;
    this.#waiting = [];
    this.#localDamaged = false;
    this.#askedLast = '';
    this.#hedgeAt = Number.POSITIVE_INFINITY;
    this.#writingBack = false;
    this.#horizon = 0;
    const reader: ReadWaiter = {
      local: (error, stamp, row) => {
        if (this.#localReader === reader) this.#heardHere(error, stamp, row);
      },
    };
    this.#localReader = reader;
    if (!this.#prepare()) return;
    context.flights.renumber(this);
    if (this.#localWaiting) context.replica.read(this.#rowKey, reader);
    if (!this.#finished) this.#askEnough();
  }

  /** Asks as many neighbours as a quorum still lacks; fails when there are too few. */
  #askEnough(): void {
    while (this.#possible() < this.#core.needed && this.#askNext());
    if (this.#second !== undefined) this.#askSecond(this.#second);
    this.#checkReachable();
    const isOpen = !this.#finished && !this.#writingBack;
    if (isOpen) this.#concludeIfEnough();
  }

  /** Asks more of the replicas, as long as those on the second list could not make its quorum of holders. */
  #askSecond(second: readonly NodeId[]): void {
    const { remotesLive } = this.#plan;
    const needed = holdersNeeded(this.policy, second.length);
    const self = this.#localWaiting && second.includes(this.#context.self) ? 1 : 0;
    const counts = (id: NodeId): boolean => this.#waiting.includes(id) || this.#core.hasAnswered(id);
    while (second.filter(counts).length + self < needed && this.#nextRemote < remotesLive.length) {
      if (!this.#askNext()) return;
    }
  }

  /** Whether a node that was asked may yet say that it holds the winner, and spare the second list a write. */
  #mayHearMore(): boolean {
    const second = this.#second;
    if (second === undefined || this.#writingBack || compareStamps(this.#core.stamp, STAMP_NONE) === 0)
      return false;
    if (this.#isHeldIn(second)) return false;
    if (this.#localWaiting && second.includes(this.#context.self)) return true;
    return this.#waiting.some((id) => second.includes(id));
  }

  #possible(): number {
    return this.#core.answers + (this.#localWaiting ? 1 : 0) + this.#waiting.length;
  }

  local(error: CodedError | undefined, stamp: Stamp, row: Row | undefined): void {
    if (this.#localReader === undefined) this.#heardHere(error, stamp, row);
  }

  #heardHere(error: CodedError | undefined, stamp: Stamp, row: Row | undefined): void {
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
        context.hints.read(this.#rowKey, this.#plan.replicas, this.#localReader ?? this);
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
    if (this.#core.isEnough) {
      // Only the second list is not known to hold the winner yet, and whoever was asked is slow.
      this.#conclude();
    } else if (this.#nextRemote < this.#plan.remotesLive.length && this.#context.hedgeBudget.spend()) {
      if (this.#askNext()) this.#context.tally.hedges++;
    }
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
    this.#concludeIfEnough();
  }

  #concludeIfEnough(): void {
    if (this.#core.isEnough && !this.#mayHearMore()) this.#conclude();
  }

  #conclude(): void {
    const context = this.#context;
    if (this.#stampOnly) {
      this.#succeed();
      return;
    }
    const linearizable =
      isLinearizable(this.policy, context.n) && !this.#mending && !context.mutants.has('repair-not-blocking');
    if (linearizable && !this.#isHeld() && compareStamps(this.#core.stamp, STAMP_NONE) > 0) {
      this.#writeBack();
      return;
    }
    this.#succeed();
    if (!context.mutants.has('repair-skipped')) this.#repairAfter();
  }

  /** Whether enough are known to hold the winner, in each list that later readers may ask. */
  #isHeld(): boolean {
    const { replicas } = this.#plan;
    return this.#isHeldIn(replicas) && (this.#second === undefined || this.#isHeldIn(this.#second));
  }

  #isHeldIn(list: readonly NodeId[]): boolean {
    return isWinnerHeld(this.#core, this.policy, list);
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
    if (peer !== context.self) return handWinner(context, peer, id, this.#rowKey, this.#core, this.#horizon);
    const core = this.#core;
    const stored = (error?: CodedError): void => {
      // If the read began anew meanwhile it may have found another winner, of which this says nothing.
      if (core !== this.#core) return;
      if (error === undefined) this.storedBy(peer);
      else this.refusedBy(peer, error.code);
    };
    return handWinnerHere(context, this.#rowKey, core, this.#horizon, id === 0 ? undefined : { stored });
  }

  #writeBack(): void {
    const context = this.#context;
    this.#writingBack = true;
    context.tally.repairsBlocking++;
    // Everyone not known to hold it is handed it: a replica that did not answer may have to count.
    const behind = this.#core.behind();
    const unasked = this.#plan.remotesLive.slice(this.#nextRemote);
    const { selfIsReplica, selfIsTarget, othersLive } = this.#plan;
    if (this.#localWaiting || this.#localForgetful) behind.push(context.self);
    const handed = [...behind, ...this.#waiting, ...unasked];
    if (this.#second !== undefined) {
      if (selfIsTarget && !selfIsReplica) handed.push(context.self);
      handed.push(...othersLive);
    }
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
    if (this.#isHeld()) this.#succeed();
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
    // Who is no member any more: this flight is about to begin anew.
    if (this.#context.topology.has(peer)) this.#lose(peer);
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
    if (this.#writingBack) {
      this.#checkHolders(this.#plan.replicas);
      if (this.#second !== undefined) this.#checkHolders(this.#second);
      return;
    }
    const possible = this.#possible();
    if (possible >= this.#core.needed) return;
    this.#fail(quorumError(this.#context, 'read', possible, this.#core.needed, 'none', this.#unvouched));
  }

  /** Fails when too few of a list hold the winner or may yet be given it. */
  #checkHolders(list: readonly NodeId[]): void {
    if (this.#finished) return;
    const error = holdersError(this.#context, this.#core, this.policy, list, this.#waiting);
    if (error !== undefined) this.#fail(error);
  }

  override expire(): void {
    this.#fail(deadlineError(this.#context, 'read', 'none'));
  }

  #succeed(): void {
    this.#finish();
    const { row, stamp } = this.#core;
    for (const done of this.#done) done(undefined, row, stamp);
    if (this.#localDamaged && !this.#stampOnly)
      mendWithWinner(this.#context, this.#rowKey, this.#core, this.policy);
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
