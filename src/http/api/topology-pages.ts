/**
 * What the pages of the topology (`topology.ts`) take and answer, as schemas, and their part of the OpenAPI document.
 */

import { z } from 'zod';
import type { TopologyMember } from '../../topology/topology.ts';
import type { ProblemCode } from './problem.ts';

/** A JSON value of the document. */
type Json = Readonly<Record<string, unknown>>;

const flag = z.enum(['true', 'false']).transform((word) => word === 'true');

export interface TopologyQuery {
  readonly lists?: boolean | undefined;
  readonly encoded?: boolean | undefined;
}

export const TOPOLOGY_QUERY: z.ZodType<TopologyQuery> = z.strictObject({
  lists: flag.optional(),
  encoded: flag.optional(),
});
/** No parameters: one is a mistake. */
export const CHANGE_QUERY: z.ZodType = z.strictObject({});

/** As in a configuration (`NAME` there). */
const nameText = /^[A-Za-z0-9._-]{1,64}$/;
const memberId = z.string().regex(nameText, 'expected 1 to 64 chars of A-Z a-z 0-9 . _ -');
const port = (least: 0 | 1): z.ZodInt => z.int().min(least).max(65_535);
const weight = z
  .number()
  .min(0.001)
  .max(1_000_000)
  .meta({ description: 'Its share of the data, relative to the others.' });
const zone = memberId.meta({ description: 'What it fails together with.' });
const ids = z.array(memberId).max(1024);

const memberFields = {
  id: memberId,
  host: z
    .string()
    .min(1)
    .max(253)
    .regex(/^[^\s/\]]+$/, 'expected a host name or an address, without a port')
    .meta({ description: 'What clients and the other nodes dial.' }),
  respPort: port(0).default(0).meta({ description: 'Port for Redis clients; 0: none.' }),
  peerPort: port(1).meta({ description: 'Port for the other nodes.' }),
  httpPort: port(0).default(0).meta({ description: 'Port for HTTP; 0: none.' }),
  zone: zone.default('default'),
  weight: weight.default(1),
};

/** A body with `cluster`: one meant for another cluster is refused. */
export interface Join extends TopologyMember {
  readonly cluster?: string | undefined;
}

export const MEMBER_ID: z.ZodType<string> = memberId;
export const JOIN: z.ZodType<Join> = z.strictObject({
  ...memberFields,
  cluster: memberId.optional().meta({ description: 'The cluster that is meant; another one refuses.' }),
});
export const REMOVE: z.ZodType<{ readonly ids?: readonly string[] | undefined }> = z.strictObject({
  ids: ids.optional().meta({ description: 'More members that are gone with it.' }),
});
export const REPLACE: z.ZodType<{ readonly member: TopologyMember }> = z.strictObject({
  member: z.strictObject(memberFields).meta({ description: 'The new member.' }),
});
export const WEIGHT: z.ZodType<{ readonly weight: number }> = z.strictObject({ weight });
export const FORCE: z.ZodType<{ readonly gone: readonly string[] }> = z.strictObject({
  gone: ids.min(1).meta({ description: 'Members that are lost for good.' }),
});
export const NOTHING: z.ZodType<object> = z.strictObject({});

const count = z.int().min(0);
const shares = {
  primaries: count.meta({ description: 'Partitions it is the primary of.' }),
  replicas: count.meta({ description: 'Partitions it holds a replica of.' }),
};

const shownMember = z.object({
  id: z.string(),
  state: z.enum(['owning', 'joining', 'leaving', 'gone']).meta({
    description:
      'owning: before and after the change under way. gone: the change goes on without asking it, and it has no address.',
  }),
  zone: z.string(),
  weight: z.number(),
  host: z.string().optional(),
  respPort: count.optional(),
  peerPort: count.optional(),
  httpPort: count.optional(),
  live: z.boolean().optional().meta({ description: 'Whether the node that answers hears it.' }),
  ...shares,
  next: z.object(shares).optional().meta({ description: 'After the change; left out while there is none.' }),
});

const change = z.object({
  kind: z.enum(['join', 'leave', 'remove', 'replace', 'weight']),
  id: z.int().meta({ description: 'Drawn by whoever asked.' }),
  nodes: z.array(z.string()).meta({ description: 'Those that come, go, or weigh otherwise.' }),
  gone: z.array(z.string()).meta({ description: 'Those that are gone for good.' }),
  epoch: count.meta({ description: 'Its first epoch.' }),
  beganAt: z.string().meta({ format: 'date-time', example: '2026-11-21T12:00:00.000Z' }),
  cancelled: z.literal(true).optional().meta({ description: 'It was given up.' }),
});

const moves = z.object({
  epoch: count,
  partitions: count.meta({ description: 'Partitions that this node fetches in this epoch.' }),
  partitionsDone: count,
  rows: count,
  bytes: count,
  bytesLeft: z.number().min(0).meta({ description: 'Estimated; 0 while it is not known.' }),
  bytesPerSecond: z.number().min(0),
  waitsFor: z.array(z.string()).meta({ description: 'Members that cannot be reached and are waited for.' }),
  strays: count.meta({ description: 'Partitions held here that belong to others now.' }),
  rowsTotal: count,
  bytesTotal: count,
  partitionsCleaned: count,
});

const listOfIndices = z.array(count);
const lists = z.object({
  ids: z.array(z.string()),
  read: z.array(listOfIndices).meta({ description: 'A list a partition, as indices into ids.' }),
  other: z.array(listOfIndices).optional(),
});

