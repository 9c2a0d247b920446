/**
 * Horizons: how far back a partition's past is settled.
 *
 * The picture: two lines on the time line of each partition. Behind the *fence* no row is taken any
 * more from a message that may be an hour late: only a replica that holds the row can still hand it
 * over. Behind the *horizon* all replicas have proved equal: what was deleted before it is deleted
 * everywhere, so its tombstone has nobody left to tell and counts as gone. The fence is raised first,
 * so that nothing new appears behind it while the replicas compare (`src/repair/horizon-round.ts`).
 *
 * Times are those of row stamps, milliseconds. Both lines only rise, and are kept in a note a
 * partition; a node that lost its disk lost them too, and learns the horizon from its peers. One that lost
 * rows forgets its horizons (`forget`): peers would take the rows it lacks for deleted ones.
 */

import type { ByteString } from '../base/bytes.ts';
import { readU48, writeU48 } from '../base/bytes.ts';
import { sealed, unsealed } from '../base/sealed-note.ts';
import type { Storage } from '../ports/storage.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import { META_PREFIX, type RowKey, rowKeySlot } from '../rows/key.ts';
import type { Row } from '../rows/row.ts';
import { rowDeathTime, rowTime } from '../rows/row.ts';
import { isSiblingsRow, withoutSettled } from '../rows/siblings.ts';

/** `take`; `dead`: it is gone already, there is nothing to keep; `straggler`: it came too late. */
export type HorizonVerdict = 'take' | 'dead' | 'straggler';

const noteBytes = 12;

/** More than twice the greatest clock offset that is believed, milliseconds. */
const settleMs = 2000;

export class Horizons {
  readonly #fences: Float64Array;
  readonly #horizons: Float64Array;
  /** A horizon, and the wall time at which it was proved here; the greatest that is safely in the past of another. */
  readonly #proved: Float64Array;
  readonly #provedAt: Float64Array;
  readonly #forgettable: Float64Array;
  readonly #shift: number;
  readonly #stragglersTaken: boolean;
  readonly #fenceForgotten: boolean;
  /** Rows that came or went behind the fence of a partition since the start, modulo 2^32. */
  readonly #changesBehind: Uint32Array;

  /** Rows that reads handed on and were taken behind the fence of a partition since the start, modulo 2^32. */
  readonly #handed: Uint32Array;
  readonly #handedRefused: boolean;
  readonly #forgottenEarly: boolean;
  readonly #settledReturns: boolean;

  /** @param partitionCount a power of two, up to 16,384 */
  constructor(partitionCount: number, mutants: ReadonlySet<string>) {
    this.#fences = new Float64Array(partitionCount);
    this.#horizons = new Float64Array(partitionCount);
    this.#proved = new Float64Array(partitionCount);
    this.#provedAt = new Float64Array(partitionCount);
    this.#forgettable = new Float64Array(partitionCount);
    this.#changesBehind = new Uint32Array(partitionCount);
    this.#handed = new Uint32Array(partitionCount);
    this.#handedRefused = mutants.has('handed-row-refused');
    this.#forgottenEarly = mutants.has('sibling-forgotten-early');
    this.#settledReturns = mutants.has('sibling-settled-returns');
    this.#shift = Math.log2(SLOT_COUNT / partitionCount);
    this.#stragglersTaken = mutants.has('straggler-taken');
    this.#fenceForgotten = mutants.has('fence-forgotten');
  }

