/**
 * Nodes that are nothing but a script: servers on loopback that speak RESP3, share one map of values, and do
 * to each command what the test says. For tests of the client.
 *
 * The picture: a play in which the test whispers. A node asks the script first; what the script leaves to it
 * the node does as Dure does, siblings included: a blind `SET` of a key in `siblingKeys` adds a value, one
 * with a context replaces those that the context has seen.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { ByteWriter, byteString, bytesOf } from '../../src/base/bytes.ts';
import { encodeReply } from '../../src/resp/encoder.ts';
import { RequestParser } from '../../src/resp/parser.ts';
import { ErrorReply, MapReply, OK, PONG, type RespValue } from '../../src/resp/value.ts';

/** A reply, or something that is none: the connection is closed, or no answer ever comes. */
export type FakeAnswer = RespValue | 'default' | 'close' | 'silence' | { readonly afterMs: number };

export type Script = (words: readonly string[], node: FakeNode) => FakeAnswer;

interface Version {
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** The nodes of a cluster and what they store. */
export class FakeNodes {
  readonly nodes: FakeNode[] = [];
  readonly values: Map<string, Version[]> = new Map();
  /** Keys of which blind writes make siblings. */
  readonly siblingKeys: Set<string> = new Set();
  script: Script = () => 'default';
  /** Ranges of slots, and the indices of the nodes that serve them. */
  slots: { from: number; to: number; nodes: number[] }[];
  #id = 0;

  private constructor(count: number) {
    const share = 16384 / count;
    this.slots = Array.from({ length: count }, (_, i) => ({
      from: Math.ceil(i * share),
      to: Math.ceil((i + 1) * share) - 1,
      nodes: [i],
    }));
  }

  static async start(count: number): Promise<FakeNodes> {
    const cluster = new FakeNodes(count);
    for (let i = 0; i < count; i++) {
      const node = new FakeNode(cluster, i);
      cluster.nodes.push(node);
      await node.listen(0);
    }
    return cluster;
  }

  get addresses(): string[] {
    return this.nodes.map(({ address }) => address);
  }

  /** How often a command came to any node. */
  count(name: string): number {
    return this.nodes.reduce((sum, node) => sum + node.seen.filter((words) => words[0] === name).length, 0);
  }

  set(key: string, bytes: Uint8Array, replaced: (version: Version) => boolean): void {
    const kept = (this.values.get(key) ?? []).filter((version) => !replaced(version));
    this.values.set(key, [...kept, { id: ++this.#id, bytes }]);
  }

  get lastId(): number {
    return this.#id;
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
  }
}

export class FakeNode {
  readonly index: number;
  port = 0;
  /** All commands that came, as words. */
  readonly seen: string[][] = [];
  /** Chunks of bytes that came: how many writes the client made, about. */
  chunks = 0;
  readonly #cluster: FakeNodes;
  readonly #sockets: Set<Socket> = new Set();
  #server: Server | undefined;

  constructor(cluster: FakeNodes, index: number) {
    this.#cluster = cluster;
    this.index = index;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Listens on a port: 0 for any, or the one it had before. */
  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const server = createServer((socket) => this.#serve(socket));
      this.#server = server;
      server.once('error', reject);
      server.listen({ port, host: '127.0.0.1' }, () => {
        this.port = (server.address() as { port: number }).port;
        resolve();
      });
    });
  }

  /** Closes all connections and listens no more, as a killed process would. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  /** Breaks all connections, and goes on listening. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    const parser = new RequestParser();
    let turn = Promise.resolve();
    socket.on('data', (chunk) => {
      this.chunks += 1;
      parser.push(chunk);
      for (let args = parser.next(); args !== undefined; args = parser.next()) {
        const copies = args.map((arg) => arg.slice());
        const words = copies.map((arg) => byteString(arg));
        this.seen.push(words);
        const answer = this.#cluster.script(words, this);
        // In order, however late: a reply waits for those before it.
        turn = turn.then(() => this.#answer(socket, words, copies, answer));
      }
    });
  }

  async #answer(
    socket: Socket,
    words: string[],
    args: readonly Uint8Array[],
    answer: FakeAnswer,
  ): Promise<void> {
    if (answer === 'silence') return;
    if (answer === 'close') {
      socket.destroy();
      return;
    }
    let reply = answer as RespValue;
    if (answer !== null && typeof answer === 'object' && 'afterMs' in answer) {
      await new Promise((resolve) => setTimeout(resolve, answer.afterMs));
      reply = this.#default(words, args);
    } else if (answer === 'default') reply = this.#default(words, args);
    const writer = new ByteWriter();
    encodeReply(writer, reply, 3);
    socket.write(writer.take());
  }

  #default(words: string[], args: readonly Uint8Array[]): RespValue {
    if (words[0] === 'DURE.WITH') {
      const at = words.indexOf('DO') + 1;
      return this.#default(words.slice(at), args.slice(at));
    }
    const key = words[1] ?? '';
    const versions = this.#cluster.values.get(key) ?? [];
    switch (words[0]) {
      case 'HELLO':
        return new MapReply([['proto', 3]]);
      case 'PING':
        return PONG;
      case 'DURE.CONSISTENCY':
        return OK;
      case 'CLUSTER':
        return this.#cluster.slots.map(({ from, to, nodes }) => [
          from,
          to,
          ...nodes.map((index) => ['127.0.0.1', this.#cluster.nodes[index]!.port, 'id', []]),
        ]);
      case 'GET':
        if (versions.length > 1) return new ErrorReply('SIBLINGS', `the key has ${versions.length} siblings`);
        return versions[0]?.bytes ?? null;
      case 'DURE.GET':
        return new MapReply([
          ['context', bytesOf(String(this.#cluster.lastId))],
          ['values', versions.map(({ bytes }) => bytes)],
        ]);
      case 'SET':
      case 'DURE.SET': {
        const seen =
          words[3] === 'CONTEXT' ? Number(words[4]) : this.#cluster.siblingKeys.has(key) ? 0 : Infinity;
        this.#cluster.set(key, args[2]!, ({ id }) => id <= seen);
        return OK;
      }
      case 'DEL':
      case 'DURE.DEL':
        this.#cluster.values.delete(key);
        return versions.length > 0 ? 1 : 0;
      case 'SCAN':
        return this.#scan(words);
      default:
        return new ErrorReply('ERR', `unknown command '${words[0]}'`);
    }
  }

  /** Pages of `COUNT` keys; the pattern is a prefix with backslashes and a star. */
  #scan(words: string[]): RespValue {
    const prefix = words[3]!.slice(0, -1).replace(/\\(.)/g, '$1');
    const from = Number(words[1]);
    const to = from + Number(words[5]);
    const keys = [...this.#cluster.values.keys()];
    const found = keys.slice(from, to).filter((key) => key.startsWith(prefix));
    return [to >= keys.length ? '0' : String(to), found.map((key) => bytesOf(key))];
  }
}
