/**
 * Every setting of a node: its place, kind, default and meaning. The YAML file, the flags, the
 * environment, `--help` and the messages about mistakes are all made from this one tree.
 */

import { z } from 'zod';
import { CodedError } from '../base/errors.ts';
import { POLICY_PRESETS } from '../coordinator/policy.ts';
import { POLICY_FIELDS, type PolicyWish, wishFromValue } from '../coordinator/policy-text.ts';
import { NODE_LIMITS_DEFAULT } from '../node/options.ts';
import { SERVER_LIMITS_DEFAULT } from '../server/limits.ts';
import { PROTOCOL_VERSION, PROTOCOL_VERSION_LEAST } from '../wire/frame.ts';
import {
  ADDRESSES,
  bytes,
  choice,
  describe,
  duration,
  FLAG,
  HOST,
  integer,
  NAME,
  noteOf,
  number,
  optional,
  PORT,
  PORT_OR_NONE,
  required,
  type SettingNote,
  setting,
  show,
  TEXT,
  words,
} from './config-values.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** What was read, or the problem with it in words. */
type Reading<T> = { readonly value: T } | { readonly problem: string };

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

/** The grammar is that of `dure policy`, of HTTP and of Redis commands: `policy-text.ts`. */
function readPolicy(value: unknown): Reading<PolicyWish> {
  try {
    // A word that is no policy at all is told what a file may say, not what a command line may.
    const isWord = typeof value === 'string' && !/[=\s]/.test(value);
    if (isWord && !Object.keys(POLICY_PRESETS).includes(value.toUpperCase())) {
      return { problem: `expected ${POLICY_FIELDS}; found ${show(value)}` };
    }
    return { value: wishFromValue(value) };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { problem: error.message };
  }
}

export interface PolicyRuleConfig {
  readonly prefix: string;
  readonly policy: PolicyWish;
}

function readRule(value: unknown): Reading<PolicyRuleConfig> {
  const { prefix, ...policy } = fieldsOf(value) ?? {};
  if (typeof prefix !== 'string') {
    return {
      problem: `expected {prefix: "carts:", policy: PC/EC}, or r, w and quorum in place of policy; found ${show(value)}`,
    };
  }
  // A policy that stands alone is read by itself: what is wrong with it is told in its own words.
  const isAlone = policy.policy !== undefined && Object.keys(policy).length === 1;
  const reading = readPolicy(isAlone ? policy.policy : policy);
  return 'problem' in reading ? reading : { value: { prefix, policy: reading.value } };
}

function reader<T>(read: (value: unknown) => Reading<T>): z.ZodType<T> {
  return z
    .unknown()
    .optional()
    .transform((value, context): T => {
      const reading = read(value);
      if ('value' in reading) return reading.value;
      context.issues.push({ code: 'custom', message: reading.problem, input: value });
      return z.NEVER;
    });
}

const policy = reader<PolicyWish>((value) => readPolicy(value ?? 'PA/EC'));
const rule = reader(readRule);

const member = z.strictObject({
  id: required(NAME, 'name of the node, the same for ever'),
  host: setting(HOST, '127.0.0.1', 'what clients and peers dial'),
  respPort: required(PORT_OR_NONE, 'port for Redis clients; 0: it has none'),
  peerPort: required(PORT, 'port for the other nodes'),
  httpPort: required(PORT_OR_NONE, 'port for HTTP; 0: it has none'),
  zone: setting(NAME, 'default', 'what it fails together with: a rack, a host, a data centre'),
  weight: setting(number(0.001, 1_000_000, false), 1, 'its share of the data, relative to the others'),
});

function list<T extends z.ZodType>(item: T, note: Omit<SettingNote, 'text' | 'fallback'>) {
  return describe(
    z
      .array(item)
      .nullish()
      .transform((value) => value ?? []),
    {
      ...note,
      text: false,
      fallback: '[]',
    },
  );
}

const ports = z.strictObject({
  resp: optional(PORT_OR_NONE, "the member's respPort, else 6371", 'port for Redis clients; 0: none'),
  peer: optional(
    PORT_OR_NONE,
    "the member's peerPort, else ports.resp + 1000",
    'port for the other nodes; 0: none, for a node that is alone',
  ),
  http: optional(PORT_OR_NONE, "the member's httpPort, else ports.resp + 2000", 'port for HTTP; 0: none'),
});

