/**
 * `POST /repair`: repair on demand. The answer is a stream of JSON lines: how far it has come, about twice a
 * second, and a last one that says how it ended. It goes on when nobody reads any more.
 *
 * The body may name a `partition`, and ask with `all` also for the pairs of replicas that the other nodes
 * compare in their rounds; left out, all nodes asked together cover each pair once.
 */

import type { FastifyInstance } from 'fastify';
import type { NodeApi } from '../node/api.ts';
import type { RepairProgress } from '../node/repair-demand.ts';

/** A line of the stream. */
export interface RepairLine extends Omit<RepairProgress, 'beganAt'> {
  readonly node: string;
  readonly elapsedMs: number;
  readonly done: boolean;
  /** Why it is not all equal, in the last line; empty when it is. */
  readonly error: string;
}

const lineEveryMs = 500;
const runsMax = 4;
/** A reader that takes nothing is told nothing more, bytes. */
const unreadBytesMax = 64 * 1024;

interface RepairBody {
  readonly partition?: number;
  readonly all?: boolean;
}

/** Adds the route. */
export function addRepair(app: FastifyInstance, node: NodeApi): void {
  let runs = 0;
  const partitions = node.table.partitionCount;
  const schema = {
    body: {
      type: ['object', 'null'],
      // `additionalProperties` would let Fastify drop a misspelt word, and repair everything.
      propertyNames: { enum: ['partition', 'all'] },
      properties: {
        partition: { type: 'integer', minimum: 0, maximum: partitions - 1 },
        all: { type: 'boolean' },
      },
    },
  };
  app.post<{ Body: RepairBody | null | undefined }>('/repair', { schema }, (request, reply) => {
    if (runs >= runsMax) {
      reply.code(429).send({ error: `${runsMax} repairs are under way at this node already` });
      return reply;
    }
    const { partition, all } = request.body ?? {};
    runs++;
    reply.hijack();
    const out = reply.raw;
    out.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    let last: RepairProgress | undefined;
    const write = (progress: RepairProgress, done: boolean, error: string): void => {
      if (out.destroyed || out.writableLength > unreadBytesMax) return;
      const { beganAt, ...rest } = progress;
      const elapsedMs = Math.round(node.monotonic() - beganAt);
      const line: RepairLine = { node: node.id, ...rest, elapsedMs, done, error };
      out.write(`${JSON.stringify(line)}\n`);
    };
    const timer = setInterval(() => {
      if (last !== undefined) write(last, false, '');
    }, lineEveryMs);
    timer.unref();
    node.repair(
      { ...(partition === undefined ? {} : { partitions: [partition] }), ...(all === true ? { all } : {}) },
      (progress) => {
        if (last === undefined) write(progress, false, '');
        last = progress;
      },
      (error, progress) => {
        runs--;
        clearInterval(timer);
        write(progress, true, error?.message ?? '');
        out.end();
      },
    );
    return reply;
  });
}
