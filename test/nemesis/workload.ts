/**
 * The load: requests at a steady rate, whether earlier ones were answered or not (an open loop), each with
 * a deadline of its own, through whichever client is connected, and written into the history.
 *
 * A client that stopped answering is not trusted with more than a probe now and then, as any client
 * with a time limit would do; so a frozen node costs the requests that were on their way to it. One whose node says
 * that it does not serve (`LOADING`, `MOVED`, `ASK`: use another) is left alone for a moment.
 */

import { Prng } from '../../src/base/prng.ts';
import type { Answer, Client } from './clients.ts';
import type { Group, Op, OpKind } from './history.ts';

export interface WorkloadOptions {
  readonly seed: number;
  readonly clients: readonly Client[];
  /** Requests a second. */
  readonly rate: number;
  /** Of a request, milliseconds. */
  readonly deadlineMs: number;
}

/** Keys that are written again and again, a group. */
const hotKeys = 20;
const valueBytes = 100;
/** Requests under way at most; beyond, they fail unsent. */
const inFlightMax = 5000;
/** Answers missed one after the other until a client counts as silent. */
const missedMax = 3;
const probeMs = 200;
/** A client whose node says so is not used for so long. */
const restMs = 500;
const usesAnother: ReadonlySet<string> = new Set(['LOADING', 'MOVED', 'ASK']);
const pulseMs = 5;

interface Lane {
  readonly client: Client;
  missed: number;
  lastAt: number;
  /** It is not used before. */
  restsUntil: number;
}

interface Chore {
  readonly at: number;
  readonly run: () => void;
}

