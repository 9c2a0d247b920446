/**
 * The horizon desk: raises the tombstone horizon of each partition whose first replica this node is, and
 * takes part in the rounds of others. `src/repair/horizon-round.ts` says what a round is and why it is safe.
 *
 * The picture: a clerk with one folder a partition. Every so often it opens a folder and tries to close its
 * past: all replicas must be there and whole, and no member may hold a hint from before. If a folder could
 * not be closed for hours, the clerk raises an alarm that names the member who holds it up: until it comes
 * back (or is removed) tombstones pile up, which costs space and nothing else.
 */

import type { ByteReader } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import { CodedError as Coded } from '../base/errors.ts';
import type { NodeId } from '../ports/transport.ts';
import { HorizonRound } from '../repair/horizon-round.ts';
import type { Table } from '../ring/table.ts';
import type { Topology } from '../topology/topology.ts';
import {
  FENCE,
  FENCE_REFUSALS,
  FENCE_REFUSED,
  FENCED,
  HORIZON,
  writeFence,
  writeFenced,
  writeFenceRefused,
  writeHorizon,
} from '../wire/horizon-messages.ts';
import { FAMILY_HORIZON } from '../wire/messages.ts';
import type { NodeContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { Link } from './links.ts';

/** What a comparison of one partition with one peer found. */
export interface ComparedPartition {
  /** Least stamp time of the winners among rows that differed and were exchanged; Infinity if none did. */
  readonly oldestDifferenceTime: number;
}

/** What the desk needs of its neighbours. */
export interface HorizonNeighbours {
  /** Compares a partition with a peer and exchanges what differs. */
  compare(
    partition: number,
    peer: NodeId,
    done: (error: CodedError | undefined, compared: ComparedPartition | undefined) => void,
  ): void;
  /** The time up to which a member holds no hints and takes none; 0 while it is not known. */
  hintFloorOf(member: NodeId): number;
  /** Whether this node holds all of the partition that it ever acknowledged. */
  isWhole(partition: number): boolean;
  /** Whether most other members' clocks agree with ours now. */
  isClockConfirmed(): boolean;
}

/** For status, INFO and metrics. */
export interface HorizonStatus {
  /** Age of the least horizon among the partitions this node leads, milliseconds; since start if none yet. */
  readonly ageMs: number;
  /** Partitions this node leads whose horizon is older than `horizonAlarmMs`. */
  readonly held: number;
  /** Who holds the longest-held one, and why; empty when nothing is held. */
  readonly heldBy: NodeId;
  readonly reason: string;
  /** Rounds that raised a horizon, and those that did not, since start. */
  readonly raised: number;
  readonly abandoned: number;
}

/** Rounds under way at a time, and those begun together. */
const roundsMax = 8;
const handfulMax = 4;
/** A step of a round may take so long, milliseconds. */
const stepTimeoutMs = 10_000;
/** A horizon is raised by at least so much, or it is not worth a round, as a share of the margin. */
const worthShare = 0.25;
const movesReason = 'the owners of the partition are changing';

interface Underway {
  readonly id: number;
  readonly round: HorizonRound;
  stepDeadline: number;
  /** What had come and gone behind our fence when the proof began: see `Horizons.changesBehindFence`. */
  changesBehind: number | undefined;
}

/** The fence this life raised for a round, so that only its own commit is believed. */
interface Fenced {
  readonly leader: NodeId;
  readonly id: number;
  readonly time: number;
}

export class HorizonDesk implements Desk {
  readonly family: number = FAMILY_HORIZON;
  readonly #context: NodeContext;
  readonly #neighbours: HorizonNeighbours;
  /** Partitions this node leads, and when the horizon of each last rose (monotonic). */
  #led: readonly number[] = [];
  readonly #risenAt: Float64Array;
  readonly #holders: Map<number, { readonly heldBy: NodeId; readonly reason: string }> = new Map();
  readonly #underway: Map<number, Underway> = new Map();
  readonly #fenced: Map<number, Fenced> = new Map();
  readonly #dropEarly: boolean;
  #next = 0;
  #nextAt = 0;
  #alarmAt = 0;
  #id = 0;
  #raised = 0;
  #abandoned = 0;

  constructor(context: NodeContext, neighbours: HorizonNeighbours) {
    this.#context = context;
    const { read: table } = context.topology;
    this.#neighbours = neighbours;
    this.#dropEarly = context.mutants.has('tombstone-dropped-early');
    this.#risenAt = new Float64Array(table.partitionCount).fill(context.now());
    this.#lead(table);
  }

  #lead(table: Table): void {
    const led: number[] = [];
    for (let partition = 0; partition < table.partitionCount; partition++) {
      if (table.preferenceListOfPartition(partition)[0] === this.#context.self) led.push(partition);
    }
    this.#led = led;
  }

  /**
   * Owners changed. A round proves something of the replicas it began with: those of partitions that move, or that
   * have other replicas now, are given up, and no commit of such a round is believed.
   */
  topologyChanged(before: Topology, topology: Topology): void {
    const { self, now } = this.#context;
    const led = new Set(this.#led);
    this.#lead(topology.read);
    for (const partition of this.#led) if (!led.has(partition)) this.#risenAt[partition] = now();
    const isSettled = (partition: number): boolean =>
      !topology.isMoving(partition) && haveSameOwners(before.read, topology.read, partition);
    for (const underway of [...this.#underway.values()]) {
      const { partition } = underway.round;
      if (!isSettled(partition)) this.#abandon(underway, self, movesReason);
    }
    for (const partition of this.#fenced.keys()) if (!isSettled(partition)) this.#fenced.delete(partition);
    for (const partition of this.#holders.keys()) if (!isSettled(partition)) this.#holders.delete(partition);
  }

  get #table(): Table {
    return this.#context.topology.read;
  }

  get status(): HorizonStatus {
    const now = this.#context.now();
    const { horizonAlarmMs } = this.#context.limits;
    let held = 0;
    let oldest = -1;
    for (const partition of this.#led) {
      if (now - this.#risenAt[partition]! > horizonAlarmMs) held++;
      if (oldest < 0 || this.#risenAt[partition]! < this.#risenAt[oldest]!) oldest = partition;
    }
    const holder = this.#holders.get(oldest);
    return {
      ageMs: oldest < 0 ? 0 : now - this.#risenAt[oldest]!,
      held,
      heldBy: holder?.heldBy ?? '',
      reason: holder?.reason ?? '',
      raised: this.#raised,
      abandoned: this.#abandoned,
    };
  }

  tick(now: number): void {
    for (const underway of this.#underway.values()) {
      if (now < underway.stepDeadline) continue;
      const [peer] = underway.round.missing;
      this.#abandon(underway, peer ?? this.#context.self, 'it did not answer in time');
    }
    if (this.#led.length === 0 || now < this.#nextAt) return;
    // The partitions' rounds are spread over the interval, a handful at a time: they share frames and commits.
    const handful = Math.min(handfulMax, this.#led.length);
    this.#nextAt = now + (this.#context.limits.horizonIntervalMs * handful) / this.#led.length;
    for (let i = 0; i < handful && this.#underway.size < roundsMax; i++) {
      this.#begin(this.#led[this.#next++ % this.#led.length]!);
    }
    this.#alarm(now);
  }

  /** Begins a round for a partition, if everybody is there and it is worth one. */
  #begin(partition: number): void {
    for (const { round } of this.#underway.values()) if (round.partition === partition) return;
    const { self, replica, limits, topology } = this.#context;
    if (topology.isMoving(partition)) {
      this.#held(partition, self, movesReason);
      return;
    }
    const peers = this.#table.preferenceListOfPartition(partition).filter((id) => id !== self);
    const hindrance = this.#hindrance(partition, peers);
    if (hindrance !== undefined) {
      this.#held(partition, hindrance.heldBy, hindrance.reason);
      return;
    }
    const { time, holder } = this.#timeReachable();
    if (time - replica.horizons.horizonOf(partition) < worthShare * limits.horizonMarginMs) {
      if (holder !== '') this.#held(partition, holder, 'it holds hints, or was not heard of lately');
      return;
    }
    this.#id = (this.#id + 1) >>> 0;
    const round = new HorizonRound(partition, time, peers);
    const underway: Underway = { id: this.#id, round, stepDeadline: 0, changesBehind: undefined };
    this.#underway.set(this.#id, underway);
    if (this.#dropEarly) round.step = 'commit';
    this.#enter(underway);
  }

  /** Why no round can begin for a partition, or undefined. */
  #hindrance(
    partition: number,
    peers: readonly NodeId[],
  ): { readonly heldBy: NodeId; readonly reason: string } | undefined {
    const { self, links, topology } = this.#context;
    if (!this.#neighbours.isWhole(partition))
      return { heldBy: self, reason: 'it lost data and is not whole yet' };
    if (!this.#neighbours.isClockConfirmed())
      return { heldBy: self, reason: 'most clocks do not agree with its own' };
    // Whoever a change goes on without is a member again if that is cancelled, with the hints it kept.
    const [lost] = this.#dropEarly ? [] : topology.lost;
    if (lost !== undefined) return { heldBy: lost.id, reason: 'a change without it can still be cancelled' };
    const away = this.#dropEarly ? undefined : peers.find((id) => !links.isLive(id));
    return away === undefined ? undefined : { heldBy: away, reason: 'it is away' };
  }

  /** The greatest time a horizon could rise to now, and the member whose hints keep it lower, if any. */
  #timeReachable(): { readonly time: number; readonly holder: NodeId } {
    let time = this.#context.wall() - this.#context.limits.horizonMarginMs;
    let holder: NodeId = '';
    if (this.#dropEarly) return { time: Math.floor(time), holder };
    for (const { id: member } of this.#context.topology.members) {
      const floor = this.#neighbours.hintFloorOf(member);
      if (floor >= time) continue;
      time = floor;
      holder = member;
    }
    return { time: Math.floor(time), holder };
  }

  #held(partition: number, heldBy: NodeId, reason: string): void {
    this.#holders.set(partition, { heldBy, reason });
  }

  #abandon(underway: Underway, peer: NodeId, reason: string): void {
    underway.round.abandon(peer, reason);
    this.#abandoned++;
    this.#held(underway.round.partition, peer, reason);
    this.#underway.delete(underway.id);
  }

  /** Does what the round's step asks for. */
  #enter(underway: Underway): void {
    const { round } = underway;
    underway.stepDeadline = this.#context.now() + stepTimeoutMs;
    const changesBehind = this.#context.replica.horizons.changesBehindFence(round.partition);
    if (round.step === 'prove') underway.changesBehind = changesBehind;
    else if (round.step === 'commit' && changesBehind !== (underway.changesBehind ?? changesBehind)) {
      // The replicas are compared with us one after the other: a row that another comparison brought in
      // between was seen with the later ones and not with the earlier.
      this.#abandon(underway, this.#context.self, 'a row was exchanged during the proof');
      return;
    }
    if (round.step === 'settle' || round.step === 'prove') this.#compareAll(underway);
    else if (round.step === 'fence') this.#fenceAll(underway);
    else if (round.step === 'commit') this.#commit(underway);
  }

  #compareAll(underway: Underway): void {
    const { round } = underway;
    const { step } = round;
    for (const peer of round.peers) {
      this.#neighbours.compare(round.partition, peer, (error, compared) => {
        if (!this.#isIn(underway, step)) return;
        if (error !== undefined || compared === undefined) {
          this.#abandon(underway, peer, `it could not be compared with (${error?.code ?? 'no answer'})`);
          return;
        }
        const complete = round.compared(peer, compared.oldestDifferenceTime);
        if (round.isOver) this.#abandon(underway, peer, round.reason);
        else if (complete) this.#enter(underway);
      });
      if (!this.#isIn(underway, step)) return;
    }
  }

  /** Whether a round is under way and still in a step: answers to an earlier one come too late. */
  #isIn(underway: Underway, step: HorizonRound['step']): boolean {
    return this.#underway.has(underway.id) && underway.round.step === step;
  }

  #fenceAll(underway: Underway): void {
    const { round, id } = underway;
    const context = this.#context;
    for (const peer of round.peers) {
      const writer = context.links.writerTo(peer);
      if (writer === undefined) {
        this.#abandon(underway, peer, 'it is away');
        return;
      }
      writeFence(writer, id, round.partition, round.time);
    }
    context.replica.raiseFence(round.partition, round.time, {
      stored: (error) => {
        if (!this.#isIn(underway, 'fence')) return;
        if (error !== undefined) this.#abandon(underway, context.self, 'its storage does not take it');
        else this.#fencedBy(underway, '');
      },
    });
  }

  #fencedBy(underway: Underway, peer: NodeId): void {
    if (underway.round.fenced(peer)) this.#enter(underway);
  }

  #commit(underway: Underway): void {
    const { round, id } = underway;
    const context = this.#context;
    this.#raiseHorizon(round.partition, round.time);
    for (const peer of round.peers) {
      const writer = context.links.writerTo(peer);
      // Whoever does not hear of it learns it when it is compared with.
      if (writer !== undefined) writeHorizon(writer, id, round.partition, round.time);
    }
    round.committed();
    this.#underway.delete(id);
    this.#raised++;
    this.#risenAt[round.partition] = context.now();
    this.#holders.delete(round.partition);
  }

  #raiseHorizon(partition: number, time: number): void {
    // Not durable yet when it counts: should it be forgotten, it is learned again like any peer's.
    this.#context.replica.raiseHorizon(partition, time, { stored: () => {} }, this.#context.wall());
  }

  message(link: Link, type: number, id: number, reader: ByteReader): void {
    const underway = this.#underway.get(id);
    const peer = link.member.id;
    switch (type) {
      case FENCE:
        this.#fence(link, id, reader.u16(), reader.u48());
        return;
      case FENCED:
        if (underway?.round.missing.includes(peer)) this.#fencedBy(underway, peer);
        return;
      case FENCE_REFUSED: {
        const reason = FENCE_REFUSALS[reader.u8()] ?? 'it refused';
        if (underway?.round.step === 'fence') this.#abandon(underway, peer, reason);
        return;
      }
      case HORIZON:
        this.#horizon(link, id, reader.u16(), reader.u48());
        return;
      default:
        throw new Coded('protocol', 'none', `message of unknown type ${type}`);
    }
  }

  #fence(link: Link, id: number, partition: number, time: number): void {
    const context = this.#context;
    if (partition >= this.#table.partitionCount)
      throw new Coded('protocol', 'none', 'a FENCE of no partition');
    const refusal = this.#fenceRefusal(partition, time);
    const writer = context.links.writer(link);
    if (refusal !== undefined) {
      if (writer !== undefined) writeFenceRefused(writer, id, refusal);
      return;
    }
    const { generation } = link;
    context.replica.raiseFence(partition, time, {
      stored: (error) => {
        const answer = link.generation === generation ? context.links.writer(link) : undefined;
        if (error === undefined) this.#fenced.set(partition, { leader: link.member.id, id, time });
        if (answer === undefined) return;
        if (error === undefined) writeFenced(answer, id);
        else writeFenceRefused(answer, id, 3);
      },
    });
  }

  /** Why we do not raise our fence: an index into `FENCE_REFUSALS`. */
  #fenceRefusal(partition: number, time: number): number | undefined {
    const { self, limits, topology } = this.#context;
    const isReplica = this.#table.preferenceListOfPartition(partition).includes(self);
    if (!isReplica || topology.isMoving(partition)) return 2;
    if (!this.#neighbours.isWhole(partition)) return 1;
    return time > this.#context.wall() - limits.horizonMarginMs / 2 ? 0 : undefined;
  }

  /**
   * All replicas proved equal. Believed only of the round that this life raised its fence for: a node that
   * got an older copy of its disk in between was not part of the proof.
   */
  #horizon(link: Link, id: number, partition: number, time: number): void {
    const fenced = this.#fenced.get(partition);
    const isOurs = fenced?.leader === link.member.id && fenced.id === id && fenced.time === time;
    if (isOurs || (this.#dropEarly && partition < this.#table.partitionCount))
      this.#raiseHorizon(partition, time);
  }

  /** Names who holds up a horizon for too long, once an hour. */
  #alarm(now: number): void {
    if (now < this.#alarmAt) return;
    const { ageMs, held, heldBy, reason } = this.status;
    if (held === 0) return;
    this.#alarmAt = now + 3_600_000;
    this.#context.log.write('alarm', 'horizon-held', {
      member: heldBy,
      reason,
      partitions: held,
      hours: Math.round(ageMs / 360_000) / 10,
      meaning:
        'tombstones cannot be collected until this member is back and equal, or is removed from the cluster',
    });
  }
}

/** Whether two tables give a partition to the same nodes, in the same order. */
function haveSameOwners(one: Table, other: Table, partition: number): boolean {
  if (one === other) return true;
  const list = other.preferenceListOfPartition(partition);
  const before = one.preferenceListOfPartition(partition);
  return before.length === list.length && before.every((id, at) => list[at] === id);
}
