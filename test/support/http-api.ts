/** The HTTP door over a node in memory, for tests: started on a free port, with ways to ask it. */

import { connect } from 'node:net';
import { Histogram } from '../../src/base/histogram.ts';
import { emptySet } from '../../src/causality/version-set.ts';
import { HttpServer, type HttpServerOptions } from '../../src/http/http-server.ts';
import type { DoorView } from '../../src/http/metrics.ts';
import type { Log } from '../../src/ports/log.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { KIND_STRING } from '../../src/rows/row.ts';
import { type RowVersions, rowOfVersions } from '../../src/rows/siblings.ts';
import { FakeNode } from './fake-node.ts';

/** A RESP door at which nothing happened. */
function quietDoor(): DoorView {
  const none = { connectionsReceived: 0, connectionsRejected: 0, connectionsCut: 0, protocolErrors: 0 };
  const counts = { commands: 0, commandsRefused: 0, inputBytes: 0, outputBytes: 0 };
  return {
    connectionCount: 0,
    bufferedBytes: 0,
    statistics: { ...none, ...counts, latency: new Histogram() },
  };
}

export interface HttpApi {
  readonly node: FakeNode;
  readonly port: number;
  /** Events that were logged. */
  readonly logged: string[];
  /** A request to `path`. */
  ask(path: string, init?: RequestInit): Promise<Response>;
  /** Sends bytes as they are, and gives all that comes until the connection is closed. */
  raw(text: string | Uint8Array, timeoutMs?: number): Promise<string>;
}

/** Runs a test against a started door, and closes it. */
export async function withHttpApi(
  run: (api: HttpApi) => Promise<void>,
  options: Partial<HttpServerOptions> = {},
  node: FakeNode = new FakeNode(),
  drain: (graceMs: number) => Promise<number> = async () => 0,
): Promise<void> {
  const logged: string[] = [];
  const log: Log = { write: (_level, event, fields) => logged.push(`${event} ${JSON.stringify(fields)}`) };
  const sources = { node, door: quietDoor(), version: '1.2.3', fault: () => undefined, drain };
  const server = new HttpServer({ port: 0, ...options }, sources, log);
  const port = await server.listen();
  const raw = (text: string | Uint8Array, timeoutMs = 5000): Promise<string> =>
    new Promise((resolve) => {
      let received = '';
      const socket = connect(port, '127.0.0.1', () => socket.write(text));
      socket.setTimeout(timeoutMs, () => {
        received += '(silence)';
        socket.destroy();
      });
      socket.on('data', (chunk) => {
        received += chunk.toString('latin1');
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(received));
    });
  try {
    await run({
      node,
      port,
      logged,
      ask: (path, init) => fetch(`http://127.0.0.1:${port}${path}`, init),
      raw,
    });
  } finally {
    await server.close();
  }
}

/** Gives a key siblings: values, each with its time of expiry (0 never), the first the oldest. */
export function putSiblings(
  node: FakeNode,
  key: string,
  values: readonly (readonly [Uint8Array, number])[],
): void {
  const events = values.map((_, i) => ({ actor: i + 1, counter: 1, time: node.now - 1000 + i, logical: 0 }));
  const siblings = values.map(([value, expireAt], i) => {
    return { event: events[i]!, value: { kind: KIND_STRING, value, expireAt } };
  });
  const set: RowVersions = { ...emptySet(), vector: events, siblings };
  node.rows.set(key, rowOfVersions(rowKeyOf(key), set)!);
}
