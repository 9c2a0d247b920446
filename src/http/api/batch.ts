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
import { splitBatch } from './batch-text.ts';
import { ANY, type Condition, conditionOf, etagOf } from './etag.ts';
import { bytesOfBase64, bytesOfText, keyOfJson, textOf } from './key.ts';
import { BLANK_BYTES_MAX, compactJson } from './media.ts';
import { isJson } from './one-key.ts';
import { deleteKey, isRepeatable, type Options, putValue, readVersions } from './operations.ts';
import { PROBLEM_KINDS, Problem, problemBody, problemOf, settledProblem } from './problem.ts';
import { expireAtOf, optionsOf } from './request-options.ts';
import {
  BATCH_OPERATIONS_MAX,
  type BatchOperation,
  BODIES,
  type ConsistencyQuery,
  checked,
  QUERIES,
} from './schemas.ts';

/** Operations of one batch under way at a time. */
const lanesMax = 16;
/** An answer larger than this shows no further values, bytes. */
const answerBytesMax = 8 * 1024 * 1024;
const bodyBytesMin = 2 * 1024 * 1024;

/** Room for one pair at the limit, however it is written, and for many small ones. */
function batchBytesMax(pairBytesMax: number): number {
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
    const words = 'a batch needs Content-Type: application/json; nothing was done';
    throw new Problem('unsupported-media-type', words, 'fail');
  }
  const { operations, values } = batchOf(node, request.body as Uint8Array | undefined);
  const results: string[] = new Array(operations.length).fill('');
  let next = 0;
  let size = 0;
  const lane = async (): Promise<void> => {
    while (next < operations.length && !reply.raw.destroyed) {
      const index = next++;
      const operation = operations[index]!;
      let result = await answerOf(node, log, operation, values, query);
      if (operation.op === 'get' && size + result.length > answerBytesMax) result = tooLarge;
      size += result.length;
      results[index] = result;
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanesMax, operations.length) }, lane));
  return reply.type('application/json').send(`{"results":[${results.join(',')}]}`);
}

/** Operations, and the values that those with a `value` put: its number in `values`. */
interface BatchParts {
  readonly operations: readonly BatchOperation[];
  /** As they are stored; undefined for one that is too large to be looked into. */
  readonly values: readonly (Uint8Array | undefined)[];
}

/** @throws Problem `invalid` */
function batchOf(node: NodeApi, body: Uint8Array | undefined): BatchParts {
  const text = body === undefined ? undefined : textOf(body);
  if (text === undefined)
    throw new Problem('invalid', 'the body is not JSON in UTF-8; nothing was done', 'fail');
  const { frame, values } = splitBatch(text, BATCH_OPERATIONS_MAX);
  const { operations } = checked(BODIES.batch, frame, 'body');
  const valueLettersMax = node.pairBytesMax + BLANK_BYTES_MAX;
  return {
    operations,
    values: values.map((value) => {
      return value.length > valueLettersMax ? undefined : compactJson(utf8Bytes(value));
    }),
  };
}

async function answerOf(
  node: NodeApi,
  log: Log,
  operation: BatchOperation,
  values: BatchParts['values'],
  query: ConsistencyQuery,
): Promise<string> {
  let repeatable = false;
  try {
    const key = keyOfJson(operation);
    const options = optionsOf(node, key, query);
    const condition = operation.op === 'get' ? ANY : conditionOf(operation);
    repeatable = operation.op === 'get' || isRepeatable(condition, options);
    return await perform(node, key, operation, values, condition, options);
  } catch (error) {
    const problem = problemOf(error) ?? bug(log, error);
    return failure(settledProblem(problem, operation.op === 'get'), repeatable);
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
  values: BatchParts['values'],
  condition: Condition,
  options: Options,
): Promise<string> {
  if (operation.op === 'get') return get(node, key, operation, options);
  if (operation.op === 'delete') {
    await deleteKey(node, key, condition, options);
    return objectText([['status', '204']]);
  }
  const expireAt = expireAtOf(node, operation.ttl);
  await putValue(node, key, bytesOfOperation(node, operation, values), expireAt, condition, options);
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
function bytesOfOperation(
  node: NodeApi,
  operation: Extract<BatchOperation, { op: 'put' }>,
  values: BatchParts['values'],
): Uint8Array {
  const { value, text, base64 } = operation;
  if ([value, text, base64].filter((each) => each !== undefined).length !== 1) {
    throw new Problem(
      'invalid',
      'expected one of value (JSON), text and base64; nothing was written',
      'fail',
    );
  }
  if (text !== undefined) return bytesOfText(text, 'text');
  if (base64 === undefined) {
    const json = values[value as number];
    if (json !== undefined) return json;
    const words = `the value is larger than the limit of ${node.pairBytesMax} bytes for key and value together`;
    throw new Problem('pair-too-large', `${words}; nothing was written`, 'fail');
  }
  const bytes = bytesOfBase64(base64);
  if (bytes === undefined) throw new Problem('invalid', 'base64 is not base64; nothing was written', 'fail');
  return bytes;
}
