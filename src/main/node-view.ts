/**
 * A change of the members as `dure node` shows it: one line that says how far it is, the words of its end, and the
 * table of the members.
 */

import { bytesWords, countWords, durationWords, plural } from '../base/words.ts';
import type { TopologyAnswer, TopologyChangeJson, TopologyMemberJson } from '../http/api/topology-json.ts';
import { addressWords } from './http-call.ts';
import { bar } from './progress-line.ts';
import type { MoveSum } from './topology-fetch.ts';

/** The change in words: `join of n4`, `replacement of n2 by n5`. */
export function changeName({
  kind,
  nodes,
  gone,
}: Pick<TopologyChangeJson, 'kind' | 'nodes' | 'gone'>): string {
  const ids = nodes.join(', ');
  switch (kind) {
    case 'replace':
      // Once it is given up, nobody is gone.
      return gone.length === 0 ? `replacement by ${ids}` : `replacement of ${gone.join(', ')} by ${ids}`;
    case 'remove':
      return `removal of ${gone.join(', ') || ids}`;
    case 'weight':
      return `new weight of ${ids}`;
    default:
      return `${kind} of ${ids}`;
  }
}

/** One line that says how far a change is: `join of n4 [████────] 42 % · 210 of 500 partitions · 12 MiB · …`. */
export function changeLine(answer: TopologyAnswer, sum: MoveSum): string {
  const { phase, change } = answer;
  const name = change === undefined ? 'no change' : changeName(change);
  if (phase === 'steady') return `${name}: ${change?.cancelled ? 'given up' : 'done'}`;
  if (phase === 'enrol') {
    const { nodes } = change!;
    const isAway = sum.waitsFor.some((id) => nodes.includes(id));
    const others = { ...sum, waitsFor: sum.waitsFor.filter((id) => !nodes.includes(id)) };
    const far = isAway ? `waits for ${nodes.join(', ')} to start` : `${nodes.join(', ')} is taken in`;
    return `${name} ${bar(0)} · ${far}${waitWords(others)}`;
  }
  if (phase === 'switch')
    return `${name} ${bar(1)} · all is copied, owners are changing over${waitWords(sum)}`;
  const { partitions, partitionsDone, bytes, bytesLeft, bytesPerSecond } = sum;
  if (partitions === 0) return `${name} ${bar(0)} · nothing is fetched yet${waitWords(sum)}`;
  const share = partitionsDone / partitions;
  const parts = [
    `${Math.floor(share * 100)} %`,
    `${countWords(partitionsDone)} of ${plural(partitions, 'partition')}`,
    bytesWords(bytes),
  ];
  if (bytesPerSecond > 0) parts.push(`${bytesWords(bytesPerSecond)}/s`);
  if (bytesPerSecond > 0 && bytesLeft > 0)
    parts.push(`${durationWords((bytesLeft / bytesPerSecond) * 1000)} left`);
  if (sum.fetching.length > 1) {
    const each = sum.fetching.map(
      ({ node, partitions: all, done }) => `${node} ${Math.floor((done / all) * 100)} %`,
    );
    parts.push(each.join(', '));
  }
  return `${name} ${bar(share)} ${parts.join(' · ')}${waitWords(sum)}`;
}

function waitWords({ waitsFor }: MoveSum): string {
  return waitsFor.length === 0 ? '' : ` · waits for ${waitsFor.join(', ')}`;
}

/** What to do about members that are waited for; empty if there are none. */
export function waitAdvice(
  { waitsFor }: MoveSum,
  { phase, change }: Pick<TopologyAnswer, 'phase' | 'change'>,
): string {
  if (waitsFor.length === 0 || phase === 'steady') return '';
  if (phase === 'enrol' && waitsFor.every((id) => change?.nodes.includes(id))) {
    const names = waitsFor.join(', ');
    return `Nothing is moved before ${names} is there. Start it; or, if it will not come, "dure node cancel".`;
  }
  const [who, are, it, comes] =
    waitsFor.length === 1 ? [waitsFor[0]!, 'is', 'it', 'it'] : [waitsFor.join(', '), 'are', 'them', 'they'];
  const cancel = phase === 'switch' ? '' : ', or give the change up with "dure node cancel"';
  return (
    `${who} ${are} waited for: every member must know of the change. Start ${it} again; or, if ${comes} will never come ` +
    `back, "dure node remove ${waitsFor.join(' ')}"${cancel}. Clients are served meanwhile.`
  );
}

