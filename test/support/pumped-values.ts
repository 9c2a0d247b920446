/** What tests of several nodes write and read: texts, and a few update functions. */

import { byteString, bytesOf } from '../../src/base/bytes.ts';
import type { UpdateFunction } from '../../src/node/api.ts';
import type { Row, RowBody } from '../../src/rows/row.ts';
import { BODY_TOMBSTONE, KIND_STRING, rowValue } from '../../src/rows/row.ts';

/** `incr`: adds one; `append`: the bytes of its argument; `fail-if-there`: SET NX. */
export const updatesForTests: ReadonlyMap<string, UpdateFunction> = new Map<string, UpdateFunction>([
  [
    'incr',
    (current) => {
      const next = Number(current === undefined ? 0 : byteString(current.value)) + 1;
      return { reply: next, body: textBody(String(next)) };
    },
  ],
  [
    'append',
    (current, args) => {
      const text = (current === undefined ? '' : byteString(current.value)) + byteString(args[0]!);
      return { reply: text.length, body: textBody(text) };
    },
  ],
  ['look', (current) => ({ reply: current === undefined ? null : byteString(current.value) })],
  ['delete', (current) => ({ reply: current === undefined ? 0 : 1, body: BODY_TOMBSTONE })],
]);

export function textBody(text: string, expireAt = 0): RowBody {
  return { kind: KIND_STRING, value: bytesOf(text), expireAt };
}

export function textOf(value: unknown): string | undefined {
  return value === undefined ? undefined : byteString(rowValue(value as Row));
}
