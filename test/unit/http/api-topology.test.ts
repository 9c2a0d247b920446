/** `/v1/topology` and `/v1/nodes`: what they show, what they ask of the node, and what they refuse. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import type { TopologyAnswer } from '../../../src/http/api/topology-json.ts';
import type { MemberView, TopologyDone, TopologyRequest } from '../../../src/node/api.ts';
import { place } from '../../../src/ring/placement.ts';
import { Password } from '../../../src/server/password.ts';
import { decodeTopology, encodeTopology } from '../../../src/topology/codec.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { type HttpApi, withHttpApi } from '../../support/http-api.ts';
import { problemOf, sendRaw } from '../../support/http-raw.ts';

/** Keeps what it is asked. */
class AskedNode extends FakeNode {
  readonly wishes: TopologyRequest[] = [];

  override changeTopology(request: TopologyRequest, done: TopologyDone): void {
    this.wishes.push(request);
    const warnings = request.kind === 'force' ? ['Two partitions are lost.'] : [];
    super.changeTopology(request, (error, topology) => done(error, topology, warnings));
  }
}

const address = { host: '10.0.0.1', respPort: 6371, peerPort: 7371, httpPort: 8371 };
const membersOf = (...ids: readonly string[]) =>
  ids.map((id) => ({ id, weight: 1, zone: id < 'n3' ? 'a' : 'b', ...address }));

/** n1, n2 and n3 become n2, n3 and n4; `gone` are asked nothing. */
function changing(phase: 'copy' | 'switch', gone: readonly string[]): Topology {
  const shape = { partitionCount: 64, replicaCount: 2 };
  const before = place(undefined, membersOf('n1', 'n2', 'n3'), shape);
  const after = place(before, membersOf('n2', 'n3', 'n4'), shape);
  return new Topology({
    epoch: 7,
    phase,
    members: membersOf('n1', 'n2', 'n3', 'n4').filter(({ id }) => !gone.includes(id)),
    read: phase === 'copy' ? before : after,
    other: phase === 'copy' ? after : before,
    change: { kind: 'replace', id: 5, nodes: ['n4'], gone, epoch: 7, beganAt: 1_700_000_000_000 },
  });
}

async function shown(api: HttpApi, query = ''): Promise<TopologyAnswer> {
  const answer = await api.ask(`/v1/topology${query}`);
  assert.equal(answer.status, 200);
  return (await answer.json()) as TopologyAnswer;
}

function send(api: HttpApi, path: string, body?: unknown, method = 'POST'): Promise<Response> {
  if (body === undefined) return api.ask(path, { method });
  const headers = { 'content-type': 'application/json' };
  return api.ask(path, { method, headers, body: JSON.stringify(body) });
}

