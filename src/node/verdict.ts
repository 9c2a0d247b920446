/**
 * The verdict: what the figures of a status mean, in words that need no knowledge of the machinery.
 *
 * The picture: a doctor who reads the laboratory's sheet to the patient. Each finding is said once, with
 * what it means and what to do; the worst comes first; what will pass by itself in a moment is no finding.
 *
 * Texts speak of the data, not of the parts: "412 writes wait for it", not "hint desk backlog".
 */

import { bytesWords, durationWords, plural } from '../base/words.ts';
import type { NodeId } from '../ports/transport.ts';
import { VECTOR_ENTRIES_MAX } from '../rows/context.ts';
import type { ChangeStatus, MemberStatus, NodeStatus, ReasonCode, StatusReason, Verdict } from './status.ts';

/** A member that is reached and lacks writes older than this does not just wait its turn, milliseconds. */
export const LAG_LIMIT_MS = 60_000;
/** Hints for one member above this share of their bound: writes will fail before long. */
const hintsFillingShare = 0.8;
/** And above this one they fail now: a stand-in refuses what does not fit. */
const hintsFullShare = 0.99;
/** A refused write of a key with too many siblings is a matter of now for so long, milliseconds. */
export const SIBLINGS_REFUSED_MS = 60_000;
/** A change of the members that is over within this time is not spoken of, milliseconds. */
export const CHANGE_QUIET_MS = 3000;
/** A key with this share of the values allowed will be refused before long. */
const siblingsManyShare = 0.75;

/** A status without its judgement. */
export type Findings = Omit<NodeStatus, 'verdict' | 'reasons' | 'settled'>;

export interface VerdictContext {
  /** Most peers' clocks disagree with this node's. */
  readonly clockDoubted: boolean;
}

/** Everything amiss, worst first; within one severity in the order of the checks. */
export function reasonsOf(findings: Findings, context: VerdictContext): readonly StatusReason[] {
  const reasons: StatusReason[] = [];
  storageReasons(findings, reasons);
  if (context.clockDoubted) reasons.push(clockReason(findings.node));
  quorumReason(findings, reasons);
  for (const member of findings.members) memberReason(findings, member, reasons);
  changeReasons(findings, reasons);
  copiesReason(findings, reasons);
  hintReasons(findings, reasons);
  unreadableReason(findings, reasons);
  lagReasons(findings, reasons);
  pastReason(findings, reasons);
  horizonReason(findings, reasons);
  siblingsReason(findings, reasons);
  return reasons
    .filter(({ severity }) => severity === 'critical')
    .concat(reasons.filter(({ severity }) => severity !== 'critical'));
}

export function verdictOf(reasons: readonly StatusReason[]): Verdict {
  return reasons[0]?.severity ?? 'well';
}

/** See `NodeStatus.settled`. What is not known is not settled. */
export function isSettled({ members, hints, repair, past, change, partitions }: Findings): boolean {
  if (hints === undefined || repair === undefined || past === undefined) return false;
  return (
    change === undefined &&
    partitions.strays === 0 &&
    hints.count === 0 &&
    !hints.loading &&
    repair.differing === 0 &&
    repair.unknown === 0 &&
    past.whole &&
    past.unheard === 0 &&
    members.every(({ reachable }) => reachable)
  );
}

function reason(
  severity: 'degraded' | 'critical',
  code: ReasonCode,
  subject: NodeId,
  words: readonly [what: string, meaning: string, action: string],
): StatusReason {
  const [what, meaning, action] = words;
  return { code, severity, subject, what, meaning, action };
}

