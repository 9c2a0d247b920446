/**
 * `/v1/topology` and `/v1/nodes`: who the members are and who owns what, seen and changed while the cluster runs.
 *
 * A change is answered when its first epoch is chosen; from then on it goes on by itself, and `GET /v1/topology`
 * of every node shows how far. These pages are served even where the data API is switched off: by them nodes join.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { NodeApi, TopologyRequest } from '../../node/api.ts';
import { encodeTopology } from '../../topology/codec.ts';
import { bodyOf, idOf } from './body.ts';
import { base64Of } from './key.ts';
import { markRepeatable, Problem } from './problem.ts';
import { checked } from './schemas.ts';
import { listsJson, type TopologyAnswer, topologyAnswer } from './topology-json.ts';
import {
  CHANGE_QUERY,
  FORCE,
  JOIN,
  NOTHING,
  REMOVE,
  REPLACE,
  TOPOLOGY_QUERY,
  WEIGHT,
} from './topology-pages.ts';

/** Ids of as many members as there may be. */
const bodyBytesMax = 96 * 1024;

/** Route options of a page that asks for no password. */
export const OPEN_PAGE: { readonly config: { readonly open: true } } = { config: { open: true } };

/** Whether a page asks for no password. */
export function isOpenPage({ routeOptions }: FastifyRequest): boolean {
  return (routeOptions.config as { readonly open?: boolean }).open === true;
}

/** Paths below `/v1` by what they do. */
const changes: readonly (readonly [
  method: 'post' | 'put',
  path: string,
  read: (request: FastifyRequest, node: NodeApi) => TopologyRequest,
])[] = [
  ['post', '/nodes', joinOf],
  [
    'post',
    '/nodes/:id/leave',
    (request) => ({ kind: 'leave', id: idOf(request), ...bodyOf(NOTHING, request) }),
  ],
  [
    'post',
    '/nodes/:id/remove',
    (request) => {
      const id = idOf(request);
      return { kind: 'remove', ids: [...new Set([id, ...(bodyOf(REMOVE, request).ids ?? [])])] };
    },
  ],
  [
    'post',
    '/nodes/:id/replace',
    (request) => ({ kind: 'replace', id: idOf(request), ...bodyOf(REPLACE, request) }),
  ],
  [
    'put',
    '/nodes/:id/weight',
    (request) => ({ kind: 'weight', id: idOf(request), ...bodyOf(WEIGHT, request) }),
  ],
  ['post', '/topology/cancel', (request) => ({ kind: 'cancel', ...bodyOf(NOTHING, request) })],
  ['post', '/topology/force', (request) => ({ kind: 'force', ...bodyOf(FORCE, request) })],
];

/** Adds the routes. */
export function addTopology(app: FastifyInstance, node: NodeApi): void {
  app.get('/topology', OPEN_PAGE, (request, reply) => {
    const { lists, encoded } = checked(TOPOLOGY_QUERY, request.query, 'query');
    return reply.header('cache-control', 'no-store').send({
      ...topologyAnswer(node),
      ...(lists ? { lists: listsJson(node.topology) } : {}),
      ...(encoded ? { encoded: base64Of(encodeTopology(node.topology)) } : {}),
    });
  });
  for (const [method, path, read] of changes) {
    app[method](path, { bodyLimit: bodyBytesMax }, (request) => change(node, request, read(request, node)));
  }
}

/** The methods of these pages, as `notThere` knows them. */
export const TOPOLOGY_METHODS: readonly (readonly [path: string, methods: string])[] = [
  ['/v1/topology', 'GET, HEAD'],
  ...changes.map(([method, path]) => [`/v1${path}`, method.toUpperCase()] as const),
];

/** The page of a path: those of a member are one, whoever it is. */
export function topologyPage(path: string): string {
  return path.replace(/^\/v1\/nodes\/[^/]+\//, '/v1/nodes/:id/');
}

function change(node: NodeApi, request: FastifyRequest, wish: TopologyRequest): Promise<TopologyAnswer> {
  checked(CHANGE_QUERY, request.query, 'query');
  // Asked twice is as good as asked once; but to be forced is asked of one node, once.
  if (wish.kind !== 'force') markRepeatable(request);
  return new Promise((resolve, reject) => {
    node.changeTopology(wish, (error, _topology, warnings = []) => {
      if (error !== undefined) reject(error);
      else resolve({ ...topologyAnswer(node), ...(warnings.length > 0 ? { warnings } : {}) });
    });
  });
}

function joinOf(request: FastifyRequest, node: NodeApi): TopologyRequest {
  const { cluster, ...member } = bodyOf(JOIN, request);
  if (cluster !== undefined && cluster !== node.clusterName) {
    throw new Problem(
      'invalid',
      `this is cluster "${node.clusterName}", and a node of "${cluster}" cannot join it; nothing was done`,
      'fail',
    );
  }
  // A node alone may have been started without one; nobody could talk to it.
  const mute = node.topology.members.find(({ peerPort }) => peerPort === 0);
  if (mute !== undefined) {
    throw new Problem(
      'invalid',
      `${mute.id} has no port for other nodes: start it with ports.peer; nothing was done`,
      'fail',
    );
  }
  return { kind: 'join', member };
}
