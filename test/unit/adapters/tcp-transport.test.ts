import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { SystemClock } from '../../../src/adapters/clock.ts';
import { SecureRandom } from '../../../src/adapters/random.ts';
import { TcpTransport, type TcpTransportOptions } from '../../../src/adapters/tcp-transport.ts';
import type { Log, LogFields, LogLevel } from '../../../src/ports/log.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import type { NodeId, PeerAddress } from '../../../src/ports/transport.ts';
import { PROTOCOL_VERSION } from '../../../src/wire/frame.ts';
import { encodeHandshake, type Handshake } from '../../../src/wire/handshake.ts';
import { RecordingHandler, sampleFrame, transportConformance } from '../../conformance/transport.ts';
import { LinkProxy } from '../../support/link-proxy.ts';
import { delay, until } from '../../support/wait.ts';

const clock = new SystemClock();
const random = new SecureRandom();

class RecordingLog implements Log {
  readonly lines: { level: LogLevel; event: string; fields: LogFields }[] = [];
  write(level: LogLevel, event: string, fields: LogFields = {}): void {
    this.lines.push({ level, event, fields });
  }
  find(event: string): LogFields | undefined {
    return this.lines.find((line) => line.event === event)?.fields;
  }
}

function start(transport: TcpTransport, handler: RecordingHandler): Promise<void> {
  return new Promise((resolve, reject) =>
    transport.start(handler, (error) => (error === undefined ? resolve() : reject(error))),
  );
}

const closed = (transport: TcpTransport): Promise<void> =>
  new Promise((resolve) => transport.close(() => resolve()));

/** What a node of version 4 says to one of version 5; these words are how it is known. */
const wordsOfVersion4 = 'wrong protocol version: "b" speaks 5, "a" speaks 4; run the same release on both';

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

transportConformance('tcp', async (ids) => {
  const queueBytesMax = 1024 * 1024;
  // The proxies first, so that none of them is given a port that was found free for a member.
  const proxies = new Map<string, LinkProxy>();
  for (const from of ids) {
    for (const to of ids) {
      if (from === to) continue;
      for (const way of ['', '>elsewhere']) {
        proxies.set(`${from}>${to}${way}`, await LinkProxy.open({ host: '127.0.0.1', port: 0 }));
      }
    }
  }
  const members: PeerAddress[] = [];
  for (const id of ids) members.push({ id, host: '127.0.0.1', peerPort: await freePort() });
  for (const [name, proxy] of proxies) {
    proxy.retarget(members.find(({ id }) => id === name.split('>')[1])!.peerPort);
  }
  const address = (from: NodeId, id: NodeId, elsewhere = false) => {
    const proxy = proxies.get(`${from}>${id}${elsewhere ? '>elsewhere' : ''}`);
    const { host, peerPort } = members.find((each) => each.id === id)!;
    return { id, host, peerPort: proxy?.port ?? peerPort };
  };
  const running = new Map<NodeId, TcpTransport>();
  return {
    queueBytesMax,
    address,
    async start(id, handler) {
      const transport = new TcpTransport({
        nodeId: id,
        clusterName: 'test',
        members: ids.slice(0, id === 'd' ? 4 : 3).map((each) => address(id, each)),
        bind: { host: '127.0.0.1', port: members.find((member) => member.id === id)!.peerPort },
        life: random.u32(),
        clock,
        random,
        log: LOG_SILENT,
        queueBytesMax,
      });
      await start(transport, handler as RecordingHandler);
      running.set(id, transport);
      return transport;
    },
    async stop(id) {
      await closed(running.get(id)!);
      running.delete(id);
    },
    cut: (from, to) => proxies.get(`${from}>${to}`)!.cut(),
    heal: (from, to) => proxies.get(`${from}>${to}`)!.heal(),
    stall: (from, to) => proxies.get(`${from}>${to}`)!.stall(),
    until,
    settle: () => delay(150),
    async close() {
      for (const transport of running.values()) await closed(transport);
      for (const proxy of proxies.values()) await proxy.close();
    },
  };
});

