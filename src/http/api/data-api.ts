/**
 * The data API of the HTTP door: its routes below `/v1`, what they have in common, and `/openapi.json`.
 *
 * ```
 * request ─► is it for us, from a page of ours? (guard.ts) ─► too many under way? 503 ─► password? 401
 *         ─► body, within the limit of its route ─► the route ─► an answer, or a problem (problem.ts)
 * ```
 *
 * Bodies are bytes to Fastify: what they are is for the route to say. A request is counted from its headers to
 * the end of its answer, so what slow readers hold is bounded too. Where the data API is switched off, the pages of
 * the topology are left: by them nodes join.
 */

import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { NodeApi } from '../../node/api.ts';
import type { Log } from '../../ports/log.ts';
import { addBatch } from './batch.ts';
import { addDrain, DRAIN_METHODS } from './drain.ts';
import type { Guard } from './guard.ts';
import { KEY_ROUTE, POLICY_ROUTE } from './key.ts';
import { addList } from './list.ts';
import { addOneKey } from './one-key.ts';
import { openApiDocument } from './openapi.ts';
import { addPolicies } from './policies.ts';
import {
  isMarkedRepeatable,
  PROBLEM_KINDS,
  PROBLEM_TYPE,
  Problem,
  problemBody,
  problemHeaders,
  problemOf,
  settledProblem,
} from './problem.ts';
import { addTopology, isOpenPage, TOPOLOGY_METHODS, topologyPage } from './topology.ts';

export interface DataApiLimits {
  /** Requests under way, until their answers are read. */
  readonly requestsMax: number;
  /** Of these, batches. */
  readonly batchesMax: number;
  /** From the headers of a request to the end of its answer, milliseconds. */
  readonly answerMsMax: number;
}

export const DATA_API_LIMITS_DEFAULT: DataApiLimits = {
  requestsMax: 512,
  batchesMax: 16,
  answerMsMax: 60_000,
};

export interface DataApiParts {
  readonly node: NodeApi;
  readonly guard: Guard;
  readonly log: Log;
  /** Dure's own version. */
  readonly version: string;
  /** A password is asked for. */
  readonly secured: boolean;
  readonly limits: DataApiLimits;
  /** The data are served, and not the topology alone. */
  readonly data: boolean;
  /** Drains this node, see `NodeProcess.drain`. */
  readonly drain: (graceMs: number) => Promise<number>;
}

/** Adds all of it. */
export function addDataApi(app: FastifyInstance, parts: DataApiParts): void {
  const document = JSON.stringify(openApiDocument(parts));
  if (parts.data) {
    app.get('/openapi.json', (_request, reply) => reply.type('application/json').send(document));
  }
  app.register(
    async (scope) => {
      addRules(scope, parts);
      addTopology(scope, parts.node);
      addDrain(scope, parts.node, parts.drain);
      if (!parts.data) return;
      addOneKey(scope, parts.node);
      addList(scope, parts.node);
      addBatch(scope, parts.node, parts.log);
      addPolicies(scope, parts.node);
    },
    { prefix: '/v1' },
  );
}

function addRules(scope: FastifyInstance, { guard, limits, log }: DataApiParts): void {
  const counts = { requests: 0, batches: 0 };
  scope.addHook('onRequest', async (request, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    countRequest(request, reply, counts, limits);
    if (!isOpenPage(request)) guard.checkPassword(request.headers);
    checkQuery(request.originalUrl);
  });
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  scope.setErrorHandler((error: FastifyError, request, reply) => sendProblem(error, request, reply, log));
  scope.setNotFoundHandler((request, reply) => sendProblem(notThere(methods, request), request, reply, log));
}

/** @throws Problem `overloaded` */
function countRequest(
  { routeOptions, raw }: FastifyRequest,
  reply: FastifyReply,
  counts: { requests: number; batches: number },
  { requestsMax, batchesMax, answerMsMax }: DataApiLimits,
): void {
  const batches = routeOptions.url === '/v1/batch' ? 1 : 0;
  if (counts.requests >= requestsMax || counts.batches + batches > batchesMax) {
    const words = 'this node has as many HTTP requests under way as it allows; nothing was done';
    throw new Problem('overloaded', words, 'fail');
  }
  counts.requests++;
  counts.batches += batches;
  const timer = setTimeout(() => raw.socket.destroy(), answerMsMax).unref();
  reply.raw.once('close', () => {
    clearTimeout(timer);
    counts.requests--;
    counts.batches -= batches;
  });
}

/** The parser of queries would take `%FF` for three letters. @throws Problem `invalid` */
function checkQuery(url: string): void {
  const at = url.indexOf('?');
  if (at < 0) return;
  try {
    decodeURIComponent(url.slice(at + 1));
  } catch {
    throw new Problem('invalid', 'the query is not UTF-8 with percent-encoding; nothing was done');
  }
}

/** Paths, and the methods that they have. */
export type Methods = ReadonlyMap<string, string>;

const methods: Methods = new Map([
  ['/v1/keys', 'GET, HEAD'],
  [`/v1${KEY_ROUTE}`, 'GET, HEAD, PUT, DELETE'],
  ['/v1/batch', 'POST'],
  ['/v1/policies', 'GET, HEAD'],
  [`/v1${POLICY_ROUTE}`, 'PUT, DELETE'],
  ...TOPOLOGY_METHODS,
  DRAIN_METHODS,
]);

/** The problem of a request that no route takes: `no-such-page`, or `method-not-allowed`. */
export function notThere(known: Methods, { method, url }: FastifyRequest): Problem {
  const allow = known.get(topologyPage(url.split('?', 1)[0]!));
  if (allow === undefined || allow.split(', ').includes(method)) {
    return new Problem('no-such-page', 'there is no such page; see /openapi.json; nothing was done');
  }
  const words = `${method} is not possible here, only ${allow}; nothing was done`;
  return new Problem('method-not-allowed', words, 'none', { allow });
}

/** Answers with an error. One that is no problem of the table is a bug: it is logged, and told without detail. */
export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  log: Log,
): FastifyReply {
  let problem = problemOf(error);
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (problem === undefined) {
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.write('error', 'http-request-failed', { url: request.url, error: words });
    problem = new Problem('internal', 'the server failed; its log says how', isRead ? 'none' : 'unknown');
  }
  problem = settledProblem(problem, isRead);
  for (const name of ['etag', 'dure-siblings', 'cache-control', 'vary']) reply.removeHeader(name);
  // Fastify would close after an error of the body, and so reset a connection on which the body still comes: the
  // client would lose this answer. What comes is thrown away, for as long as a request may take to arrive.
  if (reply.hasHeader('connection')) reply.removeHeader('connection');
  return (
    reply
      .code(PROBLEM_KINDS[problem.code].status)
      .headers(problemHeaders(problem))
      .header('cache-control', 'no-store')
      .type(PROBLEM_TYPE)
      // As bytes, or Fastify would add a charset to the type, which a problem has not.
      .send(Buffer.from(JSON.stringify(problemBody(problem, isRead || isMarkedRepeatable(request)))))
  );
}
