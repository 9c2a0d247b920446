/**
 * The controller: looks at the load again and again, and decides whether the cluster should have a node more, a
 * node less, or stay as it is. A machine: it is given what was seen and when, and answers.
 *
 * The picture: a careful host at a long table. Guests who stand for a while get another chair. A chair is only
 * taken away if everybody would still sit comfortably without it, and after a much longer while. And after each
 * change the host sits down for a time, whoever made it, because a table that is being rearranged tells nothing
 * about its guests.
 *
 * ```
 *  load of a node / target
 *   1.0 ┄┄┄┄┄┄┄┄┄┄┄┄  above for growAfterMs: one node more
 *        in the band: nothing
 *   0.7 ┄┄┄┄┄┄┄┄┄┄┄┄  spread over one node less, still below for shrinkAfterMs: one node less
 * ```
 *
 * Why it cannot flap: after a node more, spreading the load over one node less is the load that was above 1.0; it
 * must fall by the width of the band before that node goes again. And between two decisions to change lies a
 * whole cool-down, counted from the end of the change. What is not known is never taken for little load.
 */

import { durationWords, plural } from '../base/words.ts';
import { type Action, type Decision, type DecisionCode, DecisionLog } from './decision-log.ts';
import {
  fullestOneLess,
  leaverOf,
  type Measure,
  measuresOf,
  type Observation,
  valueWords,
  worstOf,
} from './load.ts';
import type { AutoscaleSettings } from './settings.ts';

const entriesMax = 500;
/** Of a founding configuration, which no change led to. */
const foundingEpoch = 1;
/** What could not be begun is tried again after this, or after a cool-down if that is shorter. */
const retryMs = 30_000;

/** What is decided, before it is dressed up as a `Decision`. */
interface Verdict {
  readonly action: Action;
  readonly code: DecisionCode;
  readonly reason: string;
  readonly node?: string;
  /** See `DecisionLog.add`. */
  readonly about?: string;
}

export class Controller {
  readonly settings: AutoscaleSettings;
  readonly log: DecisionLog = new DecisionLog(entriesMax);
  #epoch: number | undefined;
  /** From when on the cool-down is counted; -Infinity when there was no change. */
  #coolFrom: number = Number.NEGATIVE_INFINITY;
  /** Since when a target is exceeded, and since when there is a node too many. */
  #aboveSince: number | undefined;
  #belowSince: number | undefined;
  #failure: { readonly at: number; readonly words: string } | undefined;

  constructor(settings: AutoscaleSettings) {
    this.settings = settings;
  }

  /**
   * Decides. A decision other than `hold` is given once: it is for the caller to carry it out, and to say
   * `failed` if it could not be begun.
   * @param now milliseconds, never less than before.
   */
  observe(now: number, observation: Observation): Decision {
    const { epoch, nodes } = observation;
    const measures = measuresOf(nodes, this.settings);
    const verdict = this.#verdict(now, observation, measures);
    const decision: Decision = {
      at: now,
      action: verdict.action,
      code: verdict.code,
      node: verdict.node ?? '',
      reason: verdict.reason,
      nodes: nodes.length,
      epoch,
      measures,
    };
    this.log.add(decision, verdict.about ?? '');
    if (verdict.action !== 'hold') this.#settleDown(now);
    return decision;
  }

  /** What was decided could not be begun: nothing has changed, and it is decided anew in a while. */
  failed(now: number, words: string): void {
    this.#failure = { at: now, words };
    this.#coolFrom = Number.NEGATIVE_INFINITY;
  }