/** How a change ended that was looked at. */
export type ChangeEnd = 'done' | 'cancelled' | 'unknown';

/**
 * How the change that was looked at ended, by a page after it. When another change followed at once, the members tell.
 * @param watched that change; undefined if it is not known
 */
export function changeEnd(
  watched: TopologyChangeJson | undefined,
  { change, members }: Pick<TopologyAnswer, 'change' | 'members'>,
): ChangeEnd {
  if (watched === undefined || change?.id === watched.id) return change?.cancelled ? 'cancelled' : 'done';
  if (watched.kind === 'weight') return 'unknown';
  const isIn = (id: string): boolean => {
    const state = members.find((member) => member.id === id)?.state;
    return state === 'owning' || state === 'leaving';
  };
  const comes = watched.kind === 'join' || watched.kind === 'replace';
  return watched.nodes.every((id) => isIn(id) === comes) && !watched.gone.some(isIn) ? 'done' : 'cancelled';
}

/** The last line of a change that has ended. */
export function endWords(
  watched: TopologyChangeJson | undefined,
  answer: TopologyAnswer,
  bytes: number,
  elapsedMs: number,
): string {
  const { change, epoch, members, zones } = answer;
  const seen = watched ?? change;
  const name = seen === undefined ? 'The change' : changeName(seen);
  const size = `${plural(members.length, 'member')} in ${plural(zones.length, 'zone')}`;
  const where = `Epoch ${epoch}, ${size}.`;
  switch (changeEnd(watched, answer)) {
    case 'cancelled':
      return `${name}: given up; who owns what is as it was before. ${where}`;
    case 'unknown':
      return `${name}: ended, and another change followed: "dure node list" shows the weights. ${where}`;
    default: {
      const moved = bytes > 0 ? `, ${bytesWords(bytes)} fetched` : '';
      return `${name}: done after ${durationWords(elapsedMs)}${moved}. ${where}`;
    }
  }
}

/** N as it is wanted, and how many copies there are where there are fewer nodes than that. */
export function copiesWords(replicas: number, nodes: number): string {
  return `N=${replicas}${nodes < replicas ? ` (only ${nodes} for want of nodes)` : ''}`;
}

/** How many members hold data now. */
function ownersOf({ members }: TopologyAnswer): number {
  return members.filter(({ replicas }) => replicas > 0).length;
}

const titles = ['NODE', 'STATE', 'ZONE', 'WEIGHT', 'PRIMARIES', 'REPLICAS', 'ADDRESS', ''] as const;
const rightAligned: ReadonlySet<string> = new Set(['WEIGHT', 'PRIMARIES', 'REPLICAS']);

/** The members as a table. */
export function membersTable(answer: TopologyAnswer): string {
  const rows = answer.members.map((member) => cellsOf(member));
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (rightAligned.has(titles[i]!) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  const head =
    `Cluster ${answer.cluster}: ${plural(answer.members.length, 'member')}, ` +
    `${plural(answer.partitions, 'partition')}, ${copiesWords(answer.replicas, ownersOf(answer))}, ` +
    `epoch ${answer.epoch}`;
  return `${[head, '', line(titles), ...rows.map(line)].join('\n')}\n`;
}

function cellsOf(member: TopologyMemberJson): string[] {
  const { id, state, zone, weight, primaries, replicas, host, respPort, httpPort, live, next } = member;
  const change = (now: number, then: number | undefined): string =>
    then === undefined || then === now ? `${now}` : `${now} → ${then}`;
  const address = host === undefined ? '-' : `${addressWords(host, respPort!)}, HTTP ${httpPort}`;
  return [
    id,
    state,
    zone,
    `${weight}`,
    change(primaries, next?.primaries),
    change(replicas, next?.replicas),
    address,
    live === false ? 'not reached' : '',
  ];
}
