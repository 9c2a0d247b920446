/**
 * How often and how soon the client tries again.
 *
 * The picture: a purse. Each call that is made puts a small coin in, each repetition takes a whole one
 * out, and the purse holds so many. In quiet times it is full and a node that dies costs a burst of
 * repetitions at once; when all calls fail, repetitions are a share of the calls and no storm. The wait
 * before a repetition is drawn evenly from 0 to a limit that doubles ("full jitter", Brooker 2015), so that
 * clients that failed together do not come back together.
 */

export interface RetryBudgetOptions {
  /** Repetitions as a share of calls, in the long run. 0 to 1; default 0.1. */
  readonly share?: number;
  /** Repetitions that may be made in a burst; 0: none at all. Default 1000. */
  readonly reserve?: number;
  /** Times that one call is sent at most, the first included. Default 8. */
  readonly attemptsMax?: number;
}

export class RetryBudget {
  readonly share: number;
  readonly reserve: number;
  readonly attemptsMax: number;
  #tokens: number;

  constructor({ share = 0.1, reserve = 1000, attemptsMax = 8 }: RetryBudgetOptions = {}) {
    this.share = share;
    this.reserve = reserve;
    this.attemptsMax = attemptsMax;
    this.#tokens = reserve;
  }

  /** Repetitions that could be made now. */
  get tokens(): number {
    return this.#tokens;
  }

  /** A call was made. */
  deposit(): void {
    this.#tokens = Math.min(this.reserve, this.#tokens + this.share);
  }

  /** Takes one repetition; false if there is none. */
  withdraw(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** A node says by one of these codes that it did nothing, and that another node or another time may do. */
export const NOT_DONE: ReadonlySet<string> = new Set(['TRYAGAIN', 'LOADING', 'MISCONF', 'MOVED', 'ASK']);

const repeatBaseMs = 10;
const repeatLimitMs = 500;

/** The wait before a call is made again, milliseconds. @param round 0 before the first repetition */
export function repeatWaitMs(round: number, random: () => number): number {
  return fullJitterMs(round, repeatBaseMs, repeatLimitMs, random);
}

/** A wait in milliseconds: evenly from 0 to `baseMs` × 2^`round`, at most to `limitMs`. */
export function fullJitterMs(round: number, baseMs: number, limitMs: number, random: () => number): number {
  return random() * Math.min(limitMs, baseMs * 2 ** Math.min(round, 30));
}
