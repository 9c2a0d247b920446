/**
 * `dure policy list | set | unset`: the policies of key prefixes, seen and changed at the nodes themselves.
 *
 * Any node takes a change and brings it to the others, so one that takes it is enough; to see the policies every
 * node is asked, for what they go by may differ: one was away, or their configurations are not the same.
 */

import type { PoliciesAnswer, PolicyChangeAnswer } from '../http/api/policies.ts';
import { askInTurn, askNode, nodesOf } from './cluster-call.ts';
import type { Output, SeedOptions } from './cluster-seeds.ts';
import { EXIT } from './exit-codes.ts';
import { groupPolicies, type NodePolicies, namesOf, renderPolicies, shownPrefix } from './policy-view.ts';

export interface PolicyOptions extends SeedOptions {
  readonly json: boolean;
}

export interface PolicyChangeOptions extends PolicyOptions {
  /** Of keys, as typed; empty for the default. */
  readonly prefix: string;
  /** Words of the policy to set; undefined unsets. */
  readonly words: string | undefined;
}

/** @returns the exit code: 0 if a node told its policies. */
export async function runPolicyList(
  options: PolicyOptions,
  out: Output = process.stdout,
  complain: Output = process.stderr,
): Promise<number> {
  const found = await nodesOf(options, 'policy list', complain);
  if (found === undefined) return EXIT.failed;
  const told = await Promise.all(
    found.nodes.map(async (node): Promise<NodePolicies> => {
      const { id, address } = node;
      if (node.answer === undefined) return { id, address, answer: undefined, problem: node.problem };
      const reply = await askNode<PoliciesAnswer>(
        node,
        { path: '/v1/policies', method: 'GET', byHand: 'DURE.POLICY' },
        found.password,
      );
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
  const found = await nodesOf(options, 'policy list', complain);
  if (found === undefined) return EXIT.failed;
  const { prefix, words } = options;
  const path = `/v1/policies/${encodeURIComponent(prefix)}`;
  const call =
    words === undefined
      ? { path, method: 'DELETE' as const, byHand: 'DURE.POLICY' }
      : { path, method: 'PUT' as const, body: words, byHand: 'DURE.POLICY' };
  const able = found.nodes.filter(({ answer }) => answer?.fault === '');
  const taken = await askInTurn<PolicyChangeAnswer>(able, call, found.password);
  if ('body' in taken) {
    const { id, body } = taken;
    out.write(options.json ? `${JSON.stringify({ node: id, ...body })}\n` : changeWords(body));
    return 0;
  }
  const nobody = ['no node takes requests now: dure status tells why'];
  for (const problem of able.length === 0 ? nobody : taken.problems) complain.write(`dure: ${problem}\n`);
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
