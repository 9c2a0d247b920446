/**
 * What a node asks the others, over HTTP, before it starts: to be taken in, or what it missed while it was away.
 *
 * The picture: a newcomer at the town hall. Any clerk will do, and whichever is in gives him the register with his
 * own name in it; with that he moves in. Somebody who comes home after a journey only asks whether there is a newer
 * register, and if nobody is up, he goes by his own.
 *
 * Whom it asks: the addresses of `join`, those that the topology on its disk names, and whoever these name. So a
 * node that was named in a configuration and is gone for good does no harm.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { ProblemBody } from '../http/api/problem.ts';
import type { TopologyAnswer } from '../http/api/topology-json.ts';
import type { Log } from '../ports/log.ts';
import { decodeTopology } from '../topology/codec.ts';
import type { Topology } from '../topology/topology.ts';
import type { NodeConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import { addressWords, httpCall, problemWords, wholeText } from './http-call.ts';
import { StartError } from './start-error.ts';

/** A question waits so long, milliseconds. */
const askMs = 1500;
/** A change of the topology takes a few rounds between the members, milliseconds. */
const changeMs = 20_000;
/** Between two rounds of asking to be taken in; each wait is longer than the one before, milliseconds. */
const pauseMsLeast = 250;
const pauseMsMost = 5000;
/** Nobody answers for so long: given up, milliseconds. A supervisor starts the node again. */
const nobodyMsMax = 120_000;
/** They answer, and cannot take it in yet: another change is under way. Given up after so long, milliseconds. */
const busyMsMax = 12 * 3_600_000;
/** The same words are logged no more often, milliseconds. */
const tellEveryMs = 10_000;
const addressesMax = 1024;

/** For tests: how long things take, milliseconds. */
export interface JoinTimes {
  readonly nobodyMsMax?: number;
  readonly pauseMsMost?: number;
}

/** What the others told. */
export interface News {
  /** The latest epoch that anybody told, later than the one known here; undefined if nobody knows one. */
  readonly latest: Topology | undefined;
  /** At how many addresses a member of the cluster answered. */
  readonly answers: number;
  /** At how many it is not known whether there is one: no answer in time. */
  readonly silent: number;
}

/**
 * Asks for a later epoch than the one that is known here. Takes at most `askMs`, and nothing where nobody is named.
 * @param known epoch that is known here
 */
export async function askForNews(
  config: NodeConfig,
  addresses: readonly string[],
  known: number,
): Promise<News> {
  let latest: Topology | undefined;
  let [answers, silent] = [0, 0];
  const ask = async (address: string): Promise<void> => {
    try {
      const told = await topologyOf(config, address);
      answers++;
      if (told.epoch > (latest?.epoch ?? known)) latest = told;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') silent++;
    }
  };
  await Promise.all(others(config, addresses).map(ask));
  return { latest, answers, silent };
}

/**
 * Asks again and again for an epoch that is at least `least`: this node knew it, and lost it with its disk.
 * @param canFound nothing lasts in this cluster: where nobody is there any more, it is founded anew
 * @returns undefined if it is to be founded anew
 * @throws StartError when nobody tells one for two minutes
 */
export async function askForLost(
  config: NodeConfig,
  addresses: readonly string[],
  least: number,
  canFound: boolean,
  log: Log,
  times: JoinTimes = {},
): Promise<Topology | undefined> {
  const endAt = performance.now() + (times.nobodyMsMax ?? nobodyMsMax);
  for (let isFirst = true; ; isFirst = false) {
    const { latest, answers, silent } = await askForNews(config, addresses, least - 1);
    if (latest !== undefined) return latest;
    if (canFound && answers + silent === 0) return undefined;
    if (performance.now() > endAt) throw new StartError(EXIT.failed, lostWords(config, addresses, least));
    if (isFirst) log.write('warn', 'topology-lost', { epoch: least, meaning: lostMeaning });
    await delay(times.pauseMsMost ?? pauseMsMost);
  }
}

const lostMeaning =
  'the database of this node is gone, and with it who the members are: it waits for one of them to tell';

function lostWords({ nodeId, dataDir }: NodeConfig, addresses: readonly string[], least: number): string {
  return [
    `node ${nodeId} was in a cluster whose topology had come to epoch ${least}, and lost its database. No other`,
    `member told it who belongs to the cluster (asked: ${addresses.join(', ') || 'nobody is known'}).`,
    'Start the others. If all of them are lost as well and the cluster is to be founded anew, delete',
    `${dataDir}/members.json.`,
  ].join('\n');
}

/**
 * Asks to be taken in until somebody does. Asking twice does no harm.
 * @returns a topology in which this node is a member
 * @throws StartError when it is refused for good, or nobody answered for two minutes
 */
