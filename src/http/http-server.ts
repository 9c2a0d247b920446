/**
 * The HTTP door: health for supervisors, metrics for Prometheus, members for people. Small on purpose:
 * it changes nothing but what repair makes equal, and listens on loopback unless told otherwise.
 *
 * | Path            | Answer                                                                        |
 * |-----------------|-------------------------------------------------------------------------------|
 * | `/health/live`  | 200 while the process answers                                                 |
 * | `/health/ready` | 200 if the node can serve, else 503, with the reasons                         |
 * | `/metrics`      | counters and gauges, Prometheus text format                                   |
 * | `/members`      | the members as this node sees them                                            |
 * | `/status`       | everything an operator asks of the node, judged; `dure status` shows it       |
 * | `POST /repair`  | compares replicas and exchanges what differs; `dure repair` shows how far     |
 */

import Fastify, { type FastifyInstance } from 'fastify';
import type { Log } from '../ports/log.ts';
import { readinessOf } from './health.ts';
import { Metrics, type MetricsSources } from './metrics.ts';
import { addRepair } from './repair.ts';
import { FLAG, listSchema, NUMBER, objectSchema, TEXT, WHOLE } from './schema.ts';
import { STATUS_SCHEMA } from './status.ts';

export interface HttpServerOptions {
  /** 127.0.0.1 if left out. */
  readonly host?: string;
  /** 0 for any free port. */
  readonly port: number;
}

export interface HttpSources extends MetricsSources {
  /** Dure's own version. */
  readonly version: string;
}

const bodyBytesMax = 16 * 1024;
const headerBytesMax = 16 * 1024;
const timeoutMs = 10_000;
const connectionsMax = 256;

const liveSchema = objectSchema({ live: FLAG, node: TEXT, version: TEXT });

const readinessSchema = objectSchema({
  ready: FLAG,
  problems: listSchema(TEXT),
  membersLive: WHOLE,
  members: WHOLE,
  partitions: WHOLE,
  partitionsWithoutQuorum: WHOLE,
});

const membersSchema = objectSchema({
  node: TEXT,
  cluster: TEXT,
  epoch: WHOLE,
  replicas: WHOLE,
  members: {
    type: 'array',
    items: objectSchema({
      id: TEXT,
      host: TEXT,
      respPort: WHOLE,
      peerPort: WHOLE,
      httpPort: WHOLE,
      zone: TEXT,
      weight: NUMBER,
      live: FLAG,
      silenceMs: NUMBER,
      replyP95Ms: NUMBER,
    }),
  },
});

export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #sources: HttpSources;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #app: FastifyInstance;

  constructor(options: HttpServerOptions, sources: HttpSources, log: Log) {
    this.#options = options;
    this.#sources = sources;
    this.#log = log;
    this.#metrics = new Metrics(sources);
    this.#app = Fastify({
      logger: false,
      bodyLimit: bodyBytesMax,
      connectionTimeout: timeoutMs,
      requestTimeout: timeoutMs,
      keepAliveTimeout: timeoutMs,
      forceCloseConnections: true,
      http: { maxHeaderSize: headerBytesMax },
    });
    this.#app.server.maxConnections = connectionsMax;
    this.#routes();
  }

  /** Starts to accept; gives the port. Rejects with the error of the system, such as EADDRINUSE. */
  async listen(): Promise<number> {
    const { host = '127.0.0.1', port } = this.#options;
    await this.#app.listen({ host, port });
    const address = this.#app.server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  /** Stops to accept and closes all connections. */
  async close(): Promise<void> {
    this.#metrics.close();
    await this.#app.close();
  }

  #routes(): void {
    const app = this.#app;
    const { node, version } = this.#sources;
    app.get('/health/live', { schema: { response: { 200: liveSchema } } }, () => {
      return { live: true, node: node.id, version };
    });
    app.get(
      '/health/ready',
      { schema: { response: { 200: readinessSchema, 503: readinessSchema } } },
      (_request, reply) => {
        const readiness = readinessOf(node, this.#sources.fault());
        reply.code(readiness.ready ? 200 : 503).send(readiness);
      },
    );
    app.get('/metrics', async (_request, reply) => {
      const page = await this.#metrics.page();
      return reply.type(this.#metrics.registry.contentType).send(page);
    });
    app.get('/members', { schema: { response: { 200: membersSchema } } }, () => ({
      node: node.id,
      cluster: node.clusterName,
      epoch: node.table.epoch,
      replicas: node.replicas,
      members: node.members(),
    }));
    app.get('/status', { schema: { response: { 200: STATUS_SCHEMA } } }, () => ({
      ...node.status(),
      version,
      fault: this.#sources.fault() ?? '',
    }));
    addRepair(app, node);
    app.setNotFoundHandler({}, (request, reply) => {
      reply.code(404).send({ error: `no such page: ${request.method} ${request.url}` });
    });
    app.setErrorHandler((error, request, reply) => {
      const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
      const message = error instanceof Error ? error.message : String(error);
      if (status >= 500)
        this.#log.write('error', 'http-request-failed', { url: request.url, error: message });
      reply.code(status).send({ error: message });
    });
  }
}