export interface TopologySchemas {
  readonly Topology: z.ZodType;
  readonly NodeJoin: z.ZodType;
  readonly NodeRemove: z.ZodType;
  readonly NodeReplace: z.ZodType;
  readonly NodeWeight: z.ZodType;
  readonly TopologyForce: z.ZodType;
}

/** Bodies, by their names in the document. */
export const TOPOLOGY_SCHEMAS: TopologySchemas = {
  Topology: z.object({
    node: z.string().meta({ description: 'The node that answers.' }),
    cluster: z.string(),
    epoch: z.int().min(1),
    phase: z.enum(['steady', 'enrol', 'copy', 'switch']).meta({
      description:
        'enrol: newcomers are waited for. copy: what is to be moved is copied. switch: reads go to the new owners. steady: no change.',
    }),
    partitions: z.int().min(1),
    replicas: z.int().min(1).meta({ description: 'N as wanted.' }),
    change: change
      .optional()
      .meta({ description: 'The change under way; while steady, the one that led here.' }),
    members: z.array(shownMember),
    zones: z.array(z.object({ zone: z.string(), members: count, ...shares })),
    moves: moves.meta({ description: 'Of the node that answers: ask every node for all of it.' }),
    lists: lists.optional(),
    warnings: z
      .array(z.string())
      .optional()
      .meta({ description: 'Of a change: what whoever asked for it should know.' }),
    encoded: z
      .string()
      .optional()
      .meta({ description: 'The whole epoch as nodes exchange it, base64: for a node that joins.' }),
  }),
  NodeJoin: JOIN,
  NodeRemove: REMOVE,
  NodeReplace: REPLACE,
  NodeWeight: WEIGHT,
  TopologyForce: FORCE,
};

export const ID_PARAMETER: Json = {
  name: 'id',
  in: 'path',
  required: true,
  description: 'The id of a member.',
  schema: { type: 'string', pattern: nameText.source },
};

function jsonBody(name: keyof TopologySchemas): Json {
  return { 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } };
}

export type Problems = (...codes: readonly ProblemCode[]) => Json;

/** A change of the topology. */
function changing(
  operationId: string,
  summary: string,
  failing: Json,
  body: keyof TopologySchemas | undefined,
  description: string,
  required = true,
): Json {
  return {
    operationId,
    summary,
    description,
    ...(body === undefined ? {} : { requestBody: { required, content: jsonBody(body) } }),
    responses: {
      200: {
        description: 'The first epoch of the change is chosen: it goes on by itself.',
        content: jsonBody('Topology'),
      },
      ...failing,
    },
  };
}

function queryFlag(name: string, description: string): Json {
  return {
    name,
    in: 'query',
    required: false,
    description,
    schema: { type: 'string', enum: ['true', 'false'] },
  };
}

/**
 * The paths of the document.
 * @param problems makes the answers that are errors
 * @param asking errors of a node that asks others
 */
export function topologyPaths(problems: Problems, asking: readonly ProblemCode[]): Json {
  const failing = problems(...asking, 'storage-full', 'body-too-large', 'unsupported-media-type');
  const { 401: _, ...openProblems } = problems();
  return {
    '/v1/topology': {
      get: {
        operationId: 'getTopology',
        summary: 'The members, what each owns, and the change under way, as this node knows them',
        description: 'Asks for no password.',
        security: [],
        parameters: [
          queryFlag('lists', 'With the preference lists of all partitions.'),
          queryFlag('encoded', 'With the whole epoch as nodes exchange it.'),
        ],
        responses: {
          200: { description: 'The epoch in force at this node.', content: jsonBody('Topology') },
          ...openProblems,
        },
      },
    },
    '/v1/topology/cancel': {
      post: changing(
        'cancelChange',
        'Give up the change under way',
        failing,
        undefined,
        'Possible until all is copied (phases enrol and copy).',
      ),
    },
    '/v1/topology/force': {
      post: changing(
        'forceTopology',
        'Go on after the majority of the members was lost for good',
        failing,
        'TopologyForce',
        'Ask one node only. What only the lost members held is gone.',
      ),
    },
    ...memberPaths(failing),
  };
}

/** Those of one member. */
function memberPaths(failing: Json): Json {
  const ofMember = (operation: Json, method = 'post'): Json => ({
    parameters: [ID_PARAMETER],
    [method]: operation,
  });
  return {
    '/v1/nodes': {
      post: changing(
        'joinNode',
        'Take a node in',
        failing,
        'NodeJoin',
        'A node that is started with `join` asks this by itself. Twice is as good as once.',
      ),
    },
    '/v1/nodes/{id}/leave': ofMember(
      changing('leaveNode', 'Let a member go', failing, undefined, 'It gives away what it holds, and ends.'),
    ),
    '/v1/nodes/{id}/remove': ofMember(
      changing(
        'removeNode',
        'Go on without a member that will not come back',
        failing,
        'NodeRemove',
        'Its process must have ended. What it held is made anew from the other replicas.',
        false,
      ),
    ),
    '/v1/nodes/{id}/replace': ofMember(
      changing(
        'replaceNode',
        'Put a new node in the place of a member that will not come back',
        failing,
        'NodeReplace',
        'The process of the old one must have ended.',
      ),
    ),
    '/v1/nodes/{id}/weight': ofMember(
      changing(
        'weighNode',
        'Give a member another share of the data',
        failing,
        'NodeWeight',
        'Relative to the others.',
      ),
      'put',
    ),
  };
}
