/**
 * A few nodes in one process, moved by hand: for tests that prove something step by step.
 *
 * The picture: chess by post. Nothing happens by itself: a frame lies in its letter box until it is
 * delivered, a turn ends when it is told to, clocks stand still. `pump` plays on until nobody has
 * anything to say; a direction can be held (letters wait), dropped (letters burn) or cut (the pipe
 * breaks and its owner is told). Every callback given to a node comes from `call`, which fails the test
 * if it is called twice; `finish` checks that each was called once and that no flight is left over.
 */

import assert from 'node:assert/strict';
import type { ByteReader, ByteString } from '../../src/base/bytes.ts';
import { ByteWriter, byteString, bytesOf } from '../../src/base/bytes.ts';
import type { CodedError } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Policy, PolicyPreset, PolicyRule } from '../../src/coordinator/policy.ts';
import { PolicyTable, policyFor } from '../../src/coordinator/policy.ts';
import type {
  CountDone,
  RequestOptions,
  ScanPage,
  UpdateFunction,
  UpdateReply,
  WriteProgress,
} from '../../src/node/api.ts';
import { REQUEST_DEFAULTS } from '../../src/node/api.ts';
import { Node } from '../../src/node/node.ts';
import type { Member, NodeLimits } from '../../src/node/options.ts';
import { NODE_LIMITS_DEFAULT } from '../../src/node/options.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { NodeId, Transport } from '../../src/ports/transport.ts';
import { place } from '../../src/ring/placement.ts';
import { slotOf } from '../../src/ring/slots.ts';
import type { Table } from '../../src/ring/table.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import type { Row, RowBody } from '../../src/rows/row.ts';
import { BODY_TOMBSTONE, KIND_STRING, rowValue } from '../../src/rows/row.ts';
import { FRAME_HEADER_BYTES, frameLife, openFrame, sealFrame } from '../../src/wire/frame.ts';
import { readGossipTarget } from '../../src/wire/gossip-messages.ts';
import { HINT, readHint } from '../../src/wire/hint-messages.ts';
import {
  decodeMessages,
  FAMILY_GOSSIP,
  FAMILY_PAST,
  FAMILY_REPAIR,
  type MessageHandler,
} from '../../src/wire/messages.ts';
import { PAST_MARK, PAST_TELL, readPast, readPastTell } from '../../src/wire/past-messages.ts';
import { ManualStorage } from './manual-storage.ts';

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
}

interface Pipe {
  up: boolean;
  cut: boolean;
  held: boolean;
  /** `send` answers false. */
  full: boolean;
  frames: Uint8Array[];
  /** Life and number of the last frame delivered or forged. */
  life: number;
  sequence: number;
}

/** Messages that come and go by themselves: not traced. */
const background: ReadonlySet<string> = new Set(['ping', 'pong', 'past']);

/** A request's callback, watched. */
export interface Call<T> {
  readonly done: T;
  readonly isDone: boolean;
  /** Order in which calls were answered, from 1. */
  readonly order: number;
  readonly error: CodedError | undefined;
  /** What came after the error: a row, a page, a count, a progress. */
  readonly value: unknown;
  readonly progress: WriteProgress | undefined;
  readonly reply: UpdateReply;
}

class WatchedCall {
  times = 0;
  order = 0;
  error: CodedError | undefined = undefined;
  value: unknown = undefined;
  progress: WriteProgress | undefined = undefined;
  readonly done: (error?: CodedError, value?: unknown, progress?: unknown) => void;

  constructor(name: string, nextOrder: () => number, then?: () => void) {
    this.done = (error, value, progress) => {
      this.times++;
      assert.equal(this.times, 1, `${name}: done was called ${this.times} times`);
      this.order = nextOrder();
      this.error = error;
      this.value = value;
      this.progress = (progress ?? value) as WriteProgress | undefined;
      then?.();
    };
  }

  get isDone(): boolean {
    return this.times > 0;
  }

  get reply(): UpdateReply {
    return this.value as UpdateReply;
  }
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
  /** Zone of each node. */
  readonly zones?: readonly string[];
}

/** `incr`: adds one; `append`: the bytes of its argument; `fail-if-there`: SET NX. */
export const updatesForTests: ReadonlyMap<string, UpdateFunction> = new Map<string, UpdateFunction>([
  [
    'incr',
    (current) => {
      const next = Number(current === undefined ? 0 : byteString(current.value)) + 1;
      return { reply: next, body: textBody(String(next)) };
    },
  ],
  [
    'append',
    (current, args) => {
      const text = (current === undefined ? '' : byteString(current.value)) + byteString(args[0]!);
      return { reply: text.length, body: textBody(text) };
    },
  ],
  ['look', (current) => ({ reply: current === undefined ? null : byteString(current.value) })],
  ['delete', (current) => ({ reply: current === undefined ? 0 : 1, body: BODY_TOMBSTONE })],
]);

