/**
 * The cluster in one picture, from what each node says of itself and of the others.
 *
 * The picture: the minutes of a meeting. Each node speaks for itself; those who did not come are spoken for
 * by the others; what several said is written down once, with their names; and the worst that was said is
 * the verdict of the meeting.
 */

import { plural } from '../base/words.ts';
import type { StatusAnswer } from '../http/status.ts';
import type { MemberStatus, ReasonCode, StatusReason, Verdict } from '../node/status.ts';
import { differencesOf } from './policy-view.ts';
import type { ClusterLook, NodeLook } from './status-fetch.ts';

/** What the others say of a node. */
export interface Opinion {
  /** Nodes that answered and know it, itself not counted. */
  readonly voices: number;
  /** Of these, how many call it suspect, down, or stopped, and how many do not reach it though it is alive. */
  readonly suspect: number;
  readonly down: number;
  readonly left: number;
  readonly unreached: number;
  /** Greatest phi, lag, reply time and silence that any of them tells; 0 without voices. */
  readonly phiMax: number;
  readonly lagMs: number;
  /** For how long it has been rebuilt, as they heard from it; then its lag is at least that. */
  readonly rebuildingMs: number;
  readonly replyP95Ms: number;
  readonly silenceMs: number;
  /** Hints the others keep for it, rows. */
  readonly hints: number;
}

/** A node: its own words, and the others'. */
export interface NodeView {
  readonly id: string;
  readonly address: string;
  readonly zone: string;
  readonly answer: StatusAnswer | undefined;
  readonly problem: string;
  readonly others: Opinion;
}

/** A reason, and who gives it. */
export interface SharedReason {
  readonly code: ReasonCode | 'no-answer' | 'not-serving' | 'policies-differ';
  readonly severity: 'degraded' | 'critical';
  readonly subject: string;
  readonly what: string;
  readonly meaning: string;
  readonly action: string;
  /** Ids of the nodes that say so; empty when it is our own finding. */
  readonly saidBy: readonly string[];
}

export interface ClusterView {
  readonly cluster: string;
  readonly epoch: number;
  readonly replicas: number;
  /** The versions of Dure that answered. */
  readonly versions: readonly string[];
  readonly verdict: Verdict;
  /** Every node answered, and says that nothing is outstanding. */
  readonly settled: boolean;
  /** Worst first. */
  readonly reasons: readonly SharedReason[];
  readonly nodes: readonly NodeView[];
}

/** Reasons that are about the one who says them too: two nodes that say so are two findings. */
const sayersOwn: ReadonlySet<string> = new Set<ReasonCode>([
  'member-unreachable',
  'hints-full',
  'hints-filling',
  'hints-unreadable',
]);

/** @param look at least one node answered. */
export function clusterView({ nodes }: ClusterLook): ClusterView {
  const answers = nodes.flatMap(({ answer }) => (answer === undefined ? [] : [answer]));
  const first = answers[0];
  const views = nodes.map((look) => nodeView(look, answers));
  const reasons = mutual([
    ...sharedReasons(answers),
    ...views.flatMap(ownFinding),
    ...policyFindings(answers),
  ]);
  const sorted = [
    ...reasons.filter(({ severity }) => severity === 'critical'),
    ...reasons.filter(({ severity }) => severity !== 'critical'),
  ];
  return {
    cluster: first?.cluster ?? '',
    epoch: Math.max(0, ...answers.map(({ epoch }) => epoch)),
    replicas: first?.replicas ?? 0,
    versions: [...new Set(answers.map(({ version }) => version))].sort(),
    verdict: sorted[0]?.severity ?? 'well',
    settled: answers.length === nodes.length && answers.every(({ settled }) => settled),
    reasons: sorted.map((reason) => withHints(reason, views)),
    nodes: views,
  };
}

function nodeView(look: NodeLook, answers: readonly StatusAnswer[]): NodeView {
  const { id, address, answer, problem } = look;
  const zone = answers[0]?.members.find((member) => member.id === id)?.zone ?? '';
  return { id, address, zone, answer, problem, others: opinionOf(id, answers) };
}

function opinionOf(id: string, answers: readonly StatusAnswer[]): Opinion {
  const voices: MemberStatus[] = [];
  let hints = 0;
  for (const answer of answers) {
    if (answer.node === id) continue;
    const member = answer.members.find((each) => each.id === id);
    if (member !== undefined) voices.push(member);
    hints += answer.hints?.targets.find(({ target }) => target === id)?.count ?? 0;
  }
  const most = (of: (member: MemberStatus) => number): number => Math.max(0, ...voices.map(of));
  return {
    voices: voices.length,
    suspect: voices.filter(({ status }) => status === 'suspect').length,
    down: voices.filter(({ status }) => status === 'down').length,
    left: voices.filter(({ status }) => status === 'left').length,
    unreached: voices.filter(({ status, reachable }) => status === 'alive' && !reachable).length,
    phiMax: most(({ phi }) => phi),
    lagMs: most(({ lagMs }) => lagMs),
    rebuildingMs: most(({ rebuildingMs }) => rebuildingMs),
    replyP95Ms: most(({ replyP95Ms }) => replyP95Ms),
    silenceMs: most(({ silenceMs }) => silenceMs),
    hints,
  };
}

