/**
 * What the autoscaler shows of itself over HTTP: whether it still looks, its figures for Prometheus, and its log.
 *
 * | Path           | Answer                                                                    |
 * |----------------|---------------------------------------------------------------------------|
 * | `/health/live` | 200 while it looks; 503 when the last look was too long ago               |
 * | `/metrics`     | nodes, measures, decisions and deeds, Prometheus text format              |
 * | `/decisions`   | the log of decisions, newest last, as JSON                                |
 *
 * It only tells, and changes nothing, so it asks for no password; by default it listens on no port.
 */

import { createServer, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { Counter, Gauge, Registry } from 'prom-client';
import type { Decision, DecisionLog } from '../../autoscale/decision-log.ts';
import type { Deed } from './autoscaler.ts';
import { decisionJson } from './decision-lines.ts';

export interface PageOptions {
  readonly log: DecisionLog;
  /** It counts as dead when it has not looked for so long, milliseconds. */
  readonly silenceMsMax: number;
}

/** Where to listen. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[::1]:port` or `:port`. @throws Error in words for people */
export function listenAddressOf(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? (match?.[2] === '' ? '127.0.0.1' : match?.[2]);
  if (host === undefined || !(port <= 65_535) || (isIP(host) === 0 && host !== 'localhost')) {
    throw new Error(`expected an address and a port, such as 127.0.0.1:9371; found ${JSON.stringify(text)}`);
  }
  return { host, port };
}

export class AutoscalePage {
  readonly #options: PageOptions;
  readonly #registry: Registry = new Registry();
  readonly #nodes: Gauge;
  readonly #measures: Gauge<'measure' | 'of'>;
  readonly #decisions: Counter<'action'>;
  readonly #deeds: Counter<'action' | 'outcome'>;
  #lookedAt: number = performance.now();
  #server: Server | undefined;

  constructor(options: PageOptions) {
    this.#options = options;
    const registers = [this.#registry];
    this.#nodes = new Gauge({ name: 'dure_autoscale_nodes', help: 'Members at the last look', registers });
    this.#measures = new Gauge({
      name: 'dure_autoscale_measure',
      help: 'A measure of a node: its value, its target, their ratio, and the ratio with one node less',
      labelNames: ['measure', 'of'],
      registers,
    });
    this.#decisions = new Counter({
      name: 'dure_autoscale_decisions_total',
      help: 'Looks by what was decided',
      labelNames: ['action'],
      registers,
    });
    this.#deeds = new Counter({
      name: 'dure_autoscale_deeds_total',
      help: 'What was done: nodes asked for (add), asked to leave, and taken away (remove)',
      labelNames: ['action', 'outcome'],
      registers,
    });
  }

  /** It looked once more. */
  looked({ action, nodes, measures }: Decision): void {
    this.#lookedAt = performance.now();
    this.#nodes.set(nodes);
    this.#decisions.inc({ action });
    this.#measures.reset();
    for (const { name, value, target, ratio, ratioOneLess } of measures) {
      const figures = { value, target, ratio, ratioOneLess };
      for (const [of, figure] of Object.entries(figures)) {
        // What nobody knows is no sample, rather than a lie.
        if (!Number.isNaN(figure)) this.#measures.set({ measure: name, of }, figure);
      }
    }
  }

  done({ action, error }: Deed): void {
    this.#deeds.inc({ action, outcome: error === '' ? 'ok' : 'failed' });
  }

  /** @returns the port. @throws Error when it cannot be had */
  async listen({ host, port }: ListenAddress): Promise<number> {
    const server = createServer((request, response) => {
      this.#answer(request.url ?? '', response).catch(() => response.destroy());
    });
    this.#server = server;
    await new Promise<void>((done, fail) => {
      server.once('error', fail);
      server.listen({ host, port }, done);
    });
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }

  async #answer(path: string, response: ServerResponse): Promise<void> {
    if (path === '/health/live') {
      const sinceMs = Math.round(performance.now() - this.#lookedAt);
      const live = sinceMs <= this.#options.silenceMsMax;
      send(response, live ? 200 : 503, 'application/json', JSON.stringify({ live, sinceMs }));
    } else if (path === '/metrics') {
      send(response, 200, this.#registry.contentType, await this.#registry.metrics());
    } else if (path === '/decisions') {
      const decisions = this.#options.log.entries.map(decisionJson);
      send(response, 200, 'application/json', JSON.stringify({ decisions }));
    } else send(response, 404, 'text/plain', 'There are /health/live, /metrics and /decisions.\n');
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(body);
}
