/**
 * The transport port over TCP.
 *
 * The picture: two one-way pipes between each pair of nodes. This node dials every other member and
 * sends its frames there (`tcp-dialled.ts`); what it accepts only receives (`tcp-accepted.ts`). One
 * way a pipe keeps the question "who owns this connection?" from ever coming up: a node looks after
 * the pipe it dialled, and the other end just lets go.
 *
 * The members change (`setPeers`): pipes to new ones are dialled, those to others end when they are empty.
 *
 * The node hands over one frame a peer a turn, so a frame is one `write` on a socket, nothing more.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { assert } from '../base/assert.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log, LogLevel } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { NodeId, PeerAddress, Transport, TransportHandler } from '../ports/transport.ts';
import { checkHello, type HandshakeIdentity, type Hello, versionsOf } from '../wire/handshake.ts';
import { AcceptedPipe } from './tcp-accepted.ts';
import { DialledPipe, type DialTarget, type TransportTimes } from './tcp-dialled.ts';

export type { DialTarget, TransportTimes } from './tcp-dialled.ts';

/**
 * An attempt into a black hole ends before the operating system would send its first packet again (after
 * 1 s), and the next follows at once: so a link that heals is in use within a second, however long it was cut.
 */
export const TRANSPORT_TIMES_DEFAULT: TransportTimes = {
  handshakeTimeoutMs: 800,
  redialMinMs: 50,
  redialMaxMs: 500,
  redialRefusedMs: 5000,
};

/** Another connection of the same peer that was heard within this time is alive, milliseconds. */
const aliveMs = 1000;

/** Connections that have not said hello; beyond it new ones are closed at once. */
const strangersMax = 256;

/** Nodes whose last refusal is remembered, so that the same is not told at each of their attempts. */
const refusedMax = 64;

export interface TcpTransportOptions {
  readonly nodeId: NodeId;
  readonly clusterName: string;
  /** Every member, this node included, until `setPeers` says otherwise. */
  readonly members: readonly PeerAddress[];
  /** Of the topology they are the members of; 1, the founding one, if left out. */
  readonly epoch?: number | undefined;
  /** Where to listen for peers. */
  readonly bind: DialTarget;
  /** A u32 drawn at random by this process. */
  readonly life: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly times?: Partial<TransportTimes>;
  /** Bytes queued for one peer above which `send` refuses; 64 MiB if left out. */
  readonly queueBytesMax?: number;
  /** Where to dial instead of a member's own address, so that a test can put a proxy between. */
  readonly dialTarget?: (peer: NodeId) => DialTarget | undefined;
  /** The latest protocol version to speak, so that a test can upgrade a cluster; the present one if left out. */
  readonly protocolVersionMax?: number | undefined;
}

export class TcpTransport implements Transport {
  readonly #options: TcpTransportOptions;
  /** Replaced as a whole when the members change. */
  #identity: HandshakeIdentity;
  readonly #times: TransportTimes;
  readonly #dialled: Map<NodeId, DialledPipe> = new Map();
  /** Where the other members listen. */
  readonly #addresses: Map<NodeId, DialTarget> = new Map();
  /** Pipes to nodes that are no members any more, until they are empty. */
  readonly #finishing: Set<DialledPipe> = new Set();
  /** The one welcomed connection of each peer. */
  readonly #accepted: Map<NodeId, AcceptedPipe> = new Map();
  readonly #open: Set<AcceptedPipe> = new Set();
  /** The reason of the last refusal of a node. */
  readonly #refused: Map<NodeId, string> = new Map();
  readonly #server: Server;
  #handler: TransportHandler | undefined = undefined;
  #closed = false;

  constructor(options: TcpTransportOptions) {
    this.#options = options;
    this.#times = { ...TRANSPORT_TIMES_DEFAULT, ...options.times };
    const { clusterName, nodeId, life, members, epoch = 1, protocolVersionMax } = options;
    const memberIds = new Set(members.map(({ id }) => id));
    const versions = versionsOf(epoch, protocolVersionMax);
    this.#identity = { ...versions, clusterName, nodeId, life, memberIds, epoch };
    this.#server = createServer((socket) => this.#accept(socket));
    for (const member of members) if (member.id !== nodeId) this.#add(member);
  }