export async function joinCluster(config: NodeConfig, log: Log, times: JoinTimes = {}): Promise<Topology> {
  const addresses = new Set(others(config, config.join));
  const beganAt = performance.now();
  let answeredAt = beganAt;
  let pauseMs = pauseMsLeast;
  let tellAt = Number.NEGATIVE_INFINITY;
  let lastWords = '';
  for (;;) {
    const problems: string[] = [];
    let stranger: Stranger | undefined;
    // Those that are found on the way are asked in the same round.
    for (const address of addresses) {
      try {
        const topology = await askToJoin(config, address);
        log.write('info', 'joined', {
          through: address,
          epoch: topology.epoch,
          members: topology.members.length,
        });
        return topology;
      } catch (error) {
        if (error instanceof StartError) throw error;
        if (error instanceof Stranger) stranger = error;
        if (error instanceof Refusal) answeredAt = performance.now();
        for (const more of error instanceof Refusal ? error.members : []) {
          if (addresses.size < addressesMax) addresses.add(more);
        }
        problems.push(`${address}: ${problemWords(error, askMs)}`);
      }
    }
    const now = performance.now();
    if (now - answeredAt > (times.nobodyMsMax ?? nobodyMsMax) || now - beganAt > busyMsMax) {
      throw new StartError(EXIT.failed, refusedWords(config, problems, stranger));
    }
    const words = problems.join('; ');
    // How long ago something began is no news.
    const news = words.replaceAll(/begun \S+ ago/g, '');
    if (news !== lastWords || now > tellAt) {
      const action = stranger === undefined ? {} : { action: strangerAdvice(config, stranger) };
      const elapsedMs = Math.round(now - beganAt);
      // Others come up, or are done, by themselves; a name does not mend itself.
      log.write(stranger === undefined ? 'info' : 'warn', 'joining', {
        problems: words,
        elapsedMs,
        ...action,
      });
      lastWords = news;
      tellAt = now + tellEveryMs;
    }
    await delay(pauseMs);
    pauseMs = Math.min(pauseMs * 1.6, times.pauseMsMost ?? pauseMsMost);
  }
}

/** Who answered is of another cluster. */
class Stranger extends Error {
  readonly cluster: string;

  constructor(cluster: string) {
    super(`it belongs to cluster "${cluster}"`);
    this.cluster = cluster;
  }
}

/** It was not taken in this time, by somebody who answers. */
class Refusal extends Error {
  /** HTTP addresses of all members, as far as it told them. */
  readonly members: readonly string[];

  constructor(message: string, members: readonly string[] = []) {
    super(message);
    this.members = members;
  }
}

/** @throws Refusal to ask again; StartError when that would be of no use; the system's error */
async function askToJoin(config: NodeConfig, address: string): Promise<Topology> {
  const { id, host, respPort, peerPort, httpPort, zone, weight } = config.self;
  const before = await topologyOf(config, address);
  if (!before.has(id)) {
    if (config.storage.evictionPolicy !== 'none') throw new StartError(EXIT.failed, evictsWords(config));
    const body = { id, host, respPort, peerPort, httpPort, zone, weight, cluster: config.clusterName };
    const call = { method: 'POST', body, headers: passwordHeaders(config), timeoutMs: changeMs } as const;
    const answer = await httpCall(address, '/v1/nodes', call);
    const text = await wholeText(answer);
    if (answer.status !== 200) {
      const problem = problemIn(text);
      const words = problem?.detail ?? `it answered HTTP ${answer.status}`;
      // Nothing that asking again could change: a wrong password, an id or an address that is taken.
      if (answer.status === 401 || problem?.code === 'invalid') {
        const reason = answer.status === 401 ? passwordWords(config) : words;
        throw new StartError(EXIT.failed, `${address} does not take node ${id} in: ${reason}`);
      }
      throw new Refusal(words, others(config, httpAddresses(before)));
    }
  }
  const now = before.has(id) ? before : await topologyOf(config, address);
  if (!now.has(id)) {
    throw new Refusal('it was taken in, but that was cancelled', others(config, httpAddresses(now)));
  }
  checkAddress(config, now);
  return now;
}

function evictsWords({ nodeId, storage }: NodeConfig): string {
  return [
    `node ${nodeId} drops rows to make room (storage.evictionPolicy is ${storage.evictionPolicy}): it could never prove to hold`,
    'its share of the data, and its join would wait for ever. A cache is founded with all its members; a node that joins',
    'a cluster has storage.evictionPolicy none.',
  ].join('\n');
}

function problemIn(text: string): Partial<ProblemBody> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function passwordHeaders({ password }: NodeConfig): Readonly<Record<string, string>> {
  return password === undefined ? {} : { authorization: `Bearer ${password}` };
}

function passwordWords({ password }: NodeConfig): string {
  return password === undefined
    ? 'the cluster has a password; set the same one here (password, or DURE_PASSWORD)'
    : 'the cluster has another password than this node (password, or DURE_PASSWORD)';
}