const storage = z.strictObject({
  engine: setting(choice(['classic-level', 'memory']), 'classic-level', 'where rows are kept'),
  durability: setting(
    choice(['always', 'interval']),
    'interval',
    'always: fsync before a write is acknowledged; interval: within storage.syncIntervalMs',
  ),
  syncIntervalMs: setting(duration(10, 60_000), 1000, 'with interval durability, time until fsync'),
  cacheBytes: setting(bytes(MiB), 64 * MiB, 'LevelDB cache of uncompressed blocks'),
  writeBufferBytes: setting(bytes(MiB, 1024 * MiB), 32 * MiB, 'LevelDB memtable; there may be two'),
  hotBytesMax: setting(bytes(0), 64 * MiB, 'rows kept in memory in front of LevelDB; 0 for none'),
  memoryBytesMax: setting(bytes(0), 0, 'memory engine: bound on its rows; 0 for none'),
  evictionPolicy: setting(
    choice(['none', 'lru', 'lfu']),
    'none',
    'memory engine at its bound: refuse writes, or drop rows least recently or least often used',
  ),
});

const node = NODE_LIMITS_DEFAULT;
const door = SERVER_LIMITS_DEFAULT;

const limits = z.strictObject({
  pairBytesMax: setting(bytes(64, 16 * MiB), node.pairBytesMax, 'key and value of one pair together'),
  siblingsMax: setting(
    integer(1),
    node.siblingsMax,
    'siblings of a key under policy siblings; beyond it writes that add one are refused',
  ),
  requestsMax: setting(
    integer(1),
    node.requestsMax,
    'requests in flight at this node; beyond it they are refused',
  ),
  requestTimeoutMs: setting(duration(1), node.requestTimeoutMs, 'deadline of a request'),
  clockOffsetMaxMs: setting(duration(1), node.clockOffsetMaxMs, 'rows stamped further ahead are refused'),
  heartbeatIntervalMs: setting(duration(10), node.heartbeatIntervalMs, 'between heartbeats to a peer'),
  silenceMaxMs: setting(duration(50), node.silenceMaxMs, 'a peer silent for longer is taken for dead'),
  hedgeShareMax: setting(
    number(0, 1, false),
    node.hedgeShareMax,
    'extra reads that hedging may cause, as a share',
  ),
  hintBytesMax: setting(bytes(64 * KiB), node.hintBytesMax, 'hints kept here for one absent member'),
  handoffBytesPerSecond: setting(
    bytes(64 * KiB),
    node.handoffBytesPerSecond,
    'hints are handed over at most so fast, a second',
  ),
  moveBytesPerSecond: setting(
    bytes(64 * KiB),
    node.moveBytesPerSecond,
    'rows that move to this node while owners change are fetched at most so fast, a second',
  ),
  repairIntervalMs: setting(
    duration(100, 30 * 24 * 3_600_000),
    node.repairIntervalMs,
    'every partition is compared with its replicas this often',
  ),
  repairShareMax: setting(
    number(0.001, 1, false),
    node.repairShareMax,
    'share of a core that comparing replicas may take',
  ),
  horizonIntervalMs: setting(
    duration(100, 30 * 24 * 3_600_000),
    node.horizonIntervalMs,
    'between two attempts to raise a tombstone horizon',
  ),
  horizonMarginMs: setting(
    duration(1000),
    node.horizonMarginMs,
    'tombstones younger than this stay; a row that comes later than this is refused',
  ),
  horizonAlarmMs: setting(
    duration(1000, 30 * 24 * 3_600_000),
    node.horizonAlarmMs,
    'a tombstone horizon held for so long raises an alarm',
  ),
  drainGraceMs: setting(
    duration(0, 600_000),
    0,
    'a node that is told to stop serves on for so long, while its health says that it is not ready',
  ),
  clientsMax: setting(integer(1), door.clientsMax, 'Redis clients connected at a time'),
  idleTimeoutMs: setting(duration(0), door.idleTimeoutMs, 'a client silent for longer is closed; 0: never'),
  pendingCommandsMax: setting(integer(1), door.pendingCommandsMax, 'commands of one client under way'),
  outputBytesHard: setting(bytes(64 * KiB), door.outputBytesHard, 'replies a client may leave unread'),
  outputBytesSoft: setting(
    bytes(64 * KiB),
    door.outputBytesSoft,
    'the same, for longer than limits.outputSoftMs',
  ),
  outputSoftMs: setting(duration(0), door.outputSoftMs, 'see limits.outputBytesSoft'),
  bufferedBytesMax: setting(bytes(MiB), door.bufferedBytesMax, 'queries and replies of all clients together'),
});

