/**
 * The hint desk: takes in rows for members that are away, and hands them over when they are back.
 *
 * The book (`src/hints/hint-book.ts`) keeps them, a handoff a target (`src/hints/handoff.ts`) decides
 * what goes when; this desk is their hands: it reads HINT messages, sends rows as flights with a
 * deadline, looks at who is live, and says how large the van may be while clients are waiting. When
 * members or owners change it has hints addressed anew (`src/hints/forwarding.ts`).
 */

import type { ByteReader } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import { CodedError } from '../base/errors.ts';
import { Forwarding } from '../hints/forwarding.ts';
import type { Delivery } from '../hints/handoff.ts';
import { HANDOFF_WINDOW_ROWS, Handoff, TokenBucket } from '../hints/handoff.ts';
import type { HintClaim } from '../hints/hint-target.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import { isRowKey } from '../rows/key.ts';
import type { Row } from '../rows/row.ts';
import { isRowIntact, ROW_HEADER_BYTES, rowStamp } from '../rows/row.ts';
import type { Topology } from '../topology/topology.ts';
import { HINT, readHint } from '../wire/hint-messages.ts';
import { FAMILY_HINTS, writeHand } from '../wire/messages.ts';
import type { HintFigures } from './api.ts';
import type { NodeContext } from './context.ts';
import { isTooFarAhead, observeRow } from './context.ts';
import type { Desk } from './desk.ts';
import { Flight } from './flights.ts';
import { HintMender } from './hint-mender.ts';
import type { Link } from './links.ts';
import { OwedStored } from './owed-stored.ts';
import type { HintsStatus, HintTargetStatus } from './status.ts';

/** With so many requests under way here, half as many rows are under way in a handoff. */
const requestsHalf = 64;

/** A tick so late says that this node has more to do than it can, milliseconds. */
const tickLateMs = 50;

/** Whatever happens, so many rows go at a time: a busy node must still get rid of its hints. */
const windowRowsMin = 2;

/** Reading the book back is tried again after so long, milliseconds. */
const loadRetryMs = 1000;

/** One row of a handoff, on its way. No client waits for it. */
class DeliveryFlight extends Flight {
  readonly #context: NodeContext;
  readonly #handoff: Handoff;
  readonly #delivery: Delivery;

  constructor(context: NodeContext, handoff: Handoff, delivery: Delivery, deadline: number) {
    super(deadline);
    this.#context = context;
    this.#handoff = handoff;
    this.#delivery = delivery;
  }

  override storedBy(peer: NodeId): void {
    if (this.#ends(peer)) this.#handoff.stored(this.#delivery);
  }

  override refusedBy(peer: NodeId, code: ErrorCode): void {
    if (this.#ends(peer)) this.#handoff.refused(this.#delivery, code, this.#context.now());
  }

  override peerLost(peer: NodeId): void {
    if (this.#ends(peer)) this.#handoff.lost(this.#delivery, this.#context.now());
  }

  override expire(): void {
    this.#context.flights.remove(this);
    this.#handoff.lost(this.#delivery, this.#context.now());
  }

  #ends(peer: NodeId): boolean {
    if (peer !== this.#handoff.target) return false;
    this.#context.flights.remove(this);
    return true;
  }
}

export class HintDesk implements Desk {
  readonly family: number = FAMILY_HINTS;
  readonly #context: NodeContext;
  readonly #storage: Storage;
  readonly #wake: () => void;
  readonly #handoffs: Map<NodeId, Handoff> = new Map();
  readonly #bucket: TokenBucket;
  readonly #mender: HintMender;
  readonly #forwarding: Forwarding;
  /** What was handed to members that are none any more. */
  #deliveredBefore = 0;
  #stragglersBefore = 0;
  #tickedAt = Number.POSITIVE_INFINITY;
  #late = false;
  #pumpWanted = false;
  #loadAt = 0;

  constructor(context: NodeContext, storage: Storage, wake: () => void) {
    this.#context = context;
    this.#storage = storage;
    this.#wake = wake;
    this.#mender = new HintMender(context);
    this.#bucket = new TokenBucket(context.limits.handoffBytesPerSecond);
    const owners = (slot: number): readonly NodeId[] => ownersOf(context.topology, slot);
    context.hints.claimOf = (id, slot) => claimOf(context.topology, id, slot);
    this.#forwarding = new Forwarding({
      self: context.self,
      book: context.hints,
      storage,
      log: context.log,
      owners,
      // A straggler is dead, or known to all owners: here as where a hint is handed over.
      merge: (rowKey, row, waiter) =>
        context.replica.merge(rowKey, row, {
          stored: (error) => waiter.stored(error?.code === 'straggler' ? undefined : error),
        }),
      wake: () => this.#wantPump(),
      mutants: context.mutants,
    });
  }

  #wantPump(): void {
    this.#pumpWanted = true;
    this.#wake();
  }

