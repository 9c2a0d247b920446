/**
 * What every topology must be, whoever wrote it, and what a new member must be to be taken in.
 *
 * The picture: the clerk who looks a page over before it is bound into the register. A page from a peer or a
 * disk is trusted in nothing; one that this node computed passes the same desk.
 */

import { CodedError } from '../base/errors.ts';
import { type RingMember, type Table, WEIGHT_MAX } from '../ring/table.ts';
import { EPOCH_MAX, hasTwoTables, type TopologyContent, type TopologyMember } from './topology.ts';

const idPattern = /^[A-Za-z0-9._-]{1,64}$/;
const hostPattern = /^[!-~]{1,253}$/;
const zoneLengthMax = 64;
const portMax = 0xffff;

/** An error of the one who asked: nothing was done. */
export function refusal(fault: string): CodedError {
  return new CodedError('invalid', 'fail', `${fault}; nothing was changed`);
}

/** @throws CodedError `invalid`: what cannot be used about a member, by itself. */
export function checkMember(member: TopologyMember): void {
  const { id, host, zone, respPort, peerPort, httpPort } = member;
  if (!idPattern.test(id)) throw refusal(`a node is named by 1 to 64 of A-Z a-z 0-9 . _ -, not by "${id}"`);
  if (!hostPattern.test(host)) throw refusal(`"${host}" is no host that ${id} could be dialled at`);
  if (zone.length < 1 || zone.length > zoneLengthMax || !zone.isWellFormed()) {
    throw refusal(`the zone of ${id} is not a text of 1 to ${zoneLengthMax} characters`);
  }
  checkWeight(id, member.weight);
  const ports = [respPort, peerPort, httpPort];
  for (const port of ports) {
    if (!Number.isInteger(port) || port < 0 || port > portMax) throw refusal(`${port} is no port of ${id}`);
    if (port !== 0 && ports.indexOf(port) !== ports.lastIndexOf(port)) {
      throw refusal(`${id} has port ${port} twice`);
    }
  }
}

/** @throws CodedError `invalid`. */
export function checkWeight(id: string, weight: number): void {
  if (!(weight > 0 && weight <= WEIGHT_MAX)) {
    throw refusal(`the weight of ${id} must be above 0 and at most ${WEIGHT_MAX}, not ${weight}`);
  }
}

/**
 * Checks that a member has its addresses for itself. Port 0 is no port.
 * @throws CodedError `invalid`, which names the other.
 */
export function checkAddresses(member: TopologyMember, others: Iterable<TopologyMember>): void {
  const own = portsOf(member);
  for (const other of others) {
    if (other.id === member.id || other.host !== member.host) continue;
    const taken = portsOf(other).find((port) => own.includes(port));
    if (taken === undefined) continue;
    throw refusal(`${member.host}:${taken} cannot be an address of ${member.id}: it is one of ${other.id}`);
  }
}

function portsOf({ respPort, peerPort, httpPort }: TopologyMember): number[] {
  return [respPort, peerPort, httpPort].filter((port) => port !== 0);
}

/**
 * Checks that the parts of a topology fit each other.
 * @throws CodedError `invalid`, with the first fault found.
 */
export function checkTopology(content: TopologyContent): void {
  const { epoch, phase, members, read, other, change } = content;
  if (!Number.isInteger(epoch) || epoch < 1 || epoch > EPOCH_MAX) throw invalid('epoch out of range');
  if (hasTwoTables(phase) !== (other !== undefined)) throw invalid('two tables while owners change');
  if (phase !== 'steady' && change === undefined) throw invalid('no change that is under way');
  const tables = other === undefined ? [read] : [read, other];
  for (const table of tables) {
    if (table.epoch > epoch) throw invalid('a table of an epoch to come');
    if (table.partitionCount !== read.partitionCount) throw invalid('tables of two clusters');
  }
  for (const member of members) checkMember(member);
  checkEverybody(content, tables);
  if (change === undefined) return;
  if (change.epoch > epoch) throw invalid('a change that begins later');
  for (const { id } of members) if (change.gone.includes(id)) throw invalid(`${id} is a member and gone`);
}

/** Members and owners are the same ones, but for those that are gone. */
function checkEverybody(content: TopologyContent, tables: readonly Table[]): void {
  const { phase, members, read, other, change, lost = [] } = content;
  const next = phase === 'copy' ? other! : read;
  const ids = new Set(members.map(({ id }) => id));
  if (ids.size !== members.length || ids.size === 0) throw invalid('members, each once');
  for (const member of members) {
    const named =
      ringMember(next, member.id) ?? tables.map((table) => ringMember(table, member.id)).find(Boolean);
    if (named === undefined && isExpected(content, member.id)) continue;
    if (named === undefined) throw invalid(`${member.id} is a member and owns nothing`);
    if (named.weight !== member.weight || named.zone !== member.zone) {
      throw invalid(`${member.id} has another weight or zone as an owner`);
    }
  }
  for (const { id } of tables.flatMap((table) => table.members)) {
    if (!ids.has(id) && !change?.gone.includes(id))
      throw invalid(`${id} owns, and is neither a member nor gone`);
  }
  if ((phase === 'steady' || phase === 'switch') && lost.length > 0)
    throw invalid('members that could come back, after the copying');
  if (phase === 'enrol' && change?.kind === 'replace' && lost.length !== 1)
    throw invalid('one who comes for another, and nobody who is gone');
  for (const { id } of lost) {
    const isGone = !ids.has(id) && change!.gone.includes(id) && read.has(id);
    if (!isGone) throw invalid(`${id} is not gone`);
  }
}

/** Whether a member owns nothing because it comes, and is waited for. */
function isExpected({ phase, change }: TopologyContent, id: string): boolean {
  return phase === 'enrol' && change !== undefined && change.nodes.includes(id);
}

/** A member as a table has it. */
export function ringMember(table: Table, id: string): RingMember | undefined {
  return table.members[table.indexOf(id)];
}

function invalid(fault: string): CodedError {
  return new CodedError('invalid', 'none', `topology: ${fault}`);
}
