/**
 * The policies of a cluster in one table, from what each node goes by.
 *
 * The picture: price lists from several shops laid side by side. A line that all have is written once; where a
 * shop has another price, both lines stand there with the names of the shops, and below it says why that may be.
 */

import { durationWords } from '../base/words.ts';
import type { PoliciesAnswer, PolicyJson, PrefixJson } from '../http/api/policies.ts';
import type { PoliciesStatus } from '../node/status.ts';

/** What a node told, or why it did not. */
export interface NodePolicies {
  readonly id: string;
  readonly address: string;
  readonly answer: PoliciesAnswer | undefined;
  readonly problem: string;
}

/** A policy, and the nodes that go by it. */
export interface SharedPolicy extends PolicyJson {
  readonly nodes: readonly string[];
}

/** What `dure policy list --json` shows. */
export interface PoliciesView {
  /** N; 0 if nobody told. */
  readonly replicas: number;
  /** All nodes that told go by the same. */
  readonly agreed: boolean;
  /** What is the matter where they do not; empty when they do. */
  readonly remarks: readonly string[];
  readonly policies: readonly SharedPolicy[];
  readonly nodes: readonly {
    readonly id: string;
    readonly address: string;
    readonly problem: string;
    readonly known: PoliciesAnswer['known'] | null;
  }[];
}

export function groupPolicies(told: readonly NodePolicies[]): PoliciesView {
  const shared = new Map<string, { policy: PolicyJson; nodes: string[] }>();
  const answers = told.flatMap(({ answer }) => (answer === undefined ? [] : [answer]));
  for (const { node, policies } of answers) {
    for (const policy of policies) {
      const key = JSON.stringify([
        policy.prefix,
        policy.prefixBase64,
        policy.policy,
        policy.origin,
        policy.setAt,
      ]);
      const known = shared.get(key);
      if (known === undefined) shared.set(key, { policy, nodes: [node] });
      else known.nodes.push(node);
    }
  }
  const policies = [...shared.values()].map(({ policy, nodes }): SharedPolicy => ({ ...policy, nodes }));
  // Those of one prefix together; else as the nodes order them, by bytes.
  const order = (policy: PrefixJson): string => bytesText(policy);
  policies.sort((a, b) => (order(a) < order(b) ? -1 : order(a) > order(b) ? 1 : 0));
  const remarks = remarksOf(answers);
  return {
    replicas: answers[0]?.replicas ?? 0,
    agreed: policies.every(({ nodes }) => nodes.length === answers.length),
    remarks,
    policies,
    nodes: told.map(({ id, address, answer, problem }) => ({
      id,
      address,
      problem,
      known: answer?.known ?? null,
    })),
  };
}

/** Why nodes do not go by the same policies. */
function remarksOf(answers: readonly PoliciesAnswer[]): readonly string[] {
  const told = answers.flatMap(({ node, known }) => (known === undefined ? [] : [{ node, known }]));
  return differencesOf(told).map(({ what, action }) => `${what}: ${action}`);
}

/** Something by which nodes differ, in words. */
export interface PolicyDifference {
  /** The node that is behind; empty where it is their configurations. */
  readonly node: string;
  readonly what: string;
  readonly action: string;
}

/** Compares what nodes say of the policies they know and go by. */
export function differencesOf(
  told: readonly { readonly node: string; readonly known: PoliciesStatus }[],
): readonly PolicyDifference[] {
  if (told.length === 0) return [];
  const newest = told.reduce((one, other) => (other.known.changedAt > one.known.changedAt ? other : one));
  const behind = told.filter(({ known }) => known.fingerprint !== newest.known.fingerprint);
  if (behind.length > 0) {
    return behind.map(({ node, known: { changedAt } }) => {
      const older = newest.known.changedAt - changedAt;
      const how =
        changedAt === 0
          ? 'it knows of none'
          : older > 0
            ? `the newest it knows is ${durationWords(older)} older than the newest of ${newest.node}`
            : `${newest.node} does not know all of its own either`;
      return {
        node,
        what: `${node} does not know all changes of policies (${how})`,
        action: 'it learns them within seconds of being reached',
      };
    });
  }
  if (told.every(({ known }) => known.inForce === newest.known.inForce)) return [];
  return [
    {
      node: '',
      what: 'the nodes go by different policies, for their configurations differ',
      action: 'write the same policies into all of them, or set those that are wanted by dure policy set',
    },
  ];
}

const printable = /^[\x21-\x7e]+$/;

function bytesText({ prefix, prefixBase64 }: PrefixJson): string {
  const bytes = prefixBase64 === undefined ? Buffer.from(prefix ?? '') : Buffer.from(prefixBase64, 'base64');
  return bytes.toString('latin1');
}

/** A prefix for people: bytes that cannot be seen as `\xff`. */
export function shownPrefix(policy: PrefixJson): string {
  const text = policy.prefix;
  if (text === '') return '(default)';
  if (text !== undefined && (printable.test(text) || /^[^\p{C}\s"\\]+$/u.test(text))) return text;
  const escaped = bytesText(policy).replace(/[^\x20-\x7e]|["\\]/g, (byte) => {
    return `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return `"${escaped}"`;
}

const namesMax = 8;

export function namesOf(ids: readonly string[]): string {
  if (ids.length <= namesMax) return ids.join(', ');
  return `${ids.slice(0, namesMax - 1).join(', ')} and ${ids.length - namesMax + 1} more`;
}

type Column = readonly [title: string, cell: (policy: SharedPolicy) => string];

/** The table, and what is the matter. Ends with a newline; empty without policies. @param now wall milliseconds */
export function renderPolicies(view: PoliciesView, now: number): string {
  if (view.policies.length === 0) return '';
  const setWords = ({ origin, setAt }: SharedPolicy): string =>
    setAt === undefined ? origin : `${origin}, ${durationWords(Math.max(0, now - Date.parse(setAt)))} ago`;
  const columns: Column[] = [
    ['PREFIX', shownPrefix],
    ['POLICY', ({ policy }) => policy],
    ['R', ({ r }) => `${r}`],
    ['W', ({ w }) => `${w}`],
    ['QUORUM', ({ quorum }) => quorum],
    ['CONFLICTS', ({ conflicts }) => conflicts],
    ['TTL', ({ ttl }) => (ttl === '0' ? '-' : ttl)],
    ['SET', setWords],
  ];
  if (!view.agreed) columns.push(['NODES', ({ nodes }) => namesOf(nodes)]);
  const lines = [
    columns.map(([title]) => title),
    ...view.policies.map((policy) => columns.map(([, cell]) => cell(policy))),
  ];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => line[at]!.length)));
  const table = lines.map((line) => {
    return line
      .map((cell, at) => cell.padEnd(widths[at]!))
      .join('  ')
      .trimEnd();
  });
  const remarks = view.remarks.map((remark) => `! ${remark}.`);
  return `${[...table, ...remarks].join('\n')}\n`;
}
