/**
 * The only file of the client that knows TCP: a byte pipe to one node. The rest of the client sees the
 * `Pipe` interface, so that tests can put anything behind it.
 */

import { connect } from 'node:net';

/** What happens on a pipe. `closed` comes once, and last. */
export interface PipeEvents {
  opened(): void;
  /** The chunk is the receiver's to keep. */
  data(chunk: Uint8Array): void;
  /** What was written before has gone to the system, after `write` gave false. */
  drained(): void;
  closed(reason: string): void;
}

export interface Pipe {
  /** Sends bytes that are not changed any more. @returns false while too much waits to be sent. */
  write(bytes: Uint8Array): boolean;
  /** Closes at once. */
  destroy(): void;
}

/** Opens a pipe. */
export type Dial = (host: string, port: number, events: PipeEvents) => Pipe;

export const dialTcp: Dial = (host, port, events) => {
  const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 });
  let reason = 'closed by the node';
  socket.on('connect', () => events.opened());
  socket.on('data', (chunk: Uint8Array) => events.data(chunk));
  socket.on('drain', () => events.drained());
  socket.on('error', (error) => {
    reason = error.message;
  });
  socket.on('close', () => events.closed(reason));
  return {
    write: (bytes) => socket.write(bytes),
    destroy: () => {
      reason = 'closed by the client';
      socket.destroy();
    },
  };
};
