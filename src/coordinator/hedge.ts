/**
 * Hedging: ask one more replica when the first is slower than it usually is ("The Tail at Scale",
 * Dean and Barroso 2013), within a budget, so that a slow cluster is not asked even more.
 */

/**
 * A running estimate of the 95th percentile of a stream of times, in constant space (frugal
 * streaming, Ma, Muthukrishnan and Sandler 2013, with a step that follows the estimate).
 */
export class ReplyTime {
  /** Milliseconds; 0 before the first sample. */
  p95Ms = 0;

  sample(elapsedMs: number): void {
    if (this.p95Ms === 0) {
      this.p95Ms = elapsedMs;
      return;
    }
    const step = Math.max(0.02, this.p95Ms * 0.05);
    if (elapsedMs > this.p95Ms) this.p95Ms += step * 0.95;
    else this.p95Ms = Math.max(0.02, this.p95Ms - step * 0.05);
  }
}

const balanceMax = 100;
const delayMinMs = 2;

/** Tokens for extra requests: each read earns a share of one, each hedge spends one. */
export class HedgeBudget {
  readonly #share: number;
  #balance = 1;

  /** @param share extra requests as a share of reads, 0 to 1; 0 switches hedging off. */
  constructor(share: number) {
    this.#share = share;
  }

  earn(): void {
    if (this.#balance < balanceMax) this.#balance += this.#share;
  }

  spend(): boolean {
    if (this.#share === 0 || this.#balance < 1) return false;
    this.#balance--;
    return true;
  }
}

/** How long to wait for a peer before asking another, milliseconds. */
export function hedgeDelayMs(p95Ms: number): number {
  return Math.max(delayMinMs, p95Ms);
}
