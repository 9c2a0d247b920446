/**
 * The simulated network: the twin of the TCP transport.
 *
 * The picture: a pipe in each direction between each two nodes, like a pneumatic post. Capsules come
 * out in the order they went in, each after its own delay (or after the one before it). What TCP does
 * to a program is what happens here: a cut link holds the capsules back and lets them out after it
 * heals; a broken pipe loses what was in it, or hands over the first few and loses the rest; a dead
 * peer is told at once (its process ended) or only after a long silence (its power went). Late capsules
 * of an old pipe may arrive while a new one is open.
 *
 * And worse than TCP on request (`trouble`): single capsules are lost, come twice or overtake others, so
 * that the promises do not lean on what a pipe gives; and a pipe may be half open, that is, swallow
 * everything while its sender believes in it.
 */

import { readU32 } from '../src/base/bytes.ts';
import type { Prng } from '../src/base/prng.ts';
import {
  GONE_MS,
  type NodeId,
  type PeerAddress,
  type Transport,
  type TransportHandler,
} from '../src/ports/transport.ts';
import type { Micros, Schedule } from './schedule.ts';
import { EVENT, type Trace } from './trace.ts';

/** How the network behaves when nothing is wrong with it. Times in microseconds. */
export interface NetworkProfile {
  /** The least time a frame takes. */
  readonly delayMinUs: number;
  /** Added on average, exponentially distributed. */
  readonly delayMeanUs: number;
  /** Share of frames (0 to 1) that take up to `delayTailUs` more. */
  readonly tailShare: number;
  readonly delayTailUs: number;
  /** Frames one pipe holds; `send` refuses more. */
  readonly queueFramesMax: number;
}

/** What happens to frames of one direction: shares of them, 0 to 1, and a delay of all. */
export interface LinkTrouble {
  /** Lost, although those after them arrive. */
  readonly drop: number;
  /** Delivered a second time, later. */
  readonly double: number;
  /** Delivered behind frames that were sent after them. */
  readonly reorder: number;
  readonly delayUs: number;
}

const NO_TROUBLE: LinkTrouble = { drop: 0, double: 0, reorder: 0, delayUs: 0 };

/** A frame out of order comes at most so much late. */
const STRAY_MAX_US = 150_000;

/** No frame takes longer, however slow the link. */
const DELAY_MAX_US = 1_500_000;

/** What the network tells of, and asks: the side of the cluster. */
export interface NetworkHost {
  /** Runs an input of node `index` now, or keeps it while the node is frozen. */
  input(index: number, run: (handler: TransportHandler) => void): void;
  /** Whether the process can answer a dial now. */
  reachable(index: number): boolean;
}

interface Queued {
  readonly frame: Uint8Array;
  readonly at: Micros;
}

/** One direction between two nodes. */
class Pipe {
  readonly from: number;
  readonly to: number;
  up = false;
  dialing = false;
  /** Lives of sender and receiver when it was opened: a capsule never reaches another process. */
  fromLife = 0;
  toLife = 0;
  /** Nothing passes: the link is cut in this direction. */
  blocked = 0;
  /** The peer lost its power: what is sent vanishes, until the silence is noticed. */
  deaf = false;
  /** The sender wants a pipe: its receiver is a member, as far as it knows. */
  wanted = false;
  /** Dials are answered with a reset. */
  refused = false;
  slowFactor = 1;
  corruptNext = 0;
  trouble: LinkTrouble = NO_TROUBLE;
  lastAt: Micros = 0;
  /** When the next alarm for it rings; infinity if none is set. */
  pumpAt: Micros = Number.POSITIVE_INFINITY;
  queue: Queued[] = [];
  head = 0;
  readonly pump: () => void;

  constructor(from: number, to: number, pump: (pipe: Pipe) => void) {
    this.from = from;
    this.to = to;
    this.pump = () => pump(this);
  }

  clear(): void {
    this.queue = [];
    this.head = 0;
  }
}