function storageReasons({ node, storage }: Findings, reasons: StatusReason[]): void {
  if (storage.state === 'failed') {
    reasons.push(
      reason('critical', 'storage-failed', node, [
        `the storage of ${node} failed: ${storage.failure}`,
        'it serves nothing any more; the other replicas have its data and go on without it',
        'look at the disk and the log of this node, replace the disk if need be, and start the node again',
      ]),
    );
  } else if (storage.state === 'full') {
    reasons.push(
      reason('critical', 'storage-full', node, [
        `the storage of ${node} is full`,
        'it takes no writes, reads go on; writes that need this replica fail',
        'make room: writes resume by themselves',
      ]),
    );
  }
}

function clockReason(node: NodeId): StatusReason {
  return reason('critical', 'clock-doubted', node, [
    `the clock of ${node} differs from those of most other nodes`,
    'it takes no writes until they agree, so that none is ordered wrongly',
    'mend the time synchronization (NTP) of this machine',
  ]);
}

function quorumReason({ partitions, past }: Findings, reasons: StatusReason[]): void {
  const { count, withoutQuorum, onStandIns } = partitions;
  const unvouched = past !== undefined && !past.whole ? ', or vouch for what they hold,' : '';
  const short = withoutQuorum > 0 ? withoutQuorum : onStandIns;
  if (short === 0) return;
  const share = Math.max(1, Math.round((short / count) * 100));
  const what = `${short} of ${count} partitions (${share} % of the keys)`;
  const action = 'start the nodes that are down, or mend the network between the nodes';
  reasons.push(
    withoutQuorum > 0
      ? reason('critical', 'quorum-lost', '', [
          `too few nodes are reached${unvouched} for ${what}`,
          'requests on those keys that need a quorum fail; no data is lost',
          action,
        ])
      : reason('degraded', 'quorum-on-stand-ins', '', [
          `too few replicas are reached${unvouched} for ${what}, and other nodes stand in for them`,
          'those keys are served, and reads may miss what only the absent replicas have; with a strict policy requests on them fail',
          action,
        ]),
  );
}

/** Fewer nodes than N: nothing is amiss with any of them, and still less is to spare than was asked for. */
function copiesReason({ members, replicas }: Findings, reasons: StatusReason[]): void {
  const owners = members.filter(({ state }) => state === 'owning' || state === 'leaving').length;
  // Of those who are on their way the change under way tells.
  const missing = replicas - members.length;
  if (owners === 0 || missing <= 0) return;
  reasons.push(
    reason('degraded', 'copies-few', '', [
      owners === 1
        ? `only one copy of the data is kept, on the only node; ${replicas} are wanted`
        : `only ${owners} copies of the data are kept, for want of nodes; ${replicas} are wanted`,
      owners === 1
        ? 'if that node is down nothing is served, and what is on its disk is lost with the disk'
        : 'a key is served and kept through fewer losses of nodes than it should be',
      `let ${plural(missing, 'more node', 'more nodes')} join (dure start --join); a cluster that is to keep no more copies is founded with replicas: ${owners}`,
    ]),
  );
}

function memberReason(findings: Findings, member: MemberStatus, reasons: StatusReason[]): void {
  const { id, status, reachable, seenThrough, silenceMs } = member;
  if (id === findings.node) return;
  if (member.rebuildingMs > 0 && status !== 'down' && status !== 'left') {
    reasons.push(rebuildingReason(findings, member));
  }
  if (status === 'down' || status === 'left') {
    // It serves nothing yet: that the change waits for it says all.
    if (member.state === 'joining') return;
    reasons.push(
      reason('degraded', 'member-down', id, [
        status === 'left' ? `${id} was stopped` : `${id} is down, silent for ${durationWords(silenceMs)}`,
        findings.partitions.withoutQuorum > 0
          ? 'its keys have one copy less in reach'
          : 'its keys are served by their other replicas, with one copy less',
        `start ${id} again; it catches up by itself`,
      ]),
    );
  } else if (status === 'suspect') {
    reasons.push(
      reason('degraded', 'member-suspect', id, [
        `${id} is under suspicion, silent for ${durationWords(silenceMs)}`,
        'requests go around it until it is heard again',
        'nothing yet: in a few seconds it is heard again, or taken for down',
      ]),
    );
  } else if (!reachable) {
    const through = seenThrough === '' ? '' : `, though ${seenThrough} hears it`;
    reasons.push(
      reason('degraded', 'member-unreachable', id, [
        `${findings.node} does not reach ${id}${through}`,
        'the network between the two is cut or slow; each goes on with whom it reaches',
        `look at the network between ${findings.node} and ${id}`,
      ]),
    );
  }
}

