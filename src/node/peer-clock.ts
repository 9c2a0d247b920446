/**
 * A peer's clock as this node measures it: what it shows, and how sure that is.
 *
 * The picture: asking the time by letter. The answer says "noon", and was written at some moment between the
 * sending of the question and the arrival of the answer; so the other clock is known to half the time
 * the letters took, either way, whoever of the two carriers was the slow one (Cristian 1989). A slow
 * answer says less, and not nothing: a clock that is wrong by minutes is found out over any link that works.
 *
 * One heartbeat at a time is timed, so that an answer slower than the interval of the heartbeats counts too. If a
 * later one is answered, its own answer is lost, as that to the first is when the other's pipe to us is not up yet.
 * The surer answer is kept for a while, then the newer; and at once one that contradicts it, for then the peer's clock
 * was set. All of it is reckoned from our monotonic clock: if our own wall clock jumps, `offsetMs` shows it at once.
 */

/** An answer that does not come within this is not waited for, milliseconds. */
const answerMaxMs = 5000;

/** For so long a surer answer is kept when a less sure one comes, milliseconds. */
const surerForMs = 5000;

export class PeerClock {
  /** What it showed when our monotonic clock was 0, milliseconds. */
  #baseMs = 0;
  /** It may have shown so much more or less, milliseconds. */
  uncertaintyMs: number = Number.POSITIVE_INFINITY;
  /** Monotonic time of the answer that is kept. */
  knownAt: number = Number.NEGATIVE_INFINITY;
  #timed = 0;
  #timedAt: number = Number.NEGATIVE_INFINITY;
  #waiting = false;

  /** A heartbeat is sent. @param now monotonic, milliseconds */
  asked(sequence: number, now: number): void {
    if (this.#waiting && now - this.#timedAt < answerMaxMs) return;
    this.#waiting = true;
    this.#timed = sequence;
    this.#timedAt = now;
  }

  /** The pipe broke: what was asked is not answered. */
  broken(): void {
    this.#waiting = false;
  }

  /**
   * A heartbeat was answered.
   * @param theirs what the peer's wall clock showed meanwhile, milliseconds
   */
  answered(sequence: number, theirs: number, now: number): void {
    if (!this.#waiting || !isSameOrLater(sequence, this.#timed)) return;
    this.#waiting = false;
    if (sequence !== this.#timed) return;
    const uncertaintyMs = Math.max(0, now - this.#timedAt) / 2;
    const baseMs = theirs + uncertaintyMs - now;
    const contradicts = Math.abs(baseMs - this.#baseMs) > uncertaintyMs + this.uncertaintyMs;
    const isSurer = uncertaintyMs <= this.uncertaintyMs || now - this.knownAt > surerForMs;
    if (!isSurer && !contradicts) return;
    this.#baseMs = baseMs;
    this.uncertaintyMs = uncertaintyMs;
    this.knownAt = now;
  }

  /** Whether it was measured. */
  get isKnown(): boolean {
    return this.knownAt > Number.NEGATIVE_INFINITY;
  }

  /** Its clock less ours, give or take `uncertaintyMs`. @param now monotonic @param wall what ours shows */
  offsetMs(now: number, wall: number): number {
    return this.#baseMs + now - wall;
  }

  /** Whether it differs from ours by more than `limitMs`, whatever the answer took. */
  isSurelyOff(limitMs: number, now: number, wall: number): boolean {
    return this.isKnown && Math.abs(this.offsetMs(now, wall)) - this.uncertaintyMs > limitMs;
  }

  /** Whether it agrees with ours within `limitMs`, whatever the answer took. */
  isSurelyNear(limitMs: number, now: number, wall: number): boolean {
    return this.isKnown && Math.abs(this.offsetMs(now, wall)) + this.uncertaintyMs <= limitMs;
  }
}

/** Sequence numbers of 32 bits begin again from 0. */
function isSameOrLater(sequence: number, timed: number): boolean {
  return (sequence - timed) >>> 0 < 0x8000_0000;
}
