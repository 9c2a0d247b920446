/**
 * Six nodes in three zones: every key has a replica in each, so that a whole zone may fail under R = W = 2. Who joins
 * is placed by its zone as well.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { freePortBase } from '../support/ports.ts';
import { DURE, Started } from '../support/process.ts';
import { topologyAt } from '../support/topology-look.ts';
import { until } from '../support/wait.ts';

const host = '127.0.0.1';
const zones = ['a', 'b', 'c'] as const;
const keys = 300;
const keyOf = (i: number): string => `zone-test:${i}`;

interface ZoneNode {
  readonly id: string;
  readonly zone: string;
  readonly respPort: number;
  readonly peerPort: number;
  readonly httpPort: number;
  process?: Started;
}

describe('three zones', { timeout: 180_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-zones-'));
  const nodes: ZoneNode[] = [];
  const clients: Redis[] = [];

  before(async () => {
    const base = await freePortBase(7);
    for (let i = 0; i < 7; i++) {
      const zone = zones[i % 3]!;
      nodes.push({
        id: `n${i + 1}`,
        zone,
        respPort: base + i,
        peerPort: base + 1000 + i,
        httpPort: base + 2000 + i,
      });
    }
    const founders = nodes.slice(0, 6);
    await Promise.all(
      founders.map((node) =>
        start(node, { members: founders.map(({ process: _, ...each }) => ({ ...each, host })) }),
      ),
    );
  });
  after(async () => {
    for (const client of clients) client.disconnect();
    await Promise.all(nodes.map((node) => node.process?.end('SIGKILL')));
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  });

  async function start(node: ZoneNode, settings: Readonly<Record<string, unknown>>): Promise<void> {
    const file = join(directory, `${node.id}.json`);
    const common = { nodeId: node.id, clusterName: 'zones', dataDir: join(directory, node.id), replicas: 3 };
    // R = W = 2 of three, and no stand-in may take the place of a zone.
    const policy = { r: 2, w: 2, quorum: 'strict' };
    writeFileSync(file, JSON.stringify({ ...common, policy, log: { format: 'json' }, ...settings }));
    node.process = new Started([...DURE, 'start', '--config', file]);
    await node.process.says(/node-ready/, 60_000);
  }

  function clientOf(node: ZoneNode): Redis {
    const client = new Redis({ host, port: node.respPort, maxRetriesPerRequest: 0 });
    client.on('error', () => {});
    clients.push(client);
    return client;
  }

  /** Every partition has its three replicas in three zones, as DURE.TOPOLOGY tells of keys too. */
  async function checkSpread(through: ZoneNode): Promise<void> {
    const zoneOf = new Map(nodes.map(({ id, zone }) => [id, zone]));
    const { lists } = await topologyAt(through.httpPort, '?lists=true');
    for (const [partition, list] of lists!.read.entries()) {
      const spread = new Set(list.map((index) => zoneOf.get(lists!.ids[index]!)));
      assert.equal(
        spread.size,
        3,
        `partition ${partition}: ${list.map((index) => lists!.ids[index]).join(', ')}`,
      );
    }
    const client = clientOf(through);
    for (let i = 0; i < 20; i++) {
      const told = (await client.call('DURE.TOPOLOGY', 'KEY', keyOf(i))) as unknown[];
      const owners = told[told.indexOf('owners') + 1] as string[];
      assert.deepEqual([...new Set(owners.map((id) => zoneOf.get(id)))].sort(), [...zones], keyOf(i));
    }
  }

  it('hold a replica of every key each', async () => {
    await until(
      async () => {
        const seen = await Promise.all(nodes.slice(0, 6).map(({ httpPort }) => topologyAt(httpPort)));
        return seen.every(({ members }) => members.every(({ live }) => live === true));
      },
      'all see each other',
      30_000,
    );
    await checkSpread(nodes[0]!);
    const client = clientOf(nodes[0]!);
    await Promise.all(Array.from({ length: keys }, (_, i) => client.set(keyOf(i), `v${i}`)));
  });

  it('one of them joined by a seventh node, still do', async () => {
    const newcomer = nodes[6]!;
    assert.equal(newcomer.zone, 'a');
    const { respPort, peerPort, httpPort, zone } = newcomer;
    await start(newcomer, {
      host,
      zone,
      ports: { resp: respPort, peer: peerPort, http: httpPort },
      join: nodes.slice(0, 2).map((node) => `http://${host}:${node.httpPort}`),
    });
    await until(
      async () => {
        const seen = await Promise.all(nodes.map(({ httpPort }) => topologyAt(httpPort)));
        return seen.every(({ phase, members }) => phase === 'steady' && members.length === 7);
      },
      'the seventh is a member',
      60_000,
    );
    await checkSpread(newcomer);
    // Room was made in its own zone, and the other zones hold what they held.
    const { members } = await topologyAt(newcomer.httpPort);
    const replicasIn = (name: string): number =>
      members.filter((each) => each.zone === name).reduce((sum, each) => sum + each.replicas, 0);
    const partitions = (await topologyAt(newcomer.httpPort)).partitions;
    for (const name of zones) assert.equal(replicasIn(name), partitions, `zone ${name}`);
  });

  it('one of them may fail as a whole: every key is read and written', async () => {
    const lost = nodes.filter(({ zone }) => zone === 'b');
    assert.equal(lost.length, 2);
    await Promise.all(lost.map((node) => node.process!.end('SIGKILL')));
    const left = nodes.filter((node) => !lost.includes(node));
    await until(
      async () => {
        const seen = await Promise.all(left.map(({ httpPort }) => topologyAt(httpPort)));
        return seen.every(({ members }) => members.filter(({ live }) => live === true).length === 5);
      },
      'the others miss them',
      30_000,
    );
    const through = left.map(clientOf);
    for (let i = 0; i < keys; i++) {
      const [reader, writer] = [through[i % 5]!, through[(i + 1) % 5]!];
      assert.equal(await reader.get(keyOf(i)), `v${i}`, keyOf(i));
      assert.equal(await writer.set(keyOf(i), `w${i}`), 'OK', keyOf(i));
      assert.equal(await reader.get(keyOf(i)), `w${i}`, keyOf(i));
    }
  });
});
