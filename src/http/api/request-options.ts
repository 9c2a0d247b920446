/** From the query of a request to what a node is asked: policy, deadline, time to live. */

import type { ByteString } from '../../base/bytes.ts';
import { checkPolicy, type Policy } from '../../coordinator/policy.ts';
import { POLICY_TTL_MS_MAX, policyOfWish, timeMs, wishFromText } from '../../coordinator/policy-text.ts';
import type { NodeApi, RequestOptions } from '../../node/api.ts';
import { Problem } from './problem.ts';
import { type ConsistencyQuery, TIMEOUT_MS_MAX } from './schemas.ts';

/** Wall time from which on a value with this time to live is gone; 0 never. @throws Problem `invalid` */
export function expireAtOf(node: NodeApi, ttl: string | undefined): number {
  if (ttl === undefined) return 0;
  const ms = timeMs(ttl);
  if (ms !== undefined && ms >= 1 && ms <= POLICY_TTL_MS_MAX) return node.wall() + ms;
  throw new Problem('invalid', 'the time to live lies between 1ms and 36500d; nothing was written', 'fail');
}

/** The policy of a request: that of the key, with what the query says instead. @throws CodedError `invalid` */
export function policyOf(node: NodeApi, key: ByteString, query: ConsistencyQuery): Policy {
  const { consistency, r, w, quorum } = query;
  const own = node.policyOf(key);
  if (consistency === undefined && r === undefined && w === undefined && quorum === undefined) return own;
  const named = consistency === undefined ? {} : policyOfWish(wishFromText(consistency), node.replicas);
  const policy: Policy = {
    ...own,
    ...named,
    ...(r === undefined ? {} : { r }),
    ...(w === undefined ? {} : { w }),
    ...(quorum === undefined ? {} : { strict: quorum === 'strict' }),
  };
  checkPolicy(policy, node.replicas);
  return policy;
}

/** What a node is to be asked with. @throws CodedError `invalid` */
export function optionsOf(
  node: NodeApi,
  key: ByteString,
  query: ConsistencyQuery,
): RequestOptions & { policy: Policy } {
  const policy = policyOf(node, key, query);
  if (query.timeout === undefined) return { policy };
  const timeoutMs = timeMs(query.timeout);
  if (timeoutMs !== undefined && timeoutMs >= 1 && timeoutMs <= TIMEOUT_MS_MAX) return { policy, timeoutMs };
  throw new Problem(
    'invalid',
    `the timeout lies between 1ms and ${TIMEOUT_MS_MAX / 1000}s; nothing was done`,
  );
}
