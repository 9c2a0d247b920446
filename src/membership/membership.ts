/**
 * Membership: who lives, who is reached, who is down. A machine that is told what was heard and how late
 * it is, and asks for pings.
 *
 * The picture: watchmen who call to each other at night. Every round each calls two others and hears back;
 * with each call goes the news. Who does not answer is called again, then through others ("can you hear
 * him?"). Only if nobody can, he is suspected, aloud, so that he may contradict; and only if he does not
 * for a good while, he is taken for dead. A watchman who finds that he dozed off blames himself first and
 * gives everybody that time back (Lifeguard: Dadgar, Phillips and Currey, 2018).
 *
 * After SWIM (Das, Gupta and Motivala, 2002), with phi-accrual over all signs of life in place of one
 * timeout. The verdicts are about liveness only; they never change who owns what.
 */

import { assert } from '../base/assert.ts';
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { Random } from '../ports/random.ts';
import type { Entry, Facts } from './entry.ts';
import {
  CHANGED_COUNTER,
  CHANGED_STATUS,
  STATUS_ALIVE,
  STATUS_DOWN,
  STATUS_LEFT,
  STATUS_NAMES,
  STATUS_SUSPECT,
} from './entry.ts';
import { type GossipEvents, type GossipLimits, GossipList } from './gossip-list.ts';
import { NONE, Peer } from './peer.ts';
import { Relays } from './relays.ts';
import type { MembershipTimes } from './times.ts';
import { ENTRIES_MAX, ENTRIES_USUAL, PEERS_A_ROUND, PHI_SUSPECT, PROBERS, phiOptions } from './times.ts';

/** What the machine asks for. Members are numbers: places in the sorted list of ids (`list.book`). */
export interface MembershipActions {
  /** Send a PING. It may be lost, and there may be no pipe. */
  ping(peer: number): void;
  /** Ask `via` to ping `target` and to tell us if it answers. */
  pingRequest(via: number, target: number): void;
  /** Tell `asker` that `target` answered us. */
  confirm(asker: number, target: number): void;
  /** The verdict on `peer` changed, or whether requests avoid it. */
  changed(peer: number): void;
  /** Others spoke ill of this node, or knew a later life of it; it contradicted. */
  refuted(): void;
}

export interface MembershipOptions {
  readonly self: string;
  readonly members: readonly string[];
  /** Of this start: `incarnationOfStart` of the last one that was stored. Left out, `begin` says it later. */
  readonly incarnation?: number;
  readonly times: MembershipTimes;
  readonly random: Random;
  /** Test flags: `gossip-old-incarnation-wins`, `down-without-probe`, `self-doubt-off`. */
  readonly mutants?: ReadonlySet<string>;
}

/** A member as this node sees it. */
export interface PeerView {
  readonly status: (typeof STATUS_NAMES)[number];
  readonly incarnation: number;
  readonly phi: number;
  /** Requests should avoid it. */
  readonly avoided: boolean;
  /** The member through which it was heard of last, if it does not answer us itself. */
  readonly seenThrough: string | undefined;
  readonly epoch: number;
  readonly settledEpoch: number;
  readonly rebuildingSince: number;
  readonly hintFloor: number;
}

const gossipLimits: GossipLimits = { entriesMax: ENTRIES_MAX, entriesUsual: ENTRIES_USUAL };
const noMutants: ReadonlySet<string> = new Set();

export class Membership implements GossipEvents {
  #list: GossipList;
  readonly #times: MembershipTimes;
  readonly #random: Random;
  readonly #actions: MembershipActions;
  /** By number; the own place is empty. */
  #peers: (Peer | undefined)[];
  /** Everybody else in shuffled order, gone through round-robin and shuffled again. */
  #order: number[];
  #orderAt = 0;
  /** Being probed, or ill spoken of: looked after between rounds too. */
  readonly #restless: Set<Peer> = new Set();
  readonly #relays: Relays = new Relays();
  #facts: Facts = { epoch: 0, settledEpoch: 0, rebuildingSince: 0, hintFloor: 0 };
  #begun: boolean;
  /** The tick before was late too. */
  #lateBefore = false;
  #roundAt: number;
  #dueAt: number;
  /** The time of the message being read. */
  #readAt = 0;
  readonly #downWithoutProbe: boolean;
  readonly #selfDoubtOff: boolean;

