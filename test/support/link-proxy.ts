/**
 * A proxy between a node and one peer, so that a test can cut, stall and heal the link between two
 * real processes: connections through it are dropped and refused while it is cut, and carry nothing
 * while it is stalled.
 */

import { connect, createServer, type Server, type Socket } from 'node:net';

export class LinkProxy {
  readonly #server: Server;
  readonly #pairs: Set<readonly [Socket, Socket]> = new Set();
  #target: { readonly host: string; readonly port: number };
  #cut = false;
  #stalled = false;

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async open(target: { readonly host: string; readonly port: number }): Promise<LinkProxy> {
    const proxy = new LinkProxy(target);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  retarget(port: number): void {
    this.#target = { ...this.#target, port };
  }

  cut(): void {
    this.#cut = true;
    this.#dropAll();
  }

  /** Bytes stop in both directions; connections stay, as on a link that swallows packets. */
  stall(): void {
    this.#stalled = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  /** Undoes `cut` and `stall`. */
  heal(): void {
    this.#cut = false;
    this.#stalled = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  async close(): Promise<void> {
    this.#dropAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #dropAll(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    this.#pairs.clear();
  }

  #accept(near: Socket): void {
    if (this.#cut) {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ ...this.#target, noDelay: true });
    near.setNoDelay(true);
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.pipe(to);
      if (this.#stalled) from.pause();
      from.on('error', () => {});
      from.on('close', () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
  }
}
