/**
 * A quorum write in flight.
 *
 * The picture: stamp the row, lay it on my own tray and send it to every other replica at once; the
 * W-th durable acknowledgement is the answer. Under a linearizable policy the greatest stamp of a read
 * quorum is learned first and gone above, so that the later write wins even if this node's clock is
 * slow (ABD). The flight lives on after its answer until all replicas answered, for WAIT.
 */

import type { CodedError, ErrorCode } from '../base/errors.ts';
import { CodedError as Coded } from '../base/errors.ts';
import type { Plan } from '../coordinator/plan.ts';
import type { Policy } from '../coordinator/policy.ts';
import { isLinearizable } from '../coordinator/policy.ts';
import type { WriteState } from '../coordinator/write-core.ts';
import { WriteCore } from '../coordinator/write-core.ts';
import type { NodeId } from '../ports/transport.ts';
import type { StoredWaiter } from '../replica/replica.ts';
import type { RowKey } from '../rows/key.ts';
import type { RowBody, StampParts } from '../rows/row.ts';
import { encodeRow } from '../rows/row.ts';
import { writeWrite } from '../wire/messages.ts';
import type { WriteDone, WriteProgress } from './api.ts';
import type { NodeContext } from './context.ts';
import { deadlineError, isTooFarAhead, quorumError } from './context.ts';
import { Flight } from './flights.ts';
import { ReadFlight } from './read-flight.ts';

export class WriteFlight extends Flight implements StoredWaiter, WriteProgress {
  readonly #context: NodeContext;
  readonly #rowKey: RowKey;
  readonly #body: RowBody;
  readonly #plan: Plan;
  readonly #policy: Policy;
  #done: WriteDone | undefined;
  #core: WriteCore;
  #waiting: NodeId[] = [];
  #localWaiting = false;
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
  ) {
    super(deadline);
    this.#context = context;
    this.#rowKey = rowKey;
    this.#body = body;
    this.#plan = plan;
    this.#policy = policy;
    this.#done = done;
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
    const reachable = 1 + this.#plan.remotesLive.length;
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
    const remotes = this.#plan.replicas.filter((peer) => peer !== context.self && context.links.isLive(peer));
    if (1 + remotes.length < this.#core.needed && !context.mutants.has('fail-after-send')) {
      // Replicas were lost since the plan was made, and nothing is sent yet.
      this.#answer(quorumError(context, 'write', 1 + remotes.length, this.#core.needed, 'fail'));
      return;
    }
    const aheadMs = context.identity.hlc.time - context.wall();
    if (aheadMs > context.limits.clockOffsetMaxMs) {
      // Our clock was ahead and went back. Stamps must go on upwards, and nobody would believe them.
      const message = `the clock of this node went back by about ${aheadMs} ms and it takes no writes until it has caught up; nothing was written; use another node`;
      this.#answer(new Coded('clock-offset', 'fail', message));
      return;
    }
    let stamp: StampParts;
    try {
      stamp = context.identity.next(context.wall(), context.replica);
    } catch (error) {
      if (!(error instanceof Coded)) throw error;
      this.#answer(error);
      return;
    }
    const row = encodeRow(this.#rowKey, this.#body, stamp);
    context.flights.add(this);
    this.#localWaiting = true;
    for (const peer of this.#plan.replicas) {
      if (peer === context.self) continue;
      const writer = context.links.isLive(peer) ? context.links.writerTo(peer) : undefined;
      if (writer === undefined) {
        this.#core.lose();
        continue;
      }
      this.#waiting.push(peer);
      writeWrite(writer, this.id, this.#rowKey, row);
    }
    if (context.mutants.has('fail-after-send') && this.#core.state === 'impossible') {
      this.#answer(quorumError(context, 'write', 1 + this.#waiting.length, this.#core.needed, 'fail'));
    }
    context.replica.merge(this.#rowKey, row, this);
    this.#advance(this.#core.state);
  }

  /** Our own copy is durable, or could not be made so. */
  stored(error: CodedError | undefined): void {
    if (!this.#localWaiting) return;
    this.#localWaiting = false;
    if (error !== undefined) {
      this.#context.log.write('warn', 'write-not-stored', { code: error.code });
      this.#refusedFor(error.code);
    }
    this.#advance(error === undefined ? this.#core.acknowledge() : this.#core.lose());
  }

  override storedBy(peer: NodeId): void {
    if (this.#heard(peer)) this.#advance(this.#core.acknowledge());
  }

  override refusedBy(peer: NodeId, code: ErrorCode): void {
    if (!this.#heard(peer)) return;
    this.#refusedFor(code);
    this.#advance(this.#core.lose());
  }

  override peerLost(peer: NodeId): void {
    if (!this.#heard(peer)) return;
    this.#uncertain = true;
    this.#advance(this.#core.lose());
  }

  #refusedFor(code: ErrorCode): void {
    this.#refusal ??= code;
    // These are said before anything is stored, or of a batch of which nothing was.
    if (code !== 'storage-full' && code !== 'overloaded' && code !== 'clock-offset') this.#uncertain = true;
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
    if (this.#core.settled) this.#context.flights.remove(this);
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
    while (!this.#core.settled) this.#core.lose();
    this.#context.flights.remove(this);
  }

  #answer(error: CodedError | undefined): void {
    const done = this.#done;
    if (done === undefined) return;
    this.#done = undefined;
    if (!this.#core.settled) this.#context.flights.noteAnswered(this);
    done(error, this);
  }
}
