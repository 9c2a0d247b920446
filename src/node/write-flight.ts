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
 * Under policy `siblings` the row is made of what this node holds and the write, and a replica makes it durable
 * here before it sends it: nobody else may know of a write that its own actor could forget.
 */

import type { CodedError, ErrorCode } from '../base/errors.ts';
import { CodedError as Coded } from '../base/errors.ts';
import type { CausalContext } from '../causality/version-set.ts';
import type { Plan } from '../coordinator/plan.ts';
import { reachableNodes } from '../coordinator/plan.ts';
import type { Policy } from '../coordinator/policy.ts';
import { isLinearizable } from '../coordinator/policy.ts';
import type { WriteState } from '../coordinator/write-core.ts';
import { WriteCore } from '../coordinator/write-core.ts';
import type { NodeId } from '../ports/transport.ts';
import type { StoredWaiter } from '../replica/replica.ts';
import type { RowKey } from '../rows/key.ts';
import type { Row, RowBody, StampParts } from '../rows/row.ts';
import { encodeRow, rowLogical, rowTime } from '../rows/row.ts';
import { isSiblingsRow } from '../rows/siblings.ts';
import { writeHint } from '../wire/hint-messages.ts';
import { writeWrite } from '../wire/messages.ts';
import type { WriteDone, WriteProgress } from './api.ts';
import type { NodeContext } from './context.ts';
import { deadlineError, isTooFarAhead, quorumError } from './context.ts';
import { Flight } from './flights.ts';
import { ReadFlight } from './read-flight.ts';

/** Said before anything is stored, or of a batch of which nothing was. */
const definite: ReadonlySet<ErrorCode> = new Set([
  'storage-full',
  'overloaded',
  'clock-offset',
  'straggler',
  'unsupported',
]);

