/**
 * The rebuild: how a node that lost rows is made whole from the other replicas.
 *
 * The picture: a checklist, partitions down the side and the other replicas across the top. Each field is
 * ticked off when the partition was compared with that replica and what differed was exchanged
 * (anti-entropy does that). When everybody who is live has been ticked off, the partition answers reads
 * again; when everybody has, its word counts in linearizable ones too (`src/replica/vouching.ts`).
 *
 * The last tick has to be made with everybody's knowledge: a member that does not know yet of this life may
 * count, for a write under way, what the former life acknowledged (`WriteFlight.peerReborn`), and the row may
 * reach the others after they were compared. So `full` takes comparisons begun after all replicas told.
 *
 * While owners change the checklist has the partitions of both tables: what this node is to hold soon it may have
 * lost too. Across the top are always the replicas that reads ask now, without members that are gone for good.
 *
 * The levels are kept in the vouching note, the ticks are not: after a crash the partitions that were not
 * done are begun again, and comparing again what is equal costs next to nothing.
 */

import type { CodedError } from '../base/errors.ts';
import type { NodeId } from '../ports/transport.ts';
import { VOUCH_FULL, VOUCH_LOOSE, vouchingKey } from '../replica/vouching.ts';
import type { Topology } from '../topology/topology.ts';
import type { NodeContext } from './context.ts';

/** What the rebuild needs of anti-entropy. */
export interface RebuildSource {
  /** Compares a partition with a peer and exchanges what differs; `done` is called once. */
  compare(
    partition: number,
    peer: NodeId,
    done: (error: CodedError | undefined, compared: { readonly rowsTaken?: number } | undefined) => void,
  ): void;
}

/** Comparisons asked for at once. Anti-entropy does a few of them at a time, beside client traffic. */
const comparisonsMax = 64;
/** Levels are judged anew this often, milliseconds: somebody who was waited for may have gone. */
const judgeEveryMs = 250;
/** A comparison that was not answered by then is begun again, milliseconds. */
const comparisonMaxMs = 60_000;
/** After a comparison failed its peer is left alone for so long, milliseconds. */
const retryMs = 500;
const storeEveryMs = 1000;

/** What a field of the checklist says: compared, and compared after all replicas knew of this life. */
const TICK_LIVE = 1;
const TICK_FULL = 2;

export class Rebuild {
  readonly #context: NodeContext;
  /** Anti-entropy; until it is there nothing is compared. */
  source: RebuildSource | undefined = undefined;
  #listed: readonly number[] | undefined = undefined;
  /** Partitions that were compared, by peer: `TICK_LIVE`, or `TICK_FULL` if it was begun after all had told. */
  #done: Map<NodeId, Uint8Array> = new Map();
  /** Comparisons under way, by partition and peer: when they are given up. */
  readonly #underway: Map<string, number> = new Map();
  readonly #retryAt: Map<NodeId, number> = new Map();
  /** Raised when everything begins again: what was under way before counts for nothing. */
  #round = 0;
  #storeAt = 0;
  #judgeAt = 0;
  #dirty = false;
  /** Rows taken over in this rebuild, as far as anti-entropy tells. */
  rows = 0;
  #startedAt = 0;
  /** Members that told what they remember: they know of this life. */
  readonly #told: Set<NodeId> = new Set();

  constructor(context: NodeContext) {
    this.#context = context;
  }

  /** Partitions this node is to hold, of which there are other replicas. */
  get partitions(): readonly number[] {
    this.#listed ??= this.#list();
    return this.#listed;
  }

  #list(): readonly number[] {
    const { topology, self } = this.#context;
    const partitions: number[] = [];
    for (let partition = 0; partition < topology.partitionCount; partition++) {
      if (topology.isHolder(partition, self) && this.#othersOf(partition).length > 0)
        partitions.push(partition);
    }
    return partitions;
  }

