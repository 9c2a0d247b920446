/** Every row of the table of limits and bad input, for the RESP door. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { command, type Door, type DoorOptions, openDoor, RawClient } from '../../support/resp-door.ts';
import { delay, until } from '../../support/wait.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

async function withDoor(options: DoorOptions, run: (door: Door) => Promise<void>): Promise<void> {
  const door = await openDoor(options);
  try {
    await run(door);
  } finally {
    await door.close();
  }
}

function events(door: Door): string[] {
  return door.log.map((entry) => entry.event);
}

/** The door still works for somebody else. */
async function checkAlive(door: Door): Promise<void> {
  const client = await door.connect();
  client.send(command('ECHO', 'alive'));
  await client.expect('$5\r\nalive\r\n');
}

const broken: readonly (readonly [string, string, string])[] = [
  ['a negative bulk length', '*2\r\n$4\r\nECHO\r\n$-5\r\n', 'invalid bulk length'],
  ['an absurd bulk length', '*2\r\n$4\r\nECHO\r\n$99999999999999999999\r\n', 'invalid bulk length'],
  ['a bulk over 512 MiB', '*2\r\n$4\r\nECHO\r\n$536870913\r\n', 'invalid bulk length'],
  ['a command that announces too much', '*2\r\n$4\r\nECHO\r\n$536870912\r\n', 'too big command'],
  ['more than 1024^2 arguments', '*1048577\r\n', 'invalid multibulk length'],
  ['a count that is no number', '*x\r\n', 'invalid multibulk length'],
  ['a nested array', '*1\r\n*1\r\n$4\r\nPING\r\n', "expected '$', got '*'"],
  ['an inline line over 64 KiB', 'x'.repeat(64 * KiB + 1), 'too big inline request'],
  ['unbalanced quotes', 'ECHO "a\r\n', 'unbalanced quotes in request'],
];

for (const [what, bytes, problem] of broken) {
  test(`${what} is a protocol error, after the replies due; then the connection is closed`, () =>
    withDoor({}, async (door) => {
      const client = await door.connect();
      client.send(command('ECHO', 'first') + bytes);
      await client.expect(`$5\r\nfirst\r\n-ERR Protocol error: ${problem}\r\n`);
      await client.expectClosed();
      assert.equal(client.received, '');
      assert.ok(events(door).includes('client-protocol-error'));
      assert.equal(door.server.statistics.protocolErrors, 1);
      await checkAlive(door);
    }));
}

test('a protocol error waits for the replies of what came before it', () =>
  withDoor({}, async ({ connect, executor }) => {
    const client = await connect();
    client.send(`${command('HOLD', 'a')}*x\r\n${command('ECHO', 'never')}`);
    await until(() => executor.held.length === 1, 'the command arrived');
    executor.release('a');
    await client.expect('+a\r\n-ERR Protocol error: invalid multibulk length\r\n');
    await client.expectClosed();
  }));

test('an announced length costs nothing until the bytes come', () =>
  withDoor({}, async (door) => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => door.connect()));
    for (const client of clients) client.send('*2\r\n$4\r\nECHO\r\n$60000000\r\nabc');
    await until(() => door.server.bufferedBytes > 0, 'bytes arrived');
    await delay(30);
    assert.ok(door.server.bufferedBytes < 20 * 100, `${door.server.bufferedBytes} bytes are held`);
  }));

test('before the password: 10 arguments and 16 KiB bulks pass, more is closed', () =>
  withDoor({ passwordRequired: true }, async (door) => {
    const ten = await door.connect();
    ten.send(command('ECHO', ...Array.from({ length: 9 }, () => 'x')));
    await ten.expect('-NOAUTH Authentication required.\r\n');
    ten.send(command('ECHO', 'x'.repeat(16 * KiB)));
    await ten.expect('-NOAUTH Authentication required.\r\n');
    ten.send(command('ECHO', 'x'.repeat(16 * KiB + 1)));
    await ten.expect('-ERR Protocol error: unauthenticated bulk length\r\n');
    await ten.expectClosed();
    const eleven = await door.connect();
    eleven.send(command('ECHO', ...Array.from({ length: 10 }, () => 'x')));
    await eleven.expect('-ERR Protocol error: unauthenticated multibulk length\r\n');
    await eleven.expectClosed();
  }));

test('with the password the limits are lifted, in the same pipeline', () =>
  withDoor({ passwordRequired: true }, async (door) => {
    const client = await door.connect();
    const long = 'x'.repeat(100 * KiB);
    client.send(command('ECHO', 'no') + command('AUTH', 'secret') + command('ECHO', long));
    await client.expect(`-NOAUTH Authentication required.\r\n+OK\r\n$${long.length}\r\n${long}\r\n`);
  }));

