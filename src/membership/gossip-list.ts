/**
 * The gossiped list: the newest entry of every member, and what to tell next.
 *
 * The picture: a newspaper of a fixed number of lines. News (somebody is suspected, somebody is back) goes
 * on the front page of the next few issues; the rest of the lines tell how far each member's voice was
 * heard lately, freshest first, and among the others whoever was not mentioned for longest. So the bytes
 * of a message do not grow with the cluster.
 */

import { assert } from '../base/assert.ts';
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import {
  GossipHead,
  MemberBook,
  readEntry,
  readGossipHead,
  readMember,
  writeEntry,
  writeGossipHead,
  writeMember,
} from './codec.ts';
import type { Facts } from './entry.ts';
import {
  CHANGED_COUNTER,
  CHANGED_NOTHING,
  CHANGED_STATUS,
  copyEntry,
  Entry,
  mergeEntry,
  STATUS_ALIVE,
  STATUS_LEFT,
  type Status,
} from './entry.ts';

/** News is told so many times per doubling of the cluster (SWIM's lambda log n). */
const newsShare = 3;

/** Told what a received message changed. */
export interface GossipEvents {
  /** The entry of `member` changed (CHANGED bits), by what `from` said. Never about the node itself. */
  entryChanged(member: number, changed: number, from: number): void;
  /** Somebody spoke ill of this node, or knew a later life of it: it contradicted. */
  refuted(): void;
}

/** How much one message tells. */
export interface GossipLimits {
  /** Entries of others in one message when there is much news. */
  readonly entriesMax: number;
  /** Entries of others when there is little, at most as many. */
  readonly entriesUsual: number;
}

export class GossipList {
  readonly book: MemberBook;
  readonly self: number;
  readonly entries: readonly Entry[];
  readonly #limits: GossipLimits;
  readonly #mutants: ReadonlySet<string>;
  readonly #oldWins: boolean;
  readonly #newsSends: number;
  /** News and how often it is still to be told; every member at most once. */
  readonly #news: number[] = [];
  readonly #newsLeft: Uint8Array;
  /** The other members in a ring through `#self`: whose entry is due first stands after it. */
  readonly #next: Uint16Array;
  readonly #previous: Uint16Array;
  /** The list of this peer had this hash, as it said last; 0 is not known. */
  readonly #hashOf: Float64Array;
  /** 1 for a peer that spoke of itself as of an older life than we know: it forgot, and must hear it. */
  readonly #forgetful: Uint8Array;
  readonly #picked: Uint16Array;
  readonly #scratch: Entry = new Entry();
  readonly #head: GossipHead = new GossipHead();

  /**
   * @param incarnation of this start of the process, `incarnationOfStart`.
   */
  constructor(
    self: string,
    members: readonly string[],
    incarnation: number,
    limits: GossipLimits,
    mutants: ReadonlySet<string>,
  ) {
    this.book = new MemberBook(members);
    const number = this.book.numberOf(self);
    assert(number !== undefined, 'a node is one of its members');
    this.self = number;
    const size = this.book.ids.length;
    this.entries = this.book.ids.map(() => new Entry());
    this.own.incarnation = incarnation;
    this.#limits = limits;
    this.#mutants = mutants;
    this.#oldWins = mutants.has('gossip-old-incarnation-wins');
    this.#newsSends = newsShare * Math.ceil(Math.log2(size + 1));
    this.#newsLeft = new Uint8Array(size);
    this.#next = Uint16Array.from(this.entries, (_, place) => (place + 1) % size);
    this.#previous = Uint16Array.from(this.entries, (_, place) => (place + size - 1) % size);
    this.#hashOf = new Float64Array(size);
    this.#forgetful = new Uint8Array(size);
    this.#picked = new Uint16Array(limits.entriesMax);
    this.#spread(this.self);
  }

