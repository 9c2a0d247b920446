/**
 * The HTTP door: the data API for programs (`api/`), health for supervisors, metrics for Prometheus, members for
 * people. It listens on loopback unless told otherwise.
 *
 * | Path            | Answer                                                                        |
 * |-----------------|-------------------------------------------------------------------------------|
 * | `/health/live`  | 200 while the process answers                                                 |
 * | `/health/ready` | 200 if the node can serve, else 503, with the reasons                         |
 * | `/metrics`      | counters and gauges, Prometheus text format                                   |
 * | `/members`      | the members as this node sees them                                            |
 * | `/status`       | everything an operator asks of the node, judged; `dure status` shows it       |
 * | `POST /repair`  | compares replicas and exchanges what differs; `dure repair` shows how far     |
 * | `/v1/…`         | the data API, unless switched off                                             |
 * | `/openapi.json` | the data API as an OpenAPI document                                           |
 *
 * What supervisors and Prometheus ask is answered under any host name; the rest is guarded (`api/guard.ts`).
 */

import type { Socket } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Log } from '../ports/log.ts';
import { addDataApi, DATA_API_LIMITS_DEFAULT, type DataApiLimits, sendProblem } from './api/data-api.ts';
import { Guard, type PasswordCheck } from './api/guard.ts';
import { rewriteKeyUrl } from './api/key.ts';
import { PROBLEM_TYPE, Problem, type ProblemCode, problemBody } from './api/problem.ts';
import { TIMEOUT_MS_MAX } from './api/schemas.ts';
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
  /** The data API is served; true if left out. */
  readonly api?: boolean;
  /** See `GuardOptions`; none if left out. */
  readonly hosts?: readonly string[];
  readonly origins?: readonly string[];
  /** The data API asks for it. */
  readonly password?: PasswordCheck | undefined;
  readonly limits?: Partial<DataApiLimits>;
}

export interface HttpSources extends MetricsSources {
  /** Dure's own version. */
  readonly version: string;
}

const bodyBytesMax = 16 * 1024;
/** A key stands in the address, and a causal context in a header. */
const headerBytesMax = 32 * 1024;
/** A request must have arrived within this. */
const timeoutMs = 10_000;
/** A connection on which nothing moves is closed: not before the longest request is answered. */
const silenceMsMax = TIMEOUT_MS_MAX + 5_000;
/** Node.js looks for what is late so often. */
const lateEveryMs = 1000;
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
      connectionTimeout: silenceMsMax,
      requestTimeout: timeoutMs,
      keepAliveTimeout: timeoutMs,
      forceCloseConnections: true,
      http: {
        maxHeaderSize: headerBytesMax,
        headersTimeout: timeoutMs,
        requestTimeout: timeoutMs,
        connectionsCheckingInterval: lateEveryMs,
      },
      rewriteUrl: ({ url = '/' }) => rewriteKeyUrl(url),
      frameworkErrors: (_error, request, reply) => {
        sendProblem(new Problem('invalid', 'the address cannot be understood'), request, reply, log);
      },
      clientErrorHandler: (error, socket) => closeOnError(error, socket),
    });
    this.#app.server.maxConnections = connectionsMax;
    this.#addGuard();
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

  /** The checks of every page, and the data API behind them. */
  #addGuard(): void {
    const { api = true, hosts = [], origins = [], password, limits } = this.#options;
    const { node, version } = this.#sources;
    const names = [this.#options.host ?? 'localhost', ...node.members().map(({ host }) => host), ...hosts];
    const guard = new Guard({ hosts: names, origins, password });
    this.#app.addHook('onRequest', async ({ url, headers }) => {
      if (!url.startsWith('/health/') && !url.startsWith('/metrics')) guard.checkSite(headers);
    });
    if (!api) return;
    addDataApi(this.#app, {
      node,
      guard,
      log: this.#log,
      version,
      secured: password !== undefined,
      limits: { ...DATA_API_LIMITS_DEFAULT, ...limits },
    });
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
      if (error instanceof Problem) return sendProblem(error, request, reply, this.#log);
      const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
      const message = error instanceof Error ? error.message : String(error);
      if (status >= 500)
        this.#log.write('error', 'http-request-failed', { url: request.url, error: message });
      return reply.code(status).send({ error: message });
    });
  }
}

/** What came is no HTTP, too large or too slow: says so, as far as that can be read, and closes. */
function closeOnError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const codes: Readonly<Record<string, ProblemCode>> = {
    HPE_HEADER_OVERFLOW: 'headers-too-large',
    ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  };
  const code = codes[error.code ?? ''] ?? 'invalid';
  const words: Partial<Record<ProblemCode, string>> = {
    'headers-too-large': `address and headers are larger than ${headerBytesMax} bytes; nothing was done`,
    'request-timeout': `the request did not arrive within ${timeoutMs} ms; nothing was done`,
  };
  const message = words[code] ?? 'this is not a request in HTTP/1.1; nothing was done';
  const body = problemBody({ code, outcome: 'fail', message }, false);
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${body.status} ${body.title}\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${text.length}\r\n` +
      `Connection: close\r\n\r\n${text}`,
  );
}
