/**
 * Requests on one key: check them, find their replicas, and coordinate here or send them on.
 *
 * A node that is a replica of the key coordinates reads and blind writes itself. Updates go to the
 * first live replica in ring order, so that those of one key meet at one place. Reads of one key that
 * arrive in one turn share one flight: they are concurrent, so one answer is right for all.
 *
 * Unless the policy is strict, a node that is no replica coordinates too, when no replica can be reached
 * or those that can find too few others: it may see nodes that they do not.
 */

import type { ByteString } from '../base/bytes.ts';
import { BYTES_EMPTY } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { CausalContext } from '../causality/version-set.ts';
import type { Plan } from '../coordinator/plan.ts';
import { reachableNodes } from '../coordinator/plan.ts';
import type { Policy } from '../coordinator/policy.ts';
import { isLinearizable, quorumOf } from '../coordinator/policy.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeyOf, rowKeySlot } from '../rows/key.ts';
import type { Row, RowBody } from '../rows/row.ts';
import { isRowLive, rowExpireAt } from '../rows/row.ts';
import { isSiblingsRow, withoutFlushed } from '../rows/siblings.ts';
import { FORWARD_READ, FORWARD_UPDATE, FORWARD_WRITE } from '../wire/messages.ts';
import type { ReadDone, RequestOptions, UpdateDone, UpdateFunction, VersionsDone, WriteDone } from './api.ts';
import type { NodeContext } from './context.ts';
import { deadlineError } from './context.ts';
import { writeUpdateCall, writeWriteCall } from './forward-codec.ts';
import { ForwardFlight } from './forward-flight.ts';
import type { Policies } from './policies.ts';
import { ReadFlight } from './read-flight.ts';
import { isSiblingsPolicy, shownRow, versionsShown, withDefaultExpiry } from './shown.ts';
import type { QueuedUpdate } from './update-rounds.ts';
import { pairError, UpdateRounds } from './update-rounds.ts';
import { WriteFlight } from './write-flight.ts';

/** A row key on the wire has a u16 length; escaping may double a key's zero bytes. */
const keyBytesMax = 32_000;

/** Arguments of one update, together: far below what a frame may hold. */
const argumentBytesMax = 8 * 1024 * 1024;

/** Reads that share a flight share its deadline, so theirs must lie this close, milliseconds. */
const sharedDeadlineMs = 20;

export class Requests {
  readonly #context: NodeContext;
  readonly #policies: Policies;
  readonly #updates: ReadonlyMap<string, UpdateFunction>;
  readonly #rounds: UpdateRounds;
  readonly #shareForever: boolean;
  /** Reads begun this turn, to be joined by others of the same key. */
  #shared: Map<RowKey, ReadFlight> = new Map();
  /** Set while the node can take requests. */
  isServing = false;
  /** Why it cannot, in words, when it is not that the node starts or stops. */
  closedBecause: string | undefined = undefined;
  #isDrained = false;

  constructor(context: NodeContext, policies: Policies, updates: ReadonlyMap<string, UpdateFunction>) {
    this.#context = context;
    this.#policies = policies;
    this.#updates = updates;
    this.#rounds = new UpdateRounds(context);
    this.#shareForever = context.mutants.has('shared-read-stale');
  }

  /** Call at the end of each turn: later reads must not share what was begun before. */
  turnEnded(): void {
    if (this.#shared.size > 0 && !this.#shareForever) this.#shared.clear();
    this.#rounds.turnEnded();
  }

  /** Whether requests are taken. */
  get open(): boolean {
    return this.isServing && !this.#isDrained;
  }

  /** Takes nothing new from now on, of clients or of peers that send on what theirs asked; the rest goes on. */
  drain(): void {
    this.#isDrained = true;
  }

  /** Why requests are not taken, in words. */
  get refusalWords(): string {
    const phase = this.#isDrained ? 'this node is draining' : 'this node is starting or stopping';
    return this.closedBecause ?? phase;
  }

  /** Requests that are not answered yet. */
  get waiting(): number {
    return this.#context.flights.unanswered + this.#rounds.waiting;
  }

  /** Whether this node has taken on as much as it may. */
  get isFull(): boolean {
    const { flights, limits } = this.#context;
    return this.waiting >= limits.requestsMax || flights.isFull(limits.requestsMax);
  }

  /** The error for a request that cannot even begin, or undefined. `forWrite`: it would change data. */
  #refusal(key: ByteString, forWrite: boolean): CodedError | undefined {
    const context = this.#context;
    const outcome = forWrite ? 'fail' : 'none';
    if (!this.open) {
      return new CodedError('unavailable', outcome, `${this.refusalWords}; nothing was done`);
    }
    if (context.replica.failure !== undefined) {
      return new CodedError(
        'unavailable',
        outcome,
        `the storage of this node failed: ${context.replica.failure.message}`,
      );
    }
    if (forWrite && context.links.clockDoubted) {
      const message = `the clock of this node differs from most others by more than ${context.limits.clockOffsetMaxMs} ms; nothing was written; use another node`;
      return new CodedError('clock-offset', outcome, message);
    }
    if (this.isFull) {
      context.tally.failuresOverload++;
      return new CodedError(
        'overloaded',
        outcome,
        `${context.limits.requestsMax} requests are under way at this node; nothing was done`,
      );
    }
    if (key.length > keyBytesMax) {
      return new CodedError(
        'pair-too-large',
        outcome,
        `the key is ${key.length} bytes and the limit is ${keyBytesMax}; nothing was done`,
      );
    }
    return undefined;
  }

