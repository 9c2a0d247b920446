/**
 * Judges histories: one key at a time, and in words that a person can follow.
 *
 * A history of several keys is linearizable exactly if that of each key is (Herlihy and Wing, 1990), so
 * each is searched by itself: short time lines instead of one long one. A key whose search reached its
 * bound is *unknown*: it has not passed, and whoever asks must say so.
 */

import type { Held, Model } from './model.ts';
import { type DeadEnd, type Operation, SEARCH_LIMITS_DEFAULT, type SearchLimits, search } from './search.ts';

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

/** Lines of an explanation before and after the point where no order goes on. */
const linesMax = 8;

/** Judges the history of one key. */
export function judgeKey<K, S extends Held, A>(
  key: K,
  model: Model<S, A>,
  operations: readonly Operation<A>[],
  limits: SearchLimits = SEARCH_LIMITS_DEFAULT,
  timeText: TimeText = String,
): KeyVerdict<K> {
  const { verdict, deadEnd, configurations, steps } = search(model, operations, limits);
  let text = '';
  if (verdict === 'unknown') {
    text = `undecided after ${configurations} configurations and ${steps} steps: this counts as not passed`;
  } else if (deadEnd !== undefined) text = explain(model, operations, deadEnd, timeText);
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

/** The longest part that can be ordered, and what does not fit after it. */
function explain<S extends Held, A>(
  model: Model<S, A>,
  operations: readonly Operation<A>[],
  deadEnd: DeadEnd,
  timeText: TimeText,
): string {
  const line = (index: number): string => {
    const { action, invoke, return: end } = operations[index]!;
    const until = end === Number.POSITIVE_INFINITY ? 'never answered' : timeText(end);
    return `    ${model.text(action)} (${timeText(invoke)} to ${until})`;
  };
  const { order, stuck, state } = deadEnd;
  const taken = new Set(order);
  const by = operations[stuck]!.return;
  const besides = operations
    .map((_, i) => i)
    .filter((i) => i !== stuck && !taken.has(i) && operations[i]!.invoke <= by)
    .sort((a, b) => operations[b]!.invoke - operations[a]!.invoke);
  const lines = [
    `${order.length} of ${operations.length} operations can be put in an order; it ends`,
    ...order.slice(-linesMax).map(line),
    `  which leaves ${state === null ? 'nothing' : `the value ${state}`}. No order has a place for`,
    line(stuck),
  ];
  if (besides.length > 0) {
    lines.push(
      '  and none of those that were under way as well helps:',
      ...besides.slice(0, linesMax).map(line),
    );
    if (besides.length > linesMax) lines.push(`    and ${besides.length - linesMax} more`);
  }
  return lines.join('\n');
}
