/**
 * What the pages of policies (`policies.ts`) take and answer, as schemas, and their part of the OpenAPI document.
 */

import { z } from 'zod';
import type { ProblemCode } from './problem.ts';

/** A JSON value of the document. */
type Json = Readonly<Record<string, unknown>>;

/** No parameters: one is a mistake. */
export const POLICY_QUERY: z.ZodType = z.strictObject({});

const prefixFields = {
  prefix: z.string().optional().meta({ description: 'The prefix as text; empty for the default.' }),
  prefixBase64: z
    .string()
    .optional()
    .meta({ description: 'The prefix as base64, where its bytes are not UTF-8.' }),
};
const words = z.string().meta({
  description: 'A policy in words: a preset, or both R= and W=, and what changes it.',
  example: 'PA/EC SIBLINGS TTL=15m',
});
const replicaCount = z.int().min(1).max(15);
const quorum = z.enum(['strict', 'sloppy']);
const conflicts = z.enum(['siblings', 'last-write-wins']);
const siblingsRead = z.enum(['newest', 'error']);
const moment = z.string().meta({ format: 'date-time', example: '2026-11-21T12:00:00.000Z' });

const policy = z.object({
  ...prefixFields,
  policy: words,
  r: replicaCount,
  w: replicaCount,
  quorum,
  conflicts,
  siblingsRead,
  ttl: z.string().meta({ description: 'Time to live of values that are written without one; 0 for none.' }),
  origin: z.enum(['default', 'config', 'run-time']).meta({
    description: 'run-time: set on all nodes; else as the configuration of this node says.',
  }),
  setAt: moment.optional(),
});

const known = z.object({
  atRunTime: z.int().meta({ description: 'Policies that were set at run time.' }),
  changedAt: z.int().meta({
    description: 'When the newest change known here was made, milliseconds since 1970; 0 if there was none.',
  }),
  fingerprint: z.string().meta({ description: 'Equal at nodes that know the same changes.' }),
  inForce: z.string().meta({ description: 'Equal at nodes that go by the same policies.' }),
});

const wish = z.union([
  words,
  z.strictObject({
    policy: words.optional(),
    r: replicaCount.optional(),
    w: replicaCount.optional(),
    quorum: quorum.optional(),
    conflicts: conflicts.optional(),
    siblingsRead: siblingsRead.optional(),
    ttl: z.union([z.string(), z.int()]).optional(),
  }),
]);

const change = z.object({
  ...prefixFields,
  policy: words.optional(),
  acknowledged: z.array(z.string()).meta({ description: 'Nodes that made it durable and go by it.' }),
  missed: z
    .array(z.string())
    .meta({ description: 'Nodes that did not answer; they learn it when they are reached again.' }),
});

export interface PolicySchemas {
  readonly Policies: z.ZodType;
  readonly PolicyWish: z.ZodType;
  readonly PolicyChange: z.ZodType;
}

/** Bodies, by their names in the document. */
export const POLICY_SCHEMAS: PolicySchemas = {
  Policies: z.object({
    node: z.string(),
    replicas: z.int().meta({ description: 'N.' }),
    policies: z.array(policy).meta({ description: 'By prefix; the default first.' }),
    known: known.optional(),
  }),
  PolicyWish: wish,
  PolicyChange: change,
};

const prefixParameter: Json = {
  name: 'prefix',
  in: 'path',
  required: true,
  description:
    'The bytes that the keys begin with, percent-encoded (UTF-8 for text). Slashes may stand as they are; nothing at all for the default.',
  schema: { type: 'string' },
};

function jsonBody(name: keyof PolicySchemas): Json {
  return { 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } };
}

/**
 * The paths of the document.
 * @param problems makes the answers that are errors
 * @param asking errors of a node that asks others
 */
export function policyPaths(
  problems: (...codes: readonly ProblemCode[]) => Json,
  asking: readonly ProblemCode[],
): Json {
  const changed: Json = {
    description: 'Durable at all nodes that were reached.',
    content: jsonBody('PolicyChange'),
  };
  const failing = problems(...asking, 'storage-full', 'body-too-large', 'unsupported-media-type');
  return {
    '/v1/policies': {
      get: {
        operationId: 'listPolicies',
        summary: 'The policies of key prefixes in force at this node',
        responses: { 200: { description: 'All of them.', content: jsonBody('Policies') }, ...problems() },
      },
    },
    '/v1/policies/{prefix}': {
      parameters: [prefixParameter],
      put: {
        operationId: 'setPolicy',
        summary: 'Set the policy of a key prefix on all nodes',
        description: 'Over what their configurations say. Kept over restarts.',
        requestBody: {
          required: true,
          content: { ...jsonBody('PolicyWish'), 'text/plain': { schema: { type: 'string' } } },
        },
        responses: { 200: changed, ...failing },
      },
      delete: {
        operationId: 'unsetPolicy',
        summary: 'Take back the policy that was set for a key prefix at run time',
        responses: { 200: changed, ...failing },
      },
    },
  };
}
