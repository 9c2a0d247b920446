/**
 * What the HTTP door costs beside the RESP door: the same operations on the same node, by each.
 *
 * `node bench/http/main.ts [--connections 32] [--seconds 4] [--rounds 3] [--value-bytes 128]`
 *
 * The picture: two doors of one house and a visitor who comes out and goes in again at once. Connections are kept
 * open, each sends its next request when it has the answer, and the visitor is as simple as can be on both sides:
 * bytes written, bytes looked at for the end of the answer. The doors take turns, round by round, so that whatever
 * else the machine does falls on both. Where the cores are shared with the load, the node's processor time an
 * operation is the figure to trust.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Histogram } from '../cluster/histogram.ts';
import {
  ask,
  cpuTime,
  endAll,
  endStarted,
  freePort,
  type Started,
  start,
  until,
} from '../cluster/processes.ts';

const cli = fileURLToPath(new URL('../../src/main/cli.ts', import.meta.url));
const keyCount = 10_000;

const { values: flags } = parseArgs({
  options: {
    connections: { type: 'string', default: '32' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    'value-bytes': { type: 'string', default: '128' },
  },
});

const value = 'v'.repeat(Number(flags['value-bytes']));
const keyOf = (i: number): string => `bench:${String(i).padStart(6, '0')}`;

/** A way to ask for one key: the bytes of a request, and where an answer ends. */
interface Door {
  readonly name: string;
  request(key: string): string;
  /** How many bytes of `text` the first answer takes; 0 while it is not whole. Throws at any other answer. */
  answerEnd(text: string): number;
}

const host = 'Host: localhost';

function httpEnd(text: string, status: string): number {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) return 0;
  if (!text.startsWith(`HTTP/1.1 ${status} `)) throw new Error(text);
  const length = /content-length: (\d+)/i.exec(text)?.[1] ?? '0';
  const end = head + 4 + Number(length);
  return text.length >= end ? end : 0;
}

const bulk = (word: string): string => `$${word.length}\r\n${word}\r\n`;
const getReply = `$${value.length}\r\n${value}\r\n`;

function replyEnd(text: string, reply: string): number {
  if (text.startsWith(reply)) return reply.length;
  if (reply.startsWith(text)) return 0;
  throw new Error(text);
}

const doors: Readonly<Record<'get' | 'put', readonly Door[]>> = {
  get: [
    {
      name: 'RESP GET',
      request: (key) => `*2\r\n$3\r\nGET\r\n${bulk(key)}`,
      answerEnd: (text) => replyEnd(text, getReply),
    },
    {
      name: 'HTTP GET',
      request: (key) => `GET /v1/keys/${key} HTTP/1.1\r\n${host}\r\n\r\n`,
      answerEnd: (text) => httpEnd(text, '200'),
    },
  ],
  put: [
    {
      name: 'RESP SET',
      request: (key) => `*3\r\n$3\r\nSET\r\n${bulk(key)}${bulk(value)}`,
      answerEnd: (text) => replyEnd(text, '+OK\r\n'),
    },
    {
      name: 'HTTP PUT',
      request: (key) =>
        `PUT /v1/keys/${key} HTTP/1.1\r\n${host}\r\nContent-Type: text/plain\r\nContent-Length: ${value.length}\r\n\r\n${value}`,
      answerEnd: (text) => httpEnd(text, '204'),
    },
  ],
};

/** One connection that asks until its time is up. */
function visit(door: Door, port: number, first: number, untilMs: number, seen: Histogram): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = '';
    let key = first;
    let sentAt = 0;
    const next = (socket: Socket): void => {
      if (performance.now() >= untilMs) {
        socket.end();
        resolve();
        return;
      }
      key = (key + 7919) % keyCount;
      sentAt = performance.now();
      socket.write(door.request(keyOf(key)));
    };
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => next(socket));
    socket.setEncoding('latin1');
    socket.on('error', reject);
    socket.on('data', (text) => {
      received += text;
      try {
        const end = door.answerEnd(received);
        if (end === 0) return;
        received = received.slice(end);
        seen.record((performance.now() - sentAt) * 1000);
        next(socket);
      } catch (error) {
        socket.destroy();
        reject(error);
      }
    });
  });
}

