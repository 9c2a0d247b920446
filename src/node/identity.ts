/**
 * Identity: the actor this life of the data directory writes as, and the stamps it may issue.
 *
 * A dot (actor, counter) must never be issued twice, so counters are reserved durably in blocks before
 * they are used, and a restart begins above the reserved block. The clock's high-water mark is stored
 * with every batch, so that stamps go on upwards after a restart even if the wall clock went back.
 *
 * Both are also how a node proves that its disk is the one it had (`past-desk.ts`): a disk that was lost,
 * or came back from an older copy, stands at a lower mark than peers remember. Then the node takes a new
 * actor, and its *generation*, the number of times that happened, goes up. The picture: a passport with a
 * page number; whoever lost it gets a new one, and the old one is known to be void.
 */

import type { ByteString } from '../base/bytes.ts';
import { readU32, readU48, writeU32, writeU48 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sealed, unsealed, unsealedBody } from '../base/sealed-note.ts';
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

/** A start begins up to so many blocks further on; a power of two. There are 2^28 blocks. */
const blocksSkippedMax = 1 << 12;

/** Actor, reservation and generation. Before notes were sealed they ended before the generation. */
const identityBytes = 16;
const identityBytesOld = 12;
/** The mark. */
const clockBytes = 8;

const markNone: HlcReading = { time: 0, logical: 0 };

function readMark(note: Uint8Array): HlcReading {
  return { time: readU48(note, 0), logical: (note[6]! << 8) | note[7]! };
}

/** Which of two readings is greater: negative if `a` is less. */
export function compareMarks(a: HlcReading, b: HlcReading): number {
  return a.time - b.time || a.logical - b.logical;
}

/** The clock note as found. `damaged`: there is one, and it fails its checksum. */
interface ClockFound {
  readonly mark: HlcReading;
  readonly damaged: boolean;
}

function clockFound(storage: Storage): ClockFound {
  const note = storage.get(clockKey);
  if (note === undefined) return { mark: markNone, damaged: false };
  const body = unsealed(note, clockBytes);
  return body === undefined ? { mark: markNone, damaged: true } : { mark: readMark(body), damaged: false };
}

/** What the identity note says; undefined if it is damaged. */
function readIdentity(note: Uint8Array): { actor: number; reserved: number; generation: number } | undefined {
  const isOld = note.length === identityBytesOld;
  const body = isOld ? note : unsealedBody(note);
  if (body === undefined || (!isOld && body.length !== identityBytes)) return undefined;
  return { actor: readU48(body, 0), reserved: readU48(body, 6), generation: isOld ? 0 : readU32(body, 12) };
}

/**
 * The clock's high-water mark as stored with the last batch: no row in storage is stamped above it, since
 * a row is observed before it is stored. All zero for an empty storage; undefined if it cannot be read.
 */
export function clockMark(storage: Storage): HlcReading | undefined {
  const { mark, damaged } = clockFound(storage);
  return damaged ? undefined : mark;
}

/** What the disk said of its own past when it was opened. */
export interface OpenedPast {
  /** There was no identity on it: it was never used, or it was lost. */
  readonly isNew: boolean;
  /** A note of it fails its checksum. */
  readonly isDamaged: boolean;
  readonly generation: number;
  readonly actor: number;
  /** Counters below this may have been issued. */
  readonly reserved: number;
  /** Every row on it is stamped at or below this. */
  readonly mark: HlcReading;
}

export class Identity {
  /** 48 random bits, chosen once a life of a data directory. */
  actor = 0;
  /** How often this node lost its disk, as far as is known. */
  generation = 0;
  readonly hlc: Hlc = new Hlc();
  opened: OpenedPast = {
    isNew: true,
    isDamaged: false,
    generation: 0,
    actor: 0,
    reserved: 0,
    mark: markNone,
  };
  /** Set when the peers were heard: stamps may be issued. */
  isSettled = false;
  /** Set when every other member told what it remembers of this node. */
  isAllTold = false;
  /** The clock's mark in the last batch that is durable. */
  markDurable: HlcReading = markNone;
  #markHanded: HlcReading = markNone;
  #counter = 0;
  /** Counters below this are reserved durably for `actor`. */
  #reserved = 0;
  /** The same, once what was handed to the storage is durable. */
  #reservedHanded = 0;
  #reserving = false;
  readonly #forget: boolean;
  readonly #nextBlock: boolean;

  /** @param mutants test flags: `dot-reused` forgets reservations; with a kept actor no block is skipped. */
  constructor(mutants: ReadonlySet<string>) {
    this.#nextBlock = mutants.has('actor-kept-after-loss');
    this.#forget = mutants.has('dot-reused');
  }

