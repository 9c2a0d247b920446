/**
 * Links: the other members as this node meets them, and the frames being filled for them.
 *
 * A member is *live* while our pipe to it is open and we heard from it lately. Messages of a turn go
 * into one frame a peer, sealed and handed to the transport at the end of the turn. Liveness is about
 * whom to ask; it never changes who owns what.
 */

import { ByteWriter } from '../base/bytes.ts';
import { ReplyTime } from '../coordinator/hedge.ts';
import type { Liveness } from '../coordinator/plan.ts';
import type { Log } from '../ports/log.ts';
import type { NodeId, Transport } from '../ports/transport.ts';
import { FRAME_HEADER_BYTES, FrameOrder, openFrame, sealFrameInPlace } from '../wire/frame.ts';
import { writePing } from '../wire/messages.ts';
import type { Member, NodeLimits } from './options.ts';

/** A frame this full is sent before the turn ends. */
const frameBytesFull = 1024 * 1024;

/** A heartbeat answered within this tells the peer's clock, milliseconds. */
const promptMs = 100;

/** A peer's clock is known for so long after such an answer, milliseconds. */
const clockKnownForMs = 10_000;

/** One other member. */
export class Link {
  readonly member: Member;
  readonly writer: ByteWriter = new ByteWriter(4096);
  /** Our pipe to it is open. */
  up = false;
  /** Requests are sent to it. */
  live = false;
  /** Monotonic time we last heard from it. */
  heardAt = 0;
  pingedAt = 0;
  resetAt = 0;
  /** Raised when the pipe breaks: an answer owed from before is owed no more. */
  generation = 0;
  /** Its clock less ours by its last prompt answer to a heartbeat, milliseconds. */
  clockOffsetMs = 0;
  /** Monotonic time of that answer. */
  clockKnownAt: number = Number.NEGATIVE_INFINITY;
  /** What its clock showed when our monotonic clock was 0: what it shows now follows, whatever ours did. */
  clockBaseMs = 0;
  /** The heartbeat it owes an answer to. */
  pingSequence = 0;
  readonly replyTime: ReplyTime = new ReplyTime();
  /** Turns away its doubled and late frames. */
  readonly frameOrder: FrameOrder = new FrameOrder();

  constructor(member: Member) {
    this.member = member;
  }
}

export interface LinkEvents {
  /** A member became live, or ceased to be. */
  livenessChanged(link: Link): void;
}

export class Links implements Liveness {
  readonly #self: Member;
  readonly #links: Map<NodeId, Link> = new Map();
  readonly #transport: Transport;
  readonly #limits: NodeLimits;
  readonly #log: Log;
  readonly #events: LinkEvents;
  readonly #wake: () => void;
  #dirty: Link[] = [];
  #pingSequence = 0;
  /** Names this life of the node to its peers; frames are numbered over it. */
  readonly #life: number;
  #tickedAt = 0;
  framesSent = 0;
  messagesSent = 0;
  /** Most live peers' clocks differ from ours by more than is believed: ours is the wrong one. */
  clockDoubted = false;

