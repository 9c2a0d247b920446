/**
 * The picture of a cluster as text: a line a node, the verdict, what is wrong and what to do.
 *
 * Where the terminal is too narrow the columns that matter least are left out, and the last line says so. A
 * cell is coloured by how much it should worry, never by colour alone: the words say it too.
 */

import { bytesWords, countWords, durationWords, plural } from '../base/words.ts';
import type { StatusAnswer } from '../http/status.ts';
import type { MemberState } from '../topology/member-state.ts';
import { copiesWords } from './node-view.ts';
import type { ClusterView, NodeView, Opinion, SharedReason } from './status-view.ts';

export interface RenderOptions {
  /** Columns of the terminal; Infinity for no limit. */
  readonly width: number;
  readonly color: boolean;
}

type Tone = 'plain' | 'good' | 'warn' | 'bad' | 'dim' | 'bold';

interface Cell {
  readonly text: string;
  readonly tone: Tone;
}

interface Column {
  readonly title: string;
  readonly right: boolean;
  /** Kept longer the greater: the least is left out first. */
  readonly worth: number;
  readonly cell: (node: NodeView, view: ClusterView) => Cell;
}

const codes: Readonly<Record<Tone, string>> = {
  plain: '',
  good: '\x1b[32m',
  warn: '\x1b[33m',
  bad: '\x1b[31m',
  dim: '\x1b[2m',
  bold: '\x1b[1m',
};
const reset = '\x1b[0m';
const none: Cell = { text: '-', tone: 'dim' };
const indent = 2;
const gap = 2;
/** A phi above it is a reason to ask whether a member lives; membership probes from here on. */
const phiWarn = 8;
const lagWarnMs = 60_000;
const reasonsMax = 12;
const textWidthMax = 100;
const textWidthMin = 30;

const columns: readonly Column[] = [
  { title: 'NODE', right: false, worth: 100, cell: ({ id }) => ({ text: id, tone: 'bold' }) },
  { title: 'ZONE', right: false, worth: 10, cell: ({ zone }) => ({ text: zone, tone: 'plain' }) },
  { title: 'STATE', right: false, worth: 99, cell: stateCell },
  { title: 'OTHERS SAY', right: false, worth: 90, cell: ({ others }) => opinionCell(others) },
  { title: 'PHI', right: true, worth: 30, cell: ({ others }) => phiCell(others) },
  { title: 'KEEPS', right: true, worth: 70, cell: keepsCell },
  { title: 'IS OWED', right: true, worth: 80, cell: ({ others }) => owedCell(others) },
  { title: 'LAG', right: true, worth: 85, cell: ({ others }) => lagCell(others) },
  { title: 'REPAIR', right: false, worth: 60, cell: repairCell },
  { title: 'HORIZON', right: true, worth: 40, cell: horizonCell },
  { title: 'WHOLE', right: false, worth: 75, cell: wholeCell },
  { title: 'P95', right: true, worth: 20, cell: ({ others }) => p95Cell(others) },
  { title: 'STORAGE', right: false, worth: 50, cell: storageCell },
];

const legend =
  'keeps: rows it holds for members that are away. is owed: rows the others hold for it. lag: age of the oldest ' +
  'write it is known to lack. horizon: how long ago the traces of deleted keys were last collected.';

