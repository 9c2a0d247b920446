/** How `dure status` finds whom to ask, asks, and writes: against small HTTP servers in this process. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import type { StatusAnswer } from '../../../src/http/status.ts';
import { runStatus, type StatusOptions } from '../../../src/main/status.ts';
import { lookAtCluster } from '../../../src/main/status-fetch.ts';
import { Statuses } from '../../support/statuses.ts';

const ends: (() => unknown)[] = [];

async function served(listener: RequestListener, port = 0): Promise<number> {
  const server: Server = createServer(listener);
  await new Promise<void>((done, refuse) => {
    server.on('error', refuse);
    server.listen(port, '127.0.0.1', done);
  });
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

interface World {
  readonly ports: readonly number[];
  readonly asked: string[];
}

/** A server for each node of a cluster, whose members name each other's ports. */
async function world(cluster: Statuses): Promise<World> {
  const asked: string[] = [];
  const ports: number[] = [];
  for (const [i, { node }] of cluster.answers.entries()) {
    const port = await served((request, response) => {
      asked.push(`${node} ${request.url}`);
      // Read when it is asked: a test may change what a node says.
      response.end(JSON.stringify(cluster.look().nodes[i]!.answer));
    });
    ports.push(port);
  }
  for (const { members } of cluster.answers) {
    for (const [i, member] of members.entries()) member.httpPort = ports[i]!;
  }
  return { ports, asked };
}

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly complaints: string;
}

async function ran(
  options: Partial<StatusOptions>,
  terminal: { isTTY?: boolean; columns?: number } = {},
): Promise<Ran> {
  let out = '';
  let complaints = '';
  const defaults = { node: '', config: '', dataDir: '/nonexistent', json: false, check: false };
  const code = await runStatus(
    { ...defaults, watchSeconds: undefined, environment: {}, ...options },
    { ...terminal, write: (text: string) => (out += text) },
    { write: (text: string) => (complaints += text) },
  );
  return { code, out, complaints };
}

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'dure-test-'));
  ends.push(() => rmSync(path, { recursive: true }));
  return path;
}

