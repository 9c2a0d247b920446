/**
 * A quorum write in flight.
 *
 * The picture: stamp the row, lay it on my own tray and send it to every other replica at once; the
 * W-th durable acknowledgement is the answer. Under a linearizable policy the greatest stamp of a read
 * quorum is learned first and gone above, so that the later write wins even if this node's clock is
 * slow (ABD). The flight lives on after its answer until all replicas answered, for WAIT.
 *
 * Unless the policy is strict, a replica that cannot be reached is stood in for: the next live node of
 * the ring keeps the row for it as a hint, and its durable acknowledgement counts (a sloppy quorum:
 * Dynamo, DeCandia et al. 2007). At the end a coordinator that is a replica notes who missed the row.
 *
 * While a change of the topology moves the partition, W of the old owners and W of the new must have the row. An
 * acknowledgement says "I hold the row", whatever page of the topology it was given under: so a flight that is
 * under way when another page comes into force is planned anew, keeps what was acknowledged, and counts it by the
 * new lists.
 *
 * Under policy `siblings` the row is made of what this node holds and the write, and a replica makes it durable
 * here before it sends it: nobody else may know of a write that its own actor could forget.
 */

import type { CodedError, ErrorCode } from '../base/errors.ts';
import { CodedError as Coded } from '../base/errors.ts';
import type { CausalContext } from '../causality/version-set.ts';
import type { Plan } from '../coordinator/plan.ts';
import { hasSameLists, reachableNodes, reachableOthers, secondListOf } from '../coordinator/plan.ts';
import type { Policy } from '../coordinator/policy.ts';
import { isLinearizable, quorumOf } from '../coordinator/policy.ts';
import type { WriteState } from '../coordinator/write-core.ts';
import { WriteRoll } from '../coordinator/write-roll.ts';
import type { NodeId } from '../ports/transport.ts';
import type { StoredWaiter } from '../replica/replica.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';
import type { Row, RowBody } from '../rows/row.ts';
import { encodeRow, rowLogical, rowTime } from '../rows/row.ts';
import { writeHint } from '../wire/hint-messages.ts';
import { writeWrite } from '../wire/messages.ts';
import type { WriteDone, WriteProgress } from './api.ts';
import type { NodeContext } from './context.ts';
import { deadlineError, isTooFarAhead, quorumError } from './context.ts';
import { Flight } from './flights.ts';
import type { ReadFlightDone } from './read-flight.ts';
import { ReadFlight } from './read-flight.ts';
import { isBuiltUpon, nextStamp, reachableIn } from './write-parts.ts';

/** Said before anything is stored, or of a batch of which nothing was. */
const definite: ReadonlySet<ErrorCode> = new Set([
  'storage-full',
  'overloaded',
  'clock-offset',
  'straggler',
  'unsupported',
]);

const noStandIns: readonly NodeId[] = [];

export class WriteFlight extends Flight implements StoredWaiter, WriteProgress {
  readonly #context: NodeContext;
  readonly #rowKey: RowKey;
  readonly #body: RowBody;
  /** What a write under `siblings` has seen; undefined under `last-write-wins`. */
  readonly #seen: CausalContext | undefined;
  /** Our own copy is not durable yet, and nobody else was sent the row. */
  #isHeldBack = false;
  readonly #policy: Policy;
  #done: WriteDone | undefined;
  /** Who was sent the row, and who acknowledged. */
  #roll: WriteRoll;
  #localWaiting = false;
  /** This node is an owner, and the row is durable here. */
  #localHolds = false;
  /** Who hears of our own copy; undefined for this flight itself, as it is unless the plan changed meanwhile. */
  #localWaiter: StoredWaiter | undefined = undefined;
  /** Whether stand-ins count. */
  readonly #sloppy: boolean;
  #row: Row | undefined = undefined;
  /** Why a replica did not take the row, the first that said so. */
  #refusal: ErrorCode | undefined = undefined;
  /** A replica was lost with the row on its way, or failed while it stored it. */
  #uncertain = false;

