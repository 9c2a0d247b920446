/**
 * The metrics page: what the node and the process count, in the words of Prometheus.
 *
 * Nothing is counted here. The node, the storage and the RESP door keep plain numbers as they work; a
 * scrape reads them. So metrics cost nothing while nobody looks. Names follow Prometheus' rules: base
 * units (seconds, bytes), `_total` for what only rises.
 */

import {
  Counter,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValueWithName,
  Registry,
} from 'prom-client';
import type { MemberView, NodeApi, NodeFigures } from '../node/api.ts';
import type { MoveFigures } from '../node/move-figures.ts';
import { SIBLING_BOUNDS } from '../node/sibling-watch.ts';
import type { NodeStatus } from '../node/status.ts';
import { EventLoopWatch } from './event-loop.ts';
import { type Readiness, readinessOf } from './health.ts';
import { STATUS_METRICS, type StatusMetric } from './status-metrics.ts';

/** What is taken from a histogram of microseconds. */
export interface LatencyView {
  readonly total: number;
  readonly sum: number;
  countUpTo(microseconds: number): number;
}

/** What is taken from the RESP door; `RespServer` has it. */
export interface DoorView {
  readonly connectionCount: number;
  readonly bufferedBytes: number;
  readonly statistics: {
    readonly connectionsReceived: number;
    readonly connectionsRejected: number;
    readonly connectionsCut: number;
    readonly protocolErrors: number;
    readonly commands: number;
    readonly commandsRefused: number;
    readonly inputBytes: number;
    readonly outputBytes: number;
    readonly latency: LatencyView;
  };
}

export interface MetricsSources {
  readonly node: NodeApi;
  readonly door: DoorView;
  /** Why the node cannot serve, or undefined. */
  fault(): string | undefined;
}

type Read<T> = readonly [name: string, help: string, read: (from: T) => number];

const nodeCounters: readonly Read<NodeFigures>[] = [
  ['dure_reads_total', 'Reads this node coordinated', (f) => f.reads],
  [
    'dure_reads_shared_total',
    'Reads that were answered by another equal read under way',
    (f) => f.readsShared,
  ],
  ['dure_writes_total', 'Writes this node coordinated', (f) => f.writes],
  ['dure_updates_total', 'Read-modify-writes this node coordinated', (f) => f.updates],
  ['dure_forwards_total', 'Requests sent on to a replica', (f) => f.forwards],
  ['dure_hedges_total', 'Extra requests sent because a replica was slow', (f) => f.hedges],
  ['dure_repairs_blocking_total', 'Read repairs made before the answer', (f) => f.repairsBlocking],
  ['dure_repairs_after_total', 'Read repairs made after the answer', (f) => f.repairsAfter],
  ['dure_failures_quorum_total', 'Requests failed for want of a quorum', (f) => f.failuresQuorum],
  ['dure_failures_deadline_total', 'Requests failed at their deadline', (f) => f.failuresDeadline],
  ['dure_failures_overload_total', 'Requests refused because of overload', (f) => f.failuresOverload],
  ['dure_frames_damaged_total', 'Frames of peers that failed their check', (f) => f.framesDamaged],
  ['dure_frames_late_total', 'Frames of peers that came twice or behind later ones', (f) => f.framesLate],
  ['dure_rows_damaged_total', 'Stored rows that failed their check', (f) => f.rowsDamaged],
  ['dure_rows_refused_clock_total', 'Rows refused for a stamp too far ahead', (f) => f.rowsRefusedClock],
  ['dure_frames_sent_total', 'Frames sent to peers', (f) => f.framesSent],
  ['dure_messages_sent_total', 'Messages sent to peers', (f) => f.messagesSent],
  [
    'dure_repair_rows_dropped_total',
    'Rows deleted because they were collected elsewhere',
    (f) => f.repairRowsDropped,
  ],
  ['dure_repair_rows_read_total', 'Rows read from storage to compare', (f) => f.repairRowsRead],
  ['dure_repair_row_bytes_total', 'Bytes of rows exchanged by anti-entropy', (f) => f.repairRowBytes],
  ['dure_repair_metadata_bytes_total', 'Bytes of comparisons, without rows', (f) => f.repairMetadataBytes],
  [
    'dure_repair_rounds_total',
    'Rounds of comparisons completed, counted for each peer',
    (f) => f.repairRounds,
  ],
  ['dure_repair_failures_total', 'Comparisons that broke off', (f) => f.repairFailures],
  ['dure_repair_seconds_total', 'Time spent on comparisons', (f) => f.repairTimeMs / 1000],
  ['dure_storage_evictions_total', 'Rows evicted by a memory engine', (f) => f.storage.evictions],
  ['dure_storage_commits_total', 'Batches committed', (f) => f.storage.commits],
  ['dure_storage_syncs_total', 'Batches synced to stable storage', (f) => f.storage.syncs],
];

