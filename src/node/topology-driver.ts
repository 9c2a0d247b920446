/**
 * The driver of the topology: takes what is asked of it, and turns the page when everybody is done with the one
 * before. Both end in a proposal, one at a time.
 *
 * The picture: the clerk's counter and the clock above it. At the counter people ask for changes; each is
 * answered when the first page of the change is written, or somebody else's was. By the clock the clerk looks
 * whether everybody is done with a page; then the first of the clerks who are awake proposes the next one, and
 * the others, each a little later, if nothing comes of it.
 *
 * The one rule that must not be broken is kept here: nothing is proposed before every member knows, durably, the
 * epoch in force (docs/design/topology.md).
 */

import { CodedError } from '../base/errors.ts';
import type { AcceptorAnswer } from '../paxos/acceptor.ts';
import { VALUE_BYTES_MAX } from '../paxos/acceptor.ts';
import type { Ballot } from '../paxos/ballot.ts';
import type { Random } from '../ports/random.ts';
import type { NodeId } from '../ports/transport.ts';
import {
  advanced,
  begun,
  cleared,
  isInVain,
  mayFollowSwitch,
  renewed,
  type Transition,
} from '../topology/changes.ts';
import { decodeTopology, encodeTopology } from '../topology/codec.ts';
import { movesData } from '../topology/moves-data.ts';
import type { TopologyRequest } from '../topology/request.ts';
import type { Topology } from '../topology/topology.ts';
import { PROTOCOL_VERSION_TOPOLOGY } from '../wire/frame.ts';
import type { TopologyDone } from './api.ts';
import type { NodeContext } from './context.ts';
import { TopologyProposal } from './topology-proposal.ts';

/** What is asked is answered after so long, milliseconds, with an error if need be. */
const askMaxMs = 10_000;
/** Members that do not know the epoch in force yet have so long to tell, milliseconds. */
const patienceMs = 3000;
/** Requests at a time; they are taken one after the other. */
const askedMax = 16;
/** The next page is proposed by the first live member at once, by each further one so much later, milliseconds. */
const rankDelayMs = 500;
/** A proposal of the next page is given up after so long, milliseconds, and made again after a pause. */
const pageMaxMs = 5000;
const pageAgainMs = 1000;
/** One that cannot be made is tried again after so long, milliseconds. */
const cannotTurnMs = 60_000;

/** What the driver needs of its desk. */
export interface DriverActions {
  /** Puts the question to a member, this node among them. */
  prepare(to: NodeId, epoch: number, ballot: Ballot): void;
  accept(to: NodeId, epoch: number, ballot: Ballot, value: Uint8Array): void;
  /** An epoch was chosen. `value` is its bytes. */
  chosen(topology: Topology, value: Uint8Array): void;
  /** The epoch for which nothing is left to do here, durably. */
  settledEpoch(): number;
  /** Why nothing is taken, in words; undefined if it is. */
  refusal(): string | undefined;
  /** Whether a later epoch is on its way into force: nothing is proposed until then. */
  isComing(): boolean;
  /** Whether this node votes again once there are later epochs, and not before. */
  mustRenew(): boolean;
}

/** What a request makes of a topology: computed once, since owners are placed anew. */
interface Draft {
  readonly of: Topology;
  readonly transition: Transition;
}

interface Asked {
  readonly request: TopologyRequest;
  readonly done: TopologyDone;
  readonly changeId: number;
  readonly wall: number;
  readonly deadline: number;
  readonly patienceUntil: number;
  warnings: readonly string[];
  /** What it would make of which topology. */
  draft: Draft | undefined;
  /** Votes for it were asked for: it may be chosen whatever is answered. */
  isUncertain: boolean;
  /** Whom it waits for, for the error that says so. */
  waitsFor: readonly NodeId[];
}

export class TopologyDriver {
  readonly #context: NodeContext;
  readonly #random: Random;
  readonly #actions: DriverActions;
  readonly #asked: Asked[] = [];
  #proposal: TopologyProposal | undefined = undefined;
  /** Whose proposal it is; undefined for the next page. */
  #proposer: Asked | undefined = undefined;
  /** Since when everybody is done with the epoch in force; no proposal of the next page before `#pageAt`. */
  #dueSince: number | undefined = undefined;
  #pageAt = 0;
  /** What was found of the epoch that was judged last. */
  #judged: { readonly of: Topology; readonly isInVain: boolean } | undefined = undefined;

  constructor(context: NodeContext, random: Random, actions: DriverActions) {
    this.#context = context;
    this.#random = random;
    this.#actions = actions;
  }