  topologyChanged(): void {
    this.#forwarding.addressesChanged();
    for (const handoff of this.#handoffs.values()) handoff.addressesChanged();
  }

  message(link: Link, type: number, id: number, reader: ByteReader): void {
    if (type !== HINT) throw new CodedError('protocol', 'none', `message of unknown type ${type}`);
    const { target, rowKey, row } = readHint(reader);
    if (!isRowKey(rowKey) || row.length < ROW_HEADER_BYTES) {
      throw new CodedError('protocol', 'none', 'a HINT without a whole row');
    }
    const context = this.#context;
    const owed = new OwedStored(context, link, id);
    const refusal = this.#refusalOf(target, rowKey, row);
    if (refusal !== undefined) {
      owed.stored(refusal);
      return;
    }
    observeRow(context, row);
    context.hints.accept(target, rowKey, row, owed);
  }

  #refusalOf(target: NodeId, rowKey: string, row: Row): CodedError | undefined {
    const context = this.#context;
    // Who is gone and still named by a table: what is kept for it is addressed anew to the owners.
    const isKnown = context.links.get(target) !== undefined || context.topology.ghosts.includes(target);
    if (target === context.self || !isKnown) {
      return new CodedError('unsupported', 'fail', 'a hint for nobody this node could hand it to');
    }
    if (isAboutToGo(context.topology, context.self)) {
      return new CodedError(
        'unsupported',
        'fail',
        'this node leaves the cluster and keeps no rows for others',
      );
    }
    if (isTooFarAhead(context, rowStamp(row))) {
      context.tally.rowsRefusedClock++;
      return new CodedError('clock-offset', 'fail', 'the row is stamped too far ahead');
    }
    if (!context.mutants.has('frame-unchecked') && !isRowIntact(rowKey, row)) {
      return new CodedError('corrupt', 'fail', 'the row fails its checksum');
    }
    return undefined;
  }

  tick(now: number): void {
    const { hints, links, topology } = this.#context;
    this.#late = now - this.#tickedAt > tickLateMs;
    this.#tickedAt = now;
    if (hints.isLoading && now >= this.#loadAt) {
      this.#loadAt = now + loadRetryMs;
      hints.load();
    }
    this.#bucket.fill(now);
    for (const { id, rows } of hints.targets()) {
      if (rows === 0 && !topology.has(id)) hints.release(id);
      let handoff = this.#handoffs.get(id);
      if (handoff === undefined) {
        if (rows === 0 || links.get(id) === undefined) continue;
        handoff = this.#makeHandoff(id);
      }
      handoff.tick(now, links.get(id)?.live === true);
    }
    for (const [id, handoff] of this.#handoffs) if (!topology.has(id)) this.#dismiss(id, handoff, now);
    this.#pump(now);
    this.#mender.tick(now);
  }

  /** The handoff of a member that is none any more ends. */
  #dismiss(id: NodeId, handoff: Handoff, now: number): void {
    handoff.tick(now, false);
    if (!handoff.isIdle) return;
    this.#handoffs.delete(id);
    this.#deliveredBefore += handoff.rowsDelivered;
    this.#stragglersBefore += handoff.stragglers;
  }

  endTurn(): void {
    if (this.#pumpWanted) this.#pump(this.#context.now());
  }

  #pump(now: number): void {
    this.#pumpWanted = false;
    // What the tick is late by is not known in between: it counts until the next one.
    const rowsMax = this.#windowRows();
    for (const handoff of this.#handoffs.values()) handoff.pump(now, rowsMax);
    this.#forwarding.pump(now, rowsMax);
  }

  /** Fewer rows at a time, the more clients wait for. */
  #windowRows(): number {
    const waiting = this.#context.flights.unanswered;
    const rows = Math.floor((HANDOFF_WINDOW_ROWS * requestsHalf) / (requestsHalf + waiting));
    return Math.max(windowRowsMin, this.#late ? rows >> 2 : rows);
  }

  #makeHandoff(target: NodeId): Handoff {
    const context = this.#context;
    const handoff = new Handoff({
      target,
      book: context.hints,
      storage: this.#storage,
      bucket: this.#bucket,
      log: context.log,
      mutants: context.mutants,
      send: (sender, delivery, row) => this.#send(sender, delivery, row),
      wake: () => this.#wantPump(),
    });
    this.#handoffs.set(target, handoff);
    return handoff;
  }

