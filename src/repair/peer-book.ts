/**
 * The peer book: what this node knows of its agreement with one other member, and what it compares next.
 *
 * The picture: a round of the night watch. The book lists the partitions shared with the member; of each
 * pair of replicas one walks the round, the one that comes first in the partition's preference list. A
 * round is walked in short stretches, evenly spread over the interval. Where something was found amiss
 * the watch looks again soon; and when the member comes back from being away, everywhere.
 *
 * Pure: time comes in as an argument, monotonic milliseconds.
 */

import { murmur3 } from '../base/murmur3.ts';
import type { NodeId } from '../ports/transport.ts';
import type { Table } from '../ring/table.ts';
import type { PartitionOutcome } from './outcome.ts';

const stateUnknown = 0;
const stateEqual = 1;
const stateDiffering = 2;

/**
 * Partitions compared in one go: many, so that a message is worth its frame; fewer where partitions are so
 * large that a stretch is not weighed in time.
 */
const stretchMax = 256;
/** After a member was away fewer, since much may differ, and others compare the same with it. */
const soonMax = 64;
/** Handfuls of partitions that differ again and again, in the time after which a difference is looked at. */
const laterHandfuls = 8;
/** After a peer did not take rows, the next look at what differs again and again is so many times as far off. */
const refusedFactor = 6;

export interface PairCounts {
  readonly equal: number;
  readonly differing: number;
  readonly unknown: number;
}

export class PeerBook {
  readonly peer: NodeId;
  /** Partitions of which both are replicas. */
  shared: readonly number[] = [];
  /** Those that this node walks. */
  walked: readonly number[] = [];
  readonly #isShared: Uint8Array;
  readonly #self: NodeId;
  readonly #intervalMs: number;
  readonly #states: Uint8Array;
  /** When a comparison began after which nothing was left different; -Infinity for never. */
  readonly #completedAt: Float64Array;
  /** Stamp time of the oldest row the peer was found to lack and was not given, by partition. */
  readonly #lacking: Map<number, number> = new Map();
  /** The round under way: its next partition, its beginning, and whether every stretch went well. */
  #at = 0;
  #roundAt: number;
  #roundWell = true;
  #stretchOut = false;
  /** The stretch that is out belongs to a round that was given up. */
  #stretchStale = false;
  #stretchLength: number = stretchMax;
  /** Partitions to be looked at soon, and from when on. */
  #soon: Set<number> = new Set();
  #soonAt = 0;
  /** Partitions of which rows were handed over here, that the peer may lack; looked at when no more come. */
  readonly #handed: Set<number> = new Set();
  #handedAt = 0;
  /** Partitions looked at again already: from then on they are looked at when there is time. */
  readonly #again: Set<number> = new Set();
  /** Partitions that differed again, as those do that are being written: patiently, and from when on. */
  readonly #later: Set<number> = new Set();
  #laterAt = 0;
  /** Beginning of the last round that was completed, and how long it took. */
  roundBeganAt: number = Number.NEGATIVE_INFINITY;
  roundTookMs = 0;
  rounds = 0;

  constructor(self: NodeId, peer: NodeId, table: Table, intervalMs: number, firstAt: number) {
    this.peer = peer;
    this.#self = self;
    this.#intervalMs = intervalMs;
    this.#roundAt = firstAt;
    this.#isShared = new Uint8Array(table.partitionCount);
    this.#states = new Uint8Array(table.partitionCount);
    this.#completedAt = new Float64Array(table.partitionCount).fill(Number.NEGATIVE_INFINITY);
    this.#list(table);
  }

  #list(table: Table): void {
    const shared: number[] = [];
    const walked: number[] = [];
    this.#isShared.fill(0);
    for (let partition = 0; partition < table.partitionCount; partition++) {
      const list = table.preferenceListOfPartition(partition);
      const own = list.indexOf(this.#self);
      const theirs = list.indexOf(this.peer);
      if (own < 0 || theirs < 0) continue;
      this.#isShared[partition] = 1;
      shared.push(partition);
      if (own < theirs) walked.push(partition);
    }
    this.shared = shared;
    this.walked = walked;
  }

