/**
 * What is under way, made out from what can be seen: the topology and the instances of the provisioner. So an
 * autoscaler that was ended half-way through a change goes on where it was when it is started again, and never asks
 * for the same thing twice.
 *
 * | an instance is          | and                                  | so                                   |
 * |-------------------------|--------------------------------------|--------------------------------------|
 * | a member                | nothing changes                      | all is well                          |
 * | no member               | the last change let it go            | it is taken away, if it can be       |
 * | no member               | otherwise                            | it is waited for: it joins by itself |
 *
 * Where ids come again (the pods of a StatefulSet), an instance asked for anew looks like the one that left under the
 * same name. Whoever asked knows (`asked`); if it was ended since, the new one is taken away and asked for again.
 */

import { durationWords } from '../../base/words.ts';
import type { TopologyAnswer } from '../../http/api/topology-json.ts';
import type { Sight } from './lookout.ts';
import type { Instance } from './provisioner.ts';

export interface Situation {
  /** In words; empty when nothing is under way. How far it is, in words too. */
  readonly underWay: string;
  readonly progress: string;
  /** An instance that has left the cluster and is to be taken away; empty for none. */
  readonly left: string;
  /** Why a change cannot be made now, in words; empty when it can. */
  readonly obstacle: string;
}

const nothing: Situation = { underWay: '', progress: '', left: '', obstacle: '' };

/**
 * @param asked instances asked for, and the epoch at the time
 * @param now wall milliseconds
 */
export function situationOf(
  sight: Sight,
  instances: readonly Instance[],
  asked: ReadonlyMap<string, number>,
  now: number,
): Situation {
  const { topology } = sight;
  if (topology === undefined) return { ...nothing, obstacle: sight.problems.join('; ') };
  if (topology.phase !== 'steady') {
    return { ...nothing, underWay: changeWords(topology), progress: progressWords(topology, sight, now) };
  }
  const members = new Set(topology.members.map(({ id }) => id));
  const away = topology.members.filter(({ live }) => live !== true).map(({ id }) => id);
  const obstacle =
    away.length === 0 ? '' : `a change would wait for ${away.join(', ')}, which cannot be reached`;
  const strangers = instances.filter(({ id }) => !members.has(id));
  const isGone = ({ id }: Instance): boolean => hasLeft(topology, id) && asked.get(id) !== topology.epoch;
  const left = strangers.find((instance) => instance.removable && isGone(instance));
  if (left !== undefined) {
    return { ...nothing, underWay: `${left.id} has left and is taken away`, left: left.id, obstacle };
  }
  // One that has left and cannot be taken away before another one is no reason to wait.
  const coming = strangers.filter((instance) => !isGone(instance)).map(({ id }) => id);
  const underWay = coming.length === 0 ? '' : `waiting for ${coming.join(', ')} to join`;
  return { ...nothing, underWay, obstacle };
}

function hasLeft({ change }: TopologyAnswer, id: string): boolean {
  if (change === undefined) return false;
  const { kind, nodes, gone } = change;
  return gone.includes(id) || ((kind === 'leave' || kind === 'remove') && nodes.includes(id));
}

function changeWords({ change, phase, epoch }: TopologyAnswer): string {
  if (change === undefined) return `epoch ${epoch} is in phase ${phase}`;
  return `${change.kind} of ${change.nodes.join(', ')}: phase ${phase}`;
}

function progressWords({ change, epoch }: TopologyAnswer, { topologies }: Sight, now: number): string {
  if (change === undefined) return '';
  const waitsFor = new Set<string>();
  let done = 0;
  let all = 0;
  for (const { moves, epoch: theirs } of topologies.values()) {
    for (const id of moves.waitsFor) waitsFor.add(id);
    if (theirs !== epoch || moves.epoch !== epoch) continue;
    done += moves.partitionsDone;
    all += moves.partitions;
  }
  const far = all === 0 ? '' : `, ${done} of ${all} partitions moved`;
  const waits = waitsFor.size === 0 ? '' : `; it waits for ${[...waitsFor].sort().join(', ')}`;
  return `, begun ${durationWords(now - Date.parse(change.beganAt))} ago${far}${waits}`;
}
