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

/** The second list of owners. */
export class SecondList {
  readonly lists: JointLists;
  readonly needed: number;
  asked: number;
  acknowledgements = 0;
  losses = 0;

  constructor(lists: JointLists, needed: number) {
    this.lists = lists;
    this.needed = needed;
    this.asked = lists.otherLength;
  }

  /** Whether something that counts for a target counts here. */
  counts(at: number): boolean {
    return (this.lists.otherMask & (1 << at)) !== 0;
  }

  /** Whether it counts for the list that reads ask. */
  countsForRead(at: number): boolean {
    return (this.lists.readMask & (1 << at)) !== 0;
  }

  get state(): WriteState {
    if (this.acknowledgements >= this.needed) return 'reached';
    return this.asked - this.losses < this.needed ? 'impossible' : 'waiting';
  }
}

export class WriteCore {
  /** Durable acknowledgements that make a quorum: W, or all where there are fewer. */
  readonly needed: number;
  /** Nodes the row was sent to, this node and stand-ins included. */
  asked: number;
  acknowledgements = 0;
  losses = 0;
  readonly second: SecondList | undefined;

  constructor(needed: number, asked: number, second?: SecondList) {
    this.needed = needed;
    this.asked = asked;
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
    const sparesOwn = this.asked - this.losses > this.needed;
    if (second === undefined) return sparesOwn;
    if (second.countsForRead(at) && !sparesOwn) return false;
    return !second.counts(at) || second.asked - second.losses > second.needed;
  }

  /** Nobody is waited for any more. */
  close(): void {
    const { second } = this;
    this.losses = Math.max(this.losses, this.asked - this.acknowledgements);
    if (second !== undefined) second.losses = Math.max(second.losses, second.asked - second.acknowledgements);
  }

  get state(): WriteState {
    const own = this.#ownState;
    if (this.second === undefined || own === 'impossible') return own;
    const other = this.second.state;
    return own === 'reached' || other === 'impossible' ? other : 'waiting';
  }

  get #ownState(): WriteState {
    if (this.acknowledgements >= this.needed) return 'reached';
    return this.asked - this.losses < this.needed ? 'impossible' : 'waiting';
  }

  /** No further answer will come. */
  get settled(): boolean {
    const { second } = this;
    if (this.acknowledgements + this.losses < this.asked) return false;
    return second === undefined || second.acknowledgements + second.losses >= second.asked;
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
    const short = this.#ownState !== 'impossible' && second?.state === 'impossible' ? second : this;
    return { have: short.asked - short.losses, needed: short.needed };
  }
}