  /**
   * Other owners: rounds follow `table` from now on, and walk soon what was not walked before.
   * @param isPair whether both are to hold a partition, by this table or by another one in force: of those pairs
   * what is known is kept
   */
  setTable(table: Table, isPair: (partition: number) => boolean, now: number): void {
    const walkedBefore = this.walked;
    this.#list(table);
    for (let partition = 0; partition < table.partitionCount; partition++) {
      if (this.#isShared[partition] === 0) {
        for (const waiting of [this.#soon, this.#handed, this.#again, this.#later]) waiting.delete(partition);
      }
      if (isPair(partition)) continue;
      this.#states[partition] = stateUnknown;
      this.#completedAt[partition] = Number.NEGATIVE_INFINITY;
      this.#lacking.delete(partition);
    }
    const known = new Set(walkedBefore);
    const news = this.walked.filter((partition) => !known.has(partition));
    if (news.length === 0 && this.walked.length === walkedBefore.length) return;
    // A round under way begins anew; one that waits for its time goes on waiting.
    if (this.#at > 0) this.#roundAt = now;
    this.#at = 0;
    this.#stretchStale = this.#stretchOut;
    if (news.length > 0 && this.#soon.size === 0) this.#soonAt = now + this.againMs;
    for (const partition of news) this.#soon.add(partition);
  }

  /** The next stretch of the round, if it is due; `stretchDone` must follow. */
  takeStretch(now: number): readonly number[] {
    const { walked } = this;
    if (this.#stretchOut || walked.length === 0) return [];
    const dueAt = this.#roundAt + (this.#intervalMs * this.#at) / walked.length;
    if (now < dueAt) return [];
    if (this.#at === 0) {
      this.#roundAt = now;
      this.#roundWell = true;
      this.#again.clear();
    }
    this.#stretchOut = true;
    const stretch = walked.slice(this.#at, this.#at + this.#stretchLength);
    this.#at += stretch.length;
    return stretch;
  }

  /** A stretch of that many partitions took too long, or did not: the next is shorter, or longer. */
  fitStretch(tooLong: boolean): void {
    const length = tooLong ? this.#stretchLength / 4 : this.#stretchLength * 2;
    this.#stretchLength = Math.max(1, Math.min(stretchMax, Math.floor(length)));
  }

  /** The stretch was compared, all of it or not. */
  stretchDone(well: boolean, now: number): void {
    this.#stretchOut = false;
    if (this.#stretchStale) {
      this.#stretchStale = false;
      return;
    }
    this.#roundWell &&= well;
    if (this.#at < this.walked.length) return;
    if (this.#roundWell) {
      this.rounds++;
      this.roundBeganAt = this.#roundAt;
      this.roundTookMs = now - this.#roundAt;
    }
    this.#at = 0;
    this.#roundAt += this.#intervalMs;
  }

  /** How far the round has come, 0 to 1. */
  get progress(): number {
    return this.walked.length === 0 ? 0 : this.#at / this.walked.length;
  }

  /** All walked partitions are to be compared from `at` on: the member is back. */
  walkSoon(at: number): void {
    // Not all begin at the same end: what one has handed over the next need not.
    const turn = murmur3(this.#self) % Math.max(1, this.walked.length);
    this.#soon = new Set([...this.walked.slice(turn), ...this.walked.slice(0, turn), ...this.#soon]);
    this.#soonAt = at;
    this.#again.clear();
  }

  /** Partitions that are to be looked at now, out of turn. */
  takeSoon(now: number): number[] {
    if (this.#handed.size > 0 && now >= this.#handedAt) {
      if (this.#soon.size === 0) this.#soonAt = now;
      for (const partition of this.#handed) this.#soon.add(partition);
      this.#handed.clear();
    }
    if (this.#soon.size === 0 || now < this.#soonAt) return [];
    const taken: number[] = [];
    for (const partition of this.#soon) {
      if (taken.length === Math.min(soonMax, this.#stretchLength)) break;
      taken.push(partition);
      this.#soon.delete(partition);
    }
    return taken.sort((a, b) => a - b);
  }

  /**
   * The same for partitions that differed when they were looked at again: they may be written all the time,
   * or have been mended by others since.
   */
  takeLater(now: number): number[] {
    if (this.#later.size === 0 || now < this.#laterAt) return [];
    const taken: number[] = [];
    for (const partition of this.#later) {
      if (taken.length === Math.min(soonMax, this.#stretchLength)) break;
      taken.push(partition);
      this.#later.delete(partition);
    }
    // Between two handfuls the round goes on.
    this.#laterAt = Math.max(this.#laterAt, now + this.againMs / laterHandfuls);
    return taken.sort((a, b) => a - b);
  }

  /**
   * A row of the partition was handed over here by a node that kept it: the peer may lack it, whatever the last
   * comparison found. Whoever walks the round, this node looks when the handoff is over.
   */
  handedOver(partition: number, now: number): void {
    if (this.#isShared[partition] === 0) return;
    this.#states[partition] = stateUnknown;
    this.#handed.add(partition);
    this.#handedAt = now + this.againMs;
  }

  /** How long after a difference the watch looks again, milliseconds. */
  get againMs(): number {
    return Math.min(5000, Math.max(50, this.#intervalMs / 10));
  }

  #lookAgain(partition: number, now: number): void {
    if (this.#again.has(partition)) {
      if (this.#later.size === 0) this.#laterAt = now + this.againMs;
      this.#later.add(partition);
      return;
    }
    this.#again.add(partition);
    if (this.#soon.size === 0) this.#soonAt = now + this.againMs;
    this.#soon.add(partition);
  }

  /** Files what a comparison of ours found that began at `beganAt`. */
  record(outcome: PartitionOutcome, failed: boolean, beganAt: number, now: number): void {
    const { partition } = outcome;
    const left = failed || outcome.unresolved > 0 || outcome.damaged > 0;
    if (outcome.oldestLackingTime < Number.POSITIVE_INFINITY && left) {
      this.#lacking.set(partition, outcome.oldestLackingTime);
    } else if (!left) this.#lacking.delete(partition);
    // A comparison that began before a row was handed over knows nothing of it.
    if (outcome.equal && !this.#handed.has(partition)) this.#states[partition] = stateEqual;
    else if (outcome.compared && !outcome.equal) this.#states[partition] = stateDiffering;
    if (!left) this.#completedAt[partition] = beganAt;
    if (!outcome.equal && this.#isShared[partition] === 1) this.#lookAgain(partition, now);
    // Rows that were not taken (a full disk) are not offered all the time.
    if (outcome.unresolved > 0 && outcome.rowsSent > 0) {
      this.#laterAt = Math.max(this.#laterAt, now + refusedFactor * this.againMs);
    }
  }

  /** The peer compared a partition with us: what its question showed. */
  heard(partition: number, equal: boolean, now: number): void {
    this.#states[partition] = equal ? stateEqual : stateDiffering;
    if (!equal) return;
    this.#lacking.delete(partition);
    this.#completedAt[partition] = now;
  }

  /** When a comparison began that left nothing different; -Infinity for never. */
  completedAt(partition: number): number {
    return this.#completedAt[partition] ?? Number.NEGATIVE_INFINITY;
  }

  /** Nothing is known of the peer any more: it has a new disk, or we have. */
  forget(): void {
    this.#states.fill(stateUnknown);
    this.#completedAt.fill(Number.NEGATIVE_INFINITY);
  }

  counts(): PairCounts {
    let equal = 0;
    let differing = 0;
    for (const partition of this.shared) {
      if (this.#states[partition] === stateEqual) equal++;
      else if (this.#states[partition] === stateDiffering) differing++;
    }
    return { equal, differing, unknown: this.shared.length - equal - differing };
  }

  /** Stamp time of the oldest row the peer is known to lack; Infinity for none. */
  oldestLackingTime(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const time of this.#lacking.values()) oldest = Math.min(oldest, time);
    return oldest;
  }
}
