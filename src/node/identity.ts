/**
 * Identity: the actor this life of the data directory writes as, and the stamps it may issue.
 *
 * A dot (actor, counter) must never be issued twice, so counters are reserved durably in blocks before
 * they are used, and a restart begins above the reserved block. The clock's high-water mark is stored
 * with every batch, so that stamps go on upwards after a restart even if the wall clock went back.
 */

import type { ByteString } from '../base/bytes.ts';
import { ByteWriter, readU48 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { HlcReading } from '../causality/hlc.ts';
import { Hlc } from '../causality/hlc.ts';
import type { Random } from '../ports/random.ts';
import type { Storage, StorageWrite } from '../ports/storage.ts';
import type { Replica } from '../replica/replica.ts';
import { META_PREFIX } from '../rows/key.ts';
import type { Stamp, StampParts } from '../rows/row.ts';
import { encodeStamp, stampLogical, stampTime } from '../rows/row.ts';

export const identityKey: ByteString = `${META_PREFIX}identity`;
const clockKey: ByteString = `${META_PREFIX}clock`;

/** Counters reserved at a time. Renewed when half are used. */
const reservationSize = 1 << 20;

/**
 * The clock's high-water mark as stored with the last batch: no row in storage is stamped above it, since
 * a row is observed before it is stored. All zero for an empty storage.
 */
export function clockMark(storage: Storage): HlcReading {
  const note = storage.get(clockKey);
  if (note === undefined || note.length !== 8) return { time: 0, logical: 0 };
  return { time: readU48(note, 0), logical: (note[6]! << 8) | note[7]! };
}

export class Identity {
  /** 48 random bits, chosen once a data directory. */
  actor = 0;
  readonly hlc: Hlc = new Hlc();
  #counter = 0;
  #reserved = 0;
  #reserving = false;
  readonly #forget: boolean;

  /** @param mutants test flags: `dot-reused` forgets reservations. */
  constructor(mutants: ReadonlySet<string>) {
    this.#forget = mutants.has('dot-reused');
  }

  /** Reads or founds the identity and reserves the first block; `done` when stamps may be issued. */
  start(storage: Storage, random: Random, replica: Replica, done: (error?: CodedError) => void): void {
    const stored = storage.get(identityKey);
    if (stored !== undefined && stored.length === 12) {
      this.actor = readU48(stored, 0);
      this.#counter = this.#forget ? 0 : readU48(stored, 6);
    } else {
      this.actor = (random.u32() & 0xffff) * 0x1_0000_0000 + random.u32();
    }
    const mark = clockMark(storage);
    if (!this.#forget) this.hlc.observe(mark.time, mark.logical);
    this.#reserve(replica, this.#counter + reservationSize, done);
  }

  #reserve(replica: Replica, upTo: number, done: (error?: CodedError) => void): void {
    const writer = new ByteWriter(12);
    writer.u48(this.actor);
    writer.u48(upTo);
    this.#reserving = true;
    replica.note(identityKey, writer.take(), {
      stored: (error) => {
        this.#reserving = false;
        if (error === undefined) this.#reserved = upTo;
        done(error);
      },
    });
  }

  /**
   * The next stamp of this actor: greater than all it issued or observed.
   * @throws CodedError `unavailable` when the reserved counters are used up and storage does not
   *   grant more.
   */
  next(wall: number, replica: Replica): StampParts {
    if (this.#counter >= this.#reserved) {
      throw new CodedError(
        'unavailable',
        'fail',
        'storage grants no further write stamps; nothing was written',
      );
    }
    const counter = this.#counter++;
    if (!this.#reserving && this.#reserved - counter < reservationSize / 2) {
      this.#reserve(replica, this.#reserved + reservationSize, () => {});
    }
    const { time, logical } = this.hlc.next(wall);
    return { time, logical, actor: this.actor, counter };
  }

  /** Takes note of a stamp seen elsewhere. */
  observe(stamp: Stamp): void {
    this.hlc.observe(stampTime(stamp), stampLogical(stamp));
  }

  /** The highest reading issued or observed, as the stamp of nobody. */
  highest(): Stamp {
    return encodeStamp({ time: this.hlc.time, logical: this.hlc.logical, actor: 0, counter: 0 });
  }

  /** The note that goes with every batch: the clock's high-water mark. */
  clockNote(): StorageWrite {
    const value = new Uint8Array(8);
    const writer = new ByteWriter(8);
    writer.u48(this.hlc.time);
    writer.u16(this.hlc.logical);
    value.set(writer.view());
    return { key: clockKey, value };
  }
}
