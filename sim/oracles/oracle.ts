/**
 * What an oracle is: a judge of one promise. It is given a finished run and says what contradicts the
 * promise, in plain words. It knows nothing of how nodes work beyond what rows and stamps are.
 */

import type { Stamp } from '../../src/rows/row.ts';
import type { Topology } from '../../src/topology/topology.ts';
import type { OpRecord, Witness } from '../history.ts';
import type { KeyState } from '../inspection.ts';
import type { Plan } from '../plan.ts';
import type { Micros } from '../schedule.ts';
import { keyOf } from '../workload.ts';

/** A contradiction to a promise. */
export interface Finding {
  /** The oracle that found it: `P1`, `P2`, …, `bounds`, `machine`. */
  readonly oracle: string;
  readonly text: string;
}

export type { KeyState };

/** A finished run. */
export interface RunRecord {
  readonly plan: Plan;
  readonly history: readonly OpRecord[];
  readonly witness: Witness;
  /** When faults ended and healing began, and what was on the disks then. */
  readonly chaosEndedAt: Micros;
  readonly chaosEnded: readonly KeyState[];
  /** The healed core came to rest; nobody has read anything yet. */
  readonly recovered: readonly KeyState[];
  /** After reads at R, before reads that repair everything. */
  readonly beforeRepair: readonly KeyState[];
  /** After every key was read at R=N. */
  readonly afterRepair: readonly KeyState[];
  /** The floor each disk holds at the end, by node. */
  readonly floors: readonly { readonly node: string; readonly floor: Stamp }[];
  /** Live keys as a scan of the whole cluster listed them, and as `count` counted them. */
  readonly scanned: ReadonlySet<string> | undefined;
  readonly counted: number | undefined;
  /** Wall time at the scan, milliseconds; clocks differ by less than a second. */
  readonly scannedAtMs: number;
  /** Greatest floor stored on any disk at the end. */
  readonly floor: Stamp;
  /** Nodes that threw or did not start. */
  readonly faults: readonly string[];
  /** What each node takes for the topology at the end, before the last restart's reads. */
  readonly topologies: readonly { readonly node: string; readonly topology: Topology }[];
  /** Rows outside their owners at the end, as sentences. */
  readonly strays: readonly string[];
  /** Epochs of which two nodes knew different ones, as sentences. */
  readonly epochsContradicted: readonly string[];
  /** Requests still in flight at each node at the end, and other leftovers, as sentences. */
  readonly leftovers: readonly string[];
}

export type Oracle = (run: RunRecord) => Finding[];

/** A request in words. */
export function opText(op: OpRecord): string {
  return `#${op.id} (${op.kind} ${keyOf(op.kind, op.key)} at node ${op.node}, ${(op.invokedAt / 1000).toFixed(3)} ms)`;
}
