/**
 * The topology at rest: all nodes know one epoch and one table; every partition has N distinct owners (or as many
 * as there are members), in distinct zones wherever there are enough; no row lies outside its owners. And whatever
 * epoch a node ever knew, no two knew different ones of one number: that is looked at when each is adopted.
 */

import type { Topology } from '../../src/topology/topology.ts';
import { hasWildClocks } from '../faults.ts';
import type { Finding, RunRecord } from './oracle.ts';

export function judgeTopology(run: RunRecord): Finding[] {
  const findings: Finding[] = [];
  const say = (text: string): void => void findings.push({ oracle: 'topology', text });
  const first = run.topologies[0];
  if (first === undefined) return [];
  for (const text of run.epochsContradicted) say(text);
  // With clocks hours apart rows are refused, and a change that moves them waits: P6 and agreement are all that is asked.
  if (hasWildClocks(run.plan)) return findings;
  const { topology } = first;
  for (const { node, topology: other } of run.topologies) {
    if (other.epoch !== topology.epoch) {
      say(`${first.node} is at epoch ${topology.epoch}, ${node} at ${other.epoch}`);
    } else if (other.phase !== topology.phase || !other.read.equals(topology.read)) {
      say(`${first.node} and ${node} have different tables of epoch ${topology.epoch}`);
    }
  }
  if (topology.phase !== 'steady') say(`at rest a change is under way: phase ${topology.phase}`);
  for (const text of run.strays) say(text);
  return [...findings, ...judgePlacement(topology, run.plan.n)];
}

function judgePlacement(topology: Topology, n: number): Finding[] {
  const { read, members } = topology;
  const findings: Finding[] = [];
  const zoneOf = new Map(members.map(({ id, zone }) => [id, zone]));
  const owners = Math.min(n, members.length);
  const zones = Math.min(owners, new Set(zoneOf.values()).size);
  for (let partition = 0; partition < read.partitionCount; partition++) {
    const list = read.preferenceListOfPartition(partition);
    const isWhole = new Set(list).size === owners && list.every((id) => topology.has(id));
    const spread = new Set(list.map((id) => zoneOf.get(id))).size;
    if (isWhole && spread === zones) continue;
    const text = `partition ${partition} is held by ${list.join(', ')} in ${spread} zones; expected ${owners} members in ${zones}`;
    findings.push({ oracle: 'topology', text });
    if (findings.length === 5) break;
  }
  return findings;
}
