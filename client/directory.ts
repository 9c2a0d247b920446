/**
 * The nodes a client knows, its links to them, the table that says which of them hold a key, and the policies.
 *
 * The picture: an address book with a map in it. The map comes from the nodes themselves and is asked for
 * again now and then, when a link is lost or made, and when a node answers "try again". A node that the map
 * leaves out keeps its link for a while as long as that works: during a partition each side leaves the other
 * out, and the client may well reach both.
 */

import { ErrorReply } from '../src/resp/value.ts';
import { type Connection, Internal } from './connection.ts';
import type { Emitter } from './events.ts';
import { Link, type LinkOptions } from './link.ts';
import type { Tally } from './metrics.ts';
import { type Policies, readPolicies } from './policies.ts';
import { readTopology, type Topology } from './topology.ts';

export interface DirectoryOptions {
  readonly seeds: readonly string[];
  readonly link: LinkOptions;
  readonly topologyRefreshMs: number;
  readonly random: () => number;
}

export interface DirectoryEvents {
  /** There is a node to send to, or a better one than before. */
  available(): void;
  /** A link could not be made, for a reason that will not pass by itself. */
  refused(code: string, reason: string): void;
}

const checkIntervalMs = 100;
/** Two questions for the table lie at least so far apart. */
const refreshPauseMs = 200;
/** A link that works is kept for so long after the table has left its node out. */
const absentMsMax = 60_000;
const linksMax = 1024;
const refusals = new Set(['WRONGPASS', 'NOAUTH', 'NOPROTO', 'NOPERM']);

export class Directory {
  topology: Topology | undefined;
  policies: Policies | undefined;
  /** All links, in no order that means anything. */
  links: readonly Link[] = [];
  /** Why each node could not be reached last, for messages. */
  readonly problems: Map<string, string> = new Map();
  readonly #options: DirectoryOptions;
  readonly #events: DirectoryEvents;
  readonly #emitter: Emitter;
  readonly #tally: Tally;
  readonly #links: Map<string, Link> = new Map();
  /** Links of which no more is asked, until what is under way on them has ended. */
  readonly #retiring: Set<Link> = new Set();
  readonly #absentSince: Map<string, number> = new Map();
  readonly #checkTimer: NodeJS.Timeout;
  #refreshedAt = -Infinity;
  #refreshTimer: NodeJS.Timeout | undefined;
  #isRefreshing = false;
  #closed = false;

  constructor(options: DirectoryOptions, emitter: Emitter, tally: Tally, events: DirectoryEvents) {
    this.#options = options;
    this.#emitter = emitter;
    this.#tally = tally;
    this.#events = events;
    for (const seed of options.seeds) this.#open(seed);
    this.#checkTimer = setInterval(() => this.#check(), checkIntervalMs);
    this.#checkTimer.unref();
  }

  link(address: string): Link | undefined {
    return this.#links.get(address);
  }

  get hasReady(): boolean {
    for (const link of this.links) if (link.isReady) return true;
    return false;
  }

  /** Asks for the table soon. */
  refresh(): void {
    if (this.#closed || this.#isRefreshing || this.#refreshTimer !== undefined) return;
    const waitMs = Math.max(0, this.#refreshedAt + refreshPauseMs - performance.now());
    if (waitMs === 0) {
      this.#ask();
      return;
    }
    this.#refreshTimer = setTimeout(() => {
      this.#refreshTimer = undefined;
      this.#ask();
    }, waitMs);
    this.#refreshTimer.unref();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#checkTimer);
    clearTimeout(this.#refreshTimer);
    for (const link of [...this.#links.values(), ...this.#retiring]) link.close('the client was closed');
    this.#links.clear();
    this.links = [];
    this.#retiring.clear();
  }

  #open(address: string): void {
    if (this.#links.has(address) || this.#links.size >= linksMax) return;
    const link = new Link(address, this.#options.link, {
      ready: () => this.#ready(address),
      lost: (lost, reason, code, wasReady) => this.#lost(lost, reason, code, wasReady),
    });
    this.#links.set(address, link);
    this.links = [...this.#links.values()];
  }

  #ready(address: string): void {
    this.problems.delete(address);
    this.#tally.connectionsMade += 1;
    this.#emitter.emit('connected', { node: address });
    this.refresh();
    this.#events.available();
  }

  #lost(link: Link, reason: string, code: string | undefined, wasReady: boolean): void {
    if (this.#closed) return;
    this.problems.set(link.address, reason);
    if (wasReady) {
      this.#tally.connectionsLost += 1;
      this.#emitter.emit('disconnected', { node: link.address, reason });
      this.refresh();
    }
    if (code !== undefined && refusals.has(code)) this.#events.refused(code, reason);
  }

  #check(): void {
    const time = performance.now();
    for (const link of this.links) link.check(time);
    for (const link of [...this.#retiring]) {
      link.check(time);
      if (link.load > 0) continue;
      this.#retiring.delete(link);
      link.close('no longer in the table');
    }
    for (const [address, since] of this.#absentSince) {
      const link = this.#links.get(address);
      if (link?.isReady === true && time - since < absentMsMax) continue;
      this.#absentSince.delete(address);
      if (link === undefined) continue;
      this.#links.delete(address);
      this.links = [...this.#links.values()];
      this.problems.delete(address);
      this.#retiring.add(link);
    }
    // All that the table named may have moved away: the seeds are what the owner believes in.
    if (!this.hasReady) for (const seed of this.#options.seeds) this.#open(seed);
    if (time - this.#refreshedAt > this.#options.topologyRefreshMs) this.refresh();
  }

  /** Asks some node for its table: not always the same, since one may be cut off from the others. */
  #ask(): void {
    const ready: { link: Link; connection: Connection }[] = [];
    for (const link of this.links) {
      const connection = link.connection();
      if (connection !== undefined) ready.push({ link, connection });
    }
    const chosen = ready[Math.floor(this.#options.random() * ready.length)];
    if (chosen === undefined) return;
    const { link, connection } = chosen;
    this.#refreshedAt = performance.now();
    const done = (): void => {
      this.#isRefreshing = false;
    };
    this.#isRefreshing = connection.send(
      new Internal(
        ['CLUSTER', 'SLOTS'],
        (reply) => {
          done();
          if (reply instanceof ErrorReply) this.problems.set(link.address, reply.text);
          else this.#learn(link, () => readTopology(reply, link.host));
        },
        done,
      ),
    );
    connection.send(
      new Internal(['DURE.POLICY', 'LIST'], (reply) => {
        // A node that is starting says so; what is known stays.
        if (!(reply instanceof ErrorReply)) this.policies = readPolicies(reply);
        else this.policies ??= readPolicies([]);
      }),
    );
  }

  #learn(link: Link, read: () => Topology): void {
    let topology: Topology;
    try {
      topology = read();
    } catch (error) {
      this.problems.set(link.address, (error as Error).message);
      return;
    }
    if (topology.nodes.length === 0) {
      // A node that does not know of anybody yet, not even itself.
      this.refresh();
      return;
    }
    for (const address of topology.nodes) {
      this.#absentSince.delete(address);
      this.#open(address);
    }
    for (const address of this.#links.keys()) {
      if (topology.nodes.includes(address) || this.#absentSince.has(address)) continue;
      this.#absentSince.set(address, performance.now());
    }
    const isFirst = this.topology === undefined;
    if (isFirst || !topology.equals(this.topology!)) {
      this.topology = topology;
      if (!isFirst) this.#tally.topologyChanges += 1;
      this.#emitter.emit('topology', { nodes: topology.nodes });
    }
    this.#events.available();
  }
}
