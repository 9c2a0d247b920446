/** What a member is in an epoch, in a word that people are shown. */

import type { Topology } from './topology.ts';

/**
 * - `owning`: it owns by both tables, or there is only one.
 * - `joining`: it will own after the change under way; in phase `enrol` it is waited for.
 * - `leaving`: it did before.
 * - `gone`: it is no member, though a table may still name it; it is asked nothing.
 */
export type MemberState = 'owning' | 'joining' | 'leaving' | 'gone';

export function memberState(topology: Topology, id: string): MemberState {
  if (!topology.has(id)) return 'gone';
  if (topology.phase === 'enrol') return topology.read.has(id) ? 'owning' : 'joining';
  if (!topology.next.has(id)) return 'leaving';
  return (topology.old?.has(id) ?? true) ? 'owning' : 'joining';
}
