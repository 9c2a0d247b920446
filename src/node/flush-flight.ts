/**
 * A flush in flight: the new floor on its way to every member.
 *
 * The floor is one stamp; every row not above it is dead, wherever it turns up and however late. The
 * flush is done when so many members hold it durably that each read quorum of every key meets one:
 * all but N-W, by the greatest W of the policies for which R+W>N. The others learn it from heartbeats and from reads.
 *
 * A floor that is stamped too far ahead would be refused by all others and hold here all the same: this node
 * would take all that is written from then on for dead, until the others' clocks have got there. So a clock that
 * most others contradict, or that was ahead and went back, flushes nothing.
 *
 * It goes in two rounds. The members are asked for their clocks first, and the floor is stamped above
 * all of them: a node with a slow clock that never met a row would else stamp its flush below it.
 */

import type { CodedError, ErrorCode } from '../base/errors.ts';
import { CodedError as Coded } from '../base/errors.ts';
import { quorumOf } from '../coordinator/policy.ts';
import type { WriteState } from '../coordinator/write-core.ts';
import { WriteCore } from '../coordinator/write-core.ts';
import type { NodeId } from '../ports/transport.ts';
import type { StoredWaiter } from '../replica/replica.ts';
import type { Stamp, StampParts } from '../rows/row.ts';
import { encodeStamp, STAMP_NONE } from '../rows/row.ts';
import { writeFloor } from '../wire/messages.ts';
import type { FlushDone } from './api.ts';
import type { NodeContext } from './context.ts';
import { deadlineError, observeStamp } from './context.ts';
import { Flight } from './flights.ts';
import type { Link } from './links.ts';
import { nextStamp } from './write-parts.ts';

export class FlushFlight extends Flight implements StoredWaiter {
  readonly #context: NodeContext;
  #core: WriteCore;
  #done: FlushDone | undefined;
  #waiting: NodeId[] = [];
  #storedBy: NodeId[] = [];
  #storedHere = false;
  readonly #wMost: number;
  readonly #wLeast: number;
  #stamp: Stamp = STAMP_NONE;
  /** First the clocks are asked for, then the floor is sent. */
  #learning = true;
  /** Our own clock, and those that answered. */
  #clocks = 1;
  /** All but the least W-1: then each acknowledged write is on a node that was asked. */
  #clocksNeeded = 1;

  /**
   * @param wMost acknowledgements a write waits for, under the policy for which these are most
   * @param wLeast the same, where they are fewest
   */
  constructor(context: NodeContext, wMost: number, wLeast: number, deadline: number, done: FlushDone) {
    super(deadline);
    this.#context = context;
    this.#wMost = wMost;
    this.#wLeast = wLeast;
    this.#core = this.#makeCore();
    this.#done = done;
  }

