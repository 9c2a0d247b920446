/** Words of the scenario language that several of its parts use, and what went wrong with a story. */

import type { CodedError } from '../src/base/errors.ts';
import type { SimNetwork } from './network.ts';

/** A story that went otherwise than told, or is not written in the language. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
}

/** A request that was sent, and what it was answered; undefined until then. */
export interface StoryRequest {
  answer: string | undefined;
}

/** Notes the answer of a request: `answer` where it succeeded, else what the error says of its outcome. */
export function answerOnce(request: StoryRequest, error: CodedError | undefined, answer: string): void {
  if (request.answer !== undefined) throw new ScenarioError('a request was answered twice');
  request.answer = error === undefined ? answer : error.outcome === 'none' ? 'error' : error.outcome;
}

/** The word after `name`, and both are taken out. */
export function takeAfter(words: string[], name: string): string | undefined {
  const at = words.indexOf(name);
  return at < 0 ? undefined : words.splice(at, 2)[1];
}

/** What speaks against so many of something; undefined if nothing does. */
export function wrongCount(
  what: string,
  counts: readonly number[],
  expected: string | undefined,
): string | undefined {
  const count = counts.reduce((a, b) => a + b, 0);
  return String(count) === expected ? undefined : `there are ${count} ${what}`;
}

/** `200ms` or `2s`, in milliseconds. @throws ScenarioError */
export function durationMs(text: string | undefined): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(text ?? '');
  if (match === null) throw new ScenarioError(`a duration is like 200ms or 2s, not ${text}`);
  return Number(match[1]) * (match[2] === 's' ? 1000 : 1);
}

type LinkAct = (network: SimNetwork, from: number, to: number, amount: number) => void;

/** What can be done to one direction of a link. */
export const LINK_ACTS: ReadonlyMap<string, LinkAct> = new Map<string, LinkAct>([
  ['cut', (network, from, to) => network.cut(from, to)],
  ['mend', (network, from, to) => network.mend(from, to)],
  ['slow', (network, from, to, amount) => network.slow(from, to, amount)],
  ['drop', (network, from, to, amount) => network.trouble(from, to, { drop: amount / 100 })],
  ['double', (network, from, to, amount) => network.trouble(from, to, { double: amount / 100 })],
  ['reorder', (network, from, to, amount) => network.trouble(from, to, { reorder: amount / 100 })],
  ['delay', (network, from, to, amount) => network.trouble(from, to, { delayUs: amount * 1000 })],
  ['break', (network, from, to) => network.breakPipe(from, to)],
  ['half-open', (network, from, to) => network.halfOpen(from, to)],
  ['corrupt', (network, from, to, amount) => network.corrupt(from, to, amount)],
]);
