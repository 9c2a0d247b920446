/** Which epoch a node starts with: its disk, the others, its configuration; and whose a data directory is. */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { loadConfig, type NodeConfig } from '../../../src/main/config.ts';
import { departureOf, followTopology } from '../../../src/main/departure.ts';
import { EXIT } from '../../../src/main/exit-codes.ts';
import { notedMembers } from '../../../src/main/identity-file.ts';
import { checkIdentity, findTopology, replicasBefore } from '../../../src/main/known-topology.ts';
import { StartError } from '../../../src/main/start-error.ts';
import { topologyKey, topologyNote } from '../../../src/node/topology-note.ts';
import type { Log } from '../../../src/ports/log.ts';
import type { Storage } from '../../../src/ports/storage.ts';
import { place } from '../../../src/ring/placement.ts';
import { encodeTopology } from '../../../src/topology/codec.ts';
import { type ChangeKind, Topology } from '../../../src/topology/topology.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { withHttpApi } from '../../support/http-api.ts';
import { ManualStorage } from '../../support/manual-storage.ts';
import { freePortBase } from '../../support/ports.ts';
import { delay, until } from '../../support/wait.ts';

const directories: string[] = [];
after(() => {
  for (const directory of directories) rmSync(directory, { recursive: true });
});
/** Nobody listens at ports of this base. */
const quietBase = await freePortBase(10);

function memberOf(i: number, http = quietBase + 2000 + i) {
  return {
    id: `n${i}`,
    host: '127.0.0.1',
    respPort: quietBase + i,
    peerPort: quietBase + 1000 + i,
    httpPort: http,
  };
}

/** Node n1 of n1, n2, n3 in a directory of its own, or what `values` say otherwise. */
function configOf(values: Readonly<Record<string, unknown>> = {}): NodeConfig {
  const dataDir = mkdtempSync(join(tmpdir(), 'dure-known-'));
  directories.push(dataDir);
  const members = [1, 2, 3].map((i) => memberOf(i));
  const { config, problems } = loadConfig({
    values: { nodeId: 'n1', clusterName: 'fake', dataDir, members, partitions: 64, ...values },
  });
  assert.deepEqual(problems, []);
  return config!;
}

/** A steady epoch with these nodes, after a change. */
function epochOf(epoch: number, numbers: readonly number[], kind: ChangeKind = 'join', who = 'n9'): Topology {
  const members = numbers.map((i) => ({ ...memberOf(i), zone: 'default', weight: 1 }));
  const read = place(undefined, members, { partitionCount: 64, replicaCount: 3 });
  const gone = kind === 'remove' ? [who] : [];
  const change = { kind, id: 1, nodes: [who], gone, epoch: epoch - 2, beganAt: 0 };
  return new Topology({ epoch, phase: 'steady', members, read, other: undefined, change });
}

function storageWith(topology?: Topology): Storage {
  const note = topology === undefined ? [] : [[topologyKey, topologyNote(encodeTopology(topology))] as const];
  return new ManualStorage(true, new Map(note));
}

function find(config: NodeConfig, storage: Storage, lines: string[] = []): Promise<Topology | undefined> {
  const log: Log = { write: (_level, event, fields) => lines.push(`${event} ${JSON.stringify(fields)}`) };
  return findTopology({
    config,
    storage,
    log,
    hasDirectory: true,
    times: { nobodyMsMax: 300, pauseMsMost: 50 },
  });
}

