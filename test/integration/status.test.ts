/** `dure status` against a real cluster: all well, one node killed under writes, back again, and nobody there. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import type { StatusAnswer } from '../../src/http/status.ts';
import type { ClusterView, NodeView } from '../../src/main/status-view.ts';
import { TestCluster } from '../support/cluster.ts';
import { freePortBase } from '../support/ports.ts';
import { DURE, type Finished, run, Started } from '../support/process.ts';
import { until } from '../support/wait.ts';

interface Told extends Omit<ClusterView, 'nodes'> {
  readonly nodes: readonly (Omit<NodeView, 'answer'> & {
    readonly answers: boolean;
    readonly status: StatusAnswer | null;
  })[];
}

describe('dure status', { timeout: 120_000 }, () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await TestCluster.start({ nodes: 3 });
  });
  after(() => cluster.close());

  /** As from a shell, in the directory of the cluster. */
  function status(...words: readonly string[]): Promise<Finished> {
    return run([...DURE, 'status', '--data-dir', cluster.directory, ...words], { env: { NO_COLOR: '1' } });
  }

  async function told(...words: readonly string[]): Promise<Told> {
    const { code, stdout, stderr } = await status('--json', ...words);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Told;
  }

  /** The state as the nodes tell it, until it is `wanted`. */
  async function untilTold(wanted: (told: Told) => boolean, what: string): Promise<void> {
    let last: Told | undefined;
    await until(
      async () => {
        last = await told();
        return wanted(last);
      },
      () => `${what}; the last was ${JSON.stringify(last?.reasons)}`,
      40_000,
    );
  }

  /** A line of the table, by its first cell. */
  function lineOf(text: string, id: string): string {
    const line = text.split('\n').find((each) => each.trimStart().startsWith(`${id} `));
    assert.ok(line !== undefined, `a line of ${id} in\n${text}`);
    return line;
  }

  it('finds the nodes by cluster.json, shows each, and all is well', async () => {
    await untilTold(({ verdict }) => verdict === 'well', 'all is well');
    const { code, stdout, stderr } = await status('--check');
    assert.equal(code, 0, stdout);
    assert.equal(stderr, '');
    assert.match(stdout, /^Cluster dure: 3 nodes, N=3, epoch 1, Dure \d/);
    assert.match(stdout, /^All is well/m);
    for (const id of ['n1', 'n2', 'n3']) {
      assert.match(lineOf(stdout, id), /^ +n\d +default +up \d.*alive.* yes /);
    }
    assert.ok(!stdout.includes('\x1b'), 'no colours where nobody can see them');
  });

  it('one node is enough to find the others', async () => {
    const { nodes } = await told('--node', `127.0.0.1:${cluster.node(1).httpPort}`);
    assert.deepEqual(
      nodes.map(({ id, answers }) => [id, answers]),
      [
        ['n1', true],
        ['n2', true],
        ['n3', true],
      ],
    );
    assert.equal(nodes[2]!.status!.node, 'n3');
    assert.equal(nodes[2]!.others.voices, 2);
  });

  it('one killed under writes: what the others say, what waits for it, and what to do', async () => {
    await cluster.kill(2);
    const client = new Redis({ host: '127.0.0.1', port: cluster.respPort(0) });
    client.on('error', () => {});
    try {
      for (let i = 0; i < 200; i++) await client.set(`key${i}`, `value${i}`);
    } finally {
      client.disconnect();
    }
    await untilTold(
      ({ reasons }) => reasons.some(({ code, subject }) => code === 'member-down' && subject === 'n3'),
      'n3 is down',
    );
    const { verdict, settled, nodes } = await told();
    assert.deepEqual([verdict, settled], ['degraded', false]);
    const n3 = nodes.find(({ id }) => id === 'n3')!;
    assert.deepEqual([n3.answers, n3.problem, n3.others.down], [false, 'nothing listens there', 2]);
    assert.ok(n3.others.phiMax > 1, `phi rises: ${n3.others.phiMax}`);
    assert.ok(n3.others.hints >= 200, `every write waits for it: ${n3.others.hints}`);
    assert.ok(
      n3.others.lagMs > 0 && n3.others.lagMs < 60_000,
      `and the oldest is its lag: ${n3.others.lagMs}`,
    );
    const { code, stdout } = await status('--check');
    assert.equal(code, 2);
    assert.match(lineOf(stdout, 'n3'), /no answer +down/);
    assert.match(stdout, /^Degraded: /m);
    assert.match(stdout, /^! {2}n3 is down, silent for .*\(n1, n2 say\)$/m);
    assert.match(stdout, /^ {3}Do: {4}start n3 again/m);
    assert.equal((await status()).code, 0, 'without --check it only shows');
  });

  it('back again: what waited is handed over, and the nodes find themselves equal', async () => {
    await cluster.restart(2);
    await untilTold(({ settled }) => settled, 'nothing is outstanding');
    const { verdict, nodes } = await told();
    assert.equal(verdict, 'well');
    for (const { others } of nodes) assert.deepEqual([others.hints, others.lagMs], [0, 0]);
    const delivered = nodes.reduce((sum, { status: own }) => sum + (own?.hints?.delivered ?? 0), 0);
    assert.ok(delivered >= 200, `handed over: ${delivered}`);
  });

  it('watches, line by line where there is no terminal', async () => {
    const watching = new Started(
      [...DURE, 'status', '--data-dir', cluster.directory, '--json', '--watch', '0.2'],
      {},
    );
    await until(() => watching.stdout.split('\n').length > 2, 'two looks', 20_000);
    const { signal } = await watching.end('SIGINT');
    assert.equal(signal, 'SIGINT');
    const [first, second] = watching.stdout.split('\n').map((line) => JSON.parse(line || '{}') as Told);
    assert.equal(first!.nodes.length, 3);
    assert.equal(second!.nodes.length, 3);
  });

  it('says clearly that nobody answers, with exit code 1', async () => {
    const port = (await freePortBase(1)) + 1;
    const { code, stdout, stderr } = await status('--node', `127.0.0.1:${port}`);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /no node answers:\n {2}127\.0\.0\.1:\d+: nothing listens there\n/);
    const redis = await status('--node', `127.0.0.1:${cluster.respPort(0)}`);
    assert.equal(redis.code, 1);
    assert.match(redis.stderr, /no node answers/);
    const nonsense = await status('--node', 'nowhere');
    assert.equal(nonsense.code, 1);
    assert.match(nonsense.stderr, /--node nowhere: expected host:port/);
    const empty = mkdtempSync(join(tmpdir(), 'dure-test-'));
    try {
      const watch = await run([...DURE, 'status', '--data-dir', empty, '--watch', 'soon']);
      assert.equal(watch.code, 1);
      assert.match(watch.stderr, /--watch soon: expected seconds/);
    } finally {
      rmSync(empty, { recursive: true });
    }
  });
});
