/**
 * The lookout: asks every member of a cluster over HTTP for its topology and its metrics, again and again.
 *
 * It is told one address or a few to begin with; from then on it keeps the addresses that the topology names, so
 * that it goes on when those it began with are gone. Of several answers the one of the highest epoch counts.
 */

import { type Reading, readMetrics } from '../../autoscale/samples.ts';
import type { ProblemBody } from '../../http/api/problem.ts';
import type { TopologyAnswer } from '../../http/api/topology-json.ts';
import { askInTurn } from '../cluster-call.ts';
import { addressWords, httpCall, problemWords, wholeText } from '../http-call.ts';

/** What was seen at one moment. */
export interface Sight {
  /** The newest that anybody told; undefined when nobody did. */
  readonly topology: TopologyAnswer | undefined;
  /** All that was told, by the node that told it. */
  readonly topologies: ReadonlyMap<string, TopologyAnswer>;
  /** By node; of those that answered. */
  readonly readings: ReadonlyMap<string, Reading>;
  /** Who did not answer, and why. */
  readonly problems: readonly string[];
}

export interface LookoutOptions {
  /** `host:httpPort`, at least one. */
  readonly seeds: readonly string[];
  /** For each answer. */
  readonly timeoutMs: number;
  /** Sent along with changes; undefined for none. */
  readonly password: string | undefined;
}

/** The topology is chosen by Paxos, which may take several rounds when nodes are slow. */
const changeTimeoutMs = 30_000;
const answerLengthMax = 4 * 1024 * 1024;
/** Members beyond are not asked. */
const addressesMax = 1024;

export class Lookout {
  readonly #options: LookoutOptions;
  /** Of the members, by id, as of the last topology. */
  #addresses: ReadonlyMap<string, string> = new Map();

  constructor(options: LookoutOptions) {
    this.#options = options;
  }

  /** Asks everybody. Never rejects: who does not answer is missing. */
  async look(): Promise<Sight> {
    const asked = new Set(this.#addresses.values());
    let told = await this.#askAll([...asked]);
    // The seeds are asked only when nobody else answers: they may be long gone.
    if (told.every(({ topology }) => topology === undefined)) {
      const seeds = this.#options.seeds.filter((seed) => !asked.has(seed));
      for (const seed of seeds) asked.add(seed);
      told = [...told, ...(await this.#askAll(seeds))];
    }
    const newest = newestOf(told);
    if (newest === undefined) return sightOf(undefined, told);
    this.#addresses = addressesOf(newest);
    const others = [...this.#addresses.values()].filter((address) => !asked.has(address));
    if (others.length > 0) told = [...told, ...(await this.#askAll(others))];
    return sightOf(newestOf(told), told);
  }

  /**
   * Asks a member that stays to let `id` go. Done when the first epoch of that is chosen.
   * @throws Error in words for people.
   */
  async leave(id: string): Promise<void> {
    const others = [...this.#addresses].filter(([member]) => member !== id);
    if (others.length === 0) throw new Error('no other member is known');
    const path = `/v1/nodes/${encodeURIComponent(id)}/leave`;
    const call = { path, method: 'POST', timeoutMs: changeTimeoutMs } as const;
    const nodes = others.map(([member, address]) => ({ id: member, address }));
    const taken = await askInTurn(nodes, call, this.#options.password);
    // If somebody may have taken the request all the same, the next look shows.
    if ('problems' in taken) throw new Error(taken.problems.at(-1));
  }

  #askAll(addresses: readonly string[]): Promise<Told[]> {
    return Promise.all(
      addresses.slice(0, addressesMax).map((address) => askOne(address, this.#options.timeoutMs)),
    );
  }
}

/** What one address answered. */
interface Told {
  readonly topology: TopologyAnswer | undefined;
  readonly reading: Reading | undefined;
  readonly problem: string;
}

async function askOne(address: string, timeoutMs: number): Promise<Told> {
  try {
    const [topology, metrics] = await Promise.all([
      text(address, '/v1/topology', timeoutMs),
      text(address, '/metrics', timeoutMs),
    ]);
    const answer = JSON.parse(topology) as Partial<TopologyAnswer>;
    const { epoch, node, members, moves } = answer;
    if (typeof epoch !== 'number' || typeof node !== 'string' || !Array.isArray(members) || !moves) {
      throw new Error('it is not a node of Dure, or one of another version');
    }
    return { topology: answer as TopologyAnswer, reading: readMetrics(metrics), problem: '' };
  } catch (error) {
    const words = error instanceof SyntaxError ? 'its answer is not JSON' : problemWords(error, timeoutMs);
    return { topology: undefined, reading: undefined, problem: `${address}: ${words}` };
  }
}

/** @throws Error when it is not answered with 200. */
async function text(address: string, path: string, timeoutMs: number): Promise<string> {
  const response = await httpCall(address, path, { timeoutMs });
  const body = await wholeText(response, answerLengthMax);
  if (response.status !== 200) throw new Error(`${path}: ${refusalWords(response.status, body)}`);
  return body;
}

function refusalWords(status: number, body: string): string {
  try {
    const { detail } = JSON.parse(body) as Partial<ProblemBody>;
    if (typeof detail === 'string') return `${detail} (HTTP ${status})`;
  } catch {
    // Not one of our problems: the status must do.
  }
  return `it answered HTTP ${status}`;
}

function newestOf(told: readonly Told[]): TopologyAnswer | undefined {
  let newest: TopologyAnswer | undefined;
  for (const { topology } of told) {
    if (topology !== undefined && (newest === undefined || topology.epoch > newest.epoch)) newest = topology;
  }
  return newest;
}

function addressesOf({ members }: TopologyAnswer): ReadonlyMap<string, string> {
  const addresses = new Map<string, string>();
  for (const { id, host, httpPort } of members) {
    if (host !== undefined && httpPort !== undefined && httpPort > 0) {
      addresses.set(id, addressWords(host, httpPort));
    }
  }
  return addresses;
}

function sightOf(topology: TopologyAnswer | undefined, told: readonly Told[]): Sight {
  const topologies = new Map<string, TopologyAnswer>();
  const readings = new Map<string, Reading>();
  for (const { topology: one, reading } of told) {
    if (one === undefined) continue;
    topologies.set(one.node, one);
    if (reading !== undefined) readings.set(one.node, reading);
  }
  const problems = told.map(({ problem }) => problem).filter((problem) => problem !== '');
  return { topology, topologies, readings, problems };
}
