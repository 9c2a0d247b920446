/**
 * `dure/client`: a client for Dure in TypeScript, without native code and without dependencies. Everything a
 * program needs is exported here; docs/client.md tells how to use it.
 */

export type { RetryBudgetOptions } from './backoff.ts';
export type { CallOptions } from './call.ts';
export { Client, type CloseOptions, connect } from './client.ts';
export { bytesCodec, type Codec, jsonCodec, textCodec } from './codec.ts';
export type { Consistency, ConsistencyNumbers, ConsistencyPreset } from './consistency.ts';
export { type ClientErrorCode, DureError, type Outcome } from './errors.ts';
export type { ClientEvents, Listener } from './events.ts';
export type { ClientMetrics, LatencySummary } from './metrics.ts';
export type { NearCacheOptions } from './near-cache.ts';
export type { Context } from './operations.ts';
export type { ConnectOptions } from './options.ts';
export {
  type BatchOperation,
  type BatchOptions,
  type BatchResult,
  type GetOptions,
  type PutOptions,
  type Resolver,
  type ScanOptions,
  Space,
  type SpaceOptions,
  type UpdateOptions,
  type Versions,
  type VersionsOptions,
  type WriteOptions,
} from './space.ts';
