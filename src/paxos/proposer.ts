/**
 * A proposer: brings one decision of single-decree Paxos about (Lamport, "Paxos Made Simple", 2001, section
 * 2.2), in as many attempts as it takes.
 *
 * The picture: a herald who goes from juror to juror. In the first round he asks each to listen, and hears what
 * they voted for before; when a majority listens he must take up the value of the highest vote he heard, for it
 * may be chosen already, and only if he heard of none may he put forward his own. In the second round he asks
 * for the votes. With a majority of them the value is chosen, for ever, whoever else goes round.
 *
 * It sends nothing and knows no time: each call says what to send, to all `acceptors`, and the caller begins
 * another attempt when one was refused or took too long, after a random delay, so that two heralds do not
 * interrupt each other for ever. Sending a question again is harmless.
 */

import { assert } from '../base/assert.ts';
import type { Vote } from './acceptor.ts';
import { type Ballot, compareBallots, ROUND_MAX } from './ballot.ts';

export interface ProposerOptions {
  /** Of whoever proposes, for the ballots. */
  readonly node: string;
  /** Those who decide, each once: and nobody else. */
  readonly acceptors: readonly string[];
  /** What it would have chosen. */
  readonly value: Uint8Array;
  /**
   * Test flags: `paxos-majority-wrong` (half of them will do), `paxos-stranger-counted` (so does whoever
   * answers), `paxos-duplicate-counted`, `paxos-older-counted`, `paxos-lower-adopted`, `paxos-own-value`.
   */
  readonly mutants?: ReadonlySet<string>;
}

/**
 * - `idle`: before the first attempt, or after one that cannot succeed any more (`attempt` begins the next).
 * - `prepare`: `prepare(ballot)` is asked of all acceptors.
 * - `accept`: `accept(ballot, value)` is asked of all acceptors.
 * - `chosen`: `value` is chosen.
 */
export type ProposerPhase = 'idle' | 'prepare' | 'accept' | 'chosen';

export class Proposer {
  readonly acceptors: readonly string[];
  /** How many of them decide. */
  readonly majority: number;
  readonly #node: string;
  readonly #own: Uint8Array;
  readonly #mutants: ReadonlySet<string>;
  #phase: ProposerPhase = 'idle';
  #ballot: Ballot | undefined;
  #value: Uint8Array;
  /** The highest vote heard of in this attempt. */
  #heard: Vote | undefined;
  /** Who answered the question of this phase with yes, and who refused this attempt. */
  #yes: string[] = [];
  #no: string[] = [];
  #roundMax = 0;

  constructor(options: ProposerOptions) {
    const { acceptors } = options;
    assert(acceptors.length > 0 && new Set(acceptors).size === acceptors.length, 'acceptors, each once');
    this.acceptors = acceptors;
    this.#mutants = options.mutants ?? new Set();
    this.majority = Math.floor(acceptors.length / 2) + 1;
    if (this.#mutants.has('paxos-majority-wrong'))
      this.majority = Math.max(1, Math.floor(acceptors.length / 2));
    this.#node = options.node;
    this.#own = options.value;
    this.#value = options.value;
  }

  get phase(): ProposerPhase {
    return this.#phase;
  }

  /** The ballot of this attempt. */
  get ballot(): Ballot {
    assert(this.#ballot !== undefined, 'an attempt was begun');
    return this.#ballot;
  }

  /** In `accept` what to ask votes for, in `chosen` what was chosen: not always the value of one's own. */
  get value(): Uint8Array {
    return this.#value;
  }

  /** Whether `value` is what this proposer was made for: the same bytes object. */
  get isOwn(): boolean {
    return this.#value === this.#own;
  }

  /** Acceptors that have not answered the question of this phase: whom to ask again. */
  get awaited(): string[] {
    return this.acceptors.filter((id) => !this.#yes.includes(id) && !this.#no.includes(id));
  }

  /**
   * Begins an attempt, above every ballot heard of: ask `prepare` with the ballot it returns. Not after `chosen`.
   * @param draw 32 random bits, new for each attempt
   */
  attempt(draw: number): Ballot {
    assert(this.#phase !== 'chosen', 'what is chosen is chosen');
    this.#roundMax = Math.min(this.#roundMax + 1, ROUND_MAX);
    this.#ballot = { round: this.#roundMax, node: this.#node, draw };
    this.#phase = 'prepare';
    this.#heard = undefined;
    this.#value = this.#own;
    this.#yes = [];
    this.#no = [];
    return this.#ballot;
  }

  /**
   * An acceptor listens to a ballot, and voted for `vote` before. True: a majority does, and now the phase is
   * `accept`.
   */
  promised(from: string, ballot: Ballot, vote: Vote | undefined): boolean {
    if (this.#phase !== 'prepare' || !this.#counts(from, ballot)) return false;
    if (vote !== undefined) this.#hear(vote);
    if (!this.#noteYes(from)) return false;
    this.#value = this.#heard?.value ?? this.#own;
    if (this.#mutants.has('paxos-own-value')) this.#value = this.#own;
    this.#phase = 'accept';
    this.#yes = [];
    return true;
  }

  /** An acceptor voted for a ballot. True: `value` is chosen. */
  accepted(from: string, ballot: Ballot): boolean {
    if (this.#phase !== 'accept' || !this.#counts(from, ballot)) return false;
    if (!this.#noteYes(from)) return false;
    this.#phase = 'chosen';
    return true;
  }

  /**
   * An acceptor refused a ballot, being promised to a higher one. True: this attempt cannot succeed any more; the
   * phase is `idle`, and the next attempt will be above that one.
   */
  refused(from: string, ballot: Ballot, promised: Ballot): boolean {
    if (!this.acceptors.includes(from)) return false;
    this.#roundMax = Math.max(this.#roundMax, promised.round);
    const isAsking = this.#phase === 'prepare' || this.#phase === 'accept';
    if (!isAsking || !this.#counts(from, ballot) || this.#no.includes(from)) return false;
    this.#no.push(from);
    if (this.acceptors.length - this.#no.length >= this.majority) return false;
    this.#phase = 'idle';
    return true;
  }

  /** Whether an answer is to the question asked now, and from one of those who decide. */
  #counts(from: string, ballot: Ballot): boolean {
    if (!this.#mutants.has('paxos-stranger-counted') && !this.acceptors.includes(from)) return false;
    return this.#mutants.has('paxos-older-counted') || compareBallots(ballot, this.ballot) === 0;
  }

  #hear(vote: Vote): void {
    const heard = this.#heard;
    const isLowerWanted = this.#mutants.has('paxos-lower-adopted');
    const above = heard === undefined ? 1 : compareBallots(vote.ballot, heard.ballot);
    if (heard === undefined || (isLowerWanted ? above < 0 : above > 0)) this.#heard = vote;
  }

  /** Whether a majority said yes with this. */
  #noteYes(from: string): boolean {
    const isNew = !this.#yes.includes(from);
    if (isNew || this.#mutants.has('paxos-duplicate-counted')) this.#yes.push(from);
    return this.#yes.length >= this.majority;
  }
}
