/**
 * The transport port in memory: the twin of the TCP transport, for tests of whole nodes in one process.
 *
 * The picture: a table with one queue of letters a direction. Nothing moves by itself: `deliver` hands
 * out what lies there, in the order it was sent, so that a test decides when the world goes on.
 * Cutting a link loses what is on it, as a broken TCP connection does.
 */

import { assert } from '../base/assert.ts';
import type { NodeId, PeerAddress, Transport, TransportHandler } from '../ports/transport.ts';

type Delivery = () => void;

/** All endpoints of one cluster. */
export class MemoryNetwork {
  readonly #endpoints: Map<NodeId, MemoryTransport> = new Map();
  readonly #cuts: Set<string> = new Set();
  #queue: Delivery[] = [];

  /** The endpoint of a node that is to be started; a second one in place of a closed one is a restart. */
  endpoint(id: NodeId): MemoryTransport {
    return new MemoryTransport(this, id);
  }

  /**
   * Hands out what is queued, and what that causes, at most `limit` deliveries.
   * @returns how many there were.
   */
  deliver(limit: number = Number.POSITIVE_INFINITY): number {
    let count = 0;
    while (this.#queue.length > 0 && count < limit) {
      const batch = this.#queue.splice(0, Math.min(this.#queue.length, limit - count));
      count += batch.length;
      for (const delivery of batch) delivery();
    }
    return count;
  }

  /** Breaks the pipe from one node to another; the other direction stays. */
  cut(from: NodeId, to: NodeId): void {
    this.#cuts.add(`${from}>${to}`);
    this.#endpoints.get(from)?.lose(to, 'the link was cut');
  }

  /** Lets the pipe from one node to another come up again. */
  heal(from: NodeId, to: NodeId): void {
    this.#cuts.delete(`${from}>${to}`);
    this.connect(from, to);
  }

  /** @internal For `MemoryTransport`. */
  enqueue(delivery: Delivery): void {
    this.#queue.push(delivery);
  }

  /** @internal Brings up the pipe, if both ends are started and the link is whole. */
  connect(from: NodeId, to: NodeId): void {
    const source = this.#endpoints.get(from);
    const target = this.#endpoints.get(to);
    if (source === undefined || target === undefined || this.#cuts.has(`${from}>${to}`)) return;
    // A dial to a stranger is not made, and one from a stranger is refused.
    if (source.knows(to) && target.knows(from)) source.raise(target);
  }

  /** @internal The members of `endpoint` changed: pipes of either direction go and come. */
  peersChanged(endpoint: MemoryTransport): void {
    for (const other of this.#endpoints.values()) {
      if (other === endpoint) continue;
      if (endpoint.knows(other.id)) {
        this.connect(endpoint.id, other.id);
        this.connect(other.id, endpoint.id);
      } else {
        // Behind what is under way; until then it may be a member again.
        this.enqueue(() => {
          if (!endpoint.knows(other.id)) other.lose(endpoint.id, 'the peer closed the connection');
        });
      }
    }
  }

  /** @internal */
  started(endpoint: MemoryTransport): void {
    assert(!this.#endpoints.has(endpoint.id), 'one endpoint a node is started at a time');
    this.#endpoints.set(endpoint.id, endpoint);
    for (const other of this.#endpoints.keys()) {
      if (other === endpoint.id) continue;
      this.connect(endpoint.id, other);
      this.connect(other, endpoint.id);
    }
  }

  /** @internal */
  closed(endpoint: MemoryTransport): void {
    this.#endpoints.delete(endpoint.id);
    for (const other of this.#endpoints.values()) other.lose(endpoint.id, 'the peer closed the connection');
  }
}

interface Pipe {
  readonly target: MemoryTransport;
  /** True once the owner was told; frames can be sent from then on. */
  up: boolean;
  broken: boolean;
  bytesQueued: number;
}

export class MemoryTransport implements Transport {
  readonly id: NodeId;
  readonly #network: MemoryNetwork;
  readonly #pipes: Map<NodeId, Pipe> = new Map();
  #handler: TransportHandler | undefined = undefined;
  /** Where the members are; undefined until it was said: then everybody is one. */
  #peers: ReadonlyMap<NodeId, string> | undefined = undefined;
  /** Bytes queued for one peer above which `send` refuses. */
  queueBytesMax: number = 64 * 1024 * 1024;

  constructor(network: MemoryNetwork, id: NodeId) {
    this.#network = network;
    this.id = id;
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    this.#network.started(this);
  }

  close(): void {
    this.#handler = undefined;
    for (const pipe of this.#pipes.values()) pipe.broken = true;
    this.#pipes.clear();
    this.#network.closed(this);
  }

  send(peer: NodeId, frame: Uint8Array): boolean {
    const pipe = this.#pipes.get(peer);
    if (pipe === undefined || !pipe.up || pipe.bytesQueued + frame.length > this.queueBytesMax) return false;
    pipe.bytesQueued += frame.length;
    this.#network.enqueue(() => {
      pipe.bytesQueued -= frame.length;
      if (!pipe.broken) pipe.target.#handler?.frame(this.id, frame);
    });
    return true;
  }

  setPeers(peers: readonly PeerAddress[]): void {
    const before = this.#peers;
    this.#peers = new Map(peers.map(({ id, host, peerPort }) => [id, `${host}:${peerPort}`]));
    for (const [id, pipe] of this.#pipes) {
      const address = this.#peers.get(id);
      if (address === undefined) {
        // What was sent before still arrives.
        this.#pipes.delete(id);
        pipe.broken = !pipe.up;
      } else if (before !== undefined && before.get(id) !== address) {
        this.lose(id, 'the peer has another address');
      }
    }
    if (this.#handler !== undefined) this.#network.peersChanged(this);
  }

  /** @internal Whether a node is a member, as far as this one was told. */
  knows(peer: NodeId): boolean {
    return this.#peers?.has(peer) ?? true;
  }

  reset(peer: NodeId, reason: string): void {
    if (this.lose(peer, reason)) this.#network.connect(this.id, peer);
  }

  /** @internal A pipe to `target` comes up, when the delivery is made. */
  raise(target: MemoryTransport): void {
    if (this.#pipes.has(target.id)) return;
    const pipe: Pipe = { target, up: false, broken: false, bytesQueued: 0 };
    this.#pipes.set(target.id, pipe);
    this.#network.enqueue(() => {
      if (pipe.broken || this.#pipes.get(target.id) !== pipe) return;
      pipe.up = true;
      this.#handler?.peerUp(target.id);
    });
  }

  /** @internal The pipe breaks: what is on it is lost. @returns whether there was one. */
  lose(peer: NodeId, reason: string): boolean {
    const pipe = this.#pipes.get(peer);
    if (pipe === undefined) return false;
    this.#pipes.delete(peer);
    pipe.broken = true;
    if (pipe.up) this.#network.enqueue(() => this.#handler?.peerDown(peer, reason));
    return true;
  }
}
