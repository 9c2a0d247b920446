/**
 * Two sides of a comparison in one process, without nodes: each holds rows in a `ManualStorage` behind a
 * real `Replica` and the real `RepairRows`, and questions cross over as bytes. The picture: two librarians
 * at one table, and a meter that counts what they say.
 */

import assert from 'node:assert/strict';
import { ByteReader, ByteWriter, bytesOf } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { HashForest } from '../../src/merkle/hash-forest.ts';
import type { NodeContext } from '../../src/node/context.ts';
import { NODE_LIMITS_DEFAULT } from '../../src/node/options.ts';
import { RepairMarks } from '../../src/node/repair-marks.ts';
import { RepairPurses } from '../../src/node/repair-purses.ts';
import { RepairRows } from '../../src/node/repair-rows.ts';
import type { Storage } from '../../src/ports/storage.ts';
import type { PartitionOutcome } from '../../src/repair/outcome.ts';
import type { RepairMutants } from '../../src/repair/ports.ts';
import { Responder } from '../../src/repair/responder.ts';
import { Session } from '../../src/repair/session.ts';
import { Replica } from '../../src/replica/replica.ts';
import { place } from '../../src/ring/placement.ts';
import type { Table } from '../../src/ring/table.ts';
import type { RowKey } from '../../src/rows/key.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import type { Row } from '../../src/rows/row.ts';
import { encodeRow, KIND_STRING, KIND_TOMBSTONE } from '../../src/rows/row.ts';
import { Topology } from '../../src/topology/topology.ts';
import { REPAIR_BUSY, REPAIR_OK, writeRepairHead } from '../../src/wire/repair-messages.ts';
import { ManualStorage } from './manual-storage.ts';

export const WALL_MS = 1_700_000_000_000;
const noMutants: RepairMutants = { skipsOlder: false, horizonNotCaughtUp: false };
/** What the desk adds to a body: type, id and length; and its frame, if it is sent alone. */
export const MESSAGE_BYTES = 9;
export const FRAME_BYTES = 19;

export class Side {
  readonly id: string;
  readonly storage: Storage & { readonly entries?: Map<RowKey, Uint8Array> };
  readonly replica: Replica;
  readonly forest: HashForest = new HashForest();
  readonly rows: RepairRows;
  readonly table: Table;
  /** What this side knows of the owners. */
  topology: Topology;
  nowMs = 1000;
  readonly #pair: Pair;

  constructor(id: string, pair: Pair, storage: Storage, forgetful: boolean) {
    this.id = id;
    this.#pair = pair;
    this.table = pair.table;
    this.storage = storage;
    this.replica = new Replica({
      storage,
      durability: 'always',
      log: { write: () => undefined },
      wake: () => pair.post(() => this.replica.commit()),
      noteOfCommit: () => undefined,
      watcher: new RepairMarks(this.forest, forgetful),
      rowDamaged: () => false,
      partitionCount: pair.table.partitionCount,
      mutants: new Set<string>(),
    } as unknown as ConstructorParameters<typeof Replica>[0]);
    this.replica.start();
    this.topology = Topology.founding([], pair.table);
    const topology = (): Topology => this.topology;
    const context = {
      self: id,
      get topology(): Topology {
        return topology();
      },
      n: 2,
      limits: NODE_LIMITS_DEFAULT,
      replica: this.replica,
      identity: { observe: () => undefined },
      flights: { unanswered: 0 },
      tally: { rowsRefusedClock: 0 },
      mutants: new Set<string>(),
      now: () => this.nowMs,
      wall: () => WALL_MS,
      lateMs: () => 0,
    } as unknown as NodeContext;
    const { forest } = this;
    this.rows = new RepairRows({
      context,
      storage,
      forest,
      seed: id === 'a' ? 1 : 2,
      purses: new RepairPurses(context.limits),
    });
  }

  /** Stores a row as a write of `ms` after the epoch of the test; null deletes. */
  put(key: string, ms: number, text: string | null = `value ${key} ${ms}`): RowKey {
    const rowKey = rowKeyOf(key);
    this.merge(rowKey, rowOf(rowKey, ms, text));
    return rowKey;
  }

  /** Lets time pass. */
  pass(ms: number): void {
    this.nowMs += ms;
    this.rows.tick(this.nowMs);
  }

  merge(rowKey: RowKey, row: Row): void {
    this.replica.merge(rowKey, row, undefined, 'sync');
    this.#pair.pump();
  }
}

export function rowOf(rowKey: RowKey, ms: number, text: string | null): Row {
  const value = text === null ? new Uint8Array(0) : bytesOf(text);
  const kind = text === null ? KIND_TOMBSTONE : KIND_STRING;
  const stamp = { time: WALL_MS - 1_000_000 + ms, logical: 0, actor: 7, counter: ms };
  return encodeRow(rowKey, { kind, value, expireAt: 0 }, stamp);
}

export interface PairOptions {
  readonly partitionCount?: number;
  readonly storages?: readonly [Storage, Storage];
  readonly mutants?: Partial<RepairMutants>;
  readonly forgetful?: boolean;
  /** Called before each question is handed over. */
  readonly between?: (pair: Pair) => void;
}

export interface Compared {
  readonly error: CodedError | undefined;
  readonly outcomes: readonly PartitionOutcome[];
  /** Bytes of all messages, frames not counted; and messages. */
  readonly bytes: number;
  readonly messages: number;
}

