/**
 * `POST /v1/batch`: several operations on keys in one request, each answered with a status of its own.
 *
 * The picture: a shopping list, not a contract. Nothing about a batch is atomic: operations run side by side, a
 * few at a time and in no promised order, some may fail while others are done, and two on one key race.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ByteString } from '../../base/bytes.ts';
import { utf8Bytes } from '../../base/bytes.ts';
import type { NodeApi } from '../../node/api.ts';
import type { Log } from '../../ports/log.ts';
import { type Fields, keyFields, objectText, siblingsText, valueFields } from './answers.ts';
import { ANY, type Condition, conditionOf, etagOf } from './etag.ts';
import { bytesOfBase64, keyOfJson, textOf } from './key.ts';
import { isJson } from './one-key.ts';
import { deleteKey, isRepeatable, type Options, putValue, readVersions } from './operations.ts';
import { PROBLEM_KINDS, Problem, problemBody, problemOf } from './problem.ts';
import { expireAtOf, optionsOf } from './request-options.ts';
import { type BatchOperation, BODIES, type ConsistencyQuery, checked, QUERIES } from './schemas.ts';

/** Operations of one batch under way at a time. */
const lanesMax = 16;
/** An answer larger than this shows no further values, bytes. */
const answerBytesMax = 8 * 1024 * 1024;
const bodyBytesMin = 2 * 1024 * 1024;

/** Room for one pair at the limit, however it is written, and for many small ones. */
export function batchBytesMax(pairBytesMax: number): number {
  return Math.max(bodyBytesMin, 2 * pairBytesMax + 64 * 1024);
}

/** Adds the route. */
export function addBatch(app: FastifyInstance, node: NodeApi, log: Log): void {
  app.post('/batch', { bodyLimit: batchBytesMax(node.pairBytesMax) }, (request, reply) =>
    run(node, log, request, reply),
  );
}

/** In place of a value for which there is no room. */
const tooLarge = failure(
  new Problem('answer-too-large', 'the answer to this batch is full; ask for this key in another one'),
  true,
);

async function run(
  node: NodeApi,
  log: Log,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const query = checked(QUERIES.batch, request.query, 'query');
  if (!isJson(request.headers['content-type'])) {
    throw new Problem('unsupported-media-type', 'a batch is application/json; nothing was done', 'fail');
  }
  const { operations } = checked(BODIES.batch, parsed(request.body as Uint8Array | undefined), 'body');
  const results: string[] = new Array(operations.length).fill('');
  let next = 0;
  let size = 0;
  const lane = async (): Promise<void> => {
    while (next < operations.length && !reply.raw.destroyed) {
      const index = next++;
      const operation = operations[index]!;
      let result = await answerOf(node, log, operation, query);
      if (operation.op === 'get' && size + result.length > answerBytesMax) result = tooLarge;
      size += result.length;
      results[index] = result;
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanesMax, operations.length) }, lane));
  return reply.type('application/json').send(`{"results":[${results.join(',')}]}`);
}

/** JSON whose long numbers are kept to the letter. */
function parsed(body: Uint8Array | undefined): unknown {
  const text = body === undefined ? undefined : textOf(body);
  if (text === undefined)
    throw new Problem('invalid', 'the body is not JSON in UTF-8; nothing was done', 'fail');
  try {
    return JSON.parse(text, keepingNumbers as Parameters<typeof JSON.parse>[1]);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Problem('invalid', `the body is not JSON: ${why}; nothing was done`, 'fail');
  }
}

/** ECMAScript 2026, in Node.js since 22; not in the types of TypeScript yet. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** A number that JavaScript would write otherwise than it was written is kept as its text. */
function keepingNumbers(_name: string, value: unknown, { source }: { readonly source?: string }): unknown {
  return typeof value === 'number' && source !== undefined && String(value) !== source
    ? rawJSON(source)
    : value;
}

async function answerOf(
  node: NodeApi,
  log: Log,
  operation: BatchOperation,
  query: ConsistencyQuery,
): Promise<string> {
  let repeatable = false;
  try {
    const key = keyOfJson(operation);
    const options = optionsOf(node, key, query);
    const condition = operation.op === 'get' ? ANY : conditionOf(operation);
    repeatable = operation.op === 'get' || isRepeatable(condition, options);
    return await perform(node, key, operation, condition, options);
  } catch (error) {
    return failure(problemOf(error) ?? bug(log, error), repeatable);
  }
}

function bug(log: Log, error: unknown): Problem {
  log.write('error', 'http-batch-failed', { error: error instanceof Error ? error.stack : String(error) });
  return new Problem('internal', 'the server failed; its log says how', 'unknown');
}

function failure(problem: Problem, repeatable: boolean): string {
  const body = problemBody(problem, repeatable);
  return objectText([
    ['status', String(PROBLEM_KINDS[problem.code].status)],
    ['problem', JSON.stringify(body)],
  ]);
}

async function perform(
  node: NodeApi,
  key: ByteString,
  operation: BatchOperation,
  condition: Condition,
  options: Options,
): Promise<string> {
  if (operation.op === 'get') return get(node, key, operation, options);
  if (operation.op === 'delete') {
    await deleteKey(node, key, condition, options);
    return objectText([['status', '204']]);
  }
  const expireAt = expireAtOf(node, operation.ttl);
  await putValue(node, key, bytesOfOperation(operation), expireAt, condition, options);
  return objectText([['status', condition.kind === 'absent' ? '201' : '204']]);
}

async function get(
  node: NodeApi,
  key: ByteString,
  { as, siblings }: Extract<BatchOperation, { op: 'get' }>,
  options: Options,
): Promise<string> {
  const read = await readVersions(node, key, options);
  const [newest] = read.versions;
  if (newest === undefined) throw new Problem('not-found', 'there is no such key');
  const head: Fields = [...keyFields(key), ['etag', JSON.stringify(etagOf(read))]];
  if (read.versions.length > 1 && siblings !== 'newest') {
    return objectText([['status', '300'], ...head, ['siblings', siblingsText(read.versions, as)]]);
  }
  return objectText([['status', '200'], ...head, ...valueFields(newest, as)]);
}

/** The bytes to store. @throws Problem `invalid` unless there is just one of `value`, `text`, `base64` */
function bytesOfOperation(operation: Extract<BatchOperation, { op: 'put' }>): Uint8Array {
  const { value, text, base64 } = operation;
  if ([value, text, base64].filter((each) => each !== undefined).length !== 1) {
    throw new Problem(
      'invalid',
      'expected one of value (JSON), text and base64; nothing was written',
      'fail',
    );
  }
  if (text !== undefined) return utf8Bytes(text);
  if (base64 === undefined) return utf8Bytes(JSON.stringify(value));
  const bytes = bytesOfBase64(base64);
  if (bytes === undefined) throw new Problem('invalid', 'base64 is not base64; nothing was written', 'fail');
  return bytes;
}
