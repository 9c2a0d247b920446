/**
 * A topology as bytes: what is voted for, sent and kept. Equal topologies have equal bytes.
 *
 * ```
 * u8 format 1 · u32 epoch · u8 phase (0 steady, 1 copy, 2 switch, 3 enrol)
 * members     u16 count, each: text id · f64 weight · text zone · text host · u16 RESP, peer and HTTP port
 * lost        as members
 * change      u8 kind (0 none), and if there is one: u48 id · u8 1 if cancelled · u32 epoch · u48 began at ·
 *             u16 count and ids of its nodes · u16 count and ids of those gone
 * read        u32 epoch · u8 log2 of partitions · u8 N · u16 count of owners, each: text id · f64 weight · text
 *             zone · for each partition its owners, primary first, u16 each
 * other       as read; in phases copy and switch only
 * ```
 *
 * Texts are UTF-8 after a u16 length. 1024 partitions of three replicas are 6 KiB a table.
 */

import { ByteReader, ByteWriter, byteString, readU32, utf8Bytes, utf8Text } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import { checkShape, MEMBER_COUNT_MAX, type RingMember, Table } from '../ring/table.ts';
import { checkTopology } from './checks.ts';
import {
  type ChangeKind,
  hasTwoTables,
  Topology,
  type TopologyChange,
  type TopologyMember,
  type TopologyPhase,
} from './topology.ts';

const format = 1;
const textBytesMax = 1024;
const phases: readonly TopologyPhase[] = ['steady', 'copy', 'switch', 'enrol'];
const kinds: readonly (ChangeKind | undefined)[] = [
  undefined,
  'join',
  'leave',
  'remove',
  'replace',
  'weight',
];

export function encodeTopology(topology: Topology): Uint8Array {
  const { epoch, phase, members, lost, change, read, other } = topology;
  const writer = new ByteWriter(16_384);
  writer.u8(format);
  writer.u32(epoch);
  writer.u8(phases.indexOf(phase));
  writeMembers(writer, members);
  writeMembers(writer, lost);
  writeChange(writer, change);
  writeTable(writer, read);
  if (other !== undefined) writeTable(writer, other);
  return writer.take();
}

/**
 * The epoch that the bytes of a topology begin with, without reading them: those of a large cluster take milliseconds,
 * and most that come tell what is known. 0 for what can be none.
 */
export function encodedEpoch(bytes: Uint8Array): number {
  return bytes.length > 5 && bytes[0] === format ? readU32(bytes, 1) : 0;
}

/**
 * The topology of bytes that may come from anywhere.
 * @throws CodedError `protocol` or `invalid`: bytes that are none, or one that contradicts itself.
 */
export function decodeTopology(bytes: Uint8Array): Topology {
  const reader = new ByteReader(bytes);
  if (reader.u8() !== format) throw malformed('format');
  const epoch = reader.u32();
  const phase = phases[reader.u8()];
  if (phase === undefined) throw malformed('phase');
  const members = readMembers(reader);
  const lost = readMembers(reader);
  const change = readChange(reader);
  const read = readTable(reader);
  const other = hasTwoTables(phase) ? readTable(reader) : undefined;
  if (reader.remaining > 0) throw malformed('length');
  const content = { epoch, phase, members, lost, change, read, other };
  checkTopology(content);
  return new Topology(content);
}

function writeMembers(writer: ByteWriter, members: readonly TopologyMember[]): void {
  writer.u16(members.length);
  for (const member of members) {
    writeRingMember(writer, member);
    writeText(writer, member.host);
    writer.u16(member.respPort);
    writer.u16(member.peerPort);
    writer.u16(member.httpPort);
  }
}

/** In the order of their ids. */
function readMembers(reader: ByteReader): TopologyMember[] {
  const members: TopologyMember[] = [];
  for (let count = readCount(reader); count > 0; count--) {
    members.push({
      ...readRingMember(reader),
      host: readText(reader),
      respPort: reader.u16(),
      peerPort: reader.u16(),
      httpPort: reader.u16(),
    });
  }
  checkSorted(members);
  return members;
}