describe('GET /v1/topology', () => {
  it('shows the members, what each owns, and the zones', () =>
    withHttpApi(async (api) => {
      const { members, zones, ...rest } = await shown(api);
      assert.deepEqual(rest, {
        node: 'n1',
        cluster: 'fake',
        epoch: 1,
        phase: 'steady',
        partitions: 1024,
        replicas: 3,
        moves: api.node.moves(),
      });
      assert.deepEqual(
        members.map(({ id, state, replicas, live, next }) => [id, state, replicas, live, next]),
        [
          ['n1', 'owning', 1024, true, undefined],
          ['n2', 'owning', 1024, true, undefined],
          ['n3', 'owning', 1024, true, undefined],
        ],
      );
      assert.equal(
        members.reduce((sum, { primaries }) => sum + primaries, 0),
        1024,
      );
      assert.deepEqual(zones, [{ zone: 'z', members: 3, primaries: 1024, replicas: 3072 }]);
    }));

  it('shows a change: who comes, who goes, who is gone, and what each will own', () =>
    withHttpApi(async (api) => {
      for (const phase of ['copy', 'switch'] as const) {
        for (const gone of [[], ['n1']]) {
          api.node.topology = changing(phase, gone);
          const { members, change, epoch, zones } = await shown(api);
          assert.deepEqual(
            members.map(({ id, state }) => `${id} ${state}`),
            [`n1 ${gone.length > 0 ? 'gone' : 'leaving'}`, 'n2 owning', 'n3 owning', 'n4 joining'],
          );
          const [first, , , last] = members;
          assert.equal(first!.host, gone.length > 0 ? undefined : '10.0.0.1');
          const isCopy = phase === 'copy';
          assert.deepEqual([first!.replicas > 0, first!.next!.replicas > 0], [isCopy, false]);
          assert.deepEqual([last!.replicas > 0, last!.next!.replicas > 0], [!isCopy, true]);
          assert.deepEqual(change, {
            kind: 'replace',
            id: 5,
            nodes: ['n4'],
            gone,
            epoch: 7,
            beganAt: '2023-11-14T22:13:20.000Z',
          });
          assert.equal(epoch, 7);
          assert.equal(zones.map(({ members: count }) => count).join(), phase === 'copy' ? '2,1' : '1,2');
        }
      }
    }));

  it('shows the whole table when asked', () =>
    withHttpApi(async (api) => {
      const topology = changing('copy', []);
      api.node.topology = topology;
      const { lists } = await shown(api, '?lists=true');
      assert.deepEqual(lists!.ids, ['n1', 'n2', 'n3', 'n4']);
      for (let partition = 0; partition < 64; partition++) {
        const named = (list: readonly number[]) => list.map((index) => lists!.ids[index]!);
        assert.deepEqual(named(lists!.read[partition]!), [
          ...topology.read.preferenceListOfPartition(partition),
        ]);
        assert.deepEqual(named(lists!.other![partition]!), [
          ...topology.other!.preferenceListOfPartition(partition),
        ]);
      }
      assert.equal((await shown(api, '?lists=false')).lists, undefined);
      assert.match((await problemOf(api.port, '/v1/topology?list=true')).detail, /list.*expected lists/);
    }));

  it('gives the epoch as nodes exchange it, when asked; and says when a change was given up', () =>
    withHttpApi(async (api) => {
      const topology = changing('switch', ['n1']);
      api.node.topology = topology;
      const { encoded } = await shown(api, '?encoded=true');
      assert.deepEqual(Buffer.from(encoded!, 'base64'), Buffer.from(encodeTopology(topology)));
      assert.equal(decodeTopology(Buffer.from(encoded!, 'base64')).epoch, 7);
      assert.equal((await shown(api)).encoded, undefined);
      const { read, members, change } = api.node.topology;
      api.node.topology = new Topology({
        epoch: 9,
        phase: 'steady',
        members,
        read,
        other: undefined,
        change: { ...change!, isCancelled: true },
      });
      assert.equal((await shown(api)).change!.cancelled, true);
    }));

  it('is answered under the name of every member, one that came later too', async () => {
    class GrownNode extends FakeNode {
      host = '127.0.0.1';

      override members(): readonly MemberView[] {
        return super.members().map((member) => ({ ...member, host: this.host }));
      }
    }
    const node = new GrownNode();
    await withHttpApi(
      async ({ port }) => {
        const sent = { headers: { host: 'four.example:8371' } };
        assert.equal((await sendRaw(port, '/v1/topology', sent)).status, 421);
        node.host = 'Four.example';
        assert.equal((await sendRaw(port, '/v1/topology', sent)).status, 200);
      },
      {},
      node,
    );
  });
});