/** A change under way, a reason for each member it is not done with; and those it waits for. */
function changeReasons(findings: Findings, reasons: StatusReason[]): void {
  const { change, members } = findings;
  if (change === undefined) return;
  const words = changeWords(change);
  for (const id of change.waitsFor) {
    const status = members.find((member) => member.id === id)?.status;
    const is = status === 'down' ? 'is down' : status === 'left' ? 'was stopped' : 'is not reached';
    const texts: [string, string, string] = isNewcomer(change, id)
      ? [
          `${words} waits for ${id} to start`,
          'everything is served as before, and nothing is moved until the others reach it',
          `start ${id}; if it will not come, cancel the change`,
        ]
      : [
          `${words} waits for ${id}, which ${is}`,
          'everything is served as before, and nothing moves on until every member has done its part',
          change.phase !== 'switch' && !change.cancelled
            ? `start ${id} again; if it will not come back, remove it, or cancel the change`
            : `start ${id} again; if it will not come back, remove it`,
        ];
    reasons.push(reason('degraded', 'change-waits', id, texts));
  }
  if (change.sinceMs < CHANGE_QUIET_MS) return;
  // Until whoever comes is there, nobody else can be done.
  const isForNewcomer = change.waitsFor.some((id) => isNewcomer(change, id));
  for (const id of change.busy) {
    if (change.waitsFor.includes(id) || isForNewcomer) continue;
    reasons.push(
      reason('degraded', 'change-under-way', id, [
        `${words}: ${workOf(findings, change, id)}`,
        'everything is served as before; until it is done a little of the nodes and the network goes into moving data',
        'nothing: it goes on by itself, even if whoever asked for it is gone',
      ]),
    );
  }
}

/** Whether a member is one who comes, and is not counted on yet. */
function isNewcomer({ phase, nodes }: ChangeStatus, id: NodeId): boolean {
  return phase === 'enrol' && nodes.includes(id);
}

/** `the join of n4`. */
function changeWords({ kind, nodes, gone, cancelled }: ChangeStatus): string {
  const named = {
    join: 'join',
    leave: 'leaving',
    remove: 'removal',
    weight: 'new weight',
    replace: 'replacement',
  };
  const whom = kind === 'remove' || kind === 'replace' ? gone : nodes;
  const by = kind === 'replace' ? ` by ${nodes.join(', ')}` : '';
  return `the ${named[kind]} of ${whom.join(', ')}${by}${cancelled ? ', which was cancelled,' : ''}`;
}

/** What a member has still to do for the change. */
function workOf({ node }: Findings, change: ChangeStatus, id: NodeId): string {
  if (change.phase === 'enrol')
    return isNewcomer(change, id) ? `${id} starts` : `${id} does not reach ${change.nodes.join(', ')} yet`;
  if (change.phase === 'switch')
    return `${id} turns to the new owners and hands over what it keeps for others`;
  if (id !== node || change.partitions === 0) return `${id} fetches what it is to hold, or checks it`;
  const { partitions, partitionsDone, bytesLeft, bytesPerSecond } = change;
  const left =
    bytesLeft > 0 && bytesPerSecond > 0
      ? `, about ${durationWords((bytesLeft / bytesPerSecond) * 1000)} to go`
      : '';
  return `${id} fetches, ${partitionsDone} of ${partitions} partitions${left}`;
}

