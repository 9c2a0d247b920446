/**
 * Links: the other members as this node meets them, and the frames being filled for them.
 *
 * A member is *live* while our pipe to it is open and membership (`src/membership`) has no reason to
 * avoid it. The picture: membership is the watchman who says whom to call and what he makes of the
 * silence; the links are the telephone. Messages of a turn go into one frame a peer, sealed and handed to
 * the transport at the end of the turn. Liveness is about whom to ask; it never changes who owns what.
 */

import { assert } from '../base/assert.ts';
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { Liveness } from '../coordinator/plan.ts';
import type { Facts } from '../membership/entry.ts';
import { Membership, type MembershipActions, type PeerView } from '../membership/membership.ts';
import { membershipTimes } from '../membership/times.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { NodeId, Transport } from '../ports/transport.ts';
import { STAMP_NONE } from '../rows/row.ts';
import {
  isFrameEmpty,
  openFrame,
  PROTOCOL_VERSION,
  PROTOCOL_VERSION_TOPOLOGY,
  sealFrameInPlace,
} from '../wire/frame.ts';
import { writeGossipHeard, writeGossipProbe } from '../wire/gossip-messages.ts';
import { writePingHead, writePongHead } from '../wire/messages.ts';
import { ClockJury } from './clock-jury.ts';
import { Link, NO_NUMBER } from './link.ts';
import type { Member, NodeLimits } from './options.ts';

export type { Link } from './link.ts';

/** A frame this full is sent before the turn ends. */
const frameBytesFull = 1024 * 1024;

export interface LinkEvents {
  /** A member became live, or ceased to be. */
  livenessChanged(link: Link): void;
}

/** What the links are made from. */
export interface LinksOptions {
  readonly self: Member;
  readonly members: readonly Member[];
  /** Names this life of the node to its peers; frames are numbered over it. */
  readonly life: number;
  readonly transport: Transport;
  readonly random: Random;
  readonly limits: NodeLimits;
  readonly log: Log;
  readonly mutants: ReadonlySet<string>;
  /** Monotonic time of the start. */
  readonly now: number;
}

export class Links implements Liveness, MembershipActions {
  #self: Member;
  #links: Map<NodeId, Link> = new Map();
  /** By number in the membership list; the own place is empty. */
  #byNumber: (Link | undefined)[] = [];
  readonly #membership: Membership;
  readonly #transport: Transport;
  readonly #limits: NodeLimits;
  readonly #log: Log;
  readonly #events: LinkEvents;
  readonly #wake: () => void;
  readonly #jury: ClockJury;
  #dirty: Link[] = [];
  #pingSequence = 0;
  /** No frame of this life to somebody who was dropped had a greater number. */
  #frameSequenceDropped = 0;
  readonly #life: number;
  #tickedAt = 0;
  /** As of the last tick: what goes with a PING. */
  #now: number;
  #wall = 0;
  #floor: Uint8Array = STAMP_NONE;
  framesSent = 0;
  messagesSent = 0;
  /** The topology in force at this node, told in every frame; one that it goes by is told a little earlier. */
  epoch = 0;

  constructor(options: LinksOptions, events: LinkEvents, wake: () => void) {
    const { self, members, limits, random, mutants, now } = options;
    this.#self = self;
    this.#life = options.life;
    this.#transport = options.transport;
    this.#limits = limits;
    this.#log = options.log;
    this.#events = events;
    this.#wake = wake;
    this.#now = now;
    const times = membershipTimes(limits.heartbeatIntervalMs, limits.silenceMaxMs);
    const ids = members.map((member) => member.id);
    this.#membership = new Membership({ self: self.id, members: ids, times, random, mutants }, this, now);
    this.#jury = new ClockJury(limits, options.log);
    this.#arrange(members);
  }

