/**
 * Which epoch of the topology a node starts with: what its disk remembers, what the others tell, or, for a cluster
 * that is as it was founded, what the configuration says.
 *
 * | On the disk | `join` | It starts with |
 * |---|---|---|
 * | an epoch | | that one, or a later one that another member tells |
 * | nothing | set | the one in which the cluster takes it in |
 * | nothing | not set | the founding one of its configuration, or a later one that another member tells |
 *
 * A node that lost its disk after the cluster had changed (`members.json` tells) does not go back to the founding
 * epoch by itself: whoever founded a cluster alone would serve alone again, beside the one that is there.
 */

import { storedTopology } from '../node/topology-note.ts';
import type { Log } from '../ports/log.ts';
import type { Storage } from '../ports/storage.ts';
import type { Topology } from '../topology/topology.ts';
import type { NodeConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import { addressWords } from './http-call.ts';
import {
  DATA_FORMAT,
  dataFormat,
  foundingFaults,
  identityFaults,
  markIdentity,
  notedMembers,
  noteMembers,
} from './identity-file.ts';
import {
  askForLost,
  askForNews,
  checkAddress,
  httpAddresses,
  type JoinTimes,
  joinCluster,
  notMember,
  topologyWarnings,
} from './joining.ts';
import { StartError } from './start-error.ts';
import { VERSION } from './version.ts';

export interface KnownParts {
  readonly config: NodeConfig;
  readonly storage: Storage;
  readonly log: Log;
  /** The node has a directory of its own. */
  readonly hasDirectory: boolean;
  /** For tests. */
  readonly times?: JoinTimes;
}

/**
 * @returns the epoch to start with; undefined for the founding one of the configuration
 * @throws StartError for a node that is no member any more, or is known at another address; or that nobody takes in
 */
export async function findTopology({
  config,
  storage,
  log,
  hasDirectory,
  times = {},
}: KnownParts): Promise<Topology | undefined> {
  const { topology: stored } = storedTopology(storage);
  if (stored !== undefined && !stored.has(config.nodeId)) throw notMember(config, stored);
  let known: Topology | undefined;
  if (stored === undefined && config.join.length > 0) {
    known = await joinCluster(config, log, times);
    if (hasDirectory) markIdentity(config, known);
  } else {
    const noted = hasDirectory ? notedMembers(config) : undefined;
    // A database that was set aside took the topology with it: then its rows are gone from here as well.
    if (stored === undefined && hasDirectory && (noted?.epoch ?? 0) <= 1) checkFounding(config);
    if (hasDirectory) markIdentity(config, undefined);
    const founders = config.members.map(({ host, httpPort }) => addressWords(host, httpPort));
    const addresses = [
      ...config.join,
      ...(stored === undefined ? founders : httpAddresses(stored)),
      ...(noted?.members.map(({ http }) => http) ?? []),
    ];
    const dialled = addresses.filter(isDialled);
    // Members without HTTP tell through their pipes; a founder who was alone has none.
    const canAsk = dialled.length > 0 || config.members.length === 1;
    if (stored === undefined && (noted?.epoch ?? 0) > 1 && canAsk) {
      const isFleeting = config.storage.engine === 'memory';
      known = await askForLost(config, dialled, noted!.epoch, isFleeting, log, times);
    } else known = (await askForNews(config, dialled, stored?.epoch ?? 1)).latest ?? stored;
  }
  if (known === undefined) return undefined;
  if (!known.has(config.nodeId)) throw notMember(config, known);
  checkAddress(config, known);
  for (const warning of topologyWarnings(config, known)) log.write('warn', 'config-warning', { warning });
  if (hasDirectory) noteMembers(config, known);
  return known;
}

/** Not that of a member without a port for HTTP. */
function isDialled(address: string): boolean {
  return address !== '' && !address.endsWith(':0');
}

/** @throws StartError for a directory of another node or another cluster, or of a later release */
export function checkIdentity(config: NodeConfig): void {
  const format = dataFormat(config);
  if (format !== undefined && !(format <= DATA_FORMAT)) throw laterFormat(config, format);
  const faults = identityFaults(config);
  if (faults.length > 0) throw anotherRing(config, faults);
}

/** @throws StartError */
function checkFounding(config: NodeConfig): void {
  const faults = foundingFaults(config);
  if (faults.length > 0) throw anotherRing(config, faults);
}

function laterFormat({ dataDir }: NodeConfig, format: number): StartError {
  return new StartError(
    EXIT.failed,
    [
      `The data in ${dataDir} has format ${format}, and this release, ${VERSION}, knows format ${DATA_FORMAT} and earlier ones:`,
      '  a later release wrote it, and this one would misread it. Nothing was changed.',
      'Start that release again; or empty this directory, and the other nodes will make this one whole.',
    ].join('\n'),
  );
}

function anotherRing({ dataDir }: NodeConfig, faults: readonly string[]): StartError {
  return new StartError(
    EXIT.failed,
    [
      `The data in ${dataDir} was written by another node, or with another ring:`,
      ...faults.map((fault) => `  ${fault}`),
      'Rows would be looked for where they are not. Put the configuration back, or set another dataDir. A cluster is',
      'made larger by starting a node with join, and smaller by "dure node leave".',
    ].join('\n'),
  );
}

/** N, as far as it can be told before the database is open: how many replicas a row has. */
export function replicasBefore(config: NodeConfig, hasDirectory: boolean): number {
  const { replicas, members, join } = config;
  const noted = hasDirectory ? notedMembers(config)?.replicas : undefined;
  return noted ?? (join.length > 0 ? replicas : Math.min(replicas, members.length));
}