/** The whole picture. Ends with a newline. */
export function renderCluster(view: ClusterView, options: RenderOptions): string {
  const shown = columnsFor(view, options.width);
  const paint = options.color ? painted : unpainted;
  const textWidth = Math.max(textWidthMin, Math.min(textWidthMax, options.width));
  const lines = [...wrapped(headline(view), textWidth), '', ...tableLines(view, shown, paint), ''];
  lines.push(...wrapped(verdictLine(view), textWidth).map((line) => paint(line, verdictTones[view.verdict])));
  for (const reason of view.reasons.slice(0, reasonsMax)) {
    lines.push('', ...reasonLines(reason, textWidth, paint));
  }
  if (view.reasons.length > reasonsMax) {
    lines.push('', `and ${view.reasons.length - reasonsMax} more: dure status --json tells all`);
  }
  lines.push('', ...wrapped(legend, textWidth).map((line) => paint(line, 'dim')));
  const hidden = columns.filter((column) => !shown.includes(column)).map(({ title }) => title.toLowerCase());
  if (hidden.length > 0) {
    const words = `A wider terminal shows ${hidden.join(', ')} too; ${plural(options.width, 'column')} here.`;
    lines.push(...wrapped(words, textWidth).map((line) => paint(line, 'dim')));
  }
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

type Paint = (text: string, tone: Tone) => string;

function painted(text: string, tone: Tone): string {
  return tone === 'plain' ? text : `${codes[tone]}${text}${reset}`;
}

function unpainted(text: string): string {
  return text;
}

function headline(view: ClusterView): string {
  const { cluster, nodes, replicas, epoch, versions } = view;
  const answering = nodes.filter(({ answer }) => answer !== undefined).length;
  const count = answering === nodes.length ? '' : `, ${answering} answer`;
  const version = versions.length === 1 ? `Dure ${versions[0]}` : `versions ${versions.join(' and ')}`;
  return (
    `Cluster ${cluster}: ${plural(nodes.length, 'node')}${count}, ${copiesWords(replicas, nodes.length)}, ` +
    `epoch ${epoch}, ${version}`
  );
}

// The table.

function columnsFor(view: ClusterView, width: number): readonly Column[] {
  let shown = columns;
  while (shown.length > 2 && widthOf(view, shown) > width) {
    const least = shown.reduce((one, other) => (other.worth < one.worth ? other : one));
    shown = shown.filter((column) => column !== least);
  }
  return shown;
}

function widthOf(view: ClusterView, shown: readonly Column[]): number {
  return indent + shown.reduce((sum, column) => sum + columnWidth(view, column) + gap, -gap);
}

function columnWidth(view: ClusterView, { title, cell }: Column): number {
  return Math.max(title.length, ...view.nodes.map((node) => cell(node, view).text.length));
}

function tableLines(view: ClusterView, shown: readonly Column[], paint: Paint): string[] {
  const widths = shown.map((column) => columnWidth(view, column));
  const lineOf = (cells: readonly Cell[]): string =>
    ' '.repeat(indent) +
    cells
      .map(({ text, tone }, i) => {
        const space = ' '.repeat(widths[i]! - text.length);
        return shown[i]!.right ? space + paint(text, tone) : paint(text, tone) + space;
      })
      .join(' '.repeat(gap));
  return [
    lineOf(shown.map(({ title }) => ({ text: title, tone: 'dim' }))),
    ...view.nodes.map((node) => lineOf(shown.map(({ cell }) => cell(node, view)))),
  ];
}

/** What a node owns, as it says itself. */
function ownState({ node, members }: StatusAnswer): MemberState | undefined {
  return members.find(({ id }) => id === node)?.state;
}

function stateCell({ answer, others }: NodeView): Cell {
  if (answer === undefined)
    return { text: 'no answer', tone: others.down + others.left > 0 ? 'bad' : 'warn' };
  if (answer.fault !== '') return { text: 'not serving', tone: 'warn' };
  const state = ownState(answer);
  if (state === 'joining' || state === 'leaving') return { text: state, tone: 'warn' };
  return { text: `up ${durationWords(answer.uptimeMs)}`, tone: 'good' };
}

function opinionCell({ voices, down, left, suspect, unreached }: Opinion): Cell {
  if (voices === 0) return none;
  const parts: string[] = [];
  const of = (count: number): string => (count === voices ? '' : ` ${count}/${voices}`);
  if (down > 0) parts.push(`down${of(down)}`);
  if (left > 0) parts.push(`stopped${of(left)}`);
  if (suspect > 0) parts.push(`suspect${of(suspect)}`);
  if (unreached > 0) parts.push(`unreached${of(unreached)}`);
  if (parts.length === 0) return { text: 'alive', tone: 'good' };
  return { text: parts.join(', '), tone: down + left > 0 ? 'bad' : 'warn' };
}

function phiCell({ voices, phiMax }: Opinion): Cell {
  if (voices === 0) return none;
  const text = phiMax > 99.9 ? '>99' : phiMax.toFixed(1);
  return { text, tone: phiMax > phiWarn ? 'warn' : 'plain' };
}

function keepsCell({ answer }: NodeView): Cell {
  const count = answer?.hints?.count;
  if (count === undefined) return none;
  return { text: countWords(count), tone: count > 0 ? 'warn' : 'plain' };
}

function owedCell({ voices, hints }: Opinion): Cell {
  return voices === 0 ? none : { text: countWords(hints), tone: hints > 0 ? 'warn' : 'plain' };
}

function lagCell({ voices, lagMs, rebuildingMs }: Opinion): Cell {
  if (voices === 0) return none;
  // What a node lost is older than its loss; by how much, nobody can say.
  if (rebuildingMs > 0) return { text: `>${durationWords(lagMs)}`, tone: 'warn' };
  return lagMs === 0
    ? { text: '0', tone: 'plain' }
    : { text: durationWords(lagMs), tone: lagMs > lagWarnMs ? 'bad' : 'warn' };
}

function repairCell({ answer }: NodeView): Cell {
  const repair = answer?.repair;
  if (repair === undefined) return none;
  const { running, progress, differing, unknown, comparisons, roundAgeMs } = repair;
  // It holds nothing by the table that reads ask: there is nothing that could be equal.
  if (comparisons === 0) return ownState(answer!) === 'joining' ? { text: 'joining', tone: 'dim' } : none;
  const round = running ? `, round ${Math.floor(progress * 100)} %` : '';
  if (differing > 0) return { text: `${countWords(differing)} differ${round}`, tone: 'warn' };
  if (unknown === comparisons) return { text: `not compared yet${round}`, tone: 'dim' };
  if (unknown > 0) return { text: `${countWords(unknown)} not compared${round}`, tone: 'dim' };
  if (running) return { text: `equal${round}`, tone: 'good' };
  const ago = roundAgeMs === null ? '' : `, ${durationWords(roundAgeMs)} ago`;
  return { text: `equal${ago}`, tone: 'good' };
}

function horizonCell({ answer }: NodeView): Cell {
  const horizon = answer?.horizon;
  if (horizon === undefined) return none;
  const { ageMs, held, heldBy } = horizon;
  const text = durationWords(ageMs);
  return held === 0 ? { text, tone: 'plain' } : { text: `${text}, held by ${heldBy || '?'}`, tone: 'warn' };
}

function wholeCell({ answer, others }: NodeView): Cell {
  const past = answer?.past;
  if (past === undefined) return others.rebuildingMs > 0 ? { text: 'rebuilding', tone: 'warn' } : none;
  if (past.whole) return { text: 'yes', tone: 'good' };
  if (past.state === 'asking') return { text: 'asking', tone: 'warn' };
  return { text: `rebuilding ${Math.floor(past.progress * 100)} %`, tone: 'warn' };
}

function p95Cell({ voices, replyP95Ms }: Opinion): Cell {
  if (voices === 0 || replyP95Ms === 0) return none;
  return { text: replyP95Ms < 10 ? `${replyP95Ms.toFixed(1)}ms` : durationWords(replyP95Ms), tone: 'plain' };
}

function storageCell({ answer }: NodeView): Cell {
  const storage = answer?.storage;
  if (storage === undefined) return none;
  const { state, bytesDisk, bytesMemory, durable, rowsDamaged } = storage;
  if (state !== 'ok') return { text: state, tone: 'bad' };
  const size = bytesWords(durable ? bytesDisk : bytesMemory);
  if (rowsDamaged > 0) return { text: `${size}, ${plural(rowsDamaged, 'bad row')}`, tone: 'warn' };
  return { text: durable ? size : `${size} in memory`, tone: 'plain' };
}

// Below the table.

const verdictWords: Readonly<Record<ClusterView['verdict'], string>> = {
  well: 'All is well.',
  degraded: 'Degraded: everything is served; something is missing, late, or no longer spare.',
  critical: 'Critical: some requests fail now, or will before long.',
};
const verdictTones: Readonly<Record<ClusterView['verdict'], Tone>> = {
  well: 'good',
  degraded: 'warn',
  critical: 'bad',
};

function verdictLine({ verdict, settled }: ClusterView): string {
  return settled && verdict === 'well' ? 'All is well, and nothing is outstanding.' : verdictWords[verdict];
}

function reasonLines(reason: SharedReason, width: number, paint: Paint): string[] {
  const { code, severity, subject, what, meaning, action, saidBy } = reason;
  const tone: Tone = severity === 'critical' ? 'bad' : 'warn';
  const mark = severity === 'critical' ? '!!' : '!';
  const named = (id: string): boolean => id === subject || what.startsWith(`${id} `);
  const others = code === 'member-unreachable' ? [] : saidBy.filter((id) => !named(id));
  const say = others.length === 1 ? 'says' : 'say';
  const who = others.length === 0 ? '' : ` (${namesOf(others)} ${say})`;
  return [
    ...hanging(`${mark.padEnd(2)} `, what + who, width).map((line) => paint(line, tone)),
    ...hanging('   Means: ', `${meaning}.`, width),
    ...hanging('   Do:    ', `${action}.`, width),
  ];
}

const namesMax = 4;

function namesOf(ids: readonly string[]): string {
  if (ids.length <= namesMax) return ids.join(', ');
  return `${ids.slice(0, namesMax - 1).join(', ')} and ${ids.length - namesMax + 1} more`;
}

function hanging(head: string, text: string, width: number): string[] {
  return wrapped(text, width - head.length).map((line, i) =>
    i === 0 ? head + line : ' '.repeat(head.length) + line,
  );
}

/** Breaks a text into lines at spaces; a longer word stays whole. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines;
}