test('before the password: a client that leaves replies unread is closed', () =>
  withDoor({ passwordRequired: true }, async (door) => {
    const client = await door.connect();
    client.socket.pause();
    const many = command('ECHO', 'x').repeat(2000);
    while (door.server.connectionCount > 0) {
      client.send(many);
      await delay(1);
      assert.ok(door.server.bufferedBytes < MiB, 'nothing piles up');
    }
    assert.ok(events(door).includes('client-output-unauthenticated'));
  }));

for (const line of ['POST / HTTP/1.1\r\n', 'post /x HTTP/1.1\r\n', 'Host: localhost:6371\r\n']) {
  test(`${JSON.stringify(line)} is closed without a reply and logged; nothing after it is run`, () =>
    withDoor({}, async (door) => {
      const client = await door.connect();
      client.send(`${line}Content-Length: 20\r\n\r\n${command('ECHO', 'x')}`);
      await client.expectClosed();
      assert.equal(client.received, '');
      assert.deepEqual(door.executor.names, []);
      assert.ok(events(door).includes('client-speaks-http'));
      await checkAlive(door);
    }));
}

test('a client that completes no command in time is closed, even if it sends a byte now and then', () =>
  withDoor({ limits: { idleTimeoutMs: 400 }, sweepIntervalMs: 10 }, async (door) => {
    const [silent, slow, busy] = await Promise.all([door.connect(), door.connect(), door.connect()]);
    const bytes = command('ECHO', 'x'.repeat(200));
    for (let i = 0; !(silent!.closed && slow!.closed) && i < bytes.length; i++) {
      if (!slow!.closed) slow!.send(bytes[i]!);
      busy!.send(command('ECHO', 'b'));
      await delay(10);
    }
    assert.ok(silent!.closed && slow!.closed);
    assert.ok(!busy!.closed, 'the one that works is left alone');
    assert.equal(events(door).filter((event) => event === 'client-idle-timeout').length, 2);
  }));

test('a command under way is not idleness', () =>
  withDoor({ limits: { idleTimeoutMs: 50 }, sweepIntervalMs: 10 }, async ({ connect, executor }) => {
    const client = await connect();
    client.send(command('HOLD', 'a'));
    await delay(150);
    executor.release('a');
    await client.expect('+a\r\n');
  }));

test('a client that does not show the password in time is closed', () =>
  withDoor(
    { passwordRequired: true, limits: { handshakeTimeoutMs: 100 }, sweepIntervalMs: 10 },
    async (door) => {
      const [stranger, friend] = await Promise.all([door.connect(), door.connect()]);
      friend!.send(command('AUTH', 'secret'));
      await friend!.expect('+OK\r\n');
      for (let i = 0; i < 100 && !stranger!.closed; i++) {
        stranger!.send(command('AUTH', 'guess'));
        await delay(10);
      }
      assert.ok(stranger!.closed);
      assert.ok(!friend!.closed);
      assert.ok(events(door).includes('client-handshake-timeout'));
    },
  ));

test('output over the hard limit closes at once', () =>
  withDoor({ limits: { outputBytesHard: MiB } }, async (door) => {
    const client = await door.connect();
    client.socket.pause();
    client.send(command('BIG', `${32 * MiB}`));
    await until(() => door.server.connectionCount === 0, 'the connection is cut');
    assert.ok(events(door).includes('client-output-over-hard-limit'));
    await until(() => door.server.bufferedBytes === 0, 'its buffers are gone');
  }));

test('output over the soft limit closes when it stays there', () =>
  withDoor(
    { limits: { outputBytesSoft: 4 * MiB, outputSoftMs: 1500 }, sweepIntervalMs: 10 },
    async (door) => {
      const [stuck, slow] = await Promise.all([door.connect(), door.connect()]);
      stuck!.socket.pause();
      slow!.socket.pause();
      stuck!.send(command('BIG', `${12 * MiB}`));
      slow!.send(command('BIG', `${12 * MiB}`));
      await until(() => door.server.bufferedBytes > 8 * MiB, 'output piles up');
      await delay(40);
      let length = 0;
      slow!.socket.removeAllListeners('data');
      slow!.socket.on('data', (chunk) => {
        length += chunk.length;
      });
      slow!.socket.resume();
      await until(() => length > 12 * MiB, 'the slow client has read it all');
      await until(() => events(door).includes('client-output-over-soft-limit'), 'the stuck one is cut');
      assert.ok(!slow!.closed);
      assert.equal(door.server.connectionCount, 1);
    },
  ));

