/**
 * A few nodes in one process, moved by hand: for tests that prove something step by step.
 *
 * The picture: chess by post. Nothing happens by itself: a frame lies in its letter box until it is
 * delivered, a turn ends when it is told to, clocks stand still. `pump` plays on until nobody has
 * anything to say; directions can be held, dropped or cut (`pumped-network.ts`). Every callback given to a
 * node comes from `call`, which fails the test if it is called twice; `finish` checks that each was called
 * once and that no flight is left over.
 */

import assert from 'node:assert/strict';
import type { ByteString } from '../../src/base/bytes.ts';
import { bytesOf } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Policy, PolicyPreset, PolicyRule } from '../../src/coordinator/policy.ts';
import { PolicyTable, policyFor } from '../../src/coordinator/policy.ts';
import type { CountDone, RequestOptions, ScanPage, UpdateFunction } from '../../src/node/api.ts';
import { REQUEST_DEFAULTS } from '../../src/node/api.ts';
import { Node } from '../../src/node/node.ts';
import type { Member, NodeLimits } from '../../src/node/options.ts';
import { NODE_LIMITS_DEFAULT } from '../../src/node/options.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { Durability } from '../../src/ports/storage.ts';
import type { NodeId, Transport } from '../../src/ports/transport.ts';
import { place } from '../../src/ring/placement.ts';
import { slotOf } from '../../src/ring/slots.ts';
import type { Table } from '../../src/ring/table.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import type { Row } from '../../src/rows/row.ts';
import { BODY_TOMBSTONE } from '../../src/rows/row.ts';
import { Topology } from '../../src/topology/topology.ts';
import { ManualStorage } from './manual-storage.ts';
import { PumpedNetwork } from './pumped-network.ts';
import { textBody, textOf, updatesForTests } from './pumped-values.ts';
import { type Call, WatchedCalls } from './watched-calls.ts';

export { messageNames } from './pumped-network.ts';
export { textBody, textOf, updatesForTests } from './pumped-values.ts';

export class ManualClock implements Clock {
  wallMs = 1_700_000_000_000;
  monotonicMs = 1000;
  wall(): number {
    return this.wallMs;
  }
  monotonic(): number {
    return this.monotonicMs;
  }
}

/** A member as pumped clusters have them; ports mean nothing there. */
export function pumpedMember(id: NodeId, zone = 'z', weight = 1): Member {
  return { id, host: '127.0.0.1', respPort: 0, peerPort: 0, httpPort: 0, zone, weight };
}

/** One node and its surroundings. */
export interface Seat {
  readonly id: NodeId;
  node: Node;
  storage: ManualStorage;
  readonly clock: ManualClock;
  /** It asked for the end of the turn. */
  awake: boolean;
  running: boolean;
  /** Names of the log events it wrote. */
  readonly events: string[];
  /** Reasons of the resets it asked for. */
  readonly resets: string[];
  /** What it is told at its start, `NodeOptions.topology`. */
  topology: Topology | undefined;
  /** The last start; undefined before the first. */
  started: Call<() => void> | undefined;
}

export interface PumpedOptions {
  readonly nodes?: number;
  readonly replicas?: number;
  readonly partitionCount?: number;
  readonly policy?: Policy | PolicyPreset;
  readonly rules?: readonly PolicyRule[];
  readonly limits?: Partial<NodeLimits>;
  readonly updates?: ReadonlyMap<string, UpdateFunction>;
  /** Complete storage batches at once; else the test completes them. */
  readonly storageAutomatic?: boolean;
  /** Named bugs, see `sim/mutants.ts`. */
  readonly mutants?: readonly string[];
  /** `always` if left out. */
  readonly durability?: Durability;
  /** Zone of each node. */
  readonly zones?: readonly string[];
  /** The epoch that all begin with, made from the founding one; that one if left out. */
  readonly topology?: (founding: Topology) => Topology;
}

export class PumpedCluster extends PumpedNetwork {
  /** Of the founding epoch: `keyOf` and `keyNotAt` go by it. */
  readonly table: Table;
  readonly seats: Map<NodeId, Seat> = new Map();
  readonly #members: readonly Member[];
  readonly #options: PumpedOptions;
  readonly #policies: PolicyTable;
  readonly #calls: WatchedCalls = new WatchedCalls();
  readonly #prng: Prng = new Prng(20_240_607);