/** A member lost data: what that means here. What it has got back so far, it says itself. */
function rebuildingReason(findings: Findings, { id, rebuildingMs }: MemberStatus): StatusReason {
  const { count, onRebuilding } = findings.partitions;
  const share = Math.max(1, Math.round((onRebuilding / count) * 100));
  return reason(onRebuilding > 0 ? 'critical' : 'degraded', 'rebuilding', id, [
    `${id} lost data and is being made whole, for ${durationWords(rebuildingMs)} now`,
    onRebuilding > 0
      ? `too few others are reached for ${onRebuilding} of ${count} partitions (${share} % of the keys): reads of them fail until ${id} has got them back`
      : 'what it cannot vouch for is read from the other replicas; until it is whole there is one copy less',
    untilWhole(findings, id),
  ]);
}

/** What helps a node to become whole: every replica has to be there. */
function untilWhole({ members }: Findings, id: NodeId): string {
  const absent = members.filter((member) => member.id !== id && !member.reachable).map((member) => member.id);
  return absent.length === 0
    ? 'keep the other nodes running until it is done; nothing else'
    : `start ${absent.join(', ')}: only when it has compared itself with every replica can it be whole`;
}

/** Full is critical where keys are served only because somebody stands in; else what does not fit is only late. */
function hintReasons({ node, hints, members, partitions }: Findings, reasons: StatusReason[]): void {
  if (hints === undefined) return;
  for (const { target, bytes } of hints.targets) {
    const share = bytes / hints.bytesMax;
    if (share < hintsFillingShare) continue;
    const full = share >= hintsFullShare;
    const kept = `${bytesWords(bytes)} of ${bytesWords(hints.bytesMax)}`;
    const late = `${target} gets them when replicas are compared, which takes longer`;
    const isNeeded = partitions.onStandIns > 0 || partitions.withoutQuorum > 0;
    reasons.push(
      reason(full && isNeeded ? 'critical' : 'degraded', full ? 'hints-full' : 'hints-filling', target, [
        `${node} keeps as much as ${kept} of rows for ${target}`,
        full
          ? `it takes no more for it: writes that need a stand-in find another node, or fail; of others ${late}`
          : `when no more fits, writes that need a stand-in find another node, or fail; of others ${late}`,
        members.some(({ id, reachable }) => id === target && reachable)
          ? `look why ${target} does not take them: its disk and its log`
          : `start ${target} again; if that takes long, raise limits.hintBytesMax`,
      ]),
    );
  }
}

/** Looked into by `hint-mender.ts`; what another copy made up for is not counted any more. */
function unreadableReason({ node, hints }: Findings, reasons: StatusReason[]): void {
  if (hints === undefined || hints.unreadable === 0) return;
  const { unreadable } = hints;
  reasons.push(
    reason('degraded', 'hints-unreadable', node, [
      `${plural(unreadable, 'row')} that ${node} keeps for other nodes cannot be read: the checksum is wrong`,
      'where no other node holds such a row or a newer one, an acknowledged write is lost',
      'start every node, so that other copies are found; if this stays, write those keys anew and replace the disk',
    ]),
  );
}

function lagReasons({ node, members }: Findings, reasons: StatusReason[]): void {
  for (const { id, lagMs, status, rebuildingMs } of members) {
    // Of one that is rebuilt that was said already.
    if (status !== 'alive' || rebuildingMs > 0 || lagMs <= LAG_LIMIT_MS || id === node) continue;
    reasons.push(
      reason('degraded', 'lag-high', id, [
        `${id} lacks writes from up to ${durationWords(lagMs)} ago`,
        'nothing is lost: the other replicas have them; reads with R=1 at this replica may be old',
        'wait: it is catching up; if the lag goes on growing, look at its disk and its network',
      ]),
    );
  }
}

