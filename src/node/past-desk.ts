/**
 * The past desk: is this node's disk the one it had?
 *
 * A disk that was lost, that came back from an older copy, or that lost its last writes looks healthy and
 * is not: the node would reuse dots, bring deleted rows back, and say "no such row" of what it acknowledged.
 * The picture: someone wakes up in a hospital and asks each visitor "when did we last meet?". If one of them
 * remembers a later day than he does, he knows that days are missing; if nobody ever met him, he is new.
 *
 * At each start the node asks (ASK) and every member tells what it remembers of it (TELL, `past-memory.ts`).
 * Until all live members told, or a bounded time has passed, the node issues no stamps and answers no reads.
 * If a member remembers more than the disk does, the node takes a new actor, durably, raises its
 * *generation*, and vouches for no partition until it was rebuilt (`rebuild.ts`). Once it is sure of itself
 * it tells the others now and then how far its disk has come (MARK): that is what they remember.
 *
 * A disk without an identity is *new*: allowed to answer as soon as nobody live contradicts, but not in a
 * linearizable read before every other replica said that it never met this node.
 */

import type { ByteReader } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Random } from '../ports/random.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import { VOUCH_LOOSE, VOUCH_NONE, vouchingKey } from '../replica/vouching.ts';
import { compareStamps, encodeStamp } from '../rows/row.ts';
import type { Topology } from '../topology/topology.ts';
import { FAMILY_PAST } from '../wire/messages.ts';
import type { Past } from '../wire/past-messages.ts';
import {
  PAST_ASK,
  PAST_MARK,
  PAST_TELL,
  readPast,
  readPastTell,
  writePastAsk,
  writePastMark,
  writePastTell,
} from '../wire/past-messages.ts';
import type { NodeContext } from './context.ts';
import { isTooFarAhead } from './context.ts';
import type { Desk } from './desk.ts';
import type { Identity } from './identity.ts';
import type { Link } from './links.ts';
import { baselinesKey, isOtherDisk, lossOf, lossOfAll, PastBaselines } from './past-baselines.ts';
import { PastVisitors, type Visitor } from './past-visitors.ts';
import type { Rebuild } from './rebuild.ts';

/** How long a start waits for the other members' word, milliseconds; three times that for one that is live. */
export const PAST_WAIT_MS = 1000;

const tickMs = 50;
const askEveryMs = 200;
/** A mark that changed is told this often, milliseconds, to a few members at a time. */
const markEveryMs = 200;
const storeEveryMs = 1000;
const lossRetryMs = 500;

/** What this node knows of its own disk, for status and metrics. */
export interface PastFigures {
  /** `sure`; `asking`: the others are not heard yet; `new`, `lost`: partitions have to be vouched for first. */
  readonly state: 'sure' | 'asking' | 'new' | 'lost';
  /** How often this node lost its disk. */
  readonly generation: number;
  /** Members that did not tell this life what they remember: one of them may know of a loss. */
  readonly unheard: number;
  /** Partitions this node is a replica of and answers no reads of, and only those that are not linearizable. */
  readonly partitionsNone: number;
  readonly partitionsLoose: number;
  /** Of the partitions of this node, those that are whole. */
  readonly partitionsFull: number;
  /** Rows taken over by the rebuild so far. */
  readonly rows: number;
  /** Wall time since when, milliseconds; 0 while the state is `sure`. */
  readonly sinceWall: number;
  /** What happened, in words; empty while nothing did. */
  readonly reason: string;
}

/** Where the disk stood when it was opened, as a member might remember it. */
function pastOf({ opened }: Identity): Past {
  const { generation, actor, reserved, mark } = opened;
  return { generation, actor, reserved, time: mark.time, logical: mark.logical };
}

