/**
 * An assignment in the making: partitions with places, members that take them, and moves that bring
 * every member to its fair share while as few places as possible change hands.
 *
 * The picture is a seating plan. Each partition is a table with N seats; a member sits at a table at
 * most once; each zone has a least and a greatest number of seats at each table. A member's seats
 * should number its share rounded down (`low`) or up (`high`). Below `low` it needs a seat, above
 * `high` it must give one, above `low` it can spare one, below `high` it has room for one. A move is
 * either direct, "I give you my seat", or a chain, "I give her my seat here so that she gives you hers
 * there". Chains are the augmenting paths of a minimum-cost flow (Ford and Fulkerson 1962; Dijkstra
 * 1959 for the cheapest chain), so a share that can be reached is reached.
 *
 * Used twice by `placement.ts`: for the replicas (N seats, all members may sit anywhere) and for the
 * primaries (one seat, only the replicas of the partition may have it).
 */

import { assert } from '../base/assert.ts';

/** An empty place, and "no member". */
export const NOBODY = 0xffff;

/** Cost of a place that changes hands, of disturbing a favoured holder, and of a link in a chain. */
const COST_MOVE = 64;
const COST_DISTURB = 8;
const COST_LINK = 1;
const UNREACHED = 0x7fffffff;

/** Evening out stops after so many passes, or when no exchange narrows a gap by this much. */
const EVENING_PASSES = 64;
const GAP_LEAST = 1e-6;

/** A search for a chain, by member: the cost to reach it, from whom and in which partition. */
interface Search {
  readonly cost: Int32Array;
  readonly giver: Uint16Array;
  readonly at: Uint16Array;
  readonly done: Uint8Array;
}

export interface AssignmentOptions {
  readonly memberCount: number;
  readonly partitionCount: number;
  readonly placeCount: number;
  /** The zone of each member, and the bounds of each zone at one partition. */
  readonly zoneOf: readonly number[];
  readonly zoneLow: readonly number[];
  readonly zoneHigh: readonly number[];
  /** The fair share of each member, in places; together all places. */
  readonly shares: readonly number[];
  /** The members that may hold a place of a partition. */
  readonly candidates: (partition: number) => Uint16Array;
  /** Whether a member should rather stay at a partition, though its leaving is no extra move. */
  readonly favoured: (partition: number, member: number) => boolean;
  /** Decides between equals: the greater goes first. */
  readonly tie: (partition: number, member: number) => number;
}

export class Assignment {
  readonly #options: AssignmentOptions;
  readonly #places: Uint16Array;
  readonly #held: Uint8Array;
  readonly #heldBefore: Uint8Array;
  readonly #zoneCounts: Uint8Array;
  readonly #sizes: Uint8Array;
  /** How many places each member holds. */
  readonly counts: number[];
  readonly #low: readonly number[];
  readonly #high: readonly number[];

  constructor(options: AssignmentOptions) {
    const { memberCount, partitionCount, placeCount, zoneLow } = options;
    this.#options = options;
    this.#places = new Uint16Array(partitionCount * placeCount).fill(NOBODY);
    this.#held = new Uint8Array(partitionCount * memberCount);
    this.#heldBefore = new Uint8Array(partitionCount * memberCount);
    this.#zoneCounts = new Uint8Array(partitionCount * zoneLow.length);
    this.#sizes = new Uint8Array(partitionCount);
    this.counts = new Array<number>(memberCount).fill(0);
    this.#low = options.shares.map(Math.floor);
    this.#high = options.shares.map(Math.ceil);
  }

  /** The members at a partition, `NOBODY` for an empty place: a view. */
  placesOf(partition: number): Uint16Array {
    const { placeCount } = this.#options;
    return this.#places.subarray(partition * placeCount, (partition + 1) * placeCount);
  }

  has(partition: number, member: number): boolean {
    return this.#held[partition * this.#options.memberCount + member] === 1;
  }

  holes(partition: number): number {
    return this.#options.placeCount - this.#sizes[partition]!;
  }

  /** It must give a place: it holds more than its share rounded up. */
  over(member: number): boolean {
    return this.counts[member]! > this.#high[member]!;
  }

  /** It can give a place to one in need. */
  spares(member: number): boolean {
    return this.counts[member]! > this.#low[member]!;
  }

  /** It must get a place: it holds less than its share rounded down. */
  needs(member: number): boolean {
    return this.counts[member]! < this.#low[member]!;
  }

  /** It can take a place. */
  hasRoom(member: number): boolean {
    return this.counts[member]! < this.#high[member]!;
  }

  /** Notes what is held now as held before: keeping it is free, anything else is a move. */
  markBefore(): void {
    this.#heldBefore.set(this.#held);
  }

