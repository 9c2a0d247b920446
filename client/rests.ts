/**
 * Nodes that are left alone for a while because they refused a request.
 *
 * The picture: a shop with a note on the door, "back soon". A node that is starting, stopping, overloaded or cut off
 * from the others refuses all that comes, and each refusal costs a repetition. So nobody is sent there for a moment,
 * unless all others have such a note too; then somebody tries again, and the moment doubles if it was in vain. A node
 * that refused some keys only is passed by for others too: they take a hop meanwhile.
 */

const restMsFirst = 100;
const restMsMax = 2000;

interface Rest {
  readonly until: number;
  readonly ms: number;
}

export class Rests {
  readonly #rests: Map<string, Rest> = new Map();

  /** Whether any node may be resting: if not, none has to be asked. */
  get isEmpty(): boolean {
    return this.#rests.size === 0;
  }

  /** A node refused a request. @param time monotonic milliseconds, here and below */
  refused(node: string, time: number): void {
    const last = this.#rests.get(node);
    // Sent before the others had come back.
    if (last !== undefined && time < last.until) return;
    const isAgain = last !== undefined && !isOver(last, time);
    const ms = isAgain ? Math.min(last.ms * 2, restMsMax) : restMsFirst;
    // Of nodes that are no more as well.
    for (const [other, rest] of this.#rests) if (isOver(rest, time)) this.#rests.delete(other);
    this.#rests.set(node, { until: time + ms, ms });
  }

  isResting(node: string, time: number): boolean {
    const rest = this.#rests.get(node);
    if (rest === undefined) return false;
    if (time < rest.until) return true;
    if (isOver(rest, time)) this.#rests.delete(node);
    return false;
  }
}

/** It is so long ago that another refusal begins anew. */
function isOver({ until, ms }: Rest, time: number): boolean {
  return time >= until + 2 * ms;
}
