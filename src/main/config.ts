/**
 * The configuration of a node: read, checked as a whole, and made ready to use.
 *
 * Whoever starts a node wants to hear of all mistakes at once, each with its place and what was
 * expected. So every setting is read by itself, and what settings mean together is checked for those
 * that could be read; only when nothing is wrong is there a configuration.
 */

import { dirname, resolve } from 'node:path';
import { byteString, utf8Bytes } from '../base/bytes.ts';
import { type Policy, type PolicyRule, PolicyTable } from '../coordinator/policy.ts';
import { type PolicyWish, policyOfWish } from '../coordinator/policy-text.ts';
import {
  type HttpConfig,
  type Issue,
  keysAt,
  type LimitsConfig,
  type LogConfig,
  type MemberConfig,
  type PolicyRuleConfig,
  type RawConfig,
  readTree,
  type StorageConfig,
} from './config-schema.ts';
import { type Gathered, gather, type Problem, type Sources, suggestion } from './config-sources.ts';
import { addressWords } from './http-call.ts';

/** A configuration without mistakes. */
export interface NodeConfig {
  readonly nodeId: string;
  readonly clusterName: string;
  /** Absolute. */
  readonly dataDir: string;
  /** Address to listen on. */
  readonly bind: string;
  /** This node among the members. */
  readonly self: MemberConfig;
  /** Those that found the cluster, at least this node. Once a topology is stored, that counts. */
  readonly members: readonly MemberConfig[];
  /** `host:port` of members, over HTTP: whom a node that belongs to no cluster yet asks to take it in. */
  readonly join: readonly string[];
  readonly partitions: number;
  /** N as configured; a key has as many replicas as there are members, if those are fewer. */
  readonly replicas: number;
  readonly policy: Policy;
  readonly policies: readonly PolicyRule[];
  /** The same as it is written, for `policyTableOf`. */
  readonly policyWish: PolicyWish;
  readonly policyWishes: readonly PolicyRuleConfig[];
  readonly storage: StorageConfig;
  readonly limits: LimitsConfig;
  readonly http: HttpConfig;
  readonly password: string | undefined;
  /** The latest protocol version to speak with other nodes. */
  readonly protocolVersionMax: number;
  readonly log: LogConfig;
  /** Absolute path of the file it came from. */
  readonly file: string | undefined;
}

export interface Loaded {
  /** Undefined when there are problems. */
  readonly config: NodeConfig | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
}

/** Loads a configuration. Never throws; starts nothing. */
export function loadConfig(sources: Sources): Loaded {
  const gathered = gather(sources);
  const { values, issues } = readTree(gathered.tree);
  const problems = [...gathered.problems, ...issues.map((issue) => problemOf(issue, gathered))];
  const unread = gathered.problems.length > 0;
  const members = unread ? undefined : membersOf(values, gathered, problems);
  const warnings = [...gathered.warnings];
  checkPolicies(values, members, gathered, problems, warnings);
  checkStorage(values, gathered, problems);
  const config =
    problems.length === 0 ? complete(values as RawConfig, members!, gathered, sources) : undefined;
  return { config, problems, warnings };
}

/** The policies of a configuration with N replicas. An R or W beyond N, in a cluster that became smaller, is N. */
export function policyTableOf({ policyWish, policyWishes }: NodeConfig, n: number): PolicyTable {
  const capped = ({ r, w, ...rest }: PolicyWish): PolicyWish => ({
    ...rest,
    ...(r === undefined ? {} : { r: Math.min(r, n) }),
    ...(w === undefined ? {} : { w: Math.min(w, n) }),
  });
  const rules = policyWishes.map(({ prefix, policy }) => {
    return { prefix: byteString(utf8Bytes(prefix)), policy: policyOfWish(capped(policy), n) };
  });
  return new PolicyTable(policyOfWish(capped(policyWish), n), rules, n);
}

/** The problems as lines for a person. */
export function problemLines(problems: readonly Problem[]): string {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  const lines = problems.map(({ where, message }) => `  ${where}: ${message}`);
  return [`${count} in the configuration; nothing was started:`, ...lines].join('\n');
}

function problemOf(issue: Issue, gathered: Gathered): Problem {
  const message =
    issue.unknownKey === undefined
      ? issue.message
      : issue.message + suggestion(issue.unknownKey, keysAt(issue.path));
  const path = issue.unknownKey === undefined ? issue.path : [...issue.path, issue.unknownKey];
  return { where: gathered.whereOf(path), message };
}