export function textBody(text: string, expireAt = 0): RowBody {
  return { kind: KIND_STRING, value: bytesOf(text), expireAt };
}

export function textOf(value: unknown): string | undefined {
  return value === undefined ? undefined : byteString(rowValue(value as Row));
}

export class PumpedCluster {
  readonly ids: readonly NodeId[];
  readonly table: Table;
  readonly seats: Map<NodeId, Seat> = new Map();
  readonly #members: readonly Member[];
  readonly #options: PumpedOptions;
  readonly #policies: PolicyTable;
  readonly #pipes: Map<string, Pipe> = new Map();
  readonly #calls: WatchedCall[] = [];
  readonly #prng: Prng = new Prng(20_240_607);
  /** Messages delivered, as `n1>n2 write`. Heartbeats and the like are left out. */
  trace: string[] = [];
  #orders = 0;

  constructor(options: PumpedOptions = {}) {
    this.#options = options;
    const count = options.nodes ?? 3;
    this.ids = Array.from({ length: count }, (_, i) => `n${i + 1}`);
    this.#members = this.ids.map((id, i) => ({
      id,
      host: '127.0.0.1',
      respPort: 0,
      peerPort: 0,
      httpPort: 0,
      zone: options.zones?.[i] ?? 'z',
      weight: 1,
    }));
    const replicaCount = options.replicas ?? 3;
    this.table = place(undefined, this.#members, {
      partitionCount: options.partitionCount ?? 64,
      replicaCount,
    });
    const n = Math.min(replicaCount, count);
    const policy = options.policy ?? 'PA/EC';
    const fallback = typeof policy === 'string' ? policyFor(policy, n) : policy;
    this.#policies = new PolicyTable(fallback, options.rules ?? [], n);
    for (const id of this.ids) {
      const clock = new ManualClock();
      const storage = new ManualStorage(true);
      this.seats.set(id, this.#seat(id, clock, storage));
    }
    for (const from of this.ids) {
      for (const to of this.ids) {
        if (from === to) continue;
        this.#pipes.set(`${from}>${to}`, {
          up: false,
          cut: false,
          held: false,
          full: false,
          frames: [],
          life: 1,
          sequence: 0,
        });
      }
    }
    for (const id of this.ids) this.#start(id);
    this.pump();
    for (const seat of this.seats.values()) seat.storage.automatic = options.storageAutomatic ?? true;
  }

  #seat(id: NodeId, clock: ManualClock, storage: ManualStorage): Seat {
    const seat: Seat = {
      id,
      node: undefined as unknown as Node,
      storage,
      clock,
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
      send: (peer, frame) => this.#send(id, peer, frame),
      reset: (peer, reason) => {
        seat.resets.push(reason);
        this.#break(id, peer, reason);
      },
    };
    seat.node = new Node(
      {
        id,
        clusterName: 'test',
        members: this.#members,
        table: this.table,
        policies: this.#policies,
        durability: 'always',
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
    seat.running = true;
    const started = this.call<() => void>(`start of ${id}`);
    seat.node.start(started.done);
  }

  // The network.

  #pipe(from: NodeId, to: NodeId): Pipe {
    return this.#pipes.get(`${from}>${to}`)!;
  }

  #send(from: NodeId, to: NodeId, frame: Uint8Array): boolean {
    const pipe = this.#pipe(from, to);
    if (!pipe.up || pipe.full) return false;
    pipe.frames.push(new Uint8Array(frame));
    return true;
  }

  /** The pipe breaks; its owner is told within the call: the hardest moment. It redials by itself. */
  #break(from: NodeId, to: NodeId, reason: string): void {
    const pipe = this.#pipe(from, to);
    pipe.frames = [];
    if (!pipe.up) return;
    pipe.up = false;
    this.seats.get(from)!.node.peerDown(to, reason);
  }

  #connect(): boolean {
    let connected = false;
    for (const [name, pipe] of this.#pipes) {
      const [from, to] = name.split('>') as [NodeId, NodeId];
      if (pipe.up || pipe.cut || !this.seats.get(from)!.running || !this.seats.get(to)!.running) continue;
      pipe.up = true;
      connected = true;
      this.seats.get(from)!.node.peerUp(to);
    }
    return connected;
  }

  /** A frame as `from` might have sent it to `to` just now, ahead of those that wait: for lies. */
  forge(from: NodeId, to: NodeId, write: (writer: ByteWriter) => void): Uint8Array {
    const pipe = this.#pipe(from, to);
    const writer = new ByteWriter();
    openFrame(writer);
    write(writer);
    return sealFrame(writer, pipe.life, ++pipe.sequence);
  }

  /** Frames wait from now on. */
  hold(from: NodeId, to: NodeId): void {
    this.#pipe(from, to).held = true;
  }

  release(from: NodeId, to: NodeId): void {
    this.#pipe(from, to).held = false;
  }

  releaseAll(): void {
    for (const pipe of this.#pipes.values()) pipe.held = false;
  }

  /** Loses the frames that wait. */
  drop(from: NodeId, to: NodeId): void {
    this.#pipe(from, to).frames = [];
  }

  /** From now on `send` answers false. */
  full(from: NodeId, to: NodeId, full: boolean): void {
    this.#pipe(from, to).full = full;
  }

  cut(from: NodeId, to: NodeId): void {
    this.#pipe(from, to).cut = true;
    this.#break(from, to, 'cut');
  }

  heal(from: NodeId, to: NodeId): void {
    this.#pipe(from, to).cut = false;
  }

  /** Cuts both directions to everybody else. */
  isolate(id: NodeId): void {
    for (const other of this.ids) {
      if (other === id) continue;
      this.cut(id, other);
      this.cut(other, id);
    }
  }

  healAll(): void {
    for (const pipe of this.#pipes.values()) pipe.cut = false;
  }

  /** The frames that wait in a direction. */
  waiting(from: NodeId, to: NodeId): readonly Uint8Array[] {
    return this.#pipe(from, to).frames;
  }

  /** Delivers the oldest frame of a direction, held or not. */
  deliver(from: NodeId, to: NodeId): void {
    const frame = this.#pipe(from, to).frames.shift();
    assert.ok(frame !== undefined, `a frame waits from ${from} to ${to}`);
    this.#hand(from, to, frame);
  }

  #hand(from: NodeId, to: NodeId, frame: Uint8Array): void {
    for (const name of messageNames(frame)) {
      if (!background.has(name)) this.trace.push(`${from}>${to} ${name}`);
    }
    const pipe = this.#pipe(from, to);
    if (pipe.life !== frameLife(frame)) pipe.sequence = 0;
    pipe.life = frameLife(frame);
    // Numbered anew as it is handed over, so that forged frames find a place among the others.
    const writer = new ByteWriter(frame.length);
    openFrame(writer);
    writer.raw(frame.subarray(FRAME_HEADER_BYTES));
    const numbered = sealFrame(writer, pipe.life, ++pipe.sequence);
    const seat = this.seats.get(to)!;
    if (seat.running) seat.node.frame(from, numbered);
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
      let moved = this.#connect();
      moved = this.endTurns() || moved;
      for (const [name, pipe] of this.#pipes) {
        if (pipe.held || pipe.frames.length === 0) continue;
        const [from, to] = name.split('>') as [NodeId, NodeId];
        this.#hand(from, to, pipe.frames.shift()!);
        moved = true;
      }
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
    for (const other of this.ids) {
      if (other === id) continue;
      const outgoing = this.#pipe(id, other);
      outgoing.up = false;
      outgoing.frames = [];
      this.#break(other, id, 'the peer died');
    }
  }

  /** Starts a killed node on what its storage held; `loss` is what the engine says to be gone. */
  restart(id: NodeId, loss?: string): void {
    const seat = this.seats.get(id)!;
    seat.storage = new ManualStorage(true, seat.storage.entries);
    seat.storage.loss = loss;
    this.#start(id);
    this.pump();
    seat.storage.automatic = this.#options.storageAutomatic ?? true;
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
    const call = new WatchedCall(name, () => ++this.#orders, then);
    this.#calls.push(call);
    return call as unknown as Call<T>;
  }

  /** Forgets calls that nobody can answer any more, because their node was killed. */
  abandon(...calls: readonly Call<unknown>[]): void {
    for (const call of calls) {
      const at = this.#calls.indexOf(call as unknown as WatchedCall);
      if (at >= 0) this.#calls.splice(at, 1);
    }
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
    this.releaseAll();
    this.healAll();
    for (const pipe of this.#pipes.values()) pipe.full = false;
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
    assert.ok(
      this.#calls.every((call) => call.times === 1),
      'every call was answered exactly once',
    );
  }
}

/** Names of the messages of a frame, in order; those of a family are called by the family. */
export function messageNames(frame: Uint8Array): string[] {
  const names: string[] = [];
  const handler = new Proxy({} as MessageHandler<undefined>, {
    get:
      (_target, name) =>
      (...args: unknown[]) => {
        if (name === 'family') names.push(skipFamily(args[1] as number, args[3] as ByteReader));
        else names.push(String(name));
      },
  });
  decodeMessages(frame, undefined, handler);
  return names;
}

/** Reads the body of a message of a family. One nobody knows here ends the list: it has no length. */
function skipFamily(type: number, reader: ByteReader): string {
  if (type === HINT) {
    readHint(reader);
    return 'hint';
  }
  if (Math.floor(type / 10) === FAMILY_GOSSIP) {
    readGossipTarget(reader);
    return 'ping';
  }
  if (Math.floor(type / 10) === FAMILY_REPAIR) {
    reader.blobReader();
    return 'repair';
  }
  if (Math.floor(type / 10) !== FAMILY_PAST) {
    reader.offset = reader.end;
    return 'family';
  }
  if (type === PAST_TELL) readPastTell(reader);
  else if (type === PAST_MARK) readPast(reader);
  return 'past';
}