const http = z.strictObject({
  api: setting(FLAG, true, 'serve the data API (/v1) beside health, metrics and status'),
  hosts: setting(
    words('a list of host names without ports', /^[A-Za-z0-9._-]{1,253}$/),
    [],
    'names by which this node is called, beside localhost, IP addresses and the hosts of the members',
  ),
  origins: setting(
    words('a list of origins such as https://admin.example', /^https?:\/\/[^\s/]{1,260}$/i),
    [],
    'other sites whose pages may send requests',
  ),
});

const log = z.strictObject({
  level: setting(choice(['debug', 'info', 'warn', 'error', 'silent']), 'info', 'least level that is written'),
  format: setting(choice(['auto', 'json', 'pretty']), 'auto', 'auto: pretty in a terminal, else JSON'),
});

/** The settings by name; a section is a group of settings. */
const tree: { readonly [K in keyof RawConfig]: z.ZodType<RawConfig[K]> } = {
  nodeId: setting(NAME, 'n1', 'name of this node, the same for ever'),
  clusterName: setting(NAME, 'dure', 'nodes of another cluster are refused'),
  dataDir: setting(TEXT, 'dure-data', 'where this node keeps its data'),
  host: optional(HOST, "the member's host, else 127.0.0.1", 'what clients and peers dial'),
  bind: optional(HOST, 'host', 'address to listen on; 0.0.0.0 for all'),
  ports,
  zone: optional(NAME, "the member's zone, else default", 'what this node fails together with'),
  weight: optional(
    number(0.001, 1_000_000, false),
    "the member's weight, else 1",
    'its share of the data, relative to the others',
  ),
  members: list(member, {
    description: 'every node of the cluster when it is founded, this one included; none: this node alone',
    expected: 'a list of members',
  }),
  join: setting(
    ADDRESSES,
    [],
    'HTTP addresses of members: a node that belongs to no cluster yet asks them to take it in',
  ),
  partitions: setting(
    {
      expected: 'a power of two from 1 to 16384',
      read: (value) =>
        [...Array(15).keys()].some((power) => 2 ** power === value) ? (value as number) : undefined,
    },
    1024,
    'partitions of the ring; fixed when the cluster is created',
  ),
  replicas: setting(
    integer(1, 15),
    3,
    'N: copies of each row (as many as there are nodes, if those are fewer)',
  ),
  policy: describe(policy, {
    description: 'where to stand between availability, latency and consistency',
    expected: POLICY_FIELDS,
    text: false,
    fallback: 'PA/EC',
  }),
  policies: list(rule, {
    description: 'policies of keys by prefix; the longest that matches applies',
    expected: 'a list of {prefix, policy}',
  }),
  storage,
  limits,
  http,
  password: optional(TEXT, 'none: no password', 'clients must AUTH with it'),
  protocolVersionMax: setting(
    integer(PROTOCOL_VERSION_LEAST, PROTOCOL_VERSION),
    PROTOCOL_VERSION,
    'the latest protocol to speak with other nodes; lower it only to rehearse an upgrade',
  ),
  log,
};

const sections: Readonly<Record<string, z.ZodObject>> = { ports, storage, limits, http, log };

/** A setting where it stands. */
export interface SettingInfo extends SettingNote {
  /** `storage.engine` */
  readonly path: string;
  /** `storage-engine`, after the two dashes. */
  readonly flag: string;
  /** `DURE_STORAGE_ENGINE` */
  readonly variable: string;
}

function infoOf(path: string, note: SettingNote): SettingInfo {
  const words = path.replace(/\./g, '-').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return { ...note, path, flag: words, variable: `DURE_${words.replace(/-/g, '_').toUpperCase()}` };
}

function listSettings(): readonly SettingInfo[] {
  const infos: SettingInfo[] = [];
  for (const [name, type] of Object.entries(tree)) {
    const note = noteOf(type);
    if (note !== undefined) infos.push(infoOf(name, note));
    const section = sections[name];
    if (section === undefined) continue;
    for (const [key, leaf] of Object.entries(section.shape))
      infos.push(infoOf(`${name}.${key}`, noteOf(leaf)!));
  }
  return infos;
}

/** Every setting, in the order of the tree. */
export const SETTINGS: readonly SettingInfo[] = listSettings();

export interface MemberConfig {
  readonly id: string;
  readonly host: string;
  readonly respPort: number;
  readonly peerPort: number;
  readonly httpPort: number;
  readonly zone: string;
  readonly weight: number;
}

export interface StorageConfig {
  readonly engine: 'classic-level' | 'memory';
  readonly durability: 'always' | 'interval';
  readonly syncIntervalMs: number;
  readonly cacheBytes: number;
  readonly writeBufferBytes: number;
  readonly hotBytesMax: number;
  readonly memoryBytesMax: number;
  readonly evictionPolicy: 'none' | 'lru' | 'lfu';
}

