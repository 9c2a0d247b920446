/**
 * Redirections: what a node that serves no more says to clients of Redis Cluster, in words that all of them act upon by
 * themselves.
 *
 * `LOADING` ("use another node") is an error to most of these clients. `MOVED` and `ASK` are not: they send the same
 * command to the node that is named. So a node that is no owner any more says `MOVED`, for good, whereupon they also
 * fetch the map anew, in which it is not; one that drains says `ASK`, for this once, since it will be back. Either way
 * nothing was done. A client that knows neither sees an error, as it would with `LOADING`.
 */

import type { MemberView } from '../node/api.ts';
import { ErrorReply } from '../resp/value.ts';
import { slotOf } from '../ring/slots.ts';
import type { Call } from './command.ts';

/** The reply in place of a refusal; undefined if nobody else can be named, or this node will serve again at once. */
export function redirectionOf(call: Call): ErrorReply | undefined {
  const { keys, node, context } = call;
  const [first] = keys;
  if (first === undefined) return undefined;
  const isOwner = node.table.members.some(({ id }) => id === node.id);
  if (isOwner && !context.facts.isDraining) return undefined;
  const slot = slotOf(first);
  if (keys.some((key) => slotOf(key) !== slot)) return undefined;
  const other = otherOwner(call, slot);
  if (other === undefined) return undefined;
  return new ErrorReply(isOwner ? 'ASK' : 'MOVED', `${slot} ${other.host}:${other.respPort}`);
}

/** The first owner of a slot that takes Redis clients, one that lives before one that does not. */
function otherOwner({ node }: Call, slot: number): MemberView | undefined {
  const members = new Map(node.members().map((member) => [member.id, member]));
  const others = node.table.preferenceList(slot).flatMap((id) => {
    const member = id === node.id ? undefined : members.get(id);
    return member === undefined || member.respPort === 0 ? [] : [member];
  });
  return others.find(({ live }) => live) ?? others[0];
}
