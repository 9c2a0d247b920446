/**
 * A command asks a node for something by the data API and reads what it answers, or why it does not, in words.
 *
 * Any node takes a change and brings it to the others, so a command asks one after another until one takes it, or says
 * that it may have: then nobody else is asked.
 */

import type { ProblemBody } from '../http/api/problem.ts';
import { findSeeds, nobodyWords, type Output, passwordOf, type SeedOptions } from './cluster-seeds.ts';
import { httpCall, problemWords, wholeText } from './http-call.ts';
import { lookAtCluster, type NodeLook } from './status-fetch.ts';

const lookTimeoutMs = 2000;
/** A node waits some seconds for the others. */
const changeTimeoutMs = 15_000;

export interface NodeCall {
  readonly path: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly body?: unknown;
  /** 2 s for GET and 15 s for the others if left out. */
  readonly timeoutMs?: number;
  /** The command of the Redis port that does the same, for the advice. */
  readonly byHand?: string;
}

/**
 * The nodes, and the password; undefined if none answers, and it was said why.
 * @param command as it is typed, for the advice
 */
export async function nodesOf(
  options: SeedOptions,
  command: string,
  complain: Output,
): Promise<{ nodes: readonly NodeLook[]; password: string | undefined } | undefined> {
  const seeds = findSeeds(options, complain);
  if (seeds === undefined) return undefined;
  const look = await lookAtCluster(seeds, lookTimeoutMs);
  if (look.nodes.some(({ answer }) => answer !== undefined)) {
    return { nodes: look.nodes, password: passwordOf(options) };
  }
  complain.write(nobodyWords(look, command));
  return undefined;
}

/** What a node answered: its words where it refused, and whether another one may be asked the same. */
export type Reply<T> = { readonly body: T } | { readonly problem: string; readonly mayAskAnother: boolean };

export async function askNode<T>(
  { id, address }: Pick<NodeLook, 'id' | 'address'>,
  call: NodeCall,
  password: string | undefined,
): Promise<Reply<T>> {
  const timeoutMs = call.timeoutMs ?? (call.method === 'GET' ? lookTimeoutMs : changeTimeoutMs);
  let text: string;
  let status: number;
  try {
    const headers = password === undefined ? {} : { authorization: `Bearer ${password}` };
    const answer = await httpCall(address, call.path, { ...call, headers, timeoutMs });
    status = answer.status;
    text = await wholeText(answer);
  } catch (error) {
    const isRefused = (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
    const perhaps = isRefused || call.method === 'GET' ? '' : '; it may have taken the change, or not';
    return {
      problem: `${id} (${address}): ${problemWords(error, timeoutMs)}${perhaps}`,
      mayAskAnother: isRefused,
    };
  }
  try {
    const body: unknown = JSON.parse(text);
    if (status === 200) return { body: body as T };
    return refusal(
      `${id} (${address})`,
      status,
      body as Partial<ProblemBody>,
      password !== undefined,
      call.byHand,
    );
  } catch {
    return { problem: `${id} (${address}) answered HTTP ${status}, and no JSON`, mayAskAnother: false };
  }
}

/** Whoever took it, and the answer; or why nobody did, a line each: none where nobody was asked. */
export type Taken<T> = { readonly id: string; readonly body: T } | { readonly problems: readonly string[] };

/** Asks one after the other until one takes it, or may have. */
export async function askInTurn<T>(
  nodes: Iterable<Pick<NodeLook, 'id' | 'address'>>,
  call: NodeCall,
  password: string | undefined,
): Promise<Taken<T>> {
  const problems: string[] = [];
  for (const { id, address } of nodes) {
    const reply = await askNode<T>({ id, address }, call, password);
    if ('body' in reply) return { id, body: reply.body };
    problems.push(reply.problem);
    if (!reply.mayAskAnother) break;
  }
  return { problems };
}

/** @param isShown a password was sent along */
function refusal(
  who: string,
  status: number,
  { code, detail, outcome, retryable }: Partial<ProblemBody>,
  isShown: boolean,
  byHand: string | undefined,
): Reply<never> {
  const mayAskAnother = outcome !== 'unknown' && retryable === true;
  if (code === 'unauthorized') {
    const problem = isShown
      ? 'the cluster does not take this password (DURE_PASSWORD, or that of the configuration)'
      : 'the cluster asks for its password: name its configuration with --config, or set DURE_PASSWORD';
    return { problem, mayAskAnother: false };
  }
  // Without the data API the page itself is missing, and says so in other words.
  if (status === 404 && (code === undefined || code === 'no-such-page')) {
    const words = 'does not serve the data API (http.api), or is of an older version';
    const advice = byHand === undefined ? '' : `; ${byHand} at its Redis port does the same`;
    return { problem: `${who} ${words}${advice}`, mayAskAnother: true };
  }
  // Why something cannot be is not the node's fault.
  if (code === 'invalid') return { problem: String(detail), mayAskAnother: false };
  return { problem: `${who}: ${detail ?? `HTTP ${status}`}`, mayAskAnother };
}
