import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { ByteWriter } from '../../../src/base/bytes.ts';
import { Prng } from '../../../src/base/prng.ts';
import { Output } from '../../../src/server/output.ts';
import { until } from '../../support/wait.ts';

async function withPair(run: (near: Socket, far: Socket) => Promise<void>): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const far = connect(address.port, '127.0.0.1');
  const near = await accepted;
  try {
    await run(near, far);
  } finally {
    near.destroy();
    far.destroy();
    server.close();
  }
}

test('bytes arrive in order and unchanged, whatever the sizes and however slow the reader', () =>
  withPair(async (near, far) => {
    const random = new Prng(99);
    const output = new Output(near);
    near.on('drain', () => output.pump());
    const writer = new ByteWriter(1024);
    let sent = 0;
    let received = 0;
    let wrong = 0;
    far.on('data', (chunk) => {
      for (const byte of chunk) if (byte !== (received++ * 7) % 251) wrong++;
    });
    far.pause();
    const sizes = [1, 100, 5000, 70_000, 300_000, 1_000_000];
    let queuedMost = 0;
    for (let i = 0; i < 300; i++) {
      const size = 1 + (random.u32() % sizes[random.u32() % (i < 200 ? sizes.length : 3)]!);
      writer.reserve(size);
      for (let j = 0; j < size; j++) writer.bytes[writer.length++] = (sent++ * 7) % 251;
      output.send(writer);
      assert.equal(writer.length, 0, 'the writer is free');
      queuedMost = Math.max(queuedMost, output.queuedBytes);
      if (i % 50 === 49) {
        far.resume();
        await new Promise((resolve) => setTimeout(resolve, 2));
        far.pause();
      }
    }
    assert.ok(queuedMost > 5_000_000, 'the reader was slow');
    far.resume();
    await until(() => received === sent, 'all bytes came');
    assert.equal(wrong, 0);
    output.refresh();
    assert.equal(output.queuedBytes, 0);
    assert.ok(output.handedOver);
  }));

test('many small replies to a client that does not read cost their bytes, not a buffer each', () =>
  withPair(async (near, far) => {
    far.pause();
    const output = new Output(near);
    const writer = new ByteWriter(16 * 1024);
    writer.bytes.fill(0);
    while (output.queuedBytes === 0) {
      writer.length = writer.bytes.length;
      output.send(writer);
    }
    const before = process.memoryUsage();
    for (let i = 0; i < 100_000; i++) {
      writer.u8(1);
      writer.u48(i);
      output.send(writer);
    }
    const after = process.memoryUsage();
    assert.ok(output.queuedBytes >= 700_000);
    const grown = after.heapUsed + after.external - before.heapUsed - before.external;
    assert.ok(grown < 30_000_000, `${grown} bytes for 700,000`);
  }));
