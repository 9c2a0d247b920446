/**
 * What the RESP door itself costs: our server over a `Map`, beside redis-server, under redis-benchmark.
 *
 * `node bench/micro/server.ts [--requests N] [--rounds N] [--json FILE]`
 * `node bench/micro/server.ts --serve PORT [--late]` runs only our side, to be profiled.
 *
 * The picture to have in mind: the same client, the same commands, the two servers in turn, so that what
 * differs is the server. Ours has no node behind it: parse, look up in a `Map`, encode, write. With
 * `--late` each GET is answered at the end of the turn instead of at once, as one that waits for a quorum
 * is. The median of the rounds counts, and the ratio to Redis in the same run, not the figure itself. On a
 * machine where the client shares the processors, throughput says more about the client than about the
 * server: so the processor time a request took is read too (Linux only), kernel work included.
 */

import { execFile, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
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
const clockTickMicroseconds = 10_000;

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
      this.#set(byteString(args[1]!), args[2]!);
      complete(OK);
    } else {
      complete(new ErrorReply('ERR', 'unknown command'));
    }
  }

  /** Over the old value where that fits, so that no memory is allocated: that is not the server's work. */
  #set(key: string, value: Uint8Array): void {
    const old = this.#values.get(key);
    if (old?.length === value.length) old.set(value);
    else this.#values.set(key, value.slice());
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

interface Measured {
  /** By redis-benchmark. */
  readonly requestsPerSecond: number;
  /** Processor time of the server, user and system; NaN where the system does not tell. */
  readonly cpuMicroseconds: number;
}

/** Processor time a process has used, microseconds. */
function cpuOf(processId: number): number {
  try {
    const fields = readFileSync(`/proc/${processId}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) * clockTickMicroseconds;
  } catch {
    return Number.NaN;
  }
}

async function measure(port: number, processId: number, work: Case, requests: number): Promise<Measured> {
  const cpuBefore = cpuOf(processId);
  const { stdout } = await run('redis-benchmark', [
    ...['-p', `${port}`, '-c', `${clients}`, '-n', `${requests}`, '-r', `${keyCount}`],
    ...['-P', `${work.pipeline}`, '-d', `${work.valueBytes}`, '-t', work.test, '--csv'],
  ]);
  const line = stdout.trim().split('\n').at(-1)!;
  return {
    requestsPerSecond: Number(line.split(',')[1]!.replaceAll('"', '')),
    cpuMicroseconds: (cpuOf(processId) - cpuBefore) / requests,
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function row(
  work: Case,
  dure: readonly Measured[],
  redis: readonly Measured[],
): Record<string, string | number> {
  const [perSecond, perSecondRedis] = [dure, redis].map((side) =>
    median(side.map((one) => one.requestsPerSecond)),
  );
  const [cpu, cpuRedis] = [dure, redis].map((side) => median(side.map((one) => one.cpuMicroseconds)));
  return {
    ...work,
    dure: Math.round(perSecond!),
    redis: Math.round(perSecondRedis!),
    ratio: round2(perSecond! / perSecondRedis!),
    'dure cpu us': round2(cpu!),
    'redis cpu us': round2(cpuRedis!),
  };
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

async function compare(requests: number, rounds: number, json: string | undefined): Promise<void> {
  const script = fileURLToPath(import.meta.url);
  const dureChild = spawn(process.execPath, [script, '--serve', `${portDure}`], { stdio: 'inherit' });
  const redisOptions = ['--port', `${portRedis}`, '--save', '', '--appendonly', 'no'];
  const redisChild = spawn('redis-server', redisOptions, { stdio: 'ignore' });
  const results: Record<string, string | number>[] = [];
  try {
    await Promise.all([waitForPort(portDure), waitForPort(portRedis)]);
    for (const work of cases) {
      const count = work.pipeline > 1 ? requests * 5 : requests;
      const dure: Measured[] = [];
      const redis: Measured[] = [];
      for (let round = 0; round <= rounds; round++) {
        const ours = await measure(portDure, dureChild.pid!, work, count);
        const theirs = await measure(portRedis, redisChild.pid!, work, count);
        if (round === 0) continue; // Warms up.
        dure.push(ours);
        redis.push(theirs);
      }
      results.push(row(work, dure, redis));
    }
  } finally {
    dureChild.kill('SIGTERM');
    redisChild.kill('SIGTERM');
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
