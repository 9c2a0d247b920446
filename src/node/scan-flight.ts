/**
 * Scans and counts over the whole cluster.
 *
 * The picture: a walk round the ring with a bookmark. A bookmark (cursor) is a position: slot * 2^32 +
 * Murmur3 of the key, so that it is a plain number, needs no state on any node, and a key that is there
 * from the first page to the last is met whatever else comes and goes. A page asks R replicas for the
 * keys from the bookmark on; each answers how far its answer reaches; the shortest reach is the next
 * bookmark, and the newest stamp of a key says whether it is live (of siblings: any that is live).
 *
 * Who is lost on the way, or refuses, is replaced by a replica that was not asked yet; only when there
 * is none does the page or the count fail.
 */

import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import type { CodedError, ErrorCode } from '../base/errors.ts';
import { quorumOf } from '../coordinator/policy.ts';
import type { NodeId } from '../ports/transport.ts';
import { mayListAll } from '../replica/vouching.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import type { Table } from '../ring/table.ts';
import { compareStamps } from '../rows/row.ts';
import { isMade } from '../rows/siblings.ts';
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

/** Whether a replica's word on a key counts more than that of another. */
function tellsMore(row: ScanRow, known: ScanRow): boolean {
  const order = compareStamps(row.stamp, known.stamp);
  // One of two that hold the same row may know more: a flush, or that its time is over.
  if (order === 0) return !row.live;
  // Siblings are not later than what has the lesser stamp: together they may be alive, and what is must be listed.
  return isMade(order > 0 ? row.stamp : known.stamp) ? row.live : order > 0;
}

export class ScanFlight extends Flight {
  readonly #context: NodeContext;
  readonly #local: LocalScans;
  readonly #count: number;
  readonly #rWished: number;
  #r = 1;
  readonly #done: ScanDone;
  #cursor: number;
  #slotEnd = 0;
  #entries: ScanEntry[] = [];
  #keyBytes = 0;
  #runs = 0;
  /** Replicas that are reached and may not list this run. */
  #unvouched = 0;
  /** Of this run: the answers, who was asked, and who of those did not answer yet. */
  #pages: { cursorNext: number; rows: readonly ScanRow[] }[] = [];
  #asked: NodeId[] = [];
  #waiting: NodeId[] = [];
  #finished = false;
  /** Times a run was asked for: what comes late for another one is not wanted. */
  #runsAsked = 0;

  /** @param r replicas a page is made of; all of them where they are fewer */
  constructor(
    context: NodeContext,
    local: LocalScans,
    cursor: number,
    count: number,
    r: number,
    deadline: number,
    done: ScanDone,
  ) {
    super(deadline);
    this.#context = context;
    this.#local = local;
    this.#cursor = cursor;
    this.#count = count;
    this.#rWished = r;
    this.#done = done;
  }

  start(): void {
    this.#context.flights.add(this);
    this.#askRun();
  }

  /** Asks the replicas of the slots at the bookmark, as many slots as share the same replicas. */
  #askRun(): void {
    const slot = Math.floor(this.#cursor / hashSpan);
    const replicas = this.#table.preferenceList(slot);
    this.#slotEnd = this.#runEnd(slot, replicas);
    this.#r = quorumOf(this.#rWished, replicas.length);
    this.#runsAsked++;
    this.#pages = [];
    this.#asked = [];
    this.#waiting = [];
    this.#unvouched = 0;
    this.#askEnough();
  }