async function refused(found: Promise<unknown>, exitCode: number): Promise<string> {
  const error = await found.then(
    () => assert.fail('it starts'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof StartError, String(error));
  assert.equal(error.exitCode, exitCode);
  return error.message;
}

describe('a node that starts', () => {
  it('founds its cluster as the configuration says, and goes by its disk from the first change on', async () => {
    const config = configOf();
    assert.equal(await find(config, storageWith()), undefined);
    const identity = JSON.parse(readFileSync(join(config.dataDir, 'identity.json'), 'utf8'));
    assert.deepEqual(identity.members, ['n1 1 default', 'n2 1 default', 'n3 1 default']);
    const stored = epochOf(4, [1, 2, 3, 4]);
    const known = await find(config, storageWith(stored));
    assert.equal(known!.epoch, 4);
    assert.deepEqual(notedMembers(config)!.members.at(-1), {
      id: 'n4',
      http: `127.0.0.1:${quietBase + 2004}`,
    });
  });

  it('refuses other members while the cluster is as it was founded, and warns of them afterwards', async () => {
    const config = configOf();
    await find(config, storageWith());
    const other: NodeConfig = {
      ...config,
      members: [...config.members.slice(0, 2), { ...memberOf(8), zone: 'b', weight: 1 }],
    };
    const words = await refused(find(other, storageWith()), EXIT.failed);
    assert.match(
      words,
      /members had "n3 1 default"[\s\S]*members now have "n8 1 b"[\s\S]*made larger by starting a node with join/,
    );
    const lines: string[] = [];
    assert.equal((await find(other, storageWith(epochOf(4, [1, 2, 3])), lines))!.epoch, 4);
    assert.match(lines.join(), /config-warning .*members names n8/);
  });

  it('is not one of another name, cluster, engine or number of partitions', async () => {
    const config = configOf();
    checkIdentity(config);
    await find(config, storageWith());
    checkIdentity(config);
    for (const [values, words] of [
      [{ nodeId: 'n2' }, /nodeId was "n1" and is now "n2"/],
      [{ clusterName: 'x' }, /clusterName was "fake" and is now "x"/],
      [{ storage: { engine: 'memory' } }, /storage.engine was "classic-level" and is now "memory"/],
      [{ partitions: 128 }, /partitions was 64 and is now 128/],
    ] as const) {
      const other = configOf({ ...values, dataDir: config.dataDir });
      assert.throws(() => checkIdentity(other), words);
    }
    const joining = configOf({ partitions: 128, dataDir: config.dataDir, join: ['n9:1'] });
    checkIdentity(joining);
    writeFileSync(join(config.dataDir, 'identity.json'), '{');
    assert.throws(() => checkIdentity(config), /is damaged: it is not JSON/);
  });

  it('is told of a later epoch; and that it is no member any more, with its data left as they are', async () => {
    const node = new FakeNode();
    await withHttpApi(
      async ({ port }) => {
        const config = configOf({ members: [memberOf(1), memberOf(2, port)] });
        assert.equal(
          await find(config, storageWith()),
          undefined,
          'the other one is in the founding epoch too',
        );
        node.topology = epochOf(6, [1, 2]);
        assert.equal((await find(config, storageWith()))!.epoch, 6);
        assert.equal((await find(config, storageWith(epochOf(7, [1, 2]))))!.epoch, 7, 'its own is later');
        node.topology = epochOf(9, [2, 3]);
        const words = await refused(find(config, storageWith()), EXIT.notMember);
        assert.match(words, /n1 is no member of cluster fake any more[\s\S]*left as it is/);
      },
      {},
      node,
    );
    const config = configOf();
    await refused(find(config, storageWith(epochOf(5, [2, 3]))), EXIT.notMember);
    assert.equal(existsSync(join(config.dataDir, 'identity.json')), false);
  });

  it('does not found its cluster again when it lost its disk: it waits for the others to tell', async () => {
    const node = new FakeNode();
    await withHttpApi(
      async ({ port }) => {
        const members = [memberOf(1)];
        const config = configOf({ members });
        node.topology = epochOf(5, [1, 2]);
        // It grew from one node to two, and its disk is lost when the other one is down.
        const grown = epochOf(5, [1, 2]);
        const lines: string[] = [];
        await find(config, storageWith(grown), lines);
        assert.match(lines.join(), /names no other member of the cluster: set join/);
        const words = await refused(find(config, storageWith()), EXIT.failed);
        assert.match(words, /lost its database[\s\S]*delete\n.*members\.json/);
        const file = join(config.dataDir, 'members.json');
        const noted = JSON.parse(readFileSync(file, 'utf8'));
        writeFileSync(file, JSON.stringify({ ...noted, members: [{ id: 'n2', http: `127.0.0.1:${port}` }] }));
        assert.equal((await find(config, storageWith()))!.epoch, 5);
        // Where nothing lasts anyway it is founded anew, once it is sure that nobody is there.
        const fleeting = configOf({ members, storage: { engine: 'memory' } });
        await find(fleeting, storageWith(grown));
        assert.equal(await find(fleeting, storageWith()), undefined);
        await withHttpApi(
          async (strange) => {
            const path = join(fleeting.dataDir, 'members.json');
            const other = { ...noted, members: [{ id: 'n2', http: `127.0.0.1:${strange.port}` }] };
            writeFileSync(path, JSON.stringify(other));
            await refused(find(fleeting, storageWith()), EXIT.failed);
          },
          {},
          new FakeNode(),
        );
      },
      {},
      node,
    );
  });

  it('does not start at another address than the others dial', async () => {
    const config = configOf({ members: [{ ...memberOf(1), peerPort: 9 }] });
    const words = await refused(find(config, storageWith(epochOf(4, [1, 2]))), EXIT.failed);
    assert.match(words, /peerPort is \d+ there, and 9 here[\s\S]*dure node replace/);
  });

  it('asks to be taken in once; then its disk says who is there', async () => {
    const node = new FakeNode();
    node.topology = epochOf(6, [1, 2, 3, 4]);
    await withHttpApi(
      async ({ port }) => {
        const self = { nodeId: 'n4', members: [memberOf(4)], partitions: 1024, join: [`127.0.0.1:${port}`] };
        const config = configOf(self);
        assert.equal(replicasBefore(config, true), 3, 'its data can be made anew from others');
        assert.equal((await find(config, storageWith()))!.epoch, 6);
        const identity = JSON.parse(readFileSync(join(config.dataDir, 'identity.json'), 'utf8'));
        assert.equal(identity.partitions, 64, 'as the cluster has them');
        checkIdentity(config);
        node.topology = epochOf(8, [1, 2, 3, 4]);
        assert.equal((await find(config, storageWith(epochOf(6, [1, 2, 3, 4]))))!.epoch, 8);
      },
      {},
      node,
    );
    const alone = configOf({ nodeId: 'n4', members: [memberOf(4)], join: [`127.0.0.1:${quietBase}`] });
    assert.equal((await find(alone, storageWith(epochOf(6, [1, 4]))))!.epoch, 6, 'nobody is up');
    assert.equal(replicasBefore(alone, true), 2);
  });
});

/** Takes an epoch that it is told. */
class FollowedNode extends FakeNode {
  learnTopology(topology: Topology): void {
    this.topology = topology;
  }
}

describe('a node that runs', () => {
  it('asks over HTTP when nobody talks to it, and learns that the others go on without it', async () => {
    const other = new FakeNode();
    await withHttpApi(
      async ({ port }) => {
        const config = configOf({ join: [`127.0.0.1:${port}`] });
        const node = new FollowedNode();
        node.topology = epochOf(4, [1, 2, 3]);
        other.topology = epochOf(7, [2, 3], 'remove', 'n1');
        const following = followTopology(config, node, { write: () => {} }, false, 50);
        node.dead.add('n2');
        await delay(300);
        assert.equal(node.topology.epoch, 4, 'n3 still talks to it');
        node.dead.add('n3');
        assert.deepEqual(await following.departed, { kind: 'removed', epoch: 7 });
        following.stop();
      },
      {},
      other,
    );
  });

  it('asks those it does not hear now and then, though others do talk to it: they may go on without both', async () => {
    const other = new FakeNode();
    await withHttpApi(
      async ({ port }) => {
        const members = [memberOf(1), memberOf(2, port), memberOf(3)];
        const config = configOf({ members });
        const node = new FollowedNode();
        const { epoch, phase, read, change } = epochOf(4, [1, 2, 3]);
        node.topology = new Topology({
          epoch,
          phase,
          members: members.map((member) => ({ ...member, weight: 1, zone: 'z' })),
          read,
          other: undefined,
          change,
        });
        other.topology = epochOf(1004, [2], 'remove', 'n1');
        const following = followTopology(config, node, { write: () => {} }, false, 50);
        await delay(500);
        assert.equal(node.topology.epoch, 4, 'all are heard');
        node.dead.add('n2');
        assert.deepEqual(await following.departed, { kind: 'removed', epoch: 1004 });
        following.stop();
      },
      {},
      other,
    );
  });

  it('notes the members of each epoch, and learns that it is none any more', async () => {
    const config = configOf();
    const node = new FollowedNode();
    node.topology = epochOf(4, [1, 2, 3]);
    const following = followTopology(config, node, { write: () => {} }, true);
    assert.equal(notedMembers(config)!.epoch, 4);
    node.topology = epochOf(7, [1, 2, 3, 4]);
    await until(() => notedMembers(config)!.epoch === 7, 'it is noted');
    assert.equal(notedMembers(config)!.members.length, 4);
    node.topology = epochOf(10, [2, 3], 'leave', 'n1');
    assert.deepEqual(await following.departed, { kind: 'left', epoch: 10 });
    following.stop();
  });

  it('tells whether it left or was removed', () => {
    assert.equal(departureOf(epochOf(5, [1, 2]), 'n1'), undefined);
    assert.equal(departureOf(epochOf(5, [2], 'leave', 'n1'), 'n1')!.kind, 'left');
    assert.equal(departureOf(epochOf(5, [2], 'remove', 'n1'), 'n1')!.kind, 'removed');
    assert.equal(departureOf(epochOf(5, [2], 'leave', 'n3'), 'n1')!.kind, 'removed');
  });
});