  constructor(options: PumpedOptions = {}) {
    const count = options.nodes ?? 3;
    super(Array.from({ length: count }, (_, i) => `n${i + 1}`));
    this.#options = options;
    this.#members = this.ids.map((id, i) => pumpedMember(id, options.zones?.[i]));
    const replicaCount = options.replicas ?? 3;
    this.table = place(undefined, this.#members, {
      partitionCount: options.partitionCount ?? 64,
      replicaCount,
    });
    const n = Math.min(replicaCount, count);
    const policy = options.policy ?? 'PA/EC';
    const fallback = typeof policy === 'string' ? policyFor(policy, n) : policy;
    this.#policies = new PolicyTable(fallback, options.rules ?? [], n);
    const topology = options.topology?.(Topology.founding(this.#members, this.table));
    for (const id of this.ids) this.seats.set(id, this.#seat(id, topology));
    for (const id of this.ids) this.#start(id);
    this.pump();
    for (const seat of this.seats.values()) seat.storage.automatic = options.storageAutomatic ?? true;
  }

  #seat(id: NodeId, topology: Topology | undefined): Seat {
    const seat: Seat = {
      id,
      node: undefined as unknown as Node,
      storage: new ManualStorage(true),
      clock: new ManualClock(),
      topology,
      started: undefined,
      awake: false,
      running: false,
      events: [],
      resets: [],
    };
    return seat;
  }

  #start(id: NodeId): void {
    const seat = this.seats.get(id)!;
    const transport: Transport = {
      send: (peer, frame) => this.send(id, peer, frame),
      setPeers: (peers) =>
        this.setPeers(
          id,
          peers.map((peer) => peer.id),
        ),
      reset: (peer, reason) => {
        seat.resets.push(reason);
        this.break(id, peer, reason);
      },
    };
    seat.node = new Node(
      {
        id,
        clusterName: 'test',
        members: this.#members,
        table: this.table,
        ...(seat.topology === undefined ? {} : { topology: seat.topology }),
        policies: this.#policies,
        durability: this.#options.durability ?? 'always',
        limits: { ...NODE_LIMITS_DEFAULT, ...this.#options.limits },
        updates: this.#options.updates ?? updatesForTests,
        mutants: new Set(this.#options.mutants),
      },
      {
        clock: seat.clock,
        random: { u32: () => this.#prng.u32() },
        transport,
        storage: seat.storage,
        log: { write: (_level, event) => void seat.events.push(event) },
        turn: {
          wake: () => {
            seat.awake = true;
          },
        },
      },
    );
    transport.setPeers(seat.node.topology.members);
    seat.running = true;
    seat.started = this.call<() => void>(`start of ${id}`);
    seat.node.start(seat.started.done);
  }

  protected override handlerOf(id: NodeId): Node | undefined {
    const seat = this.seats.get(id);
    return seat?.running ? seat.node : undefined;
  }

  /** Ends the turns that were asked for. */
  endTurns(): boolean {
    let any = false;
    for (const seat of this.seats.values()) any = this.endTurn(seat.id) || any;
    return any;
  }

  endTurn(id: NodeId): boolean {
    const seat = this.seats.get(id)!;
    if (!seat.awake || !seat.running) return false;
    seat.awake = false;
    seat.node.endTurn();
    return true;
  }

  /** Plays on until nobody has anything to say. */
  pump(): void {
    for (let round = 0; ; round++) {
      assert.ok(round < 20_000, 'the cluster comes to rest');
      let moved = this.connect();
      moved = this.endTurns() || moved;
      moved = this.deliverOneEach() || moved;
      if (!moved) return;
    }
  }

  /** Lets time pass on all clocks, with ticks, playing on after each. */
  advance(ms: number, stepMs = 5): void {
    for (let passed = 0; passed < ms; passed += stepMs) {
      for (const seat of this.seats.values()) {
        seat.clock.monotonicMs += stepMs;
        seat.clock.wallMs += stepMs;
        if (seat.running) seat.node.tick();
      }
      this.pump();
    }
  }

  /** Kills a node: what storage was not told to complete is lost. */
  kill(id: NodeId): void {
    const seat = this.seats.get(id)!;
    seat.running = false;
    seat.awake = false;
    this.breakAll(id);
  }

  /**
   * Starts a killed node on what its storage held; `loss` is what the engine says to be gone, `topology` an
   * epoch it is told in place of the one before.
   */
  restart(id: NodeId, loss?: string, topology?: Topology): void {
    const seat = this.seats.get(id)!;
    if (topology !== undefined) seat.topology = topology;
    seat.storage = new ManualStorage(true, seat.storage.entries);
    seat.storage.loss = loss;
    this.#start(id);
    this.pump();
    seat.storage.automatic = this.#options.storageAutomatic ?? true;
  }

  /** Starts a node more, on an empty disk and with the clocks of the others: it is told `topology`, which names it. */
  add(id: NodeId, topology: Topology): Seat {
    assert.ok(topology.has(id), `${id} is a member of the topology it starts from`);
    const other = this.seats.values().next().value?.clock;
    this.addId(id);
    const seat = this.#seat(id, topology);
    this.seats.set(id, seat);
    if (other !== undefined) Object.assign(seat.clock, other);
    this.#start(id);
    this.pump();
    seat.storage.automatic = this.#options.storageAutomatic ?? true;
    return seat;
  }

  /** A node ends for good: it has no seat any more. */
  remove(id: NodeId): void {
    this.kill(id);
    this.dropId(id);
    this.seats.delete(id);
  }

  // Requests.

  seat(id: NodeId): Seat {
    return this.seats.get(id)!;
  }

  node(id: NodeId): Node {
    return this.seat(id).node;
  }

  /** A watched callback. Those of a killed node may be left unanswered: see `abandon`. */
  call<T>(name: string, then?: () => void): Call<T> {
    return this.#calls.call(name, then);
  }

  /** Forgets calls that nobody can answer any more, because their node was killed. */
  abandon(...calls: readonly Call<unknown>[]): void {
    this.#calls.abandon(...calls);
  }

  read(id: NodeId, key: ByteString, options: RequestOptions = REQUEST_DEFAULTS): Call<never> {
    const call = this.call<never>(`read of ${key} at ${id}`);
    this.node(id).read(key, options, call.done);
    return call;
  }

  write(
    id: NodeId,
    key: ByteString,
    text: string | undefined,
    options: RequestOptions = REQUEST_DEFAULTS,
  ): Call<never> {
    const call = this.call<never>(`write of ${key} at ${id}`);
    this.node(id).write(key, text === undefined ? BODY_TOMBSTONE : textBody(text), options, call.done);
    return call;
  }

  update(
    id: NodeId,
    key: ByteString,
    operation: string,
    args: readonly string[] = [],
    options: RequestOptions = REQUEST_DEFAULTS,
  ): Call<never> {
    const call = this.call<never>(`${operation} of ${key} at ${id}`);
    this.node(id).update(key, operation, args.map(bytesOf), options, call.done);
    return call;
  }

  flush(id: NodeId, options: RequestOptions = REQUEST_DEFAULTS): Call<never> {
    const call = this.call<never>(`flush at ${id}`);
    this.node(id).flush(options, call.done);
    return call;
  }

  scan(id: NodeId, cursor: number, count: number, options: RequestOptions = REQUEST_DEFAULTS): Call<never> {
    const call = this.call<never>(`scan at ${id} from ${cursor}`);
    this.node(id).scan(cursor, count, options, call.done);
    return call;
  }

  count(id: NodeId, options: RequestOptions = REQUEST_DEFAULTS): Call<CountDone> {
    const call = this.call<CountDone>(`count at ${id}`);
    this.node(id).count(0, 16384, options, call.done);
    return call;
  }

  /** A write that must succeed, and settle. */
  mustWrite(id: NodeId, key: ByteString, text: string | undefined, options?: RequestOptions): void {
    const call = this.write(id, key, text, options);
    this.pump();
    assert.equal(call.isDone, true, `write of ${key} was answered`);
    assert.equal(call.error, undefined, call.error?.message);
  }

  /** The text a read must give. */
  mustRead(id: NodeId, key: ByteString, options?: RequestOptions): string | undefined {
    const call = this.read(id, key, options);
    this.pump();
    assert.equal(call.isDone, true, `read of ${key} was answered`);
    assert.equal(call.error, undefined, call.error?.message);
    return textOf(call.value);
  }

  /** All keys of a whole scan, in the order they were met. */
  mustScan(id: NodeId, count: number, between: (pages: number) => void = () => {}): string[] {
    const keys: string[] = [];
    let cursor = 0;
    for (let pages = 1; ; pages++) {
      assert.ok(pages < 10_000, 'a scan ends');
      const call = this.scan(id, cursor, count);
      this.pump();
      assert.equal(call.isDone, true, `the scan from ${cursor} was answered`);
      assert.equal(call.error, undefined, call.error?.message);
      const page = call.value as ScanPage;
      for (const entry of page.entries) keys.push(entry.key);
      cursor = page.cursor;
      if (cursor === 0) return keys;
      between(pages);
    }
  }

  /** The row a node's storage holds for good. */
  stored(id: NodeId, key: ByteString): Row | undefined {
    return this.seat(id).storage.entries.get(rowKeyOf(key));
  }

  /** A key whose preference list begins with these nodes. */
  keyOf(...first: readonly NodeId[]): ByteString {
    for (let i = 0; i < 100_000; i++) {
      const key = `key-${i}`;
      const list = this.table.preferenceList(slotOf(key));
      if (first.every((id, at) => list[at] === id)) return key;
    }
    throw new Error(`no key with the preference list ${first.join(', ')}`);
  }

  /** A key that a node holds no replica of. */
  keyNotAt(id: NodeId): ByteString {
    for (let i = 0; i < 100_000; i++) {
      const key = `key-${i}`;
      if (!this.table.preferenceList(slotOf(key)).includes(id)) return key;
    }
    throw new Error(`${id} holds everything`);
  }

  /** Whole again and at rest: each call was answered exactly once, and no flight is left over. */
  finish(): void {
    this.mendAll();
    for (const { storage } of this.seats.values()) {
      storage.writeError = undefined;
      storage.getError = undefined;
      storage.rangeError = undefined;
      storage.automatic = true;
      while (storage.pending.length > 0) storage.complete();
    }
    this.pump();
    this.advance((this.#options.limits?.requestTimeoutMs ?? NODE_LIMITS_DEFAULT.requestTimeoutMs) + 10);
    for (const { id, node, running } of this.seats.values()) {
      if (!running) continue;
      const { requestsInFlight, writesUnsettled } = node.figures();
      assert.equal(requestsInFlight + writesUnsettled, 0, `${id} has flights left over`);
    }
    this.#calls.finish();
  }
}
