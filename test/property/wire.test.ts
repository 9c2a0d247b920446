/**
 * The wire between nodes: every message comes back as it was sent, no flipped bit gets through, and
 * whatever bytes a peer sends, a node neither throws, nor hangs, nor grows (promise P8).
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteReader, ByteWriter } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { UpdateError, type UpdateReply } from '../../src/node/api.ts';
import {
  readReply,
  readUpdateCall,
  readWriteCall,
  writeReply,
  writeUpdateCall,
  writeWriteCall,
} from '../../src/node/forward-codec.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { encodeRow } from '../../src/rows/row.ts';
import { checkFrame, openFrame, sealFrame } from '../../src/wire/frame.ts';
import * as wire from '../../src/wire/messages.ts';
import { PumpedCluster, textBody, textOf } from '../support/pumped-cluster.ts';

const u8 = fc.integer({ min: 0, max: 255 });
const u16 = fc.integer({ min: 0, max: 0xffff });
const timeout = fc.integer({ min: 1, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const stamp = fc.uint8Array({ minLength: 20, maxLength: 20 });
const bytes = fc.uint8Array({ maxLength: 200 });
const text = bytes.map((array) => String.fromCharCode(...array));
const code = fc.constantFrom('overloaded', 'storage-full', 'invalid', 'quorum-unreachable' as const);

/** A message as its name and arguments, and how it is written. */
interface Sent {
  readonly call: readonly unknown[];
  readonly write: (writer: ByteWriter) => void;
}

function message<A extends unknown[]>(
  name: string,
  args: { [K in keyof A]: fc.Arbitrary<A[K]> },
  write: (writer: ByteWriter, ...args: A) => void,
): fc.Arbitrary<Sent> {
  return fc
    .tuple(...(args as unknown as fc.Arbitrary<unknown>[]))
    .map((values) => ({ call: [name, ...values], write: (writer) => write(writer, ...(values as A)) }));
}

const forwardHead = fc.record(
  {
    id: u32,
    timeoutMs: timeout,
    r: u8,
    w: u8,
    strict: fc.boolean(),
    siblings: fc.boolean(),
    siblingsError: fc.boolean(),
    ttlMs: u48,
    kind: u8,
    key: text,
  },
  { noNullPrototype: true },
);
const scanRow = fc.record(
  { position: u48, key: text, kind: u8, live: fc.boolean(), stamp },
  { noNullPrototype: true },
);

const anyMessage: fc.Arbitrary<Sent> = fc.oneof(
  message('read', [u32, timeout, fc.boolean(), text, stamp, fc.boolean()], wire.writeRead),
  message('readEqual', [u32], wire.writeReadEqual),
  message('readStamp', [u32, stamp], wire.writeReadStamp),
  message('readRow', [u32, bytes, u48], wire.writeReadRow),
  message('readFloor', [u32, stamp], wire.writeReadFloor),
  message('write', [u32, text, bytes], wire.writeWrite),
  message('hand', [u32, text, bytes, u48], wire.writeHand),
  message('stored', [u32], wire.writeStored),
  message('refused', [u32, code as fc.Arbitrary<'overloaded'>], wire.writeRefused),
  message('ping', [u32, u48, stamp, bytes], (writer, sequence, wall, floor, gossip) => {
    const at = wire.writePingHead(writer, sequence, wall, floor);
    writer.raw(gossip);
    writer.blobEnd(at);
  }),
  message('pong', [u32, u48, bytes], (writer, sequence, wall, gossip) => {
    const at = wire.writePongHead(writer, sequence, wall);
    writer.raw(gossip);
    writer.blobEnd(at);
  }),
  message('floor', [u32, stamp], wire.writeFloor),
  message('forward', [forwardHead, bytes], (writer, head, body) => {
    const at = wire.writeForwardHead(writer, head);
    writer.raw(body);
    writer.blobEnd(at);
  }),
  message('forwardReply', [u32, u8, bytes], (writer, id, status, body) => {
    const at = wire.writeForwardReplyHead(writer, id, status);
    writer.raw(body);
    writer.blobEnd(at);
  }),
  message('scan', [u32, timeout, u48, u16, u16], wire.writeScan),
  message('scanReply', [u32, u48, fc.array(scanRow, { maxLength: 5 })], wire.writeScanReply),
  message('count', [u32, timeout, fc.array(u16, { maxLength: 20 })], wire.writeCount),
  message('countReply', [u32, u48], wire.writeCountReply),
);