export class WriteFlight extends Flight implements StoredWaiter, WriteProgress {
  readonly #context: NodeContext;
  readonly #rowKey: RowKey;
  readonly #body: RowBody;
  /** What a write under `siblings` has seen; undefined under `last-write-wins`. */
  readonly #seen: CausalContext | undefined;
  /** Our own copy is not durable yet, and nobody else was sent the row. */
  #isHeldBack = false;
  readonly #plan: Plan;
  readonly #policy: Policy;
  #done: WriteDone | undefined;
  #core: WriteCore;
  #waiting: NodeId[] = [];
  /** Replicas that acknowledged, a bit each in the order of the plan, and stand-ins that did. */
  #storedBits = 0;
  #standInsStored: NodeId[] | undefined = undefined;
  /** Members that were started anew and get the row again as soon as they can be reached; they are waited for. */
  #again: NodeId[] | undefined = undefined;
  #localWaiting = false;
  /** This node is a replica, and the row is durable here. */
  #localHolds = false;
  /** Whether stand-ins count. */
  readonly #sloppy: boolean;
  #nextStandIn = 0;
  /** Stand-ins that were asked, and the replica each stands in for. */
  #standIns: Map<NodeId, NodeId> | undefined = undefined;
  /** Replicas that missed the row, and nobody stands in for. */
  #lacking: NodeId[] | undefined = undefined;
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
    this.#plan = plan;
    this.#policy = policy;
    this.#done = done;
    this.#sloppy = !policy.strict || context.mutants.has('strict-counts-hint');
    const short = context.mutants.has('quorum-write-one-short') ? 1 : 0;
    this.#core = new WriteCore(Math.max(1, policy.w - short), plan.replicas.length);
  }

  get acknowledgements(): number {
    return this.#core.acknowledgements;
  }

  get settled(): boolean {
    return this.#core.settled || this.id === 0;
  }

  /** @param learned the caller has just read a quorum, so the greatest stamp is known already. */
  start(learned: boolean): void {
    const context = this.#context;
    const reachable = reachableNodes(this.#plan, this.#sloppy);
    if (reachable < this.#core.needed) {
      this.#answer(quorumError(context, 'write', reachable, this.#core.needed, 'fail'));
      return;
    }
    const learn =
      !learned && isLinearizable(this.#policy, context.n) && !context.mutants.has('write-without-learning');
    if (!learn) {
      this.#send();
      return;
    }
    new ReadFlight(
      context,
      this.#rowKey,
      this.#plan,
      this.#policy,
      this.deadline,
      true,
      (error, _row, stamp) => {
        if (error !== undefined) {
          this.#answer(new Coded(error.code, 'fail', error.message));
        } else if (isTooFarAhead(context, stamp)) {
          const message =
            'the newest row of this key is stamped by a clock too far ahead; nothing was written';
          this.#answer(new Coded('clock-offset', 'fail', message));
        } else {
          context.identity.observe(stamp);
          this.#send();
        }
      },
    ).start();
  }

  #send(): void {
    const context = this.#context;
    const reachable = this.#reachableNow();
    if (reachable < this.#core.needed && !context.mutants.has('fail-after-send')) {
      // Replicas were lost since the plan was made, and nothing is sent yet.
      this.#answer(quorumError(context, 'write', reachable, this.#core.needed, 'fail'));
      return;
    }
    const stamp = this.#nextStamp();
    if (stamp === undefined) return;
    const row = this.#compose(stamp);
    if (row === undefined) return;
    this.#row = row;
    context.flights.add(this);
    if (this.#seen !== undefined && this.#plan.selfIsReplica && !context.mutants.has('sibling-sent-early')) {
      this.#localWaiting = true;
      this.#isHeldBack = true;
      context.replica.merge(this.#rowKey, row, this);
      return;
    }
    if (this.#plan.selfIsReplica) this.#localWaiting = true;
    this.#sendToOthers(row);
    if (this.#plan.selfIsReplica) context.replica.merge(this.#rowKey, row, this);
    this.#advance(this.#core.state);
  }

  /** The row of this write; undefined if there can be none: it is then answered. */
  #compose(stamp: StampParts): Row | undefined {
    if (this.#seen === undefined) return encodeRow(this.#rowKey, this.#body, stamp);
    try {
      return this.#context.siblings.compose(
        this.#context,
        this.#rowKey,
        this.#body,
        this.#seen,
        stamp,
        this.#plan.replicas,
      );
    } catch (error) {
      if (!(error instanceof Coded)) throw error;
      this.#answer(new Coded(error.code, 'fail', error.message));
      return undefined;
    }
  }

  #sendToOthers(row: Row): void {
    const context = this.#context;
    for (const peer of this.#plan.replicas) {
      if (peer === context.self) continue;
      const writer = context.links.isLive(peer) ? context.links.writerTo(peer) : undefined;
      if (writer === undefined) {
        this.#missed(peer);
        continue;
      }
      this.#waiting.push(peer);
      writeWrite(writer, this.id, this.#rowKey, row);
    }
    if (context.mutants.has('fail-after-send') && this.#core.state === 'impossible') {
      this.#answer(quorumError(context, 'write', 1 + this.#waiting.length, this.#core.needed, 'fail'));
    }
  }

  /** Nodes the row can be sent to at this moment; the plan may be older. */
  #reachableNow(): number {
    const { self, links } = this.#context;
    const { replicas, standIns } = this.#plan;
    let reachable = 0;
    for (const peer of replicas) if (peer === self || links.isLive(peer)) reachable++;
    if (!this.#sloppy || reachable === replicas.length) return reachable;
    for (const peer of standIns) if (peer === self || links.isLive(peer)) reachable++;
    return Math.min(replicas.length, reachable);
  }

  /** The stamp of this write, or undefined if it cannot have one: it is then answered. */
  #nextStamp(): StampParts | undefined {
    const context = this.#context;
    const aheadMs = context.identity.hlc.time - context.wall();
    if (aheadMs > context.limits.clockOffsetMaxMs) {
      // Our clock was ahead and went back. Stamps must go on upwards, and nobody would believe them.
      const message = `the clock of this node went back by about ${aheadMs} ms and it takes no writes until it has caught up; nothing was written; use another node`;
      this.#answer(new Coded('clock-offset', 'fail', message));
      return undefined;
    }
    try {
      return context.identity.next(context.wall(), context.replica);
    } catch (error) {
      if (!(error instanceof Coded)) throw error;
      this.#answer(error);
      return undefined;
    }
  }

  // Stand-ins.

  /** A replica does not get the row, or may not: somebody stands in for it, or it is noted. */
  #missed(target: NodeId): void {
    if (!this.#standIn(target)) {
      this.#lacking ??= [];
      this.#lacking.push(target);
    }
    this.#core.lose();
  }

  /** Hands the row to the next stand-in, to be kept for `target`. False when there is none, or no need. */
  #standIn(target: NodeId): boolean {
    const context = this.#context;
    const { standIns } = this.#plan;
    const row = this.#row;
    // What is decided needs no further copy now; and what is late would come too late.
    if (!this.#sloppy || this.#done === undefined || row === undefined) return false;
    while (this.#nextStandIn < standIns.length) {
      const peer = standIns[this.#nextStandIn++]!;
      const here = peer === context.self;
      const writer = here || !context.links.isLive(peer) ? undefined : context.links.writerTo(peer);
      if (!here && writer === undefined) continue;
      this.#core.ask();
      this.#standIns ??= new Map();
      this.#standIns.set(peer, target);
      context.tally.standIns++;
      if (writer === undefined) {
        this.#localWaiting = true;
        context.hints.accept(target, this.#rowKey, row, this);
      } else {
        this.#waiting.push(peer);
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
    if (code === 'straggler') this.#core.lose();
    else this.#missed(this.#standIns?.get(peer) ?? peer);
    this.#advance(this.#core.state);
  }

  /**
   * The flight leaves the table. A replica notes for others what they missed, and it holds; if its own copy
   * becomes durable later still, then.
   */
  #end(): void {
    this.#context.flights.remove(this);
    const lacking = this.#lacking;
    if (lacking === undefined || !this.#localHolds) return;
    this.#lacking = undefined;
    for (const target of lacking) this.#context.hints.refer(target, this.#rowKey, rowTime(this.#row!));
  }

  /** Our own copy is durable, or could not be made so. */
  stored(error: CodedError | undefined): void {
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
    if (error === undefined) {
      this.#localHolds = this.#plan.selfIsReplica;
      this.#advance(this.#core.acknowledge());
      return;
    }
    context.log.write('warn', 'write-not-stored', { code: error.code });
    this.#refusedFor(error.code);
    // A disk that became full in the middle of a batch may hold it all the same.
    if (error.outcome === 'unknown' || this.#isBuiltUpon(error)) this.#uncertain = true;
    this.#lose(context.self, error.code);
  }

  /**
   * Whether a later change of the key, which the failed batch did not carry, may hold the value: siblings are made of
   * what lies on the tray, durable or not.
   */
  #isBuiltUpon({ code }: CodedError): boolean {
    if (code !== 'storage-full') return false;
    const { replica } = this.#context;
    if (!this.#plan.selfIsReplica) return this.#seen !== undefined;
    if (!replica.isPending(this.#rowKey)) return false;
    if (this.#seen !== undefined) return true;
    try {
      const held = replica.held(this.#rowKey);
      return held !== undefined && isSiblingsRow(held);
    } catch (failure) {
      if (!(failure instanceof Coded)) throw failure;
      return true;
    }
  }

  override storedBy(peer: NodeId): void {
    if (!this.#heard(peer)) return;
    const at = this.#plan.replicas.indexOf(peer);
    if (at >= 0) this.#storedBits |= 1 << at;
    else {
      this.#standInsStored ??= [];
      this.#standInsStored.push(peer);
    }
    // Should it lose its disk, it is told how far it had come.
    const row = this.#row!;
    this.#context.past.acknowledged(peer, rowTime(row), rowLogical(row));
    this.#advance(this.#core.acknowledge());
  }

  override refusedBy(peer: NodeId, code: ErrorCode): void {
    if (!this.#heard(peer)) return;
    this.#refusedFor(code);
    this.#lose(peer, code);
  }

  override peerLost(peer: NodeId): void {
    if (!this.#heard(peer)) return;
    this.#uncertain = true;
    this.#lose(peer);
  }

  /**
   * The row goes out again to a member that acknowledged it in a former life: it may have lost its disk since, and
   * be made whole from replicas that do not hold the row yet (`docs/design/vouching.md`).
   */
  override peerReborn(peer: NodeId): void {
    if (!this.#retract(peer)) return;
    // It took the row once, whatever it says now.
    this.#uncertain = true;
    this.#waiting.push(peer);
    this.#again ??= [];
    this.#again.push(peer);
    // Mostly it is heard before our own pipe to it is back.
    if (this.#context.links.isLive(peer)) this.peerBack(peer);
  }

  override peerBack(peer: NodeId): void {
    const at = this.#again?.indexOf(peer) ?? -1;
    if (at < 0) return;
    this.#again!.splice(at, 1);
    if (!this.#waiting.includes(peer)) return;
    const writer = this.#context.links.writerTo(peer);
    if (writer === undefined) {
      this.peerLost(peer);
      return;
    }
    const target = this.#standIns?.get(peer);
    if (target === undefined) writeWrite(writer, this.id, this.#rowKey, this.#row!);
    else writeHint(writer, this.id, target, this.#rowKey, this.#row!);
  }

  /** Takes back the acknowledgement of a member. False if there is none. */
  #retract(peer: NodeId): boolean {
    const at = this.#plan.replicas.indexOf(peer);
    if (at >= 0) {
      if ((this.#storedBits & (1 << at)) === 0) return false;
      this.#storedBits &= ~(1 << at);
    } else {
      const among = this.#standInsStored?.indexOf(peer) ?? -1;
      if (among < 0) return false;
      this.#standInsStored!.splice(among, 1);
    }
    this.#core.retract();
    return true;
  }

  #refusedFor(code: ErrorCode): void {
    this.#refusal ??= code;
    if (!definite.has(code)) this.#uncertain = true;
  }

  #heard(peer: NodeId): boolean {
    const at = this.#waiting.indexOf(peer);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    return true;
  }

  #advance(state: WriteState): void {
    if (state === 'reached') this.#answer(undefined);
    else if (state === 'impossible') this.#answerImpossible();
    if (this.#core.settled) this.#end();
  }

  #answerImpossible(): void {
    if (this.#done === undefined) return;
    const { asked, losses, acknowledgements, settled, needed } = this.#core;
    // Fails only if each replica that was sent the row said that it did not take it: hear them out.
    const nowhere = this.#refusal !== undefined && acknowledgements === 0 && !this.#uncertain;
    if (nowhere && !settled) return;
    const outcome = nowhere || this.#context.mutants.has('fail-after-send') ? 'fail' : 'unknown';
    const error = quorumError(this.#context, 'write', asked - losses, needed, outcome);
    const refusal = this.#refusal;
    if (refusal === undefined) this.#answer(error);
    else
      this.#answer(new Coded(refusal, outcome, `a replica refused the row (${refusal}): ${error.message}`));
  }

  override expire(): void {
    if (this.#done !== undefined) this.#answer(deadlineError(this.#context, 'write', 'unknown'));
    // What has not answered by now is not waited for.
    for (const peer of this.#waiting.splice(0)) this.#missed(this.#standIns?.get(peer) ?? peer);
    while (!this.#core.settled) this.#core.lose();
    this.#end();
  }

  #answer(error: CodedError | undefined): void {
    const done = this.#done;
    if (done === undefined) return;
    this.#done = undefined;
    if (!this.#core.settled) this.#context.flights.noteAnswered(this);
    done(error, this);
  }
}
