/**
 * This node's votes in the decision about the next epoch: an acceptor of Paxos (`src/paxos/acceptor.ts`) whose
 * notebook lies on the disk, and which knows when it must not vote.
 *
 * The picture: a juror who has to remember every word he gave. What he is going to say he writes down first,
 * in a book that survives a power loss. If the book is gone (an empty disk, an older copy of it) he may have given
 * his word and not know it: then he keeps silent, for two pages, and votes again on those after them. Nobody
 * proposes a page before everybody knows the one before it, but for a change that is taken back at once: so the
 * decisions he may have forgotten are those about the two pages after the latest that anybody else knows. He asks
 * for these pages himself (`mustRenew`).
 */

import { CodedError } from '../base/errors.ts';
import { ACCEPTOR_NEW, Acceptor, type AcceptorAnswer, type AcceptorReply } from '../paxos/acceptor.ts';
import type { Ballot } from '../paxos/ballot.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeContext } from './context.ts';
import type { VotesNote } from './topology-note.ts';
import { ABSTAINS_ALWAYS, encodeVotes, storedVotes, votesKey } from './topology-note.ts';

export type AnswerDone = (answer: AcceptorAnswer) => void;

export class TopologyVotes {
  readonly #context: NodeContext;
  /** Members that did not say yet what they remember of this node's disk. */
  readonly #unheard: () => number;
  /** The epoch voted on. */
  #epoch = 0;
  #acceptor: Acceptor;
  /** The notebook as it was found. */
  #found: VotesNote | undefined = undefined;
  /** See `VotesNote.abstainsAt`. */
  #abstainsAt = 0;
  /** Most members, this one among them, told this life what they remember of its disk. */
  #isTold = false;

  constructor(context: NodeContext, unheard: () => number) {
    this.#context = context;
    this.#unheard = unheard;
    this.#acceptor = new Acceptor(ACCEPTOR_NEW, context.mutants);
  }

  /** Reads the notebook. @throws CodedError what storage says, unless that is damage. */
  start(storage: Storage): void {
    this.#epoch = this.#context.topology.epoch + 1;
    if (this.#abstainsAt === ABSTAINS_ALWAYS) return;
    try {
      this.#found = storedVotes(storage);
      this.#abstainsAt = this.#found?.abstainsAt ?? 0;
      this.#acceptor = this.#acceptorOf(this.#epoch);
    } catch (error) {
      if (!(error instanceof CodedError && error.code === 'corrupt')) throw error;
      this.#abstainsAt = ABSTAINS_ALWAYS;
      this.#context.log.write('alarm', 'votes-damaged', { meaning: error.message });
    }
  }

  /** What is known of votes on an epoch. */
  #acceptorOf(epoch: number): Acceptor {
    const state = this.#found?.epoch === epoch ? this.#found.state : ACCEPTOR_NEW;
    return new Acceptor(state, this.#context.mutants);
  }

  /** More than the last writes is missing on the disk: the notebook too, as it was. Durable with this turn. */
  forget(): void {
    this.#abstainsAt = ABSTAINS_ALWAYS;
    this.#found = undefined;
    this.#acceptor = new Acceptor(ACCEPTOR_NEW, this.#context.mutants);
    this.#store(() => {});
  }

  /** An epoch is in force: from now on votes are on the one after it. */
  turnTo(epoch: number): void {
    if (epoch + 1 <= this.#epoch) return;
    this.#epoch = epoch + 1;
    this.#acceptor = this.#acceptorOf(this.#epoch);
  }

  /** Whether this node may vote on the epoch after the one in force, if nobody who is reached knows a later one. */
  get mayVote(): boolean {
    return this.#isTold && this.#context.topology.epoch > this.#lastSilent;
  }

  /** Whether it votes again once there are later epochs. */
  get mustRenew(): boolean {
    return this.#abstainsAt !== ABSTAINS_ALWAYS && this.#context.topology.epoch <= this.#lastSilent;
  }

  /** While an epoch up to this one is in force it does not vote on the next. */
  get #lastSilent(): number {
    return this.#abstainsAt === 0 ? 0 : this.#abstainsAt + 1;
  }

  /**
   * Looks whether enough members told what they remember of this disk (once in a life is enough), and on which epoch
   * it may have voted.
   * @param isCaughtUp nobody who is reached knows a later epoch than the one in force
   */
  tick(isCaughtUp: boolean): void {
    const { identity, topology, log } = this.#context;
    if (!this.#isTold && identity.isSettled) {
      const { length } = topology.members;
      this.#isTold = (length - this.#unheard()) * 2 > length;
    }
    if (this.#abstainsAt !== ABSTAINS_ALWAYS || !this.#isTold || !isCaughtUp) return;
    this.#abstainsAt = topology.epoch;
    log.write('info', 'vote-withheld', { epoch: topology.epoch + 1 });
    this.#store(() => {});
  }

  /** Asked to listen to a ballot; `done` when the answer may be given, if ever. */
  prepare(ballot: Ballot, done: AnswerDone): void {
    this.#answer(this.#acceptor.prepare(ballot), done);
  }

  /** Asked for its vote. Keeps `value`. */
  accept(ballot: Ballot, value: Uint8Array, done: AnswerDone): void {
    this.#answer(this.#acceptor.accept(ballot, value), done);
  }

  #answer({ answer, state, mustStore }: AcceptorReply, done: AnswerDone): void {
    if (!mustStore) {
      done(answer);
      return;
    }
    const acceptor = this.#acceptor;
    this.#store((error) => {
      if (error !== undefined || acceptor !== this.#acceptor) return;
      acceptor.stored(state);
      done(answer);
    });
  }

  #store(stored: (error: CodedError | undefined) => void): void {
    const [epoch, abstainsAt] = [this.#epoch, this.#abstainsAt];
    const note = encodeVotes({ epoch, abstainsAt, state: this.#acceptor.state });
    this.#context.replica.note(votesKey, note, { stored }, true);
  }
}
