import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../../../src/base/prng.ts';
import { command, type Door, openDoor } from '../../support/resp-door.ts';
import { until } from '../../support/wait.ts';

async function withDoor(run: (door: Door) => Promise<void>): Promise<void> {
  const door = await openDoor();
  try {
    await run(door);
  } finally {
    await door.close();
  }
}

test('replies leave in the order of the commands, whatever order they are completed in', () =>
  withDoor(async ({ connect, executor }) => {
    const client = await connect();
    client.send(command('HOLD', 'a') + command('ECHO', 'b') + command('HOLD', 'c') + command('HOLD', 'd'));
    await until(() => executor.held.length === 3, 'commands arrived');
    executor.release('d');
    executor.release('c');
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(client.received, '', 'nothing may overtake the first reply');
    executor.release('a');
    await client.expect('+a\r\n$1\r\nb\r\n+c\r\n+d\r\n');
  }));

test('random completion orders, over many commands and clients', () =>
  withDoor(async ({ connect, executor }) => {
    const random = new Prng(20_261_120);
    const clients = await Promise.all([connect(), connect(), connect()]);
    for (let round = 0; round < 20; round++) {
      const expected: string[] = [];
      for (const [which, client] of clients.entries()) {
        let sent = '';
        let replies = '';
        for (let i = 0; i < 40; i++) {
          const word = `${round}-${which}-${i}`;
          const late = random.u32() % 3 > 0;
          sent += command(late ? 'HOLD' : 'ECHO', word);
          replies += late ? `+${word}\r\n` : `$${word.length}\r\n${word}\r\n`;
        }
        sent += command('ECHO', `end${round}`);
        expected.push(`${replies}$${`end${round}`.length}\r\nend${round}\r\n`);
        client.send(sent);
      }
      const names = 41 * clients.length * (round + 1);
      await until(() => executor.names.length === names, 'all commands were handed in');
      while (executor.held.length > 0) {
        executor.release(executor.held[random.u32() % executor.held.length]!.words[1]!);
        if (random.u32() % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(clients.map((client, which) => client.expect(expected[which]!)));
    }
  }));

test('a pipeline cut anywhere gives the same replies', () =>
  withDoor(async ({ connect }) => {
    const bytes = `${command('ECHO', 'one') + command('echo', 'x'.repeat(50)) + command('ECHO', '')}ECHO in\r\n`;
    const replies = `$3\r\none\r\n$50\r\n${'x'.repeat(50)}\r\n$0\r\n\r\n$2\r\nin\r\n`;
    const client = await connect();
    for (let cut = 1; cut < bytes.length; cut += 3) {
      client.send(bytes.slice(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      client.send(bytes.slice(cut));
      await client.expect(replies);
    }
    for (const byte of bytes) {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.expect(replies);
  }));

test('each reply is in the protocol spoken when its command completed', () =>
  withDoor(async ({ connect }) => {
    const client = await connect();
    client.send(
      command('MAP') + command('PROTO', '3') + command('MAP') + command('PROTO', '2') + command('MAP'),
    );
    const two = '*2\r\n$1\r\na\r\n:1\r\n';
    await client.expect(`${two}+OK\r\n%1\r\n$1\r\na\r\n:1\r\n+OK\r\n${two}`);
  }));

test('a command that wants no reply gets none, and does not hold up others', () =>
  withDoor(async ({ connect, executor }) => {
    const client = await connect();
    client.send(command('SILENT') + command('HOLD', 'a') + command('SILENT') + command('ECHO', 'b'));
    await until(() => executor.names.length === 4, 'commands arrived');
    executor.release('a');
    await client.expect('+a\r\n$1\r\nb\r\n');
  }));

test('QUIT answers what came before it, then closes; what follows is not run', () =>
  withDoor(async ({ connect, executor }) => {
    const client = await connect();
    client.send(command('HOLD', 'a') + command('QUIT') + command('ECHO', 'never'));
    await until(() => executor.names.length === 2, 'QUIT arrived');
    executor.release('a');
    await client.expect('+a\r\n+OK\r\n');
    await client.expectClosed();
    assert.equal(client.received, '');
    assert.deepEqual(executor.names, ['HOLD', 'QUIT']);
  }));

test('a client that closes its sending side still gets its replies', () =>
  withDoor(async ({ connect, executor }) => {
    const client = await connect();
    client.send(command('ECHO', 'a') + command('HOLD', 'b'));
    client.socket.end();
    await until(() => executor.held.length === 1, 'commands arrived');
    executor.release('b');
    await client.expect('$1\r\na\r\n+b\r\n');
    await client.expectClosed();
  }));

test('a session that is closed at once gets nothing more, and late completions do no harm', () =>
  withDoor(async ({ server, connect, executor }) => {
    const client = await connect();
    client.send(command('HOLD', 'a') + command('DIE') + command('ECHO', 'never'));
    await client.expectClosed();
    assert.equal(client.received, '');
    executor.release('a');
    await until(() => server.connectionCount === 0, 'the connection is gone');
    assert.equal(server.bufferedBytes, 0);
    const other = await connect();
    other.send(command('ECHO', 'still here'));
    await other.expect('$10\r\nstill here\r\n');
  }));

test('a command that waits for the others (WAIT) holds back what follows it', () =>
  withDoor(async ({ connect, executor }) => {
    const client = await connect();
    client.send(command('BLOCK', 'w') + command('ECHO', 'after'));
    await until(() => executor.held.length === 1, 'the blocking command arrived');
    client.send(command('ECHO', 'later'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(executor.names, ['BLOCK']);
    executor.release('w');
    await client.expect('+w\r\n$5\r\nafter\r\n$5\r\nlater\r\n');
  }));

test('a command answered twice is a bug that is caught', () =>
  withDoor(async ({ connect, executor }) => {
    const client = await connect();
    client.send(command('HOLD', 'a') + command('HOLD', 'b'));
    await until(() => executor.held.length === 2, 'commands arrived');
    const { complete } = executor.held[1]!;
    executor.release('b');
    assert.throws(() => complete(null), /completes once/);
    executor.release('a');
    assert.throws(() => complete(null), /completes once/);
    await client.expect('+a\r\n+b\r\n');
  }));

test('close answers what is under way before it closes', async () => {
  const door = await openDoor();
  const client = await door.connect();
  client.send(command('HOLD', 'a'));
  await until(() => door.executor.held.length === 1, 'the command arrived');
  const closed = door.server.close();
  door.executor.release('a');
  await client.expect('+a\r\n');
  await client.expectClosed();
  client.socket.destroy();
  await closed;
  assert.equal(door.server.connectionCount, 0);
});