function pastReason(findings: Findings, reasons: StatusReason[]): void {
  const { node, past } = findings;
  if (past === undefined || past.whole) return;
  const { state, vouched, vouchedLoosely, partitions } = past;
  if (state === 'asking') {
    reasons.push(
      reason('degraded', 'rebuilding', node, [
        `${node} has just started and asks the others whether its disk is the one it had`,
        'until they told it serves no reads from it; the other replicas do',
        'nothing: it takes a second or two; if it goes on, start the members that are down',
      ]),
    );
    return;
  }
  const why = past.reason === '' ? '' : ` (${past.reason})`;
  const how = state === 'new' ? 'has a new disk' : 'lost data';
  const loosely =
    vouchedLoosely === 0 ? '' : `, and ${vouchedLoosely} as far as the nodes in reach know them`;
  reasons.push(
    reason('degraded', 'rebuilding', node, [
      `${node} ${how}${why} and is being made whole: ${vouched} of ${partitions} partitions${loosely}`,
      'what it cannot vouch for is read from the other replicas; until it is whole there is one copy less',
      untilWhole(findings, node),
    ]),
  );
}

function horizonReason({ horizon, members }: Findings, reasons: StatusReason[]): void {
  if (horizon === undefined || horizon.held === 0) return;
  const { heldBy, reason: why, held, ageMs } = horizon;
  const isThere = members.some(({ id, status }) => id === heldBy && status === 'alive');
  const whom = heldBy === '' ? '' : ` by ${heldBy}${why === '' ? '' : `: ${why}`}`;
  reasons.push(
    reason('degraded', 'horizon-held', heldBy, [
      `the collection of deleted keys stands still in ${plural(held, 'partition')}, for ${durationWords(ageMs)}, held up${whom}`,
      'deletes stay correct and their traces pile up: they cost space and nothing else',
      heldBy === ''
        ? 'look at the log of this node'
        : isThere
          ? `look at ${heldBy}: it ends when that does; if nothing moves there, restart it`
          : `start ${heldBy} again`,
    ]),
  );
}

/** Keys that clients write again and again without the context they read. */
function siblingsReason({ siblings }: Findings, reasons: StatusReason[]): void {
  if (siblings === undefined) return;
  const { refused, refusedAgoMs, refusedPrefix, refusedWhy, valuesMax, valuesMost, valuesMostPrefix } =
    siblings;
  const { actorsMost, actorsMostPrefix } = siblings;
  const action =
    'make the clients that write those keys read first and hand the context back (DURE.GET key, then DURE.SET key value CONTEXT context); the error of a refused write says how to mend its key';
  if (refusedAgoMs !== null && refusedAgoMs <= SIBLINGS_REFUSED_MS) {
    reasons.push(
      reason('critical', 'siblings-full', '', [
        `siblings cap reached: keys beginning with ${refusedPrefix} (${refusedWhy})`,
        `writes that would add a value to them are refused, ${refused} since start, the last ${durationWords(refusedAgoMs)} ago; no value is cut, and other keys are not concerned`,
        action,
      ]),
    );
  } else if (valuesMost > 1 && valuesMost >= valuesMax * siblingsManyShare) {
    reasons.push(
      reason('degraded', 'siblings-many', '', [
        `keys beginning with ${valuesMostPrefix} have up to ${valuesMost} values; the cap is ${valuesMax}`,
        'at the cap writes that add a value are refused; until then all goes on, and reads of those keys are slow',
        action,
      ]),
    );
  } else if (actorsMost >= VECTOR_ENTRIES_MAX * siblingsManyShare) {
    reasons.push(
      reason('degraded', 'siblings-many', '', [
        `keys beginning with ${actorsMostPrefix} were written by up to ${actorsMost} actors (nodes, lives of disks, stand-ins); the cap is ${VECTOR_ENTRIES_MAX}`,
        'at the cap writes of such a key by one more actor are refused; until then all goes on',
        'write such a key once without siblings, which makes it forget them (DURE.GET key, then DURE.WITH PA/EC LWW DO SET key value), while nobody else writes it',
      ]),
    );
  }
}
