/**
 * One attempt to raise the tombstone horizon of one partition, as a value: which step comes next, given
 * what the replicas answered. No messages, no time in here.
 *
 * The picture: closing the books of a year. First everybody compares and settles what is open (*settle*);
 * then all close the door to late slips of that year (*fence*); then they compare once more behind closed
 * doors (*prove*); if all books are equal, the year is closed (*commit*), and struck-out lines need not be
 * kept. Should anything differ, or anybody be missing, the year stays open and the next attempt begins
 * anew; a door that was closed stays closed, which is harmless.
 *
 * Why equal after the fence means equal for ever: behind the fence a replica takes a row only from another
 * replica that holds it, so a row that none of them holds cannot appear any more.
 */

import type { NodeId } from '../ports/transport.ts';

export type HorizonStep = 'settle' | 'fence' | 'prove' | 'commit' | 'done' | 'abandoned';

export class HorizonRound {
  readonly partition: number;
  /** The horizon aimed at: a time of row stamps, milliseconds. */
  readonly time: number;
  /** The other replicas. */
  readonly peers: readonly NodeId[];
  step: HorizonStep = 'settle';
  /** Why it was abandoned, and the member it was for. */
  reason = '';
  heldBy: NodeId = '';
  readonly #heard: Set<NodeId> = new Set();

  constructor(partition: number, time: number, peers: readonly NodeId[]) {
    this.partition = partition;
    this.time = time;
    this.peers = peers;
    if (peers.length === 0) this.step = 'fence';
  }

  get isOver(): boolean {
    return this.step === 'done' || this.step === 'abandoned';
  }

  /** Peers this step still waits for. */
  get missing(): NodeId[] {
    return this.peers.filter((peer) => !this.#heard.has(peer));
  }

  /**
   * A comparison with a peer is complete.
   * @param oldestDifference least stamp time of the winners among rows that differed; Infinity if none did
   * @returns whether the step is complete
   */
  compared(peer: NodeId, oldestDifference: number): boolean {
    if (this.step !== 'settle' && this.step !== 'prove') return false;
    // What is newer than the horizon aimed at is of no concern: it will not be collected.
    if (this.step === 'prove' && oldestDifference <= this.time) {
      this.abandon(peer, 'a row differed');
      return false;
    }
    return this.#hear(peer);
  }

  /** A replica (ourselves included, as '') raised its fence durably. @returns whether the step is complete */
  fenced(peer: NodeId): boolean {
    if (this.step !== 'fence') return false;
    return this.#hear(peer);
  }

  /** Our own fence counts as well as the peers'. */
  #hear(peer: NodeId): boolean {
    this.#heard.add(peer);
    if (this.missing.length > 0 || (this.step === 'fence' && !this.#heard.has(''))) return false;
    this.#heard.clear();
    this.step = this.#next();
    return true;
  }

  #next(): HorizonStep {
    if (this.step === 'settle') return 'fence';
    if (this.step === 'fence') return this.peers.length === 0 ? 'commit' : 'prove';
    return 'commit';
  }

  /** A replica is away, refused or did not answer. */
  abandon(peer: NodeId, reason: string): void {
    if (this.isOver) return;
    this.step = 'abandoned';
    this.heldBy = peer;
    this.reason = reason;
  }

  committed(): void {
    this.step = 'done';
  }
}
