/**
 * Micro benchmarks of the ring: what it costs to find who holds a key. One iteration is one key.
 */

import { place } from '../../src/ring/placement.ts';
import { slotOf } from '../../src/ring/slots.ts';
import type { Table } from '../../src/ring/table.ts';
import type { MicroBenchmark } from './benchmark.ts';

const keys = Array.from({ length: 1024 }, (_, i) => `key:${String(i).padStart(12, '0')}`);
const tagged = keys.map((key, i) => `{user${i}}:${key}`);

function slots(of: readonly string[]): MicroBenchmark['run'] {
  return (iterations) => {
    let sum = 0;
    for (let i = 0; i < iterations; i++) sum += slotOf(of[i & 1023]!);
    if (sum === 0) throw new Error('no slot was found');
  };
}

function tableOf(nodes: number): Table {
  const members = Array.from({ length: nodes }, (_, i) => ({
    id: `node-${i + 1}`,
    weight: 1,
    zone: `z${i % 3}`,
  }));
  return place(undefined, members);
}

/** From a key to its preference list. The table is made at the first run, outside of what is timed. */
function lookUp(nodes: number): MicroBenchmark['run'] {
  let table: Table | undefined;
  return (iterations) => {
    table ??= tableOf(nodes);
    let chars = 0;
    for (let i = 0; i < iterations; i++) chars += table.preferenceList(slotOf(keys[i & 1023]!))[0]!.length;
    if (chars === 0) throw new Error('no node was found');
  };
}

function isReplica(nodes: number): MicroBenchmark['run'] {
  let table: Table | undefined;
  return (iterations) => {
    table ??= tableOf(nodes);
    let held = 0;
    for (let i = 0; i < iterations; i++) if (table.isReplica((i * 977) & 16_383, 'node-2')) held++;
    if (held === 0) throw new Error('the node holds nothing');
  };
}

export const benchmarks: MicroBenchmark[] = [
  { name: 'ring: slot of a 16 B key', run: slots(keys), bytesPerIteration: 16 },
  { name: 'ring: slot of a key with a tag', run: slots(tagged) },
  { name: 'ring: key to nodes, 3 nodes', run: lookUp(3) },
  { name: 'ring: key to nodes, 30 nodes', run: lookUp(30) },
  { name: 'ring: is it a replica, 30 nodes', run: isReplica(30) },
  {
    name: 'ring: place 10 nodes',
    run: (iterations) => {
      for (let i = 0; i < iterations; i++) tableOf(10);
    },
  },
];
