/**
 * The load generator: one process, the same for every system that is measured.
 *
 * A closed loop. Each of (say) 64 connections sends `pipeline` operations at once, waits until all are
 * answered, and sends the next. The latency of an operation runs from the moment its bytes were handed
 * to the socket to the moment its answer was read. Nothing is allocated an operation: requests are
 * patched in place (`requests.ts`), answers only counted (`replies.ts`).
 *
 * Started by `main.ts` as a child process that takes one job after another over the IPC channel.
 */

import { connect, type Socket } from 'node:net';
import { Histogram } from './histogram.ts';
import type { LoadJob, LoadMessage, LoadResult, Target } from './job.ts';
import { EtcdReplies, type ReplyReader, RespReplies } from './replies.ts';
import { frame, frameType, Random32, Requests, values } from './requests.ts';

const receiveBytes = 64 * 1024;

/** What all connections of a job share. */
class Run {
  readonly job: LoadJob;
  readonly histogram: Histogram = new Histogram();
  errors = 0;
  firstError: string | undefined;
  measuring = false;
  stopped = false;
  #filled = 0;
  #open = 0;
  #idle: (() => void) | undefined;
  readonly fail: (error: Error) => void;

  constructor(job: LoadJob, fail: (error: Error) => void) {
    this.job = job;
    this.fail = fail;
  }

  /** How many operations a connection may send now; 0: it is done. */
  allow(): number {
    if (this.stopped) return 0;
    if (this.job.operation !== 'fill') return this.job.pipeline;
    return Math.min(this.job.pipeline, this.job.keys - this.#filled);
  }

  readonly keyOf = (random: number): number => {
    if (this.job.operation !== 'fill') return random % this.job.keys;
    this.#filled += 1;
    return this.#filled - 1;
  };

  record(tookUs: number, error: string | undefined): void {
    if (error !== undefined) {
      this.errors += 1;
      this.firstError ??= error;
    }
    // A failed operation is no throughput.
    else if (this.measuring) this.histogram.record(tookUs);
  }

  begun(): void {
    this.#open += 1;
  }

  ended(): void {
    this.#open -= 1;
    if (this.#open === 0) this.#idle?.();
  }

  /** Resolves when no connection has anything in flight. */
  idle(): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }
}

class Connection {
  readonly #run: Run;
  readonly #requests: Requests;
  readonly #socket: Socket;
  readonly #replies: ReplyReader;
  readonly #etcd: EtcdReplies | undefined;
  #stream = 1;
  #sentAt = 0;
  #pending = 0;
  #blocked = false;

  constructor(run: Run, target: Target, requests: Requests, opened: () => void) {
    this.#run = run;
    this.#requests = requests;
    const onReply = (error: string | undefined) => this.#reply(error);
    this.#etcd =
      run.job.protocol === 'etcd'
        ? new EtcdReplies(
            onReply,
            (bytes) => this.#socket.write(bytes),
            () => this.#unblock(),
          )
        : undefined;
    this.#replies = this.#etcd ?? new RespReplies(run.job.waitReplicas, onReply);
    this.#socket = connect({
      host: target.host,
      port: target.port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(receiveBytes),
        callback: (length, buffer) => {
          try {
            this.#replies.read(buffer as Buffer, length);
          } catch (error) {
            run.fail(error as Error);
          }
          return true;
        },
      },
    });
    this.#socket.on('error', (error) => run.fail(error));
    this.#socket.on('end', () => run.fail(new Error(`${target.host}:${target.port} closed a connection`)));
    this.#socket.on('connect', () => {
      if (this.#etcd !== undefined) this.#preface();
      opened();
    });
  }

  start(): void {
    this.#run.begun();
    this.#send();
  }

  close(): void {
    this.#socket.destroy();
  }

  #preface(): void {
    const window = Buffer.alloc(4);
    window.writeUInt32BE(0x7fff_0000);
    this.#socket.write(
      Buffer.concat([
        Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
        frame(frameType.settings, 0, 0, Buffer.alloc(0)),
        frame(frameType.windowUpdate, 0, 0, window),
      ]),
    );
  }

  #send(): void {
    const count = this.#run.allow();
    if (count <= 0) {
      this.#run.ended();
      return;
    }
    if (this.#etcd !== undefined) {
      const needed = count * this.#requests.flowBytes;
      if (this.#etcd.windowBytes < needed) {
        this.#blocked = true;
        return;
      }
      this.#etcd.windowBytes -= needed;
    }
    const bytes = this.#requests.next(count, this.#run.keyOf, this.#stream);
    this.#stream += 2 * count;
    this.#pending = count;
    this.#sentAt = performance.now();
    this.#socket.write(bytes);
  }

  #unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#send();
  }

  #reply(error: string | undefined): void {
    this.#run.record((performance.now() - this.#sentAt) * 1000, error);
    this.#pending -= 1;
    if (this.#pending === 0) this.#send();
  }
}

function open(run: Run, valuesShared: readonly Buffer[]): Promise<Connection[]> {
  const { connections, targets, seed } = run.job;
  const count = run.job.operation === 'fill' ? Math.min(connections, run.job.keys) : connections;
  return new Promise((resolve) => {
    let waiting = count;
    const all: Connection[] = [];
    const opened = () => {
      waiting -= 1;
      if (waiting === 0) resolve(all);
    };
    for (let index = 0; index < count; index += 1) {
      const target = targets[index % targets.length]!;
      const random = new Random32(seed * 7919 + index * 104_729 + 1);
      const requests = new Requests(run.job, valuesShared, random, `${target.host}:${target.port}`);
      all.push(new Connection(run, target, requests, opened));
    }
  });
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function measure(run: Run, connections: readonly Connection[]): Promise<LoadResult> {
  const { job, histogram } = run;
  for (const connection of connections) connection.start();
  if (job.operation !== 'fill') await pause(job.warmUpMs);
  const cpu = process.cpuUsage();
  const beganAt = performance.now();
  run.measuring = true;
  tell({ kind: 'measuring' });
  if (job.operation !== 'fill') await pause(job.measureMs);
  else await run.idle();
  run.measuring = false;
  const elapsedMs = performance.now() - beganAt;
  const { user, system } = process.cpuUsage(cpu);
  run.stopped = true;
  tell({ kind: 'measured' });
  return {
    operations: histogram.total,
    errors: run.errors,
    ...(run.firstError === undefined ? {} : { firstError: run.firstError }),
    elapsedMs,
    latency: histogram.latency(),
    generatorCpuMs: (user + system) / 1000,
  };
}

async function perform(job: LoadJob): Promise<LoadResult> {
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const run = new Run(job, fail);
  const connections = await Promise.race([open(run, values(job.valueBytes, job.seed)), failed]);
  try {
    const result = await Promise.race([measure(run, connections), failed]);
    await Promise.race([run.idle(), failed, pause(2000)]);
    return result;
  } finally {
    for (const connection of connections) connection.close();
  }
}

function tell(message: LoadMessage): void {
  process.send?.(message);
}

process.on('message', (job: LoadJob) => {
  perform(job)
    .then((result) => tell({ kind: 'done', result }))
    .catch((error: Error) => tell({ kind: 'failed', message: error.message }));
});
process.on('disconnect', () => process.exit(0));
