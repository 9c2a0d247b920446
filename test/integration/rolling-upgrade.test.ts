/**
 * A cluster of the release before, upgraded one node at a time while it is read and written: real processes, two of
 * three that speak protocol version 4 only, then one, then none. What was acknowledged is there at the end, no
 * request fails at the nodes that stay, and the members are not changed before all are upgraded.
 *
 * The older release is this one with `protocolVersionMax: 4`. With DURE_EARLIER_RELEASE, the path of a checkout of
 * commit 84f13c7 with its packages, it is that one, really.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Terminal } from '../nemesis/terminal.ts';
import { freePortBase } from '../support/ports.ts';
import { DURE, Started } from '../support/process.ts';
import { delay, until } from '../support/wait.ts';

const ids = ['n1', 'n2', 'n3'];
const checkout = process.env.DURE_EARLIER_RELEASE;
const linkedMaxMs = 30_000;

interface Overview {
  readonly settled: boolean;
}

class Upgrade {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'dure-upgrade-'));
  readonly nodes: Started[] = [];
  readonly terminals: (Terminal | undefined)[] = [];
  #base = 0;

  async begin(): Promise<void> {
    this.#base = await freePortBase(ids.length);
    for (const index of ids.keys()) this.#spawn(index, true);
    for (const index of ids.keys()) await this.#ready(index);
    for (const index of ids.keys()) await this.linked(index);
  }

  #spawn(index: number, isOld: boolean): void {
    const members = ids.map((id, i) => {
      const [respPort, peerPort, httpPort] = [this.#base + i, this.#base + 1000 + i, this.#base + 2000 + i];
      return { id, host: '127.0.0.1', respPort, peerPort, httpPort };
    });
    const id = ids[index]!;
    const config = {
      nodeId: id,
      dataDir: join(this.directory, id),
      partitions: 16,
      members,
      limits: { repairIntervalMs: '1s' },
      log: { format: 'json', level: 'debug' },
      ...(isOld && checkout === undefined ? { protocolVersionMax: 4 } : {}),
    };
    const file = join(this.directory, `${id}.json`);
    writeFileSync(file, JSON.stringify(config));
    const old = checkout === undefined ? DURE : [process.execPath, join(checkout, 'src/main/cli.ts')];
    this.nodes[index] = new Started([...(isOld ? old : DURE), 'start', '--config', file]);
  }

  async #ready(index: number): Promise<void> {
    await this.nodes[index]!.says(/node-ready/, 60_000);
    this.terminals[index] = await Terminal.open(this.#base + index);
  }

  /** Waits until a node sees all others, and has nothing outstanding. */
  async linked(index: number): Promise<void> {
    const url = `http://127.0.0.1:${this.#base + 2000 + index}/status`;
    let last = '';
    await until(
      async () => {
        last = await (await fetch(url)).text();
        return (JSON.parse(last) as Overview).settled;
      },
      () => `${ids[index]} is settled: ${last}`,
      linkedMaxMs,
    );
  }

  /** The documented procedure for one node: stop, replace the release, start, wait. */
  async replace(index: number, isOld: boolean): Promise<void> {
    const terminal = this.terminals[index]!;
    this.terminals[index] = undefined;
    terminal.close();
    const { code, stdout, stderr } = await this.nodes[index]!.end('SIGTERM');
    assert.equal(code, 0);
    assert.doesNotMatch(stdout + stderr, /frame-damaged/, 'it understood the others');
    this.#spawn(index, isOld);
    await this.#ready(index);
    for (const each of ids.keys()) await this.linked(each);
  }

  async http(index: number, method: string, path: string, body: unknown): Promise<[number, string]> {
    const answer = await fetch(`http://127.0.0.1:${this.#base + 2000 + index}${path}`, {
      method,
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    });
    return [answer.status, await answer.text()];
  }

  /** The version of the pipe from one node to another that was opened last. */
  version(from: number, to: number): number | undefined {
    const { stdout, stderr } = this.nodes[from]!;
    const lines = (stdout + stderr).split('\n').filter((line) => line.includes('"event":"peer-up"'));
    const opened = lines.map((line) => JSON.parse(line) as { peer: string; version?: number });
    return opened.findLast(({ peer }) => peer === ids[to])?.version;
  }

  async end(): Promise<void> {
    for (const terminal of this.terminals) terminal?.close();
    for (const node of this.nodes) await node.end();
    rmSync(this.directory, { recursive: true });
  }
}

/** Writes and reads at whatever nodes are there, and remembers what was acknowledged. */
class Load {
  readonly acknowledged: Map<string, string> = new Map();
  readonly failures: string[] = [];
  readonly #upgrade: Upgrade;
  #ended = false;
  #done: Promise<void> | undefined = undefined;

