/**
 * `dure node drain`: stops the use of a node before its process is stopped.
 *
 * Only the node itself can do it, so it is found through any of the others and asked at its HTTP port.
 */

import { type DrainAnswer, GRACE_MS_MAX } from '../http/api/drain.ts';
import { askNode } from './cluster-call.ts';
import { findSeeds, nobodyWords, type Output, passwordOf, type SeedOptions } from './cluster-seeds.ts';
import { duration } from './config-values.ts';
import { EXIT } from './exit-codes.ts';
import { addressWords } from './http-call.ts';
import type { Streams } from './node-command.ts';
import { lookAtTopology } from './topology-fetch.ts';

export interface DrainOptions extends SeedOptions {
  readonly id: string;
  /** A duration, as it was typed. */
  readonly grace: string;
  readonly json: boolean;
}

const lookTimeoutMs = 2000;
/** Beyond its grace a node drains within some seconds. */
const drainTimeoutMs = 10_000;

/** @returns the exit code: 0 when the node is drained. */
export async function runNodeDrain(
  options: DrainOptions,
  { out, complain }: Streams = { out: process.stdout, complain: process.stderr },
): Promise<number> {
  const { id, grace, json } = options;
  const { read, expected } = duration(0, GRACE_MS_MAX);
  const graceMs = read(grace);
  if (graceMs === undefined) {
    complain.write(`dure: --grace ${grace}: expected ${expected}\n`);
    return EXIT.config;
  }
  const seeds = findSeeds(options, complain);
  if (seeds === undefined) return EXIT.failed;
  const password = passwordOf(options);
  const address = await addressOf(id, seeds, password, complain);
  if (address === undefined) return EXIT.failed;
  if (!json && graceMs > 0) {
    out.write(`${id} says that it is not ready, and serves on for ${graceMs / 1000} s …\n`);
  }
  const reply = await askNode<DrainAnswer>(
    { id, address },
    {
      path: `/v1/nodes/${encodeURIComponent(id)}/drain`,
      method: 'POST',
      body: { graceMs },
      timeoutMs: graceMs + drainTimeoutMs,
    },
    password,
  );
  if (!('body' in reply)) {
    complain.write(`dure: ${reply.problem}\n`);
    return EXIT.failed;
  }
  out.write(json ? `${JSON.stringify(reply.body)}\n` : drainedWords(reply.body));
  return 0;
}

/** Where the node is asked; undefined if nobody can say, and it was said why. */
async function addressOf(
  id: string,
  seeds: readonly string[],
  password: string | undefined,
  complain: Output,
): Promise<string | undefined> {
  const { answers, problems } = await lookAtTopology(seeds, password, lookTimeoutMs);
  const [latest] = answers;
  if (latest === undefined) {
    complain.write(nobodyWords({ problems }, `node drain ${id}`));
    return undefined;
  }
  const member = latest.members.find((each) => each.id === id);
  if (member?.host === undefined || member.httpPort === undefined) {
    const names = latest.members.map((each) => each.id).join(', ');
    complain.write(`dure: ${id} is no member of ${latest.cluster} (${names})\n`);
    return undefined;
  }
  if (member.httpPort === 0) {
    complain.write(
      `dure: ${id} has no HTTP port: send SIGTERM to its process, which drains before it ends\n`,
    );
    return undefined;
  }
  return addressWords(member.host, member.httpPort);
}

function drainedWords({ node, unfinished }: DrainAnswer): string {
  const lines = [
    `${node} is drained: it takes no requests. Stop its process now (SIGTERM), and start it again.`,
  ];
  if (unfinished > 0) lines.push(`${unfinished} requests were not answered within two seconds.`);
  lines.push('It is a member still, and holds its data. To take it out for good: dure node leave.');
  return lines.map((line) => `${line}\n`).join('');
}
