/**
 * `dure ring [key]`: the ring as a picture, and where a key lives.
 *
 * Every cell is a partition, in the order of the slots; its letter (and colour) is its primary. Line under line the
 * strip is the ring cut open: the last cell's neighbour is the first. Below, each member with its share as a bar.
 */

import { byteString, utf8Bytes } from '../base/bytes.ts';
import { plural } from '../base/words.ts';
import type { ListsJson, TopologyAnswer, TopologyMemberJson } from '../http/api/topology-json.ts';
import { SLOT_COUNT, slotOf } from '../ring/slots.ts';
import { askNode } from './cluster-call.ts';
import { findSeeds, nobodyWords, type Output, passwordOf, type SeedOptions } from './cluster-seeds.ts';
import { EXIT } from './exit-codes.ts';
import { changeName } from './node-view.ts';

export interface RingOptions extends SeedOptions {
  readonly json: boolean;
  readonly key: string | undefined;
}

export interface RingRender {
  /** Columns of the terminal; Infinity for no limit. */
  readonly width: number;
  readonly color: boolean;
}

/** Where a key lives. */
export interface KeyPlace {
  readonly key: string;
  /** What of the key decides: its hash tag, or all of it. */
  readonly hashed: string;
  readonly slot: number;
  readonly partition: number;
  readonly owners: readonly string[];
  /** Owners after the change under way, where they differ. */
  readonly ownersNext: readonly string[] | undefined;
}

const lookTimeoutMs = 3000;
const cellsMax = 128;
const barCells = 24;
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
/** Of the 256 colours, some that differ on dark and on light ground. */
const colors: readonly number[] = [39, 208, 41, 205, 220, 141, 45, 203, 113, 174, 75, 214];

/** @returns the exit code. */
export async function runRing(
  options: RingOptions,
  out: Output = process.stdout,
  complain: Output = process.stderr,
): Promise<number> {
  const seeds = findSeeds(options, complain);
  if (seeds === undefined) return EXIT.failed;
  const password = passwordOf(options);
  const problems: string[] = [];
  let best: TopologyAnswer | undefined;
  for (const address of seeds) {
    const path = '/v1/topology?lists=true';
    const call = { path, method: 'GET' as const, timeoutMs: lookTimeoutMs, byHand: 'DURE.TOPOLOGY' };
    const reply = await askNode<TopologyAnswer>({ id: 'the node', address }, call, password);
    if (!('body' in reply)) problems.push(reply.problem);
    else if (best === undefined || reply.body.epoch > best.epoch) best = reply.body;
  }
  if (best?.lists === undefined) {
    complain.write(nobodyWords({ problems }, 'ring'));
    return EXIT.failed;
  }
  const place = options.key === undefined ? undefined : placeOf(best, best.lists, options.key);
  if (options.json) {
    out.write(
      `${JSON.stringify({ topology: best, ...(place === undefined ? {} : { place }) }, undefined, 2)}\n`,
    );
    return 0;
  }
  const { NO_COLOR = '', TERM, FORCE_COLOR = '' } = options.environment;
  const color =
    NO_COLOR === '' && TERM !== 'dumb' && (out.isTTY === true || !['', '0'].includes(FORCE_COLOR));
  const width = out.isTTY === true && (out.columns ?? 0) > 0 ? out.columns! : 100;
  out.write(renderRing(best, best.lists, place, { width, color }));
  return 0;
}

/** Where a key lives by the tables of an answer. */
export function placeOf({ partitions, phase }: TopologyAnswer, lists: ListsJson, key: string): KeyPlace {
  const bytes = byteString(utf8Bytes(key));
  const slot = slotOf(bytes);
  const partition = Math.floor(slot / (SLOT_COUNT / partitions));
  const idsOf = (list: readonly number[]): string[] => list.map((index) => lists.ids[index] ?? '?');
  const owners = idsOf(lists.read[partition] ?? []);
  const other = lists.other === undefined ? undefined : idsOf(lists.other[partition] ?? []);
  const isSame = other === undefined || phase !== 'copy' || owners.join() === other.join();
  return { key, hashed: hashTagOf(key), slot, partition, owners, ownersNext: isSame ? undefined : other };
}

/** What stands between the first brace and the next closing one, if that is not empty; else the key. */
function hashTagOf(key: string): string {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}

