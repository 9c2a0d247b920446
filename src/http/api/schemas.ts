/**
 * What requests to the data API may say and what answers hold, as schemas: the routes check with them, and the
 * OpenAPI document (`openapi.ts`) is made from the same ones, so that it cannot say anything else.
 *
 * Unknown parameters are mistakes: `?tlt=30s` must not store a value for ever.
 */

import { z } from 'zod';
import type { KeyJson } from './key.ts';
import type { Kind } from './media.ts';
import { Problem } from './problem.ts';

/** Operations of one batch. */
export const BATCH_OPERATIONS_MAX = 128;
/** Keys a page of a listing is asked for at most. */
export const LIST_LIMIT_MAX = 1000;
export const LIST_LIMIT_DEFAULT = 100;
/** A request may ask for a deadline of at most so long, milliseconds. */
export const TIMEOUT_MS_MAX = 30_000;

/** The parameters that all routes take. */
export interface ConsistencyQuery {
  readonly consistency?: string | undefined;
  readonly r?: number | undefined;
  readonly w?: number | undefined;
  readonly quorum?: 'strict' | 'sloppy' | undefined;
  readonly timeout?: string | undefined;
}

export interface GetQuery extends ConsistencyQuery {
  readonly as?: Kind | undefined;
  readonly siblings?: 'all' | 'newest' | undefined;
}

export interface PutQuery extends ConsistencyQuery {
  readonly ttl?: string | undefined;
}

export interface ListQuery extends ConsistencyQuery {
  readonly prefix?: string | undefined;
  readonly prefixBase64?: string | undefined;
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

interface GetOperation extends KeyJson {
  readonly op: 'get';
  readonly as?: Kind | undefined;
  readonly siblings?: 'all' | 'newest' | undefined;
}

interface PutOperation extends KeyJson {
  readonly op: 'put';
  readonly value?: unknown;
  readonly text?: string | undefined;
  readonly base64?: string | undefined;
  readonly ttl?: string | undefined;
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: '*' | undefined;
}

interface DeleteOperation extends KeyJson {
  readonly op: 'delete';
  readonly ifMatch?: string | undefined;
}

export type BatchOperation = GetOperation | PutOperation | DeleteOperation;

export interface Batch {
  readonly operations: readonly BatchOperation[];
}

function whole(min: number, max: number, description: string): z.ZodType<number> {
  return z
    .string()
    .regex(/^\d{1,9}$/, 'expected a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .meta({ description });
}

const duration = z
  .string()
  .regex(/^\d{1,12}(ms|s|m|h|d)$/, 'expected a time with its unit, such as 500ms, 30s, 15m, 12h or 7d')
  .meta({ example: '30s' });

const ttl = duration.meta({
  description: 'Time to live. Without it the default of the key’s policy applies.',
});
const as = z
  .enum(['json', 'text', 'bytes'])
  .meta({ description: 'What to show the value as, whatever Accept says.' });
const siblings = z
  .enum(['all', 'newest'])
  .meta({ description: 'Of several siblings show all (300), or only the newest (200).' });

const consistency = {
  consistency: z.string().max(512).optional().meta({
    description:
      'Policy of this request instead of the key’s own: PA/EL, PA/EC, PC/EL, PC/EC, or words such as R=2 W=2 STRICT.',
    example: 'PC/EC',
  }),
  r: whole(1, 15, 'R: replicas a read waits for.').optional(),
  w: whole(1, 15, 'W: replicas a write waits for.').optional(),
  quorum: z
    .enum(['strict', 'sloppy'])
    .optional()
    .meta({ description: 'Whether only the key’s own replicas count.' }),
  timeout: duration
    .optional()
    .meta({ description: 'How long the request may take, at most 30s.', example: '500ms' }),
};

export interface Queries {
  readonly get: z.ZodType<GetQuery>;
  readonly put: z.ZodType<PutQuery>;
  readonly delete: z.ZodType<ConsistencyQuery>;
  readonly list: z.ZodType<ListQuery>;
  readonly batch: z.ZodType<ConsistencyQuery>;
}

/** Query parameters, a route each. */
export const QUERIES: Queries = {
  get: z.strictObject({ as: as.optional(), siblings: siblings.optional(), ...consistency }),
  put: z.strictObject({ ttl: ttl.optional(), ...consistency }),
  delete: z.strictObject(consistency),
  list: z.strictObject({
    prefix: z.string().optional().meta({ description: 'Keys that begin with this.' }),
    prefixBase64: z
      .string()
      .optional()
      .meta({ description: 'The same as base64, for bytes that are not UTF-8.' }),
    limit: whole(
      1,
      LIST_LIMIT_MAX,
      'About how many keys; a page may hold fewer, none even, or a few more.',
    ).optional(),
    cursor: z.string().max(64).optional().meta({ description: 'From the page before.' }),
    ...consistency,
  }),
  batch: z.strictObject(consistency),
};

const keyFields = {
  key: z.string().optional().meta({ description: 'The key as text.' }),
  keyBase64: z.string().optional().meta({ description: 'The key as base64, for bytes that are not UTF-8.' }),
};

const anyJson = z.unknown().meta({ description: 'Any JSON.' });
const moment = z.string().meta({ format: 'date-time', example: '2026-11-21T12:00:00.000Z' });

const valueFields = {
  value: anyJson.optional(),
  text: z.string().optional(),
  base64: z.string().optional().meta({ description: 'The bytes of a value that is not JSON.' }),
};

const context = z.string().meta({ description: 'The causal context, as in If-Match without its quotes.' });

const version = {
  ...valueFields,
  writtenAt: moment,
  expiresAt: moment.optional(),
};

const getOperation = z.strictObject({
  op: z.literal('get'),
  ...keyFields,
  as: as.optional(),
  siblings: siblings.optional(),
});
const putOperation = z.strictObject({
  op: z.literal('put'),
  ...keyFields,
  ...valueFields,
  ttl: ttl.optional(),
  ifMatch: z.string().optional().meta({ description: 'As the header If-Match.' }),
  ifNoneMatch: z.literal('*').optional().meta({ description: 'Only if the key is not there.' }),
});
const deleteOperation = z.strictObject({
  op: z.literal('delete'),
  ...keyFields,
  ifMatch: z.string().optional().meta({ description: 'As the header If-Match.' }),
});

const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string().meta({ description: 'Stable name of the error; docs/http.md lists them.' }),
  outcome: z.enum(['fail', 'unknown', 'none']).meta({
    description:
      'What became of the data. fail: nothing was written and never will be. unknown: it may have been written, or may be later. none: the request was a read.',
  }),
  retryable: z.boolean().meta({ description: 'Sending it again may help and does no harm.' }),
});

