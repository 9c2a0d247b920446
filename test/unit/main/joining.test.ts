/** How a node is taken in, and what it hears of what it missed: against HTTP doors over nodes in memory. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { loadConfig, type NodeConfig } from '../../../src/main/config.ts';
import { EXIT } from '../../../src/main/exit-codes.ts';
import { askForNews, checkAddress, joinCluster, topologyWarnings } from '../../../src/main/joining.ts';
import { StartError } from '../../../src/main/start-error.ts';
import type { TopologyDone, TopologyRequest } from '../../../src/node/api.ts';
import type { Log } from '../../../src/ports/log.ts';
import { place } from '../../../src/ring/placement.ts';
import { Password } from '../../../src/server/password.ts';
import { Topology, type TopologyMember } from '../../../src/topology/topology.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { withHttpApi } from '../../support/http-api.ts';
import { freePortBase } from '../../support/ports.ts';

const quick = { nobodyMsMax: 1500, pauseMsMost: 50 };
/** A port at which nothing listens. */
const nowhere = await freePortBase(1);

/** Takes in whoever asks. */
class Host extends FakeNode {
  /** How often it was asked to take somebody in. */
  asked = 0;
  /** It says that it took somebody in, and did not. */
  forgets = false;

  override changeTopology(request: TopologyRequest, done: TopologyDone): void {
    this.asked++;
    const { forgets } = this;
    super.changeTopology(request, (error, topology) => {
      if (error === undefined && request.kind === 'join' && !forgets) this.admit(request.member);
      done(error, error === undefined ? this.topology : topology);
    });
  }

  admit(member: TopologyMember): void {
    const { read, members } = this.topology;
    const all = [...members, member];
    const table = place(read, all, { partitionCount: read.partitionCount, replicaCount: read.replicaCount });
    this.topology = new Topology({
      epoch: this.topology.epoch + 1,
      phase: 'copy',
      members: all,
      read,
      other: table,
      change: { kind: 'join', id: 1, nodes: [member.id], gone: [], epoch: table.epoch, beganAt: 0 },
    });
  }
}

function newcomer(values: Readonly<Record<string, unknown>>): NodeConfig {
  const { config, problems } = loadConfig({
    values: { nodeId: 'n4', clusterName: 'fake', ports: { resp: 9, peer: 10, http: 11 }, ...values },
  });
  assert.deepEqual(problems, []);
  return config!;
}

/** What was logged: `event words`. */
function logTo(lines: string[]): Log {
  return { write: (_level, event, fields) => lines.push(`${event} ${JSON.stringify(fields)}`) };
}

