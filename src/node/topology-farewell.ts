/**
 * The farewell: what is waited for before an epoch that some members have no part in goes into force.
 *
 * The picture: guests who leave a house. Those who stay do not shut the door before they have seen that whoever goes
 * knows that it goes; and whoever goes holds the lamp until all who stay have found the door. It lets its
 * own requests end, shows the number of the new page to everybody, and stays an owner on the page before, whose word
 * counts: some members take longer to copy the new page than others, and until then they cannot do without it
 * where all owners are needed (W=N, or N=1). Nobody waits for ever.
 */

import type { Topology } from '../topology/topology.ts';
import type { NodeContext } from './context.ts';
import type { Link } from './links.ts';
import { canRead, type TopologyWatch } from './topology-watch.ts';

/**
 * Those who go have so long to say that they know, and then stay so long at most with those who do not know yet,
 * milliseconds.
 */
const goodbyeMs = 2000;
/** Those who go are told again this often, milliseconds. */
const goodbyeAgainMs = 300;
/** Requests under way have so long to end at a node that goes, milliseconds; less than `goodbyeMs`. */
const finishMs = 1200;

/** A later epoch on its way into force. */
export interface Coming {
  readonly topology: Topology;
  readonly value: Uint8Array;
  isStored: boolean;
  /** Monotonic time at which it was made durable, or the first try failed. */
  storedAt: number;
  storeAgainAt: number;
}

export class Farewell {
  readonly #context: NodeContext;
  readonly #watch: TopologyWatch;
  readonly #isBusy: () => boolean;
  /** What those who go are told next, and when. */
  #told: Coming | undefined = undefined;
  #tellAt = 0;
  /** Monotonic time since which this node, which goes, shows the number; undefined before. */
  #shownAt: number | undefined = undefined;

  /** @param isBusy whether requests are under way that clients wait for */
  constructor(context: NodeContext, watch: TopologyWatch, isBusy: () => boolean) {
    this.#context = context;
    this.#watch = watch;
    this.#isBusy = isBusy;
  }

  /** This node has shown that it goes: there is no way back, and it begins nothing any more. */
  get isGoing(): boolean {
    return this.#shownAt !== undefined;
  }

  /** Whether an epoch that is durable here may go into force, as far as those are concerned who go by it. */
  isOver(coming: Coming, now: number): boolean {
    const { topology, storedAt, value } = coming;
    if (!topology.has(this.#context.self)) return this.#mayGo(coming, now);
    const going = this.#unaware(topology, false);
    if (going.length === 0 || now - storedAt >= goodbyeMs) return true;
    if (coming !== this.#told || now >= this.#tellAt) {
      this.#told = coming;
      this.#tellAt = now + goodbyeAgainMs;
      for (const link of going) this.#watch.tell(link, now, value);
    }
    return false;
  }

  #mayGo({ topology, storedAt }: Coming, now: number): boolean {
    if (this.#shownAt === undefined) {
      if (this.#isBusy() && now - storedAt < finishMs) return false;
      this.#shownAt = now;
      const { flights, links } = this.#context;
      flights.expireAll();
      links.epoch = topology.epoch;
      links.announce();
    }
    if (this.#context.mutants.has('leaver-goes-at-once')) return true;
    return now - this.#shownAt >= goodbyeMs || this.#unaware(topology, true).length === 0;
  }

  /** Those who are reached and do not show an epoch yet: of those who stay with it, or of those who go. */
  #unaware(topology: Topology, staying: boolean): Link[] {
    const { epoch } = topology;
    return [...this.#context.links.all()].filter((link) => {
      const isMeant = topology.has(link.member.id) === staying && canRead(link);
      return isMeant && this.#watch.epochOf(link) < epoch;
    });
  }
}