const nodeGauges: readonly Read<NodeFigures>[] = [
  ['dure_requests_in_flight', 'Requests this node coordinates now', (f) => f.requestsInFlight],
  [
    'dure_writes_unsettled',
    'Writes that are answered and wait for their slowest replicas',
    (f) => f.writesUnsettled,
  ],
  ['dure_storage_memory_bytes', 'Bytes the storage engine holds in memory', (f) => f.storage.bytesMemory],
  ['dure_storage_disk_bytes', 'Bytes the storage engine holds on disk', (f) => f.storage.bytesDisk],
];

const moveCounters: readonly Read<MoveFigures>[] = [
  [
    'dure_moved_rows_total',
    'Rows that were fetched because this node became their owner',
    (m) => m.rowsTotal,
  ],
  ['dure_moved_bytes_total', 'Bytes of these rows and their keys', (m) => m.bytesTotal],
  [
    'dure_partitions_cleaned_total',
    'Partitions of others that were dropped here once their owners proved to hold all',
    (m) => m.partitionsCleaned,
  ],
];

const doorCounters: readonly Read<DoorView>[] = [
  ['dure_resp_commands_total', 'Commands received', (d) => d.statistics.commands],
  [
    'dure_resp_commands_refused_total',
    'Commands refused for buffered bytes',
    (d) => d.statistics.commandsRefused,
  ],
  ['dure_resp_connections_total', 'Connections received', (d) => d.statistics.connectionsReceived],
  [
    'dure_resp_connections_rejected_total',
    'Connections over the maximum',
    (d) => d.statistics.connectionsRejected,
  ],
  ['dure_resp_connections_cut_total', 'Connections closed by a limit', (d) => d.statistics.connectionsCut],
  [
    'dure_resp_protocol_errors_total',
    'Connections that broke the protocol',
    (d) => d.statistics.protocolErrors,
  ],
  ['dure_resp_input_bytes_total', 'Bytes received from clients', (d) => d.statistics.inputBytes],
  ['dure_resp_output_bytes_total', 'Bytes sent to clients', (d) => d.statistics.outputBytes],
];

const doorGauges: readonly Read<DoorView>[] = [
  ['dure_resp_connections', 'Connections open', (d) => d.connectionCount],
  ['dure_resp_buffered_bytes', 'Bytes buffered for clients', (d) => d.bufferedBytes],
];

const memberGauges: readonly Read<MemberView>[] = [
  ['dure_peer_live', 'Whether requests are sent to the member', (m) => (m.live ? 1 : 0)],
  ['dure_peer_silence_seconds', 'Time since something was heard of the member', (m) => m.silenceMs / 1000],
  ['dure_peer_reply_p95_seconds', "Estimated p95 of the member's reply time", (m) => m.replyP95Ms / 1000],
];

/** Upper bounds of the latency buckets, microseconds. */
const latencyBounds = [
  50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
  5_000_000,
];
const perSecond = 1e6;

