/**
 * Slot marks: for each slot a clock reading above which no row of the slot is stamped here, durable or not.
 * A row above its slot's mark is newer than whatever is stored under its key and needs no look at it
 * (docs/decisions/0009-slot-marks.md). Nearly all writes are. A mark may be too high, never too low.
 */

import type { HlcReading } from '../causality/hlc.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import type { Row } from '../rows/row.ts';
import { rowLogical, rowTime } from '../rows/row.ts';

const logicalMax = 0xffff;

export class SlotMarks {
  readonly #times: Float64Array = new Float64Array(SLOT_COUNT).fill(Number.POSITIVE_INFINITY);
  readonly #logicals: Uint16Array = new Uint16Array(SLOT_COUNT);

  /** Sets all marks: no row in storage is above the reading. Before, every row is looked up. */
  set(mark: HlcReading): void {
    this.#times.fill(mark.time);
    this.#logicals.fill(mark.logical);
  }

  /** Whether the slot has a mark. Without one every row is looked up. */
  isKnown(slot: number): boolean {
    return this.#times[slot] !== Number.POSITIVE_INFINITY;
  }

  /** True, and the mark raised, if the row is stamped above all that the slot holds here. */
  raise(slot: number, row: Row): boolean {
    const time = rowTime(row);
    const mark = this.#times[slot]!;
    if (time < mark) return false;
    const logical = rowLogical(row);
    if (time === mark && logical <= this.#logicals[slot]!) return false;
    this.#times[slot] = time;
    this.#logicals[slot] = logical;
    return true;
  }

  /** Rows up to `time` are to be looked at: those behind a fence have no short way past it. */
  raiseTo(slot: number, time: number): void {
    if (this.#times[slot]! > time) return;
    this.#times[slot] = time;
    this.#logicals[slot] = logicalMax;
  }
}