describe('dure status, asking', () => {
  afterEach(() => {
    for (const end of ends.splice(0)) end();
  });

  it('asks one node and through it the others, each once', async () => {
    const { ports, asked } = await world(new Statuses());
    const { code, out, complaints } = await ran({ node: `127.0.0.1:${ports[1]}` });
    assert.deepEqual([code, complaints], [0, '']);
    assert.match(out, /^Cluster shop: 3 nodes, N=3/);
    assert.deepEqual(asked.sort(), ['n1 /status', 'n2 /status', 'n3 /status']);
  });

  it('takes a port alone, and a URL', async () => {
    const { ports } = await world(new Statuses());
    assert.equal((await ran({ node: `:${ports[0]}` })).code, 0);
    assert.equal((await ran({ node: `http://127.0.0.1:${ports[0]}/status` })).code, 0);
    for (const wrong of ['n1', '127.0.0.1:', '127.0.0.1:0', '127.0.0.1:99999', 'a b:1', '::1:80']) {
      const { code, complaints } = await ran({ node: wrong });
      assert.equal(code, 1, wrong);
      assert.match(complaints, /expected host:port/);
    }
  });

  it('finds the nodes by cluster.json, and goes on when the first of them is dead', async () => {
    const cluster = new Statuses();
    const { ports } = await world(cluster);
    const dataDir = directory();
    const nodes = [1, ports[1], ports[2]].map((httpPort, i) => ({ id: `n${i + 1}`, httpPort }));
    writeFileSync(join(dataDir, 'cluster.json'), JSON.stringify({ nodes }));
    const { code, out } = await ran({ dataDir });
    assert.equal(code, 0);
    assert.match(out, /3 nodes, N=3/);
    writeFileSync(join(dataDir, 'cluster.json'), '{');
    const damaged = await ran({ dataDir });
    assert.equal(damaged.code, 1);
    assert.match(damaged.complaints, /cluster\.json is damaged/);
  });

  it('finds the nodes by a configuration, and tells its problems', async () => {
    const { ports } = await world(new Statuses());
    const config = join(directory(), 'node.yaml');
    const members = ports.map((httpPort, i) => {
      const others = `respPort: ${20_000 + i}, peerPort: ${21_000 + i}`;
      return `  - { id: n${i + 1}, host: 127.0.0.1, ${others}, httpPort: ${httpPort} }`;
    });
    writeFileSync(config, `nodeId: n1\nmembers:\n${members.join('\n')}\n`);
    const { code, out, complaints } = await ran({ config });
    assert.equal(code, 0, complaints);
    assert.match(out, /3 nodes, N=3/);
    writeFileSync(config, 'nodeID: n1\n');
    const wrong = await ran({ config });
    assert.equal(wrong.code, 1);
    assert.match(wrong.complaints, /nodeID/);
  });

  it('says why nobody answers: another program, a page that is not there, silence', async () => {
    const text = await served((_, response) => response.end('hello'));
    const missing = await served((_, response) => {
      response.statusCode = 404;
      response.end('{}');
    });
    const other = await served((_, response) => response.end('{"node":1}'));
    const mute = await served(() => {});
    const gone = await served((_, response) => response.destroy());
    for (const [port, why] of [
      [text, /its answer is not JSON/],
      [missing, /answered HTTP 404/],
      [other, /not a node of Dure/],
      [mute, /no answer within 0\.2 s/],
      [gone, /./],
    ] as const) {
      const { nodes, problems } = await lookAtCluster([`127.0.0.1:${port}`], 200);
      assert.deepEqual(nodes, []);
      assert.match(problems[0]!, why);
    }
  });

  it('asks at ports that browsers refuse, such as that of "dure dev --port 8080"', async () => {
    const cluster = new Statuses(1);
    const listener: RequestListener = (_, response) =>
      response.end(JSON.stringify(cluster.look().nodes[0]!.answer));
    // The first of them that is free here.
    let found = 0;
    for (const port of [10_080, 6000, 6566, 6665, 6697, 5061, 4045]) {
      found = await served(listener, port).catch(() => 0);
      if (found !== 0) break;
    }
    assert.notEqual(found, 0);
    await assert.rejects(fetch(`http://127.0.0.1:${found}/status`), 'fetch does refuse it');
    cluster.of('n1').members[0]!.httpPort = found;
    const { nodes } = await lookAtCluster([`127.0.0.1:${found}`], 1000);
    assert.deepEqual(
      nodes.map(({ id, problem }) => [id, problem]),
      [['n1', '']],
    );
  });

  it('gives up at its time an answer that begins and does not end', async () => {
    const port = await served((_, response) => void response.write('{"node":'));
    const { problems } = await lookAtCluster([`127.0.0.1:${port}`], 200);
    assert.match(problems[0]!, /no answer within 0\.2 s/);
  });

  it('is not fooled by another node at the address of a member', async () => {
    const cluster = new Statuses();
    const { ports } = await world(cluster);
    for (const { members } of cluster.answers) members[2]!.httpPort = ports[1]!;
    const { nodes } = await lookAtCluster([`127.0.0.1:${ports[0]}`], 1000);
    assert.deepEqual(
      nodes.map(({ id, answer, problem }) => [id, answer?.node, problem]),
      [
        ['n1', 'n1', ''],
        ['n2', 'n2', ''],
        ['n3', undefined, 'another node answers there: n2'],
      ],
    );
  });

  it('--check: 2 unless all is well; --json: everything each node said', async () => {
    const cluster = new Statuses();
    const { ports } = await world(cluster);
    const node = `127.0.0.1:${ports[0]}`;
    assert.equal((await ran({ node, check: true })).code, 0);
    cluster.of('n2').storage.state = 'full';
    assert.equal((await ran({ node })).code, 0);
    assert.equal((await ran({ node, check: true })).code, 2);
    const told = JSON.parse((await ran({ node, json: true })).out) as {
      verdict: string;
      nodes: { id: string; answers: boolean; status: StatusAnswer }[];
    };
    assert.equal(told.verdict, 'critical');
    assert.deepEqual(
      told.nodes.map(({ id, answers, status }) => [id, answers, status.storage.state]),
      [
        ['n1', true, 'ok'],
        ['n2', true, 'full'],
        ['n3', true, 'ok'],
      ],
    );
  });

  it('colours a terminal only, NO_COLOR and dumb ones not, FORCE_COLOR always; and keeps to its width', async () => {
    const { ports } = await world(new Statuses());
    const node = `127.0.0.1:${ports[0]}`;
    const isColored = async (environment: NodeJS.ProcessEnv, isTTY: boolean): Promise<boolean> =>
      (await ran({ node, environment }, { isTTY })).out.includes('\x1b[');
    assert.equal(await isColored({}, true), true);
    assert.equal(await isColored({}, false), false);
    assert.equal(await isColored({ NO_COLOR: '1' }, true), false);
    assert.equal(await isColored({ NO_COLOR: '' }, true), true);
    assert.equal(await isColored({ TERM: 'dumb' }, true), false);
    assert.equal(await isColored({ FORCE_COLOR: '1' }, false), true);
    const { out } = await ran({ node, environment: { NO_COLOR: '1' } }, { isTTY: true, columns: 64 });
    assert.ok(
      out.split('\n').every((line) => line.length <= 64),
      out,
    );
    assert.match(out, /A wider terminal shows/);
  });
});