/** The members with this node among them, or undefined when they cannot be told. */
function membersOf(
  values: Partial<RawConfig>,
  gathered: Gathered,
  problems: Problem[],
): readonly MemberConfig[] | undefined {
  const { nodeId, members, ports } = values;
  if (nodeId === undefined || members === undefined || ports === undefined) return undefined;
  if (!('zone' in values) || !('weight' in values)) return undefined;
  const tell = (path: readonly (string | number)[], message: string): void => {
    problems.push({ where: gathered.whereOf(path), message });
  };
  if (members.length === 0) {
    const resp = ports.resp ?? 6371;
    const base = resp === 0 ? 6371 : resp;
    const peer = ports.peer ?? base + 1000;
    const http = ports.http ?? base + 2000;
    if (http > 65535 || peer > 65535) {
      tell(
        ['ports', 'resp'],
        `expected a port that leaves room for +1000 and +2000, at most 63535; found ${resp}`,
      );
    }
    const host = values.host ?? '127.0.0.1';
    const self = {
      id: nodeId,
      host,
      respPort: resp,
      peerPort: peer,
      httpPort: http,
      zone: values.zone ?? 'default',
      weight: values.weight ?? 1,
    };
    checkMembers([self], ['ports'], tell);
    checkJoin(values, self, tell);
    return [self];
  }
  checkMembers(members, ['members'], tell);
  const index = members.findIndex((member) => member.id === nodeId);
  if (index < 0) {
    const ids = members.map((member) => member.id);
    tell(['nodeId'], `expected one of the members (${ids.join(', ')}); found "${nodeId}"`);
    return members;
  }
  const self = members[index]!;
  const pairs = [
    ['resp', 'respPort'],
    ['peer', 'peerPort'],
    ['http', 'httpPort'],
  ] as const;
  for (const [key, field] of pairs) {
    if (ports[key] === undefined || ports[key] === self[field]) continue;
    tell(
      ['ports', key],
      `expected ${self[field]}, as members say of "${nodeId}", or nothing; found ${ports[key]}`,
    );
  }
  for (const field of ['host', 'zone', 'weight'] as const) {
    if (values[field] === undefined || values[field] === self[field]) continue;
    tell(
      [field],
      `expected ${self[field]}, as members say of "${nodeId}", or nothing; found ${values[field]}`,
    );
  }
  checkJoin(values, self, tell);
  return members;
}

/** Whether a node that is to be taken in can be reached by those who take it. */
function checkJoin({ join = [] }: Partial<RawConfig>, self: MemberConfig, tell: Tell): void {
  if (join.length === 0) return;
  if (self.peerPort === 0) tell(['join'], 'a node that joins others needs a port for them; set ports.peer');
  const own = addressWords(self.host, self.httpPort);
  if (join.every((address) => address === own)) {
    tell(['join'], `expected other members than this node, which is at ${own}`);
  }
}

type Tell = (path: readonly (string | number)[], message: string) => void;

function checkMembers(members: readonly MemberConfig[], path: readonly string[], tell: Tell): void {
  const ids = new Set<string>();
  const addresses = new Map<string, string>();
  members.forEach((member, i) => {
    const at = path[0] === 'members' ? [...path, i] : [...path];
    if (ids.has(member.id))
      tell([...at, 'id'], `"${member.id}" is the id of two members; each needs its own`);
    ids.add(member.id);
    for (const field of ['respPort', 'peerPort', 'httpPort'] as const) {
      if (member[field] === 0) continue;
      const address = `${member.host}:${member[field]}`;
      const name = `${field} of ${member.id}`;
      const other = addresses.get(address);
      if (other !== undefined)
        tell([...at, field], `${address} is also the ${other}; each port needs its own`);
      addresses.set(address, name);
    }
  });
}

/**
 * Policies are checked against N as the cluster wants it, not against the members there are now: it may grow. What
 * asks for more than there are is told, and asks for all of them until there are more.
 */
function checkPolicies(
  values: Partial<RawConfig>,
  members: readonly MemberConfig[] | undefined,
  gathered: Gathered,
  problems: Problem[],
  warnings: string[],
): void {
  if (values.replicas === undefined || members === undefined) return;
  const n = values.replicas;
  // Whoever joins others learns from them how many they are.
  const most = values.join !== undefined && values.join.length > 0 ? n : Math.min(n, members.length);
  const check = (wish: PolicyWish, path: readonly (string | number)[]): void => {
    for (const name of ['r', 'w'] as const) {
      const value = wish[name];
      if (value === undefined || value <= most) continue;
      const where = gathered.whereOf(path);
      if (value > n) {
        const message = `expected ${name} from 1 to ${n} (replicas is ${n}); found ${value}`;
        problems.push({ where, message });
      } else {
        const there = most === 1 ? 'there is 1 member' : `there are ${most} members`;
        warnings.push(
          `${where}: ${name} is ${value} and ${there}: until there are more it asks for all of them`,
        );
      }
    }
  };
  if (values.policy !== undefined) check(values.policy, ['policy']);
  const prefixes = new Set<string>();
  values.policies?.forEach((rule, i) => {
    check(rule.policy, ['policies', i]);
    if (prefixes.has(rule.prefix)) {
      problems.push({
        where: gathered.whereOf(['policies', i]),
        message: `the prefix "${rule.prefix}" has two policies; keep one`,
      });
    }
    prefixes.add(rule.prefix);
  });
}

