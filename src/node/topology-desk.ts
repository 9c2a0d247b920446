/**
 * The topology desk: learns, keeps and hands on the epochs of the topology, and votes on the next one.
 *
 * The picture: the keeper of the village register. A page he is shown he first copies into his own book (the
 * disk), and only then lives by it; by the number that everybody wears he sees who has not copied it yet, and
 * shows it to him. Pages are proposed by the driver (`topology-driver.ts`), voted on with a notebook
 * (`topology-votes.ts`) and spread by looking round (`topology-watch.ts`). The rules, and why nothing is lost by
 * them, are in docs/design/topology.md.
 *
 * An epoch goes into force here in this order: its note is durable; those who go by it are told, and have a
 * moment to say that they know (they hear nothing from us afterwards); the node adopts it; gossip says that this
 * node knows it. A node that is not a member any more takes no requests first, finishes those under way, and stays
 * for those who have not turned the page (`topology-farewell.ts`).
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { AcceptorAnswer } from '../paxos/acceptor.ts';
import type { Ballot } from '../paxos/ballot.ts';
import type { Random } from '../ports/random.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import { decodeTopology, encodedEpoch, encodeTopology } from '../topology/codec.ts';
import type { TopologyRequest } from '../topology/request.ts';
import type { Topology } from '../topology/topology.ts';
import { FAMILY_TOPOLOGY } from '../wire/messages.ts';
import {
  readAccept,
  readAnswer,
  readAsk,
  readPrepare,
  readTopology,
  TOPOLOGY_ACCEPT,
  TOPOLOGY_ACCEPTED,
  TOPOLOGY_ASK,
  TOPOLOGY_PREPARE,
  TOPOLOGY_PROMISE,
  TOPOLOGY_REFUSED,
  TOPOLOGY_TOPOLOGY,
  writeAccept,
  writeAnswer,
  writePrepare,
} from '../wire/topology-messages.ts';
import type { TopologyDone } from './api.ts';
import type { NodeContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { Link } from './links.ts';
import { PAST_WAIT_MS } from './past-desk.ts';
import { TopologyDriver } from './topology-driver.ts';
import { type Coming, Farewell } from './topology-farewell.ts';
import { storedTopology, topologyKey, topologyNote } from './topology-note.ts';
import { TopologyVotes } from './topology-votes.ts';
import { canRead, TopologyWatch } from './topology-watch.ts';

export { knownTopology } from './topology-note.ts';

const tickMs = 20;
/** A note that could not be stored is handed to storage again after so long, milliseconds. */
const storeAgainMs = 500;

/** What the desk needs of its node. */
export interface TopologyNeighbours {
  /** Puts an epoch in force here; this node may be no member of it. */
  adopt(topology: Topology): void;
  /** Whether this node has done, durably, all that the epoch in force asks of it. */
  isSettled(): boolean;
  /** How many members did not say yet what they remember of this node's disk. */
  unheard(): number;
  /** Whether requests are under way that clients wait for. */
  isBusy(): boolean;
  /** What gossip says of this node changed. */
  factsChanged(): void;
  /** `refusal` changed. */
  servingChanged(): void;
  /** Asks for the end of the turn. */
  wake(): void;
}

export class TopologyDesk implements Desk {
  readonly family: number = FAMILY_TOPOLOGY;
  readonly #context: NodeContext;
  readonly #storage: Storage;
  readonly #neighbours: TopologyNeighbours;
  readonly #votes: TopologyVotes;
  readonly #watch: TopologyWatch;
  readonly #driver: TopologyDriver;
  readonly #farewell: Farewell;
  #coming: Coming | undefined = undefined;
  /** The bytes of the epoch in force, once they were asked for. */
  #value: Uint8Array | undefined = undefined;
  #epoch = 0;
  #settledEpoch = 0;
  #refusal: string | undefined = undefined;
  #hasLeft = false;
  /** What storage remembered of the topology was damaged. */
  #isDamaged = false;
  #isStarted = false;
  #startedAt = 0;
  #tickAt = 0;
  #started: ((error?: CodedError) => void) | undefined = undefined;