  /** Gives an empty place of a partition to a member. */
  add(partition: number, member: number): void {
    const place = this.placesOf(partition).indexOf(NOBODY);
    assert(place >= 0 && !this.has(partition, member), 'a member takes an empty place, once');
    this.#set(partition, place, member);
  }

  /** Empties the place a member holds at a partition. */
  remove(partition: number, member: number): void {
    const place = this.placesOf(partition).indexOf(member);
    assert(place >= 0, 'a member leaves a place it holds');
    this.#clear(partition, place);
  }

  /** Gives the place of one member at a partition to another. */
  swap(partition: number, from: number, to: number): void {
    const place = this.placesOf(partition).indexOf(from);
    assert(place >= 0 && !this.has(partition, to), 'a place is handed to one who is not there');
    this.#clear(partition, place);
    this.#set(partition, place, to);
  }

  /** Whether a member may take an empty place of a partition. */
  mayAdd(partition: number, member: number): boolean {
    if (this.has(partition, member)) return false;
    const { zoneOf, zoneLow, zoneHigh } = this.#options;
    const base = partition * zoneLow.length;
    const zone = zoneOf[member]!;
    const count = this.#zoneCounts[base + zone]!;
    if (count >= zoneHigh[zone]!) return false;
    if (count < zoneLow[zone]!) return true;
    let owed = 0;
    for (let other = 0; other < zoneLow.length; other++) {
      owed += Math.max(0, zoneLow[other]! - this.#zoneCounts[base + other]!);
    }
    return this.holes(partition) > owed;
  }

  /** Whether `from`, who is at the partition, may hand its place to `to`. */
  maySwap(partition: number, from: number, to: number): boolean {
    if (this.has(partition, to)) return false;
    const { zoneOf, zoneLow, zoneHigh } = this.#options;
    const zoneFrom = zoneOf[from]!;
    const zoneTo = zoneOf[to]!;
    if (zoneFrom === zoneTo) return true;
    const base = partition * zoneLow.length;
    return (
      this.#zoneCounts[base + zoneFrom]! > zoneLow[zoneFrom]! &&
      this.#zoneCounts[base + zoneTo]! < zoneHigh[zoneTo]!
    );
  }

  /** Whether `a` should be served before `b`: one in need first, then the further behind its share. */
  behind(partition: number, a: number, b: number): boolean {
    if (this.needs(a) !== this.needs(b)) return this.needs(a);
    const { shares, tie } = this.#options;
    const byPart = this.counts[b]! * shares[a]! - this.counts[a]! * shares[b]!;
    if (byPart !== 0) return byPart > 0;
    const byTie = tie(partition, a) - tie(partition, b);
    return byTie !== 0 ? byTie > 0 : a < b;
  }

  /**
   * Fills empty places with whoever is furthest behind. A member that needs every partition still to
   * come is served first, or it could not reach its share.
   */
  fill(): void {
    let left = 0;
    for (let partition = 0; partition < this.#options.partitionCount; partition++) {
      if (this.holes(partition) > 0) left++;
    }
    for (let partition = 0; partition < this.#options.partitionCount; partition++) {
      if (this.holes(partition) === 0) continue;
      while (this.holes(partition) > 0) {
        const member = this.#neediest(partition, left);
        if (member === NOBODY) break;
        this.add(partition, member);
      }
      left--;
    }
  }

  #neediest(partition: number, partitionsLeft: number): number {
    let best = NOBODY;
    let bestMust = false;
    for (const member of this.#options.candidates(partition)) {
      if (!this.hasRoom(member) || !this.mayAdd(partition, member)) continue;
      const must = this.#low[member]! - this.counts[member]! >= partitionsLeft;
      if (best !== NOBODY && (bestMust === must ? !this.behind(partition, member, best) : bestMust)) continue;
      best = member;
      bestMust = must;
    }
    return best;
  }

  /** The fit candidate furthest behind that `from` may hand its place to, or `NOBODY`. */
  heir(partition: number, from: number, fit: (member: number) => boolean): number {
    let best = NOBODY;
    for (const member of this.#options.candidates(partition)) {
      if (!fit(member) || !this.maySwap(partition, from, member)) continue;
      if (best === NOBODY || this.behind(partition, member, best)) best = member;
    }
    return best;
  }

  /**
   * Members that lack so much that places are taken from others who may keep them: two or more below
   * their share rounded down, or without any place. One that lacks a single place can wait: nobody else
   * is over its share for that, and each place taken from a holder is a move more than needed. In a
   * table without a past (`strict`) moves cost nothing and nobody waits.
   */
  lacking(strict: boolean): Set<number> {
    const found = new Set<number>();
    this.counts.forEach((count, member) => {
      const lack = this.#low[member]! - count;
      if (lack >= 2 || (lack === 1 && (strict || count === 0))) found.add(member);
    });
    return found;
  }

