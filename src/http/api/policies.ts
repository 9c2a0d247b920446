/**
 * `GET /v1/policies`, `PUT | DELETE /v1/policies/{prefix}`: the policies of key prefixes, seen and changed while
 * the cluster runs.
 *
 * The prefix stands in the address as a key does (`key.ts`), the empty one, of the default, as
 * `/v1/policies/`. A change is answered when it is durable at every member that is reached; who was missed is
 * told, and learns it when it is reached again.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ByteString } from '../../base/bytes.ts';
import { BYTES_EMPTY, bytesOf } from '../../base/bytes.ts';
import type { Policy } from '../../coordinator/policy.ts';
import type { PolicyView } from '../../coordinator/policy-text.ts';
import { policyFromText, policyFromValue, policyText, policyView } from '../../coordinator/policy-text.ts';
import type { NodeApi, PolicyChange, PolicyEntry } from '../../node/api.ts';
import type { PoliciesStatus } from '../../node/status.ts';
import { momentOf } from './answers.ts';
import { base64Of, POLICIES_PATH, POLICY_ROUTE, pathDecoded, splitUrl, textOf } from './key.ts';
import { isJson } from './one-key.ts';
import { POLICY_QUERY } from './policy-pages.ts';
import { markRepeatable, Problem } from './problem.ts';
import { checked } from './schemas.ts';

const bodyBytesMax = 4096;

/** A prefix as JSON says it: as text, or as base64 where it is not UTF-8. */
export interface PrefixJson {
  readonly prefix?: string;
  readonly prefixBase64?: string;
}

/** A policy in force. */
export interface PolicyJson extends PrefixJson, PolicyView {
  /** In the words that it can be set by. */
  readonly policy: string;
  readonly origin: PolicyEntry['origin'];
  /** When it was set, by the clock of the node that took it; left out unless it was set at run time. */
  readonly setAt?: string;
}

/** What `GET /v1/policies` answers. */
export interface PoliciesAnswer {
  readonly node: string;
  /** N. */
  readonly replicas: number;
  /** By prefix; the default first. */
  readonly policies: readonly PolicyJson[];
  /** By which it can be told from a node that knows or does otherwise. */
  readonly known?: PoliciesStatus;
}

/** What a change is answered with. */
export interface PolicyChangeAnswer extends PrefixJson, PolicyChange {
  /** What was set; left out of a DELETE. */
  readonly policy?: string;
}

/** Adds the routes. */
export function addPolicies(app: FastifyInstance, node: NodeApi): void {
  app.get('/policies', (request, reply) => {
    checked(POLICY_QUERY, request.query, 'query');
    return reply.header('cache-control', 'private, no-store').send(answerOf(node));
  });
  app.put(POLICY_ROUTE, { bodyLimit: bodyBytesMax }, (request) => change(node, request, policyOf));
  app.delete(POLICY_ROUTE, { bodyLimit: bodyBytesMax }, (request) => change(node, request, () => undefined));
}

function answerOf(node: NodeApi): PoliciesAnswer {
  const { policies: known } = node.status();
  return {
    node: node.id,
    replicas: node.replicas,
    policies: node.policies().map((entry) => policyJson(entry, node.topology.read.replicaCount)),
    ...(known === undefined ? {} : { known }),
  };
}

function policyJson({ prefix, policy, origin, time }: PolicyEntry, n: number): PolicyJson {
  return {
    ...prefixJson(prefix),
    policy: policyText(policy, n),
    ...policyView(policy),
    origin,
    ...(origin === 'run-time' ? { setAt: momentOf(time) } : {}),
  };
}

function prefixJson(prefix: ByteString): PrefixJson {
  const bytes = bytesOf(prefix);
  const text = textOf(bytes);
  return text === undefined ? { prefixBase64: base64Of(bytes) } : { prefix: text };
}

function change(
  node: NodeApi,
  request: FastifyRequest,
  read: (request: FastifyRequest, n: number) => Policy | undefined,
): Promise<PolicyChangeAnswer> {
  checked(POLICY_QUERY, request.query, 'query');
  const prefix = prefixOfUrl(request.originalUrl);
  const { replicaCount } = node.topology.read;
  const policy = read(request, replicaCount);
  // Setting it twice is setting it; what was unset cannot be unset again, and says so.
  markRepeatable(request);
  return new Promise((resolve, reject) => {
    node.setPolicy(prefix, policy, (error, done) => {
      if (error !== undefined) reject(error);
      else {
        const set = policy === undefined ? {} : { policy: policyText(policy, replicaCount) };
        resolve({ ...prefixJson(prefix), ...set, ...done! });
      }
    });
  });
}

/** The prefix in an address: all after `/v1/policies/`; empty for the default. @throws Problem `invalid` */
function prefixOfUrl(url: string): ByteString {
  const { path } = splitUrl(url);
  if (!path.startsWith(POLICIES_PATH)) {
    throw new Problem(
      'no-such-page',
      `a prefix stands behind ${POLICIES_PATH}, to the letter; nothing was done`,
    );
  }
  return pathDecoded(path.slice(POLICIES_PATH.length).split('?', 1)[0]!);
}

/** The policy in a body: words as plain text, words or an object as JSON. @throws Problem, CodedError */
function policyOf({ headers, body }: FastifyRequest, n: number): Policy {
  const text = textOf((body as Uint8Array | undefined) ?? BYTES_EMPTY);
  if (text === undefined) throw new Problem('invalid', 'the body is not UTF-8; nothing was changed', 'fail');
  if (isJson(headers['content-type'])) return policyFromValue(jsonOf(text), n);
  if (/^text\/plain *(;|$)/i.test(headers['content-type'] ?? '')) return policyFromText(text, n);
  const words = 'send a policy as application/json (words, or an object) or as text/plain (words)';
  throw new Problem('unsupported-media-type', `${words}; nothing was changed`, 'fail');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem('invalid', 'the body is not JSON; nothing was changed', 'fail');
  }
}