/** The registry of one node. `close` must be called in the end. */
export class Metrics {
  readonly registry: Registry = new Registry();
  readonly #sources: MetricsSources;
  readonly #eventLoop: EventLoopWatch = new EventLoopWatch();
  /** As of the scrape under way. */
  #figures: NodeFigures;
  #readiness: Readiness;
  #status: NodeStatus;

  constructor(sources: MetricsSources) {
    this.#sources = sources;
    const { node, door } = sources;
    this.#figures = node.figures();
    this.#readiness = readinessOf(node, undefined);
    this.#status = node.status();
    for (const [name, help, read] of nodeCounters) this.#counter(name, help, () => read(this.#figures));
    for (const [name, help, read] of nodeGauges) this.#gauge(name, help, () => read(this.#figures));
    for (const [name, help, read] of moveCounters) this.#counter(name, help, () => read(node.moves()));
    for (const [name, help, read] of doorCounters) this.#counter(name, help, () => read(door));
    for (const [name, help, read] of doorGauges) this.#gauge(name, help, () => read(door));
    for (const [name, help, read] of memberGauges) this.#memberGauge(name, help, read);
    for (const metric of STATUS_METRICS) this.#statusMetric(metric);
    this.registry.registerMetric(new LatencyHistogram(door.statistics.latency));
    this.registry.registerMetric(new SiblingsHistogram(() => this.#status));
    this.#gauge('dure_ready', 'Whether the node can serve', () => (this.#readiness.ready ? 1 : 0));
    this.#gauge('dure_partitions_without_quorum', 'Partitions without a reachable quorum', () => {
      return this.#readiness.partitionsWithoutQuorum;
    });
    this.#processMetrics();
  }

  /** The page. */
  async page(): Promise<string> {
    const { node } = this.#sources;
    this.#figures = node.figures();
    this.#readiness = readinessOf(node, this.#sources.fault());
    this.#status = node.status();
    return await this.registry.metrics();
  }

  /** Stops measuring the event loop. */
  close(): void {
    this.#eventLoop.close();
  }

  #processMetrics(): void {
    this.#counter(
      'process_cpu_user_seconds_total',
      'User CPU time',
      () => process.cpuUsage().user / perSecond,
    );
    this.#counter(
      'process_cpu_system_seconds_total',
      'System CPU time',
      () => process.cpuUsage().system / perSecond,
    );
    this.#gauge('process_resident_memory_bytes', 'Resident memory', () => process.memoryUsage.rss());
    this.#gauge('process_uptime_seconds', 'Time since the process started', () => process.uptime());
    this.#gauge('nodejs_heap_used_bytes', 'Heap used', () => process.memoryUsage().heapUsed);
    this.#gauge(
      'nodejs_external_memory_bytes',
      'Memory outside the heap',
      () => process.memoryUsage().external,
    );
    const eventLoop = this.#eventLoop;
    new Gauge({
      name: 'nodejs_eventloop_utilization',
      help: 'Share of time the event loop was busy since the last scrape, over a second at least',
      registers: [this.registry],
      collect() {
        const figures = eventLoop.look();
        if (figures === undefined) this.remove();
        else this.set(figures.utilization);
      },
    });
    new Gauge({
      name: 'nodejs_eventloop_delay_seconds',
      help: 'How late timers ran since the last scrape, over a second at least',
      labelNames: ['quantile'],
      registers: [this.registry],
      collect() {
        const [median, p99, most] = eventLoop.look()?.delays ?? [];
        if (median === undefined || p99 === undefined || most === undefined) return;
        this.set({ quantile: '0.5' }, median);
        this.set({ quantile: '0.99' }, p99);
        this.set({ quantile: '1' }, most);
      },
    });
    new Gauge({
      name: 'dure_info',
      help: 'Which node this is; always 1',
      labelNames: ['node', 'cluster', 'epoch'],
      registers: [this.registry],
    }).set(
      {
        node: this.#sources.node.id,
        cluster: this.#sources.node.clusterName,
        epoch: `${this.#sources.node.topology.epoch}`,
      },
      1,
    );
  }

  #counter(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  #statusMetric({ name, help, kind, labels, samples }: StatusMetric): void {
    const read = (): ReturnType<StatusMetric['samples']> => samples(this.#status);
    const registers = [this.registry];
    if (kind === 'counter') {
      this.#counter(name, help, () => read()[0]?.[1] ?? 0);
      return;
    }
    new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers,
      collect() {
        this.reset();
        // Without labels a reset leaves a zero, which would be a lie where there is nothing.
        if (labels.length === 0) this.remove();
        for (const [of, value] of read()) this.set(of, value);
      },
    });
  }

  #memberGauge(name: string, help: string, read: (member: MemberView) => number): void {
    const { node } = this.#sources;
    new Gauge({
      name,
      help,
      labelNames: ['peer'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const member of node.members())
          if (member.id !== node.id) this.set({ peer: member.id }, read(member));
      },
    });
  }
}

