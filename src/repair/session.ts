/**
 * The asking side of a comparison: one peer, a batch of partitions, from roots down to rows.
 *
 * The picture: a clerk with four trays of open work: roots, nodes, buckets and rows. Each step takes from
 * the tray nearest to rows that has something in it, asks the peer one question, and files the answer; so
 * little is open at any time, and what is exchanged early stays exchanged if the line breaks later.
 *
 * A *narrow* session compares by short hashes, many partitions at once; a collision hides a difference
 * until the next round, with another salt. A *wide* one compares one partition by full hashes and settles
 * its horizon: whose horizon is behind drops what was deleted and collected elsewhere, and when nothing
 * is left unresolved, takes over the greater horizon.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { foldTime } from '../merkle/row-hash.ts';
import {
  REPAIR_NODES,
  REPAIR_ROOTS,
  type RepairHead,
  readBits,
  writeAscending,
} from '../wire/repair-messages.ts';
import {
  type Footing,
  NODES_MAX,
  nonsense,
  ROOTS_MAX,
  readFooting,
  readHash,
  writeCount,
  writeFooting,
  writeHash,
  writeNodeHash,
  writeTreeNode,
} from './codec.ts';
import { Exchange } from './exchange.ts';
import type { PartitionOutcome, SessionOptions } from './outcome.ts';
import type { LocalRows, Need } from './ports.ts';
import {
  ascending,
  childCount,
  childOf,
  nodeFirst,
  nodeLevel,
  partitionOfLeaf,
  partitionRoot,
  Shortening,
  slotsOfNode,
} from './tree.ts';

/** Roots are asked about again while a peer is still weighing, but not for longer, milliseconds. */
const rootsWithinMs = 600_000;
export type SessionDone = (error: CodedError | undefined, outcomes: readonly PartitionOutcome[]) => void;

export class Session {
  readonly options: SessionOptions;
  readonly #local: LocalRows;
  readonly #short: Shortening;
  readonly #startedAt: number;
  /** What was weighed since then is believed. */
  #since = 0;
  readonly #outcomes: Map<number, PartitionOutcome> = new Map();
  readonly #exchange: Exchange;
  readonly #done: SessionDone;
  #roots: number[];
  #nodes: number[] = [];
  #tokenOurs = 0;
  /** The peer's, since we began to weigh; see `Footing`. */
  #footing: Footing | undefined = undefined;
  /** Rows were asked for in bulk, as they can be once; and the comparison is to begin anew when they are here. */
  #isBulkDone = false;
  #isAnewDue = false;
  #settling = false;
  #finished = false;