  /** How many of the empty places nobody needs: `fill` may give these to any with room. */
  unneeded(): number {
    let sum = 0;
    for (let partition = 0; partition < this.#options.partitionCount; partition++)
      sum += this.holes(partition);
    this.counts.forEach((count, member) => {
      sum -= Math.max(0, this.#low[member]! - count);
    });
    return sum;
  }

  /**
   * Direct moves, in the given order of partitions, sparing favoured holders: from those that must give
   * to those in need, then from those that can spare to the lacking, then from those that must give to
   * any with room.
   */
  shift(order: Uint16Array, lacking: ReadonlySet<number>): void {
    const over = (member: number): boolean => this.over(member);
    const spares = (member: number): boolean => this.spares(member);
    this.#shiftFrom(order, over, (member) => this.needs(member));
    this.#shiftFrom(order, spares, (member) => this.needs(member) && lacking.has(member));
    this.#shiftFrom(order, over, (member) => this.hasRoom(member));
  }

  #shiftFrom(
    order: Uint16Array,
    gives: (member: number) => boolean,
    takes: (member: number) => boolean,
  ): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const partition of order) {
        for (const member of this.placesOf(partition).slice()) {
          if (member === NOBODY || !gives(member) || this.#options.favoured(partition, member)) continue;
          const heir = this.heir(partition, member, takes);
          if (heir === NOBODY) continue;
          this.swap(partition, member, heir);
          moved = true;
          break;
        }
      }
    }
  }

  /**
   * Evens out how heavy lists are (the sum of their members' shares) by exchanges between a light and
   * a heavy one, which change nobody's count. Without it some partitions would lie on light nodes only,
   * and when a heavy node leaves they would have to move more than it leaves behind. Only for a table
   * without a past: an exchange moves data.
   */
  evenOut(): void {
    const { partitionCount, shares } = this.#options;
    const weightOf = (partition: number): number =>
      this.placesOf(partition).reduce((sum, member) => sum + shares[member]!, 0);
    for (let pass = 0; pass < EVENING_PASSES; pass++) {
      const weights = Array.from({ length: partitionCount }, (_, partition) => weightOf(partition));
      const order = [...weights.keys()].sort((a, b) => weights[a]! - weights[b]! || a - b);
      let exchanged = false;
      for (let light = 0, heavy = partitionCount - 1; light < heavy; light++, heavy--) {
        const gap = weights[order[heavy]!]! - weights[order[light]!]!;
        if (this.#exchange(order[light]!, order[heavy]!, gap)) exchanged = true;
      }
      if (!exchanged) return;
    }
  }

  /** Exchanges the pair of members that best halves the gap between a light and a heavy partition. */
  #exchange(light: number, heavy: number, gap: number): boolean {
    const { shares } = this.#options;
    let [bestA, bestB, bestLeft] = [NOBODY, NOBODY, gap - GAP_LEAST];
    for (const a of this.placesOf(light)) {
      for (const b of this.placesOf(heavy)) {
        const left = Math.abs(gap - 2 * (shares[b]! - shares[a]!));
        if (left >= bestLeft || !this.maySwap(light, a, b) || !this.maySwap(heavy, b, a)) continue;
        [bestA, bestB, bestLeft] = [a, b, left];
      }
    }
    if (bestA === NOBODY) return false;
    this.swap(light, bestA, bestB);
    this.swap(heavy, bestB, bestA);
    return true;
  }

  /**
   * The rest, by chains: from each empty place, then from those that must give, then to the lacking.
   * What no chain can mend stays (a share that zones or lists forbid), but no place is left empty.
   */
  reroute(lacking: ReadonlySet<number>): void {
    const { partitionCount, memberCount } = this.#options;
    const everybody = new Set(this.counts.keys());
    for (let partition = 0; partition < partitionCount; partition++) {
      while (this.holes(partition) > 0) {
        if (!this.#chain(partition, () => false, everybody)) this.#fillAnyhow(partition);
      }
    }
    let attempts = memberCount;
    for (let member = 0; member < memberCount; member++) {
      attempts += 2 * Math.max(0, this.counts[member]! - this.#high[member]!);
      attempts += 2 * Math.max(0, this.#low[member]! - this.counts[member]!);
    }
    while (attempts-- > 0 && this.#chain(NOBODY, (member) => this.over(member), everybody));
    while (attempts-- > 0 && this.#chain(NOBODY, (member) => this.spares(member), lacking));
  }

  /** The least loaded of those who may sit here, wanted or not. */
  #fillAnyhow(partition: number): void {
    let best = NOBODY;
    for (const member of this.#options.candidates(partition)) {
      if (!this.mayAdd(partition, member)) continue;
      if (best === NOBODY || this.behind(partition, member, best)) best = member;
    }
    assert(best !== NOBODY, 'zone bounds leave somebody for each place');
    this.add(partition, best);
  }

  /**
   * Finds the cheapest chain from a partition's empty place, or from any giver, to one in need, and
   * makes its moves. If the place is empty or must be given, one with room will do too, at the price of
   * the move it leaves to be made for one in need. False if there is no chain.
   */
  #chain(hole: number, gives: (member: number) => boolean, takers: ReadonlySet<number>): boolean {
    const { memberCount } = this.#options;
    const search: Search = {
      cost: new Int32Array(memberCount).fill(UNREACHED),
      giver: new Uint16Array(memberCount).fill(NOBODY),
      at: new Uint16Array(memberCount).fill(NOBODY),
      done: new Uint8Array(memberCount),
    };
    let must = hole !== NOBODY;
    if (hole === NOBODY) {
      for (let member = 0; member < memberCount; member++) {
        if (!gives(member)) continue;
        search.cost[member] = 0;
        must ||= this.over(member);
      }
    } else {
      for (const member of this.#options.candidates(hole)) {
        if (!this.mayAdd(hole, member)) continue;
        search.cost[member] = COST_LINK + (this.#isNew(hole, member) ? COST_MOVE : 0);
        search.at[member] = hole;
      }
    }
    let end = NOBODY;
    let endCost = UNREACHED;
    for (;;) {
      const nearest = nearestOf(search);
      if (nearest === NOBODY || search.cost[nearest]! >= endCost) break;
      const needs = takers.has(nearest) && this.needs(nearest);
      const extra = needs ? 0 : must && this.hasRoom(nearest) ? COST_MOVE : UNREACHED;
      if (extra < UNREACHED && search.cost[nearest]! + extra < endCost) {
        end = nearest;
        endCost = search.cost[nearest]! + extra;
      }
      search.done[nearest] = 1;
      this.#relax(nearest, search);
    }
    if (end === NOBODY) return false;
    this.#apply(end, search);
    return true;
  }

  #relax(from: number, search: Search): void {
    const { partitionCount, candidates, favoured } = this.#options;
    const { cost, giver, at, done } = search;
    const least = cost[from]! + COST_LINK;
    for (let partition = 0; partition < partitionCount; partition++) {
      if (!this.has(partition, from)) continue;
      const leave =
        least +
        (favoured(partition, from) ? COST_DISTURB : 0) -
        (this.#isNew(partition, from) ? COST_MOVE : 0);
      for (const to of candidates(partition)) {
        if (to === NOBODY || done[to]! || cost[to]! <= least) continue;
        // A place that already changed hands may change again for nothing, never for a gain.
        const sum = Math.max(least, leave + (this.#isNew(partition, to) ? COST_MOVE : 0));
        if (sum >= cost[to]! || !this.maySwap(partition, from, to)) continue;
        cost[to] = sum;
        giver[to] = from;
        at[to] = partition;
      }
    }
  }

  /** Makes the moves of a chain, first link first, as far as each is still allowed after the last. */
  #apply(end: number, search: Search): void {
    const { giver, at } = search;
    const links: number[] = [];
    for (let member = end; member !== NOBODY && at[member] !== NOBODY; member = giver[member]!) {
      links.push(member);
    }
    for (const to of links.reverse()) {
      const partition = at[to]!;
      const from = giver[to]!;
      if (from === NOBODY) this.add(partition, to);
      else if (this.has(partition, from) && this.maySwap(partition, from, to)) this.swap(partition, from, to);
      else return;
    }
  }

  #isNew(partition: number, member: number): boolean {
    return this.#heldBefore[partition * this.#options.memberCount + member] === 0;
  }

  #set(partition: number, place: number, member: number): void {
    const { memberCount, placeCount, zoneOf, zoneLow } = this.#options;
    this.#places[partition * placeCount + place] = member;
    this.#held[partition * memberCount + member] = 1;
    this.#zoneCounts[partition * zoneLow.length + zoneOf[member]!]!++;
    this.#sizes[partition]!++;
    this.counts[member]!++;
  }

  #clear(partition: number, place: number): void {
    const { memberCount, placeCount, zoneOf, zoneLow } = this.#options;
    const member = this.#places[partition * placeCount + place]!;
    this.#places[partition * placeCount + place] = NOBODY;
    this.#held[partition * memberCount + member] = 0;
    this.#zoneCounts[partition * zoneLow.length + zoneOf[member]!]!--;
    this.#sizes[partition]!--;
    this.counts[member]!--;
  }
}

/** The cheapest member not done yet that can be reached at all, or `NOBODY`. */
function nearestOf({ cost, done }: Search): number {
  let nearest = NOBODY;
  let least = UNREACHED;
  for (let member = 0; member < cost.length; member++) {
    if (done[member] || cost[member]! >= least) continue;
    nearest = member;
    least = cost[member]!;
  }
  return nearest;
}
