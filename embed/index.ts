/**
 * `dure`: a node of a cluster inside of an application. What a program needs is exported here; docs/embedding.md tells
 * how to use it. The words for values, conflicts, consistency and errors are those of `dure/client`.
 */

export type { RetryBudgetOptions } from '../client/backoff.ts';
export type { CallOptions } from '../client/call.ts';
export type { CloseOptions } from '../client/client.ts';
export { bytesCodec, type Codec, jsonCodec, textCodec } from '../client/codec.ts';
export type { Consistency, ConsistencyNumbers, ConsistencyPreset } from '../client/consistency.ts';
export { DureError, type Outcome } from '../client/errors.ts';
export type { Listener } from '../client/events.ts';
export type { Context } from '../client/operations.ts';
export type {
  BatchOperation,
  BatchOptions,
  BatchResult,
  GetOptions,
  PutOptions,
  Resolver,
  ScanOptions,
  SpaceOptions,
  UpdateOptions,
  Versions,
  VersionsOptions,
  WriteOptions,
} from '../client/space.ts';
export { Space } from '../client/space.ts';
export type { MemberView, NodeFigures } from '../src/node/api.ts';
export type { NodeStatus } from '../src/node/status.ts';
export type { Log, LogFields, LogLevel } from '../src/ports/log.ts';
export type { NodeEvents } from './events.ts';
export { LocalSpace, type Peeked } from './local-space.ts';
export type { NodeMetrics } from './local-store.ts';
export { createNode, EmbeddedNode } from './node.ts';
export type { MemberOptions, NodeOptions, PolicyOption, PolicyRuleOption } from './options.ts';
