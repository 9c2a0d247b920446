/**
 * The one thing a write does for hash trees: it marks the slot of its row (`src/merkle/hash-forest.ts`).
 */

import type { HashForest } from '../merkle/hash-forest.ts';
import type { RowWatcher } from '../replica/replica.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';

export class RepairMarks implements RowWatcher {
  readonly #forest: HashForest;
  readonly #forgetful: boolean;
  #changes = 0;

  /** @param forgetful a test flag: every third change marks nothing. */
  constructor(forest: HashForest, forgetful: boolean) {
    this.#forest = forest;
    this.#forgetful = forgetful;
  }

  rowChanged(rowKey: RowKey): void {
    if (this.#forgetful && ++this.#changes % 3 === 0) return;
    this.#forest.mark(rowKeySlot(rowKey));
  }
}