  #send(handoff: Handoff, delivery: Delivery, row: Row): boolean {
    const { flights, links, limits } = this.#context;
    if (flights.closed || flights.isFull(limits.requestsMax)) return false;
    const writer = links.isLive(handoff.target) ? links.writerTo(handoff.target) : undefined;
    if (writer === undefined) return false;
    const deadline = this.#context.now() + limits.requestTimeoutMs;
    const flight = new DeliveryFlight(this.#context, handoff, delivery, deadline);
    flights.add(flight);
    flights.noteAnswered(flight);
    // A HAND under no horizon is stored like a WRITE, and says that the other replicas may lack the row too.
    writeHand(writer, flight.id, delivery.rowKey, row, 0);
    return true;
  }

  /** Hints kept here and on their way, for `NodeStatus`. */
  status(): HintsStatus {
    const { hints, limits } = this.#context;
    const wall = this.#context.wall();
    const ageOf = (time: number | undefined): number => (time === undefined ? 0 : Math.max(0, wall - time));
    const targets: HintTargetStatus[] = [];
    for (const target of hints.targets()) {
      const handoff = this.#handoffs.get(target.id);
      if (target.rows === 0 && handoff === undefined) continue;
      targets.push({
        target: target.id,
        count: target.rows,
        bytes: target.bytes,
        oldestAgeMs: ageOf(target.oldestTime()),
        state: this.#context.links.get(target.id)?.live === true ? 'handing-over' : 'waiting',
        delivered: handoff?.rowsDelivered ?? 0,
        rowsPerSecond: handoff?.rowsPerSecond ?? 0,
      });
    }
    const { rows, bytes, unreadable } = hints.totals();
    return {
      count: rows,
      bytes,
      unreadable,
      loading: !hints.isDurable,
      bytesMax: limits.hintBytesMax,
      oldestAgeMs: targets.reduce((oldest, { oldestAgeMs }) => Math.max(oldest, oldestAgeMs), 0),
      delivered: this.figures().hintsDelivered,
      targets,
    };
  }

  /** Counters since start, and gauges, for `NodeFigures`. */
  figures(): HintFigures {
    const { hints } = this.#context;
    const { rows, bytes, unreadable } = hints.totals();
    let hintsDelivered = this.#deliveredBefore;
    let hintStragglers = this.#stragglersBefore;
    for (const handoff of this.#handoffs.values()) {
      hintsDelivered += handoff.rowsDelivered;
      hintStragglers += handoff.stragglers;
    }
    return {
      hints: rows,
      hintBytes: bytes,
      hintsLoading: hints.isLoading ? 1 : 0,
      hintsUnreadable: unreadable,
      hintsDamaged: hints.damaged,
      hintsAccepted: hints.accepted,
      hintsRefused: hints.refused,
      hintsDelivered,
      hintStragglers,
    };
  }

  /**
   * What gossip says of this node: it holds no full hint stamped at or before this time, milliseconds, and
   * accepts none from now on, in this life and the next. Rises only while most other members confirm our clock.
   */
  hintFloor(): number {
    const { hints, links } = this.#context;
    const wall = this.#context.wall();
    if (links.isClockConfirmed(this.#context.now(), wall)) hints.raiseFloor(wall);
    return hints.floor;
  }
}

/** The members that are to own a slot: after the change that is under way, if there is one. */
function ownersOf(topology: Topology, slot: number): readonly NodeId[] {
  const list = topology.next.preferenceList(slot);
  return list.every((id) => topology.has(id)) ? list : list.filter((id) => topology.has(id));
}

function claimOf(topology: Topology, id: NodeId, slot: number): HintClaim {
  if (!topology.has(id)) return 'none';
  if (topology.next.preferenceList(slot).includes(id)) return 'stays';
  return topology.read.preferenceList(slot).includes(id) ? 'goes' : 'none';
}

/** Whether a node has handed over what it held, and must be asked to keep nothing more. */
function isAboutToGo(topology: Topology, self: NodeId): boolean {
  return topology.phase === 'switch' && !topology.read.has(self);
}
