/**
 * One proposal of the next epoch: Paxos among the members of the epoch in force, driven by time.
 *
 * The picture: the herald of `src/paxos/proposer.ts` with a watch and a bag of letters. Who does not answer is
 * asked again; an attempt that leads nowhere is given up and another begun after a random pause, so that two
 * heralds do not stand in each other's way for ever.
 */

import type { AcceptorAnswer } from '../paxos/acceptor.ts';
import type { Ballot } from '../paxos/ballot.ts';
import { Proposer } from '../paxos/proposer.ts';
import type { Random } from '../ports/random.ts';
import type { NodeId } from '../ports/transport.ts';

/** Who has not answered a question is asked it again this often, milliseconds. */
const askAgainMs = 250;
/** An attempt is given up after so long, milliseconds. */
const attemptMaxMs = 1500;
/** Pause before the first new attempt, milliseconds, at most; it doubles with each up to the limit. */
const pauseMs = 100;
const pauseMaxMs = 1600;

/** How a proposal puts its questions. */
export interface Questions {
  prepare(to: NodeId, ballot: Ballot): void;
  accept(to: NodeId, ballot: Ballot, value: Uint8Array): void;
}

export interface ProposalOptions {
  readonly self: NodeId;
  /** Of the epoch in force. */
  readonly acceptors: readonly NodeId[];
  /** The epoch that is to be chosen. */
  readonly epoch: number;
  /** What it would have chosen. */
  readonly value: Uint8Array;
  readonly random: Random;
  readonly mutants: ReadonlySet<string>;
  /** Monotonic time at which it is given up. */
  readonly deadline: number;
}

export class TopologyProposal {
  readonly epoch: number;
  readonly deadline: number;
  readonly #proposer: Proposer;
  readonly #questions: Questions;
  readonly #random: Random;
  #attempts = 0;
  /** An attempt begins, or the one under way is given up, at this time. */
  #attemptAt = Number.NEGATIVE_INFINITY;
  #askAt = 0;
  /** No attempt is under way. */
  #isPausing = true;
  /** Votes for what it was made for were asked for: that may be chosen yet, by whoever proposes next. */
  hasAskedForVotes = false;

  constructor(options: ProposalOptions, questions: Questions) {
    const { self, acceptors, value, mutants } = options;
    this.epoch = options.epoch;
    this.deadline = options.deadline;
    this.#random = options.random;
    this.#questions = questions;
    this.#proposer = new Proposer({ node: self, acceptors, value, mutants });
  }

  /** What was chosen; undefined while nothing is known to be. */
  get chosen(): Uint8Array | undefined {
    return this.#proposer.phase === 'chosen' ? this.#proposer.value : undefined;
  }

  /** Those who have not answered in this attempt, while an answer is waited for. */
  get awaited(): readonly NodeId[] {
    return this.#isPausing ? [] : this.#proposer.awaited;
  }

  tick(now: number): void {
    if (this.#proposer.phase === 'chosen') return;
    if (now >= this.#attemptAt) {
      if (this.#isPausing) this.#attempt(now);
      else this.#pause(now);
    } else if (!this.#isPausing && now >= this.#askAt) this.#ask(now);
  }

  #attempt(now: number): void {
    this.#attempts++;
    this.#isPausing = false;
    this.#attemptAt = now + attemptMaxMs;
    this.#proposer.attempt(this.#random.u32());
    this.#ask(now);
  }

  /** The attempt leads nowhere: the next one begins a little later. */
  #pause(now: number): void {
    const most = Math.min(pauseMaxMs, pauseMs * 2 ** Math.min(this.#attempts, 10));
    this.#isPausing = true;
    this.#attemptAt = now + (this.#random.u32() % most);
  }

  /** Puts the question of this phase to those who have not answered it. */
  #ask(now: number): void {
    this.#askAt = now + askAgainMs;
    const proposer = this.#proposer;
    const { phase, ballot, value } = proposer;
    if (phase === 'accept' && proposer.isOwn) this.hasAskedForVotes = true;
    for (const id of proposer.awaited) {
      // An answer may come before the question is put to the next.
      if (proposer.phase !== phase) return;
      if (phase === 'prepare') this.#questions.prepare(id, ballot);
      else this.#questions.accept(id, ballot, value);
    }
  }

  /** An acceptor answered. @param now monotonic milliseconds */
  answered(from: NodeId, answer: AcceptorAnswer, now: number): void {
    const proposer = this.#proposer;
    const { kind, ballot } = answer;
    if (this.#isPausing) {
      // The next attempt is to be above whatever was promised.
      if (kind === 'refused') proposer.refused(from, ballot, answer.promised);
      return;
    }
    if (kind === 'promised') {
      if (proposer.promised(from, ballot, answer.vote)) this.#ask(now);
    } else if (kind === 'accepted') proposer.accepted(from, ballot);
    else if (proposer.refused(from, ballot, answer.promised)) this.#pause(now);
  }
}
