/**
 * A node in the process of an application: made, used as a space of keys, and taken down again.
 *
 * The picture: a lodger. It lives in the application's house and is a full member of the village, and it minds its
 * manners: it takes no signals, never ends the process, writes to no terminal, and what happens to it (its disk
 * fails) it says to its host. Several may live in one house.
 */

import type { CloseOptions } from '../client/client.ts';
import { jsonCodec } from '../client/codec.ts';
import { DureError } from '../client/errors.ts';
import { Emitter, type Listener } from '../client/events.ts';
import { checkNames, SPACE_NAMES } from '../client/names.ts';
import type { SpaceOptions } from '../client/space.ts';
import { SystemClock } from '../src/adapters/clock.ts';
import { FoldedLog } from '../src/adapters/folded-log.ts';
import { byteString, utf8Bytes } from '../src/base/bytes.ts';
import { CodedError } from '../src/base/errors.ts';
import { policyFromValue } from '../src/coordinator/policy-text.ts';
import { type NodeProcess, type NodeProcessOptions, startNode } from '../src/main/node-process.ts';
import { StartError } from '../src/main/start-error.ts';
import type { MemberView, NodeFigures } from '../src/node/api.ts';
import type { NodeStatus } from '../src/node/status.ts';
import { slotOf } from '../src/ring/slots.ts';
import { EventLog, type NodeEvents } from './events.ts';
import { errorOf } from './local-call.ts';
import { LocalSpace } from './local-space.ts';
import { LocalStore, type NodeMetrics } from './local-store.ts';
import { type NodeOptions, type Plan, type PolicyOption, planOf } from './options.ts';

export class EmbeddedNode<T> extends LocalSpace<T> {
  /** Name of the node. */
  readonly id: string;
  readonly #running: NodeProcess;
  readonly #store: LocalStore;
  readonly #emitter: Emitter<NodeEvents>;
  readonly #log: FoldedLog;
  readonly #defaults: SpaceOptions<T>;
  #closing: Promise<void> | undefined;

  /** Use `createNode`. */
  constructor(
    running: NodeProcess,
    store: LocalStore,
    emitter: Emitter<NodeEvents>,
    log: FoldedLog,
    options: SpaceOptions<T>,
  ) {
    super(store, '', options);
    this.id = running.node.id;
    this.#running = running;
    this.#store = store;
    this.#emitter = emitter;
    this.#log = log;
    this.#defaults = options;
    running.failed.then((reason) => this.#failed(reason));
    running.departed.then(({ kind }) => {
      this.#closing ??= this.#close(1000, kind === 'left' ? 'it has left the cluster' : 'it was removed');
    });
  }

  /**
   * The keys that begin with `prefix`, with a type of their own. What `options` leave out is as in the node, but for
   * the codec, which is JSON, the resolver and the TTL, of which there is none.
   */
  space<U>(prefix: string, options: Partial<SpaceOptions<U>> = {}): LocalSpace<U> {
    checkNames(options, SPACE_NAMES);
    return new LocalSpace<U>(this.#store, prefix, {
      codec: options.codec ?? jsonCodec<U>(),
      merge: options.merge,
      consistency: options.consistency ?? this.#defaults.consistency,
      ttlMs: options.ttlMs,
      repeatWrites: options.repeatWrites ?? this.#defaults.repeatWrites,
    });
  }

  /** Listens to an event. @returns a function that ends it */
  on<K extends keyof NodeEvents>(name: K, listener: Listener<NodeEvents[K]>): () => void {
    return this.#emitter.on(name, listener);
  }

  /** Waits until every member can be reached, at most so long. @returns whether they can */
  linked(timeoutMs = 10_000): Promise<boolean> {
    return this.#running.linked(timeoutMs);
  }

  /** The members as this node sees them now. */
  members(): readonly MemberView[] {
    return this.#running.node.members();
  }

  /** Whether a replica of the key lies in this process, so that a read with R=1 needs nobody else. */
  holds(key: string): boolean {
    const { table, id } = this.#running.node;
    const slot = slotOf(byteString(utf8Bytes(key)));
    return table.preferenceList(slot).includes(id);
  }

