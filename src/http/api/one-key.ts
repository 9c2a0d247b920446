/**
 * `GET | HEAD | PUT | DELETE /v1/keys/{key}`: one key.
 *
 * | Answer | When                                                                                        |
 * |--------|---------------------------------------------------------------------------------------------|
 * | 200    | the value, as stored; its causal context in `ETag` and `Dure-Context`                       |
 * | 300    | several siblings, all of them in the body; write one with `If-Match` to replace them        |
 * | 304    | the reader has what is there already                                                        |
 * | 412    | the key is not as `If-Match` or `If-None-Match` says                                        |
 * | 404    | no such key; `Dure-Context` says what was seen of it all the same                           |
 * | 201    | created (`If-None-Match: *`)                                                                |
 * | 204    | written, or deleted                                                                         |
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { BYTES_EMPTY } from '../../base/bytes.ts';
import type { NodeApi, Version, Versions } from '../../node/api.ts';
import { momentOf, siblingsBody } from './answers.ts';
import {
  type Condition,
  conditionOf,
  contextOfText,
  contextText,
  etagOf,
  isKnown,
  isWanted,
} from './etag.ts';
import { KEY_ROUTE, keyOfUrl } from './key.ts';
import { BLANK_BYTES_MAX, compactJson, kindOf, MEDIA_TYPES } from './media.ts';
import { deleteKey, isRepeatable, type Options, putValue, readVersions } from './operations.ts';
import { markRepeatable, Problem } from './problem.ts';
import { expireAtOf, optionsOf } from './request-options.ts';
import { type ConsistencyQuery, checked, type GetQuery, QUERIES } from './schemas.ts';

/** Adds the routes for one key. */
export function addOneKey(app: FastifyInstance, node: NodeApi): void {
  app.get(KEY_ROUTE, (request, reply) => get(node, request, reply));
  app.put(KEY_ROUTE, { bodyLimit: node.pairBytesMax + BLANK_BYTES_MAX }, (request, reply) =>
    put(node, request, reply),
  );
  app.delete(KEY_ROUTE, { bodyLimit: BLANK_BYTES_MAX }, (request, reply) => remove(node, request, reply));
}

async function get(node: NodeApi, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const query = checked(QUERIES.get, request.query, 'query');
  const key = keyOfUrl(request.originalUrl);
  const read = await readVersions(node, key, optionsOf(node, key, query));
  const { versions, context } = read;
  const [newest] = versions;
  reply.header('dure-context', contextText(context));
  if (newest === undefined) throw new Problem('not-found', 'there is no such key');
  reply
    .header('etag', etagOf(read))
    .header('cache-control', 'private, no-cache')
    .header('vary', 'Accept')
    .header('dure-siblings', String(versions.length));
  if (versions.length > 1 && query.siblings !== 'newest') {
    return reply
      .code(300)
      .type('application/json')
      .send(siblingsBody(key, read, query.as));
  }
  return sendVersion(request, reply, query, read, newest);
}

function sendVersion(
  request: FastifyRequest,
  reply: FastifyReply,
  query: GetQuery,
  read: Versions,
  { value, time, expireAt }: Version,
): FastifyReply {
  reply.header('dure-written-at', momentOf(time));
  if (expireAt !== 0) reply.header('dure-expires-at', momentOf(expireAt));
  const etag = etagOf(read);
  if (!isWanted(etag, request.headers['if-match'])) {
    throw new Problem('precondition-failed', 'the key is not as If-Match says');
  }
  if (isKnown(etag, request.headers['if-none-match'])) return reply.code(304).send();
  const kind = kindOf(value, query.as, request.headers.accept);
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return reply.type(MEDIA_TYPES[kind]).send(bytes);
}

async function put(node: NodeApi, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { ttl, ...query } = checked(QUERIES.put, request.query, 'query');
  const key = keyOfUrl(request.originalUrl);
  const condition = conditionOfRequest(request);
  const lives = ttl ?? headerOf(request, 'dure-ttl');
  if (lives !== undefined) checked(QUERIES.put, { ttl: lives }, 'header Dure-TTL');
  const value = bytesOfRequest(request);
  const options = optionsFor(node, key, query, request);
  if (isRepeatable(condition, options)) markRepeatable(request);
  await putValue(node, key, value, expireAtOf(node, lives), condition, options);
  return reply.code(condition.kind === 'absent' ? 201 : 204).send();
}

async function remove(node: NodeApi, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const query = checked(QUERIES.delete, request.query, 'query');
  const key = keyOfUrl(request.originalUrl);
  const condition = conditionOfRequest(request);
  const options = optionsFor(node, key, query, request);
  if (isRepeatable(condition, options)) markRepeatable(request);
  await deleteKey(node, key, condition, options);
  return reply.code(204).send();
}

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function conditionOfRequest({ headers }: FastifyRequest): Condition {
  return conditionOf({ ifMatch: headers['if-match'], ifNoneMatch: headers['if-none-match'] });
}

/** With the header `Dure-Context`: what the writer has seen, without making the write conditional on it. */
function optionsFor(node: NodeApi, key: string, query: ConsistencyQuery, request: FastifyRequest): Options {
  const options = optionsOf(node, key, query);
  const context = headerOf(request, 'dure-context');
  return context === undefined ? options : { ...options, context: contextOfText(context) };
}

/** The bytes to store. @throws Problem */
function bytesOfRequest(request: FastifyRequest): Uint8Array {
  const { headers } = request;
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new Problem(
      'unsupported-media-type',
      `content-encoding ${encoding} is not undone here: send the value as it is; nothing was written`,
      'fail',
    );
  }
  if (headers['content-range'] !== undefined) {
    throw new Problem(
      'invalid',
      'a part of a value cannot be written (content-range); nothing was written',
      'fail',
    );
  }
  if (/^multipart\//i.test(headers['content-type'] ?? '')) {
    throw new Problem(
      'unsupported-media-type',
      'a form with parts is not taken apart here: send the value itself as the body (curl --data-binary @FILE); nothing was written',
      'fail',
    );
  }
  const body = (request.body as Uint8Array | undefined) ?? BYTES_EMPTY;
  return isJson(headers['content-type']) ? compactJson(body) : body;
}

/** Whether a body is said to be JSON. @throws Problem for JSON in another encoding than UTF-8 */
export function isJson(contentType: string | undefined): boolean {
  const [type = '', ...parameters] = (contentType ?? '')
    .toLowerCase()
    .split(';')
    .map((word) => word.trim());
  if (type !== 'application/json') return false;
  const charset = parameters
    .find((word) => word.startsWith('charset='))
    ?.slice(8)
    .replaceAll('"', '');
  if (charset === undefined || charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii')
    return true;
  throw new Problem('unsupported-media-type', `JSON is UTF-8, not ${charset}; nothing was written`, 'fail');
}
