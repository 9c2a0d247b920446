/**
 * An acceptor: one voter in one decision of single-decree Paxos (Lamport, "Paxos Made Simple", 2001, section
 * 2.2). It makes two kinds of promises and keeps them over every crash.
 *
 * The picture: a juror with a notebook. Asked by a ballot to listen (`prepare`), it writes the ballot down and
 * will never again vote for a lower one; it tells the highest vote it has given so far. Asked to vote
 * (`accept`), it votes unless it promised itself to a higher ballot. What it says it first writes down: an
 * answer that leaves before the notebook is safe is a promise that a crash can break, and then two values can be
 * chosen. Hence `mustStore`.
 *
 * A juror who lost the notebook must not vote in a decision it may have voted in before. The caller sees to
 * that: see `decodeAcceptor`.
 */

import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sealed, unsealedBody } from '../base/sealed-note.ts';
import { type Ballot, isBelow, readBallot, writeBallot } from './ballot.ts';

/** A vote: the value of a ballot. */
export interface Vote {
  readonly ballot: Ballot;
  readonly value: Uint8Array;
}

/** What an acceptor has to remember. An immutable value; the bytes of a vote are never changed. */
export interface AcceptorState {
  /** It votes for no ballot below this one. */
  readonly promised: Ballot | undefined;
  /** The vote of the highest ballot it voted for. */
  readonly vote: Vote | undefined;
}

export type AcceptorAnswer =
  /** It listens to `ballot`; `vote` is what it voted for before, if anything. */
  | { readonly kind: 'promised'; readonly ballot: Ballot; readonly vote: Vote | undefined }
  /** It voted for the value of `ballot`. */
  | { readonly kind: 'accepted'; readonly ballot: Ballot }
  /** It promised itself to `promised`, which is above `ballot`. */
  | { readonly kind: 'refused'; readonly ballot: Ballot; readonly promised: Ballot };

export interface AcceptorReply {
  readonly answer: AcceptorAnswer;
  /** What the acceptor remembers from now on. */
  readonly state: AcceptorState;
  /** The answer may leave only when `state`, or a later one, is durable; then call `stored(state)`. */
  readonly mustStore: boolean;
}

export const ACCEPTOR_NEW: AcceptorState = { promised: undefined, vote: undefined };

/** The longest value that can be voted for. */
export const VALUE_BYTES_MAX: number = 2 ** 21;

const format = 1;

export class Acceptor {
  readonly #mutants: ReadonlySet<string>;
  #state: AcceptorState;
  #durable: AcceptorState;

  /**
   * @param durable what was made durable before, or `ACCEPTOR_NEW` for a decision that is new to this node.
   * @param mutants test flags: `paxos-promise-unpersisted`, `paxos-vote-unpersisted`, `paxos-accept-below-promise`
   */
  constructor(durable: AcceptorState, mutants: ReadonlySet<string> = new Set()) {
    this.#state = durable;
    this.#durable = durable;
    this.#mutants = mutants;
  }

  get state(): AcceptorState {
    return this.#state;
  }

  /** Phase 1: will it listen to a ballot? */
  prepare(ballot: Ballot): AcceptorReply {
    const { promised, vote } = this.#state;
    if (isBelow(ballot, promised)) return this.#refused(ballot, promised!);
    this.#remember(ballot, vote);
    const mustStore = this.#mustStore && !this.#mutants.has('paxos-promise-unpersisted');
    return { answer: { kind: 'promised', ballot, vote }, state: this.#state, mustStore };
  }

  /** Phase 2: will it vote for the value of a ballot? Keeps `value`. */
  accept(ballot: Ballot, value: Uint8Array): AcceptorReply {
    const { promised } = this.#state;
    const isDeaf = this.#mutants.has('paxos-accept-below-promise');
    if (isBelow(ballot, promised) && !isDeaf) return this.#refused(ballot, promised!);
    this.#remember(ballot, { ballot, value });
    const mustStore = this.#mustStore && !this.#mutants.has('paxos-vote-unpersisted');
    return { answer: { kind: 'accepted', ballot }, state: this.#state, mustStore };
  }

  /** A state that was given with `mustStore` is durable now, and so are those before it. */
  stored(state: AcceptorState): void {
    this.#durable = state;
  }

  /**
   * Asked the same again while the state is still on its way to the disk, the answer is as bound to the disk as
   * the first: so what counts is what is durable, not whether this question changed anything.
   */
  get #mustStore(): boolean {
    return this.#state !== this.#durable;
  }

  #remember(ballot: Ballot, vote: Vote | undefined): void {
    const { promised, vote: before } = this.#state;
    const isKnown = promised !== undefined && !isBelow(promised, ballot);
    // A ballot has one value, so a vote for the same ballot is the same vote.
    const isSameVote =
      vote === before || (isKnown && before !== undefined && !isBelow(before.ballot, ballot));
    if (isKnown && isSameVote) return;
    this.#state = { promised: isKnown ? promised : ballot, vote };
  }

  /** A refusal promises nothing, and may leave at once. */
  #refused(ballot: Ballot, promised: Ballot): AcceptorReply {
    return { answer: { kind: 'refused', ballot, promised }, state: this.#state, mustStore: false };
  }
}

/** The bytes to store, with a checksum. */
export function encodeAcceptor(state: AcceptorState): Uint8Array {
  const writer = new ByteWriter(128 + (state.vote?.value.length ?? 0));
  writer.u8(format);
  writer.u8((state.promised ? 1 : 0) | (state.vote ? 2 : 0));
  if (state.promised) writeBallot(writer, state.promised);
  if (state.vote) {
    writeBallot(writer, state.vote.ballot);
    writer.blob(state.vote.value);
  }
  return sealed(writer.view());
}

/**
 * What was stored. Damaged bytes are an error and never an acceptor that has promised nothing: one that forgot
 * must not vote in the decision it forgot.
 * @throws CodedError `corrupt`.
 */
export function decodeAcceptor(note: Uint8Array): AcceptorState {
  const body = unsealedBody(note);
  if (body === undefined || body[0] !== format) throw corrupt();
  try {
    const reader = new ByteReader(body, 1);
    const flags = reader.u8();
    if (flags > 3) throw corrupt();
    const promised = flags & 1 ? readBallot(reader) : undefined;
    const vote = flags & 2 ? { ballot: readBallot(reader), value: reader.blob().slice() } : undefined;
    if (reader.remaining > 0 || (vote?.value.length ?? 0) > VALUE_BYTES_MAX) throw corrupt();
    return { promised, vote };
  } catch (error) {
    throw error instanceof CodedError ? corrupt() : error;
  }
}

function corrupt(): CodedError {
  return new CodedError('corrupt', 'none', 'what this node voted for is damaged: it votes no more there');
}
