/**
 * What a node keeps of the topology on its disk: the epoch it knows, and what it promised and voted for in the
 * decision about the next one.
 *
 * The picture: two sheets in the safe. One is a copy of the last page of the register; who opens the house in
 * the morning reads that before the founding deed. The other is a voter's notebook (`topology-votes.ts`). Both
 * survive a power loss, whatever durability the rows have.
 */

import { ByteReader, type ByteString, ByteWriter } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sealed, unsealedBody } from '../base/sealed-note.ts';
import type { AcceptorState } from '../paxos/acceptor.ts';
import { decodeAcceptor, encodeAcceptor } from '../paxos/acceptor.ts';
import type { Storage } from '../ports/storage.ts';
import { META_PREFIX } from '../rows/key.ts';
import { decodeTopology } from '../topology/codec.ts';
import { Topology } from '../topology/topology.ts';
import type { NodeOptions } from './options.ts';

export const topologyKey: ByteString = `${META_PREFIX}topology`;
export const votesKey: ByteString = `${META_PREFIX}votes`;

/** The epoch that storage remembers. */
export interface TopologyFound {
  /** Undefined if there is none, or it is damaged. */
  readonly topology: Topology | undefined;
  readonly isDamaged: boolean;
}

/** @throws CodedError when storage cannot say, for another reason than damage. */
export function storedTopology(storage: Storage): TopologyFound {
  const note = noteOf(storage, topologyKey);
  if (note === undefined) return { topology: undefined, isDamaged: false };
  const body = note === 'damaged' ? undefined : unsealedBody(note);
  if (body === undefined) return { topology: undefined, isDamaged: true };
  try {
    return { topology: decodeTopology(body), isDamaged: false };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { topology: undefined, isDamaged: true };
  }
}

/** The note of an epoch, from its bytes. */
export function topologyNote(value: Uint8Array): Uint8Array {
  return sealed(value);
}

function noteOf(storage: Storage, key: ByteString): Uint8Array | 'damaged' | undefined {
  try {
    return storage.get(key);
  } catch (error) {
    if (error instanceof CodedError && error.code === 'corrupt') return 'damaged';
    throw error;
  }
}

/**
 * The latest epoch that storage or the options know. If the note is damaged, what the options say: members that
 * know more tell it.
 * @throws CodedError when storage cannot say, and `unavailable` for a node that is no member of that epoch.
 */
export function knownTopology(options: NodeOptions, storage: Storage): Topology {
  const told = options.topology ?? Topology.founding(options.members, options.table);
  const { topology } = storedTopology(storage);
  const known = topology !== undefined && topology.epoch >= told.epoch ? topology : told;
  if (known.has(options.id)) return known;
  throw new CodedError(
    'unavailable',
    'none',
    `"${options.id}" is no member of the cluster any more: it left with epoch ${known.epoch} of the topology; ` +
      'to take part again it has to be joined anew',
  );
}

/** A voter's notebook. */
export interface VotesNote {
  /** The epoch voted on. */
  readonly epoch: number;
  /** It does not vote on the two epochs after this one: it may have done so and not know it. 0 for none. */
  readonly abstainsAt: number;
  readonly state: AcceptorState;
}

const votesFormat = 1;

/** `VotesNote.abstainsAt` while it is not known which epoch that is: it votes on none. */
export const ABSTAINS_ALWAYS = 0xffff_ffff;

export function encodeVotes({ epoch, abstainsAt, state }: VotesNote): Uint8Array {
  const writer = new ByteWriter(256 + (state.vote?.value.length ?? 0));
  writer.u8(votesFormat);
  writer.u32(epoch);
  writer.u32(abstainsAt);
  writer.blob(encodeAcceptor(state));
  return sealed(writer.view());
}

/**
 * What storage remembers of votes; undefined if there is nothing.
 * @throws CodedError `corrupt` if it is damaged, or what storage says.
 */
export function storedVotes(storage: Storage): VotesNote | undefined {
  const note = storage.get(votesKey);
  if (note === undefined) return undefined;
  const body = unsealedBody(note);
  if (body === undefined || body[0] !== votesFormat) throw votesDamaged();
  try {
    const reader = new ByteReader(body, 1);
    const head = { epoch: reader.u32(), abstainsAt: reader.u32() };
    return { ...head, state: decodeAcceptor(reader.blob()) };
  } catch (error) {
    throw error instanceof CodedError ? votesDamaged() : error;
  }
}

function votesDamaged(): CodedError {
  return new CodedError('corrupt', 'none', 'what this node voted for is damaged');
}