async function refusal(joined: Promise<unknown>): Promise<string> {
  const error = await joined.then(
    () => assert.fail('it was taken in'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof StartError, String(error));
  assert.equal(error.exitCode, EXIT.failed);
  return error.message;
}

describe('a node that is to join', () => {
  it('asks one after the other, whoever is gone, and is told the topology it is in', async () => {
    const node = new Host();
    await withHttpApi(
      async ({ port }) => {
        const lines: string[] = [];
        const config = newcomer({
          join: [`127.0.0.1:${nowhere}`, `127.0.0.1:${port}`],
          zone: 'b',
          weight: 2,
        });
        const topology = await joinCluster(config, logTo(lines), quick);
        assert.deepEqual(topology.member('n4'), { ...config.self });
        assert.equal(topology.phase, 'copy');
        assert.equal(topology.partitionCount, 1024);
        assert.match(lines.join(), /joined .*"epoch":2/);
        // Once more, as after a crash: it is in already, and nobody is asked to change anything.
        assert.equal((await joinCluster(config, logTo([]), quick)).epoch, 2);
        assert.equal(node.asked, 1);
      },
      {},
      node,
    );
  });

  it('asks again while the cluster is busy, and tells what it waits for', async () => {
    const node = new Host();
    await withHttpApi(
      async ({ port }) => {
        const busy = (): CodedError =>
          new CodedError('unavailable', 'fail', 'the join of n9 is under way; nothing was done');
        node.failures.push(busy(), busy());
        node.forgets = true;
        const lines: string[] = [];
        const joining = joinCluster(newcomer({ join: [`127.0.0.1:${port}`] }), logTo(lines), quick);
        setTimeout(() => {
          node.forgets = false;
        }, 600);
        assert.equal((await joining).has('n4'), true);
        assert.match(lines[0]!, /^joining .*the join of n9 is under way/);
        assert.ok(lines.some((line) => line.includes('that was cancelled')));
        assert.ok(node.asked > 3);
      },
      {},
      node,
    );
  });

  it('finds members that it was not told of, through one that cannot take it in', async () => {
    const node = new Host();
    await withHttpApi(
      async ({ port }) => {
        const other = new Host();
        const failing = (): CodedError =>
          new CodedError('quorum-unreachable', 'fail', 'too few members answer');
        other.failures.push(failing());
        // It names the one that takes in among its members.
        const { members, read } = other.topology;
        other.topology = Topology.founding([{ ...members[0]!, httpPort: port }, ...members.slice(1)], read);
        await withHttpApi(
          async (second) => {
            const joined = await joinCluster(
              newcomer({ join: [`127.0.0.1:${second.port}`] }),
              logTo([]),
              quick,
            );
            assert.equal(joined.has('n4'), true);
            assert.deepEqual([node.asked, other.asked], [1, 1]);
          },
          {},
          other,
        );
      },
      {},
      node,
    );
  });

  it('gives up for what asking again would not change', async () => {
    await withHttpApi(
      async ({ port }) => {
        const join = [`127.0.0.1:${port}`];
        assert.match(await refusal(joinCluster(newcomer({ join }), logTo([]), quick)), /n4 in: .*password/);
        const told = await joinCluster(newcomer({ join, password: 'secret' }), logTo([]), quick);
        assert.equal(told.has('n4'), true);
        // Somebody else has this name, at another address.
        const twin = newcomer({ join, password: 'secret', ports: { peer: 77 } });
        const words = await refusal(joinCluster(twin, logTo([]), quick));
        assert.match(words, /knows n4 at another address[\s\S]*peerPort is 10 there, and 77 here/);
      },
      { password: new Password('secret') },
      new Host(),
    );
    await withHttpApi(
      async ({ port, node }) => {
        node.failures.push(new CodedError('invalid', 'fail', 'n4 has the address of n1'));
        const words = await refusal(joinCluster(newcomer({ join: [`127.0.0.1:${port}`] }), logTo([]), quick));
        assert.match(words, /n4 has the address of n1/);
      },
      {},
      new Host(),
    );
  });

  it('does not join with a storage that drops rows, but is a member again if it was one', async () => {
    const node = new Host();
    await withHttpApi(
      async ({ port }) => {
        const storage = { engine: 'memory', memoryBytesMax: '64MiB', evictionPolicy: 'lru' };
        const config = newcomer({ join: [`127.0.0.1:${port}`], storage });
        assert.match(
          await refusal(joinCluster(config, logTo([]), quick)),
          /n4 drops rows to make room \(storage.evictionPolicy is lru\)/,
        );
        assert.equal(node.asked, 0);
        node.admit(config.self);
        assert.equal((await joinCluster(config, logTo([]), quick)).has('n4'), true);
      },
      {},
      node,
    );
  });

  it('gives up when nobody answers for long, or only another cluster does', async () => {
    const lines: string[] = [];
    const config = newcomer({ join: [`127.0.0.1:${nowhere}`] });
    assert.match(await refusal(joinCluster(config, logTo(lines), quick)), /nothing listens there/);
    assert.equal(lines.length, 1, 'the same is told once');
    assert.doesNotMatch(lines[0]!, /clusterName/);
    await withHttpApi(async ({ port }) => {
      const stranger = newcomer({ join: [`127.0.0.1:${port}`], clusterName: 'other' });
      const told: string[] = [];
      const log: Log = {
        write: (level, event, fields) => told.push(`${level} ${event} ${JSON.stringify(fields)}`),
      };
      const words = await refusal(joinCluster(stranger, log, quick));
      assert.match(words, /belongs to cluster "fake"\nMend the configuration.*set clusterName to "fake"/);
      // Waiting does not mend a name: that is no mere news.
      assert.match(told[0]!, /^warn joining .*belongs to cluster .*set clusterName to \\"fake\\"/);
    });
  });
});

describe('a node that was away', () => {
  it('hears of a later epoch, and of nothing from strangers and those who know less', async () => {
    const node = new Host();
    await withHttpApi(
      async ({ port }) => {
        const addresses = [`127.0.0.1:${nowhere}`, `127.0.0.1:${port}`];
        const config = newcomer({});
        assert.deepEqual(await askForNews(config, addresses, 1), {
          latest: undefined,
          answers: 1,
          silent: 0,
        });
        node.admit(config.self);
        assert.equal((await askForNews(config, addresses, 1)).latest!.epoch, 2);
        assert.equal((await askForNews(config, addresses, 2)).latest, undefined);
        const stranger = await askForNews(newcomer({ clusterName: 'other' }), addresses, 1);
        assert.deepEqual(stranger, { latest: undefined, answers: 0, silent: 1 });
        assert.equal((await askForNews(config, [], 1)).latest, undefined);
        const self = newcomer({ ports: { http: port } });
        const itself = await askForNews(self, [`127.0.0.1:${port}`], 1);
        assert.equal(itself.answers, 0, 'it does not ask itself');
      },
      {},
      node,
    );
  });

  it('does not start at another address than the others know; what else differs is told', () => {
    const config = newcomer({ zone: 'b', weight: 3 });
    const node = new Host();
    node.admit({ ...config.self, zone: 'a', weight: 1 });
    checkAddress(config, node.topology);
    const warnings = topologyWarnings(config, node.topology).join('\n');
    assert.match(warnings, /zone of this node is b in the configuration and a in the topology, which counts/);
    assert.match(warnings, /weight of this node is 3 .*"dure node weight" changes it/);
    const moved = newcomer({ host: '10.0.0.9' });
    assert.throws(() => checkAddress(moved, node.topology), /host is 127.0.0.1 there, and 10.0.0.9 here/);
    const members = ['n4', 'n8'].map((id, i) => {
      return { id, respPort: 9 + i * 10, peerPort: 10 + i * 10, httpPort: 11 + i * 10, zone: 'a' };
    });
    const founded = newcomer({ members, ports: {} });
    assert.match(topologyWarnings(founded, node.topology).join(), /members names n8: no members any more/);
  });
});
