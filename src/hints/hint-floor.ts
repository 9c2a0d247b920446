/**
 * The hint floor: the time up to which this node holds no full hint and takes none, kept across starts.
 *
 * The picture: a post office that says in the paper "letters dated before Monday are all delivered, and we
 * accept none any more". Others throw their records of Monday away on that word, so it must bind whoever
 * opens the office the next morning: it is written in the office's own book before it is sent to the paper.
 *
 * So there are two lines. What is *closed* is refused from the moment the note is laid on the tray; what is
 * *told* to the other members is durable, and was true of the hints on disk when it became so. The closed
 * line is never below the told one, in this life or the next. To spare the disk both move in steps.
 */

import type { ByteString } from '../base/bytes.ts';
import { readU48, writeU48 } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import { sealed, unsealed } from '../base/sealed-note.ts';
import type { Storage } from '../ports/storage.ts';
import { META_PREFIX } from '../rows/key.ts';

/** Lies outside of the stretch of the hints themselves. */
export const hintFloorKey: ByteString = `${META_PREFIX}no-hints-before`;

const noteBytes = 6;

/** A step is this share of the margin: so much later is the floor than it could be. */
const stepShare = 1 / 8;

/** What the floor needs of its node. */
export interface HintFloorNeeds {
  /** Stores a note with the next batch. */
  readonly note: (
    key: ByteString,
    value: Uint8Array,
    waiter: { stored(error: CodedError | undefined): void },
  ) => void;
  /** Time at or before which no full hint is held, milliseconds; -Infinity while that is not known. */
  readonly emptyTo: () => number;
  /** Whether no change of any hint waits to become durable. */
  readonly isSettled: () => boolean;
}

export class HintFloor {
  readonly #needs: HintFloorNeeds;
  readonly #stepMs: number;
  readonly #forgotten: boolean;
  #closed = 0;
  /** What of the closed line is durable. */
  #durable = 0;
  #told = 0;
  #laying = false;

  /**
   * @param marginMs how far behind the clock the floor stays, milliseconds
   * @param mutants test flags: with `hint-floor-forgotten` a life does not know what the former one told
   */
  constructor(needs: HintFloorNeeds, marginMs: number, mutants: ReadonlySet<string>) {
    this.#needs = needs;
    this.#forgotten = mutants.has('hint-floor-forgotten');
    this.#stepMs = marginMs * stepShare;
  }

  /**
   * Reads what the former life may have told.
   * @returns false if the note of it fails its checksum, and says nothing
   * @throws CodedError when storage cannot say
   */
  open(storage: Storage): boolean {
    const note = storage.get(hintFloorKey);
    if (note === undefined || this.#forgotten) return true;
    const body = unsealed(note, noteBytes);
    if (body === undefined) return false;
    this.#closed = readU48(body, 0);
    this.#durable = this.#closed;
    return true;
  }

  /** Milliseconds: no full hint stamped at or before this is held, and none will ever be accepted. */
  get told(): number {
    // After a start, or when a batch that was refused brought an older hint back for a while.
    if (this.#told < this.#durable && this.#needs.isSettled() && this.#needs.emptyTo() >= this.#durable)
      this.#told = this.#durable;
    return this.#told;
  }

  /** Milliseconds: hints stamped at or before this are refused. */
  get closed(): number {
    return this.#closed;
  }

  /** Closes the time up to `time`, milliseconds, if that is a step further; `told` follows when it is durable. */
  raise(time: number): void {
    const to = Math.floor(Math.min(time, this.#needs.emptyTo()));
    if (this.#laying || to <= this.#closed || to - this.#closed < this.#stepMs) return;
    this.#closed = to;
    this.#laying = true;
    const body = new Uint8Array(noteBytes);
    writeU48(body, 0, to);
    this.#needs.note(hintFloorKey, sealed(body), {
      stored: (error) => {
        this.#laying = false;
        if (error !== undefined) return;
        this.#durable = to;
        // All that was laid down before the note is settled now: was an older hint brought back by that?
        if (this.#needs.emptyTo() >= to) this.#told = to;
      },
    });
  }
}