describe('TcpTransport', () => {
  const ends: (() => Promise<unknown>)[] = [];
  after(async () => {
    for (const end of ends) await end();
  });

  async function endpoint(
    nodeId: NodeId,
    options: Partial<TcpTransportOptions> & Pick<TcpTransportOptions, 'members'>,
  ): Promise<{ transport: TcpTransport; handler: RecordingHandler; log: RecordingLog }> {
    const log = new RecordingLog();
    const handler = new RecordingHandler();
    const own = options.members.find((member) => member.id === nodeId);
    const transport = new TcpTransport({
      nodeId,
      clusterName: 'test',
      bind: { host: '127.0.0.1', port: own?.peerPort ?? 0 },
      life: random.u32(),
      clock,
      random,
      log,
      ...options,
    });
    await start(transport, handler);
    ends.push(() => closed(transport));
    return { transport, handler, log };
  }

  const member = (id: NodeId, peerPort: number) => ({ id, host: '127.0.0.1', peerPort });

  it('refuses a node of another cluster, with the reason logged at both ends', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const a = await endpoint('a', { members });
    const b = await endpoint('b', { members, clusterName: 'other' });
    await until(() => b.log.find('peer-refused')?.peer === 'a', 'b was refused');
    await until(() => a.log.find('peer-refused')?.peer === 'b', 'a was refused');
    assert.ok(a.log.lines.some((line) => String(line.fields.reason).includes('"other"')));
    assert.ok(b.log.lines.some((line) => String(line.fields.reason).includes('wrong cluster')));
    assert.deepEqual([a.handler.events, b.handler.events], [[], []]);
  });

  it('refuses a second process with the id of a peer that is heard', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const a = await endpoint('a', { members });
    const b = await endpoint('b', { members });
    await until(() => b.handler.count('up a') === 1, 'b is up');
    b.transport.send('a', sampleFrame(50, 1));
    const twin = await endpoint('b', { members, bind: { host: '127.0.0.1', port: 0 } });
    await until(() => twin.log.find('peer-refused') !== undefined, 'the twin is refused');
    assert.match(String(twin.log.find('peer-refused')?.reason), /duplicate id/);
    assert.deepEqual(b.handler.events, ['up a']);
    assert.deepEqual(a.handler.events, ['up b']);
  });

  async function talk(port: number): Promise<{ socket: Socket; ended: Promise<void> }> {
    const socket = connect({ host: '127.0.0.1', port });
    const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    socket.on('error', () => {});
    socket.resume();
    await new Promise((resolve) => socket.once('connect', resolve));
    ends.push(async () => socket.destroy());
    return { socket, ended };
  }

  const hello = (nodeId: NodeId): Handshake => ({
    kind: 'hello',
    protocolVersion: PROTOCOL_VERSION,
    clusterName: 'test',
    nodeId,
    nodeIdExpected: 'a',
    life: 77,
  });

  it('closes a connection that does not speak the protocol, and goes on', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const a = await endpoint('a', { members, times: { handshakeTimeoutMs: 300 } });
    const port = members[0]!.peerPort;
    const web = await talk(port);
    web.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await web.ended;
    const silent = await talk(port);
    await silent.ended;
    const huge = await talk(port);
    huge.socket.write(encodeHandshake(hello('b')));
    huge.socket.write(Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0]));
    await huge.ended;
    const reasons = a.log.lines
      .filter((line) => line.event === 'pipe-closed')
      .map((line) => line.fields.reason);
    assert.equal(reasons.length, 3);
    assert.match(String(reasons[0]), /bytes announced/);
    assert.match(String(reasons[1]), /no hello/);
    assert.match(String(reasons[2]), /4294967295 bytes announced/);
    const good = await talk(port);
    good.socket.write(encodeHandshake(hello('b')));
    good.socket.write(sampleFrame(33, 4));
    await until(() => a.handler.frames.length === 1, 'a frame arrives');
  });

  it('lets a newer connection of the same process replace the older one', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const a = await endpoint('a', { members });
    const older = await talk(members[0]!.peerPort);
    older.socket.write(encodeHandshake(hello('b')));
    older.socket.write(sampleFrame(20, 1));
    await until(() => a.handler.frames.length === 1, 'the older one is used');
    const newer = await talk(members[0]!.peerPort);
    newer.socket.write(encodeHandshake(hello('b')));
    await older.ended;
    newer.socket.write(sampleFrame(20, 2));
    await until(() => a.handler.frames.length === 2, 'the newer one is used');
  });

  it('gives up a peer that answers nothing, and uses a healed link within a second', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const proxy = await LinkProxy.open({ host: '127.0.0.1', port: members[1]!.peerPort });
    ends.push(() => proxy.close());
    await endpoint('b', { members });
    const a = await endpoint('a', {
      members,
      dialTarget: () => ({ host: '127.0.0.1', port: proxy.port }),
      times: { handshakeTimeoutMs: 300 },
    });
    await until(() => a.handler.count('up b') === 1, 'a is up');
    proxy.stall();
    a.transport.reset('b', 'silent');
    await until(() => a.log.find('peer-unreachable') !== undefined, 'the attempt times out');
    proxy.cut();
    await delay(2500);
    proxy.heal();
    const healed = performance.now();
    await until(() => a.handler.count('up b') === 2, 'a is up again');
    assert.ok(performance.now() - healed < 1100, `${performance.now() - healed} ms`);
  });

  it('reports a port that is taken', async () => {
    const members = [member('a', await freePort())];
    await endpoint('a', { members });
    await assert.rejects(endpoint('a', { members }), { code: 'EADDRINUSE' });
  });

  it('speaks the version before with a peer that knows no other, both ways', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const a = await endpoint('a', { members, protocolVersionMax: 4 });
    const b = await endpoint('b', { members });
    await until(() => a.handler.count('up b') === 1 && b.handler.count('up a') === 1, 'both are up');
    assert.deepEqual([a.handler.versions, b.handler.versions], [[4], [4]]);
    assert.equal(b.log.lines.filter((line) => line.level !== 'debug').length, 0);
    assert.equal(a.log.find('peer-refused')?.reason, wordsOfVersion4);
    await closed(a.transport);
    await until(() => b.handler.count('down a') === 1, 'b hears that a is gone');
    const later = await endpoint('a', { members });
    await until(() => later.handler.count('up b') === 1 && b.handler.count('up a') === 2, 'up again');
    assert.deepEqual([later.handler.versions, b.handler.versions], [[5], [4, 5]]);
  });

  it('does not speak it once the members have changed, neither with a new pipe nor with an old one', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const a = await endpoint('a', { members, protocolVersionMax: 4 });
    const b = await endpoint('b', { members });
    await until(() => a.handler.count('up b') === 1 && b.handler.count('up a') === 1, 'both are up');
    b.transport.setPeers(members, 2);
    await until(() => a.handler.count('down b') === 1 && b.handler.count('down a') === 1, 'both are cut');
    await until(() => b.log.find('peer-refused')?.peer === 'a', 'and stay so');
    assert.match(String(a.log.lines.at(-1)?.fields.reason), /wrong protocol version: "[ab]" speaks/);
    await delay(200);
    assert.deepEqual([a.handler.count('up b'), b.handler.count('up a')], [1, 1]);
  });

  it('refuses a stranger with the members it knows, and tells the same once', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const a = await endpoint('a', { members: members.slice(0, 1), epoch: 12 });
    const b = await endpoint('b', { members, times: { redialRefusedMs: 20 } });
    const refusals = (log: RecordingLog) => log.lines.filter((line) => line.event === 'peer-refused');
    await until(() => refusals(a.log).length > 4 && refusals(b.log).length > 4, 'it tries again');
    for (const log of [a.log, b.log]) {
      assert.match(String(refusals(log)[0]!.fields.reason), /"b" is not .* "a" knows in epoch 12 \(a\)/);
      assert.deepEqual(
        new Set(
          refusals(log)
            .slice(1)
            .map(({ level }) => level),
        ),
        new Set(['debug']),
      );
      assert.equal(refusals(log)[0]!.level, 'warn');
    }
  });

  it('lets go of a member that is gone and does not read, after two seconds', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const proxy = await LinkProxy.open({ host: '127.0.0.1', port: members[1]!.peerPort });
    ends.push(() => proxy.close());
    const b = await endpoint('b', { members });
    const a = await endpoint('a', { members: [members[0]!, member('b', proxy.port)] });
    await until(() => a.handler.count('up b') === 1 && b.handler.count('up a') === 1, 'both are up');
    proxy.stall();
    for (let i = 0; i < 200; i++) a.transport.send('b', sampleFrame(100_000, i));
    const began = performance.now();
    a.transport.setPeers([members[0]!], 2);
    assert.equal(b.transport.send('a', sampleFrame(30, 8)), true, 'its last words are still heard');
    await until(() => a.handler.frames.length === 1, 'they arrive');
    await until(() => b.handler.count('down a') === 1, 'the other direction ends');
    const tookMs = performance.now() - began;
    assert.ok(tookMs > 1500 && tookMs < 4000, `${tookMs} ms`);
    await delay(300);
    proxy.heal();
    await delay(500);
    assert.ok(b.handler.frames.length < 200, 'what could not be sent in time is lost');
    assert.deepEqual(a.handler.events, ['up b']);
  });

  it('writes all that was queued for a member that is gone', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const b = await endpoint('b', { members });
    const a = await endpoint('a', { members });
    await until(() => a.handler.count('up b') === 1, 'a is up');
    // More than the system holds for a connection.
    for (let i = 0; i < 20; i++) assert.equal(a.transport.send('b', sampleFrame(1_000_000, i)), true);
    a.transport.setPeers(members.slice(0, 1), 2);
    await until(() => b.handler.frames.length === 20, 'all arrive');
  });

  it('leaves the old address of a member alone', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const target = { host: '127.0.0.1', port: members[1]!.peerPort };
    const [before, after] = [await LinkProxy.open(target), await LinkProxy.open(target)];
    ends.push(
      () => before.close(),
      () => after.close(),
    );
    await endpoint('b', { members });
    const a = await endpoint('a', { members: [members[0]!, member('b', before.port)] });
    await until(() => a.handler.count('up b') === 1, 'a is up');
    a.transport.setPeers([members[0]!, member('b', after.port)], 2);
    await until(() => a.handler.count('up b') === 2, 'a is up again');
    before.cut();
    await delay(200);
    assert.deepEqual(a.handler.events, ['up b', 'down b', 'up b']);
    after.cut();
    await until(() => a.handler.count('down b') === 2, 'the new address is the one in use');
  });

  it('takes members before it is started, and dials none before that', async () => {
    const members = [member('a', await freePort()), member('b', await freePort())];
    const b = await endpoint('b', { members });
    const handler = new RecordingHandler();
    const only = members.slice(0, 1);
    const bind = { host: '127.0.0.1', port: members[0]!.peerPort };
    const own = { nodeId: 'a', clusterName: 'test', bind, members: only, life: 3 };
    const transport = new TcpTransport({ ...own, clock, random, log: LOG_SILENT });
    ends.push(() => closed(transport));
    transport.setPeers(members, 4);
    await delay(100);
    assert.deepEqual(b.handler.events, []);
    await start(transport, handler);
    await until(() => handler.count('up b') === 1 && b.handler.count('up a') === 1, 'both are up');
  });
});
