/**
 * The files of `dure dev`: a configuration file for each node, and `cluster.json`, which says what runs.
 *
 * ```
 * .dure/cluster.json      who runs where, and the command line that starts each node alone; written anew at each
 *                         change
 * .dure/n1/node.yaml      its configuration
 * .dure/n1/data/          its data
 * ```
 */

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { MemberConfig } from './config-schema.ts';

/** A node in `cluster.json`. */
export interface ClusterNode {
  readonly id: string;
  /** 0 if it could not be started. */
  readonly pid: number;
  readonly respPort: number;
  readonly peerPort: number;
  readonly httpPort: number;
  /** Path of its configuration file. */
  readonly config: string;
  /** The command line that starts this node alone. */
  readonly argv: readonly string[];
  /** It joined a cluster that was there; left out of its founders. */
  readonly joined?: boolean;
}

export interface ClusterFile {
  readonly nodes: readonly ClusterNode[];
}

/** The cluster of an earlier run, or undefined when there was none. @throws when the file is damaged. */
export function readClusterFile(dataDir: string): ClusterFile | undefined {
  const path = join(dataDir, 'cluster.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const file = JSON.parse(text) as ClusterFile;
    if (Array.isArray(file.nodes) && file.nodes.every((node) => typeof node.id === 'string')) return file;
  } catch {
    // told below
  }
  throw new Error(`${path} is damaged; put it back, or move it away if the number of nodes is as before`);
}

/** Written whole or not at all. */
export function writeClusterFile(dataDir: string, file: ClusterFile): void {
  const path = join(dataDir, 'cluster.json');
  writeFileSync(`${path}.new`, `${JSON.stringify(file, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}

const heading = `# Written by "dure dev" at each start: changes made here are lost then.
# To make it your own, copy it and run "dure start --config FILE".
`;

/** Writes the configuration file of a node. @returns its path. */
export function writeNodeFile(
  dataDir: string,
  nodeId: string,
  members: readonly MemberConfig[],
  settings: Readonly<Record<string, unknown>>,
): string {
  const directory = join(dataDir, nodeId);
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'node.yaml');
  const tree = { nodeId, dataDir: 'data', ...settings, members };
  // It may hold a password.
  writeFileSync(path, heading + stringify(tree), { mode: 0o600 });
  return path;
}