interface Run {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly nodeUs: number;
}

async function measure(door: Door, port: number, node: Started, ms: number): Promise<Run> {
  const seen = new Histogram();
  const before = cpuTime([node])!;
  const beganAt = performance.now();
  const count = Number(flags.connections);
  const visits = Array.from({ length: count }, (_, i) =>
    visit(door, port, Math.floor((i * keyCount) / count), beganAt + ms, seen),
  );
  await Promise.all(visits);
  const seconds = (performance.now() - beganAt) / 1000;
  const after = cpuTime([node])!;
  const { p50Us, p99Us } = seen.latency();
  const nodeMs = after.userMs + after.systemMs - before.userMs - before.systemMs;
  return { perSecond: seen.total / seconds, p50Us, p99Us, nodeUs: (nodeMs * 1000) / seen.total };
}

function medianOf(runs: readonly Run[]): Run {
  const of = (name: keyof Run): number =>
    runs.map((run) => run[name]).toSorted((a, b) => a - b)[Math.floor(runs.length / 2)]!;
  return { perSecond: of('perSecond'), p50Us: of('p50Us'), p99Us: of('p99Us'), nodeUs: of('nodeUs') };
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'dure-bench-http-'));
  try {
    const [respPort, peerPort, httpPort] = [await freePort(), await freePort(), await freePort()];
    const members = [{ id: 'n1', host: '127.0.0.1', respPort, peerPort, httpPort }];
    const config = { nodeId: 'n1', clusterName: 'bench', dataDir: join(directory, 'data'), members };
    const file = join(directory, 'node.yaml');
    writeFileSync(file, JSON.stringify({ ...config, log: { level: 'warn', format: 'json' } }));
    const args = [cli, 'start', '--config', file];
    const node = start('n1', process.execPath, args, join(directory, 'output.txt'));
    await until([node], async () => (await ask(respPort, 'SET', 'ready', '1')).startsWith('+OK'));
    for (let i = 0; i < keyCount; i += 500) {
      const pairs = Array.from({ length: 500 }, (_, j) => [keyOf(i + j), value]).flat();
      await ask(respPort, 'MSET', ...pairs);
    }
    console.log(`1 node, interval, ${flags.connections} connections, values of ${value.length} bytes`);
    console.log('             ops/s    p50 ms   p99 ms   node CPU µs/op');
    for (const pair of [doors.get, doors.put]) {
      const runs: Run[][] = pair.map(() => []);
      for (let round = -1; round < Number(flags.rounds); round++) {
        for (const [i, door] of pair.entries()) {
          const port = door.name.startsWith('HTTP') ? httpPort : respPort;
          const run = await measure(door, port, node, round < 0 ? 1500 : Number(flags.seconds) * 1000);
          if (round >= 0) runs[i]!.push(run);
        }
      }
      const medians = runs.map(medianOf);
      for (const [i, { perSecond, p50Us, p99Us, nodeUs }] of medians.entries()) {
        const cells = [
          Math.round(perSecond),
          (p50Us / 1000).toFixed(2),
          (p99Us / 1000).toFixed(2),
          nodeUs.toFixed(1),
        ];
        console.log(`${pair[i]!.name.padEnd(10)} ${cells.map((cell) => String(cell).padStart(8)).join(' ')}`);
      }
      const [resp, http] = medians as [Run, Run];
      const ratio = (http.perSecond / resp.perSecond).toFixed(2);
      console.log(
        `HTTP/RESP  ${ratio} × the throughput, ${(http.nodeUs / resp.nodeUs).toFixed(1)} × the node CPU`,
      );
    }
  } finally {
    await endStarted();
    rmSync(directory, { recursive: true, force: true });
  }
}

process.on('SIGINT', () => void endAll());
await main();
