/**
 * Links: the other members as this node meets them, and the frames being filled for them.
 *
 * A member is *live* while our pipe to it is open and membership (`src/membership`) has no reason to
 * avoid it. The picture: membership is the watchman who says whom to call and what he makes of the
 * silence; the links are the telephone. Messages of a turn go into one frame a peer, sealed and handed to
 * the transport at the end of the turn. Liveness is about whom to ask; it never changes who owns what.
 */

import { assert } from '../base/assert.ts';
import type { ByteReader } from '../base/bytes.ts';
import { ByteWriter } from '../base/bytes.ts';
import { ReplyTime } from '../coordinator/hedge.ts';
import type { Liveness } from '../coordinator/plan.ts';
import type { Facts } from '../membership/entry.ts';
import { Membership, type MembershipActions, type PeerView } from '../membership/membership.ts';
import { membershipTimes, PEERS_A_ROUND } from '../membership/times.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { NodeId, Transport } from '../ports/transport.ts';
import { STAMP_NONE } from '../rows/row.ts';
import {
  FrameOrder,
  isFrameEmpty,
  openFrame,
  PROTOCOL_VERSION,
  PROTOCOL_VERSION_TOPOLOGY,
  sealFrameInPlace,
} from '../wire/frame.ts';
import { writeGossipHeard, writeGossipProbe } from '../wire/gossip-messages.ts';
import { writePingHead, writePongHead } from '../wire/messages.ts';
import type { Member, NodeLimits } from './options.ts';
import { PeerClock } from './peer-clock.ts';

/** A frame this full is sent before the turn ends. */
const frameBytesFull = 1024 * 1024;

/** A peer's clock is known for so long after it answered a heartbeat, milliseconds, and at least ... */
const clockKnownForMs = 10_000;
/** ... for so many turns of the pings through all members, which take longer in a large cluster. */
const clockKnownForTurns = 3;

/** One other member. */
export class Link {
  readonly member: Member;
  /** Its number in the membership list. */
  readonly number: number;
  readonly writer: ByteWriter = new ByteWriter(4096);
  /** Our pipe to it is open. */
  up = false;
  /**
   * The protocol version our pipe to it was opened in last; 0 before the first. To a peer of a version below
   * `PROTOCOL_VERSION_TOPOLOGY` nothing of what came with that may be sent (family 8 and later ones).
   */
  version = 0;
  /** Requests are sent to it. */
  live = false;
  /** The status that was logged last. */
  status = 'alive';
  /** Monotonic time we last heard from it. */
  heardAt = 0;
  /** Our pipe was opened, or given up, at this monotonic time. */
  resetAt = 0;
  /** Something was sent to it since the last tick, and nothing heard since. */
  wanted = false;
  /** Raised when the pipe breaks: an answer owed from before is owed no more. */
  generation = 0;
  readonly clock: PeerClock = new PeerClock();
  /** The heartbeat it owes an answer to; -1 for none since it was started anew. */
  pingSequence = 0;
  /** Number of the last frame sent to it in this life. */
  frameSequence = 0;
  readonly replyTime: ReplyTime = new ReplyTime();
  /** Turns away its doubled and late frames. */
  readonly frameOrder: FrameOrder = new FrameOrder();

