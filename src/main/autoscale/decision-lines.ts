/**
 * How decisions are written: as JSON lines for programs, or as one line of words each for people.
 */

import type { Decision } from '../../autoscale/decision-log.ts';
import { valueWords } from '../../autoscale/load.ts';
import type { Deed } from './autoscaler.ts';

export interface LineOptions {
  readonly json: boolean;
  readonly dryRun: boolean;
  /** Wall milliseconds. */
  readonly at: number;
}

/** A decision as JSON shows it. */
export function decisionJson(decision: Decision): object {
  const { action, code, node, reason, nodes, epoch, measures } = decision;
  const figures = measures.map(({ name, value, target, told, ratio, ratioOneLess }) => [
    name,
    { value: known(value), target, told, ratio: known(ratio), ratioOneLess: known(ratioOneLess) },
  ]);
  return { action, code, node, reason, nodes, epoch: epoch ?? null, measures: Object.fromEntries(figures) };
}

/** What is decided now, and why; with a newline. */
export function decisionLine(decision: Decision, { json, dryRun, at }: LineOptions): string {
  if (json) {
    const head = { time: moment(at), event: 'autoscale-decision', dryRun };
    return `${JSON.stringify({ ...head, ...decisionJson(decision) })}\n`;
  }
  const { action, node, reason, measures } = decision;
  const words = action === 'shrink' ? `shrink by ${node}` : action;
  const figures = measures
    .filter(({ value }) => !Number.isNaN(value))
    .map(({ name, value, ratio }) => `${valueWords(name, value)}${percent(ratio)}`);
  const load = figures.length === 0 ? '' : ` [${figures.join(', ')}]`;
  return `${moment(at)} ${words}${dryRun && action !== 'hold' ? ' (dry run)' : ''}: ${reason}${load}\n`;
}

/** What was done about it. */
export function deedLine({ action, node, error }: Deed, { json, at }: LineOptions): string {
  if (json) return `${JSON.stringify({ time: moment(at), event: 'autoscale-deed', action, node, error })}\n`;
  if (error !== '') return `${moment(at)} ${[action, node].join(' ').trim()} failed: ${error}\n`;
  const words = { add: 'was asked for', leave: 'was asked to leave', remove: 'was taken away' }[action];
  return `${moment(at)} ${node} ${words}\n`;
}

function moment(at: number): string {
  return new Date(at).toISOString();
}

/** JSON has no NaN. */
function known(value: number): number | null {
  return Number.isNaN(value) ? null : Math.round(value * 1e6) / 1e6;
}

function percent(ratio: number): string {
  return Number.isNaN(ratio) ? '' : ` (${Math.round(ratio * 100)} %)`;
}