export class PastDesk implements Desk {
  readonly family: number = FAMILY_PAST;
  readonly #context: NodeContext;
  readonly #random: Random;
  readonly #storage: Storage;
  readonly #rebuild: Rebuild;
  readonly #baselines: PastBaselines = new PastBaselines();
  /** Somebody was heard, and the note does not say so yet. */
  #baselinesDirty = false;
  readonly #visitors: PastVisitors;
  /** Comes back with each TELL: answers to a former life count for nothing. */
  readonly #askId: number;
  #done: ((error?: CodedError) => void) | undefined = undefined;
  #startedAt = 0;
  #tickAt = 0;
  #storeAt = 0;
  #markAt = 0;
  /** The first counters are reserved. */
  #isReserved = false;
  #isSettled = false;
  /** This life's identity is durable: the others may be told. */
  #mayMark = false;
  /** The loss could not be made durable (a full disk): tried again from then on. */
  #lossRetryAt: number = Number.POSITIVE_INFINITY;
  /** This life found out that rows are missing. */
  #isLossKnown = false;
  /** The disk said so itself, or its own notes did: as far as that goes its last writes are gone, if anything. */
  #hasLostLast = false;
  /** It is not only the last writes: what the disk was told to keep through a power loss is gone too. */
  #hasLostAll = false;
  /** Called whenever a loss of that kind is made durable, before the batch is handed over. */
  onAllLost: (() => void) | undefined = undefined;
  /** Nobody was heard when the start went on: monotonic time until which strict reads wait for the first. */
  #firstWordUntil = Number.POSITIVE_INFINITY;
  #isAlone = false;
  /** Highest generation a member remembers of us. */
  #generationTold = -1;
  #reason = '';

  constructor(context: NodeContext, random: Random, storage: Storage, rebuild: Rebuild) {
    this.#context = context;
    this.#random = random;
    this.#storage = storage;
    this.#rebuild = rebuild;
    this.#askId = random.u32();
    this.#visitors = new PastVisitors(context.links.all());
  }