const batchAnswer = z.object({
  status: z.int().meta({ description: 'The status that a request of its own would have had.' }),
  ...keyFields,
  etag: z.string().optional(),
  ...valueFields,
  writtenAt: moment.optional(),
  expiresAt: moment.optional(),
  siblings: z.array(z.object(version)).optional(),
  problem: problem.optional(),
});

export interface Bodies {
  readonly problem: z.ZodType;
  readonly siblings: z.ZodType;
  readonly keys: z.ZodType;
  readonly batch: z.ZodType<Batch>;
  readonly batchAnswer: z.ZodType;
}

/** Bodies. */
export const BODIES: Bodies = {
  problem,
  siblings: z.object({ ...keyFields, context, siblings: z.array(z.object(version)) }),
  keys: z.object({
    keys: z.array(z.object(keyFields)),
    cursor: z.string().nullable().meta({ description: 'For the next page; null after the last.' }),
  }),
  batch: z.strictObject({
    operations: z
      .array(z.discriminatedUnion('op', [getOperation, putOperation, deleteOperation]))
      .min(1)
      .max(BATCH_OPERATIONS_MAX),
  }),
  batchAnswer: z.object({
    results: z.array(batchAnswer).meta({ description: 'One an operation, in their order.' }),
  }),
};

/** What an object may have. */
function namesOf(schema: z.ZodType): string {
  const { shape = {} } = schema as { readonly shape?: object };
  return Object.keys(shape).join(', ');
}

/** What `schema` makes of what a client sent. @throws Problem `invalid` that names every mistake */
export function checked<T>(schema: z.ZodType<T>, sent: unknown, where: string): T {
  const result = schema.safeParse(sent);
  if (result.success) return result.data;
  const mistakes = result.error.issues.slice(0, 8).map(({ code, path, message }) => {
    const place = path.map(String).join('.');
    // A name that was sent may be as long as the body.
    const words = (place === '' ? message : `${place}: ${message}`).slice(0, 200);
    return code === 'unrecognized_keys' && place === '' ? `${words}, expected ${namesOf(schema)}` : words;
  });
  throw new Problem('invalid', `${where}: ${mistakes.join('; ')}; nothing was done`);
}
