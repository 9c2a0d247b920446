/**
 * The handshake: the first frame each way on a pipe between two nodes.
 *
 * The one who dials says hello: which protocol and cluster it speaks for, who it is, and whom it
 * believes it has reached. The one who was dialled answers welcome, or a refusal in words that an
 * operator can act on. Only after a welcome do message frames follow.
 *
 * ```
 * u32 length | u32 CRC-32 of what follows | 'DURE' | u8 kind | body
 * ```
 *
 * The layout never changes with the protocol version, which is a field of the hello: two versions can
 * always tell each other why they do not fit. The version of a hello that was welcomed is the version of the
 * pipe. The one who dials begins with the latest it speaks; refused for that (`isVersionRefusal`: the first
 * words of the reason never change either), it says hello again in the version before, down to the oldest it
 * speaks. `life` is a random number a process draws when it starts: a peer that shows another one was restarted.
 */

import {
  ByteReader,
  type ByteString,
  ByteWriter,
  readU32,
  utf8Bytes,
  utf8Text,
  writeU32,
} from '../base/bytes.ts';
import { crc32 } from '../base/crc32.ts';
import { CodedError } from '../base/errors.ts';
import type { NodeId } from '../ports/transport.ts';
import { PROTOCOL_VERSION, PROTOCOL_VERSION_LEAST, PROTOCOL_VERSION_TOPOLOGY } from './frame.ts';

/** A handshake frame above this is not one. */
export const HANDSHAKE_BYTES_MAX = 4096;

const magic = 0x44555245; // 'DURE'
const kindHello = 1;
const kindWelcome = 2;
const kindRefusal = 3;

/** What the dialling node says first. */
export interface Hello {
  readonly kind: 'hello';
  readonly protocolVersion: number;
  readonly clusterName: ByteString;
  /** The sender. */
  readonly nodeId: NodeId;
  /** Whom the sender believes it dialled. */
  readonly nodeIdExpected: NodeId;
  /** A u32 drawn at random by the sender's process when it started. */
  readonly life: number;
}

/** The dialled node takes the pipe. */
export interface Welcome {
  readonly kind: 'welcome';
  readonly nodeId: NodeId;
  readonly life: number;
}

/** The dialled node does not, and says why. */
export interface Refusal {
  readonly kind: 'refusal';
  readonly reason: string;
}

export type Handshake = Hello | Welcome | Refusal;

/** The frame of a handshake message. */
export function encodeHandshake(message: Handshake): Uint8Array {
  const writer = new ByteWriter(128);
  writer.u32(0);
  writer.u32(0);
  writer.u32(magic);
  switch (message.kind) {
    case 'hello':
      writer.u8(kindHello);
      writer.u16(message.protocolVersion);
      writer.text(message.clusterName);
      writer.text(message.nodeId);
      writer.text(message.nodeIdExpected);
      writer.u32(message.life);
      break;
    case 'welcome':
      writer.u8(kindWelcome);
      writer.text(message.nodeId);
      writer.u32(message.life);
      break;
    case 'refusal':
      writer.u8(kindRefusal);
      writer.blob(utf8Bytes(message.reason).subarray(0, HANDSHAKE_BYTES_MAX - 32));
      break;
  }
  const frame = writer.take();
  writeU32(frame, 0, frame.length);
  writeU32(frame, 4, crc32(frame.subarray(8)));
  return frame;
}

/**
 * Reads a handshake frame.
 * @throws CodedError `protocol` when it is not one, `corrupt` when its checksum is wrong.
 */
export function decodeHandshake(frame: Uint8Array): Handshake {
  const reader = new ByteReader(frame);
  if (reader.u32() !== frame.length || frame.length > HANDSHAKE_BYTES_MAX) {
    throw new CodedError('protocol', 'none', `handshake of ${frame.length} bytes has a wrong length`);
  }
  const checksum = reader.u32();
  if (frame.length < 13 || readU32(frame, 8) !== magic) {
    throw new CodedError('protocol', 'none', 'the first frame is not a handshake of Dure');
  }
  if (checksum !== crc32(frame.subarray(8))) {
    throw new CodedError('corrupt', 'none', 'handshake fails its checksum');
  }
  reader.u32();
  const message = readBody(reader);
  if (reader.remaining !== 0) {
    throw new CodedError('protocol', 'none', `handshake has ${reader.remaining} bytes too many`);
  }
  return message;
}

