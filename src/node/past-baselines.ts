/**
 * Baselines: against what a member's memory of us is to be held.
 *
 * A member's memory is held against what the disk said when it was opened. But a node may start while a
 * member is away, go on, and be started again before it has met that member: by then its disk says more, and
 * what was missing at first would not be noticed any more. So the first word of the disk is kept, in a note,
 * for each member until that member was heard. The picture: a sealed list of what was in the safe, opened in
 * front of each heir in turn, and not overwritten by what was put in since.
 */

import type { ByteString } from '../base/bytes.ts';
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sealed, unsealedBody } from '../base/sealed-note.ts';
import { durationWords } from '../base/words.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import { META_PREFIX } from '../rows/key.ts';
import type { Past } from '../wire/past-messages.ts';
import { readPast, writePast } from '../wire/past-messages.ts';
import { compareMarks } from './identity.ts';

export const baselinesKey: ByteString = `${META_PREFIX}baselines`;

export class PastBaselines {
  readonly #unheard: Map<NodeId, Past> = new Map();
  /** Against this the memory of members is held that the note does not name. */
  #first: Past | undefined = undefined;

  /**
   * Reads the note back; members it does not name are held against `opened`, what the disk says now.
   * @returns false if the note is damaged.
   */
  load(storage: Storage, members: Iterable<NodeId>, opened: Past): boolean {
    this.#first = opened;
    for (const id of members) this.#unheard.set(id, opened);
    const note = storage.get(baselinesKey);
    if (note === undefined) return true;
    const body = unsealedBody(note);
    if (body === undefined) return false;
    try {
      const reader = new ByteReader(body);
      while (reader.remaining > 0) {
        const id = reader.text();
        const past = readPast(reader);
        if (this.#unheard.has(id)) this.#unheard.set(id, past);
      }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return false;
    }
    return true;
  }

  /** What a member's memory is held against; undefined once it was heard. */
  of(id: NodeId): Past | undefined {
    return this.#unheard.get(id);
  }

  /** A member came that is to be heard too: it may have met a life of this node that the disk knows nothing of. */
  add(id: NodeId): void {
    if (this.#first !== undefined) this.#unheard.set(id, this.#first);
  }

  /** A member was heard, or is gone. */
  heard(id: NodeId): void {
    this.#unheard.delete(id);
  }

  /** The disk is known not to be what it was: those who were not heard yet remember an earlier life. */
  begin(past: Past): void {
    this.#first = past;
    for (const id of this.#unheard.keys()) this.#unheard.set(id, past);
  }

  /** The note to keep; undefined when everybody was heard and it is to be removed. */
  note(): Uint8Array | undefined {
    if (this.#unheard.size === 0) return undefined;
    const writer = new ByteWriter(64 * this.#unheard.size);
    for (const [id, past] of this.#unheard) {
      writer.text(id);
      writePast(writer, past);
    }
    return sealed(writer.view());
  }
}

/** The disk is empty, and a member remembers this node. */
export function lossOfAll(peer: NodeId): string {
  return `the disk is empty, and ${peer} remembers what this node wrote and acknowledged before`;
}

/** What a disk lost with its last writes lies so close together, milliseconds. */
const lastWritesMs = 60_000;

/** Whether a member's memory shows that the disk is another one, or lacks more than its last writes. */
export function isOtherDisk(past: Past, baseline: Past): boolean {
  const isLaterLife = past.generation > baseline.generation || past.actor !== baseline.actor;
  return (past.actor !== 0 && isLaterLife) || past.time - baseline.time > lastWritesMs;
}

/** What a member's memory says is missing on the disk, in words; undefined if nothing is. */
export function lossOf(peer: NodeId, past: Past, baseline: Past): string | undefined {
  // Without an actor: it acknowledged rows before it said where it stands.
  const isNameless = past.actor === 0;
  if (past.generation < baseline.generation && !isNameless) return undefined;
  if (isNameless) {
    if (compareMarks(past, baseline) <= 0) return undefined;
  } else if (past.generation > baseline.generation || past.actor !== baseline.actor) {
    return `${peer} remembers a later life of this node than the disk does: it is an older copy, or another one`;
  }
  if (past.reserved > baseline.reserved || compareMarks(past, baseline) > 0) {
    const missing = durationWords(past.time - baseline.time);
    return `the disk ends ${missing} before what ${peer} knows to have been durable: it is an older copy, or lost its last writes`;
  }
  return undefined;
}
