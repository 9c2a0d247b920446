/**
 * Gossip on the wire: a blob that travels in each PING and PONG. The sender's own entry comes first,
 * then a bounded number of entries of others, so that a message is as long in a cluster of 100 as in one
 * of 10.
 *
 * Members are numbered by their place in the sorted list of ids where both sides have the same list (they
 * compare a hash of it), and named in full where they have not:
 *
 *   u8 form, bits: 1 by number, 2 with what is settled
 *     · u32 hash of the sender's list · own entry · u8 count · count × (who, entry)
 *   who = u16 number | u8 length, chars        entry = u8 status and flags · u48 incarnation · u32 counter
 *                                                      · u32 epoch · u32 settled epoch, if the form says so
 *                                                      · u48 hint floor
 *                                                      · u48 rebuilding since, if the flag says so
 *
 * Nodes of protocol version 4 know nothing of settled epochs: they are written to without. Of what they tell only the
 * founding epoch is taken for settled, in which nobody has anything to do but to know it.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { byteString } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { murmur3 } from '../base/murmur3.ts';
import type { Entry, Status } from './entry.ts';
import { INCARNATION_MAX } from './entry.ts';

/** Bytes of an entry without who it is about; six more where it says since when its member is rebuilt. */
export const ENTRY_BYTES = 25;

const formNumbered = 1;
const formSettled = 2;

const foundingEpoch = 1;

/** The low bits of the first byte; the rest is room for what later versions say. */
const statusMask = 0b11;
const flagRebuilding = 0b100;

/** The members, sorted: a member's number is its place. */
export class MemberBook {
  readonly ids: readonly string[];
  readonly hash: number;
  readonly #numbers: ReadonlyMap<string, number>;

  /** @param ids every member once, in any order; at most 65,536. */
  constructor(ids: readonly string[]) {
    this.ids = [...ids].sort();
    this.hash = murmur3(this.ids.join('\n'));
    this.#numbers = new Map(this.ids.map((id, number) => [id, number]));
  }

  numberOf(id: string): number | undefined {
    return this.#numbers.get(id);
  }
}

export function writeGossipHead(
  writer: ByteWriter,
  book: MemberBook,
  numbered: boolean,
  settled: boolean,
): void {
  writer.u8((numbered ? formNumbered : 0) | (settled ? formSettled : 0));
  writer.u32(book.hash);
}

export function writeMember(writer: ByteWriter, book: MemberBook, numbered: boolean, member: number): void {
  if (numbered) {
    writer.u16(member);
    return;
  }
  const id = book.ids[member]!;
  writer.u8(id.length);
  writer.rawText(id);
}

export function writeEntry(writer: ByteWriter, entry: Entry, settled: boolean): void {
  const isRebuilding = entry.rebuildingSince > 0;
  writer.u8(entry.status | (isRebuilding ? flagRebuilding : 0));
  writer.u48(entry.incarnation);
  writer.u32(entry.counter);
  writer.u32(entry.epoch);
  if (settled) writer.u32(entry.settledEpoch);
  writer.u48(entry.hintFloor);
  if (isRebuilding) writer.u48(entry.rebuildingSince);
}

/**
 * Reads the head of a blob into `head`.
 * @throws CodedError `protocol` for a form that is not known.
 */
export function readGossipHead(reader: ByteReader, book: MemberBook, head: GossipHead): void {
  const form = reader.u8();
  head.hash = reader.u32();
  head.numbered = (form & formNumbered) !== 0;
  head.settled = (form & formSettled) !== 0;
  if (form > (formNumbered | formSettled)) throw nonsense(`form ${form}`);
  head.isForeign = head.numbered && head.hash !== book.hash;
}

export class GossipHead {
  hash = 0;
  numbered = false;
  /** Members are numbered by another list than ours: one of the two has changed meanwhile. */
  isForeign = false;
  settled = false;
}

/**
 * Who the next entry is about: a number, or -1 for a member that is not in our list.
 * @throws CodedError `protocol` for a number beyond the list.
 */
export function readMember(reader: ByteReader, book: MemberBook, numbered: boolean): number {
  if (numbered) {
    const member = reader.u16();
    if (member >= book.ids.length) throw nonsense(`member ${member} of ${book.ids.length}`);
    return member;
  }
  const length = reader.u8();
  const chars = reader.raw(length);
  return book.numberOf(byteString(chars)) ?? -1;
}

/**
 * Reads an entry into `entry`.
 * @throws CodedError `protocol` for an incarnation beyond belief.
 */
export function readEntry(reader: ByteReader, entry: Entry, settled: boolean): void {
  const head = reader.u8();
  entry.status = (head & statusMask) as Status;
  entry.incarnation = reader.u48();
  entry.counter = reader.u32();
  entry.epoch = reader.u32();
  entry.settledEpoch = settled ? reader.u32() : Math.min(entry.epoch, foundingEpoch);
  entry.hintFloor = reader.u48();
  entry.rebuildingSince = (head & flagRebuilding) === 0 ? 0 : reader.u48();
  if (entry.incarnation > INCARNATION_MAX) throw nonsense(`incarnation ${entry.incarnation}`);
}

function nonsense(what: string): CodedError {
  return new CodedError('protocol', 'none', `gossip that makes no sense: ${what}`);
}