  /** Reads the identity and the clock back, or draws a new actor. Nothing is stored yet. */
  open(storage: Storage, random: Random): void {
    const clock = clockFound(storage);
    const note = storage.get(identityKey);
    const found = note === undefined ? undefined : readIdentity(note);
    this.actor = found?.actor ?? drawActor(random);
    this.generation = found?.generation ?? 0;
    const reserved = found?.reserved ?? 0;
    // Not the next block but one further on: should this disk be an older copy and nobody be left to say so,
    // its lost life has hardly used the same one.
    const blocksOn = reserved === 0 || this.#nextBlock ? 0 : random.u32() & (blocksSkippedMax - 1);
    this.#counter = this.#forget ? 0 : reserved + blocksOn * reservationSize;
    if (!this.#forget) this.hlc.observe(clock.mark.time, clock.mark.logical);
    this.opened = {
      isNew: note === undefined,
      isDamaged: clock.damaged || (note !== undefined && found === undefined),
      generation: this.generation,
      actor: this.actor,
      reserved,
      mark: clock.mark,
    };
  }

  /** Reserves the first block of counters; `done` when they may be used. */
  start(replica: Replica, done: (error?: CodedError) => void): void {
    this.#reserve(replica, this.#counter + reservationSize, done);
  }

  /** A new actor, since this disk is not the one it was; `start` reserves its first counters. */
  renew(random: Random): void {
    this.actor = drawActor(random);
    this.#counter = 0;
    this.#reserved = 0;
    this.#reservedHanded = 0;
  }

  /** Counters that may have been issued durably end here. */
  get reserved(): number {
    return this.#reserved;
  }

  /** Stores the identity (and with it the clock) once more, as it is now. */
  note(replica: Replica, done: (error?: CodedError) => void): void {
    // Not less than a reservation that is still on its way: this note would take it back.
    const upTo = Math.max(this.#reserved, this.#reservedHanded, this.#counter);
    replica.note(identityKey, this.#noteOf(upTo), { stored: done });
  }

  #noteOf(upTo: number): Uint8Array {
    const note = new Uint8Array(identityBytes);
    writeU48(note, 0, this.actor);
    writeU48(note, 6, upTo);
    writeU32(note, 12, this.generation);
    return sealed(note);
  }

  #reserve(replica: Replica, upTo: number, done: (error?: CodedError) => void): void {
    const { actor } = this;
    this.#reserving = true;
    this.#reservedHanded = upTo;
    replica.note(identityKey, this.#noteOf(upTo), {
      stored: (error) => {
        // The reservation of an actor that was given up meanwhile is worth nothing.
        if (actor === this.actor) {
          this.#reserving = false;
          if (error === undefined) this.#reserved = upTo;
        }
        done(error);
      },
    });
  }

  /**
   * The next stamp of this actor: greater than all it issued or observed.
   * @throws CodedError `unavailable` when the reserved counters are used up and storage does not
   *   grant more, or while it is not known whether some were issued before.
   */
  next(wall: number, replica: Replica): StampParts {
    if (this.#counter >= this.#reserved || !this.isSettled) {
      throw new CodedError(
        'unavailable',
        'fail',
        this.isSettled
          ? 'storage grants no further write stamps; nothing was written'
          : 'this node still asks its peers whether its disk is the one it had; nothing was written',
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

  /**
   * Whether the disk is known to have all that this actor ever wrote: the actor was drawn in this life, or nobody
   * remembers more of it than the disk does.
   */
  get isContinued(): boolean {
    return this.isAllTold || this.opened.isNew || this.actor !== this.opened.actor;
  }

  /** The highest reading issued or observed, as the stamp of nobody. */
  highest(): Stamp {
    return encodeStamp({ time: this.hlc.time, logical: this.hlc.logical, actor: 0, counter: 0 });
  }

  /** The note that goes with every batch: the clock's high-water mark. */
  clockNote(): StorageWrite {
    const { time, logical } = this.hlc;
    this.#markHanded = { time, logical };
    const value = new Uint8Array(clockBytes);
    writeU48(value, 0, time);
    value[6] = logical >>> 8;
    value[7] = logical;
    return { key: clockKey, value: sealed(value) };
  }

  /** The batch that the last `clockNote` went with is durable (one is under way at a time). */
  committed(): void {
    this.markDurable = this.#markHanded;
  }
}

/** A new actor: 47 random bits. The 48th marks the made stamps of siblings (`src/rows/siblings.ts`). */
export function drawActor(random: Random): number {
  return (random.u32() & 0x7fff) * 0x1_0000_0000 + random.u32();
}
