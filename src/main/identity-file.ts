/**
 * What a data directory remembers of whose it is: `identity.json`, written when it is first used, and `members.json`,
 * who was in the cluster when it was used last.
 *
 * Starting a node on the data of another one, or with another ring than its rows were placed by, would lose sight of
 * rows without a word. So a directory is opened only by the node and for the cluster it was made for. Who the members
 * are is said by the configuration only while the cluster is as it was founded; from the first change on the topology
 * in the database counts, and `members.json` is a copy of its addresses, for the day when that cannot be read.
 */

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Topology } from '../topology/topology.ts';
import type { NodeConfig } from './config.ts';
import { addressWords } from './http-call.ts';

/**
 * The form of a data directory: that of its rows, its notes and its files. A release that writes what the one before
 * would misread raises it, reads both, and writes the new number when a directory is in the new form as a whole.
 * A directory of a later form is left alone.
 */
export const DATA_FORMAT = 1;

interface IdentityFile {
  readonly format: number;
  readonly nodeId: string;
  readonly clusterName: string;
  readonly engine: string;
  readonly partitions: number;
  readonly replicas: number;
  /** `id weight zone`, sorted: what placement depends on. */
  readonly members: readonly string[];
}

function pathOf({ dataDir }: NodeConfig): string {
  return join(dataDir, 'identity.json');
}

/** Undefined if there is none. @throws SyntaxError for one that is not JSON */
function readIdentity(config: NodeConfig): IdentityFile | undefined {
  const text = textOf(pathOf(config));
  return text === undefined ? undefined : (JSON.parse(text) as IdentityFile);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Written whole or not at all. */
function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(value, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}

/** The form a directory is in; undefined for one that was never used, or whose mark cannot be read. */
export function dataFormat(config: NodeConfig): number | undefined {
  try {
    return readIdentity(config)?.format;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Checks whose a data directory is, before it is opened.
 * @returns what does not fit, one sentence each; none when it fits, or was never used
 */
export function identityFaults(config: NodeConfig): string[] {
  let found: IdentityFile | undefined;
  try {
    found = readIdentity(config);
  } catch (error) {
    if (error instanceof SyntaxError) return [`${pathOf(config)} is damaged: it is not JSON`];
    throw error;
  }
  if (found === undefined) return [];
  const faults: string[] = [];
  compare(faults, 'nodeId', found.nodeId, config.nodeId);
  compare(faults, 'clusterName', found.clusterName, config.clusterName);
  compare(faults, 'storage.engine', found.engine, config.storage.engine);
  // Who joins is told by the cluster how many there are.
  if (config.join.length === 0) compare(faults, 'partitions', found.partitions, config.partitions);
  return faults;
}

/**
 * Checks a directory that knows no topology but that of the configuration: its rows were placed by that.
 * @returns what does not fit
 */
export function foundingFaults(config: NodeConfig): string[] {
  const found = readIdentity(config);
  // What the memory engine held is gone, and was placed by nothing that lasts.
  if (found === undefined || config.storage.engine === 'memory') return [];
  const faults: string[] = [];
  compare(faults, 'replicas', found.replicas, config.replicas);
  const was = found.members ?? [];
  const is = placedBy(config);
  for (const member of was) {
    if (!is.includes(member)) faults.push(`members had "${member}" (id, weight, zone), which is gone`);
  }
  for (const member of is) {
    if (!was.includes(member)) faults.push(`members now have "${member}" (id, weight, zone), which is new`);
  }
  return faults;
}

function compare(faults: string[], what: string, was: unknown, is: unknown): void {
  if (was !== is) faults.push(`${what} was ${JSON.stringify(was)} and is now ${JSON.stringify(is)}`);
}

function placedBy({ members }: NodeConfig): string[] {
  return members.map(({ id, weight, zone }) => `${id} ${weight} ${zone}`).sort();
}

/** Marks a new directory. @param told the topology of the cluster that the node joins; none for a founder */
export function markIdentity(config: NodeConfig, told: Topology | undefined): void {
  if (textOf(pathOf(config)) !== undefined) return;
  const identity: IdentityFile = {
    format: DATA_FORMAT,
    nodeId: config.nodeId,
    clusterName: config.clusterName,
    engine: config.storage.engine,
    partitions: told?.partitionCount ?? config.partitions,
    replicas: told?.read.replicaCount ?? config.replicas,
    members: placedBy(config),
  };
  writeJson(pathOf(config), identity);
}

/** Who was in the cluster: advice, the database counts. */
export interface MembersFile {
  readonly format: 1;
  readonly epoch: number;
  /** How many replicas a row has. */
  readonly replicas: number;
  readonly members: readonly { readonly id: string; readonly http: string }[];
}

/** Notes who is in the cluster, for `notedMembers`. */
export function noteMembers({ dataDir }: NodeConfig, { epoch, read, members }: Topology): void {
  const file: MembersFile = {
    format: 1,
    epoch,
    replicas: read.listLength,
    members: members.map(({ id, host, httpPort }) => ({
      id,
      http: httpPort === 0 ? '' : addressWords(host, httpPort),
    })),
  };
  writeJson(join(dataDir, 'members.json'), file);
}

/** What was noted; undefined if nothing was, or it cannot be read. */
export function notedMembers({ dataDir }: Pick<NodeConfig, 'dataDir'>): MembersFile | undefined {
  try {
    const file = JSON.parse(textOf(join(dataDir, 'members.json')) ?? 'null') as MembersFile | null;
    const isGood = Number.isInteger(file?.replicas) && Array.isArray(file?.members);
    return isGood && file!.members.every(({ http }) => typeof http === 'string') ? file! : undefined;
  } catch {
    return undefined;
  }
}
