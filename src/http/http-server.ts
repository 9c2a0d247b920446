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
 * | `/v1/topology`, `/v1/nodes` | who the members are and what they own; changes of that            |
 * | `/v1/…`         | the data API, unless switched off                                             |
 * | `/openapi.json` | the data API as an OpenAPI document                                           |
 *
 * What supervisors and Prometheus ask is answered under any host name; the rest is guarded (`api/guard.ts`).
 */

import Fastify, { type FastifyInstance } from 'fastify';
import type { Log } from '../ports/log.ts';
import { memberState } from '../topology/member-state.ts';
import {
  addDataApi,
  DATA_API_LIMITS_DEFAULT,
  type DataApiLimits,
  type Methods,
  notThere,
  sendProblem,
} from './api/data-api.ts';
import { Guard, type PasswordCheck } from './api/guard.ts';
import { rewriteKeyUrl, splitUrl } from './api/key.ts';
import { Problem } from './api/problem.ts';
import { TIMEOUT_MS_MAX } from './api/schemas.ts';
import { BrokenInput } from './broken-input.ts';
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
  /** A request must have arrived within this, milliseconds; 10,000 if left out. */
  readonly arrivalMsMax?: number;
}

export interface HttpSources extends MetricsSources {
  /** Dure's own version. */
  readonly version: string;
  /** See `NodeProcess.drain`. */
  drain(graceMs: number): Promise<number>;
}

const bodyBytesMax = 16 * 1024;
/** A key stands in the address, and a causal context in a header. */
const headerBytesMax = 32 * 1024;
const arrivalMsMaxDefault = 10_000;
/** A connection without a request is kept open for so long. */
const keepAliveMs = 10_000;
/** `close` waits so long for the answers of what is under way, milliseconds. */
const closeWaitMs = 1000;
const closePollMs = 20;
/** A connection on which nothing moves is closed: not before the longest request is answered. */
const silenceMsMax = TIMEOUT_MS_MAX + 5_000;
/**
 * More are closed at once. There are more of these than requests that may be under way, so that it is a 503 which
 * tells a client that there are too many, and supervisors are still heard.
 */
const connectionsMax = 1024;

/** For whoever can reach the port, under any name. */
const openPages: ReadonlySet<string> = new Set(['/health/live', '/health/ready', '/metrics']);

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
      state: TEXT,
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
  readonly #broken: BrokenInput;

  constructor(options: HttpServerOptions, sources: HttpSources, log: Log) {
    this.#options = options;
    this.#sources = sources;
    this.#log = log;
    this.#metrics = new Metrics(sources);
    const arrivalMsMax = options.arrivalMsMax ?? arrivalMsMaxDefault;
    this.#broken = new BrokenInput({ headerBytesMax, arrivalMsMax });
    this.#app = Fastify({
      logger: false,
      bodyLimit: bodyBytesMax,
      connectionTimeout: silenceMsMax,
      requestTimeout: arrivalMsMax,
      keepAliveTimeout: keepAliveMs,
      forceCloseConnections: 'idle',
      http: {
        maxHeaderSize: headerBytesMax,
        headersTimeout: arrivalMsMax,
        // Node.js looks for what is late so often.
        connectionsCheckingInterval: Math.ceil(arrivalMsMax / 10),
        // `#checkSite` misses it in words.
        requireHostHeader: false,
      },
      rewriteUrl: ({ url = '/' }) => rewriteKeyUrl(url),
      frameworkErrors: (_error, request, reply) => {
        sendProblem(new Problem('invalid', 'the address cannot be understood'), request, reply, log);
      },
      clientErrorHandler: (error, socket) => this.#broken.refuse(error, socket),
    });
    const { server } = this.#app;
    server.maxConnections = connectionsMax;
    // The bytes of headers are bounded; a header beyond a number would be dropped, were it If-Match.
    server.maxHeadersCount = 0;
    this.#broken.attach(server);
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

  /** Stops to accept, lets requests under way be answered for up to a second, and closes what is left. */
  async close(): Promise<void> {
    this.#metrics.close();
    const { server } = this.#app;
    // A connection is idle from the end of its answer on, and nobody is told of that.
    const sweep = setInterval(() => server.closeIdleConnections(), closePollMs);
    const cut = setTimeout(() => server.closeAllConnections(), closeWaitMs);
    await this.#app.close();
    clearInterval(sweep);
    clearTimeout(cut);
  }

  /** The checks of every page, and the data API behind them. */
  #addGuard(): void {
    const { api = true, hosts = [], origins = [], password, limits } = this.#options;
    const { node, version } = this.#sources;
    const names = [this.#options.host ?? 'localhost', ...hosts];
    // Members come and go: each is called by the host that it is known by.
    const memberHosts = (): readonly string[] => node.members().map(({ host }) => host);
    const guard = new Guard({ hosts: names, memberHosts, origins, password });
    this.#app.addHook('onRequest', async ({ raw, routeOptions, originalUrl, headers }, reply) => {
      this.#broken.begin(raw, reply.raw);
      if (headers.host === undefined && raw.httpVersion !== '1.0') {
        throw new Problem('invalid', 'the header Host is missing; nothing was done');
      }
      const { url = '' } = routeOptions;
      if (!openPages.has(url)) guard.checkSite(headers, splitUrl(originalUrl).host);
      // It costs the whole cluster work. What only shows figures asks for no password; `/v1` asks by itself.
      if (url === '/repair') guard.checkPassword(headers);
    });
    addDataApi(this.#app, {
      node,
      data: api,
      guard,
      log: this.#log,
      version,
      secured: password !== undefined,
      limits: { ...DATA_API_LIMITS_DEFAULT, ...limits },
      drain: (graceMs) => this.#sources.drain(graceMs),
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
      epoch: node.topology.epoch,
      replicas: node.replicas,
      members: node.members().map((member) => ({
        ...member,
        state: memberState(node.topology, member.id),
        silenceMs: Math.round(member.silenceMs),
        replyP95Ms: Math.round(member.replyP95Ms * 1000) / 1000,
      })),
    }));
    app.get('/status', { schema: { response: { 200: STATUS_SCHEMA } } }, () => ({
      ...node.status(),
      version,
      fault: this.#sources.fault() ?? '',
    }));
    addRepair(app, node);
    app.setNotFoundHandler({}, (request, reply) =>
      sendProblem(notThere(methods, request), request, reply, this.#log),
    );
    app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply, this.#log));
  }
}

const readMethods = 'GET, HEAD';

/** Methods of the pages beside the data API. */
const methods: Methods = new Map([
  ...['/health/live', '/health/ready', '/metrics', '/members', '/status', '/openapi.json'].map(
    (path) => [path, readMethods] as const,
  ),
  ['/repair', 'POST'],
]);
