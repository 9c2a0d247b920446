/** The RESP door with the real commands behind it, over a node that is a map in memory. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../../../src/base/prng.ts';
import { Dispatcher } from '../../../src/commands/dispatch.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { ProcessFacts } from '../../../src/server/facts.ts';
import { SERVER_LIMITS_DEFAULT } from '../../../src/server/limits.ts';
import { RespServer } from '../../../src/server/resp-server.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { command, RawClient } from '../../support/resp-door.ts';
import { delay, until } from '../../support/wait.ts';

interface Setup {
  readonly node: FakeNode;
  readonly server: RespServer;
  connect(): Promise<RawClient>;
}

async function withServer(password: string | undefined, run: (setup: Setup) => Promise<void>): Promise<void> {
  const node = new FakeNode();
  const facts = new ProcessFacts({
    version: '1.2.3',
    configFile: '',
    random: new Prng(7),
    ...(password === undefined ? {} : { password }),
    storage: {
      engine: 'memory',
      durable: false,
      durability: 'interval',
      memoryBytesMax: 0,
      eviction: 'noeviction',
    },
  });
  const server = new RespServer(
    {
      host: '127.0.0.1',
      port: 0,
      limits: SERVER_LIMITS_DEFAULT,
      passwordRequired: facts.passwordRequired,
    },
    new Dispatcher(node, facts),
    LOG_SILENT,
    { wake: () => setImmediate(() => server.flush()) },
  );
  facts.attach(server);
  const port = await server.listen();
  const clients: RawClient[] = [];
  try {
    await run({
      node,
      server,
      async connect() {
        const client = await RawClient.connect(port);
        clients.push(client);
        return client;
      },
    });
  } finally {
    for (const client of clients) client.socket.destroy();
    await server.close();
    facts.close();
  }
}

test('CLIENT REPLY: OFF silences until ON, SKIP one command', () =>
  withServer(undefined, async ({ connect }) => {
    const client = await connect();
    client.send(
      [
        command('SET', 'a', '1'),
        command('CLIENT', 'REPLY', 'OFF'),
        command('SET', 'a', '2'),
        command('GET', 'a'),
        command('NONSENSE'),
        command('CLIENT', 'REPLY', 'ON'),
        command('GET', 'a'),
        command('CLIENT', 'REPLY', 'SKIP'),
        command('SET', 'a', '3'),
        command('GET', 'a'),
      ].join(''),
    );
    await client.expect('+OK\r\n+OK\r\n$1\r\n2\r\n$1\r\n3\r\n');
    await delay(10);
    assert.equal(client.received, '');
  }));

test('CLIENT REPLY with a node that answers late', () =>
  withServer(undefined, async ({ connect, node }) => {
    const client = await connect();
    node.holds = true;
    client.send(
      [
        command('GET', 'a'),
        command('CLIENT', 'REPLY', 'SKIP'),
        command('GET', 'b'),
        command('GET', 'c'),
        command('CLIENT', 'REPLY', 'OFF'),
        command('GET', 'd'),
        command('CLIENT', 'REPLY', 'ON'),
        command('ECHO', 'e'),
      ].join(''),
    );
    await until(() => node.held.length > 0, 'a request is held');
    while (!client.received.endsWith('e\r\n')) {
      if (node.held.length > 0) node.release(node.held.length - 1);
      else await delay(1);
    }
    await client.expect('$-1\r\n$-1\r\n+OK\r\n$1\r\ne\r\n');
  }));

test('HELLO behind a late reply changes the protocol of what follows it, not of what is before', () =>
  withServer(undefined, async ({ connect, node }) => {
    const client = await connect();
    node.holds = true;
    client.send(command('GET', 'a') + command('HELLO', '3') + command('GET', 'a'));
    await until(() => node.held.length === 1, 'the first GET is under way');
    node.release();
    await until(() => node.held.length === 1, 'the second GET is under way');
    node.release();
    await client.until(() => client.received.endsWith('_\r\n'), 'a RESP3 null');
    assert.match(client.received, /^\$-1\r\n%7\r\n\$6\r\nserver\r\n/);
  }));

test('a pipeline reads its own writes', () =>
  withServer(undefined, async ({ connect, node }) => {
    const client = await connect();
    node.holds = true;
    client.send(command('SET', 'a', '1') + command('GET', 'a') + command('INCR', 'a') + command('GET', 'a'));
    while (!client.received.endsWith('$1\r\n2\r\n')) {
      if (node.held.length > 0) node.release(node.held.length - 1);
      else await delay(1);
    }
    await client.expect('+OK\r\n$1\r\n1\r\n:2\r\n$1\r\n2\r\n');
  }));

test('AUTH opens the door, HELLO AUTH too, RESET closes it', () =>
  withServer('secret', async ({ connect }) => {
    const client = await connect();
    client.send(command('GET', 'a') + command('AUTH', 'wrong'));
    await client.expect(
      '-NOAUTH Authentication required.\r\n-WRONGPASS invalid username-password pair or user is disabled.\r\n',
    );
    client.send(command('AUTH', 'secret') + command('GET', 'a'));
    await client.expect('+OK\r\n$-1\r\n');
    client.send(command('RESET') + command('GET', 'a'));
    await client.expect('+RESET\r\n-NOAUTH Authentication required.\r\n');
    const other = await connect();
    other.send(command('HELLO', '3', 'AUTH', 'default', 'secret') + command('GET', 'a'));
    await other.until(() => other.received.endsWith('_\r\n'), 'a RESP3 null');
    assert.match(other.received, /^%7\r\n/);
  }));

test('CLIENT LIST shows the connections, CLIENT KILL ends one', () =>
  withServer(undefined, async ({ connect, server }) => {
    const [one, two] = [await connect(), await connect()];
    two.send(command('CLIENT', 'SETNAME', 'victim') + command('CLIENT', 'ID'));
    await two.expect('+OK\r\n:2\r\n');
    one.send(command('CLIENT', 'LIST'));
    await one.until(() => one.received.endsWith('\n\r\n'), 'the list');
    const lines = one.received.split('\n').filter((line) => line.startsWith('id='));
    assert.equal(lines.length, 2);
    assert.match(lines[0]!, /^id=1 addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:\d+ name= .*cmd=client\|list/);
    assert.match(lines[1]!, /^id=2 .*name=victim .*cmd=client\|id/);
    one.received = '';
    one.send(command('CLIENT', 'KILL', 'ID', '2'));
    await one.expect(':1\r\n');
    await two.expectClosed();
    await until(() => server.connectionCount === 1, 'the victim is gone');
    one.send(command('CLIENT', 'KILL', 'ID', '1', 'SKIPME', 'no') + command('ECHO', 'never'));
    await one.expect(':1\r\n');
    await one.expectClosed();
    assert.equal(one.received, '');
  }));

test('WAIT holds back what follows it until its time is over', () =>
  withServer(undefined, async ({ connect, node }) => {
    const client = await connect();
    const progress = { acknowledgements: 1, settled: false };
    node.progress = () => progress;
    client.send(command('SET', 'a', '1') + command('WAIT', '2', '0') + command('ECHO', 'after'));
    await client.expect('+OK\r\n');
    await delay(30);
    assert.equal(client.received, '');
    progress.acknowledgements = 3;
    progress.settled = true;
    await client.expect(':2\r\n$5\r\nafter\r\n');
  }));

test('a client that leaves while WAIT waits leaves nothing behind', () =>
  withServer(undefined, async ({ connect, node, server }) => {
    const client = await connect();
    node.progress = () => ({ acknowledgements: 1, settled: false });
    client.send(command('SET', 'a', '1') + command('WAIT', '2', '0'));
    await client.expect('+OK\r\n');
    client.socket.destroy();
    await until(() => server.connectionCount === 0, 'the connection is gone');
    assert.deepEqual([...server.sessions()], []);
  }));

test('INFO tells of the door', () =>
  withServer(undefined, async ({ connect }) => {
    const client = await connect();
    client.send(command('INFO'));
    await client.until(
      () => client.received.endsWith('\r\n\r\n') || /db0.*\r\n$/.test(client.received),
      'INFO',
    );
    assert.match(client.received, /connected_clients:1\r\n/);
    assert.match(client.received, /total_connections_received:1\r\n/);
    assert.match(client.received, /maxclients:10000\r\n/);
    assert.match(client.received, new RegExp(`process_id:${process.pid}\r\n`));
  }));