/** What a member knows. @throws Error with words; that of the system; CodedError for what cannot be read */
async function topologyOf(config: NodeConfig, address: string): Promise<Topology> {
  const call = { headers: passwordHeaders(config), timeoutMs: askMs };
  const response = await httpCall(address, '/v1/topology?encoded=true', call);
  const text = await wholeText(response);
  if (response.status !== 200) {
    throw new Error(problemIn(text)?.detail ?? `it answered HTTP ${response.status}`);
  }
  const answer = problemIn(text) as Partial<TopologyAnswer> | undefined;
  if (typeof answer?.encoded !== 'string')
    throw new Error('it is not a node of Dure, or one of another version');
  if (answer.cluster !== config.clusterName) throw new Stranger(String(answer.cluster));
  return decodeTopology(Buffer.from(answer.encoded, 'base64'));
}

/** HTTP addresses of members. */
export function httpAddresses({ members }: Pick<Topology, 'members'>): string[] {
  return members.flatMap(({ host, httpPort }) => (httpPort > 0 ? [addressWords(host, httpPort)] : []));
}

/** Without this node, each once. */
function others({ self }: NodeConfig, addresses: readonly string[]): string[] {
  const own = addressWords(self.host, self.httpPort);
  return [...new Set(addresses)].filter((address) => address !== own).slice(0, addressesMax);
}

function strangerAdvice({ clusterName }: NodeConfig, { cluster }: Stranger): string {
  return `this node is to join cluster "${clusterName}": set clusterName to "${cluster}", or join to addresses of "${clusterName}"`;
}

function refusedWords(
  config: NodeConfig,
  problems: readonly string[],
  stranger: Stranger | undefined,
): string {
  return [
    `node ${config.nodeId} was not taken in:`,
    ...problems.map((problem) => `  ${problem}`),
    stranger === undefined
      ? 'join names HTTP addresses of members that are up. Start this node again when they are.'
      : `Mend the configuration and start it again: ${strangerAdvice(config, stranger)}.`,
  ].join('\n');
}

/**
 * The others dial a member where the topology says.
 * @throws StartError when that is not where this node listens
 */
export function checkAddress({ self, nodeId, dataDir }: NodeConfig, topology: Topology): void {
  const known = topology.member(nodeId)!;
  const differing = (['host', 'respPort', 'peerPort', 'httpPort'] as const).filter((field) => {
    return known[field] !== self[field];
  });
  if (differing.length === 0) return;
  const words = differing.map((field) => `  ${field} is ${known[field]} there, and ${self[field]} here`);
  throw new StartError(
    EXIT.failed,
    [
      `the cluster knows ${nodeId} at another address (epoch ${topology.epoch} of its topology):`,
      ...words,
      'The address of a member does not change. Put the configuration back; or let the node leave ("dure node',
      `leave ${nodeId}", while it still runs at its old address) or replace it ("dure node replace ${nodeId}"), and`,
      `join with the new address under another id and with another data directory than ${dataDir}.`,
    ].join('\n'),
  );
}

/** Where a configuration and the topology say different things that do no harm: the topology counts. */
export function topologyWarnings({ self, members, join }: NodeConfig, topology: Topology): string[] {
  const warnings: string[] = [];
  const known = topology.member(self.id)!;
  for (const field of ['zone', 'weight'] as const) {
    if (known[field] === self[field]) continue;
    const advice = field === 'weight' ? '; "dure node weight" changes it' : '';
    warnings.push(
      `${field} of this node is ${self[field]} in the configuration and ${known[field]} in the topology, ` +
        `which counts${advice}`,
    );
  }
  const gone = members.filter(({ id }) => !topology.has(id)).map(({ id }) => id);
  if (gone.length > 0 && join.length === 0) {
    warnings.push(`members names ${gone.join(', ')}: no members any more, or never; the topology counts`);
  }
  const others =
    topology.members.length > 1 && members.every(({ id }) => id === self.id || !topology.has(id));
  if (others && join.length === 0) {
    warnings.push(
      'the configuration names no other member of the cluster: set join, so that this node, should it lose its disk, ' +
        'asks the others instead of founding a cluster of its own',
    );
  }
  return warnings;
}

/** Says that the node has no part in its cluster any more. */
export function notMember({ nodeId, clusterName, dataDir }: NodeConfig, topology: Topology): StartError {
  return new StartError(
    EXIT.notMember,
    [
      `node ${nodeId} is no member of cluster ${clusterName} any more: it left or was removed before epoch ` +
        `${topology.epoch} of the topology.`,
      `What is in ${dataDir} belongs to nobody and was left as it is. It may be deleted; to take part again, the`,
      'node must join with an empty data directory.',
    ].join('\n'),
  );
}
