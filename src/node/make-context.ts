/** Makes the context of a node (`context.ts`) from the parts that the node made before it. */

import { HedgeBudget } from '../coordinator/hedge.ts';
import type { PlanBook } from '../coordinator/plan.ts';
import { HintBook } from '../hints/hint-book.ts';
import type { Replica } from '../replica/replica.ts';
import { Vouching } from '../replica/vouching.ts';
import type { Topology } from '../topology/topology.ts';
import type { NodeContext } from './context.ts';
import type { Flights } from './flights.ts';
import type { Identity } from './identity.ts';
import type { Links } from './links.ts';
import type { NodeOptions, NodePorts } from './options.ts';
import { PastMemory } from './past-memory.ts';
import { SiblingComposer } from './sibling-composer.ts';
import type { Tally } from './tally.ts';

const noMutants: ReadonlySet<string> = new Set();

/** What a context is made from. */
export interface ContextParts {
  readonly options: NodeOptions;
  readonly ports: NodePorts;
  /** The epoch in force. */
  readonly topology: () => Topology;
  readonly replica: Replica;
  readonly identity: Identity;
  readonly links: Links;
  readonly plans: PlanBook;
  readonly flights: Flights;
  readonly tally: Tally;
}

export function makeContext(parts: ContextParts): NodeContext {
  const { options, ports, topology, replica, identity, links, plans, flights, tally } = parts;
  const { limits, mutants = noMutants } = options;
  const { storage, log, clock, random } = ports;
  return {
    self: options.id,
    get topology() {
      return topology();
    },
    get n() {
      return topology().read.listLength;
    },
    limits,
    log,
    replica,
    identity,
    vouching: new Vouching(topology().partitionCount, mutants),
    hints: new HintBook({
      storage,
      shelf: replica,
      log,
      bytesMax: limits.hintBytesMax,
      marginMs: limits.horizonMarginMs,
      mutants,
    }),
    past: new PastMemory([...links.all()].map(({ member }) => member.id)),
    links,
    plans,
    flights,
    siblings: new SiblingComposer(random),
    hedgeBudget: new HedgeBudget(limits.hedgeShareMax),
    tally,
    mutants,
    now: () => clock.monotonic(),
    wall: () => clock.wall(),
  };
}