  /** Reads the notes back. @returns false if one is damaged, which then says nothing. */
  load(storage: Storage): boolean {
    let intact = true;
    for (let partition = 0; partition < this.#fences.length; partition++) {
      const stored = storage.get(this.noteKey(partition));
      if (stored === undefined) continue;
      const note = unsealed(stored, noteBytes);
      intact &&= note !== undefined;
      if (note === undefined) continue;
      if (!this.#fenceForgotten) this.#fences[partition] = readU48(note, 0);
      this.#horizons[partition] = readU48(note, 6);
    }
    return intact;
  }

  noteKey(partition: number): ByteString {
    return `${META_PREFIX}horizon${String.fromCharCode(partition >> 8, partition & 0xff)}`;
  }

  noteOf(partition: number): Uint8Array {
    const note = new Uint8Array(noteBytes);
    writeU48(note, 0, this.#fences[partition]!);
    writeU48(note, 6, this.#horizons[partition]!);
    return sealed(note);
  }

  /**
   * This node lost rows: it cannot say of anything that all replicas agree on it. Fences stay.
   * @returns the partitions whose notes are to be stored
   */
  forget(): number[] {
    const forgotten: number[] = [];
    this.#horizons.forEach((horizon, partition) => {
      if (horizon > 0) forgotten.push(partition);
    });
    this.#horizons.fill(0);
    this.#proved.fill(0);
    this.#provedAt.fill(0);
    this.#forgettable.fill(0);
    return forgotten;
  }

  /** The same for one partition, of which rows are given up here that others hold. */
  forgetOf(partition: number): void {
    for (const times of [this.#horizons, this.#proved, this.#provedAt, this.#forgettable])
      times[partition] = 0;
  }

  /** Rises with each row that comes or goes behind the fence of a partition, modulo 2^32. */
  changesBehindFence(partition: number): number {
    return this.#changesBehind[partition]!;
  }

  /** Rises with each row that a read handed on and that was taken behind the fence, modulo 2^32. */
  handedBehindFence(partition: number): number {
    return this.#handed[partition]!;
  }

  partitionOf(slot: number): number {
    return slot >> this.#shift;
  }

  /**
   * Whether a row behind our fence is taken from a reader that met it on a replica with the horizon `theirs`.
   * Without a horizon of our own we may have forgotten it, with the tombstones it stood for: then it is not.
   */
  mayHand(slot: number, theirs: number): boolean {
    const ours = this.#horizons[slot >> this.#shift]!;
    return ours > 0 && theirs >= ours && !this.#handedRefused;
  }

  /** A row of the slot is dropped. */
  dropped(slot: number): void {
    this.#changesBehind[slot >> this.#shift]!++;
  }

  /** The slots of a partition, end excluded. */
  slotsOf(partition: number): { readonly slotFirst: number; readonly slotEnd: number } {
    return { slotFirst: partition << this.#shift, slotEnd: (partition + 1) << this.#shift };
  }

  fence(slot: number): number {
    return this.#fences[slot >> this.#shift]!;
  }

  horizonOf(partition: number): number {
    return this.#horizons[partition]!;
  }

  fenceOf(partition: number): number {
    return this.#fences[partition]!;
  }

  /** @returns whether it rose. */
  raiseFence(partition: number, time: number): boolean {
    if (time <= this.#fences[partition]!) return false;
    this.#fences[partition] = time;
    return true;
  }

  /**
   * @param wall wall time, milliseconds
   * @returns whether it rose.
   */
  raiseHorizon(partition: number, time: number, wall: number = Number.POSITIVE_INFINITY): boolean {
    if (time <= this.#horizons[partition]!) return false;
    this.#horizons[partition] = time;
    if (this.#provedAt[partition] === 0) {
      this.#proved[partition] = time;
      this.#provedAt[partition] = wall;
    } else if (time > this.#provedAt[partition]! + settleMs) {
      this.#forgettable[partition] = this.#proved[partition]!;
      this.#proved[partition] = time;
      this.#provedAt[partition] = wall;
    }
    return true;
  }

  /**
   * Whether a row that is past the horizon may be deleted. One of siblings only when a second horizon has risen
   * beyond the moment at which a first one covered it: until then a row from before that first proof, which is
   * younger than the horizon and has an old value in it, may yet arrive, and what is forgotten here is all that
   * says that the value is dead (`docs/design/siblings.md`).
   */
  mayForget(slot: number, row: Row): boolean {
    if (this.#forgottenEarly) return true;
    return !isSiblingsRow(row) || rowTime(row) <= this.#forgettable[slot >> this.#shift]!;
  }

  /** Whether a row died at or before the horizon. */
  isPast(slot: number, row: Row): boolean {
    const horizon = this.#horizons[slot >> this.#shift]!;
    return horizon > 0 && rowTime(row) <= horizon && rowDeathTime(row) <= horizon;
  }

  /**
   * A row of siblings as it is to be merged: without values that were overwritten before the horizon, whatever an
   * old copy of a disk says. @param held what is held of it here
   */
  unsettled(rowKey: RowKey, row: Row, held: Row | undefined, storage: Storage): Row {
    if (!isSiblingsRow(row) || this.#settledReturns) return row;
    const horizon = this.#horizons[rowKeySlot(rowKey) >> this.#shift]!;
    // What was evicted was not overwritten.
    if (horizon === 0 || storage.figures().evictions > 0) return row;
    return withoutSettled(rowKey, row, held, horizon);
  }

  /** What to do with a row that would change what is held. */
  judge(slot: number, row: Row, source: 'request' | 'sync' | 'hand' | 'mend'): HorizonVerdict {
    const time = rowTime(row);
    if (time > this.#fences[slot >> this.#shift]! || this.#stragglersTaken) return 'take';
    if (source === 'request') return 'straggler';
    if (this.isPast(slot, row)) return 'dead';
    if (source === 'hand') this.#handed[slot >> this.#shift]!++;
    this.#changesBehind[slot >> this.#shift]!++;
    return 'take';
  }
}
