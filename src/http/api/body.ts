/**
 * What the pages below `/v1/nodes` and `/v1/topology` are sent: the id of a member in the address, JSON in the body.
 */

import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { BYTES_EMPTY } from '../../base/bytes.ts';
import { textOf } from './key.ts';
import { isJson } from './one-key.ts';
import { Problem } from './problem.ts';
import { checked } from './schemas.ts';
import { MEMBER_ID } from './topology-pages.ts';

/** The member that the address names. @throws Problem `invalid` */
export function idOf({ params }: FastifyRequest): string {
  return checked(z.object({ id: MEMBER_ID }), params, 'address').id;
}

/** What a schema makes of the body; of none at all, what it makes of `{}`. @throws Problem */
export function bodyOf<T>(schema: z.ZodType<T>, { headers, body }: FastifyRequest): T {
  const bytes = (body as Uint8Array | undefined) ?? BYTES_EMPTY;
  if (bytes.length === 0) return checked(schema, {}, 'body');
  if (!isJson(headers['content-type'])) {
    throw new Problem('unsupported-media-type', 'send application/json; nothing was done', 'fail');
  }
  let value: unknown;
  try {
    value = JSON.parse(textOf(bytes) ?? '');
  } catch {
    throw new Problem('invalid', 'the body is not JSON; nothing was done', 'fail');
  }
  return checked(schema, value, 'body');
}
