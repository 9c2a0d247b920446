import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Histogram } from '../../../bench/cluster/histogram.ts';
import type { LoadJob } from '../../../bench/cluster/job.ts';
import { type Row, rows, scenes } from '../../../bench/cluster/plan.ts';
import { summarise } from '../../../bench/cluster/profile.ts';
import { parseOutput } from '../../../bench/cluster/redis-benchmark.ts';
import { EtcdReplies, type ReplyReader, RespReplies } from '../../../bench/cluster/replies.ts';
import { comparisons, type Measurement } from '../../../bench/cluster/report.ts';
import { frame, frameType, Random32, Requests, values } from '../../../bench/cluster/requests.ts';

const job: LoadJob = {
  protocol: 'resp',
  targets: [],
  operation: 'set',
  waitReplicas: 0,
  connections: 1,
  pipeline: 1,
  keys: 1000,
  valueBytes: 32,
  warmUpMs: 0,
  measureMs: 0,
  seed: 1,
};

function collect(make: (onReply: (error: string | undefined) => void) => ReplyReader) {
  const replies: (string | undefined)[] = [];
  return { reader: make((error) => replies.push(error)), replies };
}

/** Reads `bytes` cut in pieces of `size`. */
function feed(reader: ReplyReader, bytes: Buffer, size: number): void {
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.subarray(at, at + size);
    reader.read(piece, piece.length);
  }
}

test('a histogram gives quantiles within one percent of the exact ones', () => {
  const histogram = new Histogram();
  const random = new Random32(7);
  const recorded = Array.from({ length: 20_000 }, () => random.next() >>> (random.next() % 31));
  for (const value of recorded) histogram.record(Math.min(value, 2 ** 28 - 1));
  const sorted = recorded.map((value) => Math.min(value, 2 ** 28 - 1)).sort((a, b) => a - b);
  for (const share of [0.01, 0.5, 0.9, 0.99, 0.999, 1]) {
    const exact = sorted[Math.ceil(share * sorted.length) - 1]!;
    const found = histogram.quantile(share);
    assert.ok(found >= exact && found <= exact * 1.01 + 1, `${share}: ${found} for ${exact}`);
  }
  assert.equal(histogram.maxUs, sorted.at(-1));
  assert.equal(histogram.total, recorded.length);
});

test('RESP answers are counted the same however they are cut', () => {
  const bytes = Buffer.from('+OK\r\n$5\r\na\r\n-b\r\n-ERR no\r\n$-1\r\n$0\r\n\r\n+OK\r\n');
  const expected = [undefined, undefined, 'ERR no', 'no value', undefined, undefined];
  for (let size = 1; size <= bytes.length; size += 1) {
    const { reader, replies } = collect((onReply) => new RespReplies(0, onReply));
    feed(reader, bytes, size);
    assert.deepEqual(replies, expected, `pieces of ${size}`);
  }
});

test('SET + WAIT is one operation, and fails when too few replicas answered', () => {
  const bytes = Buffer.from('+OK\r\n:2\r\n+OK\r\n:0\r\n-READONLY\r\n:1\r\n');
  for (let size = 1; size <= bytes.length; size += 1) {
    const { reader, replies } = collect((onReply) => new RespReplies(1, onReply));
    feed(reader, bytes, size);
    assert.deepEqual(replies, [undefined, 'WAIT answered 0', 'READONLY'], `pieces of ${size}`);
  }
});

test('etcd answers count as success only when a message came before the end', () => {
  const increment = Buffer.alloc(4);
  increment.writeUInt32BE(1000);
  const bytes = Buffer.concat([
    frame(frameType.settings, 0, 0, Buffer.alloc(6)),
    frame(frameType.headers, 0x4, 1, Buffer.from('ok')),
    frame(frameType.data, 0, 1, Buffer.alloc(30)),
    frame(frameType.headers, 0x5, 1, Buffer.from('end')),
    frame(frameType.windowUpdate, 0, 0, increment),
    frame(frameType.headers, 0x5, 3, Buffer.from('too busy')),
    frame(frameType.ping, 0, 0, Buffer.from('12345678')),
  ]);
  for (let size = 1; size <= bytes.length; size += 1) {
    const sent: Buffer[] = [];
    let reader: EtcdReplies | undefined;
    const { replies } = collect((onReply) => {
      reader = new EtcdReplies(
        onReply,
        (out) => sent.push(out),
        () => {},
      );
      return reader;
    });
    feed(reader!, bytes, size);
    assert.deepEqual(replies, [undefined, 'refused: too busy'], `pieces of ${size}`);
    assert.equal(reader!.windowBytes, 65_535 + 1000);
    // The settings and the ping are acknowledged, the ping with its own bytes.
    assert.deepEqual(
      sent.map((out) => [out[3], out[4], out.subarray(9).toString()]),
      [
        [frameType.settings, 1, ''],
        [frameType.ping, 1, '12345678'],
      ],
    );
  }
});

