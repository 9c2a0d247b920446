/**
 * Ballots: the numbers of attempts at a decision (Lamport, "Paxos Made Simple", 2001), in one total order.
 *
 * The picture: numbered tickets, with the name of whoever drew them. A higher ticket overrides a lower one, and
 * no two attempts may ever hold the same: an acceptor that voted for a ballot has voted for one value. A
 * proposer that was restarted remembers nothing of its tickets, hence the third part, drawn at random for each
 * attempt: two attempts of one node in one round differ by that.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { byteString, utf8Bytes, utf8Text } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';

export interface Ballot {
  /** From 1; 32 bits. */
  readonly round: number;
  /** Of whoever proposes: up to 256 bytes of UTF-8. */
  readonly node: string;
  /** Drawn at random for each attempt: 32 bits. */
  readonly draw: number;
}

/** The greatest round there is. */
export const ROUND_MAX = 0xffff_ffff;
const nodeBytesMax = 256;

/** Negative, zero or positive as `a` is below, equal to or above `b`. */
export function compareBallots(a: Ballot, b: Ballot): number {
  if (a.round !== b.round) return a.round - b.round;
  if (a.node !== b.node) return a.node < b.node ? -1 : 1;
  return a.draw - b.draw;
}

/** Whether `ballot` is below `other`; nothing is below no ballot at all. */
export function isBelow(ballot: Ballot, other: Ballot | undefined): boolean {
  return other !== undefined && compareBallots(ballot, other) < 0;
}

export function writeBallot(writer: ByteWriter, ballot: Ballot): void {
  writer.u32(ballot.round);
  writer.u32(ballot.draw);
  writer.text(byteString(utf8Bytes(ballot.node)));
}

/** @throws CodedError `protocol` for bytes that are no ballot. */
export function readBallot(reader: ByteReader): Ballot {
  const round = reader.u32();
  const draw = reader.u32();
  const length = reader.u16();
  if (round === 0 || length > nodeBytesMax) throw new CodedError('protocol', 'none', 'not a ballot');
  return { round, node: utf8Text(reader.raw(length)), draw };
}
