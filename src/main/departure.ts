/**
 * Follows the topology of a running node, for its process: keeps the addresses of the members beside the data, and
 * tells when the node has no part in the cluster any more.
 */

import type { NodeApi } from '../node/api.ts';
import type { Log } from '../ports/log.ts';
import type { Topology } from '../topology/topology.ts';
import type { NodeConfig } from './config.ts';
import { noteMembers } from './identity-file.ts';

/** Why a node is no member any more. */
export interface Departure {
  /** It was asked to leave, and gave away what it held; or the others go on without it. */
  readonly kind: 'left' | 'removed';
  readonly epoch: number;
}

const lookMs = 100;

/** How a node came to be no member of an epoch; undefined for one that is. */
export function departureOf(topology: Topology, id: string): Departure | undefined {
  if (topology.has(id)) return undefined;
  const { change, epoch } = topology;
  const left = change?.kind === 'leave' && change.nodes.includes(id) && !change.gone.includes(id);
  return { kind: left ? 'left' : 'removed', epoch };
}

export interface Following {
  /** Settles when the node has left or was removed. */
  readonly departed: Promise<Departure>;
  stop(): void;
}

/** @param hasDirectory whether the members are noted beside the data */
export function followTopology(
  config: NodeConfig,
  node: NodeApi,
  log: Log,
  hasDirectory: boolean,
): Following {
  const { promise, resolve } = Promise.withResolvers<Departure>();
  let seen: Topology | undefined;
  const look = (): void => {
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

/** It is advice: a disk that is full is told by others. */
function note(config: NodeConfig, topology: Topology, log: Log): void {
  try {
    noteMembers(config, topology);
  } catch (error) {
    log.write('warn', 'members-not-noted', { reason: String(error) });
  }
}