  /**
   * The members are these from now on. Links of those who stay stay, whatever is under way; a member whose
   * address changed is met there as soon as the transport has dialled it. Of those who go, what was written for
   * them goes out, and then they are not live any more, for whoever waits for them. If this node is not among
   * them it goes on as it is, and is soon alone.
   */
  setMembers(members: readonly Member[], now: number): void {
    this.#now = now;
    const before = this.#links;
    const self = members.find(({ id }) => id === this.#self.id);
    this.#self = self ?? this.#self;
    const ids = members.map(({ id }) => id);
    // The last they hear of this node is the epoch it goes by now: they stay until they know it.
    for (const [id, { up, number }] of before) if (up && !ids.includes(id)) this.ping(number);
    this.#membership.setMembers(self === undefined ? [...ids, this.#self.id] : ids, now);
    this.#arrange(members);
    for (const link of this.#links.values()) if (!before.has(link.member.id)) link.isNewcomer = true;
    for (const [id, link] of before) if (!this.#links.has(id)) this.#drop(link);
  }

  /** A link for each of the members, those there are for those who stay, with the numbers of the list. */
  #arrange(members: readonly Member[]): void {
    const before = this.#links;
    const { book } = this.#membership.list;
    this.#links = new Map();
    this.#byNumber = [];
    for (const member of members) {
      if (member.id === this.#self.id) continue;
      const number = book.numberOf(member.id);
      assert(number !== undefined, 'every member has a number');
      const link = before.get(member.id) ?? new Link(member, number, this.#frameSequenceDropped);
      link.member = member;
      link.number = number;
      this.#links.set(member.id, link);
      this.#byNumber[number] = link;
    }
    this.#jury.summon(this.#links.size);
  }

  #drop(link: Link): void {
    if (link.writer.length > 0) this.#send(link);
    // Should it come back while it still knows this life, our frames must go on where they were.
    this.#frameSequenceDropped = Math.max(this.#frameSequenceDropped, link.frameSequence);
    link.number = NO_NUMBER;
    this.#closed(link, 'it is no member any more');
  }

  /** This node has an incarnation of its own: pings and gossip begin. */
  begin(incarnation: number, now: number): void {
    this.#membership.begin(incarnation, now);
  }

  /** What this node tells of itself with its gossip. */
  setFacts(facts: Facts): void {
    this.#membership.setFacts(facts);
  }

  /** Says goodbye to everybody who can be reached: this node stops, and is not to be missed. */
  leave(): void {
    this.#membership.leave();
    this.announce();
  }

  /** Pings everybody who can be reached: what this node tells of itself is not to wait for their turn. */
  announce(): void {
    for (const link of this.#links.values()) if (link.up) this.ping(link.number);
  }

  /** How membership sees a member; undefined for the node itself. */
  view(link: Link, now: number): PeerView {
    const view = this.#membership.view(link.number, now);
    assert(view !== undefined, 'a link is to somebody else');
    return view;
  }

  /** The incarnation this node speaks in now. */
  get incarnation(): number {
    return this.#membership.list.own.incarnation;
  }

  get(id: NodeId): Link | undefined {
    return this.#links.get(id);
  }

  all(): IterableIterator<Link> {
    return this.#links.values();
  }

  isLive(id: NodeId): boolean {
    return id === this.#self.id || this.#links.get(id)?.live === true;
  }

  zoneOf(id: NodeId): string {
    return id === this.#self.id ? this.#self.zone : (this.#links.get(id)?.member.zone ?? '');
  }

  /**
   * Where to write the next message for a member, or undefined when its pipe is down. The message is
   * sent at the end of the turn; it may still be lost.
   */
  writerTo(id: NodeId): ByteWriter | undefined {
    const link = this.#links.get(id);
    return link === undefined ? undefined : this.writer(link);
  }

  writer(link: Link): ByteWriter | undefined {
    link.wanted = true;
    return this.#writer(link);
  }

  /** The same for what needs no answer, or has its own watch over it. */
  #writer(link: Link): ByteWriter | undefined {
    if (!link.up) return undefined;
    const writer = link.writer;
    if (writer.length === 0) {
      openFrame(writer, link.version);
      this.#dirty.push(link);
      this.#wake();
    } else if (writer.length > frameBytesFull) {
      this.#send(link);
      // A queue that is full breaks the pipe, and we may have been told of it just now.
      if (!link.up) return undefined;
      openFrame(writer, link.version);
    }
    this.messagesSent++;
    return writer;
  }

  /** Sends the frames of this turn. */
  flush(): void {
    if (this.#dirty.length === 0) return;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const link of dirty) if (link.writer.length > 0) this.#send(link);
  }

  #send(link: Link): void {
    if (!link.up || isFrameEmpty(link.writer, link.version)) {
      link.writer.length = 0;
      return;
    }
    this.framesSent++;
    const { id } = link.member;
    const frame = sealFrameInPlace(link.writer, this.#life, ++link.frameSequence, this.epoch);
    const sent = this.#transport.send(id, frame);
    // Frames are the largest garbage of a busy node: their memory is used again where that is safe.
    if (this.#transport.isDrained?.(id)) link.writer.clear();
    else link.writer.take();
    // The queue is full or the pipe is gone: what was in the frame is lost, so start afresh.
    if (!sent) this.#transport.reset(id, 'send queue full');
  }

  /** @param version of the pipe. */
  peerUp(id: NodeId, now: number, version: number = PROTOCOL_VERSION): void {
    const link = this.#links.get(id);
    if (link === undefined || link.up) return;
    link.up = true;
    link.version = version;
    link.heardAt = now;
    link.resetAt = now;
    this.#membership.answered(link.number, now);
    this.#setLive(link, !this.#membership.isAvoided(link.number), 'connected');
    this.#now = now;
    this.#membership.greet(link.number, now);
  }

  peerDown(id: NodeId, reason: string, now: number): void {
    const link = this.#links.get(id);
    if (link === undefined || !link.up) return;
    this.#closed(link, reason);
    this.#membership.lost(link.number, now);
  }

  #closed(link: Link, reason: string): void {
    link.up = false;
    link.writer.length = 0;
    link.generation++;
    link.clock.broken();
    this.#setLive(link, false, reason);
  }

  /** A peer was started anew: what it answers to questions from before proves nothing about this life. */
  reborn(link: Link): void {
    link.pingSequence = -1;
  }

  /** A frame of the peer arrived. */
  heard(link: Link, now: number): void {
    link.heardAt = now;
    link.wanted = false;
    this.#membership.heard(link.number, now);
  }

  // What membership asks for.

  ping(peer: number): void {
    const link = this.#byNumber[peer];
    const writer = link === undefined ? undefined : this.#writer(link);
    if (link === undefined || writer === undefined) return;
    this.#pingSequence = (this.#pingSequence + 1) >>> 0;
    link.pingSequence = this.#pingSequence;
    link.clock.asked(this.#pingSequence, this.#now);
    const at = writePingHead(writer, this.#pingSequence, this.#wall, this.#floor);
    this.#writeGossip(writer, link);
    writer.blobEnd(at);
  }

  #writeGossip(writer: ByteWriter, link: Link): void {
    this.#membership.writeGossip(writer, link.number, link.version >= PROTOCOL_VERSION_TOPOLOGY);
  }

  pingRequest(via: number, target: number): void {
    const link = this.#byNumber[via];
    const writer = link === undefined ? undefined : this.#writer(link);
    if (writer !== undefined) writeGossipProbe(writer, this.#byNumber[target]!.member.id);
  }

  confirm(asker: number, target: number): void {
    const link = this.#byNumber[asker];
    const writer = link === undefined ? undefined : this.#writer(link);
    if (writer !== undefined) writeGossipHeard(writer, this.#byNumber[target]!.member.id);
  }

  changed(peer: number): void {
    const link = this.#byNumber[peer]!;
    const { status, avoided, phi, incarnation } = this.view(link, this.#now);
    if (status !== link.status) {
      const fields = { peer: link.member.id, phi: Math.round(phi * 10) / 10, incarnation };
      this.#log.write(status === 'down' ? 'warn' : 'info', `member-${status}`, fields);
      link.status = status;
    }
    const silence = Math.round(this.#now - link.heardAt);
    const why = status === 'left' ? 'it said goodbye' : `no answer, silent for ${silence} ms`;
    this.#setLive(link, link.up && !avoided, avoided ? why : 'heard again');
  }

  refuted(): void {
    // After a long pause, a cut link or a lost disk; of interest when it happens all the time.
    this.#log.write('info', 'rumour-contradicted', { incarnation: this.incarnation });
  }

  // What peers say about each other.

  /** `target` undefined: nobody we know, or ourselves. */
  probeAsked(link: Link, target: Link | undefined, now: number): void {
    this.#now = now;
    if (target !== undefined) this.#membership.pingRequested(link.number, target.number, now);
  }

  probeAnswered(link: Link, target: Link | undefined, now: number): void {
    this.#now = now;
    if (target !== undefined) this.#membership.confirmed(link.number, target.number, now);
  }

  /** Answers a PING. @throws CodedError `protocol` if the gossip makes no sense. */
  pinged(link: Link, sequence: number, gossip: ByteReader, now: number, wall: number): void {
    this.#now = now;
    // The message before this one may have told that it is no member any more.
    if (link.number === NO_NUMBER) return;
    this.#membership.readGossip(gossip, link.number, now);
    const writer = this.#writer(link);
    if (writer === undefined) return;
    const at = writePongHead(writer, sequence, wall);
    this.#writeGossip(writer, link);
    writer.blobEnd(at);
  }

  #setLive(link: Link, live: boolean, reason: string): void {
    if (link.live === live) return;
    link.live = live;
    this.#log.write(live ? 'info' : 'warn', live ? 'peer-live' : 'peer-lost', {
      peer: link.member.id,
      reason,
    });
    this.#events.livenessChanged(link);
  }

  /**
   * A peer answered a heartbeat with its wall clock; ours shows `wall`.
   * @throws CodedError `protocol` if the gossip makes no sense.
   */
  pong(link: Link, sequence: number, theirs: number, gossip: ByteReader, now: number, wall: number): void {
    this.#now = now;
    if (link.number === NO_NUMBER) return;
    this.#membership.readGossip(gossip, link.number, now);
    this.#membership.answered(link.number, now);
    if (sequence === link.pingSequence && link.frameOrder.isOfPastLife) link.frameOrder.confirm();
    link.clock.answered(sequence, theirs, now);
    link.isNewcomer = false;
    // Even if that said nothing new: our own clock may have jumped.
    this.#jury.heard(link, this.#links.values(), now, wall);
  }

  /** See `ClockJury.doubted`. */
  get clockDoubted(): boolean {
    return this.#jury.doubted;
  }

  /** See `ClockJury.isDoubted`. */
  isClockDoubted(now: number, wall: number): boolean {
    return this.#jury.isDoubted(this.#links.values(), now, wall);
  }

  /** See `ClockJury.isConfirmed`. */
  isClockConfirmed(now: number, wall: number): boolean {
    return this.#jury.isConfirmed(this.#links.values(), now, wall);
  }

  /** A member's clock less ours as it was measured, milliseconds; null if that is too long ago. */
  clockOffsetOf(id: NodeId, now: number, wall: number): number | null {
    if (id === this.#self.id) return 0;
    const link = this.#links.get(id);
    return link === undefined ? null : this.#jury.offsetOf(link, now, wall);
  }

  /** Heartbeats, and doubt about those who went silent. `wall` goes along for their clocks. */
  tick(now: number, wall: number, floor: Uint8Array): void {
    // After a pause of our own the peers' frames still wait to be read: doubt ourselves first.
    const pauseMs = now - this.#tickedAt;
    const asleepMs = this.#tickedAt > 0 && pauseMs > this.#limits.silenceMaxMs / 2 ? pauseMs : 0;
    this.#tickedAt = now;
    this.#now = now;
    this.#wall = wall;
    this.#floor = floor;
    for (const link of this.#links.values()) {
      if (!link.up) continue;
      if (asleepMs > 0) link.heardAt = Math.min(now, link.heardAt + asleepMs);
      if (link.wanted) {
        link.wanted = false;
        this.#membership.wanted(link.number, now);
      }
      if (!link.live) this.#renew(link, now);
    }
    this.#membership.tick(now);
  }

  /** After a cut link heals TCP can stall for seconds; a fresh pipe does not. */
  #renew(link: Link, now: number): void {
    const { silenceMaxMs } = this.#limits;
    const silent = now - link.heardAt > silenceMaxMs;
    // It may be that only our direction is cut, or that it has much to do.
    const patienceMs = silent ? silenceMaxMs : 2 * silenceMaxMs;
    if (now - link.resetAt <= patienceMs) return;
    link.resetAt = now;
    this.#transport.reset(link.member.id, silent ? 'silent' : 'pings are not answered');
  }
}
