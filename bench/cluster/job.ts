/**
 * What the main program asks of the load generator, and what it gets back: plain values that pass
 * between the two processes.
 */

import type { Latency } from './histogram.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** `resp`: the Redis protocol. `etcd`: the Put of etcd's gRPC door. */
export type Protocol = 'resp' | 'etcd';

/** `fill` sets every key once and ends; the others go on with random keys for the time given. */
export type Operation = 'set' | 'get' | 'fill';

export interface LoadJob {
  readonly protocol: Protocol;
  /** Connections are dealt out to these in turn. */
  readonly targets: readonly Target[];
  readonly operation: Operation;
  /** Each SET is followed by `WAIT waitReplicas`, and done when that answers. 0: no WAIT. */
  readonly waitReplicas: number;
  readonly connections: number;
  /** Operations that a connection sends at once; it sends the next ones when all have answered. */
  readonly pipeline: number;
  readonly keys: number;
  readonly valueBytes: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly seed: number;
}

export interface LoadResult {
  readonly operations: number;
  readonly errors: number;
  /** The first error, in the server's words. */
  readonly firstError?: string;
  readonly elapsedMs: number;
  readonly latency: Latency;
  /** Time on a core that the generator itself took while it measured. */
  readonly generatorCpuMs: number;
}

/** Messages from the generator: the measured time begins, is over; nothing is in flight any more. */
export type LoadMessage =
  | { readonly kind: 'measuring' }
  | { readonly kind: 'measured' }
  | { readonly kind: 'done'; readonly result: LoadResult }
  | { readonly kind: 'failed'; readonly message: string };
