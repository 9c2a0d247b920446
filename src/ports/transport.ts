/**
 * The transport port: frames to and from the other nodes.
 *
 * The picture: one pipe a direction between each pair of nodes. The adapter dials, shakes hands
 * (`src/wire/handshake.ts`), redials after a loss, and tells the node through `TransportHandler`.
 * Frames arrive whole and in order, or the pipe is reported down. A frame handed to `send` may be
 * lost without notice when the pipe breaks: the protocol above expects that.
 */

/** A node's name in the cluster: 1 to 64 chars of `[A-Za-z0-9._-]`, the same for ever. */
export type NodeId = string;

/** Where a member listens for its peers. */
export interface PeerAddress {
  readonly id: NodeId;
  readonly host: string;
  readonly peerPort: number;
}

export interface Transport {
  /**
   * Hands over one whole frame, owned by the transport until `isDrained` says otherwise.
   * @returns false when there is no pipe to `peer` or its queue is full: nothing was sent.
   */
  send(peer: NodeId, frame: Uint8Array): boolean;
  /**
   * Whether nothing handed over for `peer` is still held here, so that its memory may be used again. A
   * transport that cannot know leaves this out: then frames are never used again.
   */
  isDrained?(peer: NodeId): boolean;
  /** Drops the pipe to `peer` and dials anew: for a peer that went silent. */
  reset(peer: NodeId, reason: string): void;
  /**
   * The members are these from now on, this node among them or not: pipes to others are given up without a
   * word, new ones are dialled, and one whose address changed is dialled there.
   */
  setPeers(peers: readonly PeerAddress[]): void;
}

/** What a node hears from its transport. Implemented by the node. */
export interface TransportHandler {
  /** The pipe to `peer` is open: frames can be sent. */
  peerUp(peer: NodeId): void;
  /** The pipe to `peer` is gone: what was sent and not answered may be lost. */
  peerDown(peer: NodeId, reason: string): void;
  /** A frame from `peer`, header and checksum included; it may be damaged: the node checks. */
  frame(peer: NodeId, frame: Uint8Array): void;
}
