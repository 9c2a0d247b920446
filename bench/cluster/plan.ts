/**
 * What is measured: scenes (systems that run side by side, each doing the same work in turn) and the
 * rows of the goals, each a comparison of two systems within one scene.
 */

import type { Durability, SystemName } from './system.ts';

export interface Workload {
  readonly name: string;
  readonly operation: 'set' | 'get';
  readonly pipeline: number;
}

export interface Scene {
  readonly name: Durability;
  readonly workloads: readonly Workload[];
}

export interface Row {
  /** The row of the table of goals, 1 to 5. */
  readonly row: number;
  readonly scene: Durability;
  /** The workload, by name; none: all of the scene. */
  readonly workload?: string;
  readonly against: SystemName;
  /** Dure's throughput as a share of the other's. */
  readonly goal: number;
  /** Less than this is a fault already. */
  readonly least?: number;
  /** Dure's p99 must not be above the other's. */
  readonly p99?: boolean;
}

const replicated: readonly Workload[] = [{ name: 'SET', operation: 'set', pipeline: 1 }];

export const scenes: readonly Scene[] = [
  { name: 'interval', workloads: replicated },
  { name: 'always', workloads: replicated },
  {
    name: 'memory',
    workloads: [
      { name: 'SET', operation: 'set', pipeline: 1 },
      { name: 'GET', operation: 'get', pipeline: 1 },
      { name: 'SET x16', operation: 'set', pipeline: 16 },
      { name: 'GET x16', operation: 'get', pipeline: 16 },
    ],
  },
];

export const rows: readonly Row[] = [
  { row: 1, scene: 'interval', against: 'redis', goal: 1, least: 0.6, p99: true },
  { row: 2, scene: 'always', against: 'redis', goal: 1 },
  { row: 3, scene: 'interval', against: 'etcd', goal: 4, least: 2 },
  { row: 3, scene: 'always', against: 'etcd', goal: 4, least: 2 },
  { row: 4, scene: 'memory', workload: 'SET', against: 'redis', goal: 0.9 },
  { row: 4, scene: 'memory', workload: 'GET', against: 'redis', goal: 0.9, least: 0.7 },
  { row: 4, scene: 'memory', workload: 'SET x16', against: 'redis', goal: 0.9 },
  { row: 4, scene: 'memory', workload: 'GET x16', against: 'redis', goal: 0.9, least: 0.6 },
  { row: 5, scene: 'interval', against: 'bare', goal: 0.8 },
  { row: 5, scene: 'always', against: 'bare', goal: 0.8 },
  { row: 5, scene: 'memory', against: 'bare', goal: 0.8 },
];