  constructor(options: SessionOptions, done: SessionDone) {
    this.options = options;
    this.#local = options.local;
    this.#short = new Shortening(options.wide, options.salt);
    this.#startedAt = options.local.now();
    this.#roots = [...options.partitions];
    this.#done = done;
    for (const partition of options.partitions) this.#outcomes.set(partition, this.#blank(partition));
    this.#exchange = new Exchange({
      session: options,
      short: this.#short,
      head: () => this.#head(),
      need: () => this.#need(),
      outcomeOf: (leaf) => this.#outcomes.get(partitionOfLeaf(leaf, this.#local.partitionCount))!,
      next: (error) => this.#next(error),
    });
  }

  #blank(partition: number): PartitionOutcome {
    return {
      partition,
      compared: false,
      equal: false,
      horizonOurs: this.#local.horizonOf(partition),
      horizonTheirs: 0,
      differing: 0,
      unresolved: 0,
      damaged: 0,
      oldestDifferenceTime: Number.POSITIVE_INFINITY,
      oldestLackingTime: Number.POSITIVE_INFINITY,
      rowsSent: 0,
      rowsTaken: 0,
      rowsDropped: 0,
      rowBytesSent: 0,
      rowBytesTaken: 0,
      settled: false,
    };
  }

  start(): void {
    this.#weighAnew();
  }

  /** Hashes from before this moment count for nothing. */
  #weighAnew(): void {
    const { wide, partitions, peer } = this.options;
    this.#since = this.#local.now();
    if (!wide) {
      this.#next(undefined);
      return;
    }
    // Before the weighing: what a third member hands us during it may be in no hash. What it handed us
    // before lies in storage when the trays went.
    this.#tokenOurs = this.#local.token(partitions[0]!, peer);
    this.#footing = undefined;
    this.#local.refresh([], this.#need(), () => {
      this.#since = this.#local.now();
      this.#next(undefined);
    });
  }

  /** Ends it: the peer is gone, or the node stops. */
  abandon(error: CodedError): void {
    this.#finish(error);
  }

  get isFinished(): boolean {
    return this.#finished;
  }

  #head(): RepairHead {
    const { wide, urgent, rescan, salt } = this.options;
    return { wide, urgent, rescan, salt, ageMs: this.#local.now() - this.#since };
  }

  #need(): Need {
    const { urgent, rescan, lookWithinMs } = this.options;
    return { since: this.#since, rescan, urgent, until: this.#local.now() + lookWithinMs };
  }

  #next(error: CodedError | undefined): void {
    if (this.#finished) return;
    if (error !== undefined) this.#finish(error);
    else if (this.#exchange.hasRows) this.#exchange.rowsStep();
    else if (this.#isAnewDue) {
      this.#isAnewDue = false;
      this.#weighAnew();
    } else if (this.#nodes.length > 0) this.#askNodes();
    else if (this.#exchange.hasBuckets) this.#exchange.bucketsStep();
    else if (this.#roots.length > 0) this.#askRoots();
    else if (this.options.wide && !this.#settling) this.#settle();
    else this.#finish(undefined);
  }

  #finish(error: CodedError | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#done(error, [...this.#outcomes.values()]);
  }

  /** Calls the peer; a reader that runs out is an error of the session, not of the node. */
  #call(type: number, write: (writer: ByteWriter) => void, read: (reader: ByteReader) => void): void {
    this.options.call(type, this.#head(), write, (error, reader) => {
      if (this.#finished) return;
      if (error !== undefined || reader === undefined) this.#finish(error ?? nonsense('nothing'));
      else read(reader);
    });
  }

  #rootOf(partition: number): { a: number; b: number } {
    const root = partitionRoot(partition, this.#local.partitionCount);
    return this.#local.sum(nodeFirst(root), 2 ** nodeLevel(root));
  }

  #askRoots(): void {
    const local = this.#local;
    const asked = this.#roots.slice(0, ROOTS_MAX);
    if (local.now() - this.#startedAt > rootsWithinMs) {
      this.#finish(new CodedError('deadline-exceeded', 'none', 'the peer did not weigh its rows in time'));
      return;
    }
    const slots = asked.flatMap((partition) => slotsOfNode(partitionRoot(partition, local.partitionCount)));
    // Nobody waits for us yet: there is time to weigh.
    const need = { ...this.#need(), until: local.now() + rootsWithinMs };
    local.refresh(slots, need, (failure) => {
      if (failure !== undefined) {
        this.#finish(failure);
        return;
      }
      this.#call(
        REPAIR_ROOTS,
        (writer) => {
          if (this.options.wide) {
            writer.u8(this.#footing === undefined ? 0 : 1);
            if (this.#footing !== undefined) writeFooting(writer, this.#footing);
          }
          writeCount(writer, asked.length);
          let before = -1;
          for (const partition of asked) {
            writeAscending(writer, partition, before);
            before = partition;
            this.#writeRoot(writer, partition);
          }
        },
        (reader) => this.#rootsAnswered(asked, reader),
      );
    });
  }

  #writeRoot(writer: ByteWriter, partition: number): void {
    const root = this.#rootOf(partition);
    const horizon = this.#local.horizonOf(partition);
    this.#outcomes.get(partition)!.horizonOurs = horizon;
    if (this.options.wide) {
      writeHash(writer, root);
      writer.u48(horizon);
    } else {
      const [a, b] = foldTime(root.a, root.b, horizon);
      writeHash(writer, { a, b });
    }
  }

  #rootsAnswered(asked: readonly number[], reader: ByteReader): void {
    const done = reader.u16();
    if (done > asked.length) throw nonsense('more roots than were asked about');
    const differs = readBits(reader, done);
    if (this.options.wide) this.#footing = readFooting(reader);
    let anew = false;
    this.#roots = this.#roots.slice(done);
    for (let i = 0; i < done; i++) {
      const partition = asked[i]!;
      const outcome = this.#outcomes.get(partition)!;
      outcome.compared = true;
      if (!differs[i]) {
        outcome.equal = true;
        outcome.horizonTheirs = outcome.horizonOurs;
        continue;
      }
      outcome.horizonTheirs = reader.u48();
      let sameRows = false;
      if (this.options.wide) {
        const theirs = readHash(reader);
        if (
          outcome.horizonTheirs > outcome.horizonOurs &&
          this.#local.raiseFence(partition, outcome.horizonTheirs)
        ) {
          // A late request may have slipped in since we were weighed: once more, behind the fence.
          this.#roots.push(partition);
          anew = true;
          continue;
        }
        const own = this.#rootOf(partition);
        sameRows = own.a === theirs.a && own.b === theirs.b;
      } else if (outcome.horizonTheirs !== outcome.horizonOurs) {
        // A wide session of its own compares and settles it.
        outcome.unresolved++;
        continue;
      }
      if (!sameRows && !this.#beginBulk(partition)) {
        this.#nodes.push(partitionRoot(partition, this.#local.partitionCount));
      }
    }
    if (anew) this.#weighAnew();
    else this.#next(undefined);
  }

  /** A side that holds nothing asks for all there is; the comparison then finds what is lacking still. */
  #beginBulk(partition: number): boolean {
    const own = this.#rootOf(partition);
    if (this.options.moves !== true || this.#isBulkDone || own.a !== 0 || own.b !== 0) return false;
    this.#isBulkDone = true;
    this.#isAnewDue = true;
    this.#roots.push(partition);
    this.#exchange.addAll(partition);
    return true;
  }

  #askNodes(): void {
    const nodes = this.#nodes.splice(0, NODES_MAX);
    const slots = ascending(nodes.flatMap(slotsOfNode));
    this.#local.refresh(slots, this.#need(), (failure) => {
      if (failure !== undefined) {
        this.#finish(failure);
        return;
      }
      this.#call(
        REPAIR_NODES,
        (writer) => {
          writer.u16(nodes.length);
          for (const node of nodes) {
            writeTreeNode(writer, node);
            for (let i = 0; i < childCount(node); i++) {
              const child = childOf(node, i);
              writeNodeHash(writer, this.#short, this.#local.sum(nodeFirst(child), 2 ** nodeLevel(child)));
            }
          }
        },
        (reader) => this.#nodesAnswered(nodes, reader),
      );
    });
  }

  #nodesAnswered(nodes: readonly number[], reader: ByteReader): void {
    const children = nodes.reduce((sum, node) => sum + childCount(node), 0);
    const differs = readBits(reader, children);
    let at = 0;
    for (const node of nodes) {
      let found = false;
      for (let i = 0; i < childCount(node); i++) {
        if (!differs[at++]) continue;
        found = true;
        const child = childOf(node, i);
        if (nodeLevel(child) === 0) this.#exchange.addBucket(nodeFirst(child));
        else this.#nodes.push(child);
      }
      // By short hashes all children look alike: a collision, or the difference has gone by itself.
      if (!found && !this.options.wide) {
        const partition = partitionOfLeaf(nodeFirst(node), this.#local.partitionCount);
        this.#outcomes.get(partition)!.unresolved++;
      }
    }
    this.#next(undefined);
  }

  /** All of the one partition was compared: the side whose horizon is behind may take over the other's. */
  #settle(): void {
    this.#settling = true;
    const [outcome] = this.#outcomes.values();
    const { peer } = this.options;
    const local = this.#local;
    const isAgreed = outcome === undefined || outcome.horizonOurs === outcome.horizonTheirs;
    if (isAgreed || outcome.unresolved > 0 || this.options.gives === true) {
      this.#finish(undefined);
      return;
    }
    const { partition, horizonOurs, horizonTheirs } = outcome;
    if (horizonOurs > horizonTheirs) {
      this.#exchange.settle(partition, horizonOurs, this.#footing?.token ?? 0, (settled) => {
        outcome.settled = settled;
        if (!settled) outcome.unresolved++;
        this.#finish(undefined);
      });
    } else if (local.token(partition, peer) !== this.#tokenOurs) {
      // Somebody handed us rows meanwhile, perhaps such as were deleted before their horizon.
      outcome.unresolved++;
      this.#finish(undefined);
    } else {
      local.raiseHorizon(partition, horizonTheirs, (error) => {
        outcome.settled = error === undefined;
        this.#finish(error);
      });
    }
  }
}
