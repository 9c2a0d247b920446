/**
 * The move desk: fetches what this node is to hold by the change under way, and says when that is done; and sees
 * that nothing is left here of what belongs to others (`strays.ts`).
 *
 * The picture: moving day. The list of what is to be fetched is written from the topology (`move-plan.ts`); each
 * item is ticked off when every old owner was asked for it. The first old owner gives all rows, the others what
 * they alone hold, which is next to nothing: a comparison of equal partitions costs some bytes. The list is kept in
 * a note (`move-note.ts`), so that a crash is a pause. Nobody is asked before all members know the epoch: until then
 * somebody may count a write by the old owners alone, and it would reach an old owner after it was asked.
 *
 * There are no messages of its own: anti-entropy carries the rows (`RepairDesk.compare`), at the pace of
 * `limits.moveBytesPerSecond` and of the urgent purse (`repair-rows.ts`).
 */

import { CodedError } from '../base/errors.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import { peekStored } from '../replica/stored-bytes.ts';
import { VOUCH_FULL } from '../replica/vouching.ts';
import type { Topology } from '../topology/topology.ts';
import type { NodeContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { MoveFigures } from './move-figures.ts';
import { moveNoteKey, readMoveNote, writeMoveNote } from './move-note.ts';
import { movesTo } from './move-plan.ts';
import type { RepairPurses } from './repair-purses.ts';
import type { CompareDone, CompareHow } from './repair-work.ts';
import type { StrayMarks } from './stray-marks.ts';
import { Strays } from './strays.ts';

/** Partitions being fetched at a time: as many as anti-entropy has sessions for. */
const underwayMax = 24;
/** After a comparison failed its peer is left alone for so long, milliseconds. */
const retryMs = 500;
/** The note is written at most so often while partitions become whole, milliseconds. */
const noteEveryMs = 1000;
/** The rate is told over about so long, milliseconds. */
const rateEveryMs = 1000;
const noHow: CompareHow = { moves: true };

/** What the desk needs of its neighbours. */
export interface MoveNeighbours {
  /** Anti-entropy: see `RepairDesk`. */
  readonly repair: {
    readonly open: boolean;
    compare(partition: number, peer: NodeId, done: CompareDone, how: CompareHow): void;
    give(partition: number, owner: NodeId, done: CompareDone): void;
    readonly purses: RepairPurses;
  };
  /** Notes which partitions hold rows of others. */
  readonly strays: StrayMarks;
  /** The epoch this node knows durably. */
  epochKnown(): number;
}

/** A partition that is not whole yet. */
interface Move {
  readonly partition: number;
  /** Old owners that were not asked yet, in this order. */
  peers: NodeId[];
  isUnderway: boolean;
  /** Rows of one old owner are here. */
  isFetched: boolean;
}

export class MoveDesk implements Desk {
  readonly family: number = 9;
  readonly #context: NodeContext;
  readonly #neighbours: MoveNeighbours;
  readonly #strays: Strays;
  /** What is left of the list, and how long it is. */
  #moves: Map<number, Move> = new Map();
  #listed = 0;
  /** By partition: 1 for whole ones. */
  #done: Uint8Array;
  /** How often this node had lost its disk when the ticks were made; -1 for not known yet. */
  #generation = -1;
  /** Raised when the list is begun anew: what was under way before counts for nothing. */
  #round = 0;
  #underway = 0;
  readonly #retryAt: Map<NodeId, number> = new Map();
  /** Ticks were made that the durable note does not have. */
  #isDirty = false;
  #isStoring = false;
  #noteAt = 0;
  #hasNote = false;
  #rows = 0;
  #bytes = 0;
  #fetched = 0;
  #rate = 0;
  #rateAt = 0;
  #rateBytes = 0;
  #rowsTotal = 0;
  #bytesTotal = 0;
  readonly #isFromOne: boolean;
  readonly #isEarly: boolean;

  constructor(context: NodeContext, storage: Storage, neighbours: MoveNeighbours) {
    this.#context = context;
    this.#neighbours = neighbours;
    this.#isFromOne = context.mutants.has('copy-from-one');
    this.#isEarly = context.mutants.has('copy-before-all-know');
    this.#done = new Uint8Array(context.topology.partitionCount);
    this.#strays = new Strays(context, storage, neighbours.strays, {
      give: (partition, owner, done) => neighbours.repair.give(partition, owner, done),
      doAllKnow: () => this.#doAllKnow(),
      purses: neighbours.repair.purses,
    });
    const stored = peekStored(storage, moveNoteKey);
    const note = stored === undefined ? undefined : readMoveNote(stored, context.topology.partitionCount);
    this.#hasNote = stored !== undefined;
    if (note?.epoch === context.topology.epoch) {
      this.#done = note.done;
      this.#generation = note.generation;
    }
    this.#list();
  }

  /** Writes the list: what the topology asks for and is not ticked off. */
  #list(): void {
    const { self, topology, links } = this.#context;
    this.#round++;
    this.#underway = 0;
    this.#retryAt.clear();
    this.#rows = 0;
    this.#bytes = 0;
    this.#fetched = 0;
    this.#isDirty = false;
    this.#isStoring = false;
    this.#moves = new Map();
    const moves = movesTo(self, topology, (id) => links.zoneOf(id));
    this.#listed = moves.length;
    for (const { partition, peers } of moves) {
      if (this.#done[partition] === 1) continue;
      const asked = this.#isFromOne ? peers.slice(0, 1) : [...peers];
      this.#moves.set(partition, { partition, peers: asked, isUnderway: false, isFetched: false });
    }
  }

  /** Another epoch is in force: what was ticked off for the one before is of no use any more. */
  topologyChanged(_before: Topology, topology: Topology): void {
    this.#done = new Uint8Array(topology.partitionCount);
    this.#generation = -1;
    this.#list();
    if (this.#hasNote) this.#forgetNote();
    this.#strays.topologyChanged();
  }

  #forgetNote(): void {
    this.#hasNote = false;
    // Should it come back with a crash, its epoch is not the one in force.
    this.#context.replica.note(moveNoteKey, undefined, { stored: () => undefined });
  }

  /** Whether this node has done, durably, all that the epoch in force asks of it. */
  get isSettled(): boolean {
    const { topology, self, hints, links, identity } = this.#context;
    if (!topology.has(self) || topology.phase === 'steady') return true;
    if (topology.phase === 'copy') return this.#isWhole;
    // Before a newcomer acknowledges anything everybody has told it that it is new: else whoever is started again might
    // tell it later what it remembers of this very life, and the disk be taken for lost.
    if (topology.phase === 'enrol')
      return topology.newcomers.every(({ id }) => (id === self ? identity.isAllTold : links.isLive(id)));
    return topology.read.has(self) || hints.isEmpty;
  }

  /** Everything is here, and the note says so. */
  get #isWhole(): boolean {
    if (this.#listed === 0) return true;
    if (!this.#neighbours.repair.open || this.#generation !== this.#context.identity.generation) return false;
    return this.#moves.size === 0 && !this.#isDirty && !this.#isStoring && this.#isVouchedFor;
  }

  /** What was lost since, of what came and of writes that counted on it, is here again. */
  get #isVouchedFor(): boolean {
    const { vouching } = this.#context;
    if (vouching.isFull) return true;
    return this.#done.every((isDone, partition) => isDone === 0 || vouching.level(partition) === VOUCH_FULL);
  }

  get isQuiet(): boolean {
    return this.#underway === 0 && this.#strays.isQuiet;
  }

  tick(now: number): void {
    this.#measure(now);
    if (!this.#neighbours.repair.open) return;
    this.#strays.tick(now);
    if (this.#listed === 0) return;
    this.#checkGeneration();
    if (this.#isDirty && !this.#isStoring && (this.#moves.size === 0 || now >= this.#noteAt))
      this.#store(now);
    if (this.#moves.size === 0 || this.#underway >= underwayMax || !this.#doAllKnow()) return;
    for (const move of this.#moves.values()) {
      if (this.#underway >= underwayMax) return;
      if (!move.isUnderway) this.#ask(move, now);
    }
  }

  /** Ticks earned on a disk that was lost are worth nothing. */
  #checkGeneration(): void {
    const { generation } = this.#context.identity;
    if (generation === this.#generation) return;
    const isNews = this.#generation >= 0;
    this.#generation = generation;
    if (!isNews) return;
    this.#done.fill(0);
    this.#list();
  }

  /** Whether all members, this one too, know the epoch in force, durably. */
  #doAllKnow(): boolean {
    const { topology, self } = this.#context;
    if (this.#isEarly) return true;
    for (const { id } of topology.members) {
      const epoch = id === self ? this.#neighbours.epochKnown() : this.#epochOf(id);
      if (epoch < topology.epoch) return false;
    }
    return true;
  }

  #epochOf(id: NodeId): number {
    const { links } = this.#context;
    const link = links.get(id);
    return link === undefined ? 0 : links.view(link, this.#context.now()).epoch;
  }

  /** Asks the next old owner that can be reached, if there is one. */
  #ask(move: Move, now: number): void {
    const { links } = this.#context;
    if (move.peers.length === 0) {
      this.#whole(move);
      return;
    }
    const peer = move.peers.find((id) => links.isLive(id) && now >= (this.#retryAt.get(id) ?? 0));
    if (peer === undefined) return;
    move.isUnderway = true;
    this.#underway++;
    const round = this.#round;
    this.#neighbours.repair.compare(
      move.partition,
      peer,
      (error, compared) => {
        if (round !== this.#round) return;
        move.isUnderway = false;
        this.#underway--;
        const at = this.#context.now();
        // What came stays, also where the comparison that was to prove it failed.
        if (compared !== undefined) this.#count(compared.rowsTaken, compared.rowBytesTaken);
        if (error !== undefined || compared === undefined) {
          this.#retryAt.set(peer, at + retryMs);
          return;
        }
        if (!move.isFetched) this.#fetched++;
        move.isFetched = true;
        move.peers = move.peers.filter((id) => id !== peer);
        this.#ask(move, at);
      },
      noHow,
    );
  }

  #count(rows: number, bytes: number): void {
    this.#rows += rows;
    this.#bytes += bytes;
    this.#rowsTotal += rows;
    this.#bytesTotal += bytes;
  }

  #whole(move: Move): void {
    this.#moves.delete(move.partition);
    this.#done[move.partition] = 1;
    this.#isDirty = true;
  }

  #store(now: number): void {
    const { replica, topology } = this.#context;
    this.#noteAt = now + noteEveryMs;
    this.#isDirty = false;
    this.#isStoring = true;
    this.#hasNote = true;
    const round = this.#round;
    const note = { epoch: topology.epoch, generation: this.#generation, done: this.#done };
    replica.note(moveNoteKey, writeMoveNote(note), {
      stored: (error) => {
        if (round !== this.#round) return;
        this.#isStoring = false;
        if (error !== undefined) this.#isDirty = true;
      },
    });
  }

  #measure(now: number): void {
    const passedMs = now - this.#rateAt;
    if (passedMs < rateEveryMs) return;
    const rate = ((this.#bytesTotal - this.#rateBytes) * 1000) / passedMs;
    this.#rate = this.#rateAt === 0 ? 0 : (this.#rate + rate) / 2;
    this.#rateAt = now;
    this.#rateBytes = this.#bytesTotal;
  }

  figures(): MoveFigures {
    const { topology } = this.#context;
    const left = this.#moves.size;
    const isFetching = left > 0;
    const toFetch = [...this.#moves.values()].filter(({ isFetched }) => !isFetched).length;
    return {
      epoch: topology.epoch,
      partitions: this.#listed,
      partitionsDone: this.#listed - left,
      rows: this.#rows,
      bytes: this.#bytes,
      bytesLeft: this.#fetched === 0 ? 0 : Math.round((this.#bytes / this.#fetched) * toFetch),
      bytesPerSecond: isFetching ? Math.round(this.#rate) : 0,
      waitsFor: this.#waitsFor(),
      strays: this.#strays.count,
      rowsTotal: this.#rowsTotal,
      bytesTotal: this.#bytesTotal,
      partitionsCleaned: this.#strays.cleaned,
    };
  }

  /** Members that cannot be reached and without whom the change does not go on here. */
  #waitsFor(): NodeId[] {
    const { topology, links, self } = this.#context;
    if (topology.phase === 'steady' || !topology.has(self)) return [];
    const needed = new Set<NodeId>();
    for (const { peers } of this.#moves.values()) for (const id of peers) needed.add(id);
    for (const { id } of topology.members)
      if (id !== self && this.#epochOf(id) < topology.epoch) needed.add(id);
    return [...needed].filter((id) => !links.isLive(id)).sort();
  }

  message(): void {
    throw new CodedError('protocol', 'none', 'message of a family that has none');
  }
}