  /** By the members and the lists of owners of now. So many may miss the floor as any read quorum leaves out less. */
  #makeCore(): WriteCore {
    const { topology } = this.#context;
    const { read, other } = topology;
    const members = topology.members.length;
    let bearable = Number.POSITIVE_INFINITY;
    for (const { listLength } of other === undefined ? [read] : [read, other]) {
      bearable = Math.min(bearable, listLength - quorumOf(this.#wMost, listLength));
    }
    return new WriteCore(Math.max(1, members - bearable), members);
  }

  start(): void {
    const context = this.#context;
    if (context.links.isClockDoubted(context.now(), context.wall())) {
      const { clockOffsetMaxMs } = context.limits;
      const message = `the clock of this node differs from most others by more than ${clockOffsetMaxMs} ms; nothing was flushed; use another node`;
      this.#answer(new Coded('clock-offset', 'fail', message));
      return;
    }
    const live = [...context.links.all()].filter((link) => link.live);
    if (1 + live.length < this.#core.needed) {
      const have = 1 + live.length;
      const message = `only ${have} of ${this.#core.asked} nodes can be reached and a flush needs ${this.#core.needed}; nothing was flushed`;
      this.#answer(new Coded('quorum-unreachable', 'fail', message));
      return;
    }
    context.flights.add(this);
    this.#learn();
  }

  /** Asks the members for their clocks. */
  #learn(): void {
    const context = this.#context;
    const live = [...context.links.all()].filter((link) => link.live);
    const least = quorumOf(this.#wLeast, context.n) - 1;
    // Whoever is down cannot be asked; what only those hold above our clock outlives the flush.
    this.#clocksNeeded = Math.min(Math.max(1, context.topology.members.length - least), 1 + live.length);
    for (const link of live) {
      const writer = context.links.writer(link);
      if (writer === undefined) continue;
      this.#waiting.push(link.member.id);
      writeFloor(writer, this.id, STAMP_NONE);
    }
    this.#advanceLearning();
  }

  /** Another epoch is in force: who came is told too, who went is not waited for, and others are enough. */
  override topologyChanged(): void {
    const context = this.#context;
    const { links, topology } = context;
    if (this.#learning) {
      this.#waiting = [];
      this.#clocks = 1;
      context.flights.renumber(this);
      this.#learn();
      return;
    }
    this.#core = this.#makeCore();
    this.#storedBy = this.#storedBy.filter((id) => topology.has(id));
    const waited = this.#waiting.filter((id) => topology.has(id));
    this.#waiting = [];
    if (this.#storedHere) this.#core.acknowledge();
    for (const { id } of topology.members) {
      if (id === context.self) continue;
      if (this.#storedBy.includes(id)) {
        this.#core.acknowledge();
        continue;
      }
      const writer = links.isLive(id) && !waited.includes(id) ? links.writerTo(id) : undefined;
      if (writer !== undefined) writeFloor(writer, this.id, this.#stamp);
      if (writer !== undefined || waited.includes(id)) this.#waiting.push(id);
      else this.#core.lose();
    }
    this.#advance(this.#core.state);
  }

  /** A member's clock: the flush must be stamped above everything it has seen. */
  override readStamp(link: Link, stamp: Stamp): void {
    if (!this.#learning || !this.#heard(link.member.id)) return;
    observeStamp(this.#context, stamp);
    this.#clocks++;
    this.#advanceLearning();
  }

  #advanceLearning(): void {
    if (!this.#learning) return;
    if (this.#clocks >= this.#clocksNeeded) {
      this.#learning = false;
      this.#waiting = [];
      this.#send();
    } else if (this.#clocks + this.#waiting.length < this.#clocksNeeded) {
      const message = 'too many nodes were lost while a flush asked for their clocks; nothing was flushed';
      this.#refuse(new Coded('quorum-unreachable', 'fail', message));
    }
  }

  /** Ends the flight before anything was sent. */
  #refuse(error: CodedError): void {
    this.#answer(error);
    this.#context.flights.remove(this);
  }

  #send(): void {
    const context = this.#context;
    let parts: StampParts;
    try {
      parts = nextStamp(context, 'flushes nothing', 'flushed');
    } catch (error) {
      if (!(error instanceof Coded)) throw error;
      this.#refuse(error);
      return;
    }
    const stamp = encodeStamp(parts);
    this.#stamp = stamp;
    for (const link of context.links.all()) {
      const writer = link.live ? context.links.writer(link) : undefined;
      if (writer === undefined) {
        this.#core.lose();
        continue;
      }
      this.#waiting.push(link.member.id);
      writeFloor(writer, this.id, stamp);
    }
    context.replica.raiseFloor(stamp, this);
  }

  stored(error: CodedError | undefined): void {
    this.#storedHere = error === undefined;
    this.#advance(error === undefined ? this.#core.acknowledge() : this.#core.lose());
  }

  override storedBy(peer: NodeId): void {
    if (this.#learning || !this.#heard(peer)) return;
    this.#storedBy.push(peer);
    this.#advance(this.#core.acknowledge());
  }

  /** The floor goes out again to a member that acknowledged it in a former life: see `WriteFlight`. */
  override peerReborn(peer: NodeId): void {
    const at = this.#storedBy.indexOf(peer);
    if (at < 0) return;
    this.#storedBy.splice(at, 1);
    this.#core.retract();
    const { links } = this.#context;
    const writer = links.isLive(peer) ? links.writerTo(peer) : undefined;
    this.#waiting.push(peer);
    if (writer === undefined) this.peerLost(peer);
    else writeFloor(writer, this.id, this.#stamp);
  }

  override refusedBy(peer: NodeId, _code: ErrorCode): void {
    this.peerLost(peer);
  }

  override peerLost(peer: NodeId): void {
    // Who is no member any more: that is told at once by `topologyChanged`.
    if (!this.#context.topology.has(peer) || !this.#heard(peer)) return;
    if (this.#learning) this.#advanceLearning();
    else this.#advance(this.#core.lose());
  }

  #heard(peer: NodeId): boolean {
    const at = this.#waiting.indexOf(peer);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    return true;
  }

  #advance(state: WriteState): void {
    if (state === 'reached') this.#answer(undefined);
    else if (state === 'impossible') {
      const message = 'too many nodes were lost while the flush was under way; it may take effect or not';
      this.#answer(new Coded('quorum-unreachable', 'unknown', message));
    }
    if (this.#core.settled) this.#context.flights.remove(this);
  }

  override expire(): void {
    this.#answer(deadlineError(this.#context, 'flush', this.#learning ? 'fail' : 'unknown'));
    this.#context.flights.remove(this);
  }

  #answer(error: CodedError | undefined): void {
    const done = this.#done;
    this.#done = undefined;
    this.#context.flights.noteAnswered(this);
    done?.(error);
  }
}
