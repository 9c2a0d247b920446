/**
 * Stray marks: in which partitions rows may lie here that belong to others.
 *
 * The picture: the lost-property shelf. Whoever brings something in that is not for this house lays a slip there;
 * for what is for this house, which is nearly everything, it costs one look at a list. The slips are not kept on
 * disk: after a start every partition that is not held here is looked at once (`strays.ts`).
 */

import { SLOT_COUNT } from '../ring/slots.ts';

export class StrayMarks {
  readonly #isHeld: Uint8Array;
  readonly #shift: number;
  /** Rows that were stored in a partition that is not held here, since start, modulo 2^32. */
  readonly #arrivals: Uint32Array;
  readonly #marked: Set<number> = new Set();

  /** @param partitionCount a power of two; until `hold` is called all partitions count as held */
  constructor(partitionCount: number) {
    this.#isHeld = new Uint8Array(partitionCount).fill(1);
    this.#shift = Math.log2(SLOT_COUNT / partitionCount);
    this.#arrivals = new Uint32Array(partitionCount);
  }

  /** Partitions that may hold such rows. */
  get marked(): ReadonlySet<number> {
    return this.#marked;
  }

  /** Other partitions are to be held here: those that no longer are may hold rows. */
  hold(isHolder: (partition: number) => boolean): void {
    for (let partition = 0; partition < this.#isHeld.length; partition++) {
      const isHeld = isHolder(partition) ? 1 : 0;
      if (isHeld === this.#isHeld[partition]) continue;
      this.#isHeld[partition] = isHeld;
      if (isHeld === 1) this.#marked.delete(partition);
      else this.#marked.add(partition);
    }
  }

  /** A row of the slot is handed to storage. On the path of a write. */
  stored(slot: number): void {
    const partition = slot >> this.#shift;
    if (this.#isHeld[partition] === 1) return;
    this.#arrivals[partition]!++;
    this.#marked.add(partition);
  }

  /** Changes with each row that is stored in a partition that is not held here. */
  arrivals(partition: number): number {
    return this.#arrivals[partition]!;
  }

  /** Nothing was found in a partition. */
  clear(partition: number): void {
    this.#marked.delete(partition);
  }
}
