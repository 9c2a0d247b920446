/**
 * This node's votes in the decision about the next epoch: an acceptor of Paxos (`src/paxos/acceptor.ts`) whose
 * notebook lies on the disk, and which knows when it must not vote.
 *
 * The picture: a juror who has to remember every word he gave. What he is going to say he writes down first.
 * If his notebook is gone (a lost disk, an older copy of it) he may have given his word and not know it: then he
 * keeps silent in this decision, and votes again in the next. Nobody proposes a page before everybody knows
 * the one before it, so the decision he may have forgotten is the one about the page after the latest that
 * anybody else knows: a single one.
 */

import { CodedError } from '../base/errors.ts';
import { ACCEPTOR_NEW, Acceptor, type AcceptorAnswer, type AcceptorReply } from '../paxos/acceptor.ts';
import type { Ballot } from '../paxos/ballot.ts';
import type { Storage } from '../ports/storage.ts';
import type { NodeContext } from './context.ts';
import { encodeVotes, storedVotes, votesKey } from './topology-note.ts';

export type AnswerDone = (answer: AcceptorAnswer) => void;

export class TopologyVotes {
  readonly #context: NodeContext;
  /** Members that did not say yet what they remember of this node's disk. */
  readonly #unheard: () => number;
  /** The epoch voted on. */
  #epoch = 0;
  #acceptor: Acceptor;
  /** Losses of the disk that the notebook knows of; -1: none of it could be read. */
  #generation = 0;
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
    // Without a note this disk never voted, in no life of it: that is true of one that was never lost.
    this.#generation = 0;
    try {
      const note = storedVotes(storage);
      if (note === undefined) return;
      this.#generation = note.generation;
      this.#abstainsAt = note.abstainsAt;
      if (note.epoch === this.#epoch) this.#acceptor = new Acceptor(note.state, this.#context.mutants);
    } catch (error) {
      if (!(error instanceof CodedError && error.code === 'corrupt')) throw error;
      this.#generation = -1;
      this.#context.log.write('alarm', 'votes-damaged', { meaning: error.message });
    }
  }

  /** An epoch is in force: from now on votes are on the one after it. */
  turnTo(epoch: number): void {
    if (epoch + 1 <= this.#epoch) return;
    this.#epoch = epoch + 1;
    this.#acceptor = new Acceptor(ACCEPTOR_NEW, this.#context.mutants);
  }

  /**
   * Whether this node may vote on the epoch after the one in force. To be asked only when nobody who is
   * reached knows a later one.
   */
  mayVote(): boolean {
    const { identity, topology } = this.#context;
    this.tick();
    if (!this.#isTold) return false;
    if (identity.generation !== this.#generation) this.#abstain(identity.generation, topology.epoch);
    return this.#abstainsAt !== topology.epoch;
  }

  /** The disk is not the one that was voted on. */
  #abstain(generation: number, epoch: number): void {
    this.#generation = generation;
    this.#abstainsAt = epoch;
    this.#acceptor = new Acceptor(ACCEPTOR_NEW, this.#context.mutants);
    this.#context.log.write('info', 'vote-withheld', { epoch: epoch + 1, generation });
    this.#store(() => {});
  }

  /** Looks whether enough members told what they remember of this disk: once in a life is enough. */
  tick(): void {
    if (this.#isTold || !this.#context.identity.isSettled) return;
    const { length } = this.#context.topology.members;
    this.#isTold = (length - this.#unheard()) * 2 > length;
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
    const [epoch, generation, abstainsAt] = [this.#epoch, this.#generation, this.#abstainsAt];
    const note = encodeVotes({ epoch, generation, abstainsAt, state: this.#acceptor.state });
    this.#context.replica.note(votesKey, note, { stored });
  }
}
