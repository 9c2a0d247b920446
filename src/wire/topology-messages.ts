/**
 * Messages about the topology (`src/node/topology-desk.ts`): the votes by which the next epoch is chosen, and
 * the epochs themselves on their way to those who do not know them.
 *
 * The picture: village elders who write the next page of the register. A herald asks each to listen, then for
 * the vote; whoever is told a page copies it.
 *
 * ```
 * PREPARE    u32 epoch to be chosen, ballot                  answered by PROMISE or REFUSED
 * PROMISE    u32 epoch, ballot, u8 1 if voted before: ballot, value
 * ACCEPT     u32 epoch, ballot, value                        answered by ACCEPTED or REFUSED
 * ACCEPTED   u32 epoch, ballot
 * REFUSED    u32 epoch, ballot, ballot promised
 * TOPOLOGY   value: an epoch that was chosen                 the epoch in later frames says that it is known
 * ASK        u32 epoch: I know this one                      answered by TOPOLOGY if there is a later one
 *
 * ballot     see `src/paxos/ballot.ts`       value     u32 length, a topology as `src/topology/codec.ts` writes it
 * ```
 *
 * Whoever is asked for a vote on another epoch than the one after its own answers with TOPOLOGY or ASK.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type AcceptorAnswer, VALUE_BYTES_MAX, type Vote } from '../paxos/acceptor.ts';
import { type Ballot, readBallot, writeBallot } from '../paxos/ballot.ts';
import { FAMILY_TOPOLOGY, writeFamilyHead } from './messages.ts';

export const TOPOLOGY_PREPARE: number = FAMILY_TOPOLOGY * 10;
export const TOPOLOGY_PROMISE: number = FAMILY_TOPOLOGY * 10 + 1;
export const TOPOLOGY_ACCEPT: number = FAMILY_TOPOLOGY * 10 + 2;
export const TOPOLOGY_ACCEPTED: number = FAMILY_TOPOLOGY * 10 + 3;
export const TOPOLOGY_REFUSED: number = FAMILY_TOPOLOGY * 10 + 4;
export const TOPOLOGY_TOPOLOGY: number = FAMILY_TOPOLOGY * 10 + 5;
export const TOPOLOGY_ASK: number = FAMILY_TOPOLOGY * 10 + 6;

export function writePrepare(writer: ByteWriter, epoch: number, ballot: Ballot): void {
  writeFamilyHead(writer, TOPOLOGY_PREPARE, 0);
  writer.u32(epoch);
  writeBallot(writer, ballot);
}

export interface WiredPrepare {
  readonly epoch: number;
  readonly ballot: Ballot;
}

/** Of a PREPARE, and of an ACCEPTED. @throws CodedError `protocol` */
export function readPrepare(reader: ByteReader): WiredPrepare {
  const epoch = reader.u32();
  return { epoch, ballot: readBallot(reader) };
}

export function writeAccept(writer: ByteWriter, epoch: number, ballot: Ballot, value: Uint8Array): void {
  writeFamilyHead(writer, TOPOLOGY_ACCEPT, 0);
  writer.u32(epoch);
  writeBallot(writer, ballot);
  writer.blob(value);
}

export interface WiredAccept extends WiredPrepare {
  readonly value: Uint8Array;
}

/** The value is a copy. @throws CodedError `protocol` */
export function readAccept(reader: ByteReader): WiredAccept {
  const epoch = reader.u32();
  const ballot = readBallot(reader);
  return { epoch, ballot, value: readValue(reader) };
}

/** What an acceptor answers: PROMISE, ACCEPTED or REFUSED. */
export function writeAnswer(writer: ByteWriter, epoch: number, answer: AcceptorAnswer): void {
  const { kind, ballot } = answer;
  const type = { promised: TOPOLOGY_PROMISE, accepted: TOPOLOGY_ACCEPTED, refused: TOPOLOGY_REFUSED }[kind];
  writeFamilyHead(writer, type, 0);
  writer.u32(epoch);
  writeBallot(writer, ballot);
  if (kind === 'refused') writeBallot(writer, answer.promised);
  if (kind !== 'promised') return;
  writer.u8(answer.vote === undefined ? 0 : 1);
  if (answer.vote === undefined) return;
  writeBallot(writer, answer.vote.ballot);
  writer.blob(answer.vote.value);
}

export interface WiredAnswer {
  readonly epoch: number;
  readonly answer: AcceptorAnswer;
}

/** @param type of PROMISE, ACCEPTED or REFUSED. @throws CodedError `protocol` */
export function readAnswer(type: number, reader: ByteReader): WiredAnswer {
  const { epoch, ballot } = readPrepare(reader);
  if (type === TOPOLOGY_ACCEPTED) return { epoch, answer: { kind: 'accepted', ballot } };
  if (type === TOPOLOGY_REFUSED) {
    return { epoch, answer: { kind: 'refused', ballot, promised: readBallot(reader) } };
  }
  return { epoch, answer: { kind: 'promised', ballot, vote: readVote(reader) } };
}

function readVote(reader: ByteReader): Vote | undefined {
  const voted = reader.u8();
  if (voted > 1) throw new CodedError('protocol', 'none', 'neither a vote nor none');
  if (voted === 0) return undefined;
  const ballot = readBallot(reader);
  return { ballot, value: readValue(reader) };
}

function readValue(reader: ByteReader): Uint8Array {
  const value = reader.blob();
  if (value.length > VALUE_BYTES_MAX) {
    throw new CodedError('protocol', 'none', `a topology of ${value.length} bytes`);
  }
  return value.slice();
}

export function writeTopology(writer: ByteWriter, value: Uint8Array): void {
  writeFamilyHead(writer, TOPOLOGY_TOPOLOGY, 0);
  writer.blob(value);
}

/** A copy. @throws CodedError `protocol` */
export function readTopology(reader: ByteReader): Uint8Array {
  return readValue(reader);
}

export function writeAsk(writer: ByteWriter, epoch: number): void {
  writeFamilyHead(writer, TOPOLOGY_ASK, 0);
  writer.u32(epoch);
}

/** Of an ASK. */
export function readAsk(reader: ByteReader): number {
  return reader.u32();
}
