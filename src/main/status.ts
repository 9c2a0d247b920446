/**
 * `dure status`: how the cluster is, in one table, and in words what is wrong and what to do.
 *
 * Whom to ask first is found where the other commands find it: `--node`, a configuration, or the
 * `cluster.json` of `dure dev`. From there on the nodes name each other.
 */

import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig, problemLines } from './config.ts';
import { readClusterFile } from './dev-files.ts';
import { EXIT } from './exit-codes.ts';
import { type ClusterLook, lookAtCluster } from './status-fetch.ts';
import { renderCluster } from './status-render.ts';
import { type ClusterView, clusterView } from './status-view.ts';

export interface StatusOptions {
  /** `host:httpPort`, or empty: look for it. */
  readonly node: string;
  /** A configuration file that names the members, or empty. */
  readonly config: string;
  /** The directory of `dure dev`. */
  readonly dataDir: string;
  readonly json: boolean;
  /** Exit code 2 unless all is well. */
  readonly check: boolean;
  /** Look again every so many seconds; undefined: once. */
  readonly watchSeconds: number | undefined;
  readonly environment: NodeJS.ProcessEnv;
}

/** Where it is written to: a terminal or not. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const timeoutMs = 1000;
const defaultAddress = '127.0.0.1:8371';
const clearScreen = '\x1b[H\x1b[2J\x1b[3J';

/** @returns the exit code. */
export async function runStatus(
  options: StatusOptions,
  out: Output = process.stdout,
  complain: Output = process.stderr,
): Promise<number> {
  let seeds: readonly string[];
  try {
    seeds = seedsOf(options);
  } catch (error) {
    complain.write(`dure: ${(error as Error).message}\n`);
    return EXIT.failed;
  }
  const { watchSeconds } = options;
  for (;;) {
    const code = await lookOnce(options, seeds, out, complain);
    if (watchSeconds === undefined) return code;
    await delay(watchSeconds * 1000);
  }
}

async function lookOnce(
  options: StatusOptions,
  seeds: readonly string[],
  out: Output,
  complain: Output,
): Promise<number> {
  const look = await lookAtCluster(seeds, timeoutMs);
  const watched = options.watchSeconds !== undefined;
  const clears = watched && out.isTTY === true && !options.json;
  if (look.nodes.length === 0) {
    if (clears) out.write(clearScreen);
    complain.write(nobody(look));
    return EXIT.failed;
  }
  const view = clusterView(look);
  if (options.json) {
    out.write(`${JSON.stringify(jsonOf(view), undefined, watched ? 0 : 2)}\n`);
  } else {
    const text = renderCluster(view, { width: widthOf(out), color: isColored(out, options.environment) });
    const time = watched ? `${new Date().toISOString()}\n` : '';
    out.write(`${clears ? clearScreen : ''}${time}${text}${watched && !clears ? '\n' : ''}`);
  }
  return options.check && view.verdict !== 'well' ? EXIT.notWell : 0;
}

function nobody({ problems }: ClusterLook): string {
  const lines = problems.map((problem) => `  ${problem}`).join('\n');
  return (
    `dure: no node answers:\n${lines}\n` +
    'Is the cluster running? "dure status --node HOST:PORT" asks a node at its HTTP port.\n'
  );
}

/** The view with each node's whole answer, for programs. */
function jsonOf(view: ClusterView): object {
  const { nodes, ...rest } = view;
  return {
    ...rest,
    nodes: nodes.map(({ id, address, problem, others, answer }) => ({
      id,
      address,
      answers: answer !== undefined,
      problem,
      others,
      status: answer ?? null,
    })),
  };
}

// Whom to ask.

/** What says whom to ask first. */
export type SeedOptions = Pick<StatusOptions, 'node' | 'config' | 'dataDir' | 'environment'>;

/** The addresses to ask first. @throws Error with words for the user. */
export function seedsOf({ node, config, dataDir, environment }: SeedOptions): readonly string[] {
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
  return config.members.map(({ host, httpPort }) => `${host.includes(':') ? `[${host}]` : host}:${httpPort}`);
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

// Where it goes.

function widthOf(out: Output): number {
  return out.isTTY === true && out.columns !== undefined && out.columns > 0
    ? out.columns
    : Number.POSITIVE_INFINITY;
}

/** https://no-color.org: any value that is not empty. */
function isColored(out: Output, environment: NodeJS.ProcessEnv): boolean {
  if ((environment.NO_COLOR ?? '') !== '' || environment.TERM === 'dumb') return false;
  return out.isTTY === true || !['', '0', undefined].includes(environment.FORCE_COLOR);
}