  constructor(context: NodeContext, storage: Storage, random: Random, neighbours: TopologyNeighbours) {
    this.#context = context;
    this.#storage = storage;
    this.#neighbours = neighbours;
    this.#watch = new TopologyWatch(context);
    this.#votes = new TopologyVotes(context, () => neighbours.unheard());
    this.#farewell = new Farewell(context, this.#watch, () => neighbours.isBusy());
    this.#driver = new TopologyDriver(context, random, {
      prepare: (to, epoch, ballot) => {
        const writer = this.#writerTo(to);
        if (to === context.self) this.#voteOwn(epoch, ballot, undefined);
        else if (writer !== undefined) writePrepare(writer, epoch, ballot);
      },
      accept: (to, epoch, ballot, value) => {
        const writer = this.#writerTo(to);
        if (to === context.self) this.#voteOwn(epoch, ballot, value);
        else if (writer !== undefined) writeAccept(writer, epoch, ballot, value);
      },
      chosen: (topology, value) => this.#chosen(topology, value),
      settledEpoch: () => this.#settledEpoch,
      refusal: () => this.#refusal,
      isComing: () => this.#coming !== undefined,
      mustRenew: () => this.#votes.mustRenew,
    });
  }

  // What others are told.

  /** The epoch this node goes by, durably. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The greatest epoch of which nothing is left to do here, durably. */
  get settledEpoch(): number {
    return this.#settledEpoch;
  }

  /** Why this node takes no requests, in words; undefined if it does. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** This node has no part in the next epoch and has shown that it knows, or is no member any more: it begins nothing. */
  get isGoing(): boolean {
    return this.#hasLeft || this.#farewell.isGoing;
  }

  /** Nothing is under way that ticks bring forward. */
  get isQuiet(): boolean {
    return this.#coming === undefined && this.#driver.isQuiet;
  }

  /** See `NodeApi.changeTopology`. */
  request(request: TopologyRequest, done: TopologyDone): void {
    if (this.#started !== undefined || !this.#isStarted) {
      done(new CodedError('unavailable', 'fail', 'this node is starting; nothing was changed'), undefined);
      return;
    }
    this.#driver.ask(request, done);
  }

  // Start and stop.

  /** Reads what was kept; `done` when this node knows what the members it reaches know. */
  start(done: (error?: CodedError) => void): void {
    const { topology, log, now } = this.#context;
    this.#votes.start(this.#storage);
    const { topology: known, isDamaged } = storedTopology(this.#storage);
    this.#isDamaged = isDamaged;
    if (isDamaged) {
      log.write('alarm', 'topology-damaged', {
        meaning: 'what this node knew of the topology could not be read: it asks the other members',
      });
    }
    this.#isStarted = true;
    this.#startedAt = now();
    this.#started = done;
    // A founding epoch is made of the configuration at each start.
    if (topology.epoch <= (known?.epoch ?? 1)) {
      this.#inForce();
      this.#open(this.#startedAt);
      return;
    }
    const stored = (error: CodedError | undefined): void => {
      if (error !== undefined) this.#finish(error);
      else if (this.#context.topology === topology) {
        this.#inForce();
        this.#open(this.#context.now());
      }
    };
    this.#context.replica.note(topologyKey, topologyNote(this.#bytes()), { stored }, true);
  }

  /** More is missing on the disk than its last writes: what it said of votes is not to be relied upon. */
  forgetVotes(): void {
    this.#votes.forget();
  }

  /** Takes no more requests, and answers those under way. */
  stop(): void {
    this.#driver.stop();
  }

  /** The start is done once those who are live were heard, and nobody who is reached knows a later epoch. */
  #open(now: number): void {
    if (this.#started === undefined || this.#epoch === 0) return;
    const waitedMs = now - this.#startedAt;
    if (!this.#isAllHeard(waitedMs)) return;
    const ahead = this.#watch.epochMax - this.#epoch;
    // One page behind is no harm; but it hardly takes any time to copy it.
    if (ahead <= 0 || (ahead === 1 && waitedMs >= 3 * PAST_WAIT_MS)) this.#finish(undefined);
  }

  #isAllHeard(waitedMs: number): boolean {
    let all = true;
    let live = true;
    for (const link of this.#context.links.all()) {
      if (this.#watch.isHeard(link)) continue;
      all = false;
      if (link.live) live = false;
    }
    // Without a page of one's own to go by, one that is out of date by years is no choice.
    if (this.#isDamaged && !all && !this.#watch.isAnyHeard) return false;
    return all || (live && waitedMs >= PAST_WAIT_MS) || waitedMs >= 3 * PAST_WAIT_MS;
  }

  #finish(error: CodedError | undefined): void {
    const started = this.#started;
    this.#started = undefined;
    started?.(error);
  }

  // Time.

  tick(now: number): void {
    if (now < this.#tickAt || !this.#isStarted) return;
    this.#tickAt = now + tickMs;
    this.#bringIntoForce(now);
    if (this.isGoing) return;
    this.#settle();
    this.#votes.tick(this.#isCaughtUp);
    this.#watch.tick(now, this.#known, this.#epoch, () => this.#bytes());
    this.#driver.tick(now);
    this.#judge();
    this.#open(now);
  }

  endTurn(): void {
    if (this.#coming !== undefined) this.#bringIntoForce(this.#context.now());
  }

  topologyChanged(): void {
    this.#watch.linksChanged();
  }

  /** A frame of a member was sent under this epoch; 0 if it does not tell. */
  heardEpoch(link: Link, epoch: number): void {
    if (!this.#watch.heard(link, epoch) || !this.#isStarted) return;
    this.#judge();
    this.#open(this.#context.now());
    // Who goes and knows it now was waited for.
    if (this.#coming !== undefined) this.#neighbours.wake();
  }

  #settle(): void {
    if (this.#settledEpoch >= this.#epoch || !this.#neighbours.isSettled()) return;
    this.#settledEpoch = this.#epoch;
    this.#neighbours.factsChanged();
  }

  /** Whether requests are taken: not by one who is more than a page behind, and not by one who goes. */
  #judge(): void {
    const refusal = this.#refusalNow;
    if (refusal === this.#refusal) return;
    const [before, { log }] = [this.#refusal, this.#context];
    this.#refusal = refusal;
    if (before === undefined && refusal !== undefined)
      log.write('warn', 'requests-refused', { why: refusal });
    else if (refusal === undefined) log.write('info', 'requests-taken', { epoch: this.#epoch });
    this.#neighbours.servingChanged();
  }

  get #refusalNow(): string | undefined {
    const { self, topology } = this.#context;
    if (!topology.has(self))
      return `this node left the cluster with epoch ${topology.epoch}: ask another node`;
    const coming = this.#coming;
    if (coming?.isStored && !coming.topology.has(self)) {
      return `this node leaves the cluster with epoch ${coming.topology.epoch}: ask another node`;
    }
    const ahead = this.#watch.epochMax;
    if (ahead <= topology.epoch + 1) return undefined;
    return `this node knows epoch ${topology.epoch} of the topology, and others epoch ${ahead}, which it asks for: try again`;
  }

  // Epochs that come.

  /** The latest epoch that is in force here, or on its way to be. */
  get #known(): number {
    return this.#coming?.topology.epoch ?? this.#context.topology.epoch;
  }

  /** The bytes of that epoch. */
  get #latest(): Uint8Array {
    return this.#coming?.value ?? this.#bytes();
  }

  /** The bytes of the epoch in force. */
  #bytes(): Uint8Array {
    this.#value ??= encodeTopology(this.#context.topology);
    return this.#value;
  }

  /**
   * An epoch that another member told, by other ways than its pipe: of use to a node that members take for a
   * stranger, and so do not talk to. An older one changes nothing.
   * @throws CodedError `protocol` for one of another cluster
   */
  learn(topology: Topology): void {
    if (this.#isStarted && !this.isGoing) this.#learn(topology, encodeTopology(topology));
  }

  /** An epoch was chosen here: everybody is told, those who go by it among them. */
  #chosen(topology: Topology, value: Uint8Array): void {
    const { links, now } = this.#context;
    if (topology.epoch <= this.#known) return;
    for (const link of links.all()) this.#watch.tell(link, now(), value);
    this.#learn(topology, value);
  }

  /** An epoch that was chosen, or forced. */
  #learn(topology: Topology, value: Uint8Array): void {
    const { topology: before, log } = this.#context;
    if (topology.epoch <= this.#known) return;
    if (topology.partitionCount !== before.partitionCount) {
      const [ours, theirs] = [before.partitionCount, topology.partitionCount];
      throw new CodedError('protocol', 'none', `a topology of ${theirs} partitions where there are ${ours}`);
    }
    const { epoch, phase } = topology;
    log.write('info', 'topology-learned', { epoch, phase, before: before.epoch });
    this.#coming = { topology, value, isStored: false, storedAt: 0, storeAgainAt: Infinity };
    this.#store(this.#coming);
  }

  #store(coming: Coming): void {
    coming.storeAgainAt = Infinity;
    const stored = (error: CodedError | undefined): void => {
      if (coming !== this.#coming) return;
      const now = this.#context.now();
      if (error === undefined) {
        coming.isStored = true;
        coming.storedAt = now;
        this.#judge();
      } else coming.storeAgainAt = now + storeAgainMs;
      this.#neighbours.wake();
    };
    this.#context.replica.note(topologyKey, topologyNote(coming.value), { stored }, true);
  }

  /** Puts the epoch that comes in force, once everything is as it must be. */
  #bringIntoForce(now: number): void {
    const coming = this.#coming;
    if (coming === undefined) return;
    if (now >= coming.storeAgainAt) this.#store(coming);
    if (!coming.isStored || !this.#farewell.isOver(coming, now)) return;
    this.#coming = undefined;
    this.#value = coming.value;
    this.#isDamaged = false;
    const { topology } = coming;
    this.#neighbours.adopt(topology);
    this.#votes.turnTo(topology.epoch);
    this.#inForce();
    this.#judge();
    if (topology.has(this.#context.self)) this.#driver.topologyChanged(now);
    else this.#leave(topology);
  }

  /** What is in force is durable: others are told so. */
  #inForce(): void {
    this.#epoch = this.#context.topology.epoch;
    if (this.#neighbours.isSettled()) this.#settledEpoch = this.#epoch;
    this.#neighbours.factsChanged();
  }

  #leave(topology: Topology): void {
    this.#hasLeft = true;
    this.#driver.stop();
    this.#finish(new CodedError('unavailable', 'none', this.#refusal ?? 'this node left the cluster'));
    const { change } = topology;
    const wasAsked = change?.kind === 'leave' && change.nodes.includes(this.#context.self);
    this.#context.log.write(wasAsked ? 'info' : 'alarm', 'left-cluster', {
      epoch: topology.epoch,
      meaning: 'this node is no member any more: its process can be ended, and its data deleted',
    });
  }

  // Messages.

  message(link: Link, type: number, _id: number, reader: ByteReader): void {
    if (type === TOPOLOGY_PREPARE) {
      const { epoch, ballot } = readPrepare(reader);
      if (this.#mayVote(link, epoch)) {
        this.#votes.prepare(ballot, (answer) => this.#send(link, epoch, answer));
      }
    } else if (type === TOPOLOGY_ACCEPT) {
      const { epoch, ballot, value } = readAccept(reader);
      if (this.#mayVote(link, epoch)) {
        this.#votes.accept(ballot, value, (answer) => this.#send(link, epoch, answer));
      }
    } else if (type === TOPOLOGY_PROMISE || type === TOPOLOGY_ACCEPTED || type === TOPOLOGY_REFUSED) {
      const { epoch, answer } = readAnswer(type, reader);
      this.#driver.answered(link.member.id, epoch, answer);
    } else if (type === TOPOLOGY_TOPOLOGY) {
      const value = readTopology(reader);
      const epoch = encodedEpoch(value);
      const isNews = epoch === 0 || epoch > this.#known;
      if (isNews && this.#isStarted && !this.isGoing) this.#learn(decodeTopology(value), value);
    } else if (type === TOPOLOGY_ASK) {
      const epoch = readAsk(reader);
      if (this.#known > epoch) this.#watch.tell(link, this.#context.now(), this.#latest);
    } else throw new CodedError('protocol', 'none', `topology message of unknown type ${type}`);
  }

  /** Whether to vote on an epoch that a member asks about; if it is not the next one, one of both is behind. */
  #mayVote(link: Link, epoch: number): boolean {
    const now = this.#context.now();
    if (!this.#isStarted || this.#hasLeft) return false;
    if (epoch <= this.#known) {
      this.#watch.tell(link, now, this.#latest);
      return false;
    }
    if (epoch > this.#known + 1) {
      this.#watch.ask(link, this.#known);
      return false;
    }
    return this.#canVote(epoch);
  }

  /** Whether this node may vote on an epoch: the next one, if nobody who is reached knows better. */
  #canVote(epoch: number): boolean {
    return epoch === this.#epoch + 1 && this.#isCaughtUp && this.#votes.mayVote;
  }

  /** Whether nobody who is reached knows a later epoch. */
  get #isCaughtUp(): boolean {
    if (this.#coming !== undefined || this.#started !== undefined) return false;
    return this.#watch.epochMax <= this.#epoch;
  }

  /** The vote of this node for its own proposal. */
  #voteOwn(epoch: number, ballot: Ballot, value: Uint8Array | undefined): void {
    if (!this.#canVote(epoch)) return;
    const done = (answer: AcceptorAnswer): void => this.#driver.answered(this.#context.self, epoch, answer);
    if (value === undefined) this.#votes.prepare(ballot, done);
    else this.#votes.accept(ballot, value, done);
  }

  #send(link: Link, epoch: number, answer: AcceptorAnswer): void {
    const writer = this.#writerTo(link.member.id);
    if (writer !== undefined) writeAnswer(writer, epoch, answer);
  }

  #writerTo(id: NodeId): ByteWriter | undefined {
    const link = this.#context.links.get(id);
    return link !== undefined && canRead(link) ? this.#context.links.writer(link) : undefined;
  }
}
