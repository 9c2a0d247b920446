/**
 * The roll of a quorum write, as a value: who was sent the row, who holds it, who stands in for whom, and with that
 * the count of the core. When another page of the topology comes into force a new roll is written from the old one:
 * that somebody holds the row is true under any page.
 */

import type { NodeId } from '../ports/transport.ts';
import type { Plan } from './plan.ts';
import type { WriteState } from './write-core.ts';
import { SecondList, WriteCore } from './write-core.ts';

export class WriteRoll extends WriteCore {
  readonly plan: Plan;
  readonly #waiting: NodeId[] = [];
  /** Owners that answered that they hold the row, a bit each in the order of the targets. */
  #storedBits = 0;
  /** Stand-ins that did. */
  #standInsStored: NodeId[] | undefined = undefined;
  /** Stand-ins that were asked, and the owner each stands in for. */
  #standIns: Map<NodeId, NodeId> | undefined = undefined;
  #nextStandIn = 0;
  /** Members that were started anew and get the row again as soon as they can be reached; they are waited for. */
  #again: NodeId[] | undefined = undefined;
  /** Owners that missed the row, and nobody stands in for. */
  lacking: NodeId[] | undefined = undefined;

  /**
   * @param needed acknowledgements of the list that reads ask
   * @param neededOther the same of the second list, if there is one
   */
  constructor(plan: Plan, needed: number, neededOther: number) {
    super(needed, plan.replicas.length, plan.otherMask === 0 ? undefined : new SecondList(plan, neededOther));
    this.plan = plan;
  }

  /** For which target something counts: looked for only while there are two lists. */
  at(target: NodeId): number {
    return this.second === undefined ? 0 : this.plan.targets.indexOf(target);
  }

  /** The row went to an owner, or to a stand-in entered before. */
  sent(peer: NodeId): void {
    this.#waiting.push(peer);
  }

  get waiting(): readonly NodeId[] {
    return this.#waiting;
  }

  /** Somebody answered, or will not: false if nobody waits for that. */
  heard(peer: NodeId): boolean {
    const at = this.#waiting.indexOf(peer);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    return true;
  }

  /** Somebody else than this node holds the row. */
  storedBy(peer: NodeId): WriteState {
    const at = this.plan.targets.indexOf(peer);
    if (at >= 0) {
      this.#storedBits |= 1 << at;
      return this.acknowledge(at);
    }
    return this.storedByStandIn(peer);
  }

  /** A stand-in, this node perhaps, keeps the row. One that stands in for nobody counts for nobody. */
  storedByStandIn(peer: NodeId): WriteState {
    const target = this.#standIns?.get(peer);
    if (target === undefined) return this.state;
    this.#standInsStored ??= [];
    this.#standInsStored.push(peer);
    return this.acknowledge(this.at(target));
  }

  /** Somebody was started anew: takes back what it said, and waits for it again. False if it said nothing. */
  reborn(peer: NodeId): boolean {
    const at = this.plan.targets.indexOf(peer);
    if (at >= 0) {
      if (!this.holds(peer)) return false;
      this.#storedBits &= ~(1 << at);
      this.retract(at);
    } else {
      const among = this.#standInsStored?.indexOf(peer) ?? -1;
      if (among < 0) return false;
      this.#standInsStored!.splice(among, 1);
      this.retract(this.at(this.targetOf(peer)));
    }
    this.#waiting.push(peer);
    this.#again ??= [];
    this.#again.push(peer);
    return true;
  }

  /** Whether the row goes out again to somebody who can be reached now. Once. */
  takeAgain(peer: NodeId): boolean {
    const at = this.#again?.indexOf(peer) ?? -1;
    if (at < 0) return false;
    this.#again!.splice(at, 1);
    return this.#waiting.includes(peer);
  }

  /** Whether an owner but this node answered that it holds the row. */
  holds(peer: NodeId): boolean {
    const at = this.plan.targets.indexOf(peer);
    return at >= 0 && (this.#storedBits & (1 << at)) !== 0;
  }

  /** Whom somebody answers for: itself, or whom it stands in for. */
  targetOf(peer: NodeId): NodeId {
    return this.#standIns?.get(peer) ?? peer;
  }

  isStandIn(peer: NodeId): boolean {
    return this.#standIns?.has(peer) ?? false;
  }

  /** The next of the plan's stand-ins that was not asked yet. */
  nextStandIn(): NodeId | undefined {
    const { standIns } = this.plan;
    while (this.#nextStandIn < standIns.length) {
      const peer = standIns[this.#nextStandIn++]!;
      if (!this.isStandIn(peer)) return peer;
    }
    return undefined;
  }

  /** Somebody is asked to keep the row for an owner. Before the loss of that owner. */
  standsIn(peer: NodeId, target: NodeId): void {
    this.ask(this.at(target));
    this.#standIns ??= new Map();
    this.#standIns.set(peer, target);
  }

  // From one page to the next.

  /** Whether a stand-in that did not answer yet is an owner by `plan`: its answer could be taken for the wrong one. */
  isConfusedBy(plan: Plan): boolean {
    return this.#waiting.some((peer) => this.isStandIn(peer) && plan.targets.includes(peer));
  }

  /** Whether the row may lie, or come to lie, somewhere that counts for nobody by `plan`. */
  leavesBehind({ targets }: Plan): boolean {
    const isLeft = (peer: NodeId): boolean => !targets.includes(this.targetOf(peer));
    if (this.#waiting.some(isLeft) || (this.#standInsStored?.some(isLeft) ?? false)) return true;
    return this.plan.targets.some((peer) => this.holds(peer) && !targets.includes(peer));
  }

  /**
   * Takes over from the former roll what is known of an owner, this node excepted: that it holds the row, or was
   * sent it, or that somebody stands in for it. False if nothing is, and the row is to be sent.
   * @param isAnew answers to what was sent are not waited for
   */
  takeOver(target: NodeId, before: WriteRoll, isAnew: boolean): boolean {
    if (before.holds(target)) {
      this.storedBy(target);
      return true;
    }
    if (isAnew) return false;
    if (before.#waiting.includes(target) && !before.isStandIn(target)) {
      this.sent(target);
      if (before.#again?.includes(target)) {
        this.#again ??= [];
        this.#again.push(target);
      }
      return true;
    }
    return this.#takeOverStandIn(target, before);
  }

  #takeOverStandIn(target: NodeId, before: WriteRoll): boolean {
    for (const [peer, stoodInFor] of before.#standIns ?? []) {
      if (stoodInFor !== target || this.plan.targets.includes(peer)) continue;
      const isStored = before.#standInsStored?.includes(peer) ?? false;
      if (!isStored && !before.#waiting.includes(peer)) continue;
      this.standsIn(peer, target);
      this.lose(this.at(target));
      if (isStored) this.storedByStandIn(peer);
      else this.sent(peer);
      return true;
    }
    return false;
  }
}
