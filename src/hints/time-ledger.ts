/**
 * A time ledger: how old is the oldest of many things that come and go in any order.
 *
 * The picture: a rack of boxes, one for each four seconds of the calendar; a thing that comes is a mark
 * in its box, one that goes rubs a mark out. The oldest lies in the first box that is not empty. A heap
 * of all the times would tell it to the millisecond, and cost as much as the things themselves.
 */

/** Width of a box, milliseconds: what `oldest` is too early by at most. */
const boxMs = 4096;

export class TimeLedger {
  readonly #boxes: Map<number, number> = new Map();
  #oldestBox = Number.POSITIVE_INFINITY;
  #oldestKnown = true;
  size = 0;

  add(time: number): void {
    const box = Math.floor(time / boxMs);
    this.#boxes.set(box, (this.#boxes.get(box) ?? 0) + 1);
    if (box < this.#oldestBox) this.#oldestBox = box;
    this.size++;
  }

  clear(): void {
    this.#boxes.clear();
    this.#oldestKnown = false;
    this.size = 0;
  }

  remove(time: number): void {
    const box = Math.floor(time / boxMs);
    const marks = this.#boxes.get(box);
    if (marks === undefined) return;
    this.size--;
    if (marks > 1) {
      this.#boxes.set(box, marks - 1);
      return;
    }
    this.#boxes.delete(box);
    // It is looked for when somebody asks: boxes empty in any order while hints are handed over.
    if (box === this.#oldestBox) this.#oldestKnown = false;
  }

  /** Milliseconds, not later than the oldest and at most four seconds before it; undefined for nothing. */
  oldest(): number | undefined {
    if (this.#boxes.size === 0) {
      this.#oldestBox = Number.POSITIVE_INFINITY;
      this.#oldestKnown = true;
      return undefined;
    }
    if (!this.#oldestKnown) {
      let oldest = Number.POSITIVE_INFINITY;
      for (const box of this.#boxes.keys()) if (box < oldest) oldest = box;
      this.#oldestBox = oldest;
      this.#oldestKnown = true;
    }
    return this.#oldestBox * boxMs;
  }
}
