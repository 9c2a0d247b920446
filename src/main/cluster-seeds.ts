/**
 * Whom a command asks first: a node that was named, the members of a configuration, the nodes of `dure dev`,
 * or the address a first node has by default. From there on the nodes name each other (`status-fetch.ts`).
 */

import { join, resolve } from 'node:path';
import { loadConfig, problemLines } from './config.ts';
import { readClusterFile } from './dev-files.ts';
import { addressWords } from './http-call.ts';
import type { ClusterLook } from './status-fetch.ts';

/** What says whom to ask first. */
export interface SeedOptions {
  /** `host:httpPort`, or empty: look for it. */
  readonly node: string;
  /** A configuration file that names the members, or empty. */
  readonly config: string;
  /** The directory of `dure dev`. */
  readonly dataDir: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** Where a command writes to: a terminal or not. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const defaultAddress = '127.0.0.1:8371';

/** The addresses to ask first, `host:port`; undefined if that cannot be known, and it was said why. */
export function findSeeds(options: SeedOptions, complain: Output): readonly string[] | undefined {
  try {
    return seedsOf(options);
  } catch (error) {
    complain.write(`dure: ${(error as Error).message}\n`);
    return undefined;
  }
}

/** The password of the cluster, as the environment or a configuration says; undefined for none. */
export function passwordOf({ config, dataDir, environment }: SeedOptions): string | undefined {
  const given = environment.DURE_PASSWORD;
  if (given !== undefined && given !== '') return given;
  try {
    const file = config === '' ? readClusterFile(resolve(dataDir))?.nodes[0]?.config : config;
    if (file === undefined) return undefined;
    return loadConfig({ file, flags: new Map(), environment }).config?.password;
  } catch {
    // Whoever needs it is told so by the node.
    return undefined;
  }
}

/** What is said when none of them answers. @param command to ask another one, as it is typed */
export function nobodyWords({ problems }: Pick<ClusterLook, 'problems'>, command: string): string {
  const lines = problems.map((problem) => `  ${problem}\n`).join('');
  return (
    `dure: no node answers:\n${lines}` +
    `Is the cluster running? "dure ${command} --node HOST:PORT" asks a node at its HTTP port.\n`
  );
}

/** @throws Error with words for the user. */
function seedsOf({ node, config, dataDir, environment }: SeedOptions): readonly string[] {
  if (node !== '') return [addressOf(node)];
  if (config !== '') return seedsOfConfig(config, environment);
  const directory = resolve(dataDir);
  const file = readClusterFile(directory);
  if (file === undefined) return [defaultAddress];
  return file.nodes.map(({ id, httpPort }) => {
    if (Number.isInteger(httpPort)) return `127.0.0.1:${httpPort}`;
    throw new Error(`${join(directory, 'cluster.json')} tells no HTTP port of ${id}`);
  });
}

function seedsOfConfig(path: string, environment: NodeJS.ProcessEnv): readonly string[] {
  const { config, problems } = loadConfig({ file: path, flags: new Map(), environment });
  if (config === undefined || problems.length > 0) throw new Error(problemLines(problems));
  const members = config.members.filter(({ httpPort }) => httpPort > 0);
  const asked = [...members.map(({ host, httpPort }) => addressWords(host, httpPort)), ...config.join];
  if (asked.length === 0) throw new Error(`${path} names no member with an HTTP port`);
  return asked;
}

/** `host:port`, `[::1]:port`, `:port` or a URL of it. */
function addressOf(node: string): string {
  const bare = node.replace(/^http:\/\//, '').replace(/\/.*$/, '');
  const match = /^(|[^:[\]\s]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(bare);
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65_535) {
    throw new Error(`--node ${node}: expected host:port, such as ${defaultAddress} (the HTTP port)`);
  }
  return `${match[1] === '' ? '127.0.0.1' : match[1]}:${port}`;
}
