/** A system under measurement: how it is started, where its clients connect, and which processes it is. */

import type { Protocol, Target } from './job.ts';
import type { Started } from './processes.ts';

/** When a write counts as done with respect to the disk. `memory`: there is no disk, one node only. */
export type Durability = 'always' | 'interval' | 'memory';

export type SystemName = 'dure' | 'redis' | 'etcd' | 'bare';

export interface System {
  readonly name: SystemName;
  /** What it is, in the words of the report. */
  readonly label: string;
  readonly protocol: Protocol;
  readonly targets: readonly Target[];
  /** The replicas that each SET waits for with WAIT. */
  readonly waitReplicas: number;
  readonly processes: readonly Started[];
}

export interface SystemStart {
  readonly durability: Durability;
  /** A directory of its own, which exists. */
  readonly directory: string;
  /** Record a CPU profile of each process in that directory (Node.js only). */
  readonly profile: boolean;
  /** Settings of Dure other than the defaults, as flags: `--storage-hot-bytes-max`, `512MiB`. */
  readonly dureFlags: readonly string[];
}

/** @returns the system, ready for its first request */
export type Starter = (options: SystemStart) => Promise<System>;

export const loopback = '127.0.0.1';

export function target(port: number): Target {
  return { host: loopback, port };
}