export class Workload {
  readonly history: Op[] = [];
  readonly #options: WorkloadOptions;
  readonly #prng: Prng;
  readonly #lanes: readonly Lane[];
  readonly #origin = performance.now();
  readonly #once: string[] = [];
  readonly #gone: string[] = [];
  /** Deletes to come, in no order. */
  #chores: Chore[] = [];
  #timer: ReturnType<typeof setInterval> | undefined = undefined;
  #issued = 0;
  #startedAt = 0;
  #inFlight = 0;
  /** The longest that this process itself was late, milliseconds. */
  ownLagMs = 0;
  #pulseAt = 0;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#prng = new Prng(options.seed);
    this.#lanes = options.clients.map((client) => ({ client, missed: 0, lastAt: 0, restsUntil: 0 }));
  }

  /** Milliseconds since the workload was made: the clock of the history. */
  now(): number {
    return performance.now() - this.#origin;
  }

  begin(): void {
    this.#startedAt = this.now();
    this.#pulseAt = this.#startedAt;
    this.#timer = setInterval(() => this.#pulse(), pulseMs);
  }

  /** Sends nothing more, and waits until the last deadline has passed. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    const patience = this.now() + this.#options.deadlineMs + 500;
    while (this.#inFlight > 0 && this.now() < patience) await new Promise((next) => setTimeout(next, 10));
  }

  #pulse(): void {
    const now = this.now();
    this.ownLagMs = Math.max(this.ownLagMs, now - this.#pulseAt - pulseMs);
    this.#pulseAt = now;
    const due = Math.floor(((now - this.#startedAt) * this.#options.rate) / 1000);
    // After a stall of this process the load goes on; it does not catch up all at once.
    if (due - this.#issued > this.#options.rate) this.#issued = due - 1;
    while (this.#issued < due) {
      this.#issued++;
      this.#draw();
    }
    const ready = this.#chores.filter(({ at }) => at <= now);
    if (ready.length === 0) return;
    this.#chores = this.#chores.filter(({ at }) => at > now);
    for (const { run } of ready) run();
  }

  #draw(): void {
    const draw = this.#prng.unit();
    if (draw < 0.4) this.#drawHot('strict');
    else if (draw < 0.65) this.#drawHot('loose');
    else if (draw < 0.9) this.#drawOnce();
    else if (draw < 0.96) this.#drawGone();
    else this.#drawTtl();
  }

  #drawHot(group: 'strict' | 'loose'): void {
    const index = this.#prng.below(hotKeys);
    const key = group === 'strict' ? `strict:${index}` : `loose:hot:${index}`;
    const draw = this.#prng.unit();
    if (draw < 0.5) this.#send(group, key, 'read');
    else if (draw < 0.55 && index % 4 === 0) this.#send(group, key, 'delete');
    else this.#send(group, key, 'write');
  }

  #drawOnce(): void {
    if (this.#once.length > 0 && this.#prng.chance(0.4)) {
      this.#send('once', this.#prng.pick(this.#once), 'read');
      return;
    }
    const key = `loose:once:${this.history.length}`;
    this.#send('once', key, 'write', (op) => {
      if (op.outcome === 'ok') this.#once.push(key);
    });
  }

  #drawGone(): void {
    if (this.#gone.length > 0 && this.#prng.chance(0.4)) {
      this.#send('gone', this.#prng.pick(this.#gone), 'read');
      return;
    }
    const key = `loose:gone:${this.history.length}`;
    this.#send('gone', key, 'write', (op) => {
      if (op.outcome !== 'ok') return;
      const at = this.now() + this.#prng.between(200, 3000);
      const run = (): void => {
        this.#send('gone', key, 'delete', (removal) => {
          if (removal.outcome === 'ok') this.#gone.push(key);
        });
      };
      this.#chores.push({ at, run });
    });
  }

  #drawTtl(): void {
    this.#send('ttl', `loose:ttl:${this.history.length}`, 'write', undefined, this.#prng.between(500, 5000));
  }

  /** A client that is connected and answers; else one whose turn for a probe has come; else any that is up. */
  #choose(): Lane | undefined {
    const now = this.now();
    const up = this.#lanes.filter(({ client }) => client.isUp());
    const probe = up.find(({ missed, lastAt }) => missed >= missedMax && now - lastAt > probeMs);
    if (probe !== undefined) return probe;
    const good = up.filter(({ missed, restsUntil }) => missed < missedMax && now >= restsUntil);
    if (good.length > 0) return this.#prng.pick(good);
    return up.length > 0 ? this.#prng.pick(up) : undefined;
  }

  #send(group: Group, key: string, kind: OpKind, then?: (op: Op) => void, ttlMs = 0): void {
    const lane = this.#choose();
    const op = newOp(this.history.length, group, key, kind, lane?.client.name ?? 'none', this.now());
    this.history.push(op);
    if (lane === undefined || this.#inFlight >= inFlightMax) {
      this.#settle(op, { outcome: 'fail', code: 'no-connection', value: null });
      then?.(op);
      return;
    }
    lane.lastAt = op.at;
    this.#inFlight++;
    const finish = (answer: Answer): void => {
      if (op.outcome !== 'pending') return;
      clearTimeout(timer);
      this.#inFlight--;
      if (answer.code === 'deadline') lane.missed++;
      else lane.missed = 0;
      if (usesAnother.has(answer.code)) lane.restsUntil = this.now() + restMs;
      this.#settle(op, answer);
      if (ttlMs > 0 && answer.outcome === 'ok') op.expireAt = op.end + ttlMs;
      then?.(op);
    };
    const late: Answer = { outcome: 'unknown', code: 'deadline', value: null };
    const timer = setTimeout(() => finish(late), this.#options.deadlineMs);
    lane.client.send(wordsOf(op, ttlMs), (answer) => {
      // Too late for the request, but a sign of life.
      if (op.outcome !== 'pending' && answer.code !== 'connection-lost') lane.missed = 0;
      finish(answer);
    });
  }

  #settle(op: Op, answer: Answer): void {
    op.end = this.now();
    op.outcome = answer.outcome;
    op.code = answer.code;
    if (answer.outcome !== 'ok') return;
    if (op.kind === 'read') op.seen = answer.value === null ? null : String(answer.value);
    if (op.kind === 'delete') op.removed = answer.value === 1;
  }
}

function newOp(id: number, group: Group, key: string, kind: OpKind, client: string, at: number): Op {
  return {
    id,
    group,
    key,
    kind,
    value: kind === 'write' ? `v${id}.`.padEnd(valueBytes, '.') : '',
    client,
    at,
    end: Number.NaN,
    outcome: 'pending',
    code: '',
    seen: null,
    removed: false,
    expireAt: Number.POSITIVE_INFINITY,
  };
}

function wordsOf(op: Op, ttlMs: number): string[] {
  if (op.kind === 'read') return ['GET', op.key];
  if (op.kind === 'delete') return ['DEL', op.key];
  return ttlMs > 0 ? ['SET', op.key, op.value, 'PX', String(ttlMs)] : ['SET', op.key, op.value];
}
