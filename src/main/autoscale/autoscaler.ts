/**
 * The autoscaler: looks, decides, acts, and looks again. It brings together the lookout (what is), the controller
 * (what should be) and a provisioner (who makes nodes).
 *
 * ```
 *   ┌──► look: topology, metrics, instances
 *   │      │
 *   │      ▼                      something is under way
 *   │    situation ─────────────────────────────────────► take away who has left; else wait
 *   │      │ nothing is under way
 *   │      ▼
 *   │    controller ── grow ────► provisioner.add()          (the new node joins by itself)
 *   │      │      └─── shrink ──► POST /v1/nodes/ID/leave    (its process is taken away when it has left)
 *   │      ▼ hold
 *   └── sleep
 * ```
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { Controller } from '../../autoscale/controller.ts';
import type { Decision } from '../../autoscale/decision-log.ts';
import { Meters } from '../../autoscale/samples.ts';
import type { Lookout, Sight } from './lookout.ts';
import type { Instance, Provisioner } from './provisioner.ts';
import { situationOf } from './situation.ts';

/** Something that was done or failed, beside decisions. */
export interface Deed {
  readonly action: 'add' | 'leave' | 'remove';
  readonly node: string;
  /** Empty when it was done. */
  readonly error: string;
}

export interface AutoscalerOptions {
  readonly controller: Controller;
  readonly lookout: Pick<Lookout, 'look' | 'leave'>;
  /** Undefined: there is none, and nothing is done. */
  readonly provisioner: Provisioner | undefined;
  /** Nothing is done; it is only said what would be. */
  readonly dryRun: boolean;
  readonly intervalMs: number;
  /** Told of each look. */
  readonly onLook?: (decision: Decision) => void;
  /** Told of each change of mind. */
  readonly onDecision: (decision: Decision) => void;
  readonly onDeed: (deed: Deed) => void;
  /** Monotonic milliseconds; `performance.now` if left out. */
  readonly now?: () => number;
}

export class Autoscaler {
  readonly #options: AutoscalerOptions;
  readonly #now: () => number;
  readonly #meters: Meters = new Meters();
  /** The instance asked for last, and the epoch at the time. */
  #asked: ReadonlyMap<string, number> = new Map();

  constructor(options: AutoscalerOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Runs until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs } = this.#options;
    while (!signal.aborted) {
      const began = this.#now();
      await this.cycle();
      const rest = Math.max(0, intervalMs - (this.#now() - began));
      await delay(rest, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Looks once, decides and acts. Never rejects: what fails is told, and tried again by a later one. */
  async cycle(): Promise<Decision> {
    const { controller, lookout, provisioner, dryRun, onDecision } = this.#options;
    const [sight, listed] = await Promise.all([
      lookout.look(),
      provisioner?.list().catch((error: Error) => error),
    ]);
    const now = this.#now();
    const nodes = this.#nodesOf(sight);
    const members = nodes.map(({ id }) => id);
    // Where nobody makes nodes, it is said what would be if somebody did.
    const instances = Array.isArray(listed) ? listed : members.map((id) => ({ id, removable: true }));
    const { underWay, progress, obstacle, left } = situationOf(sight, instances, this.#asked, Date.now());
    const decision = controller.observe(now, {
      epoch: sight.topology?.epoch,
      nodes,
      replicas: sight.topology?.replicas ?? 1,
      underWay,
      progress,
      obstacle:
        listed instanceof Error ? together(obstacle, `${provisioner!.name}: ${listed.message}`) : obstacle,
      removable: instances
        .filter(({ id, removable }) => removable && members.includes(id))
        .map(({ id }) => id),
    });
    this.#options.onLook?.(decision);
    if (controller.log.entries.at(-1) === decision) onDecision(decision);
    if (dryRun || provisioner === undefined || listed instanceof Error) return decision;
    if (left !== '') await this.#do('remove', left, () => provisioner.remove(left));
    else if (decision.action !== 'hold') await this.#carryOut(decision, provisioner, instances);
    return decision;
  }

  #nodesOf({ topology, readings }: Sight): ReturnType<Meters['read']> {
    return topology === undefined ? [] : this.#meters.read(topology.members, readings);
  }

  async #carryOut(
    { action, node, epoch }: Decision,
    provisioner: Provisioner,
    instances: readonly Instance[],
  ): Promise<void> {
    const { lookout, controller } = this.#options;
    const error =
      action === 'grow'
        ? await this.#do('add', '', () => this.#add(provisioner, instances, epoch ?? 0))
        : await this.#do('leave', node, () => lookout.leave(node));
    if (error !== '') controller.failed(this.#now(), error);
  }

  async #add(provisioner: Provisioner, instances: readonly Instance[], epoch: number): Promise<string> {
    const id = await provisioner.add(instances);
    this.#asked = new Map([[id, epoch]]);
    return id;
  }

  /** @returns what went wrong, in words; empty when nothing did. */
  async #do(action: Deed['action'], node: string, work: () => Promise<unknown>): Promise<string> {
    const { onDeed } = this.#options;
    try {
      const id = await work();
      onDeed({ action, node: typeof id === 'string' ? id : node, error: '' });
      return '';
    } catch (error) {
      const words = (error as Error).message;
      onDeed({ action, node, error: words });
      return `${action}${node === '' ? '' : ` ${node}`} failed: ${words}`;
    }
  }
}

function together(...problems: readonly string[]): string {
  return problems.filter((problem) => problem !== '').join('; ');
}
