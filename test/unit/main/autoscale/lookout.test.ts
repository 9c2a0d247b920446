/** The lookout against small HTTP servers: who is asked, what counts when they differ, and how one is asked to let another go. */

import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { Lookout } from '../../../../src/main/autoscale/lookout.ts';
import { NO_MOVES } from '../../../../src/node/move-figures.ts';
import { withHttpApi } from '../../../support/http-api.ts';

const metrics =
  'process_uptime_seconds 5\ndure_reads_total 1\ndure_writes_total 2\ndure_updates_total 3\ndure_forwards_total 2\n';

interface Member {
  readonly id: string;
  readonly port: number;
}

/** A node as the lookout sees it. */
class Door {
  readonly id: string;
  epoch = 1;
  members: readonly Member[] = [];
  /** Answers to `leave`: a status and a body. */
  refusal: readonly [number, string] | undefined;
  silent = false;
  readonly asked: string[] = [];
  port = 0;
  readonly #server: Server;

  constructor(id: string) {
    this.id = id;
    this.#server = createServer((request, response) => {
      const { method, url, headers } = request;
      this.asked.push(`${method} ${url} ${headers.authorization ?? ''}`.trim());
      if (this.silent) return;
      if (url === '/metrics') response.end(metrics);
      else if (url === '/v1/topology') response.end(JSON.stringify(this.#topology()));
      else if (this.refusal !== undefined) {
        const [status, body] = this.refusal;
        response.writeHead(status).end(body);
      } else response.end('{}');
    });
  }

  async open(): Promise<Member> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    this.port = (this.#server.address() as AddressInfo).port;
    return { id: this.id, port: this.port };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #topology(): object {
    const members = this.members.map(({ id, port }) => ({
      id,
      host: '127.0.0.1',
      httpPort: port,
      live: true,
    }));
    return { node: this.id, epoch: this.epoch, phase: 'steady', members, moves: NO_MOVES };
  }
}

describe('the lookout', () => {
  const doors: Door[] = [];
  afterEach(() => Promise.all(doors.splice(0).map((door) => door.close())));

  async function open(...ids: string[]): Promise<Door[]> {
    const opened = ids.map((id) => new Door(id));
    doors.push(...opened);
    const members = await Promise.all(opened.map((door) => door.open()));
    for (const door of opened) door.members = members;
    return opened;
  }

  function lookoutAt(port: number, password?: string): Lookout {
    return new Lookout({ seeds: [`127.0.0.1:${port}`], timeoutMs: 300, password });
  }

  test('asks everybody, and believes the highest epoch', async () => {
    const [one, two, three] = (await open('a', 'b', 'c')) as [Door, Door, Door];
    two.epoch = 4;
    const lookout = lookoutAt(one.port);
    const sight = await lookout.look();
    assert.equal(sight.topology!.node, 'b');
    assert.deepEqual([...sight.readings.keys()].sort(), ['a', 'b', 'c']);
    assert.equal(sight.readings.get('c')!.operations, 4);
    assert.deepEqual(sight.problems, []);
    assert.equal(three.asked.length, 2);
  });

  test('goes on when the one it began with is gone, and says who does not answer', async () => {
    const [one, two] = (await open('a', 'b')) as [Door, Door];
    const lookout = lookoutAt(one.port);
    await lookout.look();
    await one.close();
    two.silent = true;
    const none = await lookout.look();
    assert.equal(none.topology, undefined);
    assert.match(none.problems.join('\n'), /nothing listens there\n.*no answer within 0\.3 s/);
    two.silent = false;
    const sight = await lookout.look();
    assert.equal(sight.topology!.node, 'b');
    assert.deepEqual([...sight.readings.keys()], ['b']);
  });

  test('what is no node is not believed', async () => {
    const nonsense = createServer((_, response) => response.end('<html>'));
    await new Promise<void>((done) => nonsense.listen(0, '127.0.0.1', done));
    const sight = await lookoutAt((nonsense.address() as AddressInfo).port).look();
    assert.equal(sight.topology, undefined);
    assert.match(sight.problems[0]!, /its answer is not JSON/);
    nonsense.closeAllConnections();
    await new Promise((done) => nonsense.close(done));
  });

  test('asks one that stays to let another go, with the password', async () => {
    const [one, two, three] = (await open('a', 'b', 'c')) as [Door, Door, Door];
    const lookout = lookoutAt(two.port, 'secret');
    await lookout.look();
    await one.close();
    for (const door of [two, three]) door.asked.length = 0;
    await lookout.leave('b');
    assert.deepEqual(two.asked, []);
    assert.deepEqual(three.asked, ['POST /v1/nodes/b/leave Bearer secret']);
    three.refusal = [409, '{"detail": "a change is under way"}'];
    await assert.rejects(lookout.leave('b'), /c \(127\.0\.0\.1:\d+\): a change is under way$/);
  });

  test('reads what a node of ours says', async () => {
    await withHttpApi(async ({ port, node }) => {
      const sight = await lookoutAt(port).look();
      assert.equal(sight.topology!.node, node.id);
      assert.equal(sight.readings.get(node.id)!.operations, 0);
      assert.ok(sight.readings.get(node.id)!.cpuSeconds! > 0);
      assert.ok(sight.readings.get(node.id)!.latency.length > 10);
    });
  });
});