function readBody(reader: ByteReader): Handshake {
  const kind = reader.u8();
  switch (kind) {
    case kindHello:
      return {
        kind: 'hello',
        protocolVersion: reader.u16(),
        clusterName: reader.text(),
        nodeId: reader.text(),
        nodeIdExpected: reader.text(),
        life: reader.u32(),
      };
    case kindWelcome:
      return { kind: 'welcome', nodeId: reader.text(), life: reader.u32() };
    case kindRefusal:
      return { kind: 'refusal', reason: utf8Text(reader.blob()) };
    default:
      throw new CodedError('protocol', 'none', `handshake of unknown kind ${kind}`);
  }
}

/** What the dialled node knows of itself and its cluster. */
export interface HandshakeIdentity {
  /** The versions it speaks: the latest, and the oldest. */
  readonly protocolVersion: number;
  readonly protocolVersionLeast: number;
  readonly clusterName: ByteString;
  readonly nodeId: NodeId;
  readonly life: number;
  /** Every member of the cluster, this node included. */
  readonly memberIds: ReadonlySet<NodeId>;
  /** The topology they are the members of. */
  readonly epoch: number;
}

/**
 * The versions that may be spoken in an epoch. Members that know nothing of epochs have a founding one in their
 * configuration, and would be wrong about who owns what in any other.
 * @param max a test may forbid later versions.
 */
export function versionsOf(
  epoch: number,
  max: number = PROTOCOL_VERSION,
): Pick<HandshakeIdentity, 'protocolVersion' | 'protocolVersionLeast'> {
  const least = epoch > 1 ? PROTOCOL_VERSION_TOPOLOGY : PROTOCOL_VERSION_LEAST;
  return { protocolVersion: max, protocolVersionLeast: least };
}

const versionRefusal = 'wrong protocol version';

/** Whether a hello was refused for its version: an older one may be welcome. */
export function isVersionRefusal(reason: string): boolean {
  return reason.startsWith(versionRefusal);
}

/** Members are named up to so many. */
const namesMax = 8;

/**
 * Whether a hello may be welcomed.
 * @returns undefined if so, else the reason in words for the logs at both ends.
 */
export function checkHello(mine: HandshakeIdentity, hello: Hello): string | undefined {
  if (hello.clusterName !== mine.clusterName) {
    return `wrong cluster: "${hello.clusterName}" dialled a node of cluster "${mine.clusterName}"`;
  }
  const version = checkVersion(mine, hello);
  if (version !== undefined) return version;
  if (hello.nodeId === mine.nodeId) {
    return hello.life === mine.life
      ? `node "${mine.nodeId}" dialled itself: the address of a member is wrong in its configuration`
      : `duplicate id: another process also calls itself "${mine.nodeId}"; give each node its own nodeId`;
  }
  if (hello.nodeIdExpected !== mine.nodeId) {
    return (
      `wrong node: "${hello.nodeId}" meant to dial "${hello.nodeIdExpected}" and reached ` +
      `"${mine.nodeId}"; check the addresses of the members`
    );
  }
  if (!mine.memberIds.has(hello.nodeId)) {
    return (
      `unknown node: "${hello.nodeId}" is not among the members that "${mine.nodeId}" knows in epoch ` +
      `${mine.epoch} (${namesOf(mine.memberIds)}); it may have left, or not have joined yet`
    );
  }
  return undefined;
}

function checkVersion(mine: HandshakeIdentity, hello: Hello): string | undefined {
  const { protocolVersion: latest, protocolVersionLeast: least } = mine;
  if (hello.protocolVersion <= latest && hello.protocolVersion >= least) return undefined;
  const theirs = `${versionRefusal}: "${hello.nodeId}" speaks ${hello.protocolVersion}, "${mine.nodeId}" speaks`;
  if (least >= latest) return `${theirs} ${latest}; run the same release on both`;
  return `${theirs} ${least} to ${latest}; run releases on both that follow each other`;
}

function namesOf(ids: ReadonlySet<NodeId>): string {
  const names = [...ids].sort();
  const more = names.length - namesMax;
  return names.slice(0, namesMax).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
