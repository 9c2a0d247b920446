/**
 * What a program says when it makes a node. Everything that a node of its own process could be told is read by the
 * same grammar as its configuration file (docs/operations.md), with one difference: a member has no door for Redis
 * clients and none for HTTP unless it is given the port.
 */

import type { RetryBudgetOptions } from '../client/backoff.ts';
import { type Codec, jsonCodec } from '../client/codec.ts';
import type { Consistency } from '../client/consistency.ts';
import { invalid } from '../client/errors.ts';
import { retryBudgetOf } from '../client/options.ts';
import type { Resolver, SpaceOptions } from '../client/space.ts';
import { deadlineMsMax } from '../client/within.ts';
import { loadConfig, type NodeConfig } from '../src/main/config.ts';
import type { HttpConfig, LimitsConfig, StorageConfig } from '../src/main/config-schema.ts';
import { LOG_SILENT, type Log } from '../src/ports/log.ts';

export interface MemberOptions {
  readonly id: string;
  /** What the others dial. Default 127.0.0.1. */
  readonly host?: string;
  readonly peerPort: number;
  /** Default: no port for Redis clients. */
  readonly respPort?: number;
  /** Default: no port for HTTP. */
  readonly httpPort?: number;
  /** What it fails together with. Default `default`. */
  readonly zone?: string;
  /** Its share of the data, relative to the others. Default 1. */
  readonly weight?: number;
}

/** A policy as in the configuration file: in words (`PA/EC SIBLINGS TTL=30s`), or as an object. */
export type PolicyOption =
  | string
  | {
      readonly policy?: string;
      readonly r?: number;
      readonly w?: number;
      readonly quorum?: 'strict' | 'sloppy';
      readonly conflicts?: 'siblings' | 'last-write-wins';
      readonly siblingsRead?: 'newest' | 'error';
      readonly ttl?: string;
    };

export interface PolicyRuleOption {
  /** Of keys that begin so; the longest prefix that matches applies. */
  readonly prefix: string;
  readonly policy: PolicyOption;
}

/** Sizes and durations may be numbers, or words such as `64MiB` and `500ms`. */
type Loose<T> = { readonly [K in keyof T]?: T[K] | (T[K] extends number ? number | string : T[K]) };

export interface NodeOptions<T> {
  /** Name of this node, the same for ever. */
  readonly nodeId: string;
  /** Default `dure`. Nodes of another cluster are refused. */
  readonly clusterName?: string;
  /** Every node of the cluster, this one included; the same list in each. Left out: this node is alone. */
  readonly members?: readonly MemberOptions[];
  /**
   * HTTP addresses of members of a cluster (`http://10.0.0.1:8371`): a node that belongs to none yet asks them to take
   * it in. Of itself it says `ports.peer` and `host`, or is the one of `members`; what the cluster is, it is told.
   */
  readonly join?: readonly string[];
  /** What the others dial. Of a node that is alone or joins. Default 127.0.0.1. */
  readonly host?: string;
  /** The same: what it fails together with, default `default`. */
  readonly zone?: string;
  /** The same: its share of the data, relative to the others, default 1. */
  readonly weight?: number;
  /** Of a node that is alone or joins; of others the list of members says them. Default: none. */
  readonly ports?: { readonly resp?: number; readonly http?: number; readonly peer?: number };
  /** Address to listen on. Default: the host of the member. */
  readonly bind?: string;
  /** Where rows are kept, durably: a directory of this node alone. Either this or `memory`. */
  readonly dataDir?: string;
  /** Rows are kept in memory only. */
  readonly memory?: true;
  readonly storage?: Loose<Omit<StorageConfig, 'engine'>>;
  /** N: copies of each row. Default 3, or as many as there are members. */
  readonly replicas?: number;
  /** A power of two; fixed when the cluster is created. Default 1024. */
  readonly partitions?: number;
  /** Of keys without a rule of their own. Default `PA/EC`. */
  readonly policy?: PolicyOption;
  readonly policies?: readonly PolicyRuleOption[];
  readonly limits?: Loose<LimitsConfig>;
  readonly http?: Partial<HttpConfig>;
  /** Asked of Redis and HTTP clients. Default: none. */
  readonly password?: string;
  /** Where the node writes what happens to it. Default: nowhere. */
  readonly log?: Log;
  /** Start although storage lost what it had promised and no other replica has it. Default false. */
  readonly acceptStorageLoss?: boolean;

