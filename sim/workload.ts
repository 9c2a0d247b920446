/**
 * The workload: virtual clients that send a plan's requests and write down what they were told.
 *
 * A client whose node is down goes to the next one that is up. When a process ends under a request,
 * its client saw the connection break: the outcome is unknown.
 */

import { type ByteString, byteString, bytesOf } from '../src/base/bytes.ts';
import type { CodedError } from '../src/base/errors.ts';
import type { RequestOptions, UpdateFunction, UpdateReply, Versions } from '../src/node/api.ts';
import { KIND_STRING, KIND_TOMBSTONE, ROW_HEADER_BYTES, type Row, rowStamp } from '../src/rows/row.ts';
import type { Cluster, Machine, SimulatedNode } from './cluster.ts';
import { idOf, type OpRecord, type Phase, requestValue } from './history.ts';
import type { Plan, PlanOp } from './plan.ts';
import type { Schedule } from './schedule.ts';
import { EVENT, type Trace } from './trace.ts';

/** Read-modify-writes every simulated node knows. */
export const SIM_UPDATES: ReadonlyMap<string, UpdateFunction> = new Map<string, UpdateFunction>([
  [
    'sim-setnx',
    (current, args) =>
      current === undefined
        ? { reply: 1, body: { kind: KIND_STRING, value: args[0]!, expireAt: 0 } }
        : { reply: 0 },
  ],
  [
    'sim-incr',
    (current) => {
      const next = (current === undefined ? 0 : Number(byteString(current.value))) + 1;
      return { reply: next, body: { kind: KIND_STRING, value: bytesOf(String(next)), expireAt: 0 } };
    },
  ],
]);

/** The key of a request: registers and counters do not share keys. */
export function keyOf(kind: PlanOp['kind'], key: number): ByteString {
  return kind === 'incr' ? `counter${key}` : `key${key}`;
}

/** What a client keeps of a key it read. */
interface Ticket {
  readonly context: Uint8Array;
  readonly seen: readonly number[];
}

/** Whether a request only looks. */
export function isReadKind(kind: PlanOp['kind']): boolean {
  return kind === 'read' || kind === 'versions';
}

/** What a request may say beyond the plan. */
export interface InvokeOptions extends RequestOptions {
  readonly phase?: Phase;
}

/** What the log says of a request's client. */
function wordsOf({ client, plain }: PlanOp): string {
  if (plain) return ' plain';
  return client === undefined ? '' : ` of client ${client}`;
}

export class Workload {
  readonly history: OpRecord[] = [];
  /** Requests under way. */
  pending = 0;
  readonly #schedule: Schedule;
  readonly #trace: Trace;
  readonly #cluster: Cluster;
  #order = 0;
  #underway: Set<OpRecord> = new Set();
  /** The last context of each client and key. */
  readonly #tickets: Map<string, Ticket> = new Map();

  constructor(schedule: Schedule, trace: Trace, cluster: Cluster) {
    this.#schedule = schedule;
    this.#trace = trace;
    this.#cluster = cluster;
    cluster.onEnd = (machine) => this.#ended(machine);
    cluster.onFreeze = (machine) => {
      for (const record of this.#underway) if (record.node === machine.index) record.disturbed = true;
    };
  }

  /** Sets an alarm for every request of the plan. */
  begin(plan: Plan, startMs: number): void {
    for (const op of plan.ops) this.#schedule.at((startMs + op.atMs) * 1000, () => this.invoke(op));
  }

  /**
   * Sends a request from the first machine that is up, from `op.node` on.
   * @returns its record, or undefined if every machine is down.
   */
  invoke(op: PlanOp, options: InvokeOptions = {}): OpRecord | undefined {
    const machine = this.#machineFor(op.node);
    if (machine === undefined) return undefined;
    const record: OpRecord = {
      id: this.history.length + 1,
      kind: op.kind,
      key: op.key,
      node: machine.index,
      invokedAt: this.#schedule.now,
      invokeOrder: this.#order++,
      phase: options.phase ?? 'work',
      returnedAt: 0,
      returnOrder: Number.POSITIVE_INFINITY,
      outcome: 'pending',
      code: '',
      seen: 0,
      seenStamp: undefined,
      seenAll: [],
      basis: [],
      plain: op.plain === true,
      expireAt: 0,
      reply: 0,
      answers: 0,
      disturbed: machine.frozen || machine.slowUs > 0 || machine.busyUntil > this.#schedule.now,
    };
    this.history.push(record);
    this.pending++;
    this.#underway.add(record);
    this.#trace.events++;
    this.#trace.add(this.#schedule.now, EVENT.opInvoke, machine.index, record.id, op.key);
    this.#trace.say(
      this.#schedule.now,
      () => `${machine.id} ← #${record.id} ${op.kind} ${keyOf(op.kind, op.key)}${wordsOf(op)}`,
    );
    this.#cluster.input(machine, (node) => this.#send(node, machine, op, record, options));
    return record;
  }