function checkStorage(values: Partial<RawConfig>, gathered: Gathered, problems: Problem[]): void {
  const { storage, limits } = values;
  const tell = (path: readonly string[], message: string): void => {
    problems.push({ where: gathered.whereOf(path), message });
  };
  if (storage?.engine === 'classic-level') {
    if (storage.evictionPolicy !== 'none') {
      tell(['storage', 'evictionPolicy'], 'only the memory engine evicts; expected none with classic-level');
    }
    if (storage.memoryBytesMax !== 0) {
      tell(['storage', 'memoryBytesMax'], 'only the memory engine has this bound; see storage.hotBytesMax');
    }
  }
  if (storage?.engine === 'memory') {
    const { evictionPolicy, memoryBytesMax } = storage;
    if (evictionPolicy !== 'none' && memoryBytesMax === 0) {
      tell(['storage', 'evictionPolicy'], `${evictionPolicy} needs a bound: set storage.memoryBytesMax too`);
    }
  }
  if (limits !== undefined) {
    if (limits.silenceMaxMs < 2 * limits.heartbeatIntervalMs) {
      tell(
        ['limits', 'silenceMaxMs'],
        `expected at least twice limits.heartbeatIntervalMs (${limits.heartbeatIntervalMs} ms), ` +
          `else one late heartbeat makes a peer dead; found ${limits.silenceMaxMs} ms`,
      );
    }
    if (limits.outputBytesSoft > limits.outputBytesHard) {
      tell(['limits', 'outputBytesSoft'], 'expected at most limits.outputBytesHard');
    }
    checkHorizons(limits, tell);
  }
}

/** Tombstone horizons: a margin that no honest write can miss, and an alarm that is not always on. */
function checkHorizons(limits: LimitsConfig, tell: (path: string[], words: string) => void): void {
  const { horizonMarginMs, horizonAlarmMs, horizonIntervalMs, requestTimeoutMs, clockOffsetMaxMs } = limits;
  if (horizonMarginMs < requestTimeoutMs + 2 * clockOffsetMaxMs) {
    tell(
      ['limits', 'horizonMarginMs'],
      'expected at least limits.requestTimeoutMs and twice limits.clockOffsetMaxMs together, ' +
        `else a write may be refused as too late while it is under way; found ${horizonMarginMs} ms`,
    );
  }
  if (horizonAlarmMs < horizonMarginMs + 2 * horizonIntervalMs) {
    tell(
      ['limits', 'horizonAlarmMs'],
      'expected at least limits.horizonMarginMs and twice limits.horizonIntervalMs together, ' +
        `else the alarm is always on; found ${horizonAlarmMs} ms`,
    );
  }
}

function complete(
  values: RawConfig,
  members: readonly MemberConfig[],
  gathered: Gathered,
  sources: Sources,
): NodeConfig {
  const self = members.find((member) => member.id === values.nodeId)!;
  const n = values.replicas;
  // A relative path in a file is meant from where the file lies, one in a flag from where one stands.
  const fromFile = sources.file !== undefined && !gathered.isOverridden('dataDir');
  const base = fromFile ? dirname(resolve(sources.file)) : process.cwd();
  return {
    nodeId: values.nodeId,
    clusterName: values.clusterName,
    dataDir: resolve(base, values.dataDir),
    bind: values.bind ?? self.host,
    self,
    members,
    join: values.join,
    partitions: values.partitions,
    replicas: values.replicas,
    policy: policyOfWish(values.policy, n),
    policies: values.policies.map((rule) => ({
      prefix: byteString(utf8Bytes(rule.prefix)),
      policy: policyOfWish(rule.policy, n),
    })),
    policyWish: values.policy,
    policyWishes: values.policies,
    storage: values.storage,
    limits: values.limits,
    http: values.http,
    password: values.password,
    protocolVersionMax: values.protocolVersionMax,
    log: values.log,
    file: sources.file === undefined ? undefined : resolve(sources.file),
  };
}
