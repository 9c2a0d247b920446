/**
 * The messages of hints. There is one: "keep this row for that member, who is away". It is answered like
 * a WRITE, by STORED when the hint is durable or by REFUSED; and what is handed over later is a WRITE.
 */

import type { ByteReader, ByteString, ByteWriter } from '../base/bytes.ts';
import { FAMILY_HINTS, writeFamilyHead } from './messages.ts';

export const HINT: number = FAMILY_HINTS * 10;

export interface HintMessage {
  readonly target: string;
  readonly rowKey: ByteString;
  readonly row: Uint8Array;
}

export function writeHint(
  writer: ByteWriter,
  id: number,
  target: string,
  rowKey: ByteString,
  row: Uint8Array,
): void {
  writeFamilyHead(writer, HINT, id);
  writer.text(target);
  writer.text(rowKey);
  writer.blob(row);
}

/** Reads the body of a HINT. @throws CodedError `protocol` for one cut short. */
export function readHint(reader: ByteReader): HintMessage {
  const target = reader.text();
  const rowKey = reader.text();
  return { target, rowKey, row: reader.blob() };
}
