/**
 * Follows the topology of a running node, for its process: keeps the addresses of the members beside the data, and
 * tells when the node has no part in the cluster any more.
 *
 * Those who go on without a node that still runs do not talk to it, and so cannot tell it. So a node asks those whom it
 * does not hear over HTTP what has become of the cluster: at once if it hears nobody, else now and then.
 *
 * Of a newcomer it tells whom its join waits for (`join-wait.ts`).
 */

import type { NodeApi } from '../node/api.ts';
import type { Log } from '../ports/log.ts';
import type { Topology } from '../topology/topology.ts';
import type { NodeConfig } from './config.ts';
import { noteMembers } from './identity-file.ts';
import { JoinWait } from './join-wait.ts';
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
/**
 * One that hears some and not others asks those, so many times more rarely: they may go on without it and those it
 * hears (`force`, of members that were not lost).
 */
const sparselyTimes = 5;

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
  let [lookedAt, wasLonely, looksSince] = [performance.now(), false, 0];
  const joinWait = new JoinWait(config.nodeId, log);
  const look = (): void => {
    joinWait.look(node, performance.now());
    if (performance.now() - lookedAt > patienceMs / 2) {
      const silent = silentOf(node);
      const lonely = silent.length > 0 && silent.length === node.members().length - 1;
      const isTime = lonely ? wasLonely : ++looksSince > 2 * sparselyTimes;
      if (isTime || silent.length === 0) looksSince = 0;
      if (isTime && silent.length > 0) void hearNews(config, node, silent, lonely ? config.join : [], log);
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

/** The other members that are not heard. */
function silentOf(node: NodeApi): string[] {
  return node.members().flatMap(({ id, live }) => (id === node.id || live ? [] : [id]));
}

/** @param besides addresses to be asked as well */
async function hearNews(
  config: NodeConfig,
  node: FollowedNode,
  silent: readonly string[],
  besides: readonly string[],
  log: Log,
): Promise<void> {
  const { epoch, members } = node.topology;
  const asked = httpAddresses({ members: members.filter(({ id }) => silent.includes(id)) });
  const { latest } = await askForNews(config, [...asked, ...besides], epoch);
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
