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

/**
 * Asks for a later epoch than the one that is known here. Takes at most `askMs`, and nothing where nobody is named.
 * @param known epoch that is known here
 * @returns the latest that anybody told; undefined if nobody knows a later one
 */
export async function askForNews(
  config: NodeConfig,
  addresses: readonly string[],
  known: number,
): Promise<Topology | undefined> {
  const asked = others(config, addresses);
  const answers = await Promise.all(
    asked.map((address) => topologyOf(config, address).catch(() => undefined)),
  );
  let latest: Topology | undefined;
  for (const told of answers) {
    if (told !== undefined && told.epoch > (latest?.epoch ?? known)) latest = told;
  }
  return latest;
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
        if (error instanceof Refusal) answeredAt = performance.now();
        for (const more of error instanceof Refusal ? error.members : []) {
          if (addresses.size < addressesMax) addresses.add(more);
        }
        problems.push(`${address}: ${problemWords(error, askMs)}`);
      }
    }
    const now = performance.now();
    if (now - answeredAt > (times.nobodyMsMax ?? nobodyMsMax) || now - beganAt > busyMsMax) {
      throw new StartError(EXIT.failed, refusedWords(config, problems));
    }
    const words = problems.join('; ');
    if (words !== lastWords || now > tellAt) {
      log.write('info', 'joining', { problems: words, elapsedMs: Math.round(now - beganAt) });
      lastWords = words;
      tellAt = now + tellEveryMs;
    }
    await delay(pauseMs);
    pauseMs = Math.min(pauseMs * 1.6, times.pauseMsMost ?? pauseMsMost);
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
    const body = { id, host, respPort, peerPort, httpPort, zone, weight, cluster: config.clusterName };
    const call = { method: 'POST', body, headers: passwordHeaders(config), timeoutMs: changeMs } as const;
    const answer = await httpCall(address, '/v1/nodes', call);
    const text = await wholeText(answer);
    if (answer.status !== 200) {
      const problem = problemIn(text);
      const words = problem?.detail ?? `it answered HTTP ${answer.status}`;
      // Nothing that asking again could change: a wrong password, an id or an address that is taken.
      if (answer.status === 401 || problem?.code === 'invalid') {
        throw new StartError(EXIT.failed, `${address} does not take node ${id} in: ${words}`);
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

/** What a member knows. @throws Error with words; that of the system; CodedError for what cannot be read */
async function topologyOf(config: NodeConfig, address: string): Promise<Topology> {
  const call = { headers: passwordHeaders(config), timeoutMs: askMs };
  const response = await httpCall(address, '/v1/topology?encoded=true', call);
  const text = await wholeText(response);
  if (response.status !== 200) throw new Error(`it answered HTTP ${response.status}`);
  const answer = problemIn(text) as Partial<TopologyAnswer> | undefined;
  if (typeof answer?.encoded !== 'string')
    throw new Error('it is not a node of Dure, or one of another version');
  if (answer.cluster !== config.clusterName) throw new Error(`it belongs to cluster "${answer.cluster}"`);
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

function refusedWords({ nodeId }: NodeConfig, problems: readonly string[]): string {
  return [
    `node ${nodeId} was not taken in:`,
    ...problems.map((problem) => `  ${problem}`),
    'join names HTTP addresses of members that are up. Start this node again when they are.',
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