  constructor(options: MembershipOptions, actions: MembershipActions, now: number) {
    const { self, members, incarnation, times, random } = options;
    const mutants = options.mutants ?? noMutants;
    this.#begun = incarnation !== undefined;
    this.#list = new GossipList(self, members, incarnation ?? 0, gossipLimits, mutants);
    this.#times = times;
    this.#random = random;
    this.#actions = actions;
    this.#downWithoutProbe = mutants.has('down-without-probe');
    this.#selfDoubtOff = mutants.has('self-doubt-off');
    const phi = phiOptions(times, members.length);
    this.#peers = this.list.book.ids.map((_, number) =>
      number === this.list.self ? undefined : new Peer(number, phi, now),
    );
    this.#order = this.#peers.filter((peer) => peer !== undefined).map((peer) => peer.number);
    this.#orderAt = this.#order.length;
    // Not all nodes in step.
    this.#roundAt = now + (random.u32() % Math.max(1, Math.floor(times.intervalMs)));
    this.#dueAt = this.#roundAt;
  }

  /** The gossiped list: another one after each `setMembers`. */
  get list(): GossipList {
    return this.#list;
  }

  /**
   * The members are these from now on, this node among them; all are numbered anew. What is known of those who
   * stay is kept, and nobody is suspected by the change itself; of those who go nothing is kept.
   */
  setMembers(members: readonly string[], now: number): void {
    const before = this.#list;
    this.#list = before.withMembers(members);
    const { book, self } = this.#list;
    const placeOf = (old: number): number => book.numberOf(before.book.ids[old] ?? '') ?? NONE;
    const phi = phiOptions(this.#times, book.ids.length);
    const peers: (Peer | undefined)[] = book.ids.map(() => undefined);
    for (const peer of this.#peers) {
      if (peer === undefined) continue;
      const place = placeOf(peer.number);
      if (place === NONE) this.#restless.delete(peer);
      else peers[place] = peer;
      peer.renumber(place, placeOf(peer.heardThrough));
      peer.life.adapt(phi, now);
    }
    const order = this.#order.map(placeOf);
    // Who was asked already in this turn stays behind; newcomers are asked in this turn, after the others.
    const asked = order.slice(0, this.#orderAt).filter((place) => place !== NONE);
    const waiting = order.slice(this.#orderAt).filter((place) => place !== NONE);
    this.#peers = peers;
    for (let place = 0; place < peers.length; place++) {
      if (place === self || peers[place] !== undefined) continue;
      peers[place] = new Peer(place, phi, now);
      waiting.push(place);
    }
    this.#order = [...asked, ...waiting];
    this.#orderAt = asked.length;
    this.#relays.clear();
  }

  /** When `tick` has something to do next: it may be called earlier, and often. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /**
   * From now on this node has an incarnation of its own to speak in. Until then it neither pings nor
   * gossips, and only listens.
   */
  begin(incarnation: number, now: number): void {
    const { own } = this.list;
    own.incarnation = Math.max(own.incarnation, incarnation);
    this.#begun = true;
    this.#roundAt = now;
    this.#dueAt = now;
  }

  /** What this node tells about itself from the next message on. */
  setFacts(facts: Facts): void {
    const { epoch, settledEpoch, rebuildingSince, hintFloor } = this.#facts;
    const isSameEpoch = epoch === facts.epoch && settledEpoch === facts.settledEpoch;
    const isSame = isSameEpoch && hintFloor === facts.hintFloor;
    if (isSame && rebuildingSince === facts.rebuildingSince) return;
    this.#facts = { ...facts };
    this.list.raiseOwn(this.#facts);
  }

  /** Says goodbye: goes out with the messages that follow. */
  leave(): void {
    this.list.leave();
  }

  // What the world tells.

  /** Rounds, probes, verdicts. Call it every few milliseconds, or at `dueAt`. */
  tick(now: number): void {
    if (now < this.#dueAt || !this.#begun) return;
    const lateMs = now - this.#dueAt;
    const late = lateMs > this.#times.lateMs && !this.#selfDoubtOff;
    if (late) this.#excuse(lateMs, now);
    // Our pause, and not theirs: what came meanwhile is still unread, so nobody is judged yet. A node that
    // is late all the time judges slowly, since it gives that time back, but it judges.
    const paused = late && !this.#lateBefore;
    this.#lateBefore = late;
    if (now >= this.#roundAt) {
      this.#round(now);
      if (!paused) for (const peer of this.#peers) if (peer !== undefined) this.#review(peer, now);
    } else if (!paused) {
      for (const peer of this.#restless) this.#review(peer, now);
    }
    const reviewAt = this.#restless.size > 0 || paused ? now + this.#times.reviewMs : this.#roundAt;
    this.#dueAt = Math.min(this.#roundAt, reviewAt);
  }

  /** A frame of `peer` arrived, whatever is in it. */
  heard(number: number, now: number): void {
    const peer = this.#peers[number];
    if (peer === undefined) return;
    peer.life.heard(now);
    peer.heardAt = now;
    peer.heardThrough = number;
    peer.wantedAt = NONE;
    if (this.#relays.waits) {
      for (const asker of this.#relays.answered(number, now)) this.#actions.confirm(asker, number);
    }
    if (peer.verdict === STATUS_DOWN || peer.verdict === STATUS_SUSPECT) this.#judge(peer, STATUS_ALIVE);
  }

  /** `peer` answered a ping, or our pipe to it was opened: it is reached both ways. */
  answered(number: number, now: number): void {
    this.heard(number, now);
    const peer = this.#peers[number];
    if (peer === undefined) return;
    peer.askedAt = NONE;
    this.#calm(peer);
    this.#avoid(peer, peer.verdict === STATUS_LEFT);
  }

  /** A new pipe to `peer`: it is pinged at once, so that both know what the other knows. */
  greet(number: number, now: number): void {
    const peer = this.#peers[number];
    if (peer !== undefined && this.#begun) this.#ping(peer, now);
  }

  /** Our pipe to `peer` broke: reason enough to look after it now. */
  lost(number: number, now: number): void {
    const peer = this.#peers[number];
    if (peer === undefined) return;
    this.list.forgetBook(number);
    if (peer.askedAt === NONE) peer.askedAt = now;
    if (peer.verdict !== STATUS_LEFT && peer.verdict !== STATUS_DOWN) this.#probe(peer, now);
  }

  /** Something was sent to `peer` that it will answer: if nothing comes, it is pinged out of turn. */
  wanted(number: number, now: number): void {
    const peer = this.#peers[number];
    if (peer !== undefined && peer.wantedAt === NONE) peer.wantedAt = now;
  }

  /** `asker` cannot reach `target`: we try, and tell it if there is an answer. */
  pingRequested(asker: number, target: number, now: number): void {
    if (this.#peers[target] === undefined || this.#peers[asker] === undefined) return;
    this.#relays.asked(asker, target, now);
    this.#actions.ping(target);
  }

  /** `via` heard `target` after we asked. */
  confirmed(via: number, target: number, now: number): void {
    const peer = this.#peers[target];
    if (peer !== undefined) this.#heardOf(peer, via, now, true);
  }

  /**
   * Appends what goes with a PING or PONG to `peer`: nothing before `begin`.
   * @param settled whether the peer understands settled epochs (protocol version 5).
   */
  writeGossip(writer: ByteWriter, peer: number, settled = true): void {
    if (this.#begun) this.list.write(writer, peer, settled);
  }

  /**
   * Takes in what came with a PING or PONG of `peer`.
   * @throws CodedError `protocol` if it makes no sense.
   */
  readGossip(reader: ByteReader, peer: number, now: number): void {
    if (reader.remaining === 0) return;
    this.#readAt = now;
    this.list.read(reader, peer, this);
  }

  // What the list tells.

  refuted(): void {
    this.#actions.refuted();
  }

  entryChanged(member: number, changed: number, from: number): void {
    const peer = this.#peers[member];
    assert(peer !== undefined, 'the list tells nothing about the node itself');
    const { status } = this.list.entries[member]!;
    const now = this.#readAt;
    if ((changed & CHANGED_STATUS) === 0) {
      if ((changed & CHANGED_COUNTER) !== 0 && from !== member) this.#heardOf(peer, from, now, false);
      return;
    }
    if (status === STATUS_LEFT) {
      this.#calm(peer);
      this.#judge(peer, STATUS_LEFT);
      this.#avoid(peer, true);
    } else if (status === STATUS_ALIVE) {
      this.#heardOf(peer, from, now, true);
    } else {
      // We ask ourselves before we believe it.
      peer.accusedAt = now;
      if (peer.verdict === STATUS_ALIVE) this.#probe(peer, now);
    }
  }

  // Views.

  isAvoided(number: number): boolean {
    return this.#peers[number]?.avoided === true;
  }

  /** How a member looks from here; undefined for the node itself. */
  view(number: number, now: number): PeerView | undefined {
    const peer = this.#peers[number];
    if (peer === undefined) return undefined;
    const entry: Entry = this.list.entries[number]!;
    const { verdict, avoided, heardThrough } = peer;
    const through = avoided && verdict < STATUS_DOWN && heardThrough !== number && heardThrough !== NONE;
    return {
      status: STATUS_NAMES[verdict]!,
      incarnation: entry.incarnation,
      phi: peer.life.phi(now),
      avoided,
      seenThrough: through ? this.list.book.ids[heardThrough] : undefined,
      epoch: entry.epoch,
      settledEpoch: entry.settledEpoch,
      rebuildingSince: entry.rebuildingSince,
      hintFloor: entry.hintFloor,
    };
  }

  // The work.

  #excuse(lateMs: number, now: number): void {
    for (const peer of this.#peers) peer?.excuse(lateMs, now);
  }

  #round(now: number): void {
    // No catching up: missed rounds are missed.
    this.#roundAt = Math.max(this.#roundAt + this.#times.intervalMs, now + this.#times.intervalMs / 2);
    this.list.raiseOwn(this.#facts);
    const count = Math.min(PEERS_A_ROUND, this.#order.length);
    for (let i = 0; i < count; i++) this.#ping(this.#peers[this.#nextInOrder()]!, now);
  }

  #nextInOrder(): number {
    const order = this.#order;
    if (this.#orderAt >= order.length) {
      this.#orderAt = 0;
      for (let i = order.length - 1; i > 0; i--) {
        const other = this.#random.u32() % (i + 1);
        const held = order[i]!;
        order[i] = order[other]!;
        order[other] = held;
      }
    }
    return order[this.#orderAt++]!;
  }

  #ping(peer: Peer, now: number): void {
    if (peer.askedAt === NONE) peer.askedAt = now;
    peer.pingedAt = now;
    this.#actions.ping(peer.number);
  }

  /** A sign of life through somebody else. `sure` if it is newer than whatever ill was said. */
  #heardOf(peer: Peer, via: number, now: number, sure: boolean): void {
    if (peer.verdict === STATUS_DOWN && !sure) return;
    peer.life.heard(now);
    peer.heardThrough = via;
    if (peer.verdict !== STATUS_ALIVE && sure) this.#judge(peer, STATUS_ALIVE);
  }

  #probe(peer: Peer, now: number): void {
    this.#restless.add(peer);
    this.#dueAt = Math.min(this.#dueAt, now + this.#times.reviewMs);
    if (peer.probingSince !== NONE) return;
    peer.probingSince = now;
    this.#ping(peer, now);
  }

  #calm(peer: Peer): void {
    peer.probingSince = NONE;
    this.#restless.delete(peer);
  }

  /** Looks after one peer: is there reason to probe, to suspect, to call it down? */
  #review(peer: Peer, now: number): void {
    const times = this.#times;
    if (peer.verdict === STATUS_LEFT) return;
    const silent = now - peer.life.lastAt > times.probeAfterMs && peer.life.phi(now) >= PHI_SUSPECT;
    const waitedMs = peer.askedAt === NONE ? 0 : now - peer.askedAt;
    const mute = waitedMs >= times.avoidAfterMs && now - peer.heardAt > times.silenceMaxMs;
    const deaf = waitedMs >= times.deafAfterMs;
    this.#avoid(peer, mute || deaf || silent || peer.verdict === STATUS_DOWN);
    if (peer.verdict === STATUS_DOWN) return;
    if (this.#downWithoutProbe && silent) {
      if (this.list.entries[peer.number]!.status < STATUS_DOWN) this.list.accuse(peer.number, STATUS_DOWN);
      this.#judge(peer, STATUS_DOWN);
      return;
    }
    if (peer.probingSince === NONE) {
      const wanting = peer.wantedAt !== NONE && now - peer.wantedAt >= 2 * times.intervalMs;
      if (waitedMs >= times.probeAfterMs || silent || this.#isAccused(peer, now)) this.#probe(peer, now);
      else if (wanting && peer.askedAt === NONE) this.#ping(peer, now);
      return;
    }
    this.#accuse(peer, now);
    if (peer.probingSince !== NONE) this.#goOnProbing(peer, now);
  }

  /** The list speaks ill of it, and it has been silent since long enough for that to be true. */
  #isAccused(peer: Peer, now: number): boolean {
    const { status } = this.list.entries[peer.number]!;
    return status !== STATUS_ALIVE && now - peer.life.lastAt >= this.#times.probeAfterMs;
  }

  #goOnProbing(peer: Peer, now: number): void {
    const times = this.#times;
    if (now - peer.pingedAt >= times.probeIntervalMs) this.#ping(peer, now);
    const tried = now - peer.probingSince >= times.probeIntervalMs;
    const unheard = now - peer.life.lastAt >= times.probeAfterMs;
    if (!tried || !unheard || now - peer.requestedAt < times.requestIntervalMs) return;
    peer.requestedAt = now;
    const order = this.#order;
    const start = this.#random.u32() % order.length;
    let asked = 0;
    for (let i = 0; i < order.length && asked < PROBERS; i++) {
      const via = this.#peers[order[(start + i) % order.length]!]!;
      if (via === peer || via.avoided) continue;
      asked++;
      this.#actions.pingRequest(via.number, peer.number);
    }
  }

  #accuse(peer: Peer, now: number): void {
    const times = this.#times;
    const entry = this.list.entries[peer.number]!;
    // Whoever vouched for it gave it that time back.
    const since = Math.max(peer.probingSince, peer.life.lastAt);
    if (now - since < times.suspectAfterMs) return;
    // Others were asked after that, and had time to answer.
    if (peer.requestedAt < since) return;
    if (entry.status === STATUS_ALIVE) {
      if (now - peer.requestedAt < times.probeIntervalMs) return;
      this.list.accuse(peer.number, STATUS_SUSPECT);
      peer.accusedAt = now;
    }
    const silence = now - peer.life.lastAt;
    if (entry.status === STATUS_SUSPECT) {
      this.#judge(peer, STATUS_SUSPECT);
      if (now - Math.max(peer.accusedAt, peer.life.lastAt) < times.suspicionMs) return;
      this.list.accuse(peer.number, STATUS_DOWN);
    }
    if (entry.status === STATUS_DOWN && silence >= times.disbeliefMs) {
      this.#judge(peer, STATUS_DOWN);
      this.#calm(peer);
      this.#avoid(peer, true);
    }
  }

  #judge(peer: Peer, verdict: typeof peer.verdict): void {
    if (peer.verdict === verdict || (peer.verdict === STATUS_LEFT && verdict !== STATUS_ALIVE)) return;
    peer.verdict = verdict;
    this.#actions.changed(peer.number);
  }

  #avoid(peer: Peer, avoided: boolean): void {
    if (peer.avoided === avoided) return;
    peer.avoided = avoided;
    this.#actions.changed(peer.number);
  }
}
