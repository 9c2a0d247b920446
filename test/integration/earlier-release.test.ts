/**
 * Data directories that nodes of the release before wrote (`test/fixtures/v4/`), opened by nodes of this one: every
 * row is served as it was, what expires expires when it was to, siblings are still siblings, and hints that were kept
 * for a node reach it.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Terminal } from '../nemesis/terminal.ts';
import { freePortBase } from '../support/ports.ts';
import { DURE, Started } from '../support/process.ts';
import { until } from '../support/wait.ts';

const ids = ['n1', 'n2', 'n3', 'n4'];
const fixture = fileURLToPath(new URL('../fixtures/v4/', import.meta.url));

interface Expected {
  readonly strings: Readonly<Record<string, string | null>>;
  readonly expireAt: Readonly<Record<string, number>>;
  readonly siblings: Readonly<Record<string, readonly string[]>>;
}

describe('the data of nodes of protocol version 4', () => {
  const expected = JSON.parse(readFileSync(join(fixture, 'expected.json'), 'utf8')) as Expected;
  const directory = mkdtempSync(join(tmpdir(), 'dure-earlier-'));
  const nodes: Started[] = [];
  const terminals: Terminal[] = [];
  let base = 0;

  const start = (index: number): void => {
    const members = ids.map((id, i) => {
      const [respPort, peerPort, httpPort] = [base + i, base + 1000 + i, base + 2000 + i];
      return { id, host: '127.0.0.1', respPort, peerPort, httpPort };
    });
    const id = ids[index]!;
    const config = {
      nodeId: id,
      clusterName: 'fixture',
      dataDir: join(directory, id),
      partitions: 8,
      members,
      log: { format: 'json' },
    };
    const file = join(directory, `${id}.json`);
    writeFileSync(file, JSON.stringify(config));
    nodes[index] = new Started([...DURE, 'start', '--config', file]);
  };
  const ask = async (node: number, ...words: readonly string[]): Promise<string> =>
    (await terminals[node]!.ask(...words)).text;

  before(async () => {
    execFileSync('tar', ['-C', directory, '-xzf', join(fixture, 'data.tar.gz')]);
    base = await freePortBase(ids.length);
    for (const index of ids.keys()) start(index);
    for (const [index, node] of nodes.entries()) {
      await node.says(/node-ready/, 60_000);
      terminals[index] = await Terminal.open(base + index);
    }
  });
  after(async () => {
    for (const node of nodes) await node.end();
    rmSync(directory, { recursive: true });
  });

  it('is opened, and the format that was found is told', () => {
    const ready = nodes.map(({ stdout, stderr }) => /.*node-ready.*/.exec(stdout + stderr)![0]);
    for (const line of ready) assert.equal(JSON.parse(line).dataFormat, 1);
  });

  it('is served row by row, by every node', async () => {
    for (const node of ids.keys()) {
      for (const [key, value] of Object.entries(expected.strings)) {
        const { reply, text } = await terminals[node]!.ask('GET', key);
        if (value === null) assert.equal(reply, null, `${key} at ${ids[node]}: ${text}`);
        else assert.equal(text, value, `${key} at ${ids[node]}`);
      }
    }
    const live = Object.values(expected.strings).filter((value) => value !== null).length;
    const keys = live + Object.keys(expected.siblings).length;
    assert.equal(await ask(0, 'DBSIZE'), `(integer) ${keys}`);
  });

  it('expires when it was to', async () => {
    for (const [key, at] of Object.entries(expected.expireAt)) {
      assert.equal(await ask(1, 'PEXPIRETIME', key), `(integer) ${at}`);
    }
  });

  it('has its siblings, which merge as ever', async () => {
    for (const [key, values] of Object.entries(expected.siblings)) {
      const text = await ask(2, 'DURE.GET', key);
      const found = /values, \[(.*)\]\]$/.exec(text)?.[1]?.split(', ');
      assert.deepEqual(found?.toSorted(), values.toSorted(), text);
    }
    const [key] = Object.keys(expected.siblings);
    const context = /context, ([^,]+),/.exec(await ask(3, 'DURE.GET', key!))![1]!;
    await ask(3, 'DURE.SET', key!, 'milk and rice', 'CONTEXT', context);
    assert.equal(await ask(0, 'GET', key!), 'milk and rice');
  });

  it('has its policies', async () => {
    const text = await ask(1, 'DURE.POLICY', 'LIST');
    for (const prefix of ['cart:', 'strict:', 'late:']) assert.ok(text.includes(prefix), text);
  });

  it('has its hints, and they are handed over', async () => {
    const sum = async (name: string): Promise<number> => {
      let total = 0;
      for (const index of ids.keys()) {
        const text = await (await fetch(`http://127.0.0.1:${base + 2000 + index}/metrics`)).text();
        const samples = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'))];
        assert.ok(samples.length > 0, `a metric ${name}`);
        for (const [, value] of samples) total += Number(value);
      }
      return total;
    };
    await until(async () => (await sum('dure_hints')) === 0, 'no hints are left', 20_000);
    assert.ok((await sum('dure_hints_delivered_total')) > 5, 'there were some');
    let own = 0;
    for (const [key, value] of Object.entries(expected.strings)) {
      if (!value?.startsWith('after n4 stopped')) continue;
      assert.equal(await ask(3, 'DURE.WITH', 'R=1', 'W=1', 'DO', 'GET', key), value);
      own++;
    }
    assert.ok(own > 5);
  });

  it('goes on: new rows are written, and all is there after a restart', async () => {
    await ask(0, 'SET', 'row:new', 'by this release');
    terminals[0]!.close();
    await nodes[0]!.end();
    start(0);
    await nodes[0]!.says(/node-ready/, 60_000);
    terminals[0] = await Terminal.open(base);
    assert.equal(await ask(0, 'GET', 'row:new'), 'by this release');
    assert.equal(await ask(0, 'GET', 'user:3'), expected.strings['user:3']);
  });
});