  constructor(upgrade: Upgrade) {
    this.#upgrade = upgrade;
  }

  begin(): void {
    this.#done = this.#run();
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#ended && i < 100_000; i++) {
      const there = this.#upgrade.terminals.filter((terminal) => terminal !== undefined);
      const [writer, reader] = [there[i % there.length]!, there[(i + 1) % there.length]!];
      const [key, value] = [`key:${i % 500}`, `value ${i}`];
      const written = await this.#ask(writer, 'DURE.WITH', 'R=2', 'W=2', 'DO', 'SET', key, value);
      if (written === 'OK') this.acknowledged.set(key, value);
      else this.acknowledged.delete(key);
      const read = await this.#ask(reader, 'DURE.WITH', 'R=2', 'W=2', 'DO', 'GET', key);
      if (written === 'OK' && read !== undefined && read !== value) {
        this.failures.push(`${key} was read as ${read}, acknowledged was ${value}`);
      }
      await delay(5);
    }
  }

  /** @returns undefined where the node went away meanwhile */
  async #ask(terminal: Terminal, ...words: readonly string[]): Promise<string | undefined> {
    if (!this.#upgrade.terminals.includes(terminal)) return undefined;
    try {
      const { text, code } = await terminal.ask(...words);
      if (code === '') return text;
      // Its door was still open: another node would have served the client.
      const isThere = this.#upgrade.terminals.includes(terminal);
      if (isThere) this.failures.push(`${words.join(' ')}: ${text}`);
    } catch (error) {
      if (this.#upgrade.terminals.includes(terminal)) this.failures.push(String(error));
    }
    return undefined;
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#done;
  }
}

describe('an upgrade one node at a time', () => {
  const cluster = new Upgrade();
  const load = new Load(cluster);
  before(() => cluster.begin());
  after(() => cluster.end());

  /** Every node writes and reads, alone and through the others, at all replicas and at one. */
  async function talk(round: string): Promise<void> {
    for (const [index, terminal] of cluster.terminals.entries()) {
      const key = `talk:${round}:${index}`;
      const all = ['DURE.WITH', 'R=3', 'W=3', 'DO'];
      assert.equal((await terminal!.ask(...all, 'SET', key, 'x')).text, 'OK');
      for (const [i, other] of cluster.terminals.entries()) {
        assert.equal((await other!.ask(...all, 'GET', key)).text, 'x');
        assert.equal((await other!.ask('INCR', `count:${round}:${index}`)).text, `(integer) ${i + 1}`);
      }
      assert.equal((await terminal!.ask(...all, 'DEL', key)).text, '(integer) 1');
      assert.match((await terminal!.ask('SCAN', '0')).text, /key:/);
    }
  }

  const reweigh = (): Promise<[number, string]> =>
    cluster.http(0, 'PUT', '/v1/nodes/n1/weight', { weight: 2 });

  it('begins with all nodes of the older release', async () => {
    load.begin();
    await until(() => load.acknowledged.size > 50, 'it is written');
    await talk('before');
  });

  for (const [index, id] of ids.entries()) {
    it(`goes on with ${id}, and everybody understands everybody`, async () => {
      await cluster.replace(index, false);
      await talk(id);
      for (const other of ids.keys()) {
        if (other === index) continue;
        const version = other < index ? 5 : 4;
        await until(() => cluster.version(index, other) === version, `${id} to ${ids[other]}: ${version}`);
        if (other > index && checkout !== undefined) continue;
        await until(() => cluster.version(other, index) === version, `${ids[other]} to ${id}: ${version}`);
      }
      if (index === ids.length - 1) return;
      const [status, text] = await reweigh();
      assert.ok(status >= 400, text);
      assert.match(text, /runs an older release, which knows nothing of changes: upgrade it first/);
    });
  }

  it('goes back with n2, and forth again', async () => {
    await cluster.replace(1, true);
    await talk('back');
    await until(() => cluster.version(0, 1) === 4, 'n1 to n2: 4');
    await cluster.replace(1, false);
    await talk('forth');
    await until(() => cluster.version(0, 1) === 5, 'n1 to n2: 5');
  });

  it('lost nothing, and no request failed at a node that was there', async () => {
    await load.end();
    assert.deepEqual(load.failures, []);
    assert.ok(load.acknowledged.size > 100);
    for (const terminal of cluster.terminals) {
      for (const [key, value] of load.acknowledged)
        assert.equal((await terminal!.ask('GET', key)).text, value);
    }
    for (const { stdout, stderr } of cluster.nodes) assert.doesNotMatch(stdout + stderr, /frame-damaged/);
  });

  it('can change its members afterwards', async () => {
    const [status, text] = await reweigh();
    assert.equal(status, 200, text);
  });
});
