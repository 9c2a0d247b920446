/**
 * A small world for Paxos: a few jurors, a few heralds, and a network and disks that do their worst. One seed
 * gives one run.
 *
 * It runs the true `Acceptor` and `Proposer`, and knows what they do not: which votes are on which disk. A value
 * is chosen when a majority of the acceptors holds votes of one ballot durably; from then on nobody may say
 * otherwise. After the storm comes a calm, in which every proposer must come to its end.
 */

import { Prng } from '../../src/base/prng.ts';
import {
  ACCEPTOR_NEW,
  Acceptor,
  type AcceptorAnswer,
  type AcceptorState,
  decodeAcceptor,
  encodeAcceptor,
} from '../../src/paxos/acceptor.ts';
import type { Ballot } from '../../src/paxos/ballot.ts';
import { Proposer } from '../../src/paxos/proposer.ts';

export interface PaxosWorldOptions {
  readonly seed: number;
  readonly acceptorCount: number;
  readonly proposerCount: number;
  /** Steps of the storm. */
  readonly stepCount: number;
  /**
   * Test flags of the acceptors and the proposers, and of the world itself: `ballot-reused` (attempts draw
   * nothing), `wrong-epoch` (one proposer asks the members of another epoch).
   */
  readonly mutants: ReadonlySet<string>;
}

/** What a run shows. */
export interface PaxosOutcome {
  /** What must not be and was; undefined for a run without fault. */
  readonly fault: string | undefined;
  /** Whether the proposers disturbed each other, and whether one took up the value of another. */
  readonly refusals: number;
  readonly adoptions: number;
  readonly crashes: number;
}

interface Question {
  readonly to: string;
  readonly from: number;
  /** The life of the proposer that asks. */
  readonly life: number;
  readonly ballot: Ballot;
  /** Undefined asks to listen. */
  readonly value: Uint8Array | undefined;
}

interface Answer {
  readonly to: number;
  readonly life: number;
  readonly from: string;
  readonly answer: AcceptorAnswer;
}

/** How likely each trouble is in a run: drawn for each, since what hides in one weather shows in another. */
interface Weather {
  readonly attempt: number;
  readonly crashJuror: number;
  readonly crashHerald: number;
  readonly flush: number;
  readonly lost: number;
  /** Of pairs of a proposer and an acceptor. */
  readonly cut: number;
  readonly doubled: number;
}

interface PendingWrite {
  readonly state: AcceptorState;
  readonly answer: Answer;
}

interface Juror {
  readonly id: string;
  acceptor: Acceptor;
  durable: Uint8Array;
  /** In the order they were handed in. */
  writes: PendingWrite[];
}

interface Herald {
  proposer: Proposer;
  life: number;
  /** Ticks of the calm until it tries again. */
  patience: number;
}

/** More than these are on their way at no time: the oldest are lost. */
const messagesMax = 200;
const cutSteps = 40;
const calmTicks = 3000;

export class PaxosWorld {
  readonly #options: PaxosWorldOptions;
  readonly #prng: Prng;
  readonly #weather: Weather;
  readonly #acceptorIds: readonly string[];
  readonly #jurors: Map<string, Juror> = new Map();
  readonly #heralds: Herald[] = [];
  readonly #proposed: Set<number> = new Set();
  /** Who voted durably, by ballot; with the value, of which a ballot has one. */
  readonly #votes: Map<string, { readonly value: number; readonly voters: Set<string> }> = new Map();
  #messages: (Question | Answer)[] = [];
  readonly #cut: Set<string> = new Set();
  #chosen: number | undefined;
  #fault: string | undefined;
  #values = 0;
  #refusals = 0;
  #adoptions = 0;
  #crashes = 0;

