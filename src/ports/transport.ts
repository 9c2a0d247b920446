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

/** So long a transport still writes and reads what is under way with somebody who is no member any more. */
export const GONE_MS = 2000;

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
   * The members are these from now on, this node among them or not, by the topology of this epoch (1, the
   * founding one, if left out; later ones are spoken of only in versions that know of them). New ones are dialled at once, and one whose address changed is dialled there (`peerDown`, then `peerUp`). Pipes to and
   * from all others are given up without a word to the handler: what was handed over for them before is still
   * sent, as far as that takes no longer than `GONE_MS`, and what they still send in that time still arrives.
   */
  setPeers(peers: readonly PeerAddress[], epoch?: number): void;
}

/** What a node hears from its transport. Implemented by the node. */
export interface TransportHandler {
  /**
   * The pipe to `peer` is open: frames can be sent, of this protocol version and no later one. Left out it is
   * the present version.
   */
  peerUp(peer: NodeId, version?: number): void;
  /** The pipe to `peer` is gone: what was sent and not answered may be lost. */
  peerDown(peer: NodeId, reason: string): void;
  /** A frame from `peer`, header and checksum included; it may be damaged: the node checks. */
  frame(peer: NodeId, frame: Uint8Array): void;
}
