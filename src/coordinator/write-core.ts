/**
 * The core of a quorum write, as a value: count acknowledgements and losses until the quorum is
 * reached or can no longer be.
 *
 * While a change moves the partition there are two lists of owners, and the write needs its quorum in each:
 * whoever is on both counts for both, and a stand-in counts for whom it stands in (joint quorums: Raft,
 * Ongaro and Ousterhout 2014, section 6). `at` says then for which target of the plan something counts.
 */

import type { JointLists } from './plan.ts';

export type WriteState = 'waiting' | 'reached' | 'impossible';

/** What is counted for one list of owners. */
class Tally {
  /** Durable acknowledgements that make a quorum: W, or all where there are fewer. */
  readonly needed: number;
  /** Nodes the row was sent to, this node and stand-ins included. */
  asked: number;
  acknowledgements = 0;
  losses = 0;

  constructor(needed: number, asked: number) {
    this.needed = needed;
    this.asked = asked;
  }

  /** Of this list alone. */
  get ownState(): WriteState {
    if (this.acknowledgements >= this.needed) return 'reached';
    return this.asked - this.losses < this.needed ? 'impossible' : 'waiting';
  }

  /** Whether this list can do without one more. */
  get sparesOwn(): boolean {
    return this.asked - this.losses > this.needed;
  }

  /** Nobody of this list will answer any more. */
  closeOwn(): void {
    this.losses = Math.max(this.losses, this.asked - this.acknowledgements);
  }

  /** No further answer of this list will come. */
  get settledOwn(): boolean {
    return this.acknowledgements + this.losses >= this.asked;
  }
}

/** The second list of owners. */
export class SecondList extends Tally {
  readonly lists: JointLists;

  constructor(lists: JointLists, needed: number) {
    super(needed, lists.otherLength);
    this.lists = lists;
  }

  /** Whether something that counts for a target counts here. */
  counts(at: number): boolean {
    return (this.lists.otherMask & (1 << at)) !== 0;
  }

  /** Whether it counts for the list that reads ask. */
  countsForRead(at: number): boolean {
    return (this.lists.readMask & (1 << at)) !== 0;
  }
}

/** The list that reads ask, and the second one if there is one. */
export class WriteCore extends Tally {
  readonly second: SecondList | undefined;

  constructor(needed: number, asked: number, second?: SecondList) {
    super(needed, asked);
    this.second = second;
  }

  /** The row goes to one more node: a stand-in. Before the loss it makes up for. */
  ask(at = 0): void {
    const { second } = this;
    if (second === undefined || second.countsForRead(at)) this.asked++;
    if (second?.counts(at)) second.asked++;
  }

  acknowledge(at = 0): WriteState {
    const { second } = this;
    if (second === undefined || second.countsForRead(at)) this.acknowledgements++;
    if (second?.counts(at)) second.acknowledgements++;
    return this.state;
  }

  /** An acknowledgement counts no more: whoever gave it may have lost the row, and is waited for again. */
  retract(at = 0): void {
    const { second } = this;
    if (second === undefined || second.countsForRead(at)) this.acknowledgements--;
    if (second?.counts(at)) second.acknowledgements--;
  }

  /** A replica refused, or was lost before it answered. */
  lose(at = 0): WriteState {
    const { second } = this;
    if (second === undefined || second.countsForRead(at)) this.losses++;
    if (second?.counts(at)) second.losses++;
    return this.state;
  }

  /** Whether the quorum can be reached without a target that may yet acknowledge. */
  canSpare(at = 0): boolean {
    const { second } = this;
    if (second === undefined) return this.sparesOwn;
    if (second.countsForRead(at) && !this.sparesOwn) return false;
    return !second.counts(at) || second.sparesOwn;
  }

  /** Nobody is waited for any more. */
  close(): void {
    this.closeOwn();
    this.second?.closeOwn();
  }

  get state(): WriteState {
    const own = this.ownState;
    if (this.second === undefined || own === 'impossible') return own;
    const other = this.second.ownState;
    return own === 'reached' || other === 'impossible' ? other : 'waiting';
  }

  /** No further answer will come. */
  get settled(): boolean {
    return this.settledOwn && (this.second?.settledOwn ?? true);
  }

  /** Acknowledgements in the list that has fewer. */
  get acknowledgementsLeast(): number {
    const { second, acknowledgements } = this;
    return second === undefined ? acknowledgements : Math.min(acknowledgements, second.acknowledgements);
  }

  /** Whether nobody at all acknowledged. */
  get isNowhere(): boolean {
    return this.acknowledgements === 0 && (this.second?.acknowledgements ?? 0) === 0;
  }

  /** Of the list that cannot be served (or the first): who may still acknowledge or did, and how many must. */
  get shortfall(): { readonly have: number; readonly needed: number } {
    const { second } = this;
    const short = this.ownState !== 'impossible' && second?.ownState === 'impossible' ? second : this;
    return { have: short.asked - short.losses, needed: short.needed };
  }
}
