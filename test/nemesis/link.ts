/**
 * A directed link between two nodes: a TCP proxy that one node dials to reach the other. Pipes between
 * nodes are simplex (decision 0004), so cutting the link from A to B takes away what A tells B, and
 * nothing of what B tells A.
 *
 * Cut by `reset`, connections end and new ones are refused. Cut by `silent`, nothing moves and nothing
 * ends, as when a switch swallows packets; healed, what was held arrives late, as TCP would send it again.
 * A slow link carries everything, later.
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
  #delayMs = 0;

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

  /** What is sent from now on arrives so much later, milliseconds; 0 for at once. Replies of TCP are not delayed. */
  delay(ms: number): void {
    this.#delayMs = ms;
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
    this.#carry(near, far, true);
    this.#carry(far, near, false);
    for (const socket of [near, far]) {
      socket.on('close', () => {
        near.destroy();
        far.destroy();
        this.#pairs.delete(pair);
      });
    }
  }

  #carry(from: Socket, to: Socket, isForward: boolean): void {
    // What was sent first is written first, whatever the timers do: each of them lets the next one go.
    const held: (() => void)[] = [];
    const pass = (write: () => void): void => {
      const delayMs = isForward ? this.#delayMs : 0;
      if (delayMs === 0 && held.length === 0) {
        write();
        return;
      }
      held.push(write);
      setTimeout(() => held.shift()?.(), delayMs);
    };
    from.on('data', (chunk) => {
      pass(() => {
        if (!to.destroyed && !to.write(chunk)) from.pause();
      });
    });
    to.on('drain', () => {
      if (this.#mode === 'open') from.resume();
    });
    from.on('end', () => pass(() => to.end()));
    from.resume();
  }
}