  /** Default: JSON. */
  readonly codec?: Codec<T>;
  /** Of the keys that belong to no space of their own. */
  readonly merge?: Resolver<T>;
  /** Of every call that brings none of its own. Default: the policy of the key. */
  readonly consistency?: Consistency;
  /** Of each value written by a call that brings none of its own. Default: that of the policy. */
  readonly ttlMs?: number;
  /** See `SpaceOptions`. */
  readonly repeatWrites?: boolean;
  /** Of a call, all attempts together, milliseconds. Default 5000. */
  readonly deadlineMs?: number;
  readonly retryBudget?: RetryBudgetOptions;
  /** Calls under way; more are refused. Default 16,384. */
  readonly callsMax?: number;
}

/** The options, checked and sorted by whom they concern. */
export interface Plan<T> {
  readonly config: NodeConfig;
  readonly log: Log;
  readonly acceptStorageLoss: boolean;
  readonly space: SpaceOptions<T>;
  readonly deadlineMs: number;
  readonly callsMax: number;
  readonly retryBudget: RetryBudgetOptions;
}

/**
 * Reads the options.
 * @throws DureError `invalid` with every problem of them
 */
export function planOf<T>(options: NodeOptions<T>): Plan<T> {
  if (options === undefined) throw invalid('createNode takes an object with options, `nodeId` at least');
  const { codec, merge, consistency, ttlMs, repeatWrites, deadlineMs, retryBudget, callsMax, ...rest } =
    options;
  const { log, acceptStorageLoss, memory, dataDir, storage, members, ports, ...settings } = rest;
  const faults: string[] = [];
  if ((memory === true) === (dataDir !== undefined)) {
    faults.push('expected either dataDir: a directory, or memory: true');
  }
  const lone = members === undefined || members.length === 0;
  const { config, problems } = loadConfig({
    values: {
      ...settings,
      storage: { ...storage, engine: memory === true ? 'memory' : 'classic-level' },
      ...(dataDir === undefined ? {} : { dataDir }),
      ...(lone ? { ports: { resp: 0, http: 0, peer: 0, ...ports } } : { members: members.map(portless) }),
      ...(lone || ports === undefined ? {} : { ports }),
    },
  });
  for (const { where, message } of problems) faults.push(`${where}: ${message}`);
  if (deadlineMs !== undefined && !(deadlineMs > 0 && deadlineMs <= deadlineMsMax)) {
    faults.push(`deadlineMs: expected milliseconds above 0, and at most ${deadlineMsMax}`);
  }
  if (callsMax !== undefined && !(Number.isInteger(callsMax) && callsMax > 0)) {
    faults.push('callsMax: expected a whole number above 0');
  }
  if (log !== undefined && typeof log.write !== 'function') {
    faults.push('log: expected an object with write(level, event, fields)');
  }
  if (config === undefined || faults.length > 0) {
    throw invalid(
      `the options of createNode cannot be used:\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    );
  }
  return {
    config,
    log: log ?? LOG_SILENT,
    acceptStorageLoss: acceptStorageLoss === true,
    space: { codec: codec ?? jsonCodec<T>(), merge, consistency, ttlMs, repeatWrites },
    deadlineMs: deadlineMs ?? 5000,
    callsMax: callsMax ?? 16_384,
    retryBudget: retryBudgetOf(retryBudget),
  };
}

/** A member without doors, unless it says that it has them. What is no object is left to be complained about. */
function portless(member: unknown): unknown {
  return typeof member === 'object' && member !== null ? { respPort: 0, httpPort: 0, ...member } : member;
}