/** What several nodes say is said once: the worst severity counts, and of equal ones the word of who it is about. */
function sharedReasons(answers: readonly StatusAnswer[]): readonly SharedReason[] {
  const shared = new Map<string, StatusReason & { saidBy: string[] }>();
  for (const { node, reasons } of answers) {
    for (const reason of reasons) {
      const key = `${reason.code} ${reason.subject} ${sayersOwn.has(reason.code) ? node : ''}`;
      const known = shared.get(key);
      if (known === undefined) shared.set(key, { ...reason, saidBy: [node] });
      else {
        known.saidBy.push(node);
        const isWorse = reason.severity === 'critical' && known.severity !== 'critical';
        const isOwn = node === reason.subject && reason.severity === known.severity;
        if (isWorse || isOwn) {
          shared.set(key, { ...reason, saidBy: known.saidBy });
        }
      }
    }
  }
  return [...shared.values()];
}

/** Two that do not reach each other are one finding: a link is cut. */
function mutual(reasons: readonly SharedReason[]): readonly SharedReason[] {
  const isMutual = (one: SharedReason, other: SharedReason): boolean =>
    one.code === 'member-unreachable' &&
    other.code === 'member-unreachable' &&
    one.saidBy[0] === other.subject &&
    other.saidBy[0] === one.subject;
  const result: SharedReason[] = [];
  for (const reason of reasons) {
    const at = result.findIndex((earlier) => isMutual(earlier, reason));
    if (at < 0) {
      result.push(reason);
      continue;
    }
    const one = result[at]!;
    result[at] = {
      ...one,
      what: `${one.saidBy[0]} and ${one.subject} do not reach each other; others hear both`,
      saidBy: [...one.saidBy, ...reason.saidBy],
    };
  }
  return result;
}

/** Nodes that go by other policies than the rest. */
function policyFindings(answers: readonly StatusAnswer[]): readonly SharedReason[] {
  const told = answers.flatMap(({ node, policies }) =>
    policies === undefined ? [] : [{ node, known: policies }],
  );
  return differencesOf(told).map(({ node, what, action }) => ({
    code: 'policies-differ',
    severity: 'degraded',
    subject: node,
    what,
    meaning:
      node === ''
        ? 'a request may be served by another consistency at another node; dure policy list shows both'
        : 'requests that it takes go by the former policies; dure policy list shows which',
    action: node === '' ? action : `nothing yet: ${action}; if not, look at the network between the nodes`,
    saidBy: [],
  }));
}

/** What only we can tell, from outside. */
function ownFinding({ id, address, answer, problem, others }: NodeView): readonly SharedReason[] {
  if (answer !== undefined) {
    if (answer.fault === '') return [];
    return [
      {
        code: 'not-serving',
        severity: 'degraded',
        subject: id,
        what: `${id} takes no requests: ${answer.fault}`,
        meaning: 'its keys are served by their other replicas meanwhile',
        action: 'if it was drained, stop it and start it again; else wait a moment, and look at its log',
        saidBy: [],
      },
    ];
  }
  // Those who say that it is down have said what there is to say.
  if (others.down + others.left + others.suspect > 0) return [];
  return [
    {
      code: 'no-answer',
      severity: 'degraded',
      subject: id,
      what: `${id} does not answer at ${address}: ${problem}`,
      meaning:
        others.voices === 0
          ? 'nothing is known of it'
          : others.unreached < others.voices
            ? 'the other nodes hear it, so its data is served; it cannot be looked at from here'
            : 'the other nodes do not reach it either',
      action: 'if this goes on, look at its process and log, and at the network from here to its HTTP port',
      saidBy: [],
    },
  ];
}

/** Says of a member that is away how much waits for it, over all nodes. */
function withHints(reason: SharedReason, views: readonly NodeView[]): SharedReason {
  if (reason.code !== 'member-down') return reason;
  const rows = views.find(({ id }) => id === reason.subject)?.others.hints ?? 0;
  if (rows === 0) return reason;
  const waiting = `${plural(rows, 'row waits', 'rows wait')} for it on other nodes`;
  return { ...reason, meaning: `${reason.meaning}; ${waiting}` };
}
