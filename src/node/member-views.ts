/** The members as this node sees them: what the configuration says of each, and what the links know. */

import type { MemberView } from './api.ts';
import type { Links } from './links.ts';
import type { Member } from './options.ts';

type OwnFacts = Pick<MemberView, 'rebuildingSince' | 'epoch' | 'settledEpoch'>;

/**
 * @param now monotonic milliseconds.
 * @param own what this node says of itself, see `MemberView`.
 */
export function memberViews(
  members: readonly Member[],
  links: Links,
  now: number,
  own: OwnFacts,
): readonly MemberView[] {
  return members.map((member) => {
    const link = links.get(member.id);
    if (link === undefined) return selfView(member, links.incarnation, own);
    const view = links.view(link, now);
    return {
      ...member,
      live: link.live,
      silenceMs: Math.max(0, now - link.heardAt),
      replyP95Ms: link.replyTime.p95Ms,
      status: view.status,
      incarnation: view.incarnation,
      phi: view.phi,
      reachable: link.up,
      seenThrough: view.seenThrough,
      rebuildingSince: view.rebuildingSince,
      epoch: view.epoch,
      settledEpoch: view.settledEpoch,
    };
  });
}

function selfView(member: Member, incarnation: number, own: OwnFacts): MemberView {
  return {
    ...member,
    live: true,
    silenceMs: 0,
    replyP95Ms: 0,
    status: 'alive',
    incarnation,
    phi: 0,
    reachable: true,
    seenThrough: undefined,
    ...own,
  };
}