  /**
   * Listens, then dials every other member. Once.
   * @param done gets the error of the port (`EADDRINUSE`, …) or nothing.
   */
  start(handler: TransportHandler, done: (error?: Error) => void): void {
    assert(this.#handler === undefined, 'a transport is started once');
    this.#handler = handler;
    this.#server.once('error', done);
    this.#server.listen({ host: this.#options.bind.host, port: this.#options.bind.port }, () => {
      this.#server.off('error', done);
      this.#server.on('error', (error) => {
        this.#options.log.write('error', 'peer-port-failed', { reason: error.message });
      });
      for (const pipe of this.#dialled.values()) pipe.dialNow();
      done();
    });
  }

  /** The port it listens on, for a bind to port 0. */
  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address === 'object' ? address.port : 0;
  }

  isDrained(peer: NodeId): boolean {
    return this.#dialled.get(peer)?.isDrained ?? false;
  }

  send(peer: NodeId, frame: Uint8Array): boolean {
    const pipe = this.#dialled.get(peer);
    return pipe?.send(frame) ?? false;
  }

  setPeers(peers: readonly PeerAddress[], epoch = 1): void {
    const memberIds = new Set(peers.map(({ id }) => id));
    const versions = versionsOf(epoch, this.#options.protocolVersionMax);
    this.#identity = { ...this.#identity, ...versions, memberIds, epoch };
    for (const id of [...this.#dialled.keys()]) if (!memberIds.has(id)) this.#remove(id);
    for (const peer of peers) {
      if (peer.id === this.#identity.nodeId) continue;
      const before = this.#addresses.get(peer.id);
      if (before === undefined) this.#add(peer);
      else if (before.host !== peer.host || before.port !== peer.peerPort) this.#move(peer);
    }
    this.#dropOlder(versions.protocolVersionLeast);
  }

  #add(peer: PeerAddress): void {
    this.#addresses.set(peer.id, { host: peer.host, port: peer.peerPort });
    const pipe = this.#dialledPipe(peer.id);
    this.#dialled.set(peer.id, pipe);
    this.#accepted.get(peer.id)?.resume();
    if (this.#handler !== undefined) pipe.dialNow();
  }

  #move(peer: PeerAddress): void {
    this.#addresses.set(peer.id, { host: peer.host, port: peer.peerPort });
    if (this.#handler !== undefined) this.#dialled.get(peer.id)?.moved();
  }

  #remove(id: NodeId): void {
    const pipe = this.#dialled.get(id)!;
    this.#dialled.delete(id);
    this.#addresses.delete(id);
    this.#finishing.add(pipe);
    pipe.finish(() => this.#finishing.delete(pipe));
    this.#accepted.get(id)?.finish();
  }

  /** Pipes of versions that may not be spoken any more. */
  #dropOlder(least: number): void {
    const reason = `protocol versions before ${least} are not spoken any more, now that members have changed`;
    for (const pipe of this.#dialled.values()) if (pipe.isUp && pipe.version < least) pipe.reset(reason);
    for (const pipe of this.#accepted.values()) if (pipe.version! < least) pipe.close(reason);
  }

  reset(peer: NodeId, reason: string): void {
    this.#dialled.get(peer)?.reset(reason);
  }

  /** Drops every pipe and the port. The handler hears nothing any more. */
  close(done: () => void): void {
    this.#closed = true;
    for (const pipe of this.#dialled.values()) pipe.close();
    for (const pipe of this.#finishing) pipe.close();
    for (const pipe of this.#open) pipe.close();
    if (this.#server.listening) this.#server.close(() => done());
    else done();
  }

  #dialledPipe(peer: NodeId): DialledPipe {
    const { clock, random, log, dialTarget, queueBytesMax } = this.#options;
    return new DialledPipe({
      peer,
      target: () => dialTarget?.(peer) ?? this.#addresses.get(peer)!,
      identity: () => this.#identity,
      times: this.#times,
      queueBytesMax: queueBytesMax ?? 64 * 1024 * 1024,
      clock,
      random,
      log,
      onUp: (version) => this.#handler?.peerUp(peer, version),
      onDown: (reason) => this.#handler?.peerDown(peer, reason),
    });
  }

  #accept(socket: Socket): void {
    if (this.#closed || this.#open.size - this.#accepted.size >= strangersMax) {
      socket.destroy();
      return;
    }
    const { clock, log } = this.#options;
    const pipe = new AcceptedPipe(socket, {
      nodeId: this.#identity.nodeId,
      life: this.#identity.life,
      handshakeTimeoutMs: this.#times.handshakeTimeoutMs,
      log,
      monotonic: () => clock.monotonic(),
      onHello: (from, hello) => this.#judge(from, hello),
      refusalLevel: (hello, reason) => this.#refusalLevel(hello.nodeId, reason),
      onFrame: (peer, frame) => this.#handler?.frame(peer, frame),
      onClosed: (closed) => {
        this.#open.delete(closed);
        if (closed.peer !== undefined && this.#accepted.get(closed.peer) === closed) {
          this.#accepted.delete(closed.peer);
        }
      },
    });
    this.#open.add(pipe);
  }

  /** Takes the pipe of a peer, in place of an older one, or says why not. */
  #judge(pipe: AcceptedPipe, hello: Hello): string | undefined {
    const reason = checkHello(this.#identity, hello);
    if (reason !== undefined) return reason;
    const peer = hello.nodeId;
    const older = this.#accepted.get(peer);
    if (older !== undefined) {
      const silenceMs = this.#options.clock.monotonic() - older.heardAt;
      // A restarted peer lost its old connection; one that still talks is somebody else.
      if (older.life !== hello.life && silenceMs < aliveMs) {
        return (
          `duplicate id: another process that calls itself "${peer}" is connected and was heard ` +
          `${Math.round(silenceMs)} ms ago; give each node its own nodeId`
        );
      }
      older.close();
    }
    this.#accepted.set(peer, pipe);
    const dialled = this.#dialled.get(peer);
    if (dialled?.isUp && dialled.lifeOfPeer !== hello.life) dialled.reset('the peer was restarted');
    // The peer is there: no need to wait for the next attempt.
    dialled?.dialNow();
    return undefined;
  }

  /** A node that is refused tries again and again: the same reason is said once. */
  #refusalLevel(peer: NodeId, reason: string): LogLevel {
    if (this.#refused.get(peer) === reason) return 'debug';
    if (this.#refused.size >= refusedMax) this.#refused.clear();
    this.#refused.set(peer, reason);
    return 'warn';
  }
}
