/**
 * The OpenAPI document (3.1), put together from the schemas that the routes check with (`schemas.ts`) and the
 * table of errors (`problem.ts`).
 */

import { z } from 'zod';
import type { NodeApi } from '../../node/api.ts';
import { DRAIN, DRAINED, drainPath } from './drain.ts';
import { POLICY_SCHEMAS, policyPaths } from './policy-pages.ts';
import { PROBLEM_KINDS, PROBLEM_TYPE, type ProblemCode } from './problem.ts';
import { BODIES, QUERIES } from './schemas.ts';
import { TOPOLOGY_SCHEMAS, topologyPaths } from './topology-pages.ts';

/** A JSON value of the document. */
type Json = Readonly<Record<string, unknown>>;

/** @param io `input` where what may be left out has a default */
function schemaOf(schema: z.ZodType, io: 'input' | 'output' = 'output'): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { target: 'draft-2020-12', io });
  return json;
}

const { Topology: topologySchema, ...topologyWishes } = TOPOLOGY_SCHEMAS;
const topologySchemas: Json = {
  Topology: schemaOf(topologySchema),
  ...Object.fromEntries(
    Object.entries(topologyWishes).map(([name, schema]) => [name, schemaOf(schema, 'input')]),
  ),
};

/** The parameters in a query schema. */
function parametersOf(schema: z.ZodType): readonly Json[] {
  const properties = schemaOf(schema).properties as Readonly<Record<string, Json>>;
  return Object.entries(properties).map(([name, { description, example, ...rest }]) => ({
    name,
    in: 'query',
    required: false,
    ...(description === undefined ? {} : { description }),
    ...(example === undefined ? {} : { example }),
    schema: rest,
  }));
}

function headerParameter(name: string, description: string): Json {
  return { name, in: 'header', required: false, description, schema: { type: 'string' } };
}

const keyParameter: Json = {
  name: 'key',
  in: 'path',
  required: true,
  description: 'The bytes of the key, percent-encoded (UTF-8 for text). Slashes may stand as they are.',
  schema: { type: 'string', minLength: 1 },
};

const ifMatch = headerParameter(
  'If-Match',
  'The ETag of a read: under last-write-wins write only if nothing changed since (412), under siblings replace what that read saw. * for: only if the key is there.',
);
const ifNoneMatch = headerParameter('If-None-Match', '* for: only if the key is not there.');
const context = headerParameter(
  'Dure-Context',
  'The causal context of a read: what the write has seen, without making it conditional.',
);

function reference(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

function header(description: string, format?: string): Json {
  return { description, schema: { type: 'string', ...(format === undefined ? {} : { format }) } };
}

const valueHeaders: Json = {
  ETag: header('The causal context in quotes; with several siblings, a point and how many.'),
  'Dure-Context': header('The causal context, base64url.'),
  'Dure-Siblings': header('How many values the key has.'),
};
const versionHeaders: Json = {
  ...valueHeaders,
  'Dure-Written-At': header('When it was written, by the clock of its coordinator.', 'date-time'),
  'Dure-Expires-At': header('When it will be gone; left out if never.', 'date-time'),
};

const anyBody: Json = {
  'application/json': { schema: {} },
  'text/plain': { schema: { type: 'string' } },
  'application/octet-stream': { schema: { type: 'string', format: 'binary' } },
};

function problems(...codes: readonly ProblemCode[]): Readonly<Record<string, Json>> {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of [...codes, ...anywhere]) {
    const { status } = PROBLEM_KINDS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, names]) => [
      String(status),
      {
        description: names.map((name) => `${name}: ${PROBLEM_KINDS[name].title}`).join('. '),
        content: { [PROBLEM_TYPE]: { schema: reference('Problem') } },
      },
    ]),
  );
}

/** Errors of the door, that any route gives. */
const anywhere: readonly ProblemCode[] = [
  'invalid',
  'unauthorized',
  'origin-refused',
  'host-refused',
  'request-timeout',
  'headers-too-large',
  'overloaded',
  'internal',
];
/** Errors of a node that asks others. */
const asking: readonly ProblemCode[] = [
  'quorum-unreachable',
  'deadline-exceeded',
  'unavailable',
  'clock-offset',
  'storage-failed',
  'corrupt',
  'protocol',
  'unsupported',
];
const writing: readonly ProblemCode[] = [
  ...asking,
  'pair-too-large',
  'body-too-large',
  'precondition-failed',
  'siblings',
  'siblings-full',
  'unsupported-media-type',
  'storage-full',
  'straggler',
];

