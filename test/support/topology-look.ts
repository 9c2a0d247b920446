/** Looks at the topology as nodes tell it over HTTP, and waits until a change of it is over. */

import assert from 'node:assert/strict';
import type { TopologyAnswer } from '../../src/http/api/topology-json.ts';
import { httpCall, wholeText } from '../../src/main/http-call.ts';
import { until } from './wait.ts';

const answerMaxMs = 2000;
const changeMaxMs = 60_000;

/** What a node tells. @param query as `?lists=true` */
export async function topologyAt(httpPort: number, query: string = ''): Promise<TopologyAnswer> {
  const call = { timeoutMs: answerMaxMs };
  const answer = await httpCall(`127.0.0.1:${httpPort}`, `/v1/topology${query}`, call);
  const text = await wholeText(answer);
  assert.equal(answer.status, 200, text);
  return JSON.parse(text) as TopologyAnswer;
}

/** Waits until all of them know the same steady epoch, with these members and nothing left to clean up. */
export async function steadyTopology(
  httpPorts: readonly number[],
  ids: readonly string[],
): Promise<readonly TopologyAnswer[]> {
  let seen: readonly TopologyAnswer[] = [];
  await until(
    async () => {
      seen = await Promise.all(httpPorts.map((port) => topologyAt(port).catch(() => ({}) as TopologyAnswer)));
      const epoch = seen[0]?.epoch;
      return seen.every((answer) => {
        const isHere = answer.members?.map(({ id }) => id).join() === ids.join();
        return answer.phase === 'steady' && answer.epoch === epoch && isHere && answer.moves.strays === 0;
      });
    },
    () => {
      const told = seen.map(({ node, epoch, phase, moves }) => [node, epoch, phase, moves]);
      return `steady with ${ids.join(', ')}: ${JSON.stringify(told)}`;
    },
    changeMaxMs,
  );
  return seen;
}
