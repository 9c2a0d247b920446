/**
 * The door for frames of peers: checks them, puts them in order, and hands their messages to the desks.
 *
 * The picture: a porter who looks at the seal and the number of each envelope before anybody reads it. One
 * that is damaged, doubled or overtaken is turned away; what the envelope itself tells (a new life of its sender,
 * letters that were lost before it, the page its sender goes by) is called out before the letter is read.
 */

import { CodedError } from '../base/errors.ts';
import type { NodeId, Transport } from '../ports/transport.ts';
import { checkFrame, frameEpoch, frameLife } from '../wire/frame.ts';
import { decodeMessages } from '../wire/messages.ts';
import type { NodeContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { Link } from './links.ts';
import type { PeerDesk } from './peer-desk.ts';
import type { TopologyDesk } from './topology-desk.ts';

/** Who hears what. */
export interface DoorHearers {
  readonly transport: Transport;
  /** Reads the messages. */
  readonly peers: PeerDesk;
  readonly topology: TopologyDesk;
  readonly desks: readonly Desk[];
}

export class FrameDoor {
  readonly #context: NodeContext;
  readonly #hearers: DoorHearers;
  readonly #isUnchecked: boolean;
  readonly #isUnordered: boolean;

  constructor(context: NodeContext, hearers: DoorHearers) {
    this.#context = context;
    this.#hearers = hearers;
    this.#isUnchecked = context.mutants.has('frame-unchecked');
    this.#isUnordered = context.mutants.has('frame-sequence-unchecked');
  }

  /** A frame of somebody; it is not read if that is no member. */
  take(peer: NodeId, frame: Uint8Array): void {
    const { links, tally, log, now } = this.#context;
    const link = links.get(peer);
    if (link === undefined) return;
    const { transport, peers, topology, desks } = this.#hearers;
    try {
      if (!this.#isUnchecked) checkFrame(frame);
      if (!link.frameOrder.take(frame) && !this.#isUnordered) {
        tally.framesLate++;
        return;
      }
      links.heard(link, now());
      if (link.frameOrder.isFirstOfLife) this.#met(link, frameLife(frame));
      topology.heardEpoch(link, frameEpoch(frame));
      if (link.frameOrder.hasGap) for (const desk of desks) desk.framesLost?.(link);
      decodeMessages(frame, link, peers);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      // A peer whose bytes make no sense starts over on a fresh pipe.
      tally.framesDamaged++;
      log.write('warn', 'frame-damaged', { peer, code: error.code, message: error.message });
      transport.reset(peer, error.message);
    }
  }

  /** Before anything a new life of a peer says is heeded: what it acknowledged before may be lost with its disk. */
  #met(link: Link, life: number): void {
    const { links, flights, past, mutants } = this.#context;
    past.met(link.member.id, life);
    if (!link.frameOrder.isReborn) return;
    links.reborn(link);
    if (!mutants.has('former-life-counted')) flights.peerReborn(link.member.id);
  }
}