describe('changes of the topology', () => {
  it('are asked of the node, and answered with the epoch in force', async () => {
    const node = new AskedNode();
    const member = {
      id: 'n4',
      host: '10.0.0.4',
      respPort: 1,
      peerPort: 2,
      httpPort: 3,
      zone: 'b',
      weight: 2.5,
    };
    const least = { id: 'n5', host: 'five', peerPort: 2 };
    const filled = { ...least, respPort: 0, httpPort: 0, zone: 'default', weight: 1 };
    await withHttpApi(
      async (api) => {
        const asked: readonly (readonly [string, unknown, TopologyRequest])[] = [
          ['/v1/nodes', { ...member, cluster: 'fake' }, { kind: 'join', member }],
          ['/v1/nodes', least, { kind: 'join', member: filled }],
          ['/v1/nodes/n2/leave', undefined, { kind: 'leave', id: 'n2' }],
          ['/v1/nodes/n2/leave', {}, { kind: 'leave', id: 'n2' }],
          ['/v1/nodes/n2/remove', undefined, { kind: 'remove', ids: ['n2'] }],
          ['/v1/nodes/n2/remove', { ids: ['n3', 'n2'] }, { kind: 'remove', ids: ['n2', 'n3'] }],
          ['/v1/nodes/n2/replace', { member }, { kind: 'replace', id: 'n2', member }],
          ['/v1/nodes/n2/weight', { weight: 0.5 }, { kind: 'weight', id: 'n2', weight: 0.5 }],
          ['/v1/topology/cancel', undefined, { kind: 'cancel' }],
          ['/v1/topology/force', { gone: ['n2', 'n3'] }, { kind: 'force', gone: ['n2', 'n3'] }],
        ];
        for (const [path, body, wish] of asked) {
          const answer = await send(api, path, body, path.endsWith('weight') ? 'PUT' : 'POST');
          assert.equal(answer.status, 200, path);
          assert.deepEqual(node.wishes.splice(0), [wish]);
          const { epoch, warnings } = (await answer.json()) as TopologyAnswer;
          const expected = wish.kind === 'force' ? ['Two partitions are lost.'] : undefined;
          assert.deepEqual([epoch, warnings], [1, expected]);
        }
      },
      {},
      node,
    );
  });

  it('are refused where they cannot be understood, and the node is not asked', async () => {
    const node = new AskedNode();
    const member = { id: 'n4', host: 'four', peerPort: 2 };
    await withHttpApi(
      async (api) => {
        const bad: readonly (readonly [path: string, body: unknown, words: RegExp])[] = [
          ['/v1/nodes', undefined, /id: .*host: .*peerPort: /],
          ['/v1/nodes', { ...member, peerPort: 0 }, /peerPort/],
          ['/v1/nodes', { ...member, host: 'a/b' }, /host name or an address/],
          ['/v1/nodes', { ...member, weight: 0 }, /weight/],
          ['/v1/nodes', { ...member, cluster: 'other' }, /this is cluster "fake".*"other" cannot join/],
          ['/v1/nodes', { ...member, wieght: 2 }, /wieght.*expected id, host, /],
          ['/v1/nodes/n%2f2/leave', undefined, /address: id/],
          ['/v1/nodes/n2/leave', { now: true }, /now/],
          ['/v1/nodes/n2/remove', { id: 'n3' }, /expected ids/],
          ['/v1/nodes/n2/replace', { member: { id: 'n4' } }, /member\.host/],
          ['/v1/topology/force', undefined, /gone/],
          ['/v1/topology/force', { gone: [] }, /gone/],
          ['/v1/topology/cancel?id=7', undefined, /query/],
        ];
        for (const [path, body, words] of bad) {
          const answer = await send(api, path, body);
          const { code, detail } = (await answer.json()) as { code: string; detail: string };
          assert.deepEqual([answer.status, code], [400, 'invalid'], path);
          assert.match(detail, words);
        }
        assert.equal((await problemOf(api.port, '/v1/nodes/n2/leave')).detail.includes('only POST'), true);
        assert.equal((await problemOf(api.port, '/v1/nodes')).status, 405);
        assert.equal((await problemOf(api.port, '/v1/nodes/n2/stay')).status, 404);
        const nonsense = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' };
        assert.match((await problemOf(api.port, '/v1/nodes', nonsense)).detail, /not JSON/);
      },
      {},
      node,
    );
    assert.deepEqual(node.wishes, []);
  });

  it('take nobody in beside a node that has no port for others', () =>
    withHttpApi(async (api) => {
      const { members, read } = api.node.topology;
      api.node.topology = Topology.founding([{ ...members[0]!, peerPort: 0 }, ...members.slice(1)], read);
      const answer = await send(api, '/v1/nodes', { id: 'n4', host: 'four', peerPort: 2 });
      assert.equal(answer.status, 400);
      assert.match(((await answer.json()) as { detail: string }).detail, /n1 has no port for other nodes/);
    }));

  it('tell the error of the node, and whether asking again helps', () =>
    withHttpApi(async (api) => {
      const failed = async (path: string, body?: string) => {
        api.node.failures.push(new CodedError('unavailable', 'unknown', 'made for a test: not yet'));
        const headers = { 'content-type': 'application/json' };
        return problemOf(api.port, path, {
          method: 'POST',
          ...(body === undefined ? {} : { headers, body }),
        });
      };
      const { status, outcome, retryable, detail } = await failed('/v1/nodes/n2/leave');
      assert.deepEqual(
        [status, outcome, retryable, detail],
        [503, 'unknown', true, 'made for a test: not yet'],
      );
      assert.equal((await failed('/v1/topology/force', '{"gone":["n2"]}')).retryable, false);
    }));

  it('ask for the password; what only shows does not', async () => {
    const node = new AskedNode();
    await withHttpApi(
      async (api) => {
        assert.equal((await send(api, '/v1/nodes/n2/leave')).status, 401);
        assert.deepEqual(node.wishes, []);
        assert.equal((await shown(api)).epoch, 1);
        const headers = { authorization: 'Bearer secret' };
        assert.equal((await api.ask('/v1/nodes/n2/leave', { method: 'POST', headers })).status, 200);
      },
      { password: new Password('secret') },
      node,
    );
  });

  it('are served where the data API is not', () =>
    withHttpApi(
      async (api) => {
        assert.equal((await shown(api)).epoch, 1);
        assert.equal((await send(api, '/v1/nodes/n2/leave')).status, 200);
        assert.equal((await problemOf(api.port, '/v1/keys/a')).code, 'no-such-page');
        assert.equal((await problemOf(api.port, '/openapi.json')).code, 'no-such-page');
      },
      { api: false },
    ));
});
