/**
 * The messages of membership beside PING and PONG (`src/membership`): the family of gossip.
 *
 * The picture: "I cannot hear Carol; can you?" and "yes, she answered me just now". No answer says
 * nothing. The gossip itself travels as a blob in each PING and PONG.
 *
 * ```
 * PROBE      text id of the member      answered by HEARD if that member answers
 * HEARD      text id of the member
 * ```
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { NodeId } from '../ports/transport.ts';
import { writeFamilyHead } from './messages.ts';

export const GOSSIP_PROBE = 20;
export const GOSSIP_HEARD = 21;

/** "Ping this member, and tell me if it answers." */
export function writeGossipProbe(writer: ByteWriter, target: NodeId): void {
  writeFamilyHead(writer, GOSSIP_PROBE, 0);
  writer.text(target);
}

/** "It answered me after you asked." */
export function writeGossipHeard(writer: ByteWriter, target: NodeId): void {
  writeFamilyHead(writer, GOSSIP_HEARD, 0);
  writer.text(target);
}

/** The body of both. */
export function readGossipTarget(reader: ByteReader): NodeId {
  return reader.text();
}
