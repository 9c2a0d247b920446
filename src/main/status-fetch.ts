/**
 * Asks the nodes of a cluster how they are: one or some of them for the members, then every member, all at
 * once and with little patience. A node that does not answer is a finding like any other.
 */

import type { StatusAnswer } from '../http/status.ts';
import { addressWords, httpCall, problemWords, wholeText } from './http-call.ts';

/** A node as it was asked. */
export interface NodeLook {
  readonly id: string;
  /** Host and HTTP port. */
  readonly address: string;
  /** What it answered, or undefined. */
  readonly answer: StatusAnswer | undefined;
  /** Why there is no answer, in words; empty when there is one. */
  readonly problem: string;
}

/** Whom to ask first: `host:port`. The id is that of its answer. */
export type Seed = string;

export interface ClusterLook {
  /** In the order of the members. Empty when no seed answered. */
  readonly nodes: readonly NodeLook[];
  /** Why each seed did not answer, where none did. */
  readonly problems: readonly string[];
}

/** Asks the seeds, and through them all members. @param timeoutMs for each node. */
export async function lookAtCluster(seeds: readonly Seed[], timeoutMs: number): Promise<ClusterLook> {
  const first = await Promise.all(seeds.map((seed) => ask(seed, timeoutMs)));
  const known = new Map<string, NodeLook>();
  for (const look of first) if (look.answer !== undefined) known.set(look.answer.node, look);
  if (known.size === 0) return { nodes: [], problems: first.map(problemOf) };
  const addresses = addressesOf([...known.values()]);
  const nodes = await Promise.all(
    [...addresses].map(async ([id, address]): Promise<NodeLook> => {
      const look = known.get(id) ?? first.find((each) => each.address === address);
      const { answer, problem } = look ?? (await ask(address, timeoutMs));
      if (answer === undefined || answer.node === id) {
        return { id, address: look?.address ?? address, answer, problem };
      }
      return { id, address, answer: undefined, problem: `another node answers there: ${answer.node}` };
    }),
  );
  return { nodes, problems: [] };
}

function problemOf({ address, problem }: NodeLook): string {
  return `${address}: ${problem}`;
}

/** Every member any of them names, and where it is asked. */
function addressesOf(looks: readonly NodeLook[]): Map<string, string> {
  const addresses = new Map<string, string>();
  for (const { answer } of looks) {
    for (const { id, host, httpPort } of answer!.members) {
      // A member without an HTTP port is seen through the others only.
      if (httpPort > 0 && !addresses.has(id)) addresses.set(id, addressWords(host, httpPort));
    }
  }
  return addresses;
}

async function ask(address: string, timeoutMs: number): Promise<NodeLook> {
  try {
    const response = await httpCall(address, '/status', { timeoutMs });
    const body = await wholeText(response);
    if (response.status !== 200) return failed(address, `answered HTTP ${response.status}`);
    const answer = JSON.parse(body) as Partial<StatusAnswer>;
    if (typeof answer.node !== 'string' || !Array.isArray(answer.members)) {
      return failed(address, 'it is not a node of Dure, or one of another version');
    }
    return { id: answer.node, address, answer: answer as StatusAnswer, problem: '' };
  } catch (error) {
    const isNonsense = error instanceof SyntaxError;
    const problem = isNonsense
      ? 'it is not a node of Dure: its answer is not JSON'
      : problemWords(error, timeoutMs);
    return failed(address, problem);
  }
}

function failed(address: string, problem: string): NodeLook {
  return { id: '', address, answer: undefined, problem };
}