/** The whole picture. Ends with a newline. */
export function renderRing(
  answer: TopologyAnswer,
  lists: ListsJson,
  place: KeyPlace | undefined,
  { width, color }: RingRender,
): string {
  const marks = new Map(lists.ids.map((id, index) => [id, letters[index % letters.length]!]));
  const paint = (text: string, id: string): string =>
    color ? `\x1b[38;5;${colors[lists.ids.indexOf(id) % colors.length]}m${text}\x1b[0m` : text;
  const lines = [headOf(answer), '', ...stripOf(answer, lists, place, marks, paint, width), ''];
  const zoneWidth = Math.max(4, ...answer.members.map(({ zone }) => zone.length));
  const idWidth = Math.max(4, ...answer.members.map(({ id }) => id.length));
  const most = Math.max(
    1,
    ...answer.members.map(({ replicas, next }) => Math.max(replicas, next?.replicas ?? 0)),
  );
  for (const member of answer.members) {
    lines.push(memberLine(member, marks.get(member.id) ?? ' ', most, idWidth, zoneWidth, paint));
  }
  if (place !== undefined) lines.push('', ...placeLines(place, answer, marks, paint));
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

function headOf({ cluster, members, partitions, replicas, epoch, phase, change }: TopologyAnswer): string {
  const under = phase === 'steady' || change === undefined ? '' : ` · ${changeName(change)}: ${phase}`;
  return (
    `Cluster ${cluster}: ${plural(members.length, 'member')}, ${plural(partitions, 'partition')} of ` +
    `${plural(SLOT_COUNT / partitions, 'slot')}, N=${replicas}, epoch ${epoch}${under}`
  );
}

type Paint = (text: string, id: string) => string;

/** The ring cut open; under the partition of the key there is a mark. */
function stripOf(
  { partitions }: TopologyAnswer,
  lists: ListsJson,
  place: KeyPlace | undefined,
  marks: ReadonlyMap<string, string>,
  paint: Paint,
  width: number,
): string[] {
  const labelWidth = `${SLOT_COUNT - 1}`.length;
  const room = Math.max(8, Math.min(cellsMax, width - labelWidth - 5));
  const perLine = Math.min(partitions, 2 ** Math.floor(Math.log2(room)));
  const lines: string[] = [];
  for (let first = 0; first < partitions; first += perLine) {
    const slot = `${(first * SLOT_COUNT) / partitions}`.padStart(labelWidth);
    let cells = '';
    for (let partition = first; partition < first + perLine; partition++) {
      const id = lists.ids[lists.read[partition]?.[0] ?? -1] ?? '?';
      cells += paint(marks.get(id) ?? '?', id);
    }
    lines.push(`${slot} │${cells}│`);
    if (place !== undefined && place.partition >= first && place.partition < first + perLine) {
      lines.push(`${' '.repeat(labelWidth + 2 + place.partition - first)}▲ ${place.key}`);
    }
  }
  return lines;
}

function memberLine(
  { id, state, zone, weight, primaries, replicas, next, live }: TopologyMemberJson,
  mark: string,
  most: number,
  idWidth: number,
  zoneWidth: number,
  paint: Paint,
): string {
  const cells = Math.round((replicas / most) * barCells);
  const bar = '█'.repeat(cells).padEnd(barCells, '·');
  const then = next === undefined || next.replicas === replicas ? '' : ` → ${next.replicas}`;
  const words = [
    `${replicas}${then} ${replicas === 1 ? 'replica' : 'replicas'}`,
    `${primaries} primary`,
    ...(weight === 1 ? [] : [`weight ${weight}`]),
    ...(state === 'owning' ? [] : [state]),
    ...(live === false ? ['not reached'] : []),
  ];
  return `${paint(mark, id)} ${id.padEnd(idWidth)} ${zone.padEnd(zoneWidth)} ${paint(bar, id)} ${words.join(', ')}`;
}

function placeLines(
  { key, hashed, slot, partition, owners, ownersNext }: KeyPlace,
  { members }: TopologyAnswer,
  marks: ReadonlyMap<string, string>,
  paint: Paint,
): string[] {
  const tag = hashed === key ? '' : `, by its hash tag ${hashed}`;
  const words = (id: string, place: number): string => {
    const member = members.find((each) => each.id === id);
    const where =
      member === undefined ? 'gone' : `zone ${member.zone}${member.live === false ? ', not reached' : ''}`;
    return `  ${place + 1}. ${paint(marks.get(id) ?? ' ', id)} ${id} (${where})${place === 0 ? ': primary' : ''}`;
  };
  const lines = [`${key} lies in slot ${slot}${tag}, partition ${partition}, at`, ...owners.map(words)];
  if (ownersNext !== undefined) lines.push('and after the change under way at', ...ownersNext.map(words));
  return lines;
}