  /**
   * The same notices on a new board: what is known of those who stay is kept, the own entry above all, and what
   * is said of others is forgotten. Numbers are those of the new list.
   * @param members this node among them.
   */
  withMembers(members: readonly string[]): GossipList {
    const made = new GossipList(this.book.ids[this.self]!, members, 0, this.#limits, this.#mutants);
    const placeOf = (old: number): number | undefined => made.book.numberOf(this.book.ids[old]!);
    for (const [old, entry] of this.entries.entries()) {
      const place = placeOf(old);
      if (place === undefined) continue;
      copyEntry(made.entries[place]!, entry);
      made.#hashOf[place] = this.#hashOf[old]!;
      made.#forgetful[place] = this.#forgetful[old]!;
    }
    for (const old of this.#news) {
      const place = placeOf(old);
      if (place === undefined) continue;
      made.#news.push(place);
      made.#newsLeft[place] = this.#newsLeft[old]!;
    }
    // Freshest first as before; newcomers, of whom there is nothing to tell yet, behind them.
    for (let old = this.#previous[this.self]!; old !== this.self; old = this.#previous[old]!) {
      const place = placeOf(old);
      if (place !== undefined) made.#moveFirst(place);
    }
    return made;
  }

  get own(): Entry {
    return this.entries[this.self]!;
  }

  /** Raises the own counter: a round, or something new to say. */
  raiseOwn(facts: Facts): void {
    const own = this.own;
    own.counter++;
    own.epoch = facts.epoch;
    own.settledEpoch = facts.settledEpoch;
    own.rebuildingSince = facts.rebuildingSince;
    own.hintFloor = facts.hintFloor;
  }

  /** Says goodbye. */
  leave(): void {
    this.own.status = STATUS_LEFT;
    this.#spread(this.self);
  }

  /** What this node itself found out about another: worse than what is said of it now. */
  accuse(member: number, status: Status): void {
    const entry = this.entries[member]!;
    assert(member !== this.self && status > entry.status, 'an accusation is worse than what was said');
    entry.status = status;
    this.#spread(member);
  }

  /**
   * Appends a message for `peer`: the own entry, what is said of the peer if it is ill, news, pulses.
   * @param settled whether the peer understands settled epochs.
   */
  write(writer: ByteWriter, peer: number, settled = true): void {
    const { book, entries } = this;
    const numbered = this.#hashOf[peer] === book.hash;
    writeGossipHead(writer, book, numbered, settled);
    writeEntry(writer, this.own, settled);
    const count = this.#pick(peer);
    writer.u8(count);
    for (let i = 0; i < count; i++) {
      const member = this.#picked[i]!;
      writeMember(writer, book, numbered, member);
      writeEntry(writer, entries[member]!, settled);
    }
  }

  /**
   * Takes in a message of `peer`, all of `reader`.
   * @throws CodedError `protocol` if it makes no sense; what came before that is merged.
   */
  read(reader: ByteReader, peer: number, events: GossipEvents): void {
    const { book } = this;
    const head = this.#head;
    const entry = this.#scratch;
    readGossipHead(reader, book, head);
    this.#hashOf[peer] = head.hash;
    readEntry(reader, entry, head.settled);
    this.#merge(peer, entry, peer, events);
    const known = this.entries[peer]!;
    const older = entry.incarnation < known.incarnation;
    const again = entry.incarnation === known.incarnation && entry.counter < known.counter;
    this.#forgetful[peer] = older || again ? 1 : 0;
    // Of whom the rest speaks cannot be known. The answer names members in full: then the sender does too.
    if (head.isForeign) return;
    for (let left = reader.u8(); left > 0; left--) {
      const member = readMember(reader, book, head.numbered);
      readEntry(reader, entry, head.settled);
      if (member !== -1) this.#merge(member, entry, peer, events);
    }
  }

  /** A new pipe to a peer: whether it has our list must be learned anew. */
  forgetBook(peer: number): void {
    this.#hashOf[peer] = 0;
  }

  #merge(member: number, entry: Entry, from: number, events: GossipEvents): void {
    if (member === this.self) {
      this.#answer(entry, events);
      return;
    }
    const changed = mergeEntry(this.entries[member]!, entry, this.#oldWins);
    if (changed === CHANGED_NOTHING) return;
    if ((changed & CHANGED_STATUS) !== 0) this.#spread(member);
    if ((changed & CHANGED_COUNTER) !== 0) this.#moveFirst(member);
    events.entryChanged(member, changed, from);
  }

  /** What others say of this node: it contradicts what is not its own word. */
  #answer(said: Entry, events: GossipEvents): void {
    const own = this.own;
    if (own.status === STATUS_LEFT && said.incarnation <= own.incarnation) return;
    const older = said.incarnation < own.incarnation;
    const agrees = said.status === STATUS_ALIVE && said.counter <= own.counter;
    if (older || (said.incarnation === own.incarnation && agrees)) return;
    // A greater one is from a life this node forgot with its disk.
    own.incarnation = said.incarnation + 1;
    own.counter = 0;
    this.#spread(this.self);
    events.refuted();
  }

  #spread(member: number): void {
    // The own entry is in every message.
    if (member === this.self) return;
    if (this.#newsLeft[member] === 0) this.#news.push(member);
    this.#newsLeft[member] = this.#newsSends;
  }

  /** Chooses what to tell `peer`, into `#picked`. */
  #pick(peer: number): number {
    let count = 0;
    // Whoever is spoken ill of must hear it, to contradict.
    if (this.entries[peer]!.status !== STATUS_ALIVE || this.#forgetful[peer] === 1)
      this.#picked[count++] = peer;
    count = this.#pickNews(peer, count);
    let member = this.#next[this.self]!;
    const last = this.#previous[this.self]!;
    while (count < this.#limits.entriesUsual && member !== this.self) {
      const following = member === last ? this.self : this.#next[member]!;
      if (member !== peer && !this.#isPicked(member, count)) {
        this.#picked[count++] = member;
        this.#moveLast(member);
      }
      member = following;
    }
    return count;
  }

  #pickNews(peer: number, before: number): number {
    const news = this.#news;
    let count = before;
    for (let tries = news.length; tries > 0 && count < this.#limits.entriesMax; tries--) {
      const member = news.shift()!;
      if (member !== peer) {
        this.#picked[count++] = member;
        this.#newsLeft[member]!--;
      }
      if (this.#newsLeft[member]! > 0) news.push(member);
    }
    return count;
  }

  #isPicked(member: number, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.#picked[i] === member) return true;
    return false;
  }

  #moveFirst(member: number): void {
    this.#unlink(member);
    this.#linkAfter(this.self, member);
  }

  #moveLast(member: number): void {
    this.#unlink(member);
    this.#linkAfter(this.#previous[this.self]!, member);
  }

  #unlink(member: number): void {
    const next = this.#next[member]!;
    const previous = this.#previous[member]!;
    this.#next[previous] = next;
    this.#previous[next] = previous;
  }

  #linkAfter(before: number, member: number): void {
    const next = this.#next[before]!;
    this.#next[before] = member;
    this.#previous[member] = before;
    this.#next[member] = next;
    this.#previous[next] = member;
  }
}
