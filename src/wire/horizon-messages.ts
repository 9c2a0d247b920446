/**
 * Messages of a horizon round (`src/repair/horizon-round.ts`): "close the door up to this time", "closed",
 * "I cannot", and "all proved equal: this is the horizon".
 */

import type { ByteWriter } from '../base/bytes.ts';
import { writeFamilyHead } from './messages.ts';

/** u16 partition, u48 time. */
export const FENCE = 50;
/** Nothing more. */
export const FENCED = 51;
/** u8 reason: an index into `FENCE_REFUSALS`. */
export const FENCE_REFUSED = 52;
/** u16 partition, u48 time. Never answered. */
export const HORIZON = 53;

/** Why a replica does not raise its fence. */
export const FENCE_REFUSALS: readonly string[] = [
  'its clock says that the time lies too close to now',
  'it lost data and is not whole yet',
  'it is no replica of the partition',
  'its storage does not take it',
];

export function writeFence(writer: ByteWriter, id: number, partition: number, time: number): void {
  writeFamilyHead(writer, FENCE, id);
  writer.u16(partition);
  writer.u48(time);
}

export function writeFenced(writer: ByteWriter, id: number): void {
  writeFamilyHead(writer, FENCED, id);
}

export function writeFenceRefused(writer: ByteWriter, id: number, reason: number): void {
  writeFamilyHead(writer, FENCE_REFUSED, id);
  writer.u8(reason);
}

export function writeHorizon(writer: ByteWriter, id: number, partition: number, time: number): void {
  writeFamilyHead(writer, HORIZON, id);
  writer.u16(partition);
  writer.u48(time);
}