  /** Who forwarded a request found its policy: another may apply here, for a moment after it was changed. */
  #policyOf(key: ByteString, { policy }: RequestOptions, forwarded: boolean): Policy {
    return forwarded && policy !== undefined ? policy : this.#policies.of(key, policy);
  }

  #deadline(options: RequestOptions): number {
    return this.#context.now() + (options.timeoutMs ?? this.#context.limits.requestTimeoutMs);
  }

  /**
   * Reads a key: the live row, siblings as the one value that the policy shows.
   * @param raw the row as it is, dead or not, with all its siblings: for a peer that forwarded the request
   *   (`forwarded`), and for `readVersions`
   */
  read(
    key: ByteString,
    options: RequestOptions,
    forwarded: boolean,
    done: ReadDone,
    raw: boolean = forwarded,
  ): void {
    const context = this.#context;
    const refusal = this.#refusal(key, false);
    if (refusal !== undefined) {
      done(refusal, undefined);
      return;
    }
    context.tally.reads++;
    const rowKey = rowKeyOf(key);
    const plan = context.plans.of(rowKeySlot(rowKey));
    const policy = this.#policyOf(key, options, forwarded);
    if (!plan.selfIsReplica && !(forwarded && plan.selfIsTarget)) {
      if (forwarded) done(this.#notAReplica('none'), undefined);
      else if (plan.remotesLive.length === 0 && this.#canStandIn(plan, policy, policy.r)) {
        this.#readByQuorum(rowKey, plan, policy, this.#deadline(options), done, raw);
      } else this.#forwardRead(key, rowKey, plan, policy, this.#deadline(options), done, raw);
      return;
    }
    const here = raw && !forwarded ? undefined : this.#readHere(rowKey, plan, policy);
    if (here === undefined) this.#readByQuorum(rowKey, plan, policy, this.#deadline(options), done, raw);
    else done(undefined, here ?? undefined);
  }

  /** See `NodeApi.readVersions`. */
  readVersions(key: ByteString, options: RequestOptions, done: VersionsDone): void {
    const rowKey = rowKeyOf(key);
    const show: ReadDone = (error, row) => {
      if (error !== undefined) done(error, undefined);
      else done(undefined, versionsShown(this.#context, rowKey, row));
    };
    this.read(key, options, false, show, true);
  }

  /** Answers a reader with what it asked to see of a row. */
  #show(rowKey: RowKey, policy: Policy, raw: boolean, row: Row | undefined, done: ReadDone): void {
    let shown: Row | CodedError | undefined = row;
    if (!raw) shown = shownRow(this.#context, rowKey, row, policy);
    // Who forwarded the request may not have heard of the flush.
    else if (row !== undefined) shown = withoutFlushed(rowKey, row, this.#context.replica.floor);
    if (shown instanceof CodedError) done(shown, undefined);
    else done(undefined, shown);
  }

  /** Coordinates a read here, or joins an equal one of this turn. */
  #readByQuorum(
    rowKey: RowKey,
    plan: Plan,
    policy: Policy,
    deadline: number,
    done: ReadDone,
    raw: boolean,
  ): void {
    const context = this.#context;
    const joined = this.#shared.get(rowKey);
    const share = (error: CodedError | undefined, row: Row | undefined): void => {
      if (error !== undefined) done(error, undefined);
      else this.#show(rowKey, policy, raw, row, done);
    };
    const near = joined !== undefined && Math.abs(joined.deadline - deadline) <= sharedDeadlineMs;
    if (near && !joined.isFinished && joined.policy === policy) {
      context.tally.readsShared++;
      joined.join(share);
      return;
    }
    const flight = new ReadFlight(context, rowKey, plan, policy, deadline, false, share);
    this.#shared.set(rowKey, flight);
    flight.start();
  }

  /** See `NodeApi.readNow`. */
  readNow(key: ByteString, options: RequestOptions): Row | null | undefined {
    const policy = this.#policies.of(key, options.policy);
    if ((policy.r > 1 && this.#context.n > 1) || this.#refusal(key, false) !== undefined) return undefined;
    const rowKey = rowKeyOf(key);
    const row = this.#readHere(rowKey, this.#context.plans.of(rowKeySlot(rowKey)), policy);
    if (row !== undefined) this.#context.tally.reads++;
    return row;
  }

  /** The live row, or null, if one replica is enough and this one can vouch for it now: no flight at all. */
  #readHere(rowKey: RowKey, plan: Plan, policy: Policy): Row | null | undefined {
    const context = this.#context;
    const { length } = plan.replicas;
    if (!plan.selfIsReplica || (policy.r > 1 && length > 1)) return undefined;
    if (isLinearizable(policy, length) || context.replica.isPending(rowKey)) return undefined;
    const { vouching } = context;
    if (!vouching.isWhole && !vouching.mayAnswer(rowKeySlot(rowKey), false)) return undefined;
    let row: Row | undefined;
    try {
      row = context.replica.peek(rowKey);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return undefined;
    }
    if (row !== undefined && isSiblingsRow(row)) return undefined;
    // The clock is looked at only for a row that can expire.
    const lasting = row !== undefined && rowExpireAt(row) === 0;
    return isRowLive(row, lasting ? 0 : context.wall()) ? row : null;
  }

  #forwardRead(
    key: ByteString,
    rowKey: RowKey,
    plan: Plan,
    policy: Policy,
    deadline: number,
    done: ReadDone,
    raw: boolean,
  ): void {
    const targets = plan.remotesLive;
    const request = { kind: FORWARD_READ, key, policy, targets, repeatable: true, body: () => {} };
    new ForwardFlight(this.#context, request, deadline, (error, row) => {
      const now = this.#standInAfter(error, rowKey, policy, policy.r);
      if (now !== undefined) this.#readByQuorum(rowKey, now, policy, deadline, done, raw);
      else if (error !== undefined) done(error, undefined);
      else this.#show(rowKey, policy, raw, row, done);
    }).start();
  }

  /** Whether this node, no replica of the key, can bring enough nodes together for it. */
  #canStandIn(plan: Plan, policy: Policy, needed: number): boolean {
    if (policy.strict || !plan.standIns.includes(this.#context.self)) return false;
    return reachableNodes(plan, true) >= quorumOf(needed, plan.replicas.length);
  }

  /** The plan to coordinate by here, after a replica did nothing for want of others; undefined for no. */
  #standInAfter(
    error: CodedError | undefined,
    rowKey: RowKey,
    policy: Policy,
    needed: number,
  ): Plan | undefined {
    if (error === undefined || error.outcome === 'unknown') return undefined;
    if (error.code !== 'quorum-unreachable' && error.code !== 'unavailable') return undefined;
    if (!this.open) return undefined;
    const plan = this.#context.plans.of(rowKeySlot(rowKey));
    return this.#canStandIn(plan, policy, needed) ? plan : undefined;
  }

  /**
   * A peer that knows another epoch sent this, and this node is an owner by neither list of its own: refuse rather
   * than pass it round in circles. The peer tries the next replica.
   *
   * An owner by the second list alone coordinates what it is sent: who sent it stands on the page before or after
   * ours, where this node is one that reads ask. Any node may coordinate; it only counts by its own page who must
   * acknowledge.
   */
  #notAReplica(outcome: 'fail' | 'none'): CodedError {
    const message =
      'this node is no replica of the key by the topology it knows; nothing was done; try again';
    return new CodedError('unavailable', outcome, message);
  }

  write(key: ByteString, given: RowBody, options: RequestOptions, forwarded: boolean, done: WriteDone): void {
    const context = this.#context;
    const refusal = this.#refusal(key, true) ?? pairError(key, given, context.limits.pairBytesMax);
    if (refusal !== undefined) {
      done(refusal, undefined);
      return;
    }
    context.tally.writes++;
    const rowKey = rowKeyOf(key);
    const plan = context.plans.of(rowKeySlot(rowKey));
    const policy = this.#policyOf(key, options, forwarded);
    const body = policy.ttlMs === undefined ? given : withDefaultExpiry(given, policy, context.wall());
    const deadline = this.#deadline(options);
    let seen: CausalContext | undefined;
    if (options.context !== undefined || isSiblingsPolicy(policy)) {
      try {
        seen = context.siblings.seen(context, rowKey, options.context);
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        done(error, undefined);
        return;
      }
      if (!isSiblingsPolicy(policy)) seen = undefined;
    }
    const alone = plan.remotesLive.length === 0 && this.#canStandIn(plan, policy, policy.w);
    // What a replica holds is the ground for a sibling: one that may have forgotten something must not lay it.
    const grounded =
      seen === undefined ||
      context.vouching.mayAnswer(rowKeySlot(rowKey), false) ||
      context.mutants.has('sibling-on-lost-ground');
    const isOther = plan.selfIsTarget && !plan.selfIsReplica;
    const may = plan.selfIsReplica ? grounded : forwarded ? isOther : alone;
    if (may) {
      new WriteFlight(context, rowKey, body, plan, policy, deadline, done, seen).start(false);
    } else if (forwarded) {
      done(plan.selfIsReplica ? notGrounded() : this.#notAReplica('fail'), undefined);
    } else {
      const request = {
        kind: FORWARD_WRITE,
        key,
        policy,
        targets: plan.remotesLive,
        repeatable: false,
        body: (writer: Parameters<typeof writeWriteCall>[0]) =>
          writeWriteCall(writer, body, options.context ?? BYTES_EMPTY),
      };
      new ForwardFlight(context, request, deadline, (error) => {
        const now = this.#standInAfter(error, rowKey, policy, policy.w);
        if (now === undefined) done(error, undefined);
        else new WriteFlight(context, rowKey, body, now, policy, deadline, done, seen).start(false);
      }).start();
    }
  }

  update(
    key: ByteString,
    operation: string,
    args: readonly Uint8Array[],
    options: RequestOptions,
    forwarded: boolean,
    done: UpdateDone,
  ): void {
    const context = this.#context;
    const apply = this.#updates.get(operation);
    const refusal =
      this.#refusal(key, true) ??
      argumentsError(args) ??
      (apply === undefined
        ? new CodedError(
            'unsupported',
            'fail',
            `this node does not know the update '${operation}'; nothing was written`,
          )
        : undefined);
    if (refusal !== undefined || apply === undefined) {
      done(refusal, null, undefined);
      return;
    }
    context.tally.updates++;
    const rowKey = rowKeyOf(key);
    const plan = context.plans.of(rowKeySlot(rowKey));
    const policy = this.#policyOf(key, options, forwarded);
    const deadline = this.#deadline(options);
    const needed = Math.max(policy.r, policy.w);
    const alone = plan.primary === undefined && this.#canStandIn(plan, policy, needed);
    const here = plan.selfIsReplica ? plan.primary : alone ? plan.standIns[0] : undefined;
    if (here === context.self || (forwarded && (plan.selfIsTarget || alone))) {
      this.#updateHere(key, rowKey, { policy, apply, args, deadline, done });
    } else if (forwarded) {
      done(this.#notAReplica('fail'), null, undefined);
    } else {
      // Without any replica the first stand-in is where updates of the key meet.
      const live = plan.replicas.filter((id) => plan.remotesLive.includes(id));
      const targets = alone ? plan.standIns.slice(0, 1) : live;
      const request = {
        kind: FORWARD_UPDATE,
        key,
        policy,
        targets,
        repeatable: false,
        body: (writer: Parameters<typeof writeUpdateCall>[0]) => writeUpdateCall(writer, operation, args),
      };
      new ForwardFlight(context, request, deadline, (error, _row, reply) => {
        const now = this.#standInAfter(error, rowKey, policy, needed);
        if (now === undefined) done(error, reply, undefined);
        else this.#updateHere(key, rowKey, { policy, apply, args, deadline, done });
      }).start();
    }
  }

  #updateHere(key: ByteString, rowKey: RowKey, update: QueuedUpdate): void {
    if (update.deadline <= this.#context.now()) {
      update.done(deadlineError(this.#context, 'update', 'fail'), null, undefined);
      return;
    }
    this.#rounds.enqueue(key, rowKey, update);
  }
}

/** For a write under `siblings` at a replica that does not vouch for what it holds: another may. */
function notGrounded(): CodedError {
  const message = 'this replica is just starting, or being made whole; nothing was written; use another node';
  return new CodedError('unavailable', 'fail', message);
}

/** The error for arguments that no frame should carry, or undefined. */
function argumentsError(args: readonly Uint8Array[]): CodedError | undefined {
  let size = 0;
  for (const arg of args) size += arg.length;
  if (size <= argumentBytesMax) return undefined;
  return new CodedError(
    'pair-too-large',
    'fail',
    `the arguments are ${size} bytes together and the limit is ${argumentBytesMax}; nothing was written`,
  );
}
