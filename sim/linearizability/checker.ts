/**
 * Judges histories: one key at a time, and in words that a person can follow.
 *
 * A history of several keys is linearizable exactly if that of each key is (Herlihy and Wing, 1990), so
 * each is searched by itself: short time lines instead of one long one. A key whose search reached its
 * bound is *unknown*: it has not passed, and whoever asks must say so.
 */

import { type Held, heldText, type Model } from './model.ts';
import { type Operation, SEARCH_LIMITS_DEFAULT, type SearchLimits, search } from './search.ts';

/** How times are shown. */
export type TimeText = (time: number) => string;

export interface KeyVerdict<K> {
  readonly key: K;
  readonly verdict: 'linearizable' | 'violated' | 'unknown';
  readonly operations: number;
  /** Configurations the search visited. */
  readonly configurations: number;
  /** Why not, in lines; empty when linearizable. */
  readonly text: string;
}

/** Operations shown before the point where no order goes on, and beside it. */
const linesMax = 8;

/** Judges the history of one key. */
export function judgeKey<K, S extends Held, A>(
  key: K,
  model: Model<S, A>,
  operations: readonly Operation<A>[],
  limits: SearchLimits = SEARCH_LIMITS_DEFAULT,
  timeText: TimeText = String,
): KeyVerdict<K> {
  const { verdict, configurations, steps } = search(model, operations, limits);
  let text = '';
  if (verdict === 'unknown') {
    text = `undecided after ${configurations} configurations and ${steps} steps: this counts as not passed`;
  } else if (verdict === 'violated') text = explain(model, operations, limits, timeText);
  return { key, verdict, operations: operations.length, configurations, text };
}

/** Judges histories by key. */
export function judgeKeys<K, S extends Held, A>(
  model: Model<S, A>,
  ofKey: ReadonlyMap<K, readonly Operation<A>[]>,
  limits: SearchLimits = SEARCH_LIMITS_DEFAULT,
  timeText: TimeText = String,
): KeyVerdict<K>[] {
  return [...ofKey].map(([key, operations]) => judgeKey(key, model, operations, limits, timeText));
}

/** A history cut where it ceases to be linearizable. */
interface Break {
  /** Indices in an order that explains everything that returned before. */
  readonly order: readonly number[];
  /** The operation whose return no order explains any more. */
  readonly stuck: number;
}

/**
 * Finds the break. A history is cut at a return: what had not returned by then is lost, what had not been
 * called is not there. If a cut is violated so is every later one, so halving finds the first.
 */
function breakOf<S extends Held, A>(
  model: Model<S, A>,
  operations: readonly Operation<A>[],
  limits: SearchLimits,
): Break {
  const returns = operations
    .map((_, i) => i)
    .filter((i) => operations[i]!.return !== Number.POSITIVE_INFINITY)
    .sort((a, b) => operations[a]!.return - operations[b]!.return);
  const cutAfter = (count: number) => {
    const end = returns[count - 1];
    const until = end === undefined ? Number.NEGATIVE_INFINITY : operations[end]!.return;
    const indices = operations.map((_, i) => i).filter((i) => operations[i]!.invoke <= until);
    const before = new Set(returns.slice(0, count));
    const cut = indices.map((i) => {
      return before.has(i) ? operations[i]! : { ...operations[i]!, return: Number.POSITIVE_INFINITY };
    });
    const { verdict, order } = search(model, cut, limits);
    return { isViolated: verdict === 'violated', order: order.map((i) => indices[i]!) };
  };
  let good = 0;
  let bad = returns.length;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (cutAfter(middle).isViolated) bad = middle;
    else good = middle;
  }
  return { order: cutAfter(good).order, stuck: returns[bad - 1]! };
}

/** The longest part that can be ordered, and what does not fit after it. */
function explain<S extends Held, A>(
  model: Model<S, A>,
  operations: readonly Operation<A>[],
  limits: SearchLimits,
  timeText: TimeText,
): string {
  const line = (index: number): string => {
    const { action, invoke, return: end } = operations[index]!;
    const until = end === Number.POSITIVE_INFINITY ? 'never answered' : timeText(end);
    return `    ${model.text(action)} (${timeText(invoke)} to ${until})`;
  };
  const { order, stuck } = breakOf(model, operations, limits);
  let state: S = model.initial;
  for (const i of order) state = model.step(state, operations[i]!.action) ?? state;
  const taken = new Set(order);
  const besides = operations
    .map((_, i) => i)
    .filter((i) => i !== stuck && !taken.has(i) && operations[i]!.invoke <= operations[stuck]!.return)
    .sort((a, b) => operations[b]!.invoke - operations[a]!.invoke);
  const lines = [
    `${order.length} of ${operations.length} operations can be put in an order; it ends`,
    ...order.slice(-linesMax).map(line),
    `  which leaves ${heldText(state)}. In no order is there a place for`,
    line(stuck),
  ];
  if (besides.length > 0) {
    lines.push('  and what was under way as well does not help:', ...besides.slice(0, linesMax).map(line));
    if (besides.length > linesMax) lines.push(`    and ${besides.length - linesMax} more`);
  }
  return lines.join('\n');
}
