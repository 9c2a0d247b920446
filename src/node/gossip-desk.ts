/**
 * The gossip desk: members who ask whether we reach another one, and who tell that they did. What it
 * means is decided by the membership machine behind the links.
 */

import type { ByteReader } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { GOSSIP_HEARD, GOSSIP_PROBE, readGossipTarget } from '../wire/gossip-messages.ts';
import { FAMILY_GOSSIP } from '../wire/messages.ts';
import type { Desk } from './desk.ts';
import type { Link, Links } from './links.ts';

export class GossipDesk implements Desk {
  readonly family: number = FAMILY_GOSSIP;
  readonly #links: Links;
  readonly #now: () => number;

  constructor(links: Links, now: () => number) {
    this.#links = links;
    this.#now = now;
  }

  message(link: Link, type: number, _id: number, reader: ByteReader): void {
    const target = this.#links.get(readGossipTarget(reader));
    // A member that we do not know (yet), or ourselves: nothing to say.
    if (type === GOSSIP_PROBE) this.#links.probeAsked(link, target, this.#now());
    else if (type === GOSSIP_HEARD) this.#links.probeAnswered(link, target, this.#now());
    else throw new CodedError('protocol', 'none', `gossip message of unknown type ${type}`);
  }
}
