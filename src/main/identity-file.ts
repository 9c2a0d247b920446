/**
 * What a data directory remembers of whose it is: `identity.json`, written when it is first used.
 *
 * Starting a node on the data of another one, or with another ring than its rows were placed by, would
 * lose sight of rows without a word. So a directory is opened only by the node, for the cluster and
 * with the ring it was made for.
 */

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeConfig } from './config.ts';

interface IdentityFile {
  readonly format: 1;
  readonly nodeId: string;
  readonly clusterName: string;
  readonly engine: string;
  readonly partitions: number;
  readonly replicas: number;
  /** `id weight zone`, sorted: what placement depends on. */
  readonly members: readonly string[];
}

function identityOf(config: NodeConfig): IdentityFile {
  return {
    format: 1,
    nodeId: config.nodeId,
    clusterName: config.clusterName,
    engine: config.storage.engine,
    partitions: config.partitions,
    replicas: config.replicas,
    members: config.members.map(({ id, weight, zone }) => `${id} ${weight} ${zone}`).sort(),
  };
}

/**
 * Checks a data directory against a configuration, and marks a new one.
 * @returns what does not fit, one sentence each; none when it fits.
 */
export function checkIdentity(config: NodeConfig): string[] {
  const path = join(config.dataDir, 'identity.json');
  const wanted = identityOf(config);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    writeFileSync(`${path}.new`, `${JSON.stringify(wanted, undefined, 2)}\n`);
    renameSync(`${path}.new`, path);
    return [];
  }
  let found: IdentityFile;
  try {
    found = JSON.parse(text) as IdentityFile;
  } catch {
    return [`${path} is damaged: it is not JSON`];
  }
  return differences(found, wanted);
}

function differences(found: IdentityFile, wanted: IdentityFile): string[] {
  const faults: string[] = [];
  const compare = (what: string, was: unknown, is: unknown): void => {
    if (was !== is) faults.push(`${what} was ${JSON.stringify(was)} and is now ${JSON.stringify(is)}`);
  };
  compare('nodeId', found.nodeId, wanted.nodeId);
  compare('clusterName', found.clusterName, wanted.clusterName);
  compare('storage.engine', found.engine, wanted.engine);
  compare('partitions', found.partitions, wanted.partitions);
  compare('replicas', found.replicas, wanted.replicas);
  const was = found.members ?? [];
  const gone = was.filter((member) => !wanted.members.includes(member));
  const added = wanted.members.filter((member) => !was.includes(member));
  for (const member of gone) faults.push(`members had "${member}" (id, weight, zone), which is gone`);
  for (const member of added) faults.push(`members now have "${member}" (id, weight, zone), which is new`);
  return faults;
}
