/** Links that can be cut: what passes, what ends and what waits. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { Link } from '../../nemesis/link.ts';
import { delay, until } from '../../support/wait.ts';

describe('a link', () => {
  const ends: (() => unknown)[] = [];
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  /** A server that echoes, behind a link. */
  async function echo(): Promise<Link> {
    const server: Server = createServer((socket) => socket.on('error', () => {}).pipe(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const link = await Link.open((server.address() as { port: number }).port);
    ends.push(() => {
      server.close();
    });
    ends.push(() => link.close());
    return link;
  }

  function dial(link: Link): { socket: Socket; heard: () => string } {
    let text = '';
    const socket = connect(link.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    ends.push(() => socket.destroy());
    return { socket, heard: () => text };
  }

  it('carries bytes both ways', async () => {
    const { socket, heard } = dial(await echo());
    socket.write('hello');
    await until(() => heard() === 'hello', 'the echo');
  });

  it('cut by reset ends connections and refuses new ones, until it heals', async () => {
    const link = await echo();
    const first = dial(link);
    first.socket.write('a');
    await until(() => first.heard() === 'a', 'the echo');
    link.cut('reset');
    await until(() => first.socket.closed, 'the connection ends');
    const second = dial(link);
    await until(() => second.socket.closed, 'a new one ends too');
    link.heal();
    const third = dial(link);
    third.socket.write('b');
    await until(() => third.heard() === 'b', 'the echo after healing');
  });

  it('cut silently carries nothing and ends nothing, and delivers late', async () => {
    const link = await echo();
    const first = dial(link);
    first.socket.write('a');
    await until(() => first.heard() === 'a', 'the echo');
    link.cut('silent');
    first.socket.write('b');
    const second = dial(link);
    second.socket.write('c');
    await delay(100);
    assert.equal(first.heard(), 'a');
    assert.equal(second.heard(), '');
    assert.ok(!first.socket.closed && !second.socket.closed);
    link.heal();
    await until(() => first.heard() === 'ab' && second.heard() === 'c', 'what was held');
  });

  it('made slow delivers late and in order, also when it is made quick again', async () => {
    const link = await echo();
    const { socket, heard } = dial(link);
    socket.write('a');
    await until(() => heard() === 'a', 'the echo');
    link.delay(150);
    const from = performance.now();
    socket.write('b');
    await delay(50);
    link.delay(0);
    socket.write('c');
    await until(() => heard().length === 3, 'the rest');
    assert.equal(heard(), 'abc');
    assert.ok(performance.now() - from > 140, `after ${performance.now() - from} ms`);
  });
});
