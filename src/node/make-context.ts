/** Makes the replica of a node, its links, and its context (`context.ts`) from the parts that it made before. */

import { assert } from '../base/assert.ts';
import { HedgeBudget } from '../coordinator/hedge.ts';
import type { PlanBook } from '../coordinator/plan.ts';
import { HintBook } from '../hints/hint-book.ts';
import { Replica } from '../replica/replica.ts';
import type { ReplicaOptions } from '../replica/replica-options.ts';
import { Vouching } from '../replica/vouching.ts';
import type { Topology } from '../topology/topology.ts';
import type { NodeContext } from './context.ts';
import type { Flights } from './flights.ts';
import type { Identity } from './identity.ts';
import { type LinkEvents, Links } from './links.ts';
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

/** Whom a replica tells of what happens to its rows. */
type ReplicaParts = Required<Pick<ReplicaOptions, 'watcher' | 'rowDamaged'>> & {
  readonly topology: Topology;
  readonly identity: Identity;
};

/** What a node holds. It tells of damaged rows and of commits. */
export function makeReplica(options: NodeOptions, ports: NodePorts, parts: ReplicaParts): Replica {
  const { durability, mutants = noMutants } = options;
  const { storage, log, turn } = ports;
  const { topology, identity, watcher, rowDamaged } = parts;
  return new Replica({
    watcher,
    storage,
    durability,
    log,
    wake: () => turn.wake(),
    noteOfCommit: () => identity.clockNote(),
    committed: () => identity.committed(),
    rowDamaged,
    partitionCount: topology.partitionCount,
    mutants,
  });
}

/** The links to the members of a topology, this node being one of them. */
export function makeLinks(
  options: NodeOptions,
  ports: NodePorts,
  topology: Topology,
  events: LinkEvents,
): Links {
  const { id, limits, mutants = noMutants } = options;
  const { members, epoch } = topology;
  const { log, clock, transport, random, turn } = ports;
  const self = topology.member(id);
  assert(self !== undefined, 'a node is one of its members');
  const life = random.u32();
  const now = clock.monotonic();
  const linked = { self, members, life, transport, random, limits, log, mutants, now };
  const links = new Links(linked, events, () => turn.wake());
  links.epoch = epoch;
  return links;
}

export function makeContext(parts: ContextParts): NodeContext {
  const { options, ports, topology, replica, identity, links, plans, flights, tally } = parts;
  const { limits, mutants = noMutants } = options;
  const { storage, log, clock, random, turn } = ports;
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
    lateMs: () => turn.lateMs ?? 0,
  };
}
