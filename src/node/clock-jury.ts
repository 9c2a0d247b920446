/**
 * The clock jury: is it our wall clock that is wrong?
 *
 * The picture: a watch that differs from the church's may be right; one that differs from most watches in the
 * room is not. Every member that answers heartbeats is a witness (`peer-clock.ts`). Evidence *against* our clock
 * needs most of those who are live; evidence *for* it needs most of all members, so that a node cut off from the
 * others does nothing irreparable by its own clock alone.
 *
 * A member that came while this node runs and has not answered yet is no witness: taking somebody in must
 * not make anybody doubt.
 */

import { PEERS_A_ROUND } from '../membership/times.ts';
import type { Log } from '../ports/log.ts';
import type { NodeLimits } from './options.ts';
import type { PeerClock } from './peer-clock.ts';

/** A peer's clock is known for so long after it answered a heartbeat, milliseconds, and at least ... */
const clockKnownForMs = 10_000;
/** ... for so many turns of the pings through all members, which take longer in a large cluster. */
const clockKnownForTurns = 3;

/** A member, as the jury looks at it: a `Link`. */
interface Witness {
  readonly live: boolean;
  readonly isNewcomer: boolean;
  readonly clock: PeerClock;
}

export class ClockJury {
  readonly #limits: NodeLimits;
  readonly #log: Log;
  #knownForMs = clockKnownForMs;
  /** Most live peers' clocks differed from ours by more than is believed when one answered last. */
  doubted = false;

  constructor(limits: NodeLimits, log: Log) {
    this.#limits = limits;
    this.#log = log;
  }

  /** There are so many other members from now on. */
  summon(others: number): void {
    const turnMs = (this.#limits.heartbeatIntervalMs * (others + 1)) / PEERS_A_ROUND;
    this.#knownForMs = Math.max(clockKnownForMs, clockKnownForTurns * turnMs);
  }

  /** `witness` told what its clock shows; ours shows `wall`. */
  heard(witness: Witness, all: Iterable<Witness>, now: number, wall: number): void {
    const doubted = this.isDoubted(all, now, wall);
    if (doubted === this.doubted) return;
    this.doubted = doubted;
    const offsetMs = Math.round(witness.clock.offsetMs(now, wall));
    const meaning = 'most peers disagree with the clock of this node: it refuses writes until they agree';
    if (doubted) this.#log.write('alarm', 'clock-doubted', { meaning, offsetMs });
    else this.#log.write('info', 'clock-trusted', { offsetMs });
  }

  /**
   * Whether most live members' clocks contradict ours at this moment. `doubted` is what the last answer to a
   * heartbeat showed; this sees a jump of ours at once.
   */
  isDoubted(all: Iterable<Witness>, now: number, wall: number): boolean {
    const { clockOffsetMaxMs } = this.#limits;
    let live = 0;
    let far = 0;
    for (const witness of all) {
      if (!witness.live || witness.isNewcomer) continue;
      live++;
      // A slow answer is no evidence against our clock unless it would be so however long either way took.
      if (witness.clock.isSurelyOff(clockOffsetMaxMs, now, wall)) far++;
    }
    return far * 2 > live;
  }

  /**
   * Whether most other members' clocks agree with ours at this moment. Unlike `doubted`, which needs
   * evidence against our clock, this needs evidence for it, and sees a jump at once: it is asked before
   * something that a wrong clock would make irreparable. A node alone trusts its own clock.
   */
  isConfirmed(all: Iterable<Witness>, now: number, wall: number): boolean {
    let witnesses = 0;
    let agreeing = 0;
    for (const witness of all) {
      if (witness.isNewcomer) continue;
      witnesses++;
      if (!this.#isKnown(witness, now)) continue;
      if (witness.clock.isSurelyNear(this.#limits.clockOffsetMaxMs, now, wall)) agreeing++;
    }
    return witnesses === 0 || agreeing * 2 > witnesses;
  }

  /** A member's clock less ours as it was measured, milliseconds; null if that is too long ago. */
  offsetOf(witness: Witness, now: number, wall: number): number | null {
    return this.#isKnown(witness, now) ? witness.clock.offsetMs(now, wall) : null;
  }

  #isKnown({ clock }: Witness, now: number): boolean {
    return now - clock.knownAt <= this.#knownForMs;
  }
}