  #verdict(now: number, observation: Observation, measures: readonly Measure[]): Verdict {
    const { epoch, nodes, underWay, progress, obstacle } = observation;
    if (epoch === undefined || nodes.length === 0) {
      this.#forget();
      const why = obstacle === '' ? '' : `: ${obstacle}`;
      return hold('unknown', `no node tells the topology${why}`, obstacle);
    }
    this.#noticeChange(now, epoch, underWay);
    if (underWay !== '') return hold('under-way', `${underWay}${progress}`, underWay);
    if (obstacle !== '') {
      this.#forget();
      return hold('obstacle', obstacle, obstacle);
    }
    this.#watch(now, observation, measures);
    return this.#paused(now) ?? this.#decide(now, observation, measures);
  }

  /** A change by anybody begins the cool-down, and it is counted from the moment nothing is under way any more. */
  #noticeChange(now: number, epoch: number, underWay: string): void {
    const isFirst = this.#epoch === undefined;
    // Of a change before this controller's time nobody says when it ended: it may have been a moment ago.
    const changed = isFirst ? epoch > foundingEpoch : epoch !== this.#epoch;
    this.#epoch = epoch;
    if (changed || underWay !== '') this.#settleDown(now);
  }

  #settleDown(now: number): void {
    this.#coolFrom = now;
    this.#failure = undefined;
    this.#forget();
  }

  #forget(): void {
    this.#aboveSince = undefined;
    this.#belowSince = undefined;
  }

  /** Keeps the times since when there are too few or too many. They run on through a cool-down. */
  #watch(now: number, { nodes }: Observation, measures: readonly Measure[]): void {
    const isAbove = worstOf(measures) !== undefined;
    this.#aboveSince = isAbove ? (this.#aboveSince ?? now) : undefined;
    const fullest = fullestOneLess(measures);
    const isBelow =
      !isAbove &&
      nodes.length > 1 &&
      fullest !== undefined &&
      fullest.ratioOneLess < this.settings.shrinkBelow;
    this.#belowSince = isBelow ? (this.#belowSince ?? now) : undefined;
  }

  #paused(now: number): Verdict | undefined {
    const { coolDownMs } = this.settings;
    if (this.#failure !== undefined) {
      const { at, words } = this.#failure;
      if (now - at < Math.min(retryMs, coolDownMs)) return hold('failed', words, words);
      this.#failure = undefined;
    }
    if (now - this.#coolFrom >= coolDownMs) return undefined;
    return hold(
      'cooling-down',
      `the last change was ${durationWords(now - this.#coolFrom)} ago: the next one is decided ${durationWords(coolDownMs)} after it`,
    );
  }

  #decide(now: number, observation: Observation, measures: readonly Measure[]): Verdict {
    const count = observation.nodes.length;
    const { nodesMin, nodesMax } = this.settings;
    if (count < nodesMin) {
      return {
        action: 'grow',
        code: 'below-floor',
        reason: `${plural(count, 'node')}, and the floor is ${nodesMin}`,
      };
    }
    const worst = worstOf(measures);
    if (worst !== undefined) return this.#tooFew(now, count, worst, nodesMax);
    if (measures.some(({ ratio }) => Number.isNaN(ratio))) {
      return hold('unknown', `too few nodes tell their load: ${toldWords(measures, count)}`);
    }
    return this.#tooMany(now, observation, measures);
  }

  #tooFew(now: number, count: number, worst: Measure, nodesMax: number): Verdict {
    const { name, value, target } = worst;
    const sinceMs = now - this.#aboveSince!;
    const what = `${valueWords(name, value)} a node on ${plural(count, 'node')}, above the target of ${valueWords(name, target)}`;
    if (count >= nodesMax)
      return hold('at-ceiling', `${what}, but ${nodesMax} nodes are the most allowed`, name);
    const { growAfterMs } = this.settings;
    if (sinceMs < growAfterMs) {
      return hold(
        'above',
        `${what} for ${durationWords(sinceMs)}: a node is added after ${durationWords(growAfterMs)}`,
        name,
      );
    }
    return { action: 'grow', code: 'load', reason: `${what} for ${durationWords(sinceMs)}`, about: name };
  }

  #tooMany(now: number, observation: Observation, measures: readonly Measure[]): Verdict {
    const { nodes, replicas } = observation;
    const count = nodes.length;
    const { nodesMin, shrinkBelow, shrinkAfterMs } = this.settings;
    const fullest = fullestOneLess(measures);
    if (fullest === undefined) {
      const why =
        count === 1
          ? 'the only node is within its targets'
          : `not every node tells its load: ${toldWords(measures, count)}`;
      return count === 1 ? hold('in-band', why) : hold('samples-missing', why);
    }
    if (this.#belowSince === undefined)
      return hold('in-band', `within the targets: ${figuresWords(measures)}`);
    const { name, value, target, ratioOneLess } = fullest;
    const share = Math.floor(ratioOneLess * 100);
    const what = `${valueWords(name, value)} a node on ${plural(count, 'node')}; with one less at most ${share} % of a target (${name}: ${valueWords(name, target)}), below ${Math.round(shrinkBelow * 100)} %`;
    const floor = Math.max(nodesMin, replicas);
    if (count <= floor) {
      const why = replicas > nodesMin ? `${replicas} copies of each row need as many` : 'they are the floor';
      return hold('at-floor', `${plural(count, 'node')}, and ${why}`);
    }
    const sinceMs = now - this.#belowSince;
    if (sinceMs < shrinkAfterMs) {
      return hold(
        'below',
        `${what} for ${durationWords(sinceMs)}: a node is given away after ${durationWords(shrinkAfterMs)}`,
      );
    }
    const node = leaverOf(observation);
    if (node === undefined) return hold('none-removable', `${what}, but none of them can be taken away`);
    return { action: 'shrink', code: 'load', node, reason: `${what} for ${durationWords(sinceMs)}` };
  }
}

function hold(code: DecisionCode, reason: string, about: string = ''): Verdict {
  return { action: 'hold', code, reason, about };
}

function figuresWords(measures: readonly Measure[]): string {
  return measures
    .map(({ name, value, ratio }) => `${valueWords(name, value)} a node (${Math.round(ratio * 100)} %)`)
    .join(', ');
}

function toldWords(measures: readonly Measure[], count: number): string {
  return measures.map(({ name, told }) => `${name} from ${told} of ${count}`).join(', ');
}
