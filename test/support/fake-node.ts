/**
 * A node that is one map in memory: the requests of `NodeApi` without a cluster, for tests of what stands
 * above it. Time stands still until the test moves it. Answers come at once, or, with `holds`, when the
 * test lets them go.
 */

import type { ByteString } from '../../src/base/bytes.ts';
import type { CodedError } from '../../src/base/errors.ts';
import { murmur3 } from '../../src/base/murmur3.ts';
import { UPDATES } from '../../src/commands/updates.ts';
import { POLICY_PRESETS, type Policy } from '../../src/coordinator/policy.ts';
import type {
  CountDone,
  FlushDone,
  MemberView,
  NodeApi,
  NodeFigures,
  PolicyDone,
  PolicyEntry,
  ReadDone,
  RequestOptions,
  ScanDone,
  TopologyDone,
  TopologyRequest,
  UpdateDone,
  Versions,
  VersionsDone,
  WriteDone,
  WriteProgress,
} from '../../src/node/api.ts';
import { nodeIdHex } from '../../src/node/id-hex.ts';
import type { MoveFigures } from '../../src/node/move-figures.ts';
import { NO_MOVES } from '../../src/node/move-figures.ts';
import { nodeStatus, type StatusParts } from '../../src/node/node-status.ts';
import type { RepairDemand, RepairDone, RepairProgress } from '../../src/node/repair-demand.ts';
import type { NodeStatus } from '../../src/node/status.ts';
import { place } from '../../src/ring/placement.ts';
import { slotOf } from '../../src/ring/slots.ts';
import type { Table } from '../../src/ring/table.ts';
import { encodeContext } from '../../src/rows/context.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import {
  encodeRow,
  isRowLive,
  liveBody,
  type Row,
  type RowBody,
  rowKind,
  STAMP_NONE,
} from '../../src/rows/row.ts';
import { liveVersions, versionsOfRow } from '../../src/rows/siblings.ts';
import { Topology } from '../../src/topology/topology.ts';

const placesPerSlot = 2 ** 32;

export interface FakeProgress extends WriteProgress {
  acknowledgements: number;
  settled: boolean;
}

export class FakeNode implements NodeApi {
  readonly id = 'n1';
  readonly idHex: string = nodeIdHex('n1');
  readonly clusterName = 'fake';
  topology: Topology;
  readonly replicas: number;
  readonly pairBytesMax: number;
  /** Wall and monotonic time in milliseconds. */
  now = 1_700_000_000_000;
  readonly rows: Map<ByteString, Row> = new Map();
  /** Given to the next requests instead of an answer, first in first out; undefined lets one pass. */
  readonly failures: (CodedError | undefined)[] = [];
  /** Ids of members taken for dead. */
  readonly dead: Set<string> = new Set();
  /** Members that lost their data, and since when they are rebuilt. */
  readonly rebuilding: Map<string, number> = new Map();
  /** It lost its disk: it answers no read from its own rows. */
  forgetful = false;
  /** What the next writes will report; by default all replicas acknowledged. */
  progress: () => FakeProgress;
  policy: Policy = POLICY_PRESETS['PA/EC'];
  /** Answers wait in `held` for `release`. */
  holds = false;
  readonly held: (() => void)[] = [];
  /** Requests as they came, for what a test wants to see: `read a`. */
  readonly log: string[] = [];
  readonly #members: readonly string[];
  #counter = 0;

  constructor(memberCount = 3, pairBytesMax: number = 1024 * 1024) {
    this.#members = Array.from({ length: memberCount }, (_, index) => `n${index + 1}`);
    const members = this.#members.map((id) => ({ id, weight: 1, zone: 'z' }));
    const addresses = { host: '127.0.0.1', respPort: 6371, peerPort: 7371, httpPort: 8371 };
    const table = place(undefined, members, { partitionCount: 1024, replicaCount: 3 });
    this.topology = Topology.founding(
      members.map((member) => ({ ...member, ...addresses })),
      table,
    );
    this.replicas = Math.min(3, memberCount);
    this.pairBytesMax = pairBytesMax;
    this.progress = () => ({ acknowledgements: this.replicas, settled: true });
  }

  get table(): Table {
    return this.topology.read;
  }

