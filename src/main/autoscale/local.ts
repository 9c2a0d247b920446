/**
 * The provisioner of `dure dev --autoscale`: nodes are processes of its crew. A process more is hired and joins by
 * itself; one that has left ends by itself, and the crew lets it go.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { Controller } from '../../autoscale/controller.ts';
import type { Output } from '../cluster-seeds.ts';
import type { Crew, Hand } from '../dev-crew.ts';
import { addressWords } from '../http-call.ts';
import { autoscalerOf } from './command.ts';
import { Lookout } from './lookout.ts';
import type { Instance, Provisioner } from './provisioner.ts';
import type { AutoscaleConfig } from './settings.ts';

/** How long a process that left may take to end, milliseconds. */
const endMs = 15_000;

type CrewPart = Pick<Crew, 'hands' | 'isStopping' | 'hire' | 'settledIn'>;

export class CrewProvisioner implements Provisioner {
  readonly name: string = 'dure dev';
  readonly #crew: CrewPart;

  constructor(crew: CrewPart) {
    this.#crew = crew;
  }

  list(): Promise<readonly Instance[]> {
    return Promise.resolve(this.#hands().map(({ node }) => ({ id: node.id, removable: true })));
  }

  async add(instances: readonly Instance[]): Promise<string> {
    if (this.#crew.isStopping) throw new Error('the cluster is being stopped');
    const hands = this.#hands();
    const newest = hands.at(-1);
    const hand = hands.length > instances.length && newest !== undefined ? newest : this.#crew.hire();
    return hand.node.id;
  }

  async remove(id: string): Promise<void> {
    const hand = this.#crew.hands.find(({ node }) => node.id === id);
    if (hand === undefined) return;
    const isGone = await Promise.race([hand.ended.then(() => true), delay(endMs, false)]);
    if (!isGone) throw new Error(`the process of ${id} has not ended yet`);
  }

  /** Without newcomers that ended before they were taken in. Those that were are told from then on by their loss. */
  #hands(): readonly Hand[] {
    const hands = this.#crew.hands.filter(({ isGone, isReady }) => isReady || !isGone);
    for (const hand of hands) if (hand.isReady) this.#crew.settledIn(hand);
    return hands;
  }
}

export interface LocalAutoscale {
  readonly config: AutoscaleConfig;
  readonly dryRun: boolean;
}

const lookTimeoutMs = 2000;

/** Lets the crew grow and shrink with the load, until the signal. */
export async function scaleCrew(
  crew: Crew,
  { config, dryRun }: LocalAutoscale,
  password: string | undefined,
  json: boolean,
  out: Output,
  signal: AbortSignal,
): Promise<void> {
  const seeds = crew.hands.map(({ seat: { member } }) => addressWords(member.host, member.httpPort));
  const lookout = new Lookout({ seeds, timeoutMs: lookTimeoutMs, password });
  const prefixed: Output = { write: (text) => out.write(json ? text : `autoscale | ${text}`) };
  const { intervalMs: _, ...settings } = config;
  const controller = new Controller(settings);
  const parts = { config, controller, lookout, provisioner: new CrewProvisioner(crew), page: undefined };
  await autoscalerOf(parts, { dryRun, json }, prefixed).run(signal);
}