export class SimNetwork {
  /** Frames damaged on the way, for the figures of a run. */
  framesCorrupted = 0;
  /** Frames lost, doubled or put out of order one by one. */
  framesDropped = 0;
  framesStrayed = 0;
  /** Pipes refuse nothing, however few frames the plan lets them hold. */
  isRoomy = false;
  #healed = false;
  readonly #schedule: Schedule;
  readonly #prng: Prng;
  readonly #trace: Trace;
  readonly #profile: NetworkProfile;
  readonly #host: NetworkHost;
  readonly #ids: readonly NodeId[];
  readonly #pipes: Pipe[][] = [];
  readonly #lives: number[];
  readonly #alive: boolean[];
  /** Whom each process takes for a member, as far as it was told in this life: others are not welcomed. */
  readonly #known: (ReadonlySet<NodeId> | undefined)[];
  /** Where each process believes the others, as far as it was told. */
  readonly #addresses: ReadonlyMap<NodeId, string>[];

  constructor(
    schedule: Schedule,
    prng: Prng,
    trace: Trace,
    profile: NetworkProfile,
    ids: readonly NodeId[],
    host: NetworkHost,
  ) {
    this.#schedule = schedule;
    this.#prng = prng;
    this.#trace = trace;
    this.#profile = profile;
    this.#host = host;
    this.#ids = ids;
    this.#lives = ids.map(() => 0);
    this.#alive = ids.map(() => false);
    this.#known = ids.map(() => undefined);
    this.#addresses = ids.map(() => new Map());
    const pump = (pipe: Pipe) => this.#pump(pipe);
    for (let from = 0; from < ids.length; from++) {
      this.#pipes.push(ids.map((_, to) => new Pipe(from, to, pump)));
    }
  }

