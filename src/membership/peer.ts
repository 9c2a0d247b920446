/**
 * What this node itself knows of another member, beside what the list says: when it was heard, whether it
 * owes an answer, whether it is being probed, and what we make of it.
 *
 * Two questions are kept apart. *Does it live?* is answered by any sign from anywhere (`life`). *Do we
 * reach it?* is answered only by its answers to our own pings (`askedAt`): a member may live, and be
 * seen by others, and be out of our reach.
 */

import type { Status } from './entry.ts';
import { STATUS_ALIVE } from './entry.ts';
import { Phi, type PhiOptions } from './phi.ts';

/** No such time, no such member. */
export const NONE = -1;

export class Peer {
  number: number;
  /** Signs of life from anywhere. */
  readonly life: Phi;
  /** When it was heard itself. */
  heardAt: number;
  /** Our first ping that it has not answered yet, or NONE. */
  askedAt: number = NONE;
  pingedAt: number = Number.NEGATIVE_INFINITY;
  /** We wait for something else than a ping from it, since then. */
  wantedAt: number = NONE;
  /** It is being probed since then, or NONE. */
  probingSince: number = NONE;
  /** Others were asked about it last. */
  requestedAt: number = Number.NEGATIVE_INFINITY;
  /** Who told us of its last sign of life: its own number if it did. */
  heardThrough: number = NONE;
  /** Since when we know of the suspicion or worse that the list holds. */
  accusedAt = 0;
  /** What we make of it: what the list says, unless we know better. */
  verdict: Status = STATUS_ALIVE;
  /** It leaves our pings unanswered, or nobody heard of it: requests avoid it. */
  avoided = false;

  constructor(number: number, options: PhiOptions, now: number) {
    this.number = number;
    this.life = new Phi(options, now);
    this.heardAt = now;
  }

  /** The list has changed: it has another number, and so has whoever told of it last. */
  renumber(number: number, heardThrough: number): void {
    this.number = number;
    this.heardThrough = heardThrough;
  }

  /** We were away for so long: all that waiting does not count. */
  excuse(pauseMs: number, now: number): void {
    this.life.excuse(pauseMs, now);
    this.heardAt = Math.min(now, this.heardAt + pauseMs);
    if (this.askedAt !== NONE) this.askedAt = Math.min(now, this.askedAt + pauseMs);
    if (this.wantedAt !== NONE) this.wantedAt = Math.min(now, this.wantedAt + pauseMs);
    if (this.probingSince !== NONE) this.probingSince = Math.min(now, this.probingSince + pauseMs);
    this.accusedAt = Math.min(now, this.accusedAt + pauseMs);
  }
}