function sealed(messages: readonly Sent[]): Uint8Array {
  const writer = new ByteWriter(16);
  openFrame(writer);
  for (const { write } of messages) write(writer);
  return sealFrame(writer, 1, 1);
}

function decoded(frame: Uint8Array): unknown[][] {
  const calls: unknown[][] = [];
  const handler = new Proxy({} as wire.MessageHandler<string>, {
    get:
      (_target, name) =>
      (peer: string, ...args: unknown[]) => {
        assert.equal(peer, 'n2');
        const values = args.map((arg) => (arg instanceof ByteReader ? arg.raw(arg.remaining) : arg));
        calls.push([name, ...values]);
      },
  });
  wire.decodeMessages(frame, 'n2', handler);
  return calls;
}

test('frames of any messages come back as they were sent', () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { maxLength: 12 }), (messages) => {
      const frame = sealed(messages);
      checkFrame(frame);
      assert.deepEqual(
        decoded(frame),
        messages.map((each) => each.call),
      );
    }),
  );
});

test('every flipped bit of a frame is refused', () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { minLength: 1, maxLength: 3 }), (messages) => {
      const frame = sealed(messages);
      for (let bit = 0; bit < frame.length * 8; bit++) {
        frame[bit >> 3]! ^= 1 << (bit & 7);
        assert.throws(() => checkFrame(frame), CodedError, `bit ${bit}`);
        frame[bit >> 3]! ^= 1 << (bit & 7);
      }
    }),
    { numRuns: 30 },
  );
});

test('a frame cut anywhere within its messages is a coded error or whole messages fewer', () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { minLength: 1, maxLength: 3 }), fc.nat(), (messages, at) => {
      const frame = sealed(messages);
      const cut = frame.subarray(0, 9 + (at % (frame.length - 9)));
      try {
        assert.ok(decoded(cut).length < messages.length);
      } catch (error) {
        assert.ok(error instanceof CodedError && error.code === 'protocol', String(error));
      }
    }),
  );
});

const reply: fc.Arbitrary<UpdateReply> = fc.letrec((tie) => ({
  reply: fc.oneof(
    { maxDepth: 6 },
    fc.constant(null),
    fc.double({ noNaN: true }),
    fc.bigInt({ min: -(2n ** 100n), max: 2n ** 100n }),
    text,
    bytes,
    text.map((words) => new UpdateError(words)),
    fc.array(tie('reply'), { maxLength: 4 }),
  ),
})).reply as fc.Arbitrary<UpdateReply>;

test('replies of updates, their calls, and bodies come back as they were sent', () => {
  fc.assert(
    fc.property(reply, text, fc.array(bytes, { maxLength: 5 }), bytes, u48, (sent, name, args, value, at) => {
      const writer = new ByteWriter(16);
      writeReply(writer, sent);
      assert.deepEqual(readReply(new ByteReader(writer.take())), sent);
      writeUpdateCall(writer, name, args);
      assert.deepEqual(readUpdateCall(new ByteReader(writer.take())), { operation: name, args });
      const sentContext = value.slice(0, 3);
      for (const kind of [0, 1]) {
        writeWriteCall(writer, { kind, value, expireAt: at }, sentContext);
        const read = readWriteCall(new ByteReader(writer.take()));
        assert.deepEqual(read, { kind, value, expireAt: at, context: sentContext });
      }
    }),
  );
});