  /** Everything an operator asks of a node, judged: what `dure status` shows. Takes some 100 µs. */
  status(): NodeStatus {
    return this.#running.node.status();
  }

  /** What the node counted since it was made, all doors together. */
  figures(): NodeFigures {
    return this.#running.node.figures();
  }

  /** What this application's calls came to since the node was made. */
  metrics(): NodeMetrics {
    return this.#store.metrics;
  }

  /**
   * Sets the policy of a prefix in the whole cluster, over what the options say, or (undefined) takes it back. It is
   * kept over restarts. @returns the members that go by it now, and those that will when they are reached
   */
  setPolicy(
    prefix: string,
    policy: PolicyOption | undefined,
  ): Promise<{ readonly acknowledged: readonly string[]; readonly missed: readonly string[] }> {
    const { node } = this.#running;
    return new Promise((resolve, reject) => {
      const refuse = (error: unknown): void =>
        reject(error instanceof CodedError ? errorOf(error, error.outcome, false) : error);
      try {
        const read =
          policy === undefined ? undefined : policyFromValue(policy, node.topology.read.replicaCount);
        node.setPolicy(byteString(utf8Bytes(prefix)), read, (error, change) => {
          if (error !== undefined || change === undefined) refuse(error);
          else resolve(change);
        });
      } catch (error) {
        refuse(error);
      }
    });
  }

  /**
   * Ends the node: new calls are refused, those under way get `graceMs` to end, the others are told that it leaves,
   * what is acknowledged is made durable, ports and storage are closed. Once; calling it again waits for the same.
   */
  close({ graceMs = 1000 }: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(graceMs, 'it was closed');
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(graceMs: number, reason: string): Promise<void> {
    await this.#store.close(graceMs);
    this.#store.endCalls();
    try {
      await this.#running.stop();
    } finally {
      this.#log.flush();
      this.#emitter.emit('closed', { reason });
    }
  }

  /** The node serves nothing any more. It leaves, so that the others need not wait for it. */
  #failed(reason: string): void {
    this.#store.fail(reason);
    this.#emitter.emit('failed', { reason });
    // A storage that failed does not close well either: what it says is not news.
    this.#closing ??= this.#close(0, `its storage failed: ${reason}`).catch(() => {});
  }
}

/** For tests: what to keep rows in. */
export type Internals = Pick<NodeProcessOptions, 'openStorage'>;

/**
 * Makes a node in this process, a member of its cluster, and starts it. It takes calls when the promise is fulfilled;
 * that the other members are reached may take a moment longer (`linked`).
 *
 * @throws DureError `invalid` for options that cannot be used, with every problem of them; `start-failed` when a port,
 *   the directory or its data cannot be used
 */
export async function createNode<T = unknown>(options: NodeOptions<T>): Promise<EmbeddedNode<T>> {
  return createNodeWith(planOf(options), {});
}

/** @internal */
export async function createNodeWith<T>(plan: Plan<T>, internals: Internals): Promise<EmbeddedNode<T>> {
  if (typeof Promise.withResolvers !== 'function') {
    throw new DureError('unsupported', 'none', false, 'Dure needs Node.js 22.18 or newer; 24 is recommended');
  }
  const { config, space, deadlineMs, callsMax, retryBudget, acceptStorageLoss } = plan;
  const emitter = new Emitter<NodeEvents>();
  const log = new FoldedLog(new EventLog(plan.log, emitter), new SystemClock());
  let running: NodeProcess;
  try {
    running = await startNode(config, { log, acceptStorageLoss, isEmbedded: true, ...internals });
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    throw new DureError('start-failed', 'none', false, error.message, error);
  }
  const { requestTimeoutMs } = config.limits;
  const store = new LocalStore(running.node, { deadlineMs, callsMax, retryBudget, requestTimeoutMs });
  return new EmbeddedNode<T>(running, store, emitter, log, space);
}
