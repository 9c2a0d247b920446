/**
 * Who runs in a data directory of `dure dev`: the nodes of an earlier run, and those that are to come.
 *
 * The picture: chairs around a table, with names and places (ports) on them. Those who founded the cluster are told
 * who the others are; whoever comes later is told where the others sit, and asks to be taken in.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { MemberConfig } from './config-schema.ts';
import { type ClusterFile, type ClusterNode, writeNodeFile } from './dev-files.ts';
import { addressWords } from './http-call.ts';
import { notedMembers } from './identity-file.ts';

export interface Seat {
  readonly member: MemberConfig;
  /** It came to a cluster that was there: it is not one of the founders. */
  readonly joined: boolean;
}

export const HOST_OF_DEV = '127.0.0.1';
/** Names and ports of so many nodes are kept apart. */
export const SEATS_MAX = 100;

/** The seat of node `n{number}` of a cluster whose first node has RESP port `port`. */
export function seatOf(number: number, port: number, joined: boolean): Seat {
  const i = number - 1;
  const ports = { respPort: port + i, peerPort: port + 1000 + i, httpPort: port + 2000 + i };
  return { member: { id: `n${number}`, host: HOST_OF_DEV, ...ports, zone: 'default', weight: 1 }, joined };
}

function numberOf(id: string): number {
  return Number(/^n(\d{1,3})$/.exec(id)?.[1] ?? 0);
}

/** The RESP port of node `n1` in an earlier run. */
export function portOf({ nodes }: ClusterFile): number | undefined {
  const [first] = nodes;
  const number = numberOf(first?.id ?? '');
  return first === undefined || number === 0 ? undefined : first.respPort - number + 1;
}

/** The seats of an earlier run, at this port. */
export function earlierSeats({ nodes }: ClusterFile, port: number): Seat[] {
  return nodes.map(({ id, joined }) => seatOf(numberOf(id), port, joined === true));
}

/** Whether a cluster is not any more as it was founded: then its addresses stay as they are. */
export function hasChanged(dataDir: string, { nodes }: ClusterFile): boolean {
  return nodes.some(({ id, joined }) => {
    const noted = notedMembers({ dataDir: join(dataDir, id, 'data') });
    return joined === true || (noted?.epoch ?? 1) > 1;
  });
}

/** A seat for one more: the first name that nobody has, and of which no data are left. */
export function nextSeat(dataDir: string, seats: readonly Seat[], port: number): Seat | undefined {
  for (let number = 1; number <= SEATS_MAX; number++) {
    const seat = seatOf(number, port, true);
    const { id } = seat.member;
    const isFree = !seats.some(({ member }) => member.id === id) && !existsSync(join(dataDir, id));
    if (isFree) return seat;
  }
  return undefined;
}

/** Writes the configuration of a node. @returns its path. */
export function writeSeat(
  dataDir: string,
  seat: Seat,
  seats: readonly Seat[],
  settings: Readonly<Record<string, unknown>>,
): string {
  const { member, joined } = seat;
  if (!joined) {
    const founders = seats.filter((each) => !each.joined).map((each) => each.member);
    return writeNodeFile(dataDir, member.id, founders, settings);
  }
  const others = seats.filter((each) => each.member.id !== member.id);
  const addresses = others.map(({ member: { host, httpPort } }) => `http://${addressWords(host, httpPort)}`);
  return writeNodeFile(dataDir, member.id, [member], { ...settings, join: addresses });
}

/** A node as `cluster.json` has it. */
export function nodeOf(
  { member, joined }: Seat,
  config: string,
  argv: readonly string[],
): Omit<ClusterNode, 'pid'> {
  const { id, respPort, peerPort, httpPort } = member;
  return { id, respPort, peerPort, httpPort, config, argv, ...(joined ? { joined } : {}) };
}