  constructor(options: PaxosWorldOptions) {
    this.#options = options;
    this.#prng = new Prng(options.seed);
    this.#weather = {
      attempt: this.#prng.pick([0.01, 0.03, 0.1]),
      crashJuror: this.#prng.pick([0, 0.02, 0.1]),
      crashHerald: this.#prng.pick([0, 0.01, 0.05]),
      flush: this.#prng.pick([0.1, 0.25]),
      lost: this.#prng.pick([0, 0.1, 0.3]),
      cut: this.#prng.pick([0, 0.2, 0.4]),
      doubled: this.#prng.pick([0, 0.1, 0.4]),
    };
    this.#acceptorIds = Array.from({ length: options.acceptorCount }, (_, index) => `a${index}`);
    // Strangers hear every question and answer it: members of another epoch, who do not decide here.
    for (const id of [...this.#acceptorIds, 's0', 's1']) {
      const durable = encodeAcceptor(ACCEPTOR_NEW);
      const acceptor = new Acceptor(ACCEPTOR_NEW, options.mutants);
      this.#jurors.set(id, { id, acceptor, durable, writes: [] });
    }
    for (let index = 0; index < options.proposerCount; index++) {
      this.#heralds.push({ proposer: this.#newProposer(index), life: 0, patience: 0 });
    }
  }

  run(): PaxosOutcome {
    const { stepCount } = this.#options;
    for (let step = 0; step < stepCount && this.#fault === undefined; step++) {
      if (step % cutSteps === 0) this.#cutAnew();
      this.#storm();
    }
    if (this.#fault === undefined) this.#calm();
    return {
      fault: this.#fault,
      refusals: this.#refusals,
      adoptions: this.#adoptions,
      crashes: this.#crashes,
    };
  }

  #newProposer(index: number): Proposer {
    const value = ++this.#values;
    this.#proposed.add(value);
    const isWrong = this.#options.mutants.has('wrong-epoch') && index === 1;
    const acceptors = isWrong ? [this.#acceptorIds[0]!, 's0', 's1'] : this.#acceptorIds;
    const { mutants } = this.#options;
    return new Proposer({ node: `p${index}`, acceptors, value: Uint8Array.of(value), mutants });
  }

  #storm(): void {
    const { attempt, crashJuror, crashHerald, flush } = this.#weather;
    const dice = this.#prng.unit();
    const jurors = [...this.#jurors.values()];
    if (dice < attempt) this.#attempt(this.#prng.below(this.#heralds.length));
    else if (dice < attempt + crashJuror) this.#crashJuror(this.#prng.pick(jurors));
    else if (dice < attempt + crashJuror + crashHerald)
      this.#crashHerald(this.#prng.below(this.#heralds.length));
    else if (dice < attempt + crashJuror + crashHerald + flush) this.#flushOne(this.#prng.pick(jurors));
    else this.#deliverAny();
  }

  /** Nothing is lost any more; heralds wait for a random while before they try again. */
  #calm(): void {
    for (let tick = 0; tick < calmTicks && this.#fault === undefined; tick++) {
      for (const [index, herald] of this.#heralds.entries()) {
        if (herald.proposer.phase === 'chosen' || --herald.patience > 0) continue;
        herald.patience = this.#prng.between(5, 60);
        this.#attempt(index);
      }
      for (const juror of this.#jurors.values()) while (juror.writes.length > 0) this.#flushOne(juror);
      const now = this.#messages;
      this.#messages = [];
      for (const message of now) this.#deliver(message);
      if (this.#heralds.every(({ proposer }) => proposer.phase === 'chosen')) return;
    }
    this.#fault ??= 'nothing was chosen in the calm';
  }

  #attempt(index: number): void {
    const { proposer, life } = this.#heralds[index]!;
    if (proposer.phase === 'chosen') return;
    const draw = this.#options.mutants.has('ballot-reused') ? 0 : this.#prng.u32();
    const ballot = proposer.attempt(draw);
    this.#ask({ from: index, life, ballot, value: undefined });
  }

  #ask(question: Omit<Question, 'to'>): void {
    for (const to of this.#jurors.keys()) this.#send({ ...question, to });
  }

  #send(message: Question | Answer): void {
    this.#messages.push(message);
    if (this.#messages.length > messagesMax) this.#messages.shift();
  }

  /** Any message, in any order, at times lost, at times delivered and kept to be delivered again. */
  #deliverAny(): void {
    if (this.#messages.length === 0) return;
    const at = this.#prng.below(this.#messages.length);
    const message = this.#messages[at]!;
    if (!this.#prng.chance(this.#weather.doubled)) this.#messages.splice(at, 1);
    const [herald, juror] = 'answer' in message ? [message.to, message.from] : [message.from, message.to];
    if (this.#cut.has(`${herald}/${juror}`) || this.#prng.chance(this.#weather.lost)) return;
    this.#deliver(message);
  }

  /** Which heralds reach which jurors is drawn anew now and then. */
  #cutAnew(): void {
    this.#cut.clear();
    for (const herald of this.#heralds.keys()) {
      for (const juror of this.#jurors.keys()) {
        if (this.#prng.chance(this.#weather.cut)) this.#cut.add(`${herald}/${juror}`);
      }
    }
  }

  #deliver(message: Question | Answer): void {
    if ('answer' in message) this.#heard(message);
    else this.#asked(message);
  }

  #asked(question: Question): void {
    const juror = this.#jurors.get(question.to)!;
    const { ballot, value, from, life } = question;
    const { acceptor, id } = juror;
    const reply = value === undefined ? acceptor.prepare(ballot) : acceptor.accept(ballot, value);
    if (reply.answer.kind === 'refused') this.#refusals++;
    const answer = { to: from, life, from: id, answer: reply.answer };
    if (reply.mustStore) juror.writes.push({ state: reply.state, answer });
    else this.#send(answer);
  }

  #flushOne(juror: Juror): void {
    const write = juror.writes.shift();
    if (write === undefined) return;
    juror.durable = encodeAcceptor(write.state);
    juror.acceptor.stored(write.state);
    this.#noteVote(juror, write.state);
    this.#send(write.answer);
  }

