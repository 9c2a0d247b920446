/**
 * What a client is told when it is made, and what holds when it is told nothing. The table in
 * docs/client.md is in the same order.
 */

import { REPLY_LIMITS_DEFAULT } from '../src/resp/reply-parser.ts';
import type { RetryBudgetOptions } from './backoff.ts';
import type { Codec } from './codec.ts';
import type { Handshake, Word } from './connection.ts';
import { type Consistency, consistencyWords } from './consistency.ts';
import type { EngineOptions } from './engine.ts';
import { invalid } from './errors.ts';
import { BUDGET_NAMES, CONNECT_NAMES, checkNames, NEAR_CACHE_NAMES } from './names.ts';
import type { NearCacheOptions } from './near-cache.ts';
import { type Dial, dialTcp } from './socket.ts';
import type { Resolver } from './space.ts';
import { splitAddress } from './topology.ts';
import { deadlineMsMax } from './within.ts';

export interface ConnectOptions<T> {
  /** Some nodes of the cluster, as `host:port` of their Redis ports; the others are found through them. */
  readonly nodes: readonly string[];
  /** If the cluster asks for one. */
  readonly password?: string | undefined;
  /** Default: JSON. */
  readonly codec?: Codec<T> | undefined;
  /** Of the keys that belong to no space of their own; see `SpaceOptions`. */
  readonly merge?: Resolver<T> | undefined;
  /** Said on each connection: of all operations that say nothing else. Default: the policy of the key's prefix. */
  readonly consistency?: Consistency | undefined;
  /**
   * Whether a put or delete is sent again when it is unknown whether it was applied. Default: yes, unless it is
   * under a strict consistency.
   */
  readonly repeatWrites?: boolean | undefined;
  /** Of a call, all attempts together, milliseconds. Default 5000. */
  readonly deadlineMs?: number | undefined;
  readonly retryBudget?: RetryBudgetOptions | undefined;
  /** Default: none. */
  readonly nearCache?: NearCacheOptions | undefined;
  /** `any`: to a random node, as behind a load balancer. Default `replicas`. */
  readonly routing?: 'replicas' | 'any' | undefined;
  /** Default 1. */
  readonly connectionsPerNode?: number | undefined;
  /** Calls under way or waiting for a node; more are refused. Default 16,384. */
  readonly callsMax?: number | undefined;
  /** Requests on one connection that have no reply yet; more are refused. Default 8192. */
  readonly inFlightMax?: number | undefined;
  /** Bytes that wait to be written on one connection. Default 32 MiB. */
  readonly outboxBytesMax?: number | undefined;
  /** Milliseconds to connect and greet. Default 2000. */
  readonly connectTimeoutMs?: number | undefined;
  /** An idle connection is pinged after so many milliseconds. Default 2000. */
  readonly pingIntervalMs?: number | undefined;
  /**
   * A connection that owes replies and was silent for so many milliseconds is given up. Longer than the
   * deadline of a request in the nodes (`limits.requestTimeoutMs`, 1000). Default 2500.
   */
  readonly silenceMsMax?: number | undefined;
  /** Milliseconds between two questions for the table of slots. Default 5000. */
  readonly topologyRefreshMs?: number | undefined;
  /** Shown in CLIENT LIST. Default `dure-client`. */
  readonly clientName?: string | undefined;
  /** For tests: how connections are made, and chance (0 to 1). */
  readonly dial?: Dial | undefined;
  readonly random?: (() => number) | undefined;
}

const nodesMax = 1024;

function whole(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalid(`${name} is a whole number from ${min} to ${max}`);
}

function milliseconds(name: string, value: number): number {
  if (value > 0 && value <= deadlineMsMax) return value;
  throw invalid(`${name} is milliseconds above 0, and at most ${deadlineMsMax}`);
}

function handshakeOf<T>({ password, clientName = 'dure-client', consistency }: ConnectOptions<T>): Handshake {
  const hello: Word[] = ['HELLO', '3'];
  if (password !== undefined) hello.push('AUTH', 'default', password);
  hello.push('SETNAME', clientName);
  return consistency === undefined
    ? [hello]
    : [hello, ['DURE.CONSISTENCY', ...consistencyWords(consistency)]];
}

/** @throws DureError `invalid` for nonsense */
export function retryBudgetOf(budget: RetryBudgetOptions = {}): RetryBudgetOptions {
  checkNames(budget, BUDGET_NAMES);
  const { share = 0.1, reserve = 1000, attemptsMax = 8 } = budget;
  if (!(share >= 0 && share <= 1)) throw invalid('retryBudget.share is from 0 to 1');
  return {
    share,
    reserve: whole('retryBudget.reserve', reserve, 0, 1_000_000),
    attemptsMax: whole('retryBudget.attemptsMax', attemptsMax, 1, 1000),
  };
}

/** @throws DureError `invalid` for nonsense */
export function checkNearCache(options: NearCacheOptions): NearCacheOptions {
  checkNames(options, NEAR_CACHE_NAMES);
  whole('nearCache.entriesMax', options.entriesMax, 1, 2 ** 24);
  whole('nearCache.bytesMax', options.bytesMax, 1, 2 ** 40);
  milliseconds('nearCache.ttlMs', options.ttlMs);
  return options;
}

/**
 * All options, checked and filled up.
 * @throws DureError `invalid`
 */
export function engineOptionsOf<T>(options: ConnectOptions<T>): EngineOptions {
  if (options === undefined) throw invalid('connect takes an object with options, `nodes` at least');
  checkNames(options, CONNECT_NAMES);
  const { nodes, random = Math.random, routing = 'replicas' } = options;
  if (!Array.isArray(nodes) || nodes.length === 0 || nodes.length > nodesMax) {
    throw invalid(`nodes is a list of 1 to ${nodesMax} addresses`);
  }
  for (const node of nodes) {
    if (splitAddress(node) === undefined) throw invalid(`\`${node}\` is no address: write host:port`);
  }
  if (routing !== 'replicas' && routing !== 'any') throw invalid('routing is `replicas` or `any`');
  return {
    deadlineMs: milliseconds('deadlineMs', options.deadlineMs ?? 5000),
    callsMax: whole('callsMax', options.callsMax ?? 16_384, 1, 2 ** 20),
    retryBudget: retryBudgetOf(options.retryBudget),
    routing,
    random,
    directory: {
      seeds: [...new Set(nodes)],
      topologyRefreshMs: milliseconds('topologyRefreshMs', options.topologyRefreshMs ?? 5000),
      random,
      link: {
        dial: options.dial ?? dialTcp,
        handshake: handshakeOf(options),
        connections: whole('connectionsPerNode', options.connectionsPerNode ?? 1, 1, 64),
        random,
        limits: {
          inFlightMax: whole('inFlightMax', options.inFlightMax ?? 8192, 1, 2 ** 20),
          outboxBytesMax: whole('outboxBytesMax', options.outboxBytesMax ?? 32 * 1024 * 1024, 1, 2 ** 40),
          connectTimeoutMs: milliseconds('connectTimeoutMs', options.connectTimeoutMs ?? 2000),
          pingIntervalMs: milliseconds('pingIntervalMs', options.pingIntervalMs ?? 2000),
          silenceMsMax: milliseconds('silenceMsMax', options.silenceMsMax ?? 2500),
          reply: REPLY_LIMITS_DEFAULT,
        },
      },
    },
  };
}