  /** The other replicas that reads ask, but those that are gone for good. */
  #othersOf(partition: number): readonly NodeId[] {
    const { topology, self } = this.#context;
    const replicas = topology.read.preferenceListOfPartition(partition);
    return replicas.filter((id) => id !== self && topology.has(id));
  }

  /** Members and owners changed. What this node holds no more need not be won back. */
  topologyChanged(topology: Topology): void {
    const { vouching } = this.#context;
    // Listed when it is needed, which it hardly ever is: a new page is not to hold requests up.
    this.#listed = undefined;
    for (const peer of this.#done.keys()) if (!topology.has(peer)) this.#done.delete(peer);
    for (const peer of this.#told) if (!topology.has(peer)) this.#told.delete(peer);
    if (vouching.isFull) return;
    const held = new Set(this.partitions);
    for (let partition = 0; partition < topology.partitionCount; partition++) {
      if (!held.has(partition) && vouching.raise(partition, VOUCH_FULL)) this.#dirty = true;
    }
    if (vouching.isFull) this.#store();
  }

  /** Begins, or begins again from nothing. */
  restart(): void {
    this.#round++;
    this.#done = new Map();
    this.#underway.clear();
    this.#retryAt.clear();
    this.rows = 0;
    this.#startedAt = this.#context.now();
  }

  /** A member told what it remembers of this node: from now on it counts nothing of a former life. */
  told(peer: NodeId): void {
    this.#told.add(peer);
  }

  /** A peer never met this node in another life: on a new disk it has nothing to give back. */
  cleared(peer: NodeId): void {
    if (this.#context.vouching.reason !== 'new') return;
    this.#ticksOf(peer).fill(TICK_FULL);
    for (const partition of this.partitions) this.#judge(partition);
    this.#store();
  }

  #ticksOf(peer: NodeId): Uint8Array {
    let ticks = this.#done.get(peer);
    if (ticks === undefined) {
      ticks = new Uint8Array(this.#context.topology.partitionCount);
      this.#done.set(peer, ticks);
    }
    return ticks;
  }

  /** Begins comparisons, as many as may run. Call every few milliseconds. */
  tick(now: number): void {
    const { vouching } = this.#context;
    if (this.#dirty && now >= this.#storeAt) this.#store();
    if (vouching.isFull) return;
    if (now >= this.#judgeAt) {
      this.#judgeAt = now + judgeEveryMs;
      for (const [name, until] of this.#underway) if (now >= until) this.#underway.delete(name);
      for (const partition of this.partitions) {
        if (vouching.level(partition) !== VOUCH_FULL) this.#judge(partition);
      }
    }
    if (vouching.reason === 'lost' && this.source !== undefined) this.#beginSome(now);
  }

  #beginSome(now: number): void {
    for (const partition of this.partitions) {
      if (this.#underway.size >= comparisonsMax) return;
      if (this.#context.vouching.level(partition) === VOUCH_FULL) continue;
      const others = this.#othersOf(partition);
      const tick = others.every((peer) => this.#knows(peer)) ? TICK_FULL : TICK_LIVE;
      for (const peer of others) this.#begin(partition, peer, tick, now);
    }
  }

  #knows(peer: NodeId): boolean {
    return this.#told.has(peer) || this.#context.mutants.has('former-life-counted');
  }

  #begin(partition: number, peer: NodeId, tick: number, now: number): void {
    const context = this.#context;
    const name = `${partition} ${peer}`;
    const ready = context.links.isLive(peer) && now >= (this.#retryAt.get(peer) ?? 0);
    if (!ready || this.#underway.has(name) || this.#ticksOf(peer)[partition]! >= tick) return;
    this.#underway.set(name, now + comparisonMaxMs);
    const round = this.#round;
    this.source?.compare(partition, peer, (error, compared) => {
      if (round !== this.#round) return;
      this.#underway.delete(name);
      if (error !== undefined) {
        this.#retryAt.set(peer, context.now() + retryMs);
        return;
      }
      this.rows += compared?.rowsTaken ?? 0;
      this.#ticksOf(peer)[partition] = tick;
      this.#judge(partition);
    });
  }

  /** Raises the level of a partition as far as those who were heard allow. */
  #judge(partition: number): void {
    const { vouching, links } = this.#context;
    const { reason } = vouching;
    let all = true;
    let live = true;
    let heard = 0;
    for (const peer of this.#othersOf(partition)) {
      const tick = this.#done.get(peer)?.[partition] ?? 0;
      if (tick < TICK_FULL) all = false;
      if (tick > 0) heard++;
      else if (links.isLive(peer)) live = false;
    }
    const raised = all
      ? vouching.raise(partition, VOUCH_FULL)
      : live && heard > 0 && vouching.raise(partition, VOUCH_LOOSE);
    if (!raised) return;
    this.#dirty = true;
    if (vouching.isFull && reason === 'lost') this.#whole();
    else if (vouching.isFull) this.#store();
  }

  #whole(): void {
    const context = this.#context;
    context.log.write('info', 'disk-whole', {
      meaning: 'every row that the other replicas hold is here again: this node answers all reads',
      rows: this.rows,
      seconds: Math.round((context.now() - this.#startedAt) / 100) / 10,
    });
    this.#store();
  }

  /** Stores the levels, or takes the note away when there is nothing left to remember. */
  #store(): void {
    const { replica, vouching } = this.#context;
    this.#dirty = false;
    this.#storeAt = this.#context.now() + storeEveryMs;
    replica.note(vouchingKey, vouching.note(), {
      stored: (error) => {
        if (error !== undefined) this.#dirty = true;
      },
    });
  }
}
