/**
 * `dure policy list | set | unset`: the policies of key prefixes, seen and changed at the nodes themselves.
 *
 * Any node takes a change and brings it to the others, so one that takes it is enough; to see the policies every
 * node is asked, for what they go by may differ: one was away, or their configurations are not the same.
 */

import type { PoliciesAnswer, PolicyChangeAnswer } from '../http/api/policies.ts';
import type { ProblemBody } from '../http/api/problem.ts';
import { findSeeds, nobodyWords, type Output, passwordOf, type SeedOptions } from './cluster-seeds.ts';
import { EXIT } from './exit-codes.ts';
import { httpCall, problemWords, wholeText } from './http-call.ts';
import { groupPolicies, type NodePolicies, namesOf, renderPolicies, shownPrefix } from './policy-view.ts';
import { lookAtCluster, type NodeLook } from './status-fetch.ts';

export interface PolicyOptions extends SeedOptions {
  readonly json: boolean;
}

export interface PolicyChangeOptions extends PolicyOptions {
  /** Of keys, as typed; empty for the default. */
  readonly prefix: string;
  /** Words of the policy to set; undefined unsets. */
  readonly words: string | undefined;
}

const lookTimeoutMs = 2000;
/** A node waits 2 s for the others. */
const changeTimeoutMs = 10_000;

/** The nodes that answer, and the password; undefined if there are none, and it was said why. */
async function nodesOf(
  options: SeedOptions,
  complain: Output,
): Promise<{ nodes: readonly NodeLook[]; password: string | undefined } | undefined> {
  const seeds = findSeeds(options, complain);
  if (seeds === undefined) return undefined;
  const look = await lookAtCluster(seeds, lookTimeoutMs);
  if (look.nodes.some(({ answer }) => answer !== undefined)) {
    return { nodes: look.nodes, password: passwordOf(options) };
  }
  complain.write(nobodyWords(look, 'policy list'));
  return undefined;
}

/** What a node answered: its words where it refused, and whether another one may be asked the same. */
type Reply<T> = { readonly body: T } | { readonly problem: string; readonly mayAskAnother: boolean };

async function ask<T>(
  { id, address }: NodeLook,
  call: { readonly path: string; readonly method: 'GET' | 'PUT' | 'DELETE'; readonly body?: unknown },
  password: string | undefined,
): Promise<Reply<T>> {
  const timeoutMs = call.method === 'GET' ? lookTimeoutMs : changeTimeoutMs;
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
    return refusal(id, address, status, body as Partial<ProblemBody>, password !== undefined);
  } catch {
    return { problem: `${id} (${address}) answered HTTP ${status}, and no JSON`, mayAskAnother: false };
  }
}

/** @param isShown a password was sent along */
function refusal(
  id: string,
  address: string,
  status: number,
  { code, detail, outcome, retryable }: Partial<ProblemBody>,
  isShown: boolean,
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
    return {
      problem: `${id} (${address}) ${words}; DURE.POLICY at its Redis port does the same`,
      mayAskAnother: true,
    };
  }
  // Why a policy cannot be is not the node's fault.
  if (code === 'invalid') return { problem: String(detail), mayAskAnother: false };
  return { problem: `${id} (${address}): ${detail ?? `HTTP ${status}`}`, mayAskAnother };
}

/** @returns the exit code: 0 if a node told its policies. */
export async function runPolicyList(
  options: PolicyOptions,
  out: Output = process.stdout,
  complain: Output = process.stderr,
): Promise<number> {
  const found = await nodesOf(options, complain);
  if (found === undefined) return EXIT.failed;
  const told = await Promise.all(
    found.nodes.map(async (node): Promise<NodePolicies> => {
      const { id, address } = node;
      if (node.answer === undefined) return { id, address, answer: undefined, problem: node.problem };
      const reply = await ask<PoliciesAnswer>(node, { path: '/v1/policies', method: 'GET' }, found.password);
      return 'body' in reply
        ? { id, address, answer: reply.body, problem: '' }
        : { id, address, answer: undefined, problem: reply.problem };
    }),
  );
  const view = groupPolicies(told);
  if (options.json) {
    out.write(`${JSON.stringify(view, undefined, 2)}\n`);
  } else {
    const text = renderPolicies(view, Date.now());
    if (text !== '') out.write(text);
  }
  for (const { id, answer, problem } of told) {
    if (answer === undefined) complain.write(`dure: ${problem.startsWith(id) ? '' : `${id}: `}${problem}\n`);
  }
  return view.policies.length === 0 ? EXIT.failed : 0;
}

/** Sets or unsets. @returns the exit code: 0 if the change is durable at a node at least. */
export async function runPolicyChange(
  options: PolicyChangeOptions,
  out: Output = process.stdout,
  complain: Output = process.stderr,
): Promise<number> {
  const found = await nodesOf(options, complain);
  if (found === undefined) return EXIT.failed;
  const { prefix, words } = options;
  const path = `/v1/policies/${encodeURIComponent(prefix)}`;
  const call =
    words === undefined ? { path, method: 'DELETE' as const } : { path, method: 'PUT' as const, body: words };
  const problems: string[] = [];
  for (const node of found.nodes) {
    if (node.answer === undefined || node.answer.fault !== '') continue;
    const reply = await ask<PolicyChangeAnswer>(node, call, found.password);
    if ('body' in reply) {
      out.write(
        options.json ? `${JSON.stringify({ node: node.id, ...reply.body })}\n` : changeWords(reply.body),
      );
      return 0;
    }
    problems.push(reply.problem);
    if (!reply.mayAskAnother) break;
  }
  if (problems.length === 0) problems.push('no node takes requests now: dure status tells why');
  for (const problem of problems) complain.write(`dure: ${problem}\n`);
  return EXIT.failed;
}

function changeWords({ policy, acknowledged, missed, prefix, prefixBase64 }: PolicyChangeAnswer): string {
  const isDefault = prefix === '';
  const shown = shownPrefix(prefixBase64 === undefined ? { prefix: prefix ?? '' } : { prefixBase64 });
  const keys = isDefault ? 'keys without a rule of their own' : `keys that begin with ${shown}`;
  const what = policy ?? 'As configured again';
  const lines = [`${what} for ${keys}, on ${namesOf(acknowledged)}.`];
  if (missed.length > 0) {
    const later =
      missed.length === 1
        ? 'It goes by what held before until it is reached again, and then learns this by itself'
        : 'They go by what held before until they are reached again, and then learn this by themselves';
    lines.push(`Missed: ${namesOf(missed)}. ${later}.`);
  }
  return `${lines.join('\n')}\n`;
}