  /** Reads what the disk says of itself; `done` when stamps may be issued and reads answered. */
  start(done: (error?: CodedError) => void): void {
    const { identity, vouching, past, replica } = this.#context;
    this.#done = done;
    this.#startedAt = this.#context.now();
    identity.open(this.#storage, this.#random);
    identity.isAllTold = this.#visitors.isAllTold;
    past.load(this.#storage);
    const heldAgainst = this.#baselines.load(this.#storage, this.#visitors.ids(), pastOf(identity));
    const intact = vouching.load(this.#storage) && heldAgainst && replica.areNotesIntact;
    const { isNew, isDamaged } = identity.opened;
    const reserved = (error?: CodedError): void => this.#reserved(error);
    const loss = this.#storage.loss;
    this.#hasLostLast = loss !== undefined || isDamaged || !intact;
    if (loss !== undefined) this.#lose(loss);
    else if (isDamaged || !intact) this.#lose('a note that this node keeps about itself fails its checksum');
    else {
      if (isNew) this.#beNew();
      else if (!vouching.isFull) this.#rebuild.restart();
      this.#noteBaselines();
      identity.start(replica, reserved);
    }
  }

  #reserved(error: CodedError | undefined): void {
    if (error === undefined) {
      this.#isReserved = true;
      this.#settleIfHeard();
    } else if (!this.#isSettled) {
      this.#finish(error);
    }
  }

  /** The disk is not the one this node had: a new actor, and nothing is vouched for. */
  #lose(reason: string): void {
    const context = this.#context;
    const { identity, vouching, replica } = context;
    this.#isLossKnown = true;
    this.#isReserved = false;
    this.#mayMark = false;
    this.#reason = reason;
    const actorBefore = identity.actor;
    identity.generation = Math.max(identity.opened.generation, this.#generationTold) + 1;
    vouching.lose('lost', this.#rebuild.partitions, context.wall());
    replica.forgetHorizons();
    if (!context.mutants.has('actor-kept-after-loss')) identity.renew(this.#random);
    this.#noteLoss();
    this.#beginBaselines();
    this.#rebuild.restart();
    context.log.write('alarm', 'disk-lost-rows', {
      reason,
      meaning:
        this.#rebuild.partitions.length === 0
          ? 'this node has not all the rows it acknowledged, and no other replica holds them: it goes on with what is left'
          : 'this node has not all the rows it acknowledged: it writes under a new actor, answers no reads of ' +
            'what it cannot vouch for, and is made whole from the other replicas by itself',
      actorBefore: actorBefore.toString(16),
      actor: identity.actor.toString(16),
      generation: identity.generation,
      partitions: this.#rebuild.partitions.length,
    });
  }

  /** Makes the loss durable, and the first counters of the new actor, in one batch. */
  #noteLoss(): void {
    const { identity, vouching, replica } = this.#context;
    const note = vouching.note();
    if (note !== undefined) replica.note(vouchingKey, note, { stored: () => {} });
    if (this.#hasLostAll) this.onAllLost?.();
    identity.start(replica, (error) => {
      if (error === undefined) this.#storage.lossNoted?.();
      else this.#lossRetryAt = this.#context.now() + lossRetryMs;
      this.#reserved(error);
    });
  }

  // Messages.

  message(link: Link, type: number, id: number, reader: ByteReader): void {
    const { past, replica, links } = this.#context;
    const peer = link.member.id;
    if (type === PAST_ASK) {
      const told = past.tell(peer, id);
      const writer = links.writer(link);
      if (writer !== undefined) writePastTell(writer, id, replica.floor, told);
    } else if (type === PAST_TELL) {
      const { floor, past: told } = readPastTell(reader);
      if (id === this.#askId) this.#told(peer, floor, told);
    } else if (type === PAST_MARK) {
      past.marked(peer, readPast(reader));
      if (past.isUrgent) past.store(replica);
    } else {
      throw new CodedError('protocol', 'none', `message of unknown type ${type}`);
    }
  }

  /** A member told what it remembers of us. */
  #told(peer: NodeId, floor: Uint8Array, past: Past | undefined): void {
    const visitor = this.#visitors.get(peer);
    if (visitor === undefined || visitor.told) return;
    const context = this.#context;
    visitor.told = true;
    this.#rebuild.told(peer);
    const baseline = this.#baselines.of(peer);
    this.#baselines.heard(peer);
    if (compareStamps(floor, context.replica.floor) > 0 && !isTooFarAhead(context, floor)) {
      context.identity.observe(floor);
      context.replica.raiseFloor(floor, undefined);
    }
    if (past === undefined) this.#rebuild.cleared(peer);
    else if (baseline !== undefined) this.#judge(peer, past, baseline);
    context.identity.isAllTold = this.#visitors.isAllTold;
    // At once: rows that are acknowledged to it from now on are remembered, and durable not before this.
    this.#noteBaselines();
    if (this.#isAlone) this.#heardFirst();
    this.#settleIfHeard();
  }

  #judge(peer: NodeId, past: Past, baseline: Past): void {
    const context = this.#context;
    const { identity } = context;
    // Stamps go on above those of the life that is lost.
    const { time, logical } = past;
    const stamp = encodeStamp({ time, logical, actor: 0, counter: 0 });
    if (!isTooFarAhead(context, stamp)) identity.observe(stamp);
    const loss = identity.opened.isNew ? lossOfAll(peer) : lossOf(peer, past, baseline);
    this.#generationTold = Math.max(this.#generationTold, past.generation);
    if (loss === undefined) {
      // It knows this life and none before it.
      if (past.generation === baseline.generation) this.#rebuild.cleared(peer);
      return;
    }
    const hadLostAll = this.#hasLostAll;
    this.#hasLostAll ||= identity.opened.isNew || this.#isOtherDisk(peer, past);
    if (this.#isLossKnown && this.#hasLostAll && !hadLostAll) this.onAllLost?.();
    if (!this.#isLossKnown) {
      this.#lose(loss);
    } else if (past.generation >= identity.generation) {
      // The loss is known; this member remembers a life that the others did not.
      identity.generation = past.generation + 1;
      this.#mayMark = false;
      this.#beginBaselines();
      identity.note(context.replica, (error) => {
        if (error === undefined && this.#isSettled) this.#mayMark = true;
      });
    }
  }

  /** Whether more is missing now, by a member's memory, than the disk's last writes: not only rows of a former life. */
  #isOtherDisk(peer: NodeId, past: Past): boolean {
    const opened = pastOf(this.#context.identity);
    return lossOf(peer, past, opened) !== undefined && (!this.#hasLostLast || isOtherDisk(past, opened));
  }

  // Settling.

  /** Goes on once everybody who is live was heard and the time to become live is over, or all were heard. */
  #settleIfHeard(): void {
    if (this.#isSettled) {
      // A loss found later: the new actor may be told once it is durable.
      if (this.#isReserved) this.#mayMark = true;
      return;
    }
    if (!this.#isReserved) return;
    const waitedMs = this.#context.now() - this.#startedAt;
    let all = true;
    let live = true;
    for (const link of this.#context.links.all()) {
      if (this.#visitors.get(link.member.id)?.told) continue;
      all = false;
      if (link.live) live = false;
    }
    if (all || (live && waitedMs >= PAST_WAIT_MS) || waitedMs >= 3 * PAST_WAIT_MS) this.#settle();
  }

  #settle(): void {
    const { identity, vouching, replica } = this.#context;
    this.#isSettled = true;
    identity.isSettled = true;
    this.#isAlone = this.#visitors.size > 0 && this.#visitors.where(true).length === 0;
    vouching.setUnsure(false, false);
    identity.note(replica, (error) => {
      if (error === undefined && this.#isReserved) this.#mayMark = true;
      this.#finish(error);
    });
  }

  #finish(error: CodedError | undefined): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(error);
  }

  /** A node that was the only member has others now: what was true of a start without them is true again. */
  #isAloneAgain(): void {
    this.#isAlone = true;
    this.#firstWordUntil = Number.POSITIVE_INFINITY;
  }

  /** Nobody has been on this disk before, as far as it knows: linearizable reads wait for what the others say. */
  #beNew(): void {
    const { vouching, replica, wall } = this.#context;
    vouching.lose('new', this.#rebuild.partitions, wall());
    const note = vouching.note();
    if (note !== undefined) replica.note(vouchingKey, note, { stored: () => {} });
  }

  /** A node that went on alone meets somebody: linearizable reads wait until that one told what it knows. */
  #metFirst(): void {
    if (this.#firstWordUntil !== Number.POSITIVE_INFINITY) return;
    this.#firstWordUntil = this.#context.now() + PAST_WAIT_MS;
    this.#context.vouching.setUnsure(false, true);
  }

  #heardFirst(): void {
    this.#isAlone = false;
    this.#context.vouching.setUnsure(false, false);
  }

  /** Whoever was not heard yet can only remember lives before this one. */
  #beginBaselines(): void {
    const { generation, actor } = this.#context.identity;
    this.#baselines.begin({ generation, actor, reserved: 0, time: 0, logical: 0 });
    this.#noteBaselines();
  }

  /** Stores who was heard; only then may they remember more of us. */
  #noteBaselines(): void {
    this.#baselinesDirty = false;
    const heard = this.#visitors.where(true);
    this.#context.replica.note(baselinesKey, this.#baselines.note(), {
      stored: (error) => {
        if (error !== undefined) this.#baselinesDirty = true;
        else for (const visitor of heard) visitor.isNoted = true;
      },
    });
  }

  // Time and members.

  livenessChanged(link: Link): void {
    const visitor = this.#visitors.get(link.member.id);
    if (visitor === undefined) return;
    this.#checkPipe(visitor);
    if (!link.live) return;
    if (!visitor.told && this.#isAlone) this.#metFirst();
    this.#ask(visitor, this.#context.now());
  }

  /** A broken pipe may end a life at the other end, and what was on its way to it. */
  #checkPipe(visitor: Visitor): void {
    const { link } = visitor;
    if (link.generation === visitor.generation) return;
    visitor.generation = link.generation;
    visitor.marked = undefined;
  }

  #ask(visitor: Visitor, now: number): void {
    if (visitor.told || !visitor.link.up) return;
    const writer = this.#context.links.writer(visitor.link);
    if (writer === undefined) return;
    visitor.askedAt = now;
    writePastAsk(writer, this.#askId);
  }

  /** A card that grew with rows of this turn is stored with them. */
  endTurn(): void {
    if (this.#context.past.isUrgent) this.#context.past.store(this.#context.replica);
  }

  /**
   * Members came and went. Who goes is not waited for any more. Who comes is asked like everybody else, unless it told
   * this life before it went, or all told already: then this disk is known to be the one this node had, so it knows every epoch a life before this
   * one knew, and none of them can have met the newcomer.
   */
  topologyChanged(_before: Topology, topology: Topology): void {
    const { identity, vouching, links } = this.#context;
    this.#rebuild.topologyChanged(topology);
    const wasAlone = this.#visitors.size === 0;
    const areStrangers = this.#isSettled && !wasAlone && this.#visitors.isAllTold;
    const { came, went } = this.#visitors.follow(links.all());
    for (const id of went) this.#baselines.heard(id);
    for (const visitor of came) {
      const { id } = visitor.link.member;
      visitor.told ||= areStrangers;
      visitor.isNoted = visitor.told;
      if (visitor.told) this.#rebuild.told(id);
      else this.#baselines.add(id);
    }
    if (came.length + went.length === 0) return;
    identity.isAllTold = this.#visitors.isAllTold;
    this.#noteBaselines();
    if (this.#isSettled && wasAlone && came.length > 0) this.#isAloneAgain();
    if (wasAlone && identity.opened.isNew && vouching.reason === undefined) this.#beNew();
    if (!this.#isSettled) this.#settleIfHeard();
  }

  tick(now: number): void {
    if (this.#isSettled && this.#isReserved) this.#rebuild.tick(now);
    if (now < this.#tickAt) return;
    this.#tickAt = now + tickMs;
    for (const visitor of this.#visitors.all()) {
      this.#checkPipe(visitor);
      if (!visitor.told && now - visitor.askedAt >= askEveryMs) this.#ask(visitor, now);
    }
    if (now >= this.#lossRetryAt) {
      this.#lossRetryAt = Number.POSITIVE_INFINITY;
      this.#noteLoss();
    }
    if (this.#baselinesDirty) this.#noteBaselines();
    if (this.#mayMark && now >= this.#markAt) {
      this.#markAt = now + markEveryMs;
      this.#markSome(now);
    }
    if (!this.#isSettled) this.#settleIfHeard();
    else if (this.#isAlone && now >= this.#firstWordUntil) this.#heardFirst();
    if (now >= this.#storeAt || this.#context.past.isUrgent) {
      this.#storeAt = now + storeEveryMs;
      this.#context.past.store(this.#context.replica);
    }
  }

  /** Tells those who were not told for longest. */
  #markSome(now: number): void {
    const { generation, actor, reserved, markDurable } = this.#context.identity;
    const { time, logical } = markDurable;
    const past: Past = { generation, actor, reserved, time, logical };
    for (const visitor of this.#visitors.dueForMark(past, now)) {
      const writer = this.#context.links.writer(visitor.link);
      if (writer === undefined) continue;
      visitor.marked = past;
      visitor.markedAt = now;
      writePastMark(writer, past);
    }
  }

  /** What gossip says of it: since when this node is rebuilt after a loss, wall milliseconds; 0 when it is not. */
  get rebuildingSince(): number {
    const { reason, sinceWall } = this.#context.vouching;
    return reason === 'lost' ? sinceWall : 0;
  }

  /** How many members did not tell this life what they remember. */
  get unheard(): number {
    return this.#visitors.where(false).length;
  }

  figures(): PastFigures {
    const { identity, vouching } = this.#context;
    const partitions = this.#rebuild.partitions.length;
    const partitionsNone = vouching.count(VOUCH_NONE);
    const partitionsLoose = vouching.count(VOUCH_LOOSE);
    const state = this.#isSettled ? (vouching.reason ?? 'sure') : 'asking';
    return {
      state,
      generation: identity.generation,
      unheard: this.#visitors.where(false).length,
      partitionsNone,
      partitionsLoose,
      partitionsFull: Math.max(0, partitions - partitionsNone - partitionsLoose),
      rows: this.#rebuild.rows,
      sinceWall: vouching.reason === undefined ? 0 : vouching.sinceWall,
      reason: this.#reason,
    };
  }
}