  changeTopology(request: TopologyRequest, done: TopologyDone): void {
    this.#answer(`topology ${request.kind}`, (error) =>
      done(error, error === undefined ? this.topology : undefined),
    );
  }

  moves(): MoveFigures {
    return NO_MOVES;
  }

  wall(): number {
    return this.now;
  }

  monotonic(): number {
    return this.now - 1_600_000_000_000;
  }

  policyOf(): Policy {
    return this.policy;
  }

  /** Set at run time, by prefix. */
  readonly runTime: Map<ByteString, Policy> = new Map();

  policies(): readonly PolicyEntry[] {
    const set = [...this.runTime].map(([prefix, policy]) => ({ prefix, policy, time: this.now }));
    return [
      { prefix: '', policy: this.policy, origin: 'default', time: 0 },
      ...set.map((entry): PolicyEntry => ({ ...entry, origin: 'run-time' })),
    ];
  }

  setPolicy(prefix: ByteString, policy: Policy | undefined, done: PolicyDone): void {
    this.#answer(`policy ${prefix}`, (error) => {
      if (error !== undefined) {
        done(error, undefined);
        return;
      }
      if (policy === undefined) this.runTime.delete(prefix);
      else this.runTime.set(prefix, policy);
      const missed = this.#members.filter((id) => this.dead.has(id));
      done(undefined, { acknowledged: this.#members.filter((id) => !this.dead.has(id)), missed });
    });
  }

  answersFor(): boolean {
    return !this.forgetful;
  }

  /** Lets held answers go, the oldest or the one at `index`. */
  release(index = 0): void {
    this.held.splice(index, 1)[0]!();
  }

  #answer(what: string, act: (error: CodedError | undefined) => void): void {
    this.log.push(what);
    const failure = this.failures.shift();
    if (this.holds) this.held.push(() => act(failure));
    else act(failure);
  }

  #put(key: ByteString, body: RowBody): void {
    const stamp = { time: this.now, logical: 0, actor: 1, counter: ++this.#counter };
    this.rows.set(key, encodeRow(rowKeyOf(key), body, stamp));
  }

  #live(key: ByteString): Row | undefined {
    const row = this.rows.get(key);
    return isRowLive(row, this.now) ? row : undefined;
  }

  read(key: ByteString, _options: RequestOptions, done: ReadDone): void {
    this.#answer(`read ${key}`, (error) => done(error, error === undefined ? this.#live(key) : undefined));
  }

  readVersions(key: ByteString, _options: RequestOptions, done: VersionsDone): void {
    this.#answer(`read ${key}`, (error) => {
      if (error !== undefined) done(error, undefined);
      else done(undefined, this.#versions(key));
    });
  }

  #versions(key: ByteString): Versions {
    const row = this.rows.get(key);
    const shown = liveVersions(row, this.now, STAMP_NONE);
    return {
      versions: shown.map(({ event, value }) => ({ ...value, time: event.time })),
      context: encodeContext(rowKeyOf(key), versionsOfRow(row)),
    };
  }

  readNow(key: ByteString, _options: RequestOptions): Row | null | undefined {
    if (this.holds || this.failures.length > 0) return undefined;
    this.log.push(`read ${key}`);
    return this.#live(key) ?? null;
  }

  write(key: ByteString, body: RowBody, _options: RequestOptions, done: WriteDone): void {
    this.#answer(`write ${key}`, (error) => {
      if (error !== undefined) {
        done(error, undefined);
        return;
      }
      this.#put(key, body);
      done(undefined, this.progress());
    });
  }

  update(
    key: ByteString,
    operation: string,
    args: readonly Uint8Array[],
    _options: RequestOptions,
    done: UpdateDone,
  ): void {
    this.#answer(`${operation} ${key}`, (error) => {
      if (error !== undefined) {
        done(error, null, undefined);
        return;
      }
      const current = liveBody(this.rows.get(key), this.now);
      const contextOf = (): Uint8Array => this.#versions(key).context;
      const { reply, body } = UPDATES.get(operation)!(current, args, { key, wall: this.now, contextOf });
      if (body !== undefined) this.#put(key, body);
      done(undefined, reply, body === undefined ? undefined : this.progress());
    });
  }

  /** Live keys with their place, in the order of a scan. */
  #places(): { key: ByteString; place: number }[] {
    const places: { key: ByteString; place: number }[] = [];
    for (const key of this.rows.keys()) {
      if (this.#live(key) !== undefined)
        places.push({ key, place: slotOf(key) * placesPerSlot + murmur3(key) });
    }
    return places.sort((a, b) => a.place - b.place);
  }

  scan(cursor: number, count: number, _options: RequestOptions, done: ScanDone): void {
    this.#answer(`scan ${cursor}`, (error) => {
      const from = this.#places().filter(({ place }) => place >= cursor);
      const page = from.slice(0, count);
      const entries = page.map(({ key }) => ({ key, kind: rowKind(this.rows.get(key)!) }));
      const next = from.length > page.length ? from[page.length]!.place : 0;
      done(error, error === undefined ? { cursor: next, entries } : undefined);
    });
  }

  count(slotFrom: number, slotTo: number, _options: RequestOptions, done: CountDone): void {
    this.#answer(`count ${slotFrom} ${slotTo}`, (error) => {
      const inside = this.#places().filter(({ key }) => slotOf(key) >= slotFrom && slotOf(key) < slotTo);
      done(error, inside.length);
    });
  }

  flush(_options: RequestOptions, done: FlushDone): void {
    this.#answer('flush', (error) => {
      if (error === undefined) this.rows.clear();
      done(error);
    });
  }

  repair(_demand: RepairDemand, _progress: (progress: RepairProgress) => void, done: RepairDone): void {
    const nothing = { pairs: 0, equal: 0, failed: 0, failure: '', beganAt: 0, bytes: 0, rowBytes: 0 };
    done(undefined, { ...nothing, rowsDiffering: 0, rowsSent: 0, rowsTaken: 0, rowsDropped: 0 });
  }

  members(): readonly MemberView[] {
    return this.#members.map((id, index) => ({
      id,
      host: '127.0.0.1',
      respPort: 6371 + index,
      peerPort: 7371 + index,
      httpPort: 8371 + index,
      zone: 'z',
      weight: 1,
      live: !this.dead.has(id),
      silenceMs: id === this.id ? 0 : this.dead.has(id) ? 5000 : 20,
      replyP95Ms: 0.4,
      status: this.dead.has(id) ? 'down' : 'alive',
      incarnation: 65_536,
      phi: 0,
      reachable: !this.dead.has(id),
      seenThrough: undefined,
      rebuildingSince: this.rebuilding.get(id) ?? 0,
      epoch: this.topology.epoch,
      settledEpoch: this.topology.epoch,
    }));
  }

  figures(): NodeFigures {
    return {
      reads: 0,
      writes: 0,
      updates: 0,
      readsShared: 0,
      forwards: 0,
      hedges: 0,
      repairsBlocking: 0,
      repairsAfter: 0,
      failuresQuorum: 0,
      failuresDeadline: 0,
      failuresOverload: 0,
      framesDamaged: 0,
      framesLate: 0,
      standIns: 0,
      siblingWrites: 0,
      siblingsMet: 0,
      siblingsRefused: 0,
      siblingsMost: 0,
      hints: 0,
      hintBytes: 0,
      hintsLoading: 0,
      hintsAccepted: 0,
      hintsUnreadable: 0,
      hintsDamaged: 0,
      hintsRefused: 0,
      hintsDelivered: 0,
      hintStragglers: 0,
      repairRowsSent: 0,
      repairRowsTaken: 0,
      repairRowsDropped: 0,
      repairRowBytes: 0,
      repairMetadataBytes: 0,
      repairRowsRead: 0,
      repairRounds: 0,
      repairRoundMs: 0,
      repairFailures: 0,
      repairSessions: 0,
      repairTimeMs: 0,
      rowsDamaged: 0,
      rowsRefusedClock: 0,
      requestsInFlight: 0,
      writesUnsettled: 0,
      framesSent: 0,
      messagesSent: 0,
      storage: { bytesMemory: 0, bytesDisk: 0, evictions: 0, commits: 0, syncs: 0 },
    };
  }

  /** Parts of the status that a test sets. */
  statusParts: Partial<StatusParts> = {};

  status(): NodeStatus {
    return nodeStatus({
      node: this,
      uptimeMs: 90_000,
      storage: { engine: 'memory', durable: false },
      failure: undefined,
      clockDoubted: false,
      clockOffsetOf: () => 0,
      differenceAgeMs: () => 0,
      horizonAlarmMs: 3 * 3_600_000,
      ...this.statusParts,
    });
  }

  idle: number | undefined = undefined;
  uses: number | undefined = undefined;

  idleSeconds(): number | undefined {
    return this.idle;
  }

  frequency(): number | undefined {
    return this.uses;
  }
}
