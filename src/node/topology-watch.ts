/**
 * Which epoch the other members go by, as their frames say, and what is done about it: who is ahead is asked for
 * the topology, who is behind is sent it.
 *
 * The picture: neighbours who meet at the well. Each wears the number of the page he last copied; who sees a
 * higher one asks to see that page, who sees a lower one shows his own. Everybody is asked and told only now and
 * then, or the well would be crowded when a page is new.
 */

import { PROTOCOL_VERSION_TOPOLOGY } from '../wire/frame.ts';
import { writeAsk, writeTopology } from '../wire/topology-messages.ts';
import type { NodeContext } from './context.ts';
import type { Link } from './links.ts';

/** One of those who are ahead is asked this often, milliseconds. */
const askEveryMs = 200;
/** A member that is behind is told this often, milliseconds. */
const tellEveryMs = 500;

/**
 * Nobody is told a page that came into force here so lately, milliseconds: whoever made it told everybody, and all copy
 * it now, as this node did. A hundred members would else tell each other ten thousand times.
 */
const tellAfterMs = 200;
/** So many are told at once, and the next ones with the next tick: a page may have a megabyte. */
const tellMax = 4;

/** A member, as its frames show it. */
interface Neighbour {
  readonly link: Link;
  /** The epoch in the header of its last frame; 0 if that was of a version that does not tell. */
  epoch: number;
  askedAt: number;
  toldAt: number;
}

export class TopologyWatch {
  readonly #context: NodeContext;
  readonly #neighbours: Map<string, Neighbour> = new Map();
  #askAt = 0;
  /** The epoch that those who are behind are told, and since when. */
  #epoch = 0;
  #epochAt = 0;

  constructor(context: NodeContext) {
    this.#context = context;
  }

  /** Links came and went with an epoch. */
  linksChanged(): void {
    const { links } = this.#context;
    for (const [id, { link }] of this.#neighbours) {
      if (links.get(id) !== link) this.#neighbours.delete(id);
    }
  }

  /** A frame of a member was sent under this epoch. @returns whether that is news. */
  heard(link: Link, epoch: number): boolean {
    const known = this.#neighbours.get(link.member.id);
    if (known?.link === link) {
      if (known.epoch === epoch) return false;
      known.epoch = epoch;
      return true;
    }
    const never = Number.NEGATIVE_INFINITY;
    this.#neighbours.set(link.member.id, { link, epoch, askedAt: never, toldAt: never });
    return true;
  }

  /** Whether a member was heard at all. */
  isHeard(link: Link): boolean {
    return this.#neighbours.get(link.member.id)?.link === link;
  }

  /** Whether anybody was heard. */
  get isAnyHeard(): boolean {
    return this.#neighbours.size > 0;
  }

  /** The epoch a member goes by; 0 while that is not known. */
  epochOf(link: Link): number {
    const neighbour = this.#neighbours.get(link.member.id);
    return neighbour?.link === link ? neighbour.epoch : 0;
  }

  /** The highest epoch that a member goes by to whom there is a pipe; 0 for none. */
  get epochMax(): number {
    let most = 0;
    for (const { link, epoch } of this.#neighbours.values()) if (link.up && epoch > most) most = epoch;
    return most;
  }

  /** Asks one of those who are ahead of `known`, and sends the topology to those who are behind `epoch`. */
  tick(now: number, known: number, epoch: number, bytesOf: () => Uint8Array): void {
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#epochAt = now;
    }
    let left = now - this.#epochAt < tellAfterMs ? 0 : tellMax;
    let best: Neighbour | undefined;
    for (const neighbour of this.#neighbours.values()) {
      if (!canRead(neighbour.link)) continue;
      if (neighbour.epoch > known) best = better(best, neighbour);
      else if (neighbour.epoch < epoch && left > 0 && this.#tell(neighbour, now, bytesOf)) left--;
    }
    if (best === undefined || now < this.#askAt) return;
    this.#askAt = now + askEveryMs;
    best.askedAt = now;
    this.ask(best.link, known);
  }

  /** Asks a member for its topology. @param known the latest epoch that is on its way into force here, or is */
  ask(link: Link, known: number): void {
    const writer = canRead(link) ? this.#context.links.writer(link) : undefined;
    if (writer !== undefined) writeAsk(writer, known);
  }

  /** @returns whether it was told */
  #tell(neighbour: Neighbour, now: number, bytesOf: () => Uint8Array): boolean {
    if (now - neighbour.toldAt < tellEveryMs) return false;
    neighbour.toldAt = now;
    this.#send(neighbour.link, bytesOf());
    return true;
  }

  /** Sends an epoch to a member, however long ago that was done last; not again soon. */
  tell(link: Link, now: number, value: Uint8Array): void {
    const neighbour = this.#neighbours.get(link.member.id);
    if (neighbour?.link === link) neighbour.toldAt = now;
    this.#send(link, value);
  }

  #send(link: Link, value: Uint8Array): void {
    const writer = canRead(link) ? this.#context.links.writer(link) : undefined;
    if (writer !== undefined) writeTopology(writer, value);
  }
}

/** Whether a member can be sent messages about the topology. */
export function canRead(link: Link): boolean {
  return link.up && link.version >= PROTOCOL_VERSION_TOPOLOGY;
}

/** The one that knows more; of two that know the same, the one that was asked longer ago. */
function better(best: Neighbour | undefined, other: Neighbour): Neighbour {
  if (best === undefined || other.epoch > best.epoch) return other;
  return other.epoch === best.epoch && other.askedAt < best.askedAt ? other : best;
}