export interface LimitsConfig {
  readonly pairBytesMax: number;
  readonly siblingsMax: number;
  readonly requestsMax: number;
  readonly requestTimeoutMs: number;
  readonly clockOffsetMaxMs: number;
  readonly heartbeatIntervalMs: number;
  readonly silenceMaxMs: number;
  readonly hedgeShareMax: number;
  readonly hintBytesMax: number;
  readonly handoffBytesPerSecond: number;
  readonly moveBytesPerSecond: number;
  readonly repairIntervalMs: number;
  readonly repairShareMax: number;
  readonly horizonIntervalMs: number;
  readonly horizonMarginMs: number;
  readonly horizonAlarmMs: number;
  readonly drainGraceMs: number;
  readonly clientsMax: number;
  readonly idleTimeoutMs: number;
  readonly pendingCommandsMax: number;
  readonly outputBytesHard: number;
  readonly outputBytesSoft: number;
  readonly outputSoftMs: number;
  readonly bufferedBytesMax: number;
}

export interface HttpConfig {
  readonly api: boolean;
  readonly hosts: readonly string[];
  readonly origins: readonly string[];
}

export interface LogConfig {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly format: 'auto' | 'json' | 'pretty';
}

/** The settings as read, each by itself: `config.ts` looks at what they mean together. */
export interface RawConfig {
  readonly nodeId: string;
  readonly clusterName: string;
  readonly dataDir: string;
  readonly host: string | undefined;
  readonly bind: string | undefined;
  readonly ports: {
    readonly resp?: number | undefined;
    readonly peer?: number | undefined;
    readonly http?: number | undefined;
  };
  readonly zone: string | undefined;
  readonly weight: number | undefined;
  readonly members: readonly MemberConfig[];
  readonly join: readonly string[];
  readonly partitions: number;
  readonly replicas: number;
  readonly policy: PolicyWish;
  readonly policies: readonly PolicyRuleConfig[];
  readonly storage: StorageConfig;
  readonly limits: LimitsConfig;
  readonly http: HttpConfig;
  readonly password: string | undefined;
  readonly protocolVersionMax: number;
  readonly log: LogConfig;
}

/** A mistake: where, and what was expected. */
export interface Issue {
  readonly path: readonly (string | number)[];
  readonly message: string;
  /** For a key that does not exist: its name, and those that do. */
  readonly unknownKey?: string;
}

/** Keys that exist at a place in the tree, for "did you mean". */
export function keysAt(path: readonly (string | number)[]): readonly string[] {
  const [first] = path;
  if (first === undefined) return Object.keys(tree);
  if (first === 'members') return Object.keys(member.shape);
  return Object.keys(sections[String(first)]?.shape ?? {});
}

/** Reads every setting; those that are wrong are left out and told. */
export function readTree(input: Readonly<Record<string, unknown>>): {
  readonly values: Partial<RawConfig>;
  readonly issues: readonly Issue[];
} {
  const values: Record<string, unknown> = {};
  const issues: Issue[] = [];
  for (const key of Object.keys(input)) {
    if (!(key in tree)) issues.push({ path: [], message: `unknown key "${key}"`, unknownKey: key });
  }
  for (const [key, type] of Object.entries(tree)) {
    const value = input[key] ?? (key in sections ? {} : undefined);
    const result = (type as z.ZodType).safeParse(value);
    if (result.success) values[key] = result.data;
    else for (const issue of result.error.issues) issues.push(...told(key, issue));
  }
  return { values: values as Partial<RawConfig>, issues };
}

/** What a list looks like, for who wrote something else. */
const lists: Readonly<Record<string, string>> = {
  members: 'a list such as [{id: n1, host: 10.0.0.1, respPort: 6371, peerPort: 7371}, …]',
  policies: 'a list such as [{prefix: "cart:", policy: PA/EC SIBLINGS}, …]',
};

function told(key: string, issue: z.core.$ZodIssue): Issue[] {
  const path = [key, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((name) => ({ path, message: `unknown key "${name}"`, unknownKey: name }));
  }
  if (issue.code === 'invalid_type') {
    const expected =
      path.length === 1 && key in sections ? `a section with ${keysAt([key]).join(', ')}` : undefined;
    const words = expected ?? (path.length === 2 ? 'keys and values' : (lists[key] ?? 'a list'));
    return [{ path, message: `expected ${words}` }];
  }
  return [{ path, message: issue.message }];
}
