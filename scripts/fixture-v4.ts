/**
 * Made the files of `test/fixtures/v4/`: starts four nodes of an earlier release with a tap on each pipe between them, makes
 * them say everything that nodes say to each other, and stops them, one earlier than the others. It is kept to show
 * where they come from; the README.md there says how it was run.
 *
 *   node scripts/fixture-v4.ts CHECKOUT DIRECTORY
 *
 * CHECKOUT is the tree of the release, DIRECTORY gets `wire.txt`, `expected.json` and `data.tar.gz`.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Terminal } from '../test/nemesis/terminal.ts';
import { copyFrame } from '../test/support/frame-copy.ts';
import { freePortBase } from '../test/support/ports.ts';

const ids = ['n1', 'n2', 'n3', 'n4'];
const rows = 60;
/** Frames of each content that are kept. */
const keptOfEach = 3;

/** One direction between two nodes: what is dialled is passed on, and written down. */
class Tap {
  readonly sent: Buffer[][] = [];
  readonly answered: Buffer[][] = [];
  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();
  isHeld = false;

  constructor(target: number) {
    this.#server = createServer((near) => {
      const far = connect({ host: '127.0.0.1', port: target, noDelay: true });
      const [sent, answered]: [Buffer[], Buffer[]] = [[], []];
      this.sent.push(sent);
      this.answered.push(answered);
      for (const [from, to, book] of [
        [near, far, sent],
        [far, near, answered],
      ] as const) {
        this.#sockets.add(from);
        if (this.isHeld) from.pause();
        from.on('data', (chunk) => {
          book.push(chunk);
          to.write(chunk);
        });
        from.on('error', () => {});
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      }
    });
  }

  listen(): Promise<void> {
    return new Promise((done) => this.#server.listen(0, '127.0.0.1', done));
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  hold(isHeld: boolean): void {
    this.isHeld = isHeld;
    for (const socket of this.#sockets) isHeld ? socket.pause() : socket.resume();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

/** The frames of a stream; all begin with their length. */
function framesOf(stream: readonly Buffer[]): Uint8Array[] {
  const bytes = Buffer.concat(stream);
  const frames: Uint8Array[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const end = at + bytes.readUInt32BE(at);
    if (end > bytes.length) break;
    frames.push(new Uint8Array(bytes.subarray(at, end)));
    at = end;
  }
  return frames;
}

class Cluster {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'dure-fixture-'));
  readonly taps: Map<string, Tap> = new Map();
  readonly children: Map<string, ChildProcess> = new Map();
  readonly terminals: Map<string, Terminal> = new Map();
  readonly #cli: string;
  #base = 0;

  constructor(checkout: string) {
    this.#cli = resolve(checkout, 'src/main/cli.ts');
  }

  async startAll(): Promise<void> {
    this.#base = await freePortBase(ids.length);
    for (const [index, id] of ids.entries()) await this.#configure(index, id);
    for (const id of ids) this.#spawn(id);
    for (const id of ids) await this.#ready(id);
  }

  async start(id: string): Promise<void> {
    this.#spawn(id);
    await this.#ready(id);
  }

  async #configure(index: number, id: string): Promise<void> {
    const members = [];
    for (const [other, name] of ids.entries()) {
      const tap = new Tap(this.#base + 1000 + other);
      await tap.listen();
      this.taps.set(`${id}>${name}`, tap);
      const peerPort = other === index ? this.#base + 1000 + other : tap.port;
      const httpPort = this.#base + 2000 + other;
      members.push({ id: name, host: '127.0.0.1', respPort: this.#base + other, peerPort, httpPort });
    }
    const config = {
      nodeId: id,
      clusterName: 'fixture',
      dataDir: join(this.directory, id),
      partitions: 8,
      members,
      limits: {
        repairIntervalMs: '2s',
        horizonIntervalMs: '4s',
        horizonMarginMs: '2s',
        clockOffsetMaxMs: 500,
      },
    };
    writeFileSync(join(this.directory, `${id}.yaml`), JSON.stringify(config));
  }

  #spawn(id: string): void {
    const log = openSync(join(this.directory, `${id}.log`), 'a');
    const words = [this.#cli, 'start', '--config', join(this.directory, `${id}.yaml`)];
    this.children.set(id, spawn(process.execPath, words, { stdio: ['ignore', log, log] }));
  }

  async #ready(id: string): Promise<void> {
    const index = ids.indexOf(id);
    const url = `http://127.0.0.1:${this.#base + 2000 + index}`;
    const linked = async (): Promise<boolean> => {
      const answer = await fetch(`${url}/members`).catch(() => undefined);
      const body = (await answer?.json()) as { members: { live: boolean }[] } | undefined;
      return body?.members.every(({ live }) => live) ?? false;
    };
    for (let tries = 0; tries < 300 && !(await linked()); tries++) await delay(50);
    this.terminals.set(id, await Terminal.open(this.#base + index));
  }

  async ask(id: string, ...words: string[]): Promise<string> {
    const { text, code } = await this.terminals.get(id)!.ask(...words);
    if (code !== '') process.stderr.write(`${id} ${words.join(' ')}: ${code} ${text}\n`);
    return text;
  }

  async stop(id: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.children.get(id)!;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    await ended;
  }

  close(): void {
    for (const child of this.children.values()) child.kill('SIGKILL');
    for (const tap of this.taps.values()) tap.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What is in the cluster at the end, by key: type of reading, and what it gives. */
interface Expected {
  readonly strings: Record<string, string | null>;
  /** Milliseconds since 1970. */
  readonly expireAt: Record<string, number>;
  readonly siblings: Record<string, string[]>;
}

async function fill(cluster: Cluster): Promise<Expected> {
  const expected: Expected = { strings: {}, expireAt: {}, siblings: {} };
  const { strings, expireAt, siblings } = expected;
  const at = (i: number): string => ids[i % ids.length]!;
  await cluster.ask('n2', 'SET', 'before-the-flush', 'x');
  await cluster.ask('n1', 'FLUSHALL');
  strings['before-the-flush'] = null;
  await cluster.ask('n3', 'DURE.POLICY', 'SET', 'cart:', 'PA/EC', 'SIBLINGS');
  await cluster.ask('n3', 'DURE.POLICY', 'SET', 'strict:', 'PC/EC');
  await delay(300);
  for (let i = 0; i < rows; i++) {
    const [key, value] = [`row:${i}`, `value ${i} ${'·'.repeat(i % 7)}`];
    strings[key] = value;
    await cluster.ask(at(i), 'SET', key, value);
  }
  for (let i = 0; i < 8; i++) {
    // As the TypeScript client keeps objects and lists: JSON.
    const [object, list] = [
      JSON.stringify({ name: `user ${i}`, tags: ['a', i] }),
      JSON.stringify([1, 'two', [i]]),
    ];
    strings[`user:${i}`] = object;
    strings[`list:${i}`] = list;
    await cluster.ask(at(i), 'SET', `user:${i}`, object);
    await cluster.ask(at(i + 1), 'SET', `list:${i}`, list);
    strings[`strict:${i}`] = `s${i}`;
    await cluster.ask(at(i), 'SET', `strict:${i}`, `s${i}`);
    strings[`count:${i}`] = String(i + 1);
    for (let times = 0; times <= i; times++) await cluster.ask(at(times), 'INCR', `count:${i}`);
    strings[`ttl:${i}`] = 'for long';
    expireAt[`ttl:${i}`] = 4_102_444_800_000 + i;
    await cluster.ask(at(i), 'SET', `ttl:${i}`, 'for long', 'PXAT', String(4_102_444_800_000 + i));
    strings[`soon:${i}`] = null;
    await cluster.ask(at(i), 'SET', `soon:${i}`, 'gone by now', 'PX', '1000');
    strings[`row:${i}`] = null;
    await cluster.ask(at(i), 'DEL', `row:${i}`);
    siblings[`cart:${i}`] = ['milk', 'rice'];
    await Promise.all([
      cluster.ask('n1', 'SET', `cart:${i}`, 'milk'),
      cluster.ask('n2', 'SET', `cart:${i}`, 'rice'),
    ]);
  }
  return expected;
}

/** Everybody reads, lists and counts, and some of it while one node is silent. */
async function converse(cluster: Cluster, expected: Expected): Promise<void> {
  for (const id of ids) {
    for (const key of Object.keys(expected.strings).slice(0, 40)) await cluster.ask(id, 'GET', key);
    for (const key of Object.keys(expected.siblings)) await cluster.ask(id, 'DURE.GET', key);
    await cluster.ask(id, 'SCAN', '0', 'COUNT', '50');
    await cluster.ask(id, 'DBSIZE');
    await cluster.ask(id, 'DURE.WITH', 'R=3', 'W=3', 'DO', 'GET', 'list:1');
    await cluster.ask(id, 'DURE.WITH', 'R=1', 'W=1', 'DO', 'GETSET', 'user:1', expected.strings['user:1']!);
  }
  // One pipe is silent: others are asked whether they hear the node.
  cluster.taps.get('n1>n4')!.hold(true);
  await delay(3000);
  cluster.taps.get('n1>n4')!.hold(false);
  cluster.children.get('n4')!.kill('SIGSTOP');
  await delay(2500);
  for (let i = 20; i < 36; i++) {
    expected.strings[`row:${i}`] = `while n4 was away ${i}`;
    await cluster.ask('n1', 'SET', `row:${i}`, `while n4 was away ${i}`);
  }
  await cluster.ask('n2', 'DURE.POLICY', 'SET', 'late:', 'PA/EC');
  cluster.children.get('n4')!.kill('SIGCONT');
  const gets = Array.from({ length: 16 }, (_, i) => [
    'DURE.WITH',
    'R=3',
    'W=1',
    'DO',
    'GET',
    `row:${i + 20}`,
  ]);
  await Promise.all(gets.map((words) => cluster.ask('n4', ...words)));
  await delay(5000);
}

/** A node whose disk is empty is made whole by the others. */
async function loseDisk(cluster: Cluster): Promise<void> {
  await cluster.stop('n4', 'SIGKILL');
  rmSync(join(cluster.directory, 'n4', 'rows'), { recursive: true });
  rmSync(join(cluster.directory, 'n4', 'durable-sequence'));
  await cluster.start('n4');
  // It may not answer for itself yet: the others give it rows, one by one.
  const gets = Array.from({ length: 16 }, (_, i) => cluster.ask('n4', 'GET', `row:${i + 8}`));
  await Promise.all(gets);
  await delay(3000);
}

function wireLines(cluster: Cluster): string[] {
  const lines: string[] = [];
  const seen = new Map<string, number>();
  const keep = (what: string, who: string, frame: Uint8Array): void => {
    const times = seen.get(what) ?? 0;
    if (times >= keptOfEach) return;
    seen.set(what, times + 1);
    lines.push(`${who} ${what.replaceAll(' ', '_')} ${Buffer.from(frame).toString('base64')}`);
  };
  for (const [who, tap] of cluster.taps) {
    for (const stream of tap.answered) for (const frame of framesOf(stream)) keep('answer', who, frame);
    for (const stream of tap.sent) {
      const [hello, ...frames] = framesOf(stream);
      if (hello !== undefined) keep('hello', who, hello);
      for (const frame of frames) {
        if (frame.length > 3000) continue;
        const names = [...new Set(copyFrame(frame, ids).names)];
        // A frame is kept for what it has that few had before.
        const rarest = names.toSorted((a, b) => (seen.get(a) ?? 0) - (seen.get(b) ?? 0))[0];
        if (rarest !== undefined) keep(rarest, who, frame);
      }
    }
  }
  return lines;
}

async function main(checkout: string, directory: string): Promise<void> {
  const cluster = new Cluster(checkout);
  try {
    await cluster.startAll();
    const expected = await fill(cluster);
    await loseDisk(cluster);
    await converse(cluster, expected);
    await cluster.stop('n4');
    await delay(500);
    for (let i = 40; i < 60; i++) {
      const isDeleted = i % 3 === 0;
      expected.strings[`row:${i}`] = isDeleted ? null : `after n4 stopped ${i}`;
      await cluster.ask(
        'n2',
        ...(isDeleted ? ['DEL', `row:${i}`] : ['SET', `row:${i}`, `after n4 stopped ${i}`]),
      );
    }
    for (const id of ['n3', 'n2', 'n1']) await cluster.stop(id);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'wire.txt'), `${wireLines(cluster).join('\n')}\n`);
    writeFileSync(join(directory, 'expected.json'), `${JSON.stringify(expected, undefined, 1)}\n`);
    // LOG is what LevelDB did, in words, and LOCK is empty.
    const left = ['--exclude=LOG', '--exclude=LOCK'];
    const archive = join(resolve(directory), 'data.tar.gz');
    execFileSync('tar', ['-C', cluster.directory, '-czf', archive, ...left, ...ids]);
  } finally {
    cluster.close();
  }
}

const [checkout, directory] = process.argv.slice(2);
if (checkout === undefined || directory === undefined) throw new Error('CHECKOUT and DIRECTORY are needed');
await main(checkout, directory);