test('random bytes for a reply are a coded error or a reply', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (random) => {
      for (const read of [readReply, readUpdateCall, readWriteCall, wire.readError]) {
        try {
          read(new ByteReader(random));
        } catch (error) {
          assert.ok(error instanceof CodedError && error.code === 'protocol', String(error));
        }
      }
    }),
    { numRuns: 500 },
  );
});

/** Frames as a hostile peer would make them: real forms, sound checksums, values that lie. */
class Hostile {
  readonly #prng: Prng;
  readonly #ids: number[] = [];

  constructor(seed: number) {
    this.#prng = new Prng(seed);
  }

  /** Learns the ids under way at the victim from what it sends. */
  learn(frame: Uint8Array): void {
    for (const [, id] of decoded(frame)) if (typeof id === 'number') this.#ids.push(id);
  }

  #number(): number {
    const prng = this.#prng;
    return prng.pick([0, 1, 2, 255, 16384, 65535, 2 ** 32, 16384 * 2 ** 32 - 1, 2 ** 48 - 1, prng.u32()]);
  }

  #id(): number {
    const { length } = this.#ids;
    return length > 0 && this.#prng.chance(0.8)
      ? this.#ids[length - 1 - this.#prng.below(Math.min(length, 8))]!
      : this.#prng.u32();
  }

  #bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#prng.below(256));
  }

  #stamp(): Uint8Array {
    return this.#prng.chance(0.3) ? new Uint8Array(20) : this.#bytes(20);
  }

  #key(): string {
    const keys = ['plum', 'key-1', '', 'x'.repeat(300), '\0\0'];
    const key = this.#prng.pick(keys);
    return this.#prng.chance(0.7) ? rowKeyOf(key) : key;
  }

  #row(): Uint8Array {
    const time = this.#prng.pick([0, 1_700_000_000_000, 1_700_000_000_400, 2 ** 47]);
    const whole = encodeRow(rowKeyOf('plum'), textBody('x'.repeat(this.#prng.below(40))), {
      time,
      logical: this.#prng.below(9),
      actor: this.#prng.below(3),
      counter: this.#prng.below(9),
    });
    return this.#prng.chance(0.6) ? whole : this.#bytes(this.#prng.below(50));
  }

  /** A frame of lies that passes for one of `from`. */
  frame(cluster: PumpedCluster, from: string, to: string): Uint8Array {
    const prng = this.#prng;
    const frame = cluster.forge(from, to, (writer) => {
      for (let left = prng.between(1, 6); left > 0; left--) this.#message(writer, prng.below(18));
    });
    if (prng.chance(0.15)) frame[prng.below(frame.length)]! ^= 1 << prng.below(8);
    return prng.chance(0.05) ? this.#bytes(prng.below(80)) : frame;
  }

  #message(writer: ByteWriter, kind: number): void {
    const prng = this.#prng;
    const id = this.#id();
    const row = (): wire.ScanRow => ({
      position: this.#number(),
      key: this.#key(),
      kind: prng.below(4),
      live: prng.chance(0.5),
      stamp: this.#stamp(),
    });
    const list = <T>(make: () => T): T[] => Array.from({ length: prng.below(4) }, make);
    const forms: (() => void)[] = [
      () => wire.writeRead(writer, id, this.#number(), prng.chance(0.5), this.#key(), this.#stamp()),
      () => wire.writeReadEqual(writer, id),
      () => wire.writeReadStamp(writer, id, this.#stamp()),
      () => wire.writeReadRow(writer, id, this.#row()),
      () => wire.writeReadFloor(writer, id, this.#stamp()),
      () => wire.writeWrite(writer, id, this.#key(), this.#row()),
      () => wire.writeStored(writer, id),
      () => wire.writeRefused(writer, id, prng.pick(['corrupt', 'storage-full', 'invalid'])),
      () => {
        const at = wire.writePingHead(writer, id, this.#number(), this.#stamp());
        writer.raw(this.#bytes(prng.below(60)));
        writer.blobEnd(at);
      },
      () => {
        const at = wire.writePongHead(writer, id, this.#number());
        writer.raw(this.#bytes(prng.below(60)));
        writer.blobEnd(at);
      },
      () => wire.writeFloor(writer, id, this.#stamp()),
      () => this.#forward(writer, id),
      () => {
        const at = wire.writeForwardReplyHead(writer, id, prng.pick([0, 1, 2, 3, 255, 77]));
        writer.raw(this.#bytes(prng.below(30)));
        writer.blobEnd(at);
      },
      () => wire.writeScan(writer, id, this.#number(), this.#number(), this.#number(), this.#number()),
      () => wire.writeScanReply(writer, id, this.#number(), list(row)),
      () =>
        wire.writeCount(
          writer,
          id,
          this.#number(),
          list(() => this.#number()),
        ),
      () => wire.writeCountReply(writer, id, this.#number()),
      () => writer.raw(this.#bytes(prng.below(20))),
    ];
    forms[kind]!();
  }

  #forward(writer: ByteWriter, id: number): void {
    const prng = this.#prng;
    const head = {
      id,
      timeoutMs: this.#number(),
      r: prng.below(6),
      w: prng.below(6),
      strict: prng.chance(0.5),
      siblings: prng.chance(0.3),
      siblingsError: prng.chance(0.3),
      ttlMs: prng.below(2) * 1000,
      kind: prng.below(5),
      key: prng.pick(['plum', 'key-1', 'x'.repeat(40_000), '\0'.repeat(32_000)]),
    };
    const at = wire.writeForwardHead(writer, head);
    if (prng.chance(0.3)) writer.raw(this.#bytes(prng.below(40)));
    else if (head.kind === wire.FORWARD_WRITE)
      writeWriteCall(writer, textBody('v'), this.#bytes(prng.below(20)));
    else writeUpdateCall(writer, prng.pick(['look', 'nope']), [this.#bytes(4)]);
    writer.blobEnd(at);
  }
}

test('a hostile peer: the node never throws, answers every request once, and leaves nothing over', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const policy = (['PA/EL', 'PA/EC', 'PC/EC'] as const)[seed % 3]!;
    const cluster = new PumpedCluster({ nodes: seed % 2 === 0 ? 3 : 5, policy });
    const hostile = new Hostile(seed);
    const far = seed % 2 === 0 ? 'plum' : cluster.keyNotAt('n1');
    for (let round = 0; round < 60; round++) {
      const calls = [
        cluster.read('n1', round % 2 === 0 ? 'plum' : far, { timeoutMs: 20 }),
        cluster.write('n1', 'key-1', 'v', { timeoutMs: 20 }),
        cluster.update('n1', 'key-2', 'look', [], { timeoutMs: 20 }),
        cluster.scan('n1', 0, 10, { timeoutMs: 20 }),
        cluster.count('n1', { timeoutMs: 20 }),
      ];
      if (round % 10 === 0) calls.push(cluster.flush('n1', { timeoutMs: 20 }));
      cluster.endTurn('n1');
      for (const frame of cluster.waiting('n1', 'n2')) hostile.learn(frame);
      for (let i = 0; i < 10; i++) {
        cluster.seat('n1').node.frame('n2', hostile.frame(cluster, 'n2', 'n1'));
        if (i % 3 === 0) cluster.endTurn('n1');
      }
      cluster.advance(25);
      for (const call of calls) assert.equal(call.isDone, true, `seed ${seed}, round ${round}`);
      // Whoever gets a row looks into it.
      if (calls[0]!.error === undefined) textOf(calls[0]!.value);
    }
    const { framesDamaged, requestsInFlight } = cluster.node('n1').figures();
    assert.ok(framesDamaged > 0, 'damage is counted');
    assert.equal(cluster.seat('n1').resets.length >= framesDamaged, true, 'and the pipe starts over');
    assert.equal(requestsInFlight, 0);
    cluster.finish();
  }
});
