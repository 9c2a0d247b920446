/**
 * Gauges: whether anything in a node has grown beyond its limit.
 *
 * The picture: the needles in a boiler room, each with a red mark. Every queue, buffer and map has a bound;
 * those that tell their size are read now and then during a run, under faults too.
 */

import type { Machine } from './cluster.ts';
import type { Plan } from './plan.ts';

/** What is beyond its limit in a machine's node now, as sentences. */
export function overLimits(machine: Machine, plan: Plan): string[] {
  const { node } = machine;
  if (node === undefined || !machine.ready) return [];
  const over: string[] = [];
  const { requestsInFlight, writesUnsettled } = node.figures();
  const check = (what: string, size: number, limit: number): void => {
    if (size > limit) over.push(`${machine.id}: ${size} ${what}, beyond the limit of ${limit}`);
  };
  // An update counts as a waiting request, and again while its read or its write is under way.
  check('requests in flight', requestsInFlight, 2 * plan.requestsMax);
  // The table of flights has a limit of its own (`src/node/flights.ts`); queued updates come on top.
  check('flights', requestsInFlight + writesUnsettled, (flightsFactor + 1) * plan.requestsMax);
  const { hints } = node.status();
  for (const { target, bytes } of hints?.targets ?? []) {
    check(`hints for ${target}`, bytes, plan.upkeep.hintBytesMax);
  }
  return over;
}

const flightsFactor = 4;
