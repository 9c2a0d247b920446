/**
 * The pace of work that nobody waits for. The picture: a purse that fills with a share of the time that
 * passes, up to a little; what was done is paid out of it, and while it is empty nothing is begun.
 */
export class Pace {
  readonly #purseMaxMs: number;
  #purseMs = 0;
  #at = Number.NaN;
  /** Milliseconds spent since start. */
  spentMs = 0;

  /** @param purseMaxMs what may be saved up: the longest time spent in one go, milliseconds */
  constructor(purseMaxMs: number) {
    this.#purseMaxMs = purseMaxMs;
    this.#purseMs = purseMaxMs;
  }

  /** Time passed; `share` of it (0 to 1) may be spent. */
  pass(now: number, share: number): void {
    if (now > this.#at) this.#purseMs = Math.min(this.#purseMaxMs, this.#purseMs + (now - this.#at) * share);
    this.#at = now;
  }

  get allows(): boolean {
    return this.#purseMs > 0;
  }

  spend(ms: number): void {
    this.#purseMs -= ms;
    this.spentMs += ms;
  }
}