  /** See `NodeApi.changeTopology`. */
  ask(request: TopologyRequest, done: TopologyDone): void {
    const refusal = this.#actions.refusal();
    if (refusal !== undefined || this.#asked.length >= askedMax) {
      const code = refusal === undefined ? 'overloaded' : 'unavailable';
      const why = refusal ?? `${askedMax} changes are asked of this node already`;
      done(new CodedError(code, 'fail', `${why}; nothing was changed`), undefined);
      return;
    }
    const { now, wall } = this.#context;
    const asked: Asked = {
      request,
      done,
      changeId: this.#drawId(),
      wall: wall(),
      deadline: now() + askMaxMs,
      patienceUntil: now() + patienceMs,
      warnings: [],
      draft: undefined,
      isUncertain: false,
      waitsFor: [],
    };
    this.#asked.push(asked);
    // What a lost majority never answers is given up for it.
    if (request.kind === 'force') this.#endProposal();
    if (this.#proposal === undefined && !this.#actions.isComing()) this.#consider(asked, now());
  }

  /** Nothing is asked, proposed or due. */
  get isQuiet(): boolean {
    return (
      this.#asked.length === 0 && this.#proposal === undefined && this.#context.topology.phase === 'steady'
    );
  }

  /** Answers what is asked with errors: the node stops, or has left. */
  stop(): void {
    this.#proposal = undefined;
    this.#proposer = undefined;
    for (const asked of this.#asked.splice(0)) this.#fail(asked, 'unavailable', 'this node is stopping');
  }

  tick(now: number): void {
    this.#bringForward(now);
    for (const asked of [...this.#asked]) if (now >= asked.deadline) this.#expire(asked);
    if (this.#proposal !== undefined || this.#actions.isComing()) return;
    const [first] = this.#asked;
    if (first !== undefined) this.#consider(first, now);
    if (this.#proposal === undefined) this.#turnPage(now);
  }

  /** Another epoch is in force. */
  topologyChanged(now: number): void {
    const { epoch } = this.#context.topology;
    if (this.#proposal !== undefined && this.#proposal.epoch <= epoch) this.#endProposal();
    this.#dueSince = undefined;
    this.#pageAt = 0;
    for (const asked of [...this.#asked]) if (this.#proposal === undefined) this.#consider(asked, now);
  }

  /** A member answered a question about an epoch. */
  answered(from: NodeId, epoch: number, answer: AcceptorAnswer): void {
    const proposal = this.#proposal;
    if (proposal === undefined || proposal.epoch !== epoch) return;
    proposal.answered(from, answer, this.#context.now());
    this.#takeChosen();
  }

  #bringForward(now: number): void {
    const proposal = this.#proposal;
    if (proposal === undefined) return;
    proposal.tick(now);
    this.#takeChosen();
    if (this.#proposal === undefined || now < proposal.deadline) return;
    const asked = this.#proposer;
    if (asked !== undefined) asked.waitsFor = proposal.awaited;
    this.#endProposal();
    this.#pageAt = now + pageAgainMs;
  }

  #endProposal(): void {
    if (this.#proposer !== undefined && this.#proposal?.hasAskedForVotes) this.#proposer.isUncertain = true;
    this.#proposal = undefined;
    this.#proposer = undefined;
  }

  #takeChosen(): void {
    const value = this.#proposal?.chosen;
    if (value === undefined) return;
    this.#endProposal();
    try {
      this.#actions.chosen(decodeTopology(value), value);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#context.log.write('alarm', 'topology-unreadable', { message: error.message });
    }
  }

  // What is asked.

  /** Answers what is asked, or proposes it, or lets it wait. */
  #consider(asked: Asked, now: number): void {
    const { topology } = this.#context;
    try {
      if (asked.draft?.of !== topology) {
        const transition = begun(topology, asked.request, asked.changeId, asked.wall);
        asked.draft = { of: topology, transition };
      }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      // Ours may be the one that is under way.
      if (topology.change?.id === asked.changeId) this.#succeed(asked);
      else this.#answer(asked, error);
      return;
    }
    const { topology: next } = asked.draft.transition;
    if (next === topology || topology.change?.id === asked.changeId) {
      this.#succeed(asked);
      return;
    }
    asked.warnings = asked.draft.transition.warnings;
    if (this.#context.replica.evicts && asked.request.kind !== 'force' && movesData(topology, next)) {
      const message =
        'rows go by themselves here (storage.evictionPolicy), and so their new owners could never prove to hold them ' +
        'all: the change would wait for ever. A cache of another size is founded anew';
      this.#fail(asked, 'invalid', message);
      return;
    }
    if (!this.#areLost(asked, next, now)) return;
    if (asked.request.kind === 'force') this.#force(asked, next);
    else if (this.#mayBegin(asked, next, now)) this.#propose(next, asked.deadline, asked);
  }

  /** Whether everybody who takes part afterwards knows the epoch in force; if not, the request waits or fails. */
  #mayBegin(asked: Asked, next: Topology, now: number): boolean {
    const { topology, links } = this.#context;
    for (const { id } of next.members) {
      const version = links.get(id)?.version ?? 0;
      if (version === 0 || version >= PROTOCOL_VERSION_TOPOLOGY) continue;
      const message = `${id} runs an older release, which knows nothing of changes: upgrade it first`;
      this.#fail(asked, 'unsupported', message);
      return false;
    }
    const { request } = asked;
    // Back to the owners of before: compatible with the page before this one too, so whoever missed this may miss it.
    if (request.kind === 'cancel' && next.phase === 'steady' && !mayFollowSwitch(topology)) return true;
    // The same owners before and after: who comes, and may never, needs not know of it.
    const expected = topology.phase === 'enrol' ? topology.newcomers : [];
    const lost = request.kind === 'remove' ? request.ids : request.kind === 'replace' ? [request.id] : [];
    asked.waitsFor = topology.members
      .filter((member) => !lost.includes(member.id) && !expected.includes(member) && !this.#knows(member.id))
      .map(({ id }) => id);
    if (asked.waitsFor.length === 0) return true;
    if (now >= asked.patienceUntil) {
      const names = asked.waitsFor.join(', ');
      const message =
        `a change begins only when every member knows epoch ${topology.epoch}, and this is not known of ${names}: ` +
        'wait for it, or remove it if it will not come back';
      this.#fail(asked, 'quorum-unreachable', message);
    }
    return false;
  }

  /** Whether those who are said to be gone do not answer any more; if one does, the request waits or fails. */
  #areLost(asked: Asked, next: Topology, now: number): boolean {
    const { topology, links } = this.#context;
    const gone = next.change?.gone ?? [];
    const live = topology.members.filter(({ id }) => gone.includes(id) && links.isLive(id));
    if (live.length === 0) return true;
    if (now < asked.patienceUntil) return false;
    const names = live.map(({ id }) => id).join(', ');
    this.#fail(asked, 'invalid', `${names} is reached from here and so not lost: end its process first`);
    return false;
  }

  /** Whether a member knows the epoch in force, durably, as it says itself. */
  #knows(id: NodeId): boolean {
    const { topology, links, now, self } = this.#context;
    const link = links.get(id);
    return id === self || (link !== undefined && links.view(link, now()).epoch >= topology.epoch);
  }

  #isSettled(id: NodeId): boolean {
    const { topology, links, now, self } = this.#context;
    if (id === self) return this.#actions.settledEpoch() >= topology.epoch;
    const link = links.get(id);
    return link !== undefined && links.view(link, now()).settledEpoch >= topology.epoch;
  }

  /** Written by this node alone: the others are lost, or are told. */
  #force(asked: Asked, next: Topology): void {
    this.#context.log.write('alarm', 'topology-forced', {
      epoch: next.epoch,
      gone: next.change?.gone.join(',') ?? '',
    });
    asked.isUncertain = true;
    this.#actions.chosen(next, encodeTopology(next));
  }

  #succeed(asked: Asked): void {
    this.#take(asked);
    asked.done(undefined, this.#context.topology, asked.warnings);
  }

  #fail(asked: Asked, code: CodedError['code'], message: string): void {
    const isUncertain = asked.isUncertain || (this.#proposer === asked && this.#proposal!.hasAskedForVotes);
    const end = isUncertain
      ? 'the change may have begun all the same: look at the topology'
      : 'nothing was changed';
    this.#answer(asked, new CodedError(code, isUncertain ? 'unknown' : 'fail', `${message}; ${end}`));
  }

  #answer(asked: Asked, error: CodedError): void {
    this.#take(asked);
    asked.done(error, undefined, []);
  }

  #take(asked: Asked): void {
    const at = this.#asked.indexOf(asked);
    if (at >= 0) this.#asked.splice(at, 1);
  }

  #expire(asked: Asked): void {
    const { topology } = this.#context;
    const proposal = this.#proposer === asked ? this.#proposal : undefined;
    const awaited = proposal?.awaited ?? asked.waitsFor;
    const silent = awaited.length === 0 ? '' : `, and no answer came from ${awaited.join(', ')}`;
    const { length } = topology.voters;
    const majority = Math.floor(length / 2) + 1;
    const message = `a change needs the votes of ${majority} of ${length} members${silent}`;
    if (asked.request.kind !== 'force') this.#fail(asked, 'quorum-unreachable', message);
    else this.#fail(asked, 'deadline-exceeded', 'storage did not keep the forced epoch in time');
    if (proposal !== undefined) this.#endProposal();
  }

  // Pages.

  /** Whether everybody is done with the epoch in force, and another follows it by itself. */
  get #isPageDue(): boolean {
    const { topology, mutants } = this.#context;
    const { phase, members, change } = topology;
    const isWhole = change === undefined || topology.ghosts.length === 0;
    if (phase === 'steady' && isWhole && !this.#actions.mustRenew()) return false;
    if (mutants.has('epoch-skips-adoption')) return true;
    if (this.#areSettled) return true;
    // Nothing is waited for that leads nowhere, nor what others can vote on while they still remember how.
    const isUrgent =
      phase === 'steady' || this.#actions.mustRenew() || (!isWhole && this.#isInVain(topology));
    return isUrgent && members.every(({ id }) => this.#knows(id));
  }

  /** Whether a change is under way, and nothing is left to do in its phase. */
  get #areSettled(): boolean {
    const { phase, members } = this.#context.topology;
    return phase !== 'steady' && members.every(({ id }) => this.#isSettled(id));
  }

  /** All partitions are looked at for it: once an epoch, and not with each tick. */
  #isInVain(topology: Topology): boolean {
    if (this.#judged?.of !== topology) this.#judged = { of: topology, isInVain: isInVain(topology) };
    return this.#judged.isInVain;
  }

  #nextPage(): Topology | undefined {
    const { topology, wall, mutants } = this.#context;
    const isHasty = mutants.has('epoch-skips-adoption');
    if (topology.phase !== 'steady' && (isHasty || this.#areSettled || this.#isInVain(topology))) {
      return advanced(topology);
    }
    const next = cleared(topology, this.#drawId(), wall());
    return next ?? (this.#actions.mustRenew() ? renewed(topology) : undefined);
  }

  /** 48 random bits. */
  #drawId(): number {
    return (this.#random.u32() & 0xffff) * 0x1_0000_0000 + this.#random.u32();
  }

  #turnPage(now: number): void {
    if (now < this.#pageAt || this.#actions.refusal() !== undefined) return;
    if (!this.#isPageDue) {
      this.#dueSince = undefined;
      return;
    }
    this.#dueSince ??= now;
    if (now - this.#dueSince < rankDelayMs * this.#rank) return;
    try {
      const next = this.#nextPage();
      if (next !== undefined) this.#propose(next, now + pageMaxMs, undefined);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#cannotTurn(error.message, now);
    }
  }

  /** No page follows the one in force, and that is no reason to end: it is said, and tried again later. */
  #cannotTurn(reason: string, now: number): void {
    this.#pageAt = now + cannotTurnMs;
    this.#context.log.write('alarm', 'page-not-turned', { epoch: this.#context.topology.epoch, reason });
  }

  /** How many live members come before this one. */
  get #rank(): number {
    const { topology, links, self } = this.#context;
    return topology.members.filter(({ id }) => id < self && links.isLive(id)).length;
  }

  // Proposals.

  #propose(next: Topology, deadline: number, asked: Asked | undefined): void {
    const { topology, self, mutants, now } = this.#context;
    const value = encodeTopology(next);
    if (value.length > VALUE_BYTES_MAX) {
      const fault = `the topology would be ${value.length} bytes long`;
      if (asked === undefined) this.#cannotTurn(fault, now());
      else this.#fail(asked, 'invalid', fault);
      return;
    }
    const { voters } = mutants.has('epoch-majority-of-next') ? next : topology;
    const { epoch } = next;
    const acceptors = voters.map(({ id }) => id);
    const options = { self, acceptors, epoch, value, random: this.#random, mutants, deadline };
    this.#proposer = asked;
    this.#proposal = new TopologyProposal(options, {
      prepare: (to, ballot) => this.#actions.prepare(to, epoch, ballot),
      accept: (to, ballot, chosen) => this.#actions.accept(to, epoch, ballot, chosen),
    });
    this.#bringForward(now());
  }
}