const reading: { readonly parameters: readonly Json[]; readonly responses: Readonly<Record<string, Json>> } =
  {
    parameters: [
      headerParameter('If-Match', 'ETags: answer 412 if the key is not as one of them says.'),
      headerParameter('If-None-Match', 'ETags: answer 304 if there is nothing newer.'),
      ...parametersOf(QUERIES.get),
    ],
    responses: {
      200: { description: 'The value, as stored.', headers: versionHeaders, content: anyBody },
      300: {
        description: 'Several siblings, written concurrently; write one with this ETag to replace them.',
        headers: valueHeaders,
        content: { 'application/json': { schema: reference('Siblings') } },
      },
      304: { description: 'The reader has it already.' },
      ...problems(...asking, 'not-found', 'not-acceptable', 'precondition-failed'),
    },
  };

function keyPath(pairBytesMax: number): Json {
  return {
    parameters: [keyParameter],
    get: { operationId: 'getKey', summary: 'Read a key', ...reading },
    head: {
      operationId: 'headKey',
      summary: 'Read a key without its value',
      ...reading,
      responses: Object.fromEntries(
        Object.entries(reading.responses).map(([status, { content: _, ...rest }]) => [status, rest]),
      ),
    },
    put: {
      operationId: 'putKey',
      summary: 'Write a key',
      description: `Key and value together are at most ${pairBytesMax} bytes. JSON is stored without blanks between its tokens, anything else as it is.`,
      parameters: [
        ifMatch,
        ifNoneMatch,
        context,
        headerParameter('Dure-TTL', 'As the parameter ttl.'),
        ...parametersOf(QUERIES.put),
      ],
      requestBody: { required: true, content: anyBody },
      responses: {
        201: { description: 'Created (If-None-Match: *).' },
        204: { description: 'Written.' },
        ...problems(...writing),
      },
    },
    delete: {
      operationId: 'deleteKey',
      summary: 'Delete a key',
      description: 'Whether or not it is there.',
      parameters: [ifMatch, context, ...parametersOf(QUERIES.delete)],
      responses: { 204: { description: 'It is not there any more.' }, ...problems(...writing) },
    },
  };
}

const listPath: Json = {
  get: {
    operationId: 'listKeys',
    summary: 'List keys by prefix',
    description:
      'In no order. A page does a bounded part of the walk over all keys and may hold few or none of those looked for; go on until cursor is null.',
    parameters: parametersOf(QUERIES.list),
    responses: {
      200: { description: 'A page.', content: { 'application/json': { schema: reference('Keys') } } },
      ...problems(...asking),
    },
  },
};

const batchPath: Json = {
  post: {
    operationId: 'batch',
    summary: 'Several operations',
    description: 'Not atomic, and in no order: each has a status of its own.',
    parameters: parametersOf(QUERIES.batch),
    requestBody: {
      required: true,
      content: { 'application/json': { schema: reference('Batch') } },
    },
    responses: {
      200: {
        description: 'One result an operation, in their order.',
        content: { 'application/json': { schema: reference('BatchAnswer') } },
      },
      ...problems('body-too-large', 'unsupported-media-type'),
    },
  },
};

/** The document of one node. */
export function openApiDocument(parts: {
  readonly node: NodeApi;
  readonly version: string;
  readonly secured: boolean;
}): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Dure: data API',
      version: parts.version,
      description: 'A distributed key-value store: every node takes every request.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    ...(parts.secured ? { security: [{ bearer: [] }, { basic: [] }] } : {}),
    paths: {
      '/v1/keys/{key}': keyPath(parts.node.pairBytesMax),
      '/v1/keys': listPath,
      '/v1/batch': batchPath,
      ...policyPaths(problems, asking),
      ...topologyPaths(problems, asking),
      '/v1/nodes/{id}/drain': drainPath(problems),
    },
    components: {
      schemas: {
        Problem: schemaOf(BODIES.problem),
        Siblings: schemaOf(BODIES.siblings),
        Keys: schemaOf(BODIES.keys),
        Batch: schemaOf(BODIES.batch),
        BatchAnswer: schemaOf(BODIES.batchAnswer),
        Policies: schemaOf(POLICY_SCHEMAS.Policies),
        PolicyWish: schemaOf(POLICY_SCHEMAS.PolicyWish),
        PolicyChange: schemaOf(POLICY_SCHEMAS.PolicyChange),
        ...topologySchemas,
        NodeDrain: schemaOf(DRAIN, 'input'),
        NodeDrained: schemaOf(DRAINED),
      },
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'The password of the cluster.' },
        basic: {
          type: 'http',
          scheme: 'basic',
          description: 'User default, and the password of the cluster.',
        },
      },
    },
  };
}
