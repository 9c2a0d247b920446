/**
 * A virtual network for the membership core: nodes, links with delay and loss, freezes and kills, under
 * one virtual clock and one seed. Messages are the real bytes; what the node adds to a PING or a PONG
 * (frame header, clock, floor) is counted, not built.
 *
 * The picture: a wheel of milliseconds. Each slot holds what happens then; a frozen node's messages wait
 * in front of its door, and it opens them when it wakes, sometimes before it looks at the clock and
 * sometimes after.
 */

import { ByteReader, ByteWriter } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { incarnationOfStart } from '../../src/membership/entry.ts';
import { Membership } from '../../src/membership/membership.ts';
import { membershipTimes } from '../../src/membership/times.ts';

/** Bytes around the gossip: frame header 19, type and sequence 5, clock 6, blob length 4; PING: floor 20. */
const pongBytes = 34;
const pingBytes = pongBytes + 20;
/** Frame header, type and id, name of the target. */
const requestBytes = 19 + 5 + 2 + 8;

const wheelSlots = 4096;

const kindTick = 0;
const kindPing = 1;
const kindPong = 2;
const kindRequest = 3;
const kindConfirm = 4;
const kindFreeze = 5;
const kindThaw = 6;

interface Event {
  readonly at: number;
  readonly kind: number;
  readonly node: number;
  readonly from: number;
  /** For requests and confirmations: about whom. For ticks: the tick it is. */
  readonly target: number;
  readonly bytes: Uint8Array | undefined;
}

export interface NetworkOptions {
  readonly size: number;
  readonly seed: number;
  /** Share of messages lost, 0 to 1. */
  readonly loss: number;
  /** A node freezes for 2 s about this often, milliseconds; 0 for never. */
  readonly freezeEveryMs: number;
  readonly mutants?: ReadonlySet<string>;
}

const freezeMs = 2000;
const delayMinMs = 0.2;
const delaySpanMs = 2;

class VirtualNode {
  core: Membership;
  incarnation = 0;
  dead = false;
  frozen = false;
  /** What arrived while it was frozen. */
  readonly door: Event[] = [];
  ticks = 0;
  tickAt: number = Number.POSITIVE_INFINITY;
  constructor(core: Membership) {
    this.core = core;
  }
}

