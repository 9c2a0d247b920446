/**
 * `dure status`: how the cluster is, in one table, and in words what is wrong and what to do.
 *
 * Who is asked first: `cluster-seeds.ts`; what is made of the answers: `status-view.ts`, `status-render.ts`.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { findSeeds, nobodyWords, type Output, type SeedOptions } from './cluster-seeds.ts';
import { EXIT } from './exit-codes.ts';
import { lookAtCluster } from './status-fetch.ts';
import { renderCluster } from './status-render.ts';
import { type ClusterView, clusterView } from './status-view.ts';

export interface StatusOptions extends SeedOptions {
  readonly json: boolean;
  /** Exit code 2 unless all is well. */
  readonly check: boolean;
  /** Look again every so many seconds; undefined: once. */
  readonly watchSeconds: number | undefined;
}

const timeoutMs = 1000;
const clearScreen = '\x1b[H\x1b[2J\x1b[3J';

/** @returns the exit code. */
export async function runStatus(
  options: StatusOptions,
  out: Output = process.stdout,
  complain: Output = process.stderr,
): Promise<number> {
  const seeds = findSeeds(options, complain);
  if (seeds === undefined) return EXIT.failed;
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
    complain.write(nobodyWords(look, 'status'));
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
