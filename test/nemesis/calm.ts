/**
 * A cluster of real processes without faults of networks or disks, as tests begin that do one thing to it: nodes, a
 * directory of its own, clients that are connected. Whoever opens it closes it, and everything of it is gone.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../support/wait.ts';
import { type Client, openClients } from './clients.ts';
import { NemesisCluster } from './cluster.ts';
import { closeHttp } from './http.ts';

export interface CalmOptions {
  /** Part of the name of the directory, which is removed in the end. */
  readonly name: string;
  readonly nodes: number;
  /** Nodes beside them that may join; none if left out. */
  readonly spares?: number;
  /** A directory that is kept, in place of one of its own. */
  readonly directory?: string | undefined;
}

export class CalmCluster {
  readonly cluster: NemesisCluster;
  readonly #end: () => void;
  readonly #clients: Client[] = [];

  private constructor(cluster: NemesisCluster, end: () => void) {
    this.cluster = cluster;
    this.#end = end;
  }

  /** Starts the nodes and waits until each serves and sees all others. */
  static async open({ name, nodes, spares = 0, directory }: CalmOptions): Promise<CalmCluster> {
    const own = directory ?? mkdtempSync(join(tmpdir(), `dure-${name}-`));
    const end = (): void => {
      if (directory === undefined) rmSync(own, { recursive: true, force: true, maxRetries: 3 });
    };
    try {
      const options = { smallDisks: [], links: false, strictPolicy: 'PC/EC' } as const;
      return new CalmCluster(await NemesisCluster.start({ nodes, spares, directory: own, ...options }), end);
    } catch (error) {
      end();
      throw error;
    }
  }

  /** RESP ports of the nodes that are there now. */
  get ports(): number[] {
    return this.cluster.nodes.map(({ respPort }) => respPort);
  }

  /** Clients to the nodes that are there now, once all are connected; they are closed with the cluster. */
  async clients(open: (ports: readonly number[]) => Client[] = openClients): Promise<readonly Client[]> {
    const clients = open(this.ports);
    this.#clients.push(...clients);
    await until(() => clients.every((client) => client.isUp()), 'every client is connected');
    return clients;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.cluster.close();
    closeHttp();
    this.#end();
  }
}