  constructor(
    self: Member,
    members: readonly Member[],
    life: number,
    transport: Transport,
    limits: NodeLimits,
    log: Log,
    events: LinkEvents,
    wake: () => void,
  ) {
    this.#self = self;
    this.#life = life;
    this.#transport = transport;
    this.#limits = limits;
    this.#log = log;
    this.#events = events;
    this.#wake = wake;
    for (const member of members) if (member.id !== self.id) this.#links.set(member.id, new Link(member));
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
    if (!link.up) return undefined;
    const writer = link.writer;
    if (writer.length === 0) {
      openFrame(writer);
      this.#dirty.push(link);
      this.#wake();
    } else if (writer.length > frameBytesFull) {
      this.#send(link);
      // A queue that is full breaks the pipe, and we may have been told of it just now.
      if (!link.up) return undefined;
      openFrame(writer);
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
    if (!link.up || link.writer.length <= FRAME_HEADER_BYTES) {
      link.writer.length = 0;
      return;
    }
    this.framesSent++;
    const { id } = link.member;
    const sent = this.#transport.send(id, sealFrameInPlace(link.writer, this.#life, this.framesSent));
    // Frames are the largest garbage of a busy node: their memory is used again where that is safe.
    if (this.#transport.isDrained?.(id)) link.writer.clear();
    else link.writer.take();
    // The queue is full or the pipe is gone: what was in the frame is lost, so start afresh.
    if (!sent) this.#transport.reset(id, 'send queue full');
  }

  peerUp(id: NodeId, now: number): void {
    const link = this.#links.get(id);
    if (link === undefined || link.up) return;
    link.up = true;
    link.heardAt = now;
    this.#setLive(link, true, 'connected');
    this.#ping(link, now, 0);
  }

  peerDown(id: NodeId, reason: string): void {
    const link = this.#links.get(id);
    if (link === undefined || !link.up) return;
    link.up = false;
    link.writer.length = 0;
    link.generation++;
    this.#setLive(link, false, reason);
  }

  heard(link: Link, now: number): void {
    link.heardAt = now;
    if (!link.live && link.up) this.#setLive(link, true, 'heard again');
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

  /** A peer answered a heartbeat with its wall clock; ours shows `wall`. */
  pong(link: Link, sequence: number, theirs: number, now: number, wall: number): void {
    const roundTripMs = now - link.pingedAt;
    // A slow answer tells about the network, or a freeze, and not about clocks.
    if (sequence !== link.pingSequence || roundTripMs > promptMs) return;
    link.clockOffsetMs = theirs - (wall - roundTripMs / 2);
    link.clockKnownAt = now;
    link.clockBaseMs = theirs + roundTripMs / 2 - now;
    const live = [...this.#links.values()].filter((other) => other.live);
    const far = live.filter((other) => Math.abs(other.clockOffsetMs) > this.#limits.clockOffsetMaxMs);
    const doubted = far.length * 2 > live.length;
    if (doubted !== this.clockDoubted) {
      this.clockDoubted = doubted;
      const meaning = 'most peers disagree with the clock of this node: it refuses writes until they agree';
      if (doubted) this.#log.write('alarm', 'clock-doubted', { meaning, offsetMs: link.clockOffsetMs });
      else this.#log.write('info', 'clock-trusted', { offsetMs: link.clockOffsetMs });
    }
  }

  /**
   * Whether most other members' clocks agree with ours at this moment. Unlike `clockDoubted`, which needs
   * evidence against our clock, this needs evidence for it, and sees a jump at once: it is asked before
   * something that a wrong clock would make irreparable. A node alone trusts its own clock.
   */
  isClockConfirmed(now: number, wall: number): boolean {
    let agreeing = 0;
    for (const link of this.#links.values()) {
      const offsetMs = link.clockBaseMs + now - wall;
      const known = now - link.clockKnownAt <= clockKnownForMs;
      if (known && Math.abs(offsetMs) <= this.#limits.clockOffsetMaxMs) agreeing++;
    }
    return this.#links.size === 0 || agreeing * 2 > this.#links.size;
  }

  /** Heartbeats, and doubt about those who went silent. `wall` goes along for their clocks. */
  tick(now: number, wall: number, floor: Uint8Array): void {
    // After a pause of our own the peers' frames still wait to be read: doubt ourselves first.
    const pauseMs = now - this.#tickedAt;
    const asleepMs = this.#tickedAt > 0 && pauseMs > this.#limits.silenceMaxMs / 2 ? pauseMs : 0;
    this.#tickedAt = now;
    for (const link of this.#links.values()) {
      if (!link.up) continue;
      link.heardAt = Math.min(now, link.heardAt + asleepMs);
      if (now - link.pingedAt >= this.#limits.heartbeatIntervalMs) this.#ping(link, now, wall, floor);
      const silence = now - link.heardAt;
      if (silence <= this.#limits.silenceMaxMs) continue;
      if (link.live) this.#setLive(link, false, `silent for ${Math.round(silence)} ms`);
      if (now - link.resetAt > this.#limits.silenceMaxMs) {
        // After a cut link heals TCP can stall for seconds; a fresh pipe does not.
        link.resetAt = now;
        this.#transport.reset(link.member.id, 'silent');
      }
    }
  }

  #ping(link: Link, now: number, wall: number, floor?: Uint8Array): void {
    if (floor === undefined) return;
    const writer = this.writer(link);
    if (writer === undefined) return;
    link.pingedAt = now;
    this.#pingSequence = (this.#pingSequence + 1) >>> 0;
    link.pingSequence = this.#pingSequence;
    writePing(writer, this.#pingSequence, wall, floor);
  }
}
