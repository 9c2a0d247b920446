/**
 * The times of membership, all made from two settings: how often a round of gossip is, and how long a
 * silence may be before requests avoid a peer. One place, so that their sum can be seen:
 *
 *   0 ms      a node falls silent
 *   ~100      somebody's ping is not answered (two peers a round are asked by everybody)
 *   ~600      `probeAfterMs` over: asked again, directly
 *   ~800      still nothing: asked through three others
 *   ~1,000    requests avoid it (`avoidAfterMs`, `silenceMaxMs`)
 *   ~1,300    `suspectAfterMs` of probing in vain: suspected, and the rumour spreads in about a second
 *   ~4,000    `suspicionMs` without contradiction: down; known to all of 100 nodes half a second later
 */

import type { PhiOptions } from './phi.ts';

export interface MembershipTimes {
  /** A round: the own counter is raised, and some peers are pinged. */
  readonly intervalMs: number;
  /** Members under suspicion are looked after this often. */
  readonly reviewMs: number;
  /** A ping not answered for so long is a reason to probe. */
  readonly probeAfterMs: number;
  /** Between direct probes, and the time they have before others are asked. */
  readonly probeIntervalMs: number;
  /** Between requests to others for probes. */
  readonly requestIntervalMs: number;
  /** Requests avoid a peer that left a ping unanswered for so long ... */
  readonly avoidAfterMs: number;
  /** ... and was not heard at all for so long, */
  readonly silenceMaxMs: number;
  /** or is heard, and leaves all pings unanswered for so long: one direction is cut. */
  readonly deafAfterMs: number;
  /** Probing in vain for so long makes a suspect. */
  readonly suspectAfterMs: number;
  /** A suspect that nobody vouches for in this time is down. */
  readonly suspicionMs: number;
  /** An ill rumour about a member heard of within this time is not believed yet. */
  readonly disbeliefMs: number;
  /** A tick later than this was a pause of our own. */
  readonly lateMs: number;
}

/**
 * @param intervalMs `heartbeatIntervalMs`.
 * @param silenceMaxMs how long a peer may be silent before requests avoid it, at least two intervals.
 */
export function membershipTimes(intervalMs: number, silenceMaxMs: number): MembershipTimes {
  return {
    intervalMs,
    reviewMs: intervalMs / 4,
    probeAfterMs: silenceMaxMs / 2,
    probeIntervalMs: intervalMs,
    requestIntervalMs: silenceMaxMs * 0.5,
    avoidAfterMs: Math.max(intervalMs, silenceMaxMs - intervalMs),
    silenceMaxMs,
    deafAfterMs: silenceMaxMs * 1.5,
    suspectAfterMs: silenceMaxMs * 0.7,
    suspicionMs: silenceMaxMs * 2.5,
    disbeliefMs: silenceMaxMs * 1.5,
    lateMs: intervalMs / 2,
  };
}

/** Peers pinged a round, whatever the size of the cluster. */
export const PEERS_A_ROUND = 2;
/** Others asked to probe a member that does not answer. */
export const PROBERS = 3;
/** Entries of others in a message when there is much news: when many die at once. */
export const ENTRIES_MAX = 8;
/** Entries of others in a message when there is little news. */
export const ENTRIES_USUAL = 3;
/** phi at which a silence is a reason to probe, whatever was asked: one in 10^8. */
export const PHI_SUSPECT = 8;
/** Intervals remembered of each member. */
export const PHI_WINDOW = 64;

/**
 * The rhythm to expect: in a large cluster a member is heard of less often, through others, and less
 * regularly. With regular signs phi reaches its limit `avoidAfterMs` after the usual interval.
 * @param size of the cluster, this node included.
 */
export function phiOptions(times: MembershipTimes, size: number): PhiOptions {
  const signsARound = 2 * PEERS_A_ROUND * (ENTRIES_USUAL + 1);
  const rounds = Math.max(1, (size - 1) / signsARound);
  const intervalMs = times.intervalMs * rounds;
  const deviationMinMs = Math.max(times.avoidAfterMs / 5.2, (intervalMs - times.intervalMs) / 2);
  return { intervalMs, deviationMinMs, window: PHI_WINDOW };
}
