/**
 * The bytes that the load generator sends: built once a connection, then patched in place.
 *
 * The picture to have in mind: a connection owns one buffer that holds its `pipeline` requests end to
 * end; before it is sent, each request gets the digits of another key and a copy of another value. As
 * a connection sends only when everything it asked has been answered, the buffer is always free by then.
 */

import type { LoadJob, Protocol } from './job.ts';

const keyDigits = 12;
const keyBytes = 4 + keyDigits;
const valuesDistinct = 64;

/** One request as a template: where the key's digits and the value go. */
interface Template {
  readonly bytes: Buffer;
  readonly keyAt: readonly number[];
  readonly valueAt: number;
  /** Where the HTTP/2 stream id is (etcd only). */
  readonly streamAt: readonly number[];
}

/** xorshift32: quick, and the same for every system. */
export class Random32 {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 1;
  }

  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }
}

/**
 * Values whose first half is random bytes and whose second half is text: a compressor halves them, as
 * it would with real data, and finds nothing more.
 */
export function values(valueBytes: number, seed: number): Buffer[] {
  const random = new Random32(seed);
  return Array.from({ length: valuesDistinct }, () => {
    const value = Buffer.alloc(valueBytes, 'the quick brown fox jumps over the lazy dog ');
    for (let at = 0; at < valueBytes >> 1; at += 1) value[at] = random.next() & 0xff;
    return value;
  });
}

const keyText = `key:${'0'.repeat(keyDigits)}`;

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}

function respTemplate(job: LoadJob): Template {
  if (job.operation === 'get') {
    const head = `*2\r\n${bulk('GET')}$${keyBytes}\r\nkey:`;
    return {
      bytes: Buffer.from(`*2\r\n${bulk('GET')}${bulk(keyText)}`),
      keyAt: [head.length],
      valueAt: -1,
      streamAt: [],
    };
  }
  const beforeKey = `*3\r\n${bulk('SET')}$${keyBytes}\r\nkey:`;
  const beforeValue = `*3\r\n${bulk('SET')}${bulk(keyText)}$${job.valueBytes}\r\n`;
  const wait = `*3\r\n${bulk('WAIT')}${bulk(String(job.waitReplicas))}${bulk('5000')}`;
  return {
    bytes: Buffer.concat([
      Buffer.from(beforeValue),
      Buffer.alloc(job.valueBytes),
      Buffer.from(job.waitReplicas > 0 ? `\r\n${wait}` : '\r\n'),
    ]),
    keyAt: [beforeKey.length],
    valueAt: beforeValue.length,
    streamAt: [],
  };
}

type FrameName = 'data' | 'headers' | 'reset' | 'settings' | 'ping' | 'goAway' | 'windowUpdate';

/** Types of HTTP/2 frames (RFC 9113, section 6). */
export const frameType: Readonly<Record<FrameName, number>> = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
};

/** An HTTP/2 frame (RFC 9113, section 4.1). */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** HPACK "literal without indexing", name from the static table (RFC 7541, 6.2.2, appendix A). */
function header(nameIndex: number, value: string): Buffer {
  const name = nameIndex < 15 ? [nameIndex] : [15, nameIndex - 15];
  return Buffer.from([...name, value.length, ...Buffer.from(value)]);
}

/**
 * `etcdserverpb.KV/Put` as gRPC over HTTP/2: one HEADERS frame (the same bytes each time, nothing in
 * the dynamic table) and one DATA frame with the message `PutRequest {key = 1, value = 2}`.
 */
function etcdTemplate(job: LoadJob, authority: string): Template {
  const block = Buffer.concat([
    Buffer.from([0x83, 0x86]), // :method POST, :scheme http
    header(4, '/etcdserverpb.KV/Put'),
    header(1, authority),
    header(31, 'application/grpc'),
    Buffer.from([0, 2, ...Buffer.from('te'), 8, ...Buffer.from('trailers')]),
  ]);
  const beforeKey = Buffer.from([0x0a, keyBytes, ...Buffer.from('key:')]);
  const beforeValue = Buffer.concat([
    beforeKey,
    Buffer.alloc(keyDigits, '0'),
    Buffer.from([0x12]),
    varint(job.valueBytes),
  ]);
  const message = Buffer.concat([beforeValue, Buffer.alloc(job.valueBytes)]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  const headers = frame(frameType.headers, 0x4, 0, block);
  const data = frame(frameType.data, 0x1, 0, Buffer.concat([prefix, message]));
  const messageAt = headers.length + 9 + prefix.length;
  return {
    bytes: Buffer.concat([headers, data]),
    keyAt: [messageAt + beforeKey.length],
    valueAt: messageAt + beforeValue.length,
    streamAt: [5, headers.length + 5],
  };
}

/** The buffer of one connection. */
export class Requests {
  readonly bytes: Buffer;
  /** Bytes of one request that count against HTTP/2 flow control. */
  readonly flowBytes: number;
  readonly #template: Template;
  readonly #values: readonly Buffer[];
  readonly #random: Random32;
  readonly #pipeline: number;

  constructor(job: LoadJob, values: readonly Buffer[], random: Random32, authority: string) {
    const protocol: Protocol = job.protocol;
    this.#template = protocol === 'etcd' ? etcdTemplate(job, authority) : respTemplate(job);
    this.#pipeline = job.pipeline;
    this.bytes = Buffer.concat(Array.from({ length: job.pipeline }, () => this.#template.bytes));
    this.#values = values;
    this.#random = random;
    this.flowBytes = this.#template.bytes.length;
  }

  /** Gives each of the first `count` requests its key and value. @returns the bytes to send */
  next(count: number, keyOf: (random: number) => number, streamFirst: number): Buffer {
    const { keyAt, valueAt, streamAt, bytes: one } = this.#template;
    for (let index = 0; index < count; index += 1) {
      const base = index * one.length;
      const random = this.#random.next();
      const key = keyOf(random);
      for (const at of keyAt) this.#digits(base + at, key);
      if (valueAt >= 0) this.#values[random % valuesDistinct]!.copy(this.bytes, base + valueAt);
      for (const at of streamAt) this.bytes.writeUInt32BE(streamFirst + 2 * index, base + at);
    }
    return count === this.#pipeline ? this.bytes : this.bytes.subarray(0, count * one.length);
  }

  #digits(at: number, key: number): void {
    let rest = key;
    for (let digit = keyDigits - 1; digit >= 0; digit -= 1) {
      const next = Math.floor(rest / 10);
      this.bytes[at + digit] = 48 + rest - next * 10;
      rest = next;
    }
  }
}
