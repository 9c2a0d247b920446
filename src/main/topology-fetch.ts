/**
 * Asks the nodes of a cluster for its topology: one or some of them first, then every member they name. Each tells
 * what it knows and how far it has come itself; the latest epoch counts, and the sum of what they move.
 */

import type { TopologyAnswer, TopologyMemberJson } from '../http/api/topology-json.ts';
import { askNode } from './cluster-call.ts';
import { addressWords } from './http-call.ts';

/** What is known of the cluster now. */
export interface TopologyLook {
  /** Of the nodes that answered, those of the latest epoch first. Empty: nobody did. */
  readonly answers: readonly TopologyAnswer[];
  /** Why others did not answer, in words. */
  readonly problems: readonly string[];
}

/** What all fetching nodes together have to do, in the latest epoch. */
export interface MoveSum {
  readonly partitions: number;
  readonly partitionsDone: number;
  readonly bytes: number;
  readonly bytesLeft: number;
  readonly bytesPerSecond: number;
  /** Members that somebody waits for. */
  readonly waitsFor: readonly string[];
  /** Partitions that are still to be cleaned up by those who owned them. */
  readonly strays: number;
  readonly fetching: readonly { readonly node: string; readonly partitions: number; readonly done: number }[];
}

/** @param addresses `host:port` of HTTP ports, asked first */
export async function lookAtTopology(
  addresses: readonly string[],
  password: string | undefined,
  timeoutMs: number,
): Promise<TopologyLook> {
  const answers = new Map<string, TopologyAnswer>();
  const problems: string[] = [];
  const asked = new Set<string>();
  const ask = async (address: string): Promise<void> => {
    if (asked.has(address)) return;
    asked.add(address);
    const call = { path: '/v1/topology', method: 'GET' as const, timeoutMs, byHand: 'DURE.TOPOLOGY' };
    const reply = await askNode<TopologyAnswer>({ id: 'the node', address }, call, password);
    if ('body' in reply) answers.set(reply.body.node, reply.body);
    else problems.push(reply.problem);
  };
  await Promise.all(addresses.map(ask));
  const named = [...answers.values()].flatMap(({ members }) => members.flatMap(httpAddressOf));
  await Promise.all(named.map(ask));
  const latestFirst = [...answers.values()].sort((a, b) => b.epoch - a.epoch || (a.node < b.node ? -1 : 1));
  return { answers: latestFirst, problems };
}

function httpAddressOf({ host, httpPort }: TopologyMemberJson): string[] {
  return host === undefined || httpPort === undefined || httpPort === 0 ? [] : [addressWords(host, httpPort)];
}

/** Adds up what the nodes tell that know the latest epoch. */
export function moveSumOf(answers: readonly TopologyAnswer[]): MoveSum {
  const epoch = answers[0]?.epoch ?? 0;
  const there = answers.filter((answer) => answer.epoch === epoch);
  const moves = there.map((answer) => answer.moves);
  const add = (read: (move: (typeof moves)[number]) => number): number =>
    moves.reduce((sum, move) => sum + read(move), 0);
  const silent = (there[0]?.members ?? []).filter(({ live, state }) => live === false && state !== 'gone');
  const behind = answers.filter((answer) => answer.epoch < epoch).map(({ node }) => node);
  return {
    partitions: add((move) => move.partitions),
    partitionsDone: add((move) => move.partitionsDone),
    bytes: add((move) => move.bytes),
    bytesLeft: add((move) => move.bytesLeft),
    bytesPerSecond: add((move) => move.bytesPerSecond),
    waitsFor: [
      ...new Set([...moves.flatMap(({ waitsFor }) => waitsFor), ...silent.map(({ id }) => id), ...behind]),
    ].sort(),
    strays: add((move) => move.strays),
    fetching: there
      .filter(({ moves: { partitions } }) => partitions > 0)
      .map(({ node, moves: { partitions, partitionsDone } }) => ({ node, partitions, done: partitionsDone })),
  };
}
