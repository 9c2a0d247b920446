/**
 * The limits of the RESP door: how much one client, and all of them together, may ask of the node. Every
 * buffer a client can fill has its bound here. docs/design/resp-server.md tells what happens at each.
 */

import {
  REQUEST_LIMITS_DEFAULT,
  REQUEST_LIMITS_UNAUTHENTICATED,
  type RequestLimits,
} from '../resp/parser.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

export interface ServerLimits {
  /** Connections at a time; one more is told so and closed. */
  readonly clientsMax: number;
  /** A client that completes no command for so long is closed, milliseconds; 0: never. */
  readonly idleTimeoutMs: number;
  /** A client that has not shown the password after so long is closed, milliseconds; 0: never. */
  readonly handshakeTimeoutMs: number;
  /** Commands of one connection under way at a time; beyond it the socket is not read. */
  readonly pendingCommandsMax: number;
  /** Replies of one connection that its peer has not taken; beyond it the socket is not read. */
  readonly outputBytesPause: number;
  /** Beyond this the connection is closed at once. */
  readonly outputBytesHard: number;
  /** Beyond this for `outputSoftMs` the connection is closed. */
  readonly outputBytesSoft: number;
  readonly outputSoftMs: number;
  /** Replies a client may leave unread before it has shown the password. */
  readonly outputBytesUnauthenticated: number;
  /** Queries and replies buffered for all connections; beyond it commands are refused, unread ones too. */
  readonly bufferedBytesMax: number;
  /** What the parser accepts, before and after the password. */
  readonly request: RequestLimits;
  readonly requestUnauthenticated: RequestLimits;
  /** How long a connection that was told goodbye may take to hang up, milliseconds. */
  readonly lingerMs: number;
}

/** As Redis 7 where it has the limit. */
export const SERVER_LIMITS_DEFAULT: ServerLimits = {
  clientsMax: 10_000,
  idleTimeoutMs: 0,
  handshakeTimeoutMs: 10_000,
  pendingCommandsMax: 1024,
  outputBytesPause: MiB,
  outputBytesHard: 32 * MiB,
  outputBytesSoft: 8 * MiB,
  outputSoftMs: 60_000,
  outputBytesUnauthenticated: KiB,
  bufferedBytesMax: 256 * MiB,
  request: REQUEST_LIMITS_DEFAULT,
  requestUnauthenticated: REQUEST_LIMITS_UNAUTHENTICATED,
  lingerMs: 2000,
};
