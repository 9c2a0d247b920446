/**
 * Scans and counts over the whole cluster.
 *
 * The picture: a walk round the ring with a bookmark. A bookmark (cursor) is a position: slot * 2^32 +
 * Murmur3 of the key, so that it is a plain number, needs no state on any node, and a key that is there
 * from the first page to the last is met whatever else comes and goes. A page asks R replicas for the
 * keys from the bookmark on; each answers how far its answer reaches; the shortest reach is the next
 * bookmark, and the newest stamp of a key says whether it is live.
 */

import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import type { CodedError, ErrorCode } from '../base/errors.ts';
import type { NodeId } from '../ports/transport.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import type { Table } from '../ring/table.ts';
import { compareStamps } from '../rows/row.ts';
import type { ScanRow } from '../wire/messages.ts';
import { writeCount, writeScan } from '../wire/messages.ts';
import type { CountDone, ScanDone, ScanEntry } from './api.ts';
import type { NodeContext } from './context.ts';
import { deadlineError, quorumError } from './context.ts';
import { Flight } from './flights.ts';
import type { LocalScans } from './local-scans.ts';

const hashSpan = 0x1_0000_0000;
/** Runs of slots one page may walk before it answers with what it has. */
const runsMax = 64;
/** Bytes of keys after which a page ends. */
const pageKeyBytesMax = 4 * 1024 * 1024;

export class ScanFlight extends Flight {
  readonly #context: NodeContext;
  readonly #table: Table;
  readonly #local: LocalScans;
  readonly #count: number;
  readonly #r: number;
  readonly #done: ScanDone;
  #cursor: number;
  #slotEnd = 0;
  #entries: ScanEntry[] = [];
  #keyBytes = 0;
  #runs = 0;
  #pages: { cursorNext: number; rows: readonly ScanRow[] }[] = [];
  #waiting: NodeId[] = [];
  #finished = false;

  constructor(
    context: NodeContext,
    table: Table,
    local: LocalScans,
    cursor: number,
    count: number,
    r: number,
    deadline: number,
    done: ScanDone,
  ) {
    super(deadline);
    this.#context = context;
    this.#table = table;
    this.#local = local;
    this.#cursor = cursor;
    this.#count = count;
    this.#r = r;
    this.#done = done;
  }

  start(): void {
    this.#context.flights.add(this);
    this.#askRun();
  }