  /** The owners of now. */
  get #table(): Table {
    return this.#context.topology.read;
  }

  /** Another epoch is in force: the run under way begins anew at the bookmark, with the owners of now. */
  override topologyChanged(): void {
    if (this.#finished) return;
    this.#context.flights.renumber(this);
    this.#askRun();
  }

  /** Asks as many replicas as R answers still lack, each once a run; fails when there are too few. */
  #askEnough(): void {
    while (!this.#finished && this.#pages.length + this.#waiting.length < this.#r) {
      const { selfIsReplica, remotesLive } = this.#context.plans.of(Math.floor(this.#cursor / hashSpan));
      const replicas = selfIsReplica ? [this.#context.self, ...remotesLive] : remotesLive;
      const peer = replicas.find((id) => !this.#asked.includes(id));
      if (peer === undefined) {
        const have = this.#pages.length + this.#waiting.length;
        this.#finish(quorumError(this.#context, 'read', have, this.#r, 'none', this.#unvouched));
        return;
      }
      this.#asked.push(peer);
      this.#waiting.push(peer);
      this.#ask(peer);
    }
  }

  #ask(peer: NodeId): void {
    const context = this.#context;
    if (peer === context.self) {
      if (!context.vouching.mayList(Math.floor(this.#cursor / hashSpan), this.#slotEnd)) {
        this.refusedBy(peer, 'unavailable');
        return;
      }
      const run = this.#runsAsked;
      const wanted = (): boolean => !this.#finished && this.#runsAsked === run;
      this.#local.scan(this.#cursor, this.#slotEnd, this.#count, wanted, (error, cursorNext, rows) => {
        if (!wanted()) return;
        if (error === undefined) this.scanReply(context.self, cursorNext, rows);
        else this.refusedBy(context.self, error.code);
      });
      return;
    }
    const writer = context.links.writerTo(peer);
    const timeoutMs = this.deadline - context.now();
    if (writer === undefined) this.peerLost(peer);
    else writeScan(writer, this.id, timeoutMs, this.#cursor, this.#slotEnd, this.#count);
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
    if (this.#pages.length === this.#r) this.#mergePages();
  }

  #mergePages(): void {
    let reach = Number.POSITIVE_INFINITY;
    for (const page of this.#pages) reach = Math.min(reach, page.cursorNext);
    assert(reach > this.#cursor, 'a scan goes on');
    const newest: Map<ByteString, ScanRow> = new Map();
    for (const page of this.#pages) {
      for (const row of page.rows) {
        if (row.position < this.#cursor || row.position >= reach) continue;
        const known = newest.get(row.key);
        if (known === undefined || tellsMore(row, known)) newest.set(row.key, row);
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

  override refusedBy(peer: NodeId, code: ErrorCode): void {
    if (code === 'unavailable' && this.#waiting.includes(peer)) this.#unvouched++;
    this.peerLost(peer);
  }

  override peerLost(peer: NodeId): void {
    const at = this.#waiting.indexOf(peer);
    // Who is no member any more: the run is about to begin anew.
    if (this.#finished || at < 0 || !this.#context.topology.has(peer)) return;
    this.#waiting.splice(at, 1);
    this.#askEnough();
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

/**
 * Counts live keys: each partition is counted by its first live replica. What a replica does not count,
 * because it was lost or refused, is counted by a flight of its own that asks the next.
 */
export class CountFlight extends Flight {
  readonly #context: NodeContext;
  readonly #local: LocalScans;
  #ranges: readonly number[];
  readonly #passedOver: readonly NodeId[];
  readonly #done: CountDone;
  /** Ranges of slots by who counts them and did not answer yet. */
  #shares: Map<NodeId, number[]> = new Map();
  /** Flights that count what somebody did not. */
  #retries = 0;
  #timesAsked = 0;
  #sum = 0;
  #finished = false;

  /**
   * @param ranges of slots, as pairs of start and end
   * @param passedOver who is not to be asked
   */
  constructor(
    context: NodeContext,
    local: LocalScans,
    ranges: readonly number[],
    passedOver: readonly NodeId[],
    deadline: number,
    done: CountDone,
  ) {
    super(deadline);
    this.#context = context;
    this.#local = local;
    this.#ranges = ranges;
    this.#passedOver = passedOver;
    this.#done = done;
  }

  start(): void {
    this.#context.flights.add(this);
    this.#ask();
  }

  /** Another epoch is in force: what is not counted yet is divided anew among the owners of now. */
  override topologyChanged(): void {
    if (this.#finished || this.#shares.size === 0) return;
    this.#ranges = [...this.#shares.values()].flat();
    this.#shares = new Map();
    this.#context.flights.renumber(this);
    this.#ask();
  }

  #ask(): void {
    const context = this.#context;
    const asked = ++this.#timesAsked;
    if (!this.#divide()) {
      // Who was passed over and is still there refused.
      const refusing = this.#passedOver.filter((id) => context.links.isLive(id)).length;
      this.#finish(quorumError(context, 'read', 0, 1, 'none', refusing));
      return;
    }
    const own = this.#shares.get(context.self);
    for (const [peer, ranges] of [...this.#shares]) {
      if (peer === context.self) continue;
      const writer = context.links.writerTo(peer);
      if (writer === undefined) this.peerLost(peer);
      else writeCount(writer, this.id, this.deadline - context.now(), ranges);
    }
    if (own !== undefined && !mayListAll(context.vouching, own)) {
      this.refusedBy(context.self, 'unavailable');
    } else if (own !== undefined) {
      const wanted = (): boolean => !this.#finished && this.#timesAsked === asked;
      this.#local.count(own, wanted, (error, count) => {
        if (!wanted()) return;
        if (error === undefined) this.countReply(context.self, count);
        else this.refusedBy(context.self, error.code);
      });
    }
    this.#checkDone();
  }

  /** Gives each range of slots to the first live replica; false if one has none. */
  #divide(): boolean {
    const { read } = this.#context.topology;
    const step = SLOT_COUNT / read.partitionCount;
    for (let i = 0; i + 1 < this.#ranges.length; i += 2) {
      const slotTo = this.#ranges[i + 1]!;
      for (let slot = this.#ranges[i]!; slot < slotTo; ) {
        const end = Math.min(slotTo, Math.floor(slot / step) * step + step);
        const counter = read
          .preferenceList(slot)
          .find((id) => this.#context.links.isLive(id) && !this.#passedOver.includes(id));
        if (counter === undefined) return false;
        let share = this.#shares.get(counter);
        if (share === undefined) {
          share = [];
          this.#shares.set(counter, share);
        }
        if (share.at(-1) === slot) share[share.length - 1] = end;
        else share.push(slot, end);
        slot = end;
      }
    }
    return true;
  }

  override countReply(peer: NodeId, count: number): void {
    if (this.#finished || !this.#shares.delete(peer)) return;
    this.#sum += count;
    this.#checkDone();
  }

  override refusedBy(peer: NodeId, _code: ErrorCode): void {
    this.peerLost(peer);
  }

  /** The share goes to the next replicas. Each time one more is passed over, so this comes to an end. */
  override peerLost(peer: NodeId): void {
    const share = this.#shares.get(peer);
    // Who is no member any more: its share is about to be given to another.
    if (this.#finished || share === undefined || !this.#context.topology.has(peer)) return;
    this.#shares.delete(peer);
    this.#retries++;
    const passedOver = [...this.#passedOver, peer];
    const counted: CountDone = (error, count) => {
      this.#retries--;
      this.#sum += count;
      if (error !== undefined) this.#finish(error);
      else this.#checkDone();
    };
    const { deadline } = this;
    new CountFlight(this.#context, this.#local, share, passedOver, deadline, counted).start();
  }

  #checkDone(): void {
    if (this.#shares.size === 0 && this.#retries === 0) this.#finish(undefined);
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
