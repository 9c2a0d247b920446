/**
 * The one thing a write does for hash trees: it marks the slot of its row (`src/merkle/hash-forest.ts`). The slot of
 * a row that belongs to others is noted too (`stray-marks.ts`).
 */

import type { HashForest } from '../merkle/hash-forest.ts';
import type { RowWatcher } from '../replica/replica.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';
import type { StrayMarks } from './stray-marks.ts';

export class RepairMarks implements RowWatcher {
  readonly #forest: HashForest;
  readonly #strays: StrayMarks | undefined;
  readonly #forgetful: boolean;
  #changes = 0;

  /** @param forgetful a test flag: every third change marks nothing. */
  constructor(forest: HashForest, forgetful: boolean, strays?: StrayMarks) {
    this.#forest = forest;
    this.#strays = strays;
    this.#forgetful = forgetful;
  }

  rowChanged(rowKey: RowKey, isDeleted: boolean): void {
    const slot = rowKeySlot(rowKey);
    if (!isDeleted) this.#strays?.stored(slot);
    if (this.#forgetful && ++this.#changes % 3 === 0) return;
    this.#forest.mark(slot);
  }
}
