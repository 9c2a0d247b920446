/**
 * Slots: the fixed 16,384 drawers every key falls into, as in Redis Cluster, so that cluster-aware
 * Redis clients compute the same number and go straight to a replica.
 *
 * A key with a hash tag, `{user7}:cart`, is placed by what stands between its first `{` and the next
 * `}`, if that is not empty, so that keys with one tag live together.
 */

import type { ByteString } from '../base/bytes.ts';
import { crc16 } from '../base/crc16.ts';

export const SLOT_COUNT = 16384;

/** The slot of a key: CRC16(hash tag or key) mod 16384. */
export function slotOf(key: ByteString): number {
  const open = key.indexOf('{');
  if (open >= 0) {
    const close = key.indexOf('}', open + 1);
    if (close > open + 1) return crc16(key, open + 1, close) & (SLOT_COUNT - 1);
  }
  return crc16(key) & (SLOT_COUNT - 1);
}