  /** Asks the replicas of the slots at the bookmark, as many slots as share the same replicas. */
  #askRun(): void {
    const context = this.#context;
    const slot = Math.floor(this.#cursor / hashSpan);
    const replicas = this.#table.preferenceList(slot);
    this.#slotEnd = this.#runEnd(slot, replicas);
    const plan = context.plans.of(slot);
    const asked = plan.selfIsReplica
      ? [context.self, ...plan.remotesLive.slice(0, this.#r - 1)]
      : plan.remotesLive.slice(0, this.#r);
    if (asked.length < this.#r) {
      this.#finish(quorumError(context, 'read', asked.length, this.#r, 'none'));
      return;
    }
    this.#pages = [];
    this.#waiting = asked;
    for (const peer of asked) {
      if (peer === context.self) continue;
      const writer = context.links.writerTo(peer);
      if (writer === undefined) {
        this.#finish(quorumError(context, 'read', asked.length - 1, this.#r, 'none'));
        return;
      }
      const timeoutMs = this.deadline - context.now();
      writeScan(writer, this.id, timeoutMs, this.#cursor, this.#slotEnd, this.#count);
    }
    if (plan.selfIsReplica) {
      const wanted = (): boolean => !this.#finished;
      this.#local.scan(this.#cursor, this.#slotEnd, this.#count, wanted, (error, cursorNext, rows) => {
        if (error === undefined) this.scanReply(context.self, cursorNext, rows);
        else this.refusedBy(context.self, error.code);
      });
    }
  }

  /** End of the run of slots, from `slot` on, that have the same replicas in whatever order. */
  #runEnd(slot: number, replicas: readonly NodeId[]): number {
    const step = SLOT_COUNT / this.#table.partitionCount;
    let end = Math.floor(slot / step) * step + step;
    while (end < SLOT_COUNT) {
      const next = this.#table.preferenceList(end);
      if (next !== replicas && !next.every((id) => replicas.includes(id))) break;
      end += step;
    }
    return end;
  }

  override scanReply(peer: NodeId, cursorNext: number, rows: readonly ScanRow[]): void {
    const at = this.#waiting.indexOf(peer);
    if (this.#finished || at < 0) return;
    // Not an answer to what was asked: one that was delivered twice, or nonsense.
    if (cursorNext <= this.#cursor || cursorNext > this.#slotEnd * hashSpan) return;
    this.#waiting.splice(at, 1);
    this.#pages.push({ cursorNext, rows });
    if (this.#waiting.length === 0) this.#mergePages();
  }

  #mergePages(): void {
    let reach = Number.POSITIVE_INFINITY;
    for (const page of this.#pages) reach = Math.min(reach, page.cursorNext);
    assert(reach > this.#cursor, 'a scan goes on');
    const newest: Map<ByteString, ScanRow> = new Map();
    for (const page of this.#pages) {
      for (const row of page.rows) {
        if (row.position >= reach) continue;
        const known = newest.get(row.key);
        const order = known === undefined ? 1 : compareStamps(row.stamp, known.stamp);
        // One of two that hold the same row may know more: a flush, or that its time is over.
        if (order > 0 || (order === 0 && !row.live)) newest.set(row.key, row);
      }
    }
    for (const row of newest.values()) {
      if (!row.live) continue;
      this.#entries.push({ key: row.key, kind: row.kind });
      this.#keyBytes += row.key.length;
    }
    this.#cursor = reach;
    this.#runs++;
    if (reach >= SLOT_COUNT * hashSpan) {
      this.#cursor = 0;
      this.#finish(undefined);
    } else if (
      this.#entries.length >= this.#count ||
      this.#keyBytes >= pageKeyBytesMax ||
      this.#runs >= runsMax
    ) {
      this.#finish(undefined);
    } else {
      this.#askRun();
    }
  }

  override refusedBy(peer: NodeId, _code: ErrorCode): void {
    this.peerLost(peer);
  }

  override peerLost(peer: NodeId): void {
    if (this.#waiting.includes(peer)) {
      this.#finish(quorumError(this.#context, 'read', this.#r - 1, this.#r, 'none'));
    }
  }

  override expire(): void {
    this.#finish(deadlineError(this.#context, 'scan', 'none'));
  }

  #finish(error: CodedError | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#context.flights.remove(this);
    if (error !== undefined) this.#done(error, undefined);
    else this.#done(undefined, { cursor: this.#cursor, entries: this.#entries });
  }
}

/** Counts live keys: each partition is counted by its first live replica. */
export class CountFlight extends Flight {
  readonly #context: NodeContext;
  readonly #table: Table;
  readonly #local: LocalScans;
  readonly #slotFrom: number;
  readonly #slotTo: number;
  readonly #done: CountDone;
  #waiting: NodeId[] = [];
  #sum = 0;
  #finished = false;

  constructor(
    context: NodeContext,
    table: Table,
    local: LocalScans,
    slotFrom: number,
    slotTo: number,
    deadline: number,
    done: CountDone,
  ) {
    super(deadline);
    this.#context = context;
    this.#table = table;
    this.#local = local;
    this.#slotFrom = slotFrom;
    this.#slotTo = slotTo;
    this.#done = done;
  }

  start(): void {
    const context = this.#context;
    context.flights.add(this);
    const shares = this.#shares();
    if (shares === undefined) {
      this.#finish(quorumError(context, 'read', 0, 1, 'none'));
      return;
    }
    this.#waiting = [...shares.keys()];
    if (this.#waiting.length === 0) {
      this.#finish(undefined);
      return;
    }
    for (const [peer, ranges] of shares) {
      if (peer === context.self) continue;
      const writer = context.links.writerTo(peer);
      if (writer === undefined) this.peerLost(peer);
      else writeCount(writer, this.id, this.deadline - context.now(), ranges);
    }
    const own = shares.get(context.self);
    if (own !== undefined) {
      const wanted = (): boolean => !this.#finished;
      this.#local.count(own, wanted, (error, count) => {
        if (error === undefined) this.countReply(context.self, count);
        else this.#finish(error);
      });
    }
  }

  /** Ranges of slots (pairs of start and end) by who counts them; undefined if nobody can. */
  #shares(): Map<NodeId, number[]> | undefined {
    const step = SLOT_COUNT / this.#table.partitionCount;
    const shares: Map<NodeId, number[]> = new Map();
    for (let slot = this.#slotFrom; slot < this.#slotTo; ) {
      const end = Math.min(this.#slotTo, Math.floor(slot / step) * step + step);
      const { primary } = this.#context.plans.of(slot);
      if (primary === undefined) return undefined;
      let ranges = shares.get(primary);
      if (ranges === undefined) {
        ranges = [];
        shares.set(primary, ranges);
      }
      if (ranges.at(-1) === slot) ranges[ranges.length - 1] = end;
      else ranges.push(slot, end);
      slot = end;
    }
    return shares;
  }

  override countReply(peer: NodeId, count: number): void {
    const at = this.#waiting.indexOf(peer);
    if (this.#finished || at < 0) return;
    this.#waiting.splice(at, 1);
    this.#sum += count;
    if (this.#waiting.length === 0) this.#finish(undefined);
  }

  override refusedBy(peer: NodeId, _code: ErrorCode): void {
    this.peerLost(peer);
  }

  override peerLost(peer: NodeId): void {
    if (this.#waiting.includes(peer)) this.#finish(quorumError(this.#context, 'read', 0, 1, 'none'));
  }

  override expire(): void {
    this.#finish(deadlineError(this.#context, 'count', 'none'));
  }

  #finish(error: CodedError | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#context.flights.remove(this);
    this.#done(error, this.#sum);
  }
}