export class VirtualNetwork {
  now = 0;
  bytesSent = 0;
  messagesSent = 0;
  freezes = 0;
  suspicions = 0;
  /** Live nodes called down, once a time however many say so. */
  falseDowns = 0;
  readonly nodes: VirtualNode[];
  /** By observer: when it called `watched` down. */
  readonly downAt: Map<number, number> = new Map();
  watched = -1;
  /** Directions that are cut: `from * 65536 + to`. */
  readonly cut: Set<number> = new Set();
  readonly #options: NetworkOptions;
  readonly #random: Prng;
  readonly #wheel: Event[][] = Array.from({ length: wheelSlots }, () => []);
  #later: Event[] = [];
  readonly #writer: ByteWriter = new ByteWriter(4096);
  readonly #calledDown: boolean[];

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.#random = new Prng(options.seed);
    this.#calledDown = Array.from({ length: options.size }, () => false);
    this.nodes = Array.from({ length: options.size }, (_, node) => new VirtualNode(this.#core(node, 0)));
    for (let node = 0; node < options.size; node++) {
      this.#planTick(node);
      this.#planFreeze(node);
    }
  }

  idOf(node: number): string {
    return `node-${String(node).padStart(3, '0')}`;
  }

  #core(node: number, incarnation: number): Membership {
    const random = this.#random.fork();
    const members = Array.from({ length: this.#options.size }, (_, number) => this.idOf(number));
    const start = incarnationOfStart(incarnation);
    return new Membership(
      {
        self: this.idOf(node),
        members,
        incarnation: start,
        times: membershipTimes(200, 1000),
        random,
        ...(this.#options.mutants === undefined ? {} : { mutants: this.#options.mutants }),
      },
      {
        ping: (peer) => this.#sendGossip(kindPing, node, peer),
        pingRequest: (via, target) => this.#sendShort(kindRequest, node, via, target),
        confirm: (asker, target) => this.#sendShort(kindConfirm, node, asker, target),
        changed: (peer) => this.#changed(node, peer),
        refuted: () => {},
      },
      this.now,
    );
  }

  /** The process is gone: nothing of it is heard any more. */
  kill(node: number): void {
    this.nodes[node]!.dead = true;
    this.watched = node;
    this.downAt.clear();
  }

  /** A new process of the same member. */
  revive(node: number): void {
    const one = this.nodes[node]!;
    one.incarnation++;
    one.dead = false;
    one.frozen = false;
    one.door.length = 0;
    one.core = this.#core(node, one.incarnation * 0x1_0000);
    this.#calledDown[node] = false;
    this.watched = -1;
    this.#planTick(node);
  }

  freeze(node: number, forMs: number): void {
    const one = this.nodes[node]!;
    if (one.frozen || one.dead) return;
    one.frozen = true;
    this.freezes++;
    this.#plan({ at: this.now + forMs, kind: kindThaw, node, from: 0, target: 0, bytes: undefined });
  }

  /** Lets virtual time pass. */
  run(forMs: number): void {
    const end = this.now + forMs;
    while (this.now < end) {
      const slot = this.#wheel[this.now % wheelSlots]!;
      // What happens in this millisecond may add to it.
      for (let i = 0; i < slot.length; i++) this.#happen(slot[i]!);
      slot.length = 0;
      this.now++;
      if (this.now % (wheelSlots / 2) === 0) this.#unpackLater();
    }
  }

  #plan(event: Event): void {
    const at = Math.max(this.now, Math.floor(event.at));
    if (at - this.now < wheelSlots / 2) this.#wheel[at % wheelSlots]!.push(event);
    else this.#later.push(event);
  }

  #unpackLater(): void {
    const waiting = this.#later;
    this.#later = [];
    for (const event of waiting) this.#plan(event);
  }

  #planTick(node: number): void {
    const one = this.nodes[node]!;
    const at = Math.ceil(one.core.dueAt);
    one.tickAt = at;
    one.ticks++;
    this.#plan({ at, kind: kindTick, node, from: 0, target: one.ticks, bytes: undefined });
  }

  #planFreeze(node: number): void {
    const { freezeEveryMs } = this.#options;
    if (freezeEveryMs === 0) return;
    const at = this.now + freezeEveryMs * (0.5 + this.#random.unit());
    this.#plan({ at, kind: kindFreeze, node, from: 0, target: 0, bytes: undefined });
  }

