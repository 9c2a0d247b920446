/**
 * The core of a quorum write, as a value: count acknowledgements and losses until the quorum is
 * reached or can no longer be.
 */

export type WriteState = 'waiting' | 'reached' | 'impossible';

export class WriteCore {
  /** Durable acknowledgements that make a quorum: W. */
  readonly needed: number;
  /** Nodes the row was sent to, this node and stand-ins included. */
  asked: number;
  acknowledgements = 0;
  losses = 0;

  constructor(needed: number, asked: number) {
    this.needed = needed;
    this.asked = asked;
  }

  /** The row goes to one more node: a stand-in. Before the loss it makes up for. */
  ask(): void {
    this.asked++;
  }

  acknowledge(): WriteState {
    this.acknowledgements++;
    return this.state;
  }

  /** An acknowledgement counts no more: whoever gave it may have lost the row, and is waited for again. */
  retract(): void {
    this.acknowledgements--;
  }

  /** A replica refused, or was lost before it answered. */
  lose(): WriteState {
    this.losses++;
    return this.state;
  }

  get state(): WriteState {
    if (this.acknowledgements >= this.needed) return 'reached';
    return this.asked - this.losses < this.needed ? 'impossible' : 'waiting';
  }

  /** No further answer will come. */
  get settled(): boolean {
    return this.acknowledgements + this.losses >= this.asked;
  }
}
