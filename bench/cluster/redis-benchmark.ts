/**
 * redis-benchmark as the load generator, for the rows of a single node: it is written in C and takes so
 * little of the machine that what is compared is the servers.
 *
 * It is given a number of requests, not a time, so it is run once for a short while to learn the rate,
 * which also warms the server up.
 */

import { spawn } from 'node:child_process';
import type { Latency } from './histogram.ts';
import type { LoadJob, LoadResult } from './job.ts';

const calibrationRequests = 60_000;

/** @returns the p-th percentile of the lines `99.901% <= 72.127 milliseconds (cumulative count 99901)` */
function percentile(lines: readonly (readonly [number, number])[], percent: number): number {
  return lines.find(([reached]) => reached >= percent)?.[1] ?? lines.at(-1)?.[1] ?? 0;
}

/** Reads what redis-benchmark 7 prints for one test. */
export function parseOutput(text: string): { perSecond: number; latency: Latency } {
  const rate = /throughput summary: ([\d.]+) requests per second/.exec(text);
  if (rate === null) throw new Error(`redis-benchmark said something unexpected:\n${text.slice(-400)}`);
  const lines = [...text.matchAll(/^([\d.]+)% <= ([\d.]+) milliseconds/gm)]
    .map((match): [number, number] => [Number(match[1]), Number(match[2]) * 1000])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const summary =
    /avg +min +p50 +p95 +p99 +max\s+([\d.]+) +[\d.]+ +([\d.]+) +[\d.]+ +([\d.]+) +([\d.]+)/.exec(text);
  const us = (index: number) => Number(summary?.[index] ?? Number.NaN) * 1000;
  return {
    perSecond: Number(rate[1]),
    latency: {
      meanUs: us(1),
      p50Us: us(2),
      p99Us: us(3),
      p999Us: percentile(lines, 99.9),
      maxUs: us(4),
    },
  };
}

async function run(job: LoadJob, requests: number): Promise<ReturnType<typeof parseOutput>> {
  const [{ host, port }] = job.targets as [LoadJob['targets'][number]];
  const args = [
    ...['-h', host, '-p', String(port), '-c', String(job.connections), '-P', String(job.pipeline)],
    ...['-d', String(job.valueBytes), '-r', String(job.keys), '-n', String(requests)],
    ...['-t', job.operation === 'get' ? 'get' : 'set'],
  ];
  const child = spawn('redis-benchmark', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    complaints += chunk;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) throw new Error(`redis-benchmark failed (${code}): ${complaints.slice(-400)}`);
  return parseOutput(text.replaceAll('\r', '\n'));
}

/** @param onMeasuring is called when the measured part begins, `onMeasured` when it is over */
export async function redisBenchmark(
  job: LoadJob,
  onMeasuring: () => void,
  onMeasured: () => void,
): Promise<LoadResult> {
  const { perSecond: rate } = await run(job, calibrationRequests);
  const requests = Math.max(calibrationRequests, Math.round((rate * job.measureMs) / 1000));
  onMeasuring();
  const { perSecond, latency } = await run(job, requests);
  onMeasured();
  return {
    operations: requests,
    errors: 0,
    elapsedMs: (requests / perSecond) * 1000,
    latency,
    generatorCpuMs: 0,
  };
}