export class Pair {
  readonly table: Table;
  readonly a: Side;
  readonly b: Side;
  readonly #options: PairOptions;
  readonly #mutants: RepairMutants;
  readonly #prng = new Prng(7);
  #posted: (() => void)[] = [];
  bytes = 0;
  messages = 0;

  constructor(options: PairOptions = {}) {
    this.#options = options;
    this.#mutants = { ...noMutants, ...options.mutants };
    const members = ['a', 'b'].map((id) => ({ id, weight: 1, zone: 'z' }));
    this.table = place(undefined, members, { partitionCount: options.partitionCount ?? 64, replicaCount: 2 });
    const [first, second] = options.storages ?? [new ManualStorage(true), new ManualStorage(true)];
    this.a = new Side('a', this, first, options.forgetful ?? false);
    this.b = new Side('b', this, second, options.forgetful ?? false);
  }

  post(run: () => void): void {
    this.#posted.push(run);
  }

  /** Runs what was posted, and lets time pass for those who wait for it. */
  pump(): void {
    for (let steps = 0; this.#posted.length > 0; steps++) {
      assert.ok(steps < 1_000_000, 'the pair comes to rest');
      const posted = this.#posted;
      this.#posted = [];
      for (const run of posted) run();
    }
  }

  #step(): void {
    this.pump();
    for (const side of [this.a, this.b]) side.pass(5);
    this.pump();
  }

  /** Runs a session from one side to the other, to its end. */
  compare(
    from: Side,
    how: {
      partitions?: readonly number[];
      wide?: boolean;
      rescan?: boolean;
      salt?: number;
      gives?: boolean;
      moves?: boolean;
    } = {},
  ): Compared {
    const to = from === this.a ? this.b : this.a;
    const responder = new Responder(to.rows, this.#mutants, 30_000, () => undefined);
    const bytesBefore = this.bytes;
    const messagesBefore = this.messages;
    let ended: { error: CodedError | undefined; outcomes: readonly PartitionOutcome[] } | undefined;
    const session = new Session(
      {
        self: from.id,
        peer: to.id,
        partitions: how.partitions ?? Array.from({ length: this.table.partitionCount }, (_, i) => i),
        wide: how.wide ?? false,
        urgent: true,
        rescan: how.rescan ?? false,
        gives: how.gives ?? false,
        moves: how.moves ?? false,
        salt: how.salt ?? this.#prng.u32() & 0xffff,
        lookWithinMs: 30_000,
        local: from.rows,
        mutants: this.#mutants,
        call: (type, head, write, done) => {
          const writer = new ByteWriter();
          writeRepairHead(writer, head);
          write(writer);
          const question = this.#count(writer);
          this.post(() => {
            this.#options.between?.(this);
            const reader = new ByteReader(question);
            responder.ask(from.id, type, reader, (_type, status, body) => {
              assert.equal(reader.remaining, 0, 'a question is read whole');
              const answer = new ByteWriter();
              answer.u8(status);
              body?.(answer);
              const bytes = this.#count(answer);
              this.post(() => {
                if (status !== REPAIR_OK) {
                  done(
                    new CodedError(status === REPAIR_BUSY ? 'overloaded' : 'unavailable', 'none', 'refused'),
                    undefined,
                  );
                  return;
                }
                const answered = new ByteReader(bytes, 1);
                done(undefined, answered);
                assert.equal(answered.remaining, 0, 'an answer is read whole');
              });
            });
          });
        },
      },
      (error, outcomes) => {
        assert.equal(ended, undefined, 'a session ends once');
        ended = { error, outcomes };
      },
    );
    session.start();
    for (let steps = 0; ended === undefined; steps++) {
      assert.ok(steps < 200_000, 'a session ends');
      this.#step();
    }
    this.pump();
    return { ...ended, bytes: this.bytes - bytesBefore, messages: this.messages - messagesBefore };
  }

  #count(writer: ByteWriter): Uint8Array {
    const bytes = writer.take();
    this.bytes += bytes.length + MESSAGE_BYTES;
    this.messages++;
    return bytes;
  }

  /** What both sides hold, tombstones included, without what counts as gone. */
  held(side: Side): Map<RowKey, string> {
    const entries = side.storage.entries;
    assert.ok(entries !== undefined);
    const held = new Map<RowKey, string>();
    for (const [key, row] of [...entries].sort(([x], [y]) => (x < y ? -1 : 1))) {
      if (key.charCodeAt(0) >= 0x40 || side.replica.isGone(key, row)) continue;
      held.set(key, [...row].join());
    }
    return held;
  }
}

/** Totals over the outcomes. */
export function totals(outcomes: readonly PartitionOutcome[]): {
  equal: number;
  differing: number;
  unresolved: number;
  sent: number;
  taken: number;
  dropped: number;
  rowBytes: number;
} {
  const sum = { equal: 0, differing: 0, unresolved: 0, sent: 0, taken: 0, dropped: 0, rowBytes: 0 };
  for (const outcome of outcomes) {
    if (outcome.equal) sum.equal++;
    sum.differing += outcome.differing;
    sum.unresolved += outcome.unresolved;
    sum.sent += outcome.rowsSent;
    sum.taken += outcome.rowsTaken;
    sum.dropped += outcome.rowsDropped;
    sum.rowBytes += outcome.rowBytesSent + outcome.rowBytesTaken;
  }
  return sum;
}
