/**
 * What a node tells of itself: to gossip, to metrics, and to people who ask for its status.
 *
 * The picture: the porter's board at the entrance. The offices say how they are, the board shows it side by
 * side; nothing here is on the path of a request.
 */

import type { NodeId } from '../ports/transport.ts';
import type { MemberView, NodeApi, NodeFigures } from './api.ts';
import type { NodeContext } from './context.ts';
import type { HintDesk } from './hint-desk.ts';
import type { HorizonDesk } from './horizon-desk.ts';
import { memberViews } from './member-views.ts';
import { nodeStatus } from './node-status.ts';
import type { NodePorts } from './options.ts';
import type { PastDesk } from './past-desk.ts';
import type { Policies } from './policies.ts';
import type { RepairDesk } from './repair-desk.ts';
import type { Requests } from './requests.ts';
import type { NodeStatus } from './status.ts';
import type { TopologyDesk } from './topology-desk.ts';

/** What gossip says of this node is looked at anew this often, milliseconds. */
const factsIntervalMs = 1000;

/** The parts of a node that have something to tell. */
export interface TellingParts {
  readonly context: NodeContext;
  readonly storage: NodePorts['storage'];
  readonly requests: Requests;
  readonly hints: HintDesk;
  readonly repair: RepairDesk;
  readonly horizon: HorizonDesk;
  readonly past: PastDesk;
  readonly policies: Policies;
  readonly topologyDesk: TopologyDesk;
}

export class NodeFacts {
  readonly #parts: TellingParts;
  readonly #startedAt: number;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(parts: TellingParts) {
    this.#parts = parts;
    this.#startedAt = parts.context.now();
  }

  /** Tells gossip of this node, now and then. */
  tick(now: number): void {
    if (now - this.#toldAt >= factsIntervalMs) this.tell();
  }

  /** Tells gossip of this node: something changed that others wait for. */
  tell(): void {
    const { context, past, hints, topologyDesk } = this.#parts;
    this.#toldAt = context.now();
    const { rebuildingSince } = past;
    const { epoch, settledEpoch } = topologyDesk;
    context.links.setFacts({ epoch, settledEpoch, rebuildingSince, hintFloor: hints.hintFloor() });
  }

  /** The time up to which a member holds no hints, as it says itself; see `HintBook.raiseFloor`. */
  hintFloorOf(member: NodeId): number {
    const { context, hints } = this.#parts;
    if (member === context.self) return hints.hintFloor();
    const link = context.links.get(member);
    return link === undefined ? 0 : context.links.view(link, context.now()).hintFloor;
  }

  members(): readonly MemberView[] {
    const { context, past, topologyDesk } = this.#parts;
    const { topology, links } = context;
    const { rebuildingSince } = past;
    const { epoch, settledEpoch } = topologyDesk;
    return memberViews(topology.members, links, context.now(), { rebuildingSince, epoch, settledEpoch });
  }

  figures(): NodeFigures {
    const { context, storage, requests, hints, repair } = this.#parts;
    const { tally, replica, siblings, flights, links } = context;
    return {
      ...tally,
      ...hints.figures(),
      ...repair.figures(),
      rowsDamaged: replica.rowsDamaged,
      siblingsMost: siblings.siblingsMost,
      requestsInFlight: requests.waiting,
      writesUnsettled: flights.answered,
      framesSent: links.framesSent,
      messagesSent: links.messagesSent,
      storage: storage.figures(),
    };
  }

  /** @param node the node itself, as those see it who ask. */
  status(node: NodeApi): NodeStatus {
    const { context, storage, hints, repair, horizon, past, policies } = this.#parts;
    const { links, replica, siblings, limits } = context;
    return nodeStatus({
      node,
      uptimeMs: context.now() - this.#startedAt,
      storage,
      failure: replica.failure,
      clockDoubted: links.clockDoubted,
      clockOffsetOf: (id) => links.clockOffsetOf(id, context.now(), context.wall()),
      hints: hints.status(),
      past: past.figures(),
      repair: repair.status(),
      horizon: horizon.status,
      differenceAgeMs: (member) => repair.lagMs(member.id),
      horizonAlarmMs: limits.horizonAlarmMs,
      siblings: siblings.status(context),
      policies: policies.status(),
    });
  }
}