  #happen(event: Event): void {
    const one = this.nodes[event.node]!;
    if (event.kind === kindFreeze) {
      this.freeze(event.node, freezeMs);
      this.#planFreeze(event.node);
    } else if (event.kind === kindThaw) {
      one.frozen = false;
      if (!one.dead) this.#thaw(event.node, one);
    } else if (event.kind === kindTick) {
      if (one.dead || one.frozen || event.target !== one.ticks) return;
      one.core.tick(this.now);
      this.#planTick(event.node);
    } else if (one.frozen) one.door.push(event);
    else this.#deliver(one, event);
  }

  #thaw(node: number, one: VirtualNode): void {
    const clockFirst = this.#random.chance(0.5);
    if (clockFirst) one.core.tick(this.now);
    for (const event of one.door) this.#deliver(one, event);
    one.door.length = 0;
    if (!clockFirst) one.core.tick(this.now);
    this.#planTick(node);
  }

  #deliver(one: VirtualNode, event: Event): void {
    if (one.dead) return;
    const { core } = one;
    const { from, node, now } = { from: event.from, node: event.node, now: this.now };
    core.heard(from, now);
    if (event.kind === kindRequest) core.pingRequested(from, event.target, now);
    else if (event.kind === kindConfirm) core.confirmed(from, event.target, now);
    else {
      core.readGossip(new ByteReader(event.bytes!), from, now);
      if (event.kind === kindPing) this.#sendGossip(kindPong, node, from);
      else core.answered(from, now);
    }
    // What it heard may be a reason to look earlier.
    if (Math.ceil(core.dueAt) < one.tickAt) this.#planTick(node);
  }

  #sendGossip(kind: number, from: number, to: number): void {
    const writer = this.#writer;
    writer.length = 0;
    this.nodes[from]!.core.writeGossip(writer, to);
    this.bytesSent += writer.length + (kind === kindPing ? pingBytes : pongBytes);
    this.#send({ at: 0, kind, node: to, from, target: 0, bytes: writer.view().slice() });
  }

  #sendShort(kind: number, from: number, to: number, target: number): void {
    this.bytesSent += requestBytes;
    this.#send({ at: 0, kind, node: to, from, target, bytes: undefined });
  }

  #send(event: Event): void {
    this.messagesSent++;
    if (this.cut.size > 0 && this.cut.has(event.from * 65536 + event.node)) return;
    if (this.nodes[event.node]!.dead || this.#random.chance(this.#options.loss)) return;
    this.#plan({ ...event, at: this.now + delayMinMs + this.#random.unit() * delaySpanMs });
  }

  #changed(observer: number, peer: number): void {
    const status = this.nodes[observer]!.core.view(peer, this.now)!.status;
    if (status === 'suspect') this.suspicions++;
    if (peer === this.watched) {
      if (status !== 'down') this.downAt.delete(observer);
      else if (!this.downAt.has(observer)) this.downAt.set(observer, this.now);
      return;
    }
    if (status === 'alive') this.#calledDown[peer] = false;
    if (status !== 'down' || this.#calledDown[peer]) return;
    this.#calledDown[peer] = true;
    this.falseDowns++;
  }
}

/** Bytes a node sends in a second when nothing happens. */
export function trafficOf(size: number, seed: number): number {
  const network = new VirtualNetwork({ size, seed, loss: 0, freezeEveryMs: 0 });
  network.run(60_000);
  const before = network.bytesSent;
  network.run(20_000);
  return (network.bytesSent - before) / 20 / size;
}

export interface Detection {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Observers that had not found out after 12 seconds. */
  readonly missed: number;
}

/** Kills one node after another; the times are over all kills and all observers. */
export function detectionOf(size: number, kills: number, loss: number, seed: number): Detection {
  const random = new Prng(seed + 17);
  const network = new VirtualNetwork({ size, seed, loss, freezeEveryMs: 0 });
  const found: number[] = [];
  let missed = 0;
  network.run(10_000);
  for (let kill = 0; kill < kills; kill++) {
    network.run(random.below(1000));
    const victim = random.below(size);
    const at = network.now;
    network.kill(victim);
    network.run(12_000);
    missed += size - 1 - network.downAt.size;
    for (const when of network.downAt.values()) found.push(when - at);
    network.revive(victim);
    network.run(12_000);
  }
  found.sort((a, b) => a - b);
  const at = (share: number): number =>
    found[Math.min(found.length - 1, Math.floor(found.length * share))] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99), missed };
}

export interface CellFigures {
  readonly nodeHours: number;
  readonly falseDowns: number;
  readonly freezes: number;
  readonly suspicions: number;
}

/** How often a live node is called down. @param freezeEveryMs 0 for no freezes. */
export function falseDownsOf(
  size: number,
  nodeHours: number,
  loss: number,
  freezeEveryMs: number,
  seed: number,
  mutants?: ReadonlySet<string>,
): CellFigures {
  const options = { size, seed, loss, freezeEveryMs };
  const network = new VirtualNetwork(mutants === undefined ? options : { ...options, mutants });
  network.run(Math.ceil((nodeHours * 3_600_000) / size));
  const { falseDowns, freezes, suspicions } = network;
  return { nodeHours: (network.now * size) / 3_600_000, falseDowns, freezes, suspicions };
}