const latencyName = 'dure_resp_latency_seconds';
const latencyHelp = 'Time from the arrival of a command to the writing of its reply';
const siblingsName = 'dure_siblings_values';
const siblingsHelp = 'Values a key of siblings had, at each read and update of one';

type Shown = MetricObjectWithValues<MetricValueWithName<string>>;

/** What a histogram that is kept elsewhere shows. */
interface Strokes {
  /** How many are at most as large as each bound, in the order of the bounds. */
  readonly upTo: readonly (readonly [bound: number, count: number])[];
  readonly total: number;
  readonly sum: number;
}

/** Shows a histogram that is kept elsewhere, in buckets of our own. */
abstract class KeptHistogram extends Histogram {
  /** Has the name and the type, and no values. */
  readonly #empty: Histogram;
  readonly #name: string;

  constructor(name: string, help: string) {
    super({ name, help, registers: [] });
    this.#name = name;
    this.#empty = new Histogram({ name, help, registers: [] });
  }

  /** Undefined shows nothing. */
  protected abstract strokes(): Strokes | undefined;

  override async get(): Promise<Shown> {
    const name = this.#name;
    const strokes = this.strokes();
    const values: MetricValueWithName<string>[] = [];
    if (strokes !== undefined) {
      const { upTo, total, sum } = strokes;
      for (const [le, value] of upTo) values.push({ metricName: `${name}_bucket`, labels: { le }, value });
      values.push(
        { metricName: `${name}_bucket`, labels: { le: '+Inf' }, value: total },
        { metricName: `${name}_sum`, labels: {}, value: sum },
        { metricName: `${name}_count`, labels: {}, value: total },
      );
    }
    return { ...(await this.#empty.get()), values };
  }

  /** What the registry asks instead of `get` where it is there. */
  getForPromString(): Promise<Shown> {
    return this.get();
  }
}

class LatencyHistogram extends KeptHistogram {
  readonly #latency: LatencyView;

  constructor(latency: LatencyView) {
    super(latencyName, latencyHelp);
    this.#latency = latency;
  }

  protected override strokes(): Strokes {
    const latency = this.#latency;
    const upTo = latencyBounds.map((bound) => [bound / perSecond, latency.countUpTo(bound)] as const);
    return { upTo, total: latency.total, sum: latency.sum / perSecond };
  }
}

class SiblingsHistogram extends KeptHistogram {
  readonly #status: () => NodeStatus;

  constructor(status: () => NodeStatus) {
    super(siblingsName, siblingsHelp);
    this.#status = status;
  }

  protected override strokes(): Strokes | undefined {
    const { siblings } = this.#status();
    if (siblings === undefined) return undefined;
    let total = 0;
    const counts = siblings.readsByValues.map((count) => {
      total += count;
      return total;
    });
    const upTo = SIBLING_BOUNDS.map((bound, i) => [bound, counts[i]!] as const);
    return { upTo, total, sum: siblings.readsValuesSum };
  }
}
