/**
 * The hash forest: what this node holds, as sums of row hashes. A tree a partition, all of them in one
 * array of leaves (Merkle, 1987; as sums they are the incremental hash of Bellare and Micciancio, 1997).
 *
 * The picture: a wall of 262,144 letter scales, 16 buckets in each of 16,384 slots. A scale shows the sum
 * of the hashes of the rows in its bucket; a node of a tree is the sum of a stretch of scales, added up
 * when it is asked for. So a partition, its slots and buckets are levels of one tree, whatever the number
 * of partitions is.
 *
 * A write does not touch a scale: to take the old hash out, the old row would have to be read. It only
 * hangs a red tag on its slot. A tagged slot is weighed anew, from storage, when a comparison needs it:
 * a slot is one contiguous stretch there. Nothing is kept on disk: after a start every slot is tagged.
 * See `docs/decisions/0011-hash-trees-by-marks.md`.
 *
 * To weigh a slot: `begin` (takes the tag off), read its rows and `add` them, `end`. A write that is
 * handed to storage in between hangs a new tag, and the slot will be weighed once more.
 */

import { assert } from '../base/assert.ts';

export const SLOT_BITS = 14;
export const BUCKET_BITS = 4;
export const BUCKETS_PER_SLOT = 16;
const slotCount = 1 << SLOT_BITS;
const leafCount = slotCount * BUCKETS_PER_SLOT;

/** Two 32-bit sums: the hash of a node of a tree. */
export interface NodeHash {
  readonly a: number;
  readonly b: number;
}

export class HashForest {
  /** Lanes `a` and `b` of each leaf, in turn. */
  readonly #sums: Uint32Array = new Uint32Array(leafCount * 2);
  /** The same of each slot: what a tree adds up. */
  readonly #slotSums: Uint32Array = new Uint32Array(slotCount * 2);
  readonly #tags: Uint8Array = new Uint8Array(slotCount).fill(1);
  /** When the slot was last weighed, as told to `begin`. */
  readonly #weighedAt: Float64Array = new Float64Array(slotCount).fill(Number.NEGATIVE_INFINITY);
  /** The scale in use: of the slot that is being weighed. */
  readonly #scale: Uint32Array = new Uint32Array(BUCKETS_PER_SLOT * 2);
  #slot = -1;
  #beganAt = 0;

  /** A row of the slot changes. The one call on the path of a write. */
  mark(slot: number): void {
    this.#tags[slot] = 1;
  }

  /** Marks slots from `first` on, up to `end` (excluded). */
  markRange(first: number, end: number): void {
    this.#tags.fill(1, first, end);
  }

  /** Takes the tag off a slot whose reading begins; `weigh` may follow much later. */
  unmark(slot: number): void {
    this.#tags[slot] = 0;
  }

  isMarked(slot: number): boolean {
    return this.#tags[slot] === 1;
  }

  /** When the slot was last weighed; -Infinity for never. */
  weighedAt(slot: number): number {
    return this.#weighedAt[slot]!;
  }

  /** Begins to weigh a slot, whose tag was taken off at `now` before its rows were read. */
  begin(slot: number, now: number): void {
    this.#slot = slot;
    this.#beganAt = now;
    this.#scale.fill(0);
  }

  /** The slot being weighed, -1 for none. */
  get slot(): number {
    return this.#slot;
  }

  /** Adds a row of the slot being weighed. */
  add(bucket: number, a: number, b: number): void {
    this.#scale[bucket * 2] = this.#scale[bucket * 2]! + a;
    this.#scale[bucket * 2 + 1] = this.#scale[bucket * 2 + 1]! + b;
  }

  /** All rows of the slot were added. */
  end(): void {
    assert(this.#slot >= 0, 'a slot is being weighed');
    this.#sums.set(this.#scale, this.#slot * BUCKETS_PER_SLOT * 2);
    let a = 0;
    let b = 0;
    for (let at = 0; at < this.#scale.length; at += 2) {
      a = (a + this.#scale[at]!) | 0;
      b = (b + this.#scale[at + 1]!) | 0;
    }
    this.#slotSums[this.#slot * 2] = a;
    this.#slotSums[this.#slot * 2 + 1] = b;
    this.#weighedAt[this.#slot] = this.#beganAt;
    this.#slot = -1;
  }

  /** Gives up weighing. */
  abandon(): void {
    this.#slot = -1;
  }

  /** The hash over leaves from `first` on, `count` of them. */
  sum(first: number, count: number): NodeHash {
    let a = 0;
    let b = 0;
    const isSlots = ((first | count) & (BUCKETS_PER_SLOT - 1)) === 0;
    const sums = isSlots ? this.#slotSums : this.#sums;
    const shift = isSlots ? BUCKET_BITS : 0;
    const end = ((first + count) >>> shift) * 2;
    for (let at = (first >>> shift) * 2; at < end; at += 2) {
      a = (a + sums[at]!) | 0;
      b = (b + sums[at + 1]!) | 0;
    }
    return { a: a >>> 0, b: b >>> 0 };
  }
}
