/**
 * The repair desk: anti-entropy of this node. It says what is compared with whom and when, gives the
 * machines of `src/repair/` their hands (storage, frames, time), and keeps the figures.
 *
 * The picture: a watch room. A book a member lists what is shared with it (`peer-book.ts`); when a stretch
 * of a round is due, or somebody asks, a session is sent out, a few at a time; questions of other nodes'
 * sessions are answered at the door (`responder.ts`), which remembers nothing. The time all of it takes is
 * bounded by `repairShareMax` (`repair-rows.ts`).
 *
 * For its neighbours: `compare` is a comparison of one partition with one peer by full hashes (horizon desk,
 * rebuild, move desk), `give` one for rows that belong to others, `request` repair on demand. Rounds walk the table
 * that reads follow; while owners change, any two that are to hold a partition by either table may be compared.
 */

import type { ByteReader } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { HashForest } from '../merkle/hash-forest.ts';
import type { Random } from '../ports/random.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import type { PartitionOutcome } from '../repair/outcome.ts';
import { PeerBook } from '../repair/peer-book.ts';
import type { RepairMutants } from '../repair/ports.ts';
import { Responder } from '../repair/responder.ts';
import { Session } from '../repair/session.ts';
import { partitionRoot, slotsOfNode } from '../repair/tree.ts';
import type { Table } from '../ring/table.ts';
import type { RowKey } from '../rows/key.ts';
import type { Topology } from '../topology/topology.ts';
import { FAMILY_REPAIR } from '../wire/messages.ts';
import type { NodeContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { Link } from './links.ts';
import { awayError, busyError, changedError, RepairCalls, strangeError } from './repair-calls.ts';
import type { RepairDemand, RepairDone, RepairFigures, RepairProgress } from './repair-demand.ts';
import { RepairRun } from './repair-demand.ts';
import { RepairPurses } from './repair-purses.ts';
import { RepairRows } from './repair-rows.ts';
import { RepairTally, repairStatus } from './repair-tally.ts';
import type { CompareDone, CompareHow, DemandTask, Outgoing, PeerWork, WideTask } from './repair-work.ts';
import { noHow } from './repair-work.ts';
import type { RepairStatus } from './status.ts';

/** Sessions under way at once, and with one peer. */
const sessionsMax = 8;
const sessionsPeerMax = 4;
/** Sessions that fetch what moves here are counted apart: most of their time they wait. */
const movesMax = 24;
const movesPeerMax = 12;
/** Partitions of a demand compared in one session. */
const demandStretchMax = 16;
/** Comparisons that wait, with one peer. */
const waitingMax = 65_536;
/** A session may look at storage for so many intervals, within bounds. */
const lookIntervals = 4;
const [lookMinMs, lookMaxMs] = [1000, 30_000];
/** A member that was away for longer is compared with soon after it is back, milliseconds: it may be another life. */
const awayMs = 500;

export interface RepairDeskOptions {
  readonly context: NodeContext;
  readonly storage: Storage;
  readonly forest: HashForest;
  readonly random: Random;
  /** A row that fails its checksum was met. */
  readonly damaged: (rowKey: RowKey) => void;
}

export class RepairDesk implements Desk {
  readonly family: number = FAMILY_REPAIR;
  readonly #context: NodeContext;
  readonly #forest: HashForest;
  readonly #random: Random;
  readonly #rows: RepairRows;
  readonly #responder: Responder;
  readonly #mutants: RepairMutants;
  readonly #damaged: (rowKey: RowKey) => void;
  readonly #peers: Map<NodeId, PeerWork> = new Map();
  readonly #calls: RepairCalls;
  readonly #sessions: Set<Outgoing> = new Set();
  /** Those of them that fetch what moves here. */
  #moving = 0;
  readonly #tally: RepairTally = new RepairTally();
  readonly #wideUnderway: Set<number> = new Set();
  readonly #lookWithinMs: number;
  /** What all of it is paid from. */
  readonly purses: RepairPurses;
  /** Sessions begin once the node is open. */
  open = false;

  constructor(options: RepairDeskOptions) {
    const { context, storage, forest, random } = options;
    const { mutants, limits } = context;
    this.#context = context;
    this.#forest = forest;
    this.#random = random;
    this.#damaged = options.damaged;
    this.purses = new RepairPurses(limits);
    this.#rows = new RepairRows({ context, storage, forest, seed: random.u32(), purses: this.purses });
    this.#mutants = {
      skipsOlder: mutants.has('sync-skips-older'),
      horizonNotCaughtUp: mutants.has('horizon-not-caught-up'),
    };
    const lookMs = limits.repairIntervalMs * lookIntervals;
    this.#lookWithinMs = Math.min(lookMaxMs, Math.max(lookMinMs, lookMs));
    this.#responder = new Responder(
      this.#rows,
      this.#mutants,
      this.#lookWithinMs,
      (peer, partition, equal) => {
        if (!context.topology.isHolder(partition, peer)) return;
        this.#peers.get(peer)?.book.heard(partition, equal, context.now());
      },
    );
    this.#calls = new RepairCalls(context, this.#responder, random.u32(), this.#lookWithinMs);
    for (const { member } of context.links.all()) this.#meet(member.id);
  }

  /** A member is there to be compared with. */
  #meet(id: NodeId): void {
    const { self, limits, now } = this.#context;
    const { repairIntervalMs } = limits;
    const firstAt = now() + (this.#random.u32() / 2 ** 32) * Math.min(repairIntervalMs, 60_000);
    const book = new PeerBook(self, id, this.#table, repairIntervalMs, firstAt);
    const awaySince = Number.NEGATIVE_INFINITY;
    this.#peers.set(id, { book, wide: [], demands: [], sessions: 0, moves: 0, awaySince });
  }

  get #table(): Table {
    return this.#context.topology.read;
  }

  /** No comparison is under way, and nothing is read for one of a peer's. */
  get isQuiet(): boolean {
    return this.#sessions.size === 0 && this.#rows.isQuiet;
  }

  // What neighbours ask for.

  /**
   * Compares one partition with one peer by full hashes, exchanges what differs, and settles the horizon of
   * the side that is behind. `done` is called once; an error means that something was left different.
   */
  compare(partition: number, peer: NodeId, done: CompareDone, how: CompareHow = noHow): void {
    const desk = this.#peers.get(peer);
    if (desk === undefined || !this.#isPair(partition, peer, how))
      done(strangeError(partition, peer), undefined);
    else if (!this.#context.links.isLive(peer)) done(awayError(peer), undefined);
    else if (desk.wide.length >= waitingMax) done(busyError(), undefined);
    else desk.wide.push({ partition, done, demand: undefined, how });
  }

  /**
   * Hands an owner what it lacks, or has older, of a partition of which this node is no owner any more. Nothing is
   * taken, and nobody's horizon rises. Without an error the owner holds, durably, every row as it is held here,
   * or a later one, or knows that it was deleted; damaged rows of ours are left out.
   */
  give(partition: number, owner: NodeId, done: CompareDone): void {
    this.compare(partition, owner, done, { gives: true });
  }

  #isPair(partition: number, peer: NodeId, { gives }: CompareHow): boolean {
    const { topology, self } = this.#context;
    return topology.isHolder(partition, peer) && (gives === true || topology.isHolder(partition, self));
  }

  /**
   * Repair on demand: every row is read again, here and at the peers, and what differs is exchanged until all
   * is equal. `progress` is called now and then, `done` once.
   */
  request(demand: RepairDemand, progress: (progress: RepairProgress) => void, done: RepairDone): void {
    const run = new RepairRun(this.#context.now(), this.#context.wall(), progress, done);
    const { partitions, peers, all } = demand;
    for (const [id, desk] of this.#peers) {
      if (peers !== undefined && !peers.includes(id)) continue;
      for (const partition of all === true ? desk.book.shared : desk.book.walked) {
        if (partitions !== undefined && !partitions.includes(partition)) continue;
        run.add();
        if (!this.#context.links.isLive(id)) run.pairFailed(awayError(id));
        else if (desk.demands.length >= waitingMax) run.pairFailed(busyError());
        else desk.demands.push({ run, partition, attempt: 0 });
      }
    }
    run.begin();
  }

  /** A row that another node kept for this one arrived: the other replicas of its partition may lack it. */
  handedOver(slot: number): void {
    const partition = this.#table.partitionOfSlot(slot);
    const now = this.#context.now();
    for (const peer of this.#table.preferenceList(slot))
      this.#peers.get(peer)?.book.handedOver(partition, now);
  }

  /** Monotonic time when a comparison began that left nothing different; -Infinity for never. */
  completedAt(partition: number, peer: NodeId): number {
    return this.#peers.get(peer)?.book.completedAt(partition) ?? Number.NEGATIVE_INFINITY;
  }

  /**
   * The root of a partition's tree as it is known now, and whether it is up to date: for oracles. It is
   * brought up to date only by a comparison.
   */
  rootOf(partition: number): { readonly a: number; readonly b: number; readonly fresh: boolean } {
    const root = partitionRoot(partition, this.#table.partitionCount);
    const slots = slotsOfNode(root);
    const { a, b } = this.#rows.sum(slots[0]! * 16, slots.length * 16);
    return { a, b, fresh: slots.every((slot) => !this.#forest.isMarked(slot)) };
  }

  livenessChanged(link: Link): void {
    const desk = this.#peers.get(link.member.id);
    if (desk === undefined) return;
    const now = this.#context.now();
    if (link.live) {
      if (now - desk.awaySince > Math.min(awayMs, this.#context.limits.repairIntervalMs)) {
        desk.book.walkSoon(now + desk.book.againMs);
      }
      return;
    }
    desk.awaySince = now;
    const error = awayError(link.member.id);
    this.#calls.peerLost(link, error);
    for (const outgoing of this.#sessions) if (outgoing.peer === desk) outgoing.session.abandon(error);
    for (const task of desk.wide.splice(0)) this.#wideFailed(task, error);
    for (const { run } of desk.demands.splice(0)) run.pairFailed(error);
  }

  framesLost(link: Link): void {
    this.#calls.framesLost(link);
  }

  /** Members and owners changed: what is known of pairs that stay is kept. */
  topologyChanged(_before: Topology, topology: Topology): void {
    const { self, links, now } = this.#context;
    for (const outgoing of this.#sessions) {
      // What this node holds no more it may delete: nobody is to be told by a comparison that it was deleted.
      const isLost = outgoing.partitions.some((partition) => !topology.isHolder(partition, self));
      if (isLost || !topology.has(outgoing.peer.book.peer)) outgoing.session.abandon(changedError());
    }
    for (const [id, desk] of this.#peers) {
      const isGone = !topology.has(id);
      const isMeant = ({ partition, how }: WideTask): boolean => !isGone && this.#isPair(partition, id, how);
      for (const task of desk.wide.splice(0)) {
        if (isMeant(task)) desk.wide.push(task);
        else this.#wideFailed(task, changedError());
      }
      if (!isGone) {
        const isPair = (partition: number): boolean => this.#isPair(partition, id, noHow);
        desk.book.setTable(topology.read, isPair, now());
      }
      const shared = isGone ? new Set() : new Set(desk.book.shared);
      for (const task of desk.demands.splice(0)) {
        if (shared.has(task.partition)) desk.demands.push(task);
        else task.run.pairFailed(changedError());
      }
      if (!isGone) continue;
      this.#peers.delete(id);
      this.#rows.forget(id);
    }
    for (const { member } of links.all()) if (!this.#peers.has(member.id)) this.#meet(member.id);
  }

  tick(now: number): void {
    if (!this.open) return;
    this.#calls.tick(now);
    this.#rows.tick(now);
    for (let rowKey = this.#rows.takeDamaged(); rowKey !== undefined; rowKey = this.#rows.takeDamaged()) {
      this.#damaged(rowKey);
    }
    this.#tally.pass(now, this.#rows.spentMs);
    if (this.#context.replica.failure !== undefined) return;
    // Those that go out together share frames; a partition is compared with one peer at a time: they take turns.
    for (let more = true; more; ) {
      more = false;
      for (const [id, desk] of this.#peers) {
        if (this.#context.links.isLive(id) && this.#sendOut(id, desk, now)) more = true;
      }
    }
  }

  /** Sends out the session that matters most now, if any. @returns whether another may go with it */
  #sendOut(peer: NodeId, desk: PeerWork, now: number): boolean {
    const task = this.#takeWide(desk);
    if (task !== undefined) {
      this.#wideUnderway.add(task.partition);
      // Nobody waits for what is only given away.
      const urgent = (task.demand !== undefined || task.done !== undefined) && task.how.gives !== true;
      this.#begin(
        peer,
        desk,
        'wide',
        [task.partition],
        { urgent, rescan: false, ...task.how },
        (outgoing, error, outcomes) => this.#wideDone(outgoing, task, error, outcomes[0]!),
      );
      return true;
    }
    if (this.#mayBegin(desk, false)) this.#sendMany(peer, desk, now);
    return false;
  }

  #mayBegin(desk: PeerWork, moves: boolean): boolean {
    if (moves) return desk.moves < movesPeerMax && this.#moving < movesMax;
    return desk.sessions < sessionsPeerMax && this.#sessions.size - this.#moving < sessionsMax;
  }

  /** Sends out a comparison of many partitions: those of a peer go one after the other. */
  #sendMany(peer: NodeId, desk: PeerWork, now: number): void {
    for (const { peer: other, kind } of this.#sessions) if (other === desk && kind !== 'wide') return;
    if (desk.demands.length > 0) {
      this.#sendDemand(peer, desk);
      return;
    }
    const soon = desk.book.takeSoon(now);
    if (soon.length > 0) {
      this.#begin(peer, desk, 'soon', soon, { urgent: true, rescan: false }, () => undefined);
      return;
    }
    if (!this.#rows.isCalm || this.#context.limits.repairShareMax === 0) return;
    const later = desk.book.takeLater(now);
    if (later.length > 0) {
      this.#begin(peer, desk, 'soon', later, { urgent: false, rescan: false }, () => undefined);
      return;
    }
    const stretch = desk.book.takeStretch(now);
    if (stretch.length === 0) return;
    this.#begin(
      peer,
      desk,
      'round',
      stretch,
      { urgent: false, rescan: false },
      (_outgoing, error, outcomes) => {
        const well = error === undefined && outcomes.every(({ compared }) => compared);
        desk.book.stretchDone(well, this.#context.now());
      },
    );
  }

  /** The next partition to be compared by full hashes that is not under way with another peer: rows come once. */
  #takeWide(desk: PeerWork): WideTask | undefined {
    if (desk.wide.length === 0) return undefined;
    const [mayMove, mayCompare] = [this.#mayBegin(desk, true), this.#mayBegin(desk, false)];
    const at = desk.wide.findIndex(
      ({ partition, how }) =>
        (how.moves === true ? mayMove : mayCompare) && !this.#wideUnderway.has(partition),
    );
    return at < 0 ? undefined : desk.wide.splice(at, 1)[0];
  }

  #sendDemand(peer: NodeId, desk: PeerWork): void {
    const tasks = new Map<number, DemandTask>();
    const rescan = desk.demands[0]!.attempt === 0;
    while (desk.demands.length > 0 && tasks.size < demandStretchMax) {
      const task = desk.demands[0]!;
      if (tasks.has(task.partition) || (task.attempt === 0) !== rescan) break;
      tasks.set(task.partition, task);
      desk.demands.shift();
    }
    const partitions = [...tasks.keys()].sort((a, b) => a - b);
    this.#begin(peer, desk, 'demand', partitions, { urgent: true, rescan }, (outgoing, error, outcomes) => {
      for (const outcome of outcomes) {
        this.#demandDone(outgoing, tasks.get(outcome.partition)!, error, outcome);
      }
    });
  }

  #begin(
    peer: NodeId,
    desk: PeerWork,
    kind: Outgoing['kind'],
    partitions: readonly number[],
    how: { readonly urgent: boolean; readonly rescan: boolean } & CompareHow,
    ended: (outgoing: Outgoing, error: CodedError | undefined, outcomes: readonly PartitionOutcome[]) => void,
  ): void {
    const beganAt = this.#context.now();
    let outgoing: Outgoing | undefined;
    const session = new Session(
      {
        self: this.#context.self,
        peer,
        partitions,
        wide: kind === 'wide',
        ...how,
        salt: this.#random.u32() & 0xffff,
        lookWithinMs: this.#lookWithinMs,
        local: this.#rows,
        call: this.#calls.caller(peer, (bytes) => {
          if (outgoing !== undefined) outgoing.bytes += bytes;
        }),
        mutants: this.#mutants,
      },
      (error, outcomes) => {
        this.#sessions.delete(outgoing!);
        this.#countSession(desk, how, -1);
        if (error !== undefined) this.#tally.failures++;
        if (kind !== 'wide') desk.book.fitStretch(error?.code === 'deadline-exceeded');
        for (const outcome of outcomes) {
          if (how.gives === true) this.#tally.count(outcome);
          else this.#file(desk, outcome, error, beganAt, kind);
        }
        ended(outgoing!, error, outcomes);
      },
    );
    outgoing = { session, peer: desk, kind, beganAt, partitions, bytes: 0 };
    this.#sessions.add(outgoing);
    this.#countSession(desk, how, 1);
    session.start();
  }

  #countSession(desk: PeerWork, { moves }: CompareHow, by: 1 | -1): void {
    if (moves !== true) desk.sessions += by;
    else {
      desk.moves += by;
      this.#moving += by;
    }
  }

  #file(
    desk: PeerWork,
    outcome: PartitionOutcome,
    error: CodedError | undefined,
    beganAt: number,
    kind: Outgoing['kind'],
  ): void {
    this.#tally.count(outcome);
    desk.book.record(outcome, error !== undefined, beganAt, this.#context.now());
    const { partition, compared, horizonOurs, horizonTheirs } = outcome;
    const isMet = kind === 'round' || kind === 'soon';
    if (!isMet || !compared || horizonOurs === horizonTheirs) return;
    if (desk.wide.length < waitingMax && !desk.wide.some((task) => task.partition === partition)) {
      desk.wide.push({ partition, done: undefined, demand: undefined, how: noHow });
    }
  }

  #wideDone(
    outgoing: Outgoing,
    task: WideTask,
    error: CodedError | undefined,
    outcome: PartitionOutcome,
  ): void {
    this.#wideUnderway.delete(task.partition);
    if (task.demand !== undefined) this.#demandDone(outgoing, task.demand, error, outcome);
    if (task.done === undefined) return;
    const left =
      outcome.unresolved === 0
        ? undefined
        : new CodedError('unavailable', 'none', `${outcome.unresolved} rows were left different for now`);
    task.done(error ?? left, outcome);
  }

  #wideFailed(task: WideTask, error: CodedError): void {
    task.done?.(error, undefined);
    task.demand?.run.pairFailed(error);
  }

  #demandDone(
    outgoing: Outgoing,
    task: DemandTask,
    error: CodedError | undefined,
    outcome: PartitionOutcome,
  ): void {
    const { run, partition, attempt } = task;
    const { peer: desk } = outgoing;
    run.exchanged(outcome, outgoing.bytes);
    outgoing.bytes = 0;
    if (outcome.equal || (error === undefined && run.isDone(outcome))) run.pairEqual();
    else if (!run.mayRetry(attempt) || !this.#context.links.isLive(desk.book.peer)) {
      run.pairFailed(error ?? new CodedError('unavailable', 'none', 'rows stay different'));
    } else if (outcome.compared && outcome.horizonOurs !== outcome.horizonTheirs && !outcome.settled) {
      const demand = { ...task, attempt: attempt + 1 };
      desk.wide.push({ partition, done: undefined, demand, how: noHow });
    } else desk.demands.push({ ...task, attempt: attempt + 1 });
  }

  message(link: Link, type: number, id: number, reader: ByteReader): void {
    this.#calls.message(link, type, id, reader);
  }

  figures(): RepairFigures {
    const { figures: answered } = this.#responder;
    const books = [...this.#peers.values()].map(({ book }) => book);
    const { bytes } = this.#calls;
    return this.#tally.figures({ books, answered, bytes, rows: this.#rows, sessions: this.#sessions.size });
  }

  status(): RepairStatus {
    const books = [...this.#peers.values()].map(({ book }) => book);
    return repairStatus(books, this.figures(), this.#tally.share, this.#context.now());
  }

  /** Age of the oldest row that a member was found to lack and was not given yet, milliseconds; 0 for none. */
  lagMs(peer: NodeId): number {
    const oldest = this.#peers.get(peer)?.book.oldestLackingTime() ?? Number.POSITIVE_INFINITY;
    return oldest === Number.POSITIVE_INFINITY ? 0 : Math.max(0, this.#context.wall() - oldest);
  }
}
