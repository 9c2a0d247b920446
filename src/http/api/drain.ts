/**
 * `POST /v1/nodes/:id/drain`: a node is told to be used no more, before it is stopped.
 *
 * The one page below `/v1/nodes` that only the node itself can do: the topology stays as it is, and nobody else has a
 * part in it. So another node refuses, and says where to ask.
 */

import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { NodeApi } from '../../node/api.ts';
import { bodyOf, idOf } from './body.ts';
import { Problem } from './problem.ts';
import { checked } from './schemas.ts';
import { ID_PARAMETER, type Problems } from './topology-pages.ts';

/** A longer one would outlast the time that an answer may take, milliseconds. */
export const GRACE_MS_MAX = 45_000;

export const DRAIN: z.ZodType<{ readonly graceMs: number }> = z.strictObject({
  graceMs: z.int().min(0).max(GRACE_MS_MAX).default(0).meta({
    description: 'Requests are taken for so long still, while health says that the node is not ready.',
  }),
});

/** What is answered once the node is drained. */
export interface DrainAnswer {
  readonly node: string;
  readonly drained: true;
  readonly unfinished: number;
}

/** The same as a schema. */
export const DRAINED: z.ZodType<DrainAnswer> = z.object({
  node: z.string(),
  drained: z.literal(true),
  unfinished: z.int().min(0).meta({ description: 'Requests that were not answered within two seconds.' }),
});

export const DRAIN_METHODS: readonly [path: string, methods: string] = ['/v1/nodes/:id/drain', 'POST'];

/** Adds the route. @param drain see `NodeProcess.drain` */
export function addDrain(
  app: FastifyInstance,
  node: NodeApi,
  drain: (graceMs: number) => Promise<number>,
): void {
  app.post('/nodes/:id/drain', async (request): Promise<DrainAnswer> => {
    const id = idOf(request);
    checked(z.strictObject({}), request.query, 'query');
    const { graceMs } = bodyOf(DRAIN, request);
    if (id !== node.id) throw new Problem('invalid', elsewhere(node, id), 'fail');
    return { node: id, drained: true, unfinished: await drain(graceMs) };
  });
}

function elsewhere(node: NodeApi, id: string): string {
  const member = node.topology.members.find((each) => each.id === id);
  if (member === undefined) return `${id} is no member; nothing was done`;
  const { host, httpPort } = member;
  const address = `http://${host.includes(':') ? `[${host}]` : host}:${httpPort}`;
  const where = httpPort === 0 ? 'it has no HTTP port: stop its process' : `ask it at ${address}`;
  return `this is ${node.id}, and only ${id} itself can drain; ${where}; nothing was done`;
}

/** Its part of the OpenAPI document. */
export function drainPath(problems: Problems): object {
  const content = (name: string) => ({
    'application/json': { schema: { $ref: `#/components/schemas/${name}` } },
  });
  return {
    parameters: [ID_PARAMETER],
    post: {
      operationId: 'drainNode',
      summary: 'Stop using a node, before its process is stopped',
      description:
        'Only the node itself does it. It says that it is not ready, takes no new requests, answers those under way, ' +
        'and then answers this. It stays a member, and drained until it is started again.',
      requestBody: { required: false, content: content('NodeDrain') },
      responses: {
        200: { description: 'The node is drained.', content: content('NodeDrained') },
        ...problems('body-too-large', 'unsupported-media-type'),
      },
    },
  };
}
