/**
 * Vouching: for which partitions this replica may answer.
 *
 * The picture: a witness who was unconscious. A node whose disk was lost, or came back from an older copy,
 * does not remember what it acknowledged: if it said "no such row" in a read quorum, an acknowledged write
 * could vanish (amnesia). So of each partition the node keeps how far its word is worth anything:
 *
 * - 0 `none`: it lost rows and has not got them back. It answers no read.
 * - 1 `loose`: it holds what the replicas that are live now hold, or, on a disk that was never used, nobody
 *   contradicted so far. It answers reads of policies that are not linearizable.
 * - 2 `full`: every other replica was heard. It answers all reads.
 *
 * Writes are taken at any level: what is durable from now on is as good as any. What is below `full` is kept
 * in a note, so that a crash during the rebuild is only a pause in it.
 *
 * At each start the witness is *unsure* for a moment, until the others were asked (`past-desk.ts`).
 */

import type { ByteString } from '../base/bytes.ts';
import { readU48, writeU48 } from '../base/bytes.ts';
import { sealed, unsealedBody } from '../base/sealed-note.ts';
import type { Storage } from '../ports/storage.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import { META_PREFIX } from '../rows/key.ts';

export const VOUCH_NONE = 0;
export const VOUCH_LOOSE = 1;
export const VOUCH_FULL = 2;

/** Why partitions are not vouched for: the disk is new to this node, or what was on it is lost. */
export type VouchReason = 'new' | 'lost';

export const vouchingKey: ByteString = `${META_PREFIX}vouching`;

/** Reason and time; then the levels, of four partitions a byte. */
const headBytes = 7;

export class Vouching {
  readonly #levels: Uint8Array;
  readonly #shift: number;
  readonly #amnesiacAnswers: boolean;
  /** Partitions of each level. */
  readonly #counts: number[];
  #isUnsure = true;
  #strictUnsure = true;
  /** Every answer may be given: the one thing that is looked at on the path of a read. */
  isWhole = false;
  /** Why, and since when (wall milliseconds), while some partitions are below full. */
  reason: VouchReason | undefined = undefined;
  sinceWall = 0;

  /** @param partitionCount a power of two, up to 16,384 */
  constructor(partitionCount: number, mutants: ReadonlySet<string>) {
    this.#levels = new Uint8Array(partitionCount).fill(VOUCH_FULL);
    this.#counts = [0, 0, partitionCount];
    this.#shift = Math.log2(SLOT_COUNT / partitionCount);
    this.#amnesiacAnswers = mutants.has('amnesiac-answers');
  }

  get partitionCount(): number {
    return this.#levels.length;
  }

  /** Reads the note back. A note that is damaged vouches for nothing: false, and the caller says `lose`. */
  load(storage: Storage): boolean {
    const stored = storage.get(vouchingKey);
    if (stored === undefined) return true;
    const note = unsealedBody(stored);
    if (note?.length !== headBytes + Math.ceil(this.#levels.length / 4)) return false;
    this.reason = note[0] === 1 ? 'new' : 'lost';
    this.sinceWall = readU48(note, 1);
    for (let partition = 0; partition < this.#levels.length; partition++) {
      const level = (note[headBytes + (partition >> 2)]! >> ((partition & 3) * 2)) & 3;
      this.#set(partition, Math.min(level, VOUCH_FULL));
    }
    if (this.isFull) this.reason = undefined;
    this.#changed();
    return true;
  }

  /** The note to keep; undefined when there is nothing to remember and it is to be removed. */
  note(): Uint8Array | undefined {
    if (this.isFull) return undefined;
    const note = new Uint8Array(headBytes + Math.ceil(this.#levels.length / 4));
    note[0] = this.reason === 'new' ? 1 : 2;
    writeU48(note, 1, this.sinceWall);
    for (let partition = 0; partition < this.#levels.length; partition++) {
      note[headBytes + (partition >> 2)]! |= this.#levels[partition]! << ((partition & 3) * 2);
    }
    return sealed(note);
  }

  /**
   * From now on these partitions have to be won back.
   * @param partitions those this node is one of several replicas of
   */
  lose(reason: VouchReason, partitions: Iterable<number>, wall: number): void {
    this.reason = reason;
    this.sinceWall = wall;
    for (const partition of partitions) this.#set(partition, reason === 'new' ? VOUCH_LOOSE : VOUCH_NONE);
    if (this.isFull) this.reason = undefined;
    this.#changed();
  }

  /** A partition was won back so far. @returns whether that is news. */
  raise(partition: number, level: number): boolean {
    if (level <= this.#levels[partition]!) return false;
    this.#set(partition, level);
    if (this.isFull) this.reason = undefined;
    this.#changed();
    return true;
  }

  /**
   * Whether the peers are still to be heard. `strict` alone: reads of linearizable policies wait for them,
   * the others do not.
   */
  setUnsure(unsure: boolean, strict: boolean): void {
    this.#isUnsure = unsure;
    this.#strictUnsure = unsure || strict;
    this.#changed();
  }

  #set(partition: number, level: number): void {
    this.#counts[this.#levels[partition]!]!--;
    this.#levels[partition] = level;
    this.#counts[level]!++;
  }

  #changed(): void {
    this.isWhole = this.#amnesiacAnswers || (this.isFull && !this.#strictUnsure);
  }

  /** Whether every partition is at `full`. */
  get isFull(): boolean {
    return this.#counts[VOUCH_FULL] === this.#levels.length;
  }

  get isUnsure(): boolean {
    return this.#isUnsure;
  }

  /** Partitions of a level. */
  count(level: number): number {
    return this.#counts[level]!;
  }

  level(partition: number): number {
    return this.#levels[partition]!;
  }

  /** Whether it answers for all that was ever acknowledged of a partition. */
  isWholeIn(partition: number): boolean {
    return !this.#isUnsure && this.#levels[partition] === VOUCH_FULL;
  }

  /** Whether this replica may answer a read of a slot; `strict` for a linearizable one. */
  mayAnswer(slot: number, strict: boolean): boolean {
    if (this.isWhole) return true;
    if (strict ? this.#strictUnsure : this.#isUnsure) return false;
    return this.#levels[slot >> this.#shift]! >= (strict ? VOUCH_FULL : VOUCH_LOOSE);
  }

  /** Whether it may list or count the slots from `slotFrom` to `slotEnd` (end excluded). */
  mayList(slotFrom: number, slotEnd: number): boolean {
    if (this.isWhole) return true;
    if (this.#isUnsure) return false;
    if (this.#counts[VOUCH_NONE] === 0) return true;
    for (let partition = slotFrom >> this.#shift; partition <= (slotEnd - 1) >> this.#shift; partition++) {
      if (this.#levels[partition]! < VOUCH_LOOSE) return false;
    }
    return true;
  }
}

/** Whether ranges of slots (pairs of start and end) may be listed or counted, all of them. */
export function mayListAll(vouching: Vouching, ranges: readonly number[]): boolean {
  if (vouching.isWhole) return true;
  for (let i = 0; i + 1 < ranges.length; i += 2) {
    if (ranges[i]! < ranges[i + 1]! && !vouching.mayList(ranges[i]!, ranges[i + 1]!)) return false;
  }
  return true;
}
