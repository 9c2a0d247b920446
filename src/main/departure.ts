/**
 * Follows the topology of a running node, for its process: keeps the addresses of the members beside the data, and
 * tells when the node has no part in the cluster any more.
 *
 * Those who go on without a node that still runs do not talk to it, and so cannot tell it. So a node whom nobody
 * talks to asks over HTTP what has become of the cluster.
 */

import type { NodeApi } from '../node/api.ts';
import type { Log } from '../ports/log.ts';
import type { Topology } from '../topology/topology.ts';
import type { NodeConfig } from './config.ts';
import { noteMembers } from './identity-file.ts';
import { askForNews, httpAddresses } from './joining.ts';

/** Why a node is no member any more. */
export interface Departure {
  /** It was asked to leave, and gave away what it held; or the others go on without it. */
  readonly kind: 'left' | 'removed';
  readonly epoch: number;
}

const lookMs = 100;
/** A node that hears nobody for about so long asks the others over HTTP, and again after as long, milliseconds. */
const lonelyMs = 3000;

/** How a node came to be no member of an epoch; undefined for one that is. */
export function departureOf(topology: Topology, id: string): Departure | undefined {
  if (topology.has(id)) return undefined;
  const { change, epoch } = topology;
  const left = change?.kind === 'leave' && change.nodes.includes(id) && !change.gone.includes(id);
  return { kind: left ? 'left' : 'removed', epoch };
}

/** A node that can be told an epoch by other ways than its pipes. */
export type FollowedNode = NodeApi & { learnTopology(topology: Topology): void };

export interface Following {
  /** Settles when the node has left or was removed. */
  readonly departed: Promise<Departure>;
  stop(): void;
}

/**
 * @param hasDirectory whether the members are noted beside the data
 * @param patienceMs of a node that hears nobody
 */
export function followTopology(
  config: NodeConfig,
  node: FollowedNode,
  log: Log,
  hasDirectory: boolean,
  patienceMs: number = lonelyMs,
): Following {
  const { promise, resolve } = Promise.withResolvers<Departure>();
  let seen: Topology | undefined;
  // It looks round twice in its patience: lonely both times, it asks.
  let [lookedAt, wasLonely] = [performance.now(), false];
  const look = (): void => {
    if (performance.now() - lookedAt > patienceMs / 2) {
      const lonely = isLonely(node);
      if (lonely && wasLonely) void hearNews(config, node, log);
      [lookedAt, wasLonely] = [performance.now(), lonely && !wasLonely];
    }
    const { topology } = node;
    if (topology === seen) return;
    seen = topology;
    if (hasDirectory) note(config, topology, log);
    const departure = departureOf(topology, config.nodeId);
    if (departure !== undefined) resolve(departure);
  };
  look();
  const timer = setInterval(look, lookMs);
  timer.unref();
  return { departed: promise, stop: () => clearInterval(timer) };
}

/** Whether there are others, and none of them is heard. */
function isLonely(node: NodeApi): boolean {
  const others = node.members().filter(({ id }) => id !== node.id);
  return others.length > 0 && others.every(({ live }) => !live);
}

async function hearNews(config: NodeConfig, node: FollowedNode, log: Log): Promise<void> {
  const { epoch } = node.topology;
  const { latest } = await askForNews(config, [...httpAddresses(node.topology), ...config.join], epoch);
  if (latest === undefined || latest.epoch <= node.topology.epoch) return;
  log.write('warn', 'topology-heard', { epoch: latest.epoch, before: node.topology.epoch });
  try {
    node.learnTopology(latest);
  } catch (error) {
    // Another cluster of the same name is at that address.
    log.write('warn', 'topology-not-taken', { reason: String(error) });
  }
}

/** It is advice: a disk that is full is told by others. */
function note(config: NodeConfig, topology: Topology, log: Log): void {
  try {
    noteMembers(config, topology);
  } catch (error) {
    log.write('warn', 'members-not-noted', { reason: String(error) });
  }
}
