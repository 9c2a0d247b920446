/**
 * What the RESP door itself costs: our server over a `Map`, beside redis-server, under redis-benchmark.
 *
 * `node bench/micro/server.ts [--requests N] [--rounds N] [--json FILE]`
 * `node bench/micro/server.ts --serve PORT [--late]` runs only our side, to be profiled.
 *
 * The picture to have in mind: the same client, the same commands, the two servers in turn, so that what
 * differs is the server. Ours has no node behind it: parse, look up in a `Map`, encode, write. With
 * `--late` each GET is answered at the end of the turn instead of at once, as one that waits for a quorum
 * is. The median of the rounds counts, and the ratio to Redis in the same run, not the figure itself.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { byteString } from '../../src/base/bytes.ts';
import { LOG_SILENT } from '../../src/ports/log.ts';
import { ErrorReply, OK } from '../../src/resp/value.ts';
import type { Executor } from '../../src/server/connection.ts';
import { SERVER_LIMITS_DEFAULT } from '../../src/server/limits.ts';
import type { Reply } from '../../src/server/reply-queue.ts';
import { RespServer } from '../../src/server/resp-server.ts';

const run = promisify(execFile);
const portDure = 17_379;
const portRedis = 17_380;
const clients = 50;
const keyCount = 10_000;
const startWaitMs = 5000;

/** GET and SET over a `Map`. */
class MapExecutor implements Executor {
  readonly #values = new Map<string, Uint8Array>();
  readonly #late: boolean;
  readonly #waiting: (() => void)[] = [];

  constructor(late: boolean) {
    this.#late = late;
  }

  execute(_session: unknown, args: readonly Uint8Array[], complete: (reply: Reply) => void): void {
    const name = args[0]!;
    if (name[0] === 0x47 && args.length === 2) {
      const value = this.#values.get(byteString(args[1]!)) ?? null;
      if (this.#late) this.#waiting.push(() => complete(value));
      else complete(value);
    } else if (name[0] === 0x53 && args.length === 3) {
      this.#values.set(byteString(args[1]!), args[2]!.slice());
      complete(OK);
    } else {
      complete(new ErrorReply('ERR', 'unknown command'));
    }
  }

  endTurn(): void {
    for (const answer of this.#waiting) answer();
    this.#waiting.length = 0;
  }
}

async function serve(port: number, late: boolean): Promise<void> {
  const executor = new MapExecutor(late);
  const server = new RespServer(
    { host: '127.0.0.1', port, limits: SERVER_LIMITS_DEFAULT, passwordRequired: false },
    executor,
    LOG_SILENT,
    { wake: () => setImmediate(endTurn) },
  );
  function endTurn(): void {
    executor.endTurn();
    server.flush();
  }
  await server.listen();
  process.on('SIGTERM', () => process.exit(0));
  if (late) setInterval(endTurn, 1);
}

/** Resolves when something listens on the port. */
async function waitForPort(port: number): Promise<void> {
  const until = performance.now() + startWaitMs;
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (open) return;
    if (performance.now() > until) throw new Error(`nothing listens on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

interface Case {
  readonly test: 'get' | 'set';
  readonly pipeline: number;
  readonly valueBytes: number;
}

const cases: readonly Case[] = [
  { test: 'set', pipeline: 1, valueBytes: 1024 },
  { test: 'get', pipeline: 1, valueBytes: 1024 },
  { test: 'set', pipeline: 16, valueBytes: 1024 },
  { test: 'get', pipeline: 16, valueBytes: 1024 },
  { test: 'set', pipeline: 16, valueBytes: 3 },
  { test: 'get', pipeline: 16, valueBytes: 3 },
];

/** Requests a second, by redis-benchmark. */
async function measure(port: number, work: Case, requests: number): Promise<number> {
  const { stdout } = await run('redis-benchmark', [
    ...['-p', `${port}`, '-c', `${clients}`, '-n', `${requests}`, '-r', `${keyCount}`],
    ...['-P', `${work.pipeline}`, '-d', `${work.valueBytes}`, '-t', work.test, '--csv'],
  ]);
  const line = stdout.trim().split('\n').at(-1)!;
  return Number(line.split(',')[1]!.replaceAll('"', ''));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

async function compare(requests: number, rounds: number, json: string | undefined): Promise<void> {
  const children: ChildProcess[] = [
    spawn(process.execPath, [fileURLToPath(import.meta.url), '--serve', `${portDure}`], { stdio: 'inherit' }),
    spawn('redis-server', ['--port', `${portRedis}`, '--save', '', '--appendonly', 'no'], {
      stdio: 'ignore',
    }),
  ];
  const results: Record<string, string | number>[] = [];
  try {
    await Promise.all([waitForPort(portDure), waitForPort(portRedis)]);
    for (const work of cases) {
      const count = work.pipeline > 1 ? requests * 5 : requests;
      const dure: number[] = [];
      const redis: number[] = [];
      for (let round = 0; round <= rounds; round++) {
        const pair = [await measure(portDure, work, count), await measure(portRedis, work, count)] as const;
        if (round === 0) continue; // Warms up.
        dure.push(pair[0]);
        redis.push(pair[1]);
      }
      results.push({
        ...work,
        dure: Math.round(median(dure)),
        redis: Math.round(median(redis)),
        ratio: Math.round((median(dure) / median(redis)) * 100) / 100,
      });
    }
  } finally {
    for (const child of children) child.kill('SIGTERM');
  }
  console.table(results);
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(results, undefined, 2)}\n`);
}

const { values } = parseArgs({
  options: {
    serve: { type: 'string' },
    late: { type: 'boolean', default: false },
    requests: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
});
if (values.serve === undefined) await compare(Number(values.requests), Number(values.rounds), values.json);
else await serve(Number(values.serve), values.late);
