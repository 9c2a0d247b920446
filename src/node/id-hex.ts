/**
 * Node ids as Redis Cluster shows them: 40 hex digits, the same for a name for ever, on every node.
 */

import { murmur3 } from '../base/murmur3.ts';
import type { NodeId } from '../ports/transport.ts';

/** 40 hex digits made from a node's id: five Murmur3 hashes with different seeds. */
export function nodeIdHex(id: NodeId): string {
  let hex = '';
  for (let seed = 1; seed <= 5; seed++) hex += murmur3(id, seed).toString(16).padStart(8, '0');
  return hex;
}
