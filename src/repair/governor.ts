/**
 * The governor: how much of its allowance background work takes, by how crowded the machine is.
 *
 * The picture: somebody with a full trolley in a narrow corridor. He begins slowly, walks faster while nobody has to
 * wait, and slows down at once when people queue up. Queues show at the clock: a tick that comes late waited behind
 * other work, of this process or of another on the same cores; a request of a client would have waited as long.
 *
 * Additive increase, multiplicative decrease, as in TCP (Chiu and Jain, 1989), on delay and not on loss, as in LEDBAT
 * (RFC 6817): a node that gives way does so before clients time out.
 */

/** Ticks that are late by less, on average over about the last 20, are no reason to slow down, milliseconds. */
const lagMostMs = 1;
const lagTicks = 20;
/** Between two changes of the share by the average, milliseconds. */
const stepMs = 50;
const raise = 1 / 60;
const lower = 0.75;
/** One tick that is later than this is one of those moments that a client in a hundred feels, milliseconds. */
const lateMostMs = 8;
const lowerAtOnce = 0.5;
/** The least: work goes on, however crowded the machine is. */
const shareMin = 1 / 16;
/** After so long without work the next begins as the first did, milliseconds. */
const restMs = 1000;

export class Governor {
  readonly #shareFirst: number;
  #share: number;
  #lagMs = 0;
  #stepAt = Number.NEGATIVE_INFINITY;
  #workAt = Number.NEGATIVE_INFINITY;

  /** @param shareFirst what work begins with, 1/16 to 1: little if it comes in floods, 1 if mostly there is little of it */
  constructor(shareFirst: number) {
    this.#shareFirst = shareFirst;
    this.#share = shareFirst;
  }

  /** The part of its allowance that work may take now, 1/16 to 1. */
  get share(): number {
    return this.#share;
  }

  /**
   * Time passed. Call it at each tick.
   * @param lateMs how late this tick comes, milliseconds
   * @param isWorking whether there is work that would take more
   */
  pass(now: number, lateMs: number, isWorking: boolean): void {
    this.#lagMs += (lateMs - this.#lagMs) / lagTicks;
    if (lateMs > lateMostMs) this.#share = Math.max(shareMin, this.#share * lowerAtOnce);
    if (isWorking) this.#workAt = now;
    else if (now - this.#workAt > restMs) this.#share = this.#shareFirst;
    if (now - this.#stepAt < stepMs) return;
    this.#stepAt = now;
    if (this.#lagMs > lagMostMs) this.#share = Math.max(shareMin, this.#share * lower);
    else if (isWorking) this.#share = Math.min(1, this.#share + raise);
  }
}