function writeChange(writer: ByteWriter, change: TopologyChange | undefined): void {
  writer.u8(kinds.indexOf(change?.kind));
  if (change === undefined) return;
  writer.u48(change.id);
  writer.u8(change.isCancelled ? 1 : 0);
  writer.u32(change.epoch);
  writer.u48(change.beganAt);
  writeIds(writer, change.nodes);
  writeIds(writer, change.gone);
}

function readChange(reader: ByteReader): TopologyChange | undefined {
  const code = reader.u8();
  const kind = kinds[code];
  if (kind === undefined) {
    if (code === 0) return undefined;
    throw malformed('kind of change');
  }
  const id = reader.u48();
  const flags = reader.u8();
  if (flags > 1) throw malformed('flags');
  const epoch = reader.u32();
  const beganAt = reader.u48();
  const nodes = readIds(reader);
  const gone = readIds(reader);
  const change = { kind, id, nodes, gone, epoch, beganAt };
  return flags === 1 ? { ...change, isCancelled: true } : change;
}

function writeTable(writer: ByteWriter, table: Table): void {
  writer.u32(table.epoch);
  writer.u8(Math.log2(table.partitionCount));
  writer.u8(table.replicaCount);
  writer.u16(table.members.length);
  for (const member of table.members) writeRingMember(writer, member);
  for (let partition = 0; partition < table.partitionCount; partition++) {
    for (const index of table.replicaIndices(partition)) writer.u16(index);
  }
}

/** What a table must be besides, its constructor checks. */
function readTable(reader: ByteReader): Table {
  const epoch = reader.u32();
  const partitionCount = 2 ** Math.min(reader.u8(), Math.log2(SLOT_COUNT) + 1);
  const replicaCount = reader.u8();
  checkShape(partitionCount, replicaCount);
  const members: RingMember[] = [];
  for (let count = readCount(reader); count > 0; count--) members.push(readRingMember(reader));
  const length = partitionCount * Math.min(replicaCount, members.length);
  const bytes = reader.raw(length * 2);
  const lists = new Uint16Array(length);
  for (let place = 0; place < length; place++) {
    lists[place] = (bytes[2 * place]! << 8) | bytes[2 * place + 1]!;
  }
  return new Table({ epoch, partitionCount, replicaCount, members, lists });
}

function writeRingMember(writer: ByteWriter, { id, weight, zone }: RingMember): void {
  writeText(writer, id);
  writer.f64(weight);
  writeText(writer, zone);
}

function readRingMember(reader: ByteReader): RingMember {
  return { id: readText(reader), weight: reader.f64(), zone: readText(reader) };
}

function writeIds(writer: ByteWriter, ids: readonly string[]): void {
  writer.u16(ids.length);
  for (const id of ids) writeText(writer, id);
}

function readIds(reader: ByteReader): string[] {
  const ids: string[] = [];
  for (let count = readCount(reader); count > 0; count--) ids.push(readText(reader));
  return ids;
}

function writeText(writer: ByteWriter, text: string): void {
  writer.text(byteString(utf8Bytes(text)));
}

function readText(reader: ByteReader): string {
  const length = reader.u16();
  if (length > textBytesMax) throw malformed('text');
  return utf8Text(reader.raw(length));
}

/** A count of members, or of members that are gone. */
function readCount(reader: ByteReader): number {
  const count = reader.u16();
  if (count > MEMBER_COUNT_MAX) throw malformed('count');
  return count;
}

function checkSorted(members: readonly TopologyMember[]): void {
  for (let at = 1; at < members.length; at++) {
    if (members[at - 1]!.id >= members[at]!.id) throw malformed('order of members');
  }
}

function malformed(what: string): CodedError {
  return new CodedError('protocol', 'none', `not a topology: its ${what} makes no sense`);
}