  constructor(
    context: NodeContext,
    rowKey: RowKey,
    body: RowBody,
    plan: Plan,
    policy: Policy,
    deadline: number,
    done: WriteDone,
    seen?: CausalContext,
  ) {
    super(deadline);
    this.#seen = seen;
    this.#context = context;
    this.#rowKey = rowKey;
    this.#body = body;
    this.#policy = policy;
    this.#done = done;
    this.#sloppy = !policy.strict || context.mutants.has('strict-counts-hint');
    this.#roll = this.#rollOf(plan);
  }

  #rollOf(plan: Plan): WriteRoll {
    const { mutants } = this.#context;
    const { w } = this.#policy;
    const short = mutants.has('quorum-write-one-short') ? 1 : 0;
    const needed = Math.max(1, quorumOf(w, plan.replicas.length) - short);
    const neededOther = mutants.has('joint-write-one-list') ? 0 : quorumOf(w, plan.otherLength);
    return new WriteRoll(plan, needed, neededOther);
  }

  get acknowledgements(): number {
    return this.#roll.acknowledgementsLeast;
  }

  get settled(): boolean {
    return this.#roll.settled || this.id === 0;
  }

  /** @param learned the caller has just read a quorum, so the greatest stamp is known already. */
  start(learned: boolean): void {
    const context = this.#context;
    if (learned) this.#planAgain();
    const { plan, needed, second } = this.#roll;
    const reachable = reachableNodes(plan, this.#sloppy);
    if (reachable < needed || second !== undefined) {
      if (this.#isShort(reachable, reachableOthers(plan, this.#sloppy))) return;
    }
    const learn =
      !learned && isLinearizable(this.#policy, context.n) && !context.mutants.has('write-without-learning');
    if (!learn) {
      if (!learned || this.#isReached()) this.#send();
      return;
    }
    const heard: ReadFlightDone = (error, _row, stamp) => {
      if (error !== undefined) {
        this.#answer(new Coded(error.code, 'fail', error.message));
      } else if (isTooFarAhead(context, stamp)) {
        const message = 'the newest row of this key is stamped by a clock too far ahead; nothing was written';
        this.#answer(new Coded('clock-offset', 'fail', message));
      } else {
        context.identity.observe(stamp);
        this.#planAgain();
        if (this.#isReached()) this.#send();
      }
    };
    new ReadFlight(context, this.#rowKey, plan, this.#policy, this.deadline, true, heard).start();
  }

  /** Time has passed since the plan was made, and nothing is sent yet: another epoch may be in force. */
  #planAgain(): void {
    if (this.#roll.plan.epoch === this.#context.topology.epoch) return;
    this.#roll = this.#rollOf(this.#context.plans.of(rowKeySlot(this.#rowKey)));
  }

  /** Whether too few owners, or stand-ins for them, can be reached: then the write is answered. */
  #isShort(reachable: number, others: number): boolean {
    const { needed, second } = this.#roll;
    let error: CodedError;
    if (reachable < needed) error = quorumError(this.#context, 'write', reachable, needed, 'fail');
    else if (second === undefined || others >= second.needed) return false;
    else error = quorumError(this.#context, 'write', others, second.needed, 'fail');
    this.#answer(error);
    return true;
  }

  /** Replicas may have been lost since the plan was made: whether enough are there. If not, the write is answered. */
  #isReached(): boolean {
    const context = this.#context;
    const { plan } = this.#roll;
    const standIns = this.#sloppy ? plan.standIns : noStandIns;
    const reachable = reachableIn(context, plan.replicas, standIns);
    const others = plan.otherMask === 0 ? 0 : reachableIn(context, secondListOf(plan), standIns);
    return context.mutants.has('fail-after-send') || !this.#isShort(reachable, others);
  }

  #send(): void {
    const context = this.#context;
    const { plan } = this.#roll;
    const row = this.#compose();
    if (row === undefined) return;
    this.#row = row;
    context.flights.add(this);
    if (this.#seen !== undefined && plan.selfIsReplica && !context.mutants.has('sibling-sent-early')) {
      this.#localWaiting = true;
      this.#isHeldBack = true;
      context.replica.merge(this.#rowKey, row, this);
      return;
    }
    if (plan.selfIsTarget) this.#localWaiting = true;
    this.#sendToOthers(row);
    if (plan.selfIsTarget) context.replica.merge(this.#rowKey, row, this);
    this.#advance(this.#roll.state);
  }

  /** The row of this write; undefined if there can be none: it is then answered. */
  #compose(): Row | undefined {
    const context = this.#context;
    try {
      const stamp = nextStamp(context, 'takes no writes', 'written');
      if (this.#seen === undefined) return encodeRow(this.#rowKey, this.#body, stamp);
      const { replicas } = this.#roll.plan;
      return context.siblings.compose(context, this.#rowKey, this.#body, this.#seen, stamp, replicas);
    } catch (error) {
      if (!(error instanceof Coded)) throw error;
      this.#answer(error.outcome === 'fail' ? error : new Coded(error.code, 'fail', error.message));
      return undefined;
    }
  }

  #sendToOthers(row: Row): void {
    const context = this.#context;
    for (const peer of this.#roll.plan.targets) if (peer !== context.self) this.#sendTo(peer, row);
    if (context.mutants.has('fail-after-send') && this.#roll.state === 'impossible') {
      const { waiting, needed } = this.#roll;
      this.#answer(quorumError(context, 'write', 1 + waiting.length, needed, 'fail'));
    }
  }

  #sendTo(peer: NodeId, row: Row): void {
    const { links } = this.#context;
    const writer = links.isLive(peer) ? links.writerTo(peer) : undefined;
    if (writer !== undefined) {
      this.#roll.sent(peer);
      writeWrite(writer, this.id, this.#rowKey, row);
      return;
    }
    // Who is gone for good will never fetch a hint: one is kept only where W cannot be reached without.
    const isGone = !this.#context.topology.has(peer);
    const at = this.#roll.at(peer);
    if (isGone && this.#roll.canSpare(at)) this.#roll.lose(at);
    else this.#missed(peer);
  }

  // Stand-ins.

  /** A replica does not get the row, or may not: somebody stands in for it, or it is noted. */
  #missed(target: NodeId): void {
    const roll = this.#roll;
    if (!this.#standIn(target)) {
      roll.lacking ??= [];
      roll.lacking.push(target);
    }
    roll.lose(roll.at(target));
  }

  /** Hands the row to the next stand-in, to be kept for `target`. False when there is none, or no need. */
  #standIn(target: NodeId): boolean {
    const context = this.#context;
    const roll = this.#roll;
    const row = this.#row;
    // What is decided needs no further copy now; and what is late would come too late.
    if (!this.#sloppy || this.#done === undefined || row === undefined) return false;
    for (let peer = roll.nextStandIn(); peer !== undefined; peer = roll.nextStandIn()) {
      const here = peer === context.self;
      const writer = here || !context.links.isLive(peer) ? undefined : context.links.writerTo(peer);
      if (!here && writer === undefined) continue;
      roll.standsIn(peer, target);
      context.tally.standIns++;
      if (writer === undefined) {
        context.hints.accept(target, this.#rowKey, row, this.#waiterHere());
      } else {
        roll.sent(peer);
        writeHint(writer, this.id, target, this.#rowKey, row);
      }
      return true;
    }
    return false;
  }

  /**
   * Whoever was asked will not acknowledge: the replica it is, or the one it stands in for, missed the row.
   * @param code why it refused; a straggler is refused for good, so that nobody keeps it for later.
   */
  #lose(peer: NodeId, code?: ErrorCode): void {
    const target = this.#roll.targetOf(peer);
    if (code === 'straggler') this.#roll.lose(this.#roll.at(target));
    else this.#missed(target);
    this.#advance(this.#roll.state);
  }

  /**
   * The flight leaves the table. A replica notes for others what they missed, and it holds; if its own copy
   * becomes durable later still, then.
   */
  #end(): void {
    this.#context.flights.remove(this);
    const { lacking, plan } = this.#roll;
    if (lacking === undefined || !this.#localHolds || !plan.selfIsReplica) return;
    this.#roll.lacking = undefined;
    const { hints, topology } = this.#context;
    for (const target of lacking) {
      if (topology.has(target)) hints.refer(target, this.#rowKey, rowTime(this.#row!));
    }
  }

  // Our own copy.

  /** Who is told that our own copy is durable. What was laid down under another plan is heard of no more. */
  #waiterHere(): StoredWaiter {
    const isFirst = !this.#localWaiting && !this.#localHolds && this.#localWaiter === undefined;
    this.#localWaiting = true;
    if (isFirst) return this;
    const waiter: StoredWaiter = {
      stored: (error) => {
        if (this.#localWaiter === waiter) this.#storedHere(error);
      },
    };
    this.#localWaiter = waiter;
    return waiter;
  }

  /** Our own copy is durable, or could not be made so. */
  stored(error: CodedError | undefined): void {
    if (this.#localWaiter === undefined) this.#storedHere(error);
  }

  #storedHere(error: CodedError | undefined): void {
    const context = this.#context;
    if (!this.#localWaiting) return;
    this.#localWaiting = false;
    if (this.#isHeldBack) {
      this.#isHeldBack = false;
      if (error !== undefined) {
        // Nobody else was sent it; a disk that became full in the middle may hold it.
        context.flights.remove(this);
        const outcome = error.outcome === 'unknown' || this.#isBuiltUpon(error) ? 'unknown' : 'fail';
        this.#answer(new Coded(error.code, outcome, error.message));
        return;
      }
      this.#sendToOthers(this.#row!);
    }
    const roll = this.#roll;
    if (error === undefined) {
      this.#localHolds = roll.plan.selfIsTarget;
      this.#advance(
        this.#localHolds ? roll.acknowledge(roll.at(context.self)) : roll.storedByStandIn(context.self),
      );
      return;
    }
    context.log.write('warn', 'write-not-stored', { code: error.code });
    this.#refusedFor(error.code);
    // A disk that became full in the middle of a batch may hold it all the same.
    if (error.outcome === 'unknown' || this.#isBuiltUpon(error)) this.#uncertain = true;
    // Of a node that is no owner any more it counts for nobody.
    if (roll.plan.selfIsTarget || roll.isStandIn(context.self)) this.#lose(context.self, error.code);
  }

  /** Whether a later change of the key may hold the value all the same. */
  #isBuiltUpon(error: CodedError): boolean {
    const { selfIsTarget } = this.#roll.plan;
    return isBuiltUpon(this.#context, this.#rowKey, error, selfIsTarget, this.#seen !== undefined);
  }

  // The others' copies.

  override storedBy(peer: NodeId): void {
    if (!this.#roll.heard(peer)) return;
    // Should it lose its disk, it is told how far it had come.
    const row = this.#row!;
    this.#context.past.acknowledged(peer, rowTime(row), rowLogical(row));
    this.#advance(this.#roll.storedBy(peer));
  }

  override refusedBy(peer: NodeId, code: ErrorCode): void {
    if (!this.#roll.heard(peer)) return;
    this.#refusedFor(code);
    this.#lose(peer, code);
  }

  override peerLost(peer: NodeId): void {
    // Who is no member any more: this flight is about to be planned anew.
    if (!this.#context.topology.has(peer) || !this.#roll.heard(peer)) return;
    this.#uncertain = true;
    this.#lose(peer);
  }

  /**
   * The row goes out again to a member that acknowledged it in a former life: it may have lost its disk since, and
   * be made whole from replicas that do not hold the row yet (`docs/design/vouching.md`).
   */
  override peerReborn(peer: NodeId): void {
    if (!this.#roll.reborn(peer)) return;
    // It took the row once, whatever it says now.
    this.#uncertain = true;
    // Mostly it is heard before our own pipe to it is back.
    if (this.#context.links.isLive(peer)) this.peerBack(peer);
  }

  override peerBack(peer: NodeId): void {
    if (!this.#roll.takeAgain(peer)) return;
    const writer = this.#context.links.writerTo(peer);
    if (writer === undefined) {
      this.peerLost(peer);
      return;
    }
    const target = this.#roll.targetOf(peer);
    if (target === peer) writeWrite(writer, this.id, this.#rowKey, this.#row!);
    else writeHint(writer, this.id, target, this.#rowKey, this.#row!);
  }

  /** Another epoch is in force: what was acknowledged counts by its lists, and who came is sent the row. */
  override topologyChanged(): void {
    const context = this.#context;
    const plan = context.plans.of(rowKeySlot(this.#rowKey));
    const isSame = hasSameLists(plan, this.#roll.plan) || context.mutants.has('flight-not-replanned');
    if (!isSame && this.#done !== undefined) {
      this.#replan(plan);
      return;
    }
    // An answered write waits for its last replicas, as far as they are still there.
    for (const peer of [...this.#roll.waiting]) {
      if (context.topology.has(peer) || !this.#roll.heard(peer)) continue;
      this.#uncertain = true;
      this.#lose(peer);
    }
  }

  #replan(plan: Plan): void {
    const { flights, replica, self } = this.#context;
    const before = this.#roll;
    const roll = this.#rollOf(plan);
    this.#roll = roll;
    const row = this.#row;
    if (row === undefined || this.#isHeldBack) return;
    if (before.leavesBehind(plan) || (before.plan.selfIsTarget && !plan.selfIsTarget)) this.#uncertain = true;
    const isAnew = before.isConfusedBy(plan);
    if (isAnew) flights.renumber(this);
    const isKept = before.plan.selfIsTarget && plan.selfIsTarget;
    if (!isKept) this.#localHolds = false;
    const unknown = plan.targets.filter((id) => id !== self && !roll.takeOver(id, before, isAnew));
    for (const target of unknown) this.#sendTo(target, row);
    if (isKept && this.#localHolds) roll.acknowledge(roll.at(self));
    else if (isKept && !this.#localWaiting) roll.lose(roll.at(self));
    else if (plan.selfIsTarget && !isKept) replica.merge(this.#rowKey, row, this.#waiterHere());
    this.#advance(roll.state);
  }

  #refusedFor(code: ErrorCode): void {
    this.#refusal ??= code;
    if (!definite.has(code)) this.#uncertain = true;
  }

  #advance(state: WriteState): void {
    if (state === 'reached') this.#answer(undefined);
    else if (state === 'impossible') this.#answerImpossible();
    if (this.#roll.settled) this.#end();
  }

  #answerImpossible(): void {
    if (this.#done === undefined) return;
    const { isNowhere, settled, shortfall } = this.#roll;
    // Fails only if each replica that was sent the row said that it did not take it: hear them out.
    const nowhere = this.#refusal !== undefined && isNowhere && !this.#uncertain;
    if (nowhere && !settled) return;
    const outcome = nowhere || this.#context.mutants.has('fail-after-send') ? 'fail' : 'unknown';
    const error = quorumError(this.#context, 'write', shortfall.have, shortfall.needed, outcome);
    const refusal = this.#refusal;
    if (refusal === undefined) this.#answer(error);
    else
      this.#answer(new Coded(refusal, outcome, `a replica refused the row (${refusal}): ${error.message}`));
  }

  override expire(): void {
    if (this.#done !== undefined) this.#answer(deadlineError(this.#context, 'write', 'unknown'));
    // What has not answered by now is not waited for.
    const roll = this.#roll;
    for (const peer of [...roll.waiting]) if (roll.heard(peer)) this.#missed(roll.targetOf(peer));
    roll.close();
    this.#end();
  }

  #answer(error: CodedError | undefined): void {
    const done = this.#done;
    if (done === undefined) return;
    this.#done = undefined;
    if (!this.#roll.settled) this.#context.flights.noteAnswered(this);
    done(error, this);
  }
}