test('requests carry the keys asked for, in place', () => {
  const pool = values(job.valueBytes, 1);
  const requests = new Requests({ ...job, pipeline: 2 }, pool, new Random32(3), 'h:1');
  let key = 41;
  const text = requests.next(2, () => (key += 1), 1).toString('latin1');
  const found = [...text.matchAll(/\*3\r\n\$3\r\nSET\r\n\$16\r\n(key:\d{12})\r\n\$32\r\n/g)];
  assert.deepEqual(
    found.map((match) => match[1]),
    ['key:000000000042', 'key:000000000043'],
  );
  const one = requests.next(1, () => 7, 1).toString('latin1');
  assert.equal(one.length * 2, text.length);
  assert.ok(pool.some((value) => one.endsWith(`${value.toString('latin1')}\r\n`)));
});

test('etcd requests give each call its stream', () => {
  const etcd: LoadJob = { ...job, protocol: 'etcd' };
  const requests = new Requests(etcd, values(job.valueBytes, 1), new Random32(3), 'h:1');
  const bytes = requests.next(1, () => 12, 77);
  const headersBytes = bytes.readUIntBE(0, 3);
  const data = bytes.subarray(9 + headersBytes);
  assert.equal(bytes.readUInt32BE(5), 77);
  assert.equal(data.readUInt32BE(5), 77);
  assert.equal(data.readUIntBE(0, 3), data.length - 9);
  const message = data.subarray(9);
  assert.equal(message.readUInt32BE(1), message.length - 5);
  assert.equal(message.subarray(7, 23).toString(), 'key:000000000012');
  assert.deepEqual([...message.subarray(23, 25)], [0x12, job.valueBytes]);
});

test('the output of redis-benchmark is read', () => {
  const { perSecond, latency } = parseOutput(
    [
      '99.099% <= 17.103 milliseconds (cumulative count 99070)',
      '99.901% <= 72.127 milliseconds (cumulative count 99901)',
      '100.000% <= 285.183 milliseconds (cumulative count 100000)',
      'Summary:',
      '  throughput summary: 16954.90 requests per second',
      '  latency summary (msec):',
      '          avg       min       p50       p95       p99       max',
      '        2.588     0.224     1.127     7.135    16.167   284.927',
    ].join('\n'),
  );
  assert.equal(perSecond, 16_954.9);
  assert.deepEqual(
    [latency.p50Us, latency.p99Us, latency.p999Us, latency.maxUs].map(Math.round),
    [1127, 16_167, 72_127, 284_927],
  );
  assert.throws(() => parseOutput('no such thing'), /unexpected/);
});

test('a profile is summed up by self time, idle left out, within the span', () => {
  const directory = mkdtempSync(join(tmpdir(), 'dure-profile-'));
  try {
    const file = join(directory, 'a.cpuprofile');
    const call = (id: number, functionName: string, url = '') => ({
      id,
      callFrame: { functionName, url, lineNumber: 4 },
    });
    const profile = {
      nodes: [call(1, '(root)'), call(2, '(idle)'), call(3, 'work', 'node:net'), call(4, 'write')],
      startTime: 1000,
      samples: [3, 2, 4, 3, 3],
      timeDeltas: [0, 100, 50, 10, 30],
    };
    writeFileSync(file, JSON.stringify(profile));
    const all = summarise([file]);
    assert.deepEqual(all.functions, [
      { name: 'work node:net:5', share: 130 / 140 },
      { name: 'write (native)', share: 10 / 140 },
    ]);
    assert.equal(all.busy, 140 / 190);
    const late = summarise([file], { fromUs: 1150, toUs: 1170 });
    assert.deepEqual(
      late.functions.map(({ share }) => share),
      [30 / 40, 10 / 40],
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('rows name works and systems that exist', () => {
  for (const { scene, workload } of rows) {
    const works = scenes.find(({ name }) => name === scene)?.workloads.map(({ name }) => name) ?? [];
    assert.ok(
      works.length > 0 && (workload === undefined || works.includes(workload)),
      `${scene} ${workload}`,
    );
  }
});

test('a ratio is the median of the ratios round by round', () => {
  const measured = (
    system: 'dure' | 'redis',
    round: number,
    perSecond: number,
    p99Us: number,
  ): Measurement => ({
    scene: 'interval',
    workload: 'SET',
    system,
    label: 'a system',
    round,
    perSecond,
    errors: 0,
    latency: { meanUs: 1, p50Us: 1, p99Us, p999Us: 1, maxUs: 1 },
    cpuUserUs: 1,
    cpuSystemUs: 1,
    threadsUs: {},
    generatorCpu: 0,
  });
  const all = [
    measured('dure', 1, 100, 5),
    measured('redis', 1, 200, 10),
    measured('dure', 2, 50, 5),
    measured('redis', 2, 50, 10),
    measured('dure', 3, 90, 5),
    measured('redis', 3, 100, 10),
    measured('dure', 4, 10_000, 5),
  ];
  const row: Row = { row: 1, scene: 'interval', against: 'redis', goal: 0.9, least: 0.6, p99: true };
  const [met] = comparisons([row], all);
  assert.deepEqual(
    [met?.ratio, met?.ratioMin, met?.ratioMax, met?.p99Ratio, met?.met],
    [0.9, 0.5, 1, 0.5, true],
  );
  assert.equal(comparisons([{ ...row, goal: 0.95 }], all)[0]?.met, false);
  assert.equal(comparisons([{ ...row, against: 'etcd' }], all).length, 0);
});