  constructor(member: Member, number: number) {
    this.member = member;
    this.number = number;
  }
}

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
  readonly #self: Member;
  readonly #links: Map<NodeId, Link> = new Map();
  /** By number in the membership list; the own place is empty. */
  readonly #byNumber: (Link | undefined)[] = [];
  readonly #membership: Membership;
  readonly #transport: Transport;
  readonly #limits: NodeLimits;
  readonly #log: Log;
  readonly #events: LinkEvents;
  readonly #wake: () => void;
  readonly #clockKnownForMs: number;
  #dirty: Link[] = [];
  #pingSequence = 0;
  readonly #life: number;
  #tickedAt = 0;
  /** As of the last tick: what goes with a PING. */
  #now: number;
  #wall = 0;
  #floor: Uint8Array = STAMP_NONE;
  framesSent = 0;
  messagesSent = 0;
  /** The topology in force at this node, told in every frame. Set by the node. */
  epoch = 0;
  /** Most live peers' clocks differ from ours by more than is believed: ours is the wrong one. */
  clockDoubted = false;

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
    const { book } = this.#membership.list;
    for (const member of members) {
      if (member.id === self.id) continue;
      const number = book.numberOf(member.id);
      assert(number !== undefined, 'every member has a number');
      const link = new Link(member, number);
      this.#links.set(member.id, link);
      this.#byNumber[number] = link;
    }
    const turnMs = (limits.heartbeatIntervalMs * members.length) / PEERS_A_ROUND;
    this.#clockKnownForMs = Math.max(clockKnownForMs, clockKnownForTurns * turnMs);
  }

  /** The members are these from now on. */
  setMembers(_members: readonly Member[], _now: number): void {}

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
    link.up = false;
    link.writer.length = 0;
    link.generation++;
    link.clock.broken();
    this.#setLive(link, false, reason);
    this.#membership.lost(link.number, now);
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
    this.#membership.readGossip(gossip, link.number, now);
    this.#membership.answered(link.number, now);
    if (sequence === link.pingSequence && link.frameOrder.isOfPastLife) link.frameOrder.confirm();
    this.#compareClocks(link, sequence, theirs, now, wall);
  }

  #compareClocks(link: Link, sequence: number, theirs: number, now: number, wall: number): void {
    link.clock.answered(sequence, theirs, now);
    // Even if that said nothing new: our own clock may have jumped.
    const doubted = this.isClockDoubted(now, wall);
    if (doubted !== this.clockDoubted) {
      this.clockDoubted = doubted;
      const offsetMs = Math.round(link.clock.offsetMs(now, wall));
      const meaning = 'most peers disagree with the clock of this node: it refuses writes until they agree';
      if (doubted) this.#log.write('alarm', 'clock-doubted', { meaning, offsetMs });
      else this.#log.write('info', 'clock-trusted', { offsetMs });
    }
  }

  /**
   * Whether most live members' clocks contradict ours at this moment. `clockDoubted` is what the last answer to a
   * heartbeat showed; this sees a jump of ours at once.
   */
  isClockDoubted(now: number, wall: number): boolean {
    const { clockOffsetMaxMs } = this.#limits;
    let live = 0;
    let far = 0;
    for (const link of this.#links.values()) {
      if (!link.live) continue;
      live++;
      // A slow answer is no evidence against our clock unless it would be so however long either way took.
      if (link.clock.isSurelyOff(clockOffsetMaxMs, now, wall)) far++;
    }
    return far * 2 > live;
  }

  /** A member's clock less ours as it was measured, milliseconds; null if that is too long ago. */
  clockOffsetOf(id: NodeId, now: number, wall: number): number | null {
    if (id === this.#self.id) return 0;
    const clock = this.#links.get(id)?.clock;
    if (clock === undefined || now - clock.knownAt > this.#clockKnownForMs) return null;
    return clock.offsetMs(now, wall);
  }

  /**
   * Whether most other members' clocks agree with ours at this moment. Unlike `clockDoubted`, which needs
   * evidence against our clock, this needs evidence for it, and sees a jump at once: it is asked before
   * something that a wrong clock would make irreparable. A node alone trusts its own clock.
   */
  isClockConfirmed(now: number, wall: number): boolean {
    let agreeing = 0;
    for (const { clock } of this.#links.values()) {
      const known = now - clock.knownAt <= this.#clockKnownForMs;
      if (known && clock.isSurelyNear(this.#limits.clockOffsetMaxMs, now, wall)) agreeing++;
    }
    return this.#links.size === 0 || agreeing * 2 > this.#links.size;
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
