/**
 * Desks: each takes one family of messages between nodes (gossip, hints, repair, …) and keeps what
 * belongs to it. The picture: counters side by side behind one door; the doorkeeper (`node.ts`) reads
 * the first digit of a message's type and sends it to its counter. The busiest messages, those of
 * requests, do not pass here: they are handled by the peer desk itself.
 *
 * A desk is told of time, of the end of each turn and of members that come and go, and acts through
 * the context; it is pure and synchronous like everything in a node.
 */

import type { ByteReader } from '../base/bytes.ts';
import type { Topology } from '../topology/topology.ts';
import type { Link } from './links.ts';

export interface Desk {
  /** The family of its messages: the tens of their types (`src/wire/messages.ts`). */
  readonly family: number;
  /**
   * Takes a message: reads its body, all of it and no more.
   * @throws CodedError `protocol` for one that makes no sense; the peer then starts over on a fresh pipe.
   */
  message(link: Link, type: number, id: number, reader: ByteReader): void;
  /** Time passes; called every few milliseconds, with monotonic milliseconds. */
  tick?(now: number): void;
  /** The turn ends: last chance to lay rows on the tray and messages into frames. */
  endTurn?(): void;
  /** Frames of a peer were lost on their way here: an answer that is waited for may have been among them. */
  framesLost?(link: Link): void;
  /** A member became live, or ceased to be (`link.live`). */
  livenessChanged?(link: Link): void;
  /** Another epoch is in force from now on: links and plans know it already, flights do not yet. */
  topologyChanged?(before: Topology, now: Topology): void;
}
