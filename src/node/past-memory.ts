/**
 * Past memory: what this node remembers of every other member, so that it can tell a member that lost its
 * disk what was on it.
 *
 * The picture: a card index with one card a neighbour, the last thing that was certain about it: which
 * actor it wrote as, how far its counters were reserved, and the greatest clock reading its disk is known
 * to have reached. That reading comes from its own word (MARK, some times a second) and from each row it
 * acknowledged to us as durable: both say that its disk stands at least there.
 *
 * A life of a member is told what the card said when its first frame came, however late and often it asks: what
 * it has acknowledged since says nothing about the disk it began with. Until a MARK shows that it heard the answer,
 * that is stored with the card: this node may be started again before it is asked. A member that
 * acknowledged something before it ever said where it stands has a card without an actor. Cards that changed
 * are stored about once a second, and at once when they are new or more counters are reserved.
 */

import { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import { sealed, unsealedBody } from '../base/sealed-note.ts';
import type { WriteEvent } from '../causality/version-set.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import type { Replica } from '../replica/replica.ts';
import { META_PREFIX } from '../rows/key.ts';
import type { Stamp } from '../rows/row.ts';
import { stampLogical, stampTime } from '../rows/row.ts';
import type { Past } from '../wire/past-messages.ts';
import { PAST_BYTES, readPast, writePast } from '../wire/past-messages.ts';

/** How long a note is: the card alone, with a life that is told "we never met", with one that is told more. */
const noteBytes: readonly number[] = [PAST_BYTES, PAST_BYTES + 9, 2 * PAST_BYTES + 9];

const TOLD = 1;
const ASKED = 2;

/** A member's card. */
class Card {
  generation = 0;
  actor = 0;
  reserved = 0;
  time = 0;
  logical = 0;
  /** Whether anything is known of the member. */
  known = false;
  /** The life that was met last, by the number in its frames; 0: none. */
  life = 0;
  /** The number it asks with; -1: it has not asked yet. */
  askId = -1;
  /** What it is told. */
  told: Past | undefined = undefined;
  /** It has not said where it stands since: it may ask, or ask again. */
  mayAsk = false;
  dirty = false;

  /** A life of the member begins, as far as this node can tell: what is known now is what it is told. */
  begin(): void {
    this.mayAsk = true;
    const { generation, actor, reserved, time, logical } = this;
    this.told = this.known ? { generation, actor, reserved, time, logical } : undefined;
  }

  raise(time: number, logical: number): void {
    if (time < this.time || (time === this.time && logical <= this.logical)) return;
    this.time = time;
    this.logical = logical;
    this.dirty = true;
  }
}

/** The card, and after it `u32 life | u32 askId | u8 flags | past, if TOLD` while that life may ask. */
function noteOf(card: Card): Uint8Array {
  const writer = new ByteWriter(2 * PAST_BYTES + 9);
  writePast(writer, card);
  if (card.mayAsk) {
    const hasAsked = card.askId >= 0;
    writer.u32(card.life);
    writer.u32(hasAsked ? card.askId : 0);
    writer.u8((card.told === undefined ? 0 : TOLD) | (hasAsked ? ASKED : 0));
    if (card.told !== undefined) writePast(writer, card.told);
  }
  return sealed(writer.view());
}

function noteKey(id: NodeId): string {
  return `${META_PREFIX}peer${id}`;
}

export class PastMemory {
  readonly #cards: Map<NodeId, Card> = new Map();
  /** Whose notes are to be thrown away. */
  readonly #dropped: Set<NodeId> = new Set();
  /** A card is new, or says of more counters that they may be used: to be stored without delay. */
  isUrgent = false;

  constructor(members: readonly NodeId[]) {
    for (const id of members) this.#cards.set(id, new Card());
  }

  /**
   * The other members are these from now on: cards of those who are gone are thrown away with the next `store`,
   * newcomers get empty ones. One that comes back is a stranger.
   */
  setMembers(members: readonly NodeId[]): void {
    const present = new Set(members);
    for (const id of [...this.#cards.keys()]) {
      if (present.has(id)) continue;
      this.#cards.delete(id);
      this.#dropped.add(id);
    }
    for (const id of present) if (!this.#cards.has(id)) this.#cards.set(id, new Card());
  }

  /** Reads the cards back. One that fails its checksum is as good as none. */
  load(storage: Storage): void {
    for (const [id, card] of this.#cards) {
      const note = storage.get(noteKey(id));
      const body = note === undefined ? undefined : unsealedBody(note);
      if (body === undefined || !noteBytes.includes(body.length)) continue;
      const reader = new ByteReader(body);
      Object.assign(card, readPast(reader));
      card.known = true;
      if (reader.remaining === 0) continue;
      card.mayAsk = true;
      card.life = reader.u32();
      const askId = reader.u32();
      const flags = reader.u8();
      if ((flags & ASKED) !== 0) card.askId = askId;
      if ((flags & TOLD) !== 0) card.told = readPast(reader);
    }
  }

  /** What is remembered of a member; undefined if nothing is. */
  of(id: NodeId): Past | undefined {
    const card = this.#cards.get(id);
    return card?.known ? card : undefined;
  }

  /**
   * The first frame of a life of a member came, as far as this node can tell. It may acknowledge rows before its
   * question arrives, so what it is to be told is laid aside now.
   * @param life the number in its frames
   */
  met(id: NodeId, life: number): void {
    const card = this.#cards.get(id);
    if (card === undefined || card.life === life) return;
    card.life = life;
    card.askId = -1;
    card.begin();
  }

  /**
   * What to tell a member that asks: what was remembered when its life was met.
   * @param askId a number that its life drew: one of a life that was not met is told what is remembered now
   */
  tell(id: NodeId, askId: number): Past | undefined {
    const card = this.#cards.get(id);
    if (card === undefined) return undefined;
    const isFirst = card.askId < 0 && card.mayAsk;
    if (card.askId !== askId && !isFirst) card.begin();
    card.askId = askId;
    return card.told;
  }

  /** A member says where it stands, and that it is sure of it. */
  marked(id: NodeId, past: Past): void {
    const card = this.#cards.get(id);
    if (card === undefined) return;
    const isNewer = past.generation > card.generation;
    const isSame = past.generation === card.generation && past.actor === card.actor;
    const isNameless = card.known && card.actor === 0;
    if (card.known && !isNewer && !isSame && !isNameless) return; // it has not heard us yet: we know of a later life
    // It writes on the card only what is durable after it heard us: the answer is not needed any more.
    card.dirty ||= card.mayAsk;
    card.mayAsk = false;
    const { generation, actor, reserved, time, logical } = past;
    if (!card.known || (isNewer && !isNameless)) {
      Object.assign(card, { generation, actor, reserved, time, logical, known: true, dirty: true });
      this.isUrgent = true;
      return;
    }
    if (isNameless || reserved > card.reserved) {
      Object.assign(card, { generation, actor, reserved, dirty: true });
      this.isUrgent = true;
    }
    card.raise(time, logical);
  }

  /** A member acknowledged as durable a row with this time and logical counter. */
  acknowledged(id: NodeId, time: number, logical: number): void {
    const card = this.#cards.get(id);
    if (card === undefined) return;
    if (!card.known) {
      card.known = true;
      this.isUrgent = true;
    }
    card.raise(time, logical);
  }

  /** The same, by the row's stamp. */
  acknowledgedStamp(id: NodeId, stamp: Stamp): void {
    this.acknowledged(id, stampTime(stamp), stampLogical(stamp));
  }

  /**
   * A row came that holds values of these writes. Siblings are durable where they were made before anybody else is
   * sent them, so the disk of a member whose actor made one has come as far. Stored with the row: should that disk
   * forget it, its node must not go on as the same actor (`sibling-composer.ts`).
   */
  wrote(events: Iterable<{ readonly event: WriteEvent }>): void {
    for (const { event } of events) {
      for (const card of this.#cards.values()) {
        if (!card.known || card.actor !== event.actor) continue;
        card.raise(event.time, event.logical);
        if (card.dirty) this.isUrgent = true;
      }
    }
  }

  /** Stores the cards that changed, with the next batch, and throws away those of members that are gone. */
  store(replica: Replica): void {
    this.isUrgent = false;
    for (const id of this.#dropped) {
      this.#dropped.delete(id);
      replica.note(noteKey(id), undefined, {
        stored: (error?: CodedError) => {
          if (error === undefined) return;
          const card = this.#cards.get(id);
          if (card === undefined) this.#dropped.add(id);
          else card.dirty = true;
        },
      });
    }
    for (const [id, card] of this.#cards) {
      if (!card.dirty || !card.known) continue;
      card.dirty = false;
      replica.note(noteKey(id), noteOf(card), {
        stored: (error?: CodedError) => {
          if (error !== undefined) card.dirty = true;
        },
      });
    }
  }
}
