/**
 * A directed link between two nodes: a TCP proxy that one node dials to reach the other. Pipes between
 * nodes are simplex (decision 0004), so cutting the link from A to B takes away what A tells B, and
 * nothing of what B tells A.
 *
 * Cut by `reset`, connections end and new ones are refused. Cut by `silent`, nothing moves and nothing
 * ends, as when a switch swallows packets; healed, what was held arrives late, as TCP would send it again.
 */

import { connect, createServer, type Server, type Socket } from 'node:net';
import type { CutMode } from './plan.ts';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

export class Link {
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #pairs: Set<Pair> = new Set();
  /** Accepted while silent: they hang. */
  readonly #hanging: Set<Socket> = new Set();
  #mode: CutMode | 'open' = 'open';

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  /** Opens a link to a port of loopback. */
  static async open(targetPort: number): Promise<Link> {
    const link = new Link(targetPort);
    await new Promise<void>((resolve, reject) => {
      link.#server.once('error', reject);
      link.#server.listen(0, '127.0.0.1', resolve);
    });
    return link;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  cut(mode: CutMode): void {
    this.#mode = mode;
    if (mode === 'reset') this.#dropAll();
    else for (const { near, far } of this.#pairs) for (const socket of [near, far]) socket.pause();
  }

  heal(): void {
    this.#mode = 'open';
    for (const { near, far } of this.#pairs) for (const socket of [near, far]) socket.resume();
    for (const socket of this.#hanging) this.#join(socket);
    this.#hanging.clear();
  }

  async close(): Promise<void> {
    this.#dropAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #dropAll(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
    for (const socket of this.#hanging) socket.destroy();
    this.#pairs.clear();
    this.#hanging.clear();
  }

  #accept(near: Socket): void {
    near.on('error', () => {});
    if (this.#mode === 'reset') near.resetAndDestroy();
    else if (this.#mode === 'open') this.#join(near);
    else {
      near.pause();
      this.#hanging.add(near);
      near.once('close', () => this.#hanging.delete(near));
    }
  }

  #join(near: Socket): void {
    const far = connect({ port: this.#targetPort, host: '127.0.0.1', noDelay: true });
    const pair = { near, far };
    this.#pairs.add(pair);
    far.on('error', () => {});
    this.#carry(near, far);
    this.#carry(far, near);
    for (const socket of [near, far]) {
      socket.on('close', () => {
        near.destroy();
        far.destroy();
        this.#pairs.delete(pair);
      });
    }
  }

  #carry(from: Socket, to: Socket): void {
    from.on('data', (chunk) => {
      if (!to.write(chunk)) from.pause();
    });
    to.on('drain', () => {
      if (this.#mode === 'open') from.resume();
    });
    from.on('end', () => to.end());
    from.resume();
  }
}