  /** All that a crash leaves is what is durable. */
  #crashJuror(juror: Juror): void {
    this.#crashes++;
    juror.writes = [];
    juror.acceptor = new Acceptor(decodeAcceptor(juror.durable), this.#options.mutants);
  }

  /** It begins anew with another value, knowing nothing; what it sent is still on its way. */
  #crashHerald(index: number): void {
    const herald = this.#heralds[index]!;
    this.#crashes++;
    herald.proposer = this.#newProposer(index);
    herald.life++;
  }

  #heard({ to, life, from, answer }: Answer): void {
    const herald = this.#heralds[to]!;
    const { proposer } = herald;
    // The transport of a new life does not take answers to the former one.
    if (herald.life !== life) return;
    const { ballot } = answer;
    if (answer.kind === 'promised') {
      if (!proposer.promised(from, ballot, answer.vote)) return;
      if (!proposer.isOwn) this.#adoptions++;
      this.#ask({ from: to, life, ballot: proposer.ballot, value: proposer.value });
    } else if (answer.kind === 'accepted') {
      if (proposer.accepted(from, ballot)) this.#told(proposer.value[0]!);
    } else {
      proposer.refused(from, ballot, answer.promised);
    }
  }

  /** A proposer says that a value is chosen. */
  #told(value: number): void {
    if (!this.#proposed.has(value)) this.#fault ??= `${value} is chosen, and nobody proposed it`;
    if (this.#chosen === undefined) this.#fault ??= `${value} is said to be chosen, and is not`;
    else if (this.#chosen !== value)
      this.#fault ??= `${value} is said to be chosen after ${this.#chosen} was`;
  }

  #noteVote(juror: Juror, { vote }: AcceptorState): void {
    if (vote === undefined || !this.#acceptorIds.includes(juror.id)) return;
    const value = vote.value[0]!;
    const { round, node, draw } = vote.ballot;
    const name = `${round}/${node}/${draw}`;
    let noted = this.#votes.get(name);
    if (noted === undefined) {
      noted = { value, voters: new Set() };
      this.#votes.set(name, noted);
    }
    if (noted.value !== value) this.#fault ??= `ballot ${name} has two values`;
    noted.voters.add(juror.id);
    if (noted.voters.size * 2 <= this.#acceptorIds.length) return;
    if (this.#chosen !== undefined && this.#chosen !== value) {
      this.#fault ??= `${value} is chosen after ${this.#chosen} was`;
    }
    this.#chosen ??= value;
  }
}