  #machineFor(start: number): Machine | undefined {
    const { machines } = this.#cluster;
    for (let i = 0; i < machines.length; i++) {
      const machine = machines[(start + i) % machines.length]!;
      if (machine.up && machine.ready) return machine;
    }
    return undefined;
  }

  /** The options of a write: with the context its client has, or under last-write-wins. */
  #optionsOf(node: SimulatedNode, op: PlanOp, record: OpRecord, given: InvokeOptions): InvokeOptions {
    if (op.plain) {
      const { r, w, strict } = node.policyOf(keyOf(op.kind, op.key));
      return { ...given, policy: { r, w, strict, conflicts: 'last-write-wins' } };
    }
    const ticket = op.client === undefined ? undefined : this.#tickets.get(`${op.client} ${op.key}`);
    if (ticket === undefined || op.kind === 'versions') return given;
    record.basis = ticket.seen;
    return { ...given, context: ticket.context };
  }

  #send(node: SimulatedNode, machine: Machine, op: PlanOp, record: OpRecord, given: InvokeOptions): void {
    const options = this.#optionsOf(node, op, record, given);
    const key = keyOf(op.kind, op.key);
    const answered = (error: CodedError | undefined) => this.#answered(record, error);
    const value = () => requestValue(record.id, op.padBytes ?? 0);
    const updated = (error: CodedError | undefined, reply: UpdateReply) => {
      if (typeof reply === 'number') record.reply = reply;
      answered(error);
    };
    switch (op.kind) {
      case 'read':
        node.read(key, options, (error, row) => this.#answeredRead(record, error, row));
        break;
      case 'versions':
        node.readVersions(key, options, (error, read) => this.#answeredVersions(op, record, error, read));
        break;
      case 'write':
        node.write(key, { kind: KIND_STRING, value: value(), expireAt: 0 }, options, answered);
        break;
      case 'delete':
        // A tombstone carries a value too: it tells the witness whose it is.
        node.write(key, { kind: KIND_TOMBSTONE, value: value(), expireAt: 0 }, options, answered);
        break;
      case 'expire': {
        const expireAt = machine.clock.wall() + (op.ttlMs ?? 100);
        record.expireAt = expireAt;
        node.write(key, { kind: KIND_STRING, value: value(), expireAt }, options, answered);
        break;
      }
      case 'setnx':
        node.update(key, 'sim-setnx', [value()], options, updated);
        break;
      case 'incr':
        node.update(key, 'sim-incr', [], options, updated);
        break;
      case 'flush':
        node.flush(options, answered);
        break;
    }
  }

  #answeredRead(record: OpRecord, error: CodedError | undefined, row: Row | undefined): void {
    if (record.outcome === 'pending' && error === undefined && row !== undefined) {
      record.seen = idOf(row, ROW_HEADER_BYTES) || -1;
      record.seenStamp = rowStamp(row).slice();
    }
    this.#answered(record, error);
  }

  #answeredVersions(
    op: PlanOp,
    record: OpRecord,
    error: CodedError | undefined,
    read: Versions | undefined,
  ): void {
    if (record.outcome === 'pending' && error === undefined && read !== undefined) {
      const seen = read.versions.map(({ value }) => idOf(value, 0) || -1).sort((a, b) => a - b);
      record.seenAll = seen;
      const { context } = read;
      if (op.client !== undefined) this.#tickets.set(`${op.client} ${op.key}`, { context, seen });
    }
    this.#answered(record, error);
  }

  #answered(record: OpRecord, error: CodedError | undefined): void {
    record.answers++;
    if (record.outcome !== 'pending') return;
    record.code = error?.code ?? '';
    this.#settle(record, error === undefined ? 'ok' : error.outcome);
  }

  #settle(record: OpRecord, outcome: OpRecord['outcome']): void {
    record.outcome = outcome;
    record.returnedAt = this.#schedule.now;
    record.returnOrder = this.#order++;
    this.pending--;
    this.#underway.delete(record);
    this.#trace.add(this.#schedule.now, EVENT.opReturn, record.node, record.id, record.seen ^ outcome.length);
    this.#trace.say(this.#schedule.now, () => {
      let seen = '';
      if (outcome === 'ok' && record.kind === 'read')
        seen = ` → ${record.seen === 0 ? 'nothing' : `v${record.seen}`}`;
      if (outcome === 'ok' && record.kind === 'versions') seen = ` → [${record.seenAll.join(' ')}]`;
      return `${this.#cluster.machines[record.node]!.id} → #${record.id} ${outcome} ${record.code}${seen}`;
    });
  }

  #ended(machine: Machine): void {
    for (const record of [...this.#underway]) {
      if (record.node !== machine.index) continue;
      record.disturbed = true;
      record.code = 'connection-lost';
      this.#settle(record, isReadKind(record.kind) ? 'none' : 'unknown');
    }
  }
}
