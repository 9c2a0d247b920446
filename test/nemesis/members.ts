/** Members of the cluster that come and go: what nodes tell of the topology, and how one leaves. */

import assert from 'node:assert/strict';
import type { TopologyAnswer } from '../../src/http/api/topology-json.ts';
import type { NemesisCluster, NemesisNode } from './cluster.ts';
import { getJson } from './http.ts';

const answerMaxMs = 2000;

/** What a node tells; undefined when it does not answer. @param query as `?lists=true` */
export async function topologyOf(node: NemesisNode, query: string = ''): Promise<TopologyAnswer | undefined> {
  const answer = await getJson(node.httpPort, `/v1/topology${query}`, answerMaxMs);
  return answer?.status === 200 ? (answer.body as TopologyAnswer) : undefined;
}

/** Asks the first node to let one leave, and waits until its process ended in good order. */
export async function letLeave(cluster: NemesisCluster, node: NemesisNode, timeoutMs: number): Promise<void> {
  node.isLeaving = true;
  const address = `127.0.0.1:${cluster.nodes[0]!.httpPort}`;
  const response = await fetch(`http://${address}/v1/nodes/${node.name}/leave`, { method: 'POST' });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  assert.equal(await cluster.left(node, timeoutMs), 0, `${node.name} ends in good order`);
}