test('a client that sends and does not read stops being read, and gets all its replies in the end', () =>
  withDoor({}, async (door) => {
    const client = await door.connect();
    client.socket.pause();
    const count = 1000;
    client.send(command('BIG', `${100 * KiB}`).repeat(count));
    let bufferedMost = 0;
    for (let i = 0; i < 30; i++) {
      await delay(5);
      bufferedMost = Math.max(bufferedMost, door.server.bufferedBytes);
    }
    assert.ok(door.executor.names.length < count, 'commands wait unexecuted');
    assert.ok(bufferedMost < 3 * MiB, `${bufferedMost} bytes were buffered`);
    assert.ok(bufferedMost > 0);
    let length = 0;
    client.socket.removeAllListeners('data');
    client.socket.on('data', (chunk) => {
      length += chunk.length;
    });
    client.socket.resume();
    const replyLength = 100 * KiB + `$${100 * KiB}\r\n\r\n`.length;
    await until(() => length === count * replyLength, 'all replies came');
    assert.equal(door.executor.names.length, count);
  }));

test('only so many commands of one connection are under way at a time', () =>
  withDoor({ limits: { pendingCommandsMax: 64 } }, async ({ connect, executor, server }) => {
    const client = await connect();
    const count = 1000;
    let sent = '';
    let replies = '';
    for (let i = 0; i < count; i++) {
      sent += command('HOLD', `${i}`);
      replies += `+${i}\r\n`;
    }
    client.send(sent);
    await until(() => executor.held.length === 64, 'commands arrived');
    let heldMost = 0;
    while (executor.names.length < count || executor.held.length > 0) {
      heldMost = Math.max(heldMost, executor.held.length);
      const last = executor.held.at(-1);
      if (last !== undefined) executor.release(last.words[1]!);
      else await delay(1);
    }
    assert.equal(heldMost, 64);
    await client.expect(replies);
    await until(() => server.bufferedBytes === 0, 'nothing is left');
  }));

test('one client too many is told so and closed; when one leaves, the next may come', () =>
  withDoor({ limits: { clientsMax: 2 } }, async (door) => {
    const [first] = await Promise.all([door.connect(), door.connect()]);
    await until(() => door.server.connectionCount === 2, 'both are accepted');
    const third = await door.connect();
    await third.expect('-ERR max number of clients reached\r\n');
    await third.expectClosed();
    assert.equal(door.server.statistics.connectionsRejected, 1);
    first!.socket.destroy();
    await until(() => door.server.connectionCount === 1, 'one has left');
    await checkAlive(door);
  }));

test('over the ceiling of buffered bytes commands are refused, with a retryable error', () =>
  withDoor({ limits: { bufferedBytesMax: MiB } }, async (door) => {
    const hog = await door.connect();
    hog.send(`*2\r\n$4\r\nECHO\r\n$${10 * MiB}\r\n${'x'.repeat(MiB + 50 * KiB)}`);
    await until(() => door.server.overfull, 'the ceiling is reached');
    const client = await door.connect();
    client.send(command('ECHO', 'a'));
    await client.until(() => client.received.endsWith('\r\n'), 'a refusal');
    assert.match(client.received, /^-TRYAGAIN .*try again later\r\n$/);
    assert.equal(door.server.statistics.commandsRefused, 1);
    client.received = '';
    hog.send('x'.repeat(MiB));
    await hog.expectClosed();
    assert.ok(events(door).includes('client-evicted-for-memory'));
    await until(() => !door.server.overfull, 'there is room again');
    client.send(command('ECHO', 'a'));
    await client.expect('$1\r\na\r\n');
  }));

test('a connection that was told goodbye and does not hang up is closed', () =>
  withDoor({ limits: { lingerMs: 50 }, sweepIntervalMs: 10 }, async (door) => {
    const client = await RawClient.connect(door.port);
    client.socket.removeAllListeners('end');
    client.socket.allowHalfOpen = true;
    client.send(command('QUIT'));
    await client.expect('+OK\r\n');
    await until(() => door.server.connectionCount === 0, 'it is gone');
    client.socket.destroy();
  }));

test('the figures count bytes, commands, connections and latency', () =>
  withDoor({}, async ({ connect, server, executor }) => {
    const client = await connect();
    const sent = command('ECHO', 'a') + command('HOLD', 'b');
    client.send(sent);
    await until(() => executor.held.length === 1, 'commands arrived');
    await delay(30);
    executor.release('b');
    await client.expect('$1\r\na\r\n+b\r\n');
    const { statistics } = server;
    assert.equal(statistics.inputBytes, sent.length);
    assert.equal(statistics.outputBytes, '$1\r\na\r\n+b\r\n'.length);
    assert.equal(statistics.commands, 2);
    assert.equal(statistics.connectionsReceived, 1);
    assert.equal(statistics.latency.total, 2);
    assert.ok(statistics.latency.max >= 29_000 && statistics.latency.max < 5_000_000);
    const [session] = [...server.sessions()];
    assert.equal(session!.link.inputBytes, sent.length);
    assert.match(session!.address, /^127\.0\.0\.1:\d+$/);
    assert.equal(session!.localAddress, `127.0.0.1:${server.port}`);
    await until(() => executor.samples > 0, 'the rate is sampled');
    statistics.reset();
    assert.equal(statistics.commands + statistics.latency.total, 0);
  }));