  /** A process of node `index` begins: it dials the members it knows. Returns its transport. */
  attach(index: number, members: readonly NodeId[]): Transport {
    this.#alive[index] = true;
    this.#known[index] = new Set(members);
    this.#addresses[index] = new Map();
    const life = ++this.#lives[index]!;
    for (let peer = 0; peer < this.#ids.length; peer++) {
      if (peer === index) continue;
      const outward = this.#pipes[index]![peer]!;
      outward.wanted = members.includes(this.#ids[peer]!);
      if (outward.wanted) this.#dial(outward, this.#prng.below(2000));
      // A pipe to the life before answers its first frame with a reset.
      const inward = this.#pipes[peer]![index]!;
      if (inward.up && inward.toLife !== life) {
        this.#schedule.after(this.#delay(inward), () => {
          if (inward.up && inward.toLife !== life) this.#break(inward, 'connection reset by peer');
        });
      }
    }
    return {
      send: (peer, frame) => this.#lives[index] === life && this.#send(index, this.#ids.indexOf(peer), frame),
      setPeers: (peers) => {
        if (this.#lives[index] === life) this.#setPeers(index, peers);
      },
      reset: (peer, reason) => {
        const to = this.#ids.indexOf(peer);
        if (to < 0 || to === index || this.#lives[index] !== life) return;
        const pipe = this.#pipes[index]![to]!;
        if (pipe.wanted) this.#break(pipe, reason);
      },
    };
  }

  /**
   * The process of node `index` is gone. After a crash of the process the kernel still sends some of
   * what it had and tells the peers; after a power loss (`silent`) the peers hear nothing.
   */
  detach(index: number, silent: boolean): void {
    this.#alive[index] = false;
    this.#lives[index]!++;
    for (let peer = 0; peer < this.#ids.length; peer++) {
      if (peer === index) continue;
      const outward = this.#pipes[index]![peer]!;
      if (silent) outward.clear();
      else this.#spill(outward);
      outward.up = false;
      const inward = this.#pipes[peer]![index]!;
      inward.clear();
      if (!inward.up) continue;
      inward.deaf = true;
      const life = inward.toLife;
      const notice = silent ? 1_000_000 + this.#prng.below(4_000_000) : this.#delay(inward);
      this.#schedule.after(notice, () => {
        if (inward.up && inward.deaf && inward.toLife === life) this.#break(inward, 'connection lost');
      });
    }
  }

  /** The members are these: what is in the pipes of others still arrives, and they are not dialled again. */
  #setPeers(index: number, peers: readonly PeerAddress[]): void {
    const before = this.#addresses[index]!;
    const after = new Map(peers.map(({ id, host, peerPort }) => [id, `${host}:${peerPort}`]));
    this.#known[index] = new Set(after.keys());
    this.#addresses[index] = after;
    for (let peer = 0; peer < this.#ids.length; peer++) {
      if (peer === index) continue;
      const id = this.#ids[peer]!;
      const pipe = this.#pipes[index]![peer]!;
      const wanted = after.has(id);
      if (wanted && pipe.wanted) {
        if (before.has(id) && before.get(id) !== after.get(id))
          this.#break(pipe, 'the peer has another address');
      } else if (wanted) {
        pipe.wanted = true;
        this.#hangUp(pipe);
        this.#dial(pipe, this.#prng.below(2000));
      } else if (pipe.wanted) {
        pipe.wanted = false;
        this.#schedule.after(GONE_MS * 1000, this.#parting(index, peer));
      }
    }
  }

  /** Ends the pipes of both directions with somebody who is no member any more, unless it is one again. */
  #parting(index: number, peer: number): () => void {
    const life = this.#lives[index]!;
    return () => {
      const pipe = this.#pipes[index]![peer]!;
      if (this.#lives[index] !== life || pipe.wanted) return;
      this.#hangUp(pipe);
      const inward = this.#pipes[peer]![index]!;
      if (inward.toLife === life) this.#break(inward, 'the peer closed the connection');
    };
  }

  /** Closes a pipe that is not wanted any more, without a word to its owner. */
  #hangUp(pipe: Pipe): void {
    pipe.up = false;
    pipe.deaf = false;
    pipe.clear();
  }

  /** Cuts one direction. Cuts add up: each needs its own `mend`. */
  cut(from: number, to: number): void {
    this.#pipes[from]![to]!.blocked++;
  }

  mend(from: number, to: number): void {
    const pipe = this.#pipes[from]![to]!;
    if (pipe.blocked > 0) pipe.blocked--;
    if (pipe.blocked === 0) this.#resume(pipe);
  }

  /** Mends everything, makes everything as fast as it was, and from now on without outliers. */
  healAll(): void {
    this.#healed = true;
    for (const row of this.#pipes) {
      for (const pipe of row) {
        pipe.blocked = 0;
        pipe.refused = false;
        pipe.slowFactor = 1;
        pipe.corruptNext = 0;
        pipe.trouble = NO_TROUBLE;
        this.#hasten(pipe);
        this.#resume(pipe);
      }
    }
  }

  /** Breaks one direction and refuses its dials, until called with false: a firewall's rule. */
  refuse(from: number, to: number, refused: boolean): void {
    const pipe = this.#pipes[from]![to]!;
    pipe.refused = refused;
    if (refused) this.#break(pipe, 'connection refused');
  }

  /** Multiplies the delays of one direction; 1 is as before. */
  slow(from: number, to: number, factor: number): void {
    this.#pipes[from]![to]!.slowFactor = factor;
  }

  /** Breaks a pipe, as a middlebox or a dying kernel does. */
  breakPipe(from: number, to: number): void {
    this.#break(this.#pipes[from]![to]!, 'connection reset');
  }

  /** Mistreats frames of one direction from now on; what is left out stays as it is. */
  trouble(from: number, to: number, change: Partial<LinkTrouble>): void {
    const pipe = this.#pipes[from]![to]!;
    pipe.trouble = { ...pipe.trouble, ...change };
  }

  /**
   * The pipe of one direction swallows everything from now on and its sender is not told, as after a
   * middlebox forgot the connection. Only a fresh pipe helps.
   */
  halfOpen(from: number, to: number): void {
    const pipe = this.#pipes[from]![to]!;
    if (!pipe.up) return;
    pipe.deaf = true;
    pipe.clear();
  }

  /** Damages the next `count` frames of one direction. */
  corrupt(from: number, to: number, count: number): void {
    this.#pipes[from]![to]!.corruptNext += count;
  }

  /** Frames under way. */
  get framesInFlight(): number {
    let count = 0;
    for (const row of this.#pipes) for (const pipe of row) count += pipe.queue.length - pipe.head;
    return count;
  }

  #send(from: number, to: number, frame: Uint8Array): boolean {
    if (to < 0 || to === from) return false;
    const pipe = this.#pipes[from]![to]!;
    const isFull = !this.isRoomy && pipe.queue.length - pipe.head >= this.#profile.queueFramesMax;
    if (!pipe.up || !pipe.wanted || isFull) return false;
    if (pipe.deaf || pipe.toLife !== this.#lives[to]) return true;
    let sent = frame;
    if (pipe.corruptNext > 0) {
      pipe.corruptNext--;
      sent = this.#damage(frame, pipe);
    }
    if (pipe.trouble !== NO_TROUBLE && this.#mistreat(pipe, sent)) return true;
    const at = Math.max(pipe.lastAt, Math.floor(this.#schedule.now + this.#delay(pipe)));
    pipe.lastAt = at;
    pipe.queue.push({ frame: sent, at });
    this.#arm(pipe);
    return true;
  }

  /** @returns whether the frame is lost or goes its own way. */
  #mistreat(pipe: Pipe, frame: Uint8Array): boolean {
    const { drop, double, reorder } = pipe.trouble;
    if (drop > 0 && this.#prng.chance(drop)) {
      this.framesDropped++;
      this.#trace.say(
        this.#schedule.now,
        () => `${this.#name(pipe)} a frame of ${frame.length} bytes is lost`,
      );
      return true;
    }
    if (double > 0 && this.#prng.chance(double)) this.#stray(pipe, frame);
    if (reorder === 0 || !this.#prng.chance(reorder)) return false;
    this.#stray(pipe, frame);
    return true;
  }

  /** A frame that goes its own way; it does not pass a link that is cut when its time comes. */
  #stray(pipe: Pipe, frame: Uint8Array): void {
    this.framesStrayed++;
    const life = pipe.toLife;
    const at = this.#schedule.now + Math.floor(this.#delay(pipe)) + this.#prng.below(STRAY_MAX_US);
    this.#schedule.at(at, () => {
      if (pipe.blocked === 0) this.#deliver(pipe.from, pipe.to, life, frame);
    });
  }

  #damage(frame: Uint8Array, pipe: Pipe): Uint8Array {
    const damaged = frame.slice();
    const flips = this.#prng.between(1, 3);
    for (let i = 0; i < flips; i++) {
      const at = this.#prng.below(damaged.length);
      damaged[at] = damaged[at]! ^ (1 << this.#prng.below(8));
    }
    this.framesCorrupted++;
    this.#trace.add(this.#schedule.now, EVENT.frameCorrupted, pipe.from, pipe.to, flips);
    this.#trace.say(
      this.#schedule.now,
      () => `${this.#name(pipe)} a frame of ${frame.length} bytes is damaged`,
    );
    return damaged;
  }

  #delay(pipe: Pipe): Micros {
    const profile = this.#profile;
    let delay = profile.delayMinUs - profile.delayMeanUs * Math.log(1 - this.#prng.unit());
    if (profile.tailShare > 0 && !this.#healed && this.#prng.chance(profile.tailShare))
      delay += this.#prng.below(profile.delayTailUs);
    return Math.min(delay * pipe.slowFactor + pipe.trouble.delayUs, DELAY_MAX_US);
  }

  #arm(pipe: Pipe): void {
    if (pipe.blocked > 0 || pipe.head >= pipe.queue.length) return;
    const at = Math.max(pipe.queue[pipe.head]!.at, this.#schedule.now);
    if (pipe.pumpAt <= at) return;
    pipe.pumpAt = at;
    this.#schedule.at(at, pipe.pump);
  }

  /** Delivers the first frame, if its time has come. */
  #pump(pipe: Pipe): void {
    // An alarm that was set for the frames of a broken pipe rings for nothing.
    if (this.#schedule.now < pipe.pumpAt) return;
    pipe.pumpAt = Number.POSITIVE_INFINITY;
    if (pipe.blocked > 0 || pipe.head >= pipe.queue.length) return;
    const first = pipe.queue[pipe.head]!;
    if (first.at <= this.#schedule.now) {
      pipe.head++;
      if (pipe.head === pipe.queue.length) pipe.clear();
      this.#deliver(pipe.from, pipe.to, pipe.toLife, first.frame);
    }
    this.#arm(pipe);
  }

  #deliver(from: number, to: number, toLife: number, frame: Uint8Array): void {
    if (this.#lives[to] !== toLife) return;
    this.#trace.events++;
    this.#trace.add(
      this.#schedule.now,
      EVENT.frame,
      to,
      frame.length > 8 ? readU32(frame, 4) : 0,
      frame.length,
    );
    this.#trace.say(
      this.#schedule.now,
      () => `${this.#ids[from]}→${this.#ids[to]} frame of ${frame.length} bytes`,
    );
    this.#host.input(to, (handler) => handler.frame(this.#ids[from]!, frame));
  }

  /** After a cut healed: what was held back comes out after a retransmission. */
  #resume(pipe: Pipe): void {
    if (pipe.head < pipe.queue.length && pipe.pumpAt === Number.POSITIVE_INFINITY) {
      let at = this.#schedule.now + this.#prng.between(1000, 200_000);
      const held: Queued[] = [];
      for (let i = pipe.head; i < pipe.queue.length; i++) {
        at = Math.max(at, pipe.queue[i]!.at);
        held.push({ frame: pipe.queue[i]!.frame, at });
      }
      pipe.queue = held;
      pipe.head = 0;
      pipe.lastAt = at;
      this.#arm(pipe);
    }
    if (!pipe.up && pipe.wanted && this.#alive[pipe.from] && pipe.from !== pipe.to) this.#dial(pipe, 0);
  }

  /** A frame that a slow link would have kept for long comes soon. */
  #hasten(pipe: Pipe): void {
    const soon = this.#schedule.now + 200_000;
    if (pipe.lastAt <= soon) return;
    pipe.queue = pipe.queue.slice(pipe.head).map(({ frame, at }) => ({ frame, at: Math.min(at, soon) }));
    pipe.head = 0;
    pipe.lastAt = soon;
    this.#arm(pipe);
  }

  /** Loses the tail of what is in the pipe; the first few frames still arrive, perhaps very late. */
  #spill(pipe: Pipe): void {
    if (pipe.blocked === 0) {
      const kept = this.#prng.below(pipe.queue.length - pipe.head + 1);
      for (let i = pipe.head; i < pipe.head + kept; i++) {
        const { frame, at } = pipe.queue[i]!;
        const life = pipe.toLife;
        this.#schedule.at(at, () => this.#deliver(pipe.from, pipe.to, life, frame));
      }
    }
    pipe.clear();
  }

  #break(pipe: Pipe, reason: string): void {
    if (!pipe.up) return;
    pipe.up = false;
    pipe.deaf = false;
    this.#spill(pipe);
    const life = this.#lives[pipe.from]!;
    this.#schedule.after(0, () => {
      if (this.#lives[pipe.from] !== life || !pipe.wanted) return;
      this.#trace.add(this.#schedule.now, EVENT.pipeDown, pipe.from, pipe.to, 0);
      this.#trace.say(this.#schedule.now, () => `${this.#name(pipe)} pipe down: ${reason}`);
      this.#host.input(pipe.from, (handler) => handler.peerDown(this.#ids[pipe.to]!, reason));
      this.#dial(pipe, this.#prng.between(1000, 50_000));
    });
  }

  /** Dials until it is answered: a round trip in which neither direction is cut. */
  #dial(pipe: Pipe, wait: Micros): void {
    if (pipe.dialing) return;
    pipe.dialing = true;
    const life = this.#lives[pipe.from]!;
    const attempt = (): void => {
      if (this.#lives[pipe.from] !== life) {
        pipe.dialing = false;
        // A newer life of the process found the old dial in its way: it goes on in its place.
        if (this.#alive[pipe.from] && !pipe.up && pipe.wanted) this.#dial(pipe, 0);
        return;
      }
      if (!pipe.wanted) {
        pipe.dialing = false;
        return;
      }
      const back = this.#pipes[pipe.to]![pipe.from]!;
      const isStranger = this.#known[pipe.to]?.has(this.#ids[pipe.from]!) === false;
      const cut = isStranger || pipe.refused || pipe.blocked > 0 || back.blocked > 0;
      if (cut || !this.#alive[pipe.to] || !this.#host.reachable(pipe.to)) {
        this.#schedule.after(this.#prng.between(20_000, 120_000), attempt);
        return;
      }
      pipe.dialing = false;
      this.#open(pipe);
    };
    this.#schedule.after(wait + 2 * this.#delay(pipe), attempt);
  }

  #open(pipe: Pipe): void {
    pipe.up = true;
    pipe.deaf = false;
    pipe.fromLife = this.#lives[pipe.from]!;
    pipe.toLife = this.#lives[pipe.to]!;
    pipe.lastAt = this.#schedule.now;
    this.#trace.add(this.#schedule.now, EVENT.pipeUp, pipe.from, pipe.to, 0);
    this.#trace.say(this.#schedule.now, () => `${this.#name(pipe)} pipe up`);
    this.#host.input(pipe.from, (handler) => handler.peerUp(this.#ids[pipe.to]!));
  }

  #name(pipe: Pipe): string {
    return `${this.#ids[pipe.from]}→${this.#ids[pipe.to]}`;
  }
}
