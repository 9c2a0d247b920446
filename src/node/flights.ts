/**
 * Flights: requests this node coordinates and has not finished. Each has an id, which answers bring
 * back, and a deadline, at which it gives up. The table is the one place that knows what is under
 * way, and limits it. A write that is answered stays until its slowest replica answered too (for WAIT);
 * it is work no client waits for, and has a limit of its own.
 */

import type { ByteReader } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { NodeId } from '../ports/transport.ts';
import type { Stamp } from '../rows/row.ts';
import type { ScanRow } from '../wire/messages.ts';
import type { Link } from './links.ts';

const idMask = 0x3fff_ffff;

/** The table may hold so many times `requestsMax` flights, the answered ones included. */
const tableFactor = 4;

/** A request under way. Each kind overrides the answers it expects; others are stale and ignored. */
export abstract class Flight {
  id = 0;
  /** Its request is answered; it only waits for its last replicas. See `Flights.noteAnswered`. */
  answered = false;
  /** Monotonic time to give up at. */
  readonly deadline: number;

  constructor(deadline: number) {
    this.deadline = deadline;
  }

  /** The deadline passed: answer, and leave the table. */
  abstract expire(): void;
  /** A member ceased to be live. */
  abstract peerLost(peer: NodeId): void;
  /**
   * A member was started anew: what it acknowledged to this flight may be gone with its disk, and is not counted
   * any more unless it says so again.
   */
  peerReborn(_peer: NodeId): void {}
  /** A member became live. */
  peerBack(_peer: NodeId): void {}
  /** Another epoch is in force: whoever takes part may have changed, and what counts. */
  topologyChanged(): void {}
  /** Time passes: hedge if it is due. */
  tick(_now: number): void {}
  readEqual(_link: Link): void {}
  readStamp(_link: Link, _stamp: Stamp): void {}
  readRow(_link: Link, _row: Uint8Array, _horizon: number): void {}
  readFloor(_link: Link, _stamp: Stamp): void {}
  storedBy(_peer: NodeId): void {}
  refusedBy(_peer: NodeId, _code: ErrorCode): void {}
  forwardReply(_peer: NodeId, _status: number, _body: ByteReader): void {}
  scanReply(_peer: NodeId, _cursorNext: number, _rows: readonly ScanRow[]): void {}
  countReply(_peer: NodeId, _count: number): void {}
}

export class Flights {
  readonly #flights: Map<number, Flight> = new Map();
  #id: number;
  #answered = 0;
  /** Set when the node stops: nothing is begun any more. */
  closed = false;

  /** @param firstId random, so that an answer to a former life of this node meets no flight of now. */
  constructor(firstId: number) {
    this.#id = firstId & idMask;
  }

  /** Flights whose requests are not answered yet. */
  get unanswered(): number {
    return this.#flights.size - this.#answered;
  }

  /** Flights that are answered and wait for their last replicas. */
  get answered(): number {
    return this.#answered;
  }

  /** Whether answered and unanswered flights together are too many for a node that takes `requestsMax`. */
  isFull(requestsMax: number): boolean {
    return this.#flights.size >= tableFactor * requestsMax;
  }

  /** Enters a flight and gives it its id (never 0). */
  add(flight: Flight): void {
    do {
      this.#id = (this.#id + 1) & idMask;
    } while (this.#id === 0 || this.#flights.has(this.#id));
    flight.id = this.#id;
    this.#flights.set(this.#id, flight);
  }

  get(id: number): Flight | undefined {
    return this.#flights.get(id);
  }

  /** Gives a flight that is under way another id: what was asked with the old one is not waited for any more. */
  renumber(flight: Flight): void {
    if (!this.#flights.delete(flight.id)) return;
    this.add(flight);
  }

  remove(flight: Flight): void {
    if (this.#flights.delete(flight.id) && flight.answered) this.#answered--;
  }

  /** A flight is about to answer its request, and may stay in the table for a while. */
  noteAnswered(flight: Flight): void {
    if (flight.answered || this.#flights.get(flight.id) !== flight) return;
    flight.answered = true;
    this.#answered++;
  }

  tick(now: number): void {
    for (const flight of this.#flights.values()) {
      if (now >= flight.deadline) flight.expire();
      else flight.tick(now);
    }
  }

  peerLost(peer: NodeId): void {
    for (const flight of [...this.#flights.values()]) flight.peerLost(peer);
  }

  peerBack(peer: NodeId): void {
    for (const flight of [...this.#flights.values()]) flight.peerBack(peer);
  }

  peerReborn(peer: NodeId): void {
    for (const flight of [...this.#flights.values()]) flight.peerReborn(peer);
  }

  topologyChanged(): void {
    for (const flight of [...this.#flights.values()]) flight.topologyChanged();
  }

  /** Gives up everything: the node stops. */
  expireAll(): void {
    this.closed = true;
    for (const flight of [...this.#flights.values()]) flight.expire();
  }
}
