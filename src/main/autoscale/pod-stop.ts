/**
 * `dure pod-stop`: what a pod of Kubernetes does before it ends. Kubernetes ends pods for two reasons that look
 * alike from within: to put another one in its place (an update, a machine that is emptied), and because there are
 * to be fewer. In the second case the node must give away what it holds, or the cluster is short of a replica.
 *
 * Which it is, the size of the StatefulSet tells: a pod whose ordinal is not below it will not come back.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { findSeeds, type Output, passwordOf, type SeedOptions } from '../cluster-seeds.ts';
import { EXIT } from '../exit-codes.ts';
import { kubernetesProvisioner } from './kubernetes.ts';
import { Lookout } from './lookout.ts';
import type { Provisioner } from './provisioner.ts';

export interface PodStopOptions extends SeedOptions {
  /** The id of this node: the name of the pod. */
  readonly id: string;
  readonly statefulSet: string;
  /** Empty: that of the pod. */
  readonly namespace: string;
}

const lookTimeoutMs = 2000;
const pollMsDefault = 1000;
/** No member answers, this node included, for so many looks: then its process has ended already. */
const silentLooksMax = 10;

/** @returns the exit code: 0 when this node has left, else the pod stays one of them. */
export async function runPodStop(
  options: PodStopOptions,
  out: Output = process.stdout,
  complain: Output = process.stderr,
): Promise<number> {
  const seeds = findSeeds(options, complain);
  if (seeds === undefined) return EXIT.failed;
  const { id, statefulSet, namespace } = options;
  try {
    const provisioner = await kubernetesProvisioner({
      statefulSet,
      ...(namespace === '' ? {} : { namespace }),
    });
    const lookout = new Lookout({ seeds, timeoutMs: lookTimeoutMs, password: passwordOf(options) });
    if (await leaveIfExtra(id, provisioner, lookout, (line) => out.write(`${line}\n`))) return 0;
    out.write(`${id} is one of the pods that ${provisioner.name} is to have: it does not leave\n`);
  } catch (error) {
    complain.write(`dure: ${(error as Error).message}\n`);
  }
  return EXIT.failed;
}

/**
 * Lets a node leave if its instance is one too many, and waits until it has. However long that takes: whoever ends
 * the pod says how long it may.
 * @returns false if it is not one too many
 * @throws Error when the provisioner does not say, or no member answers
 */
export async function leaveIfExtra(
  id: string,
  provisioner: Pick<Provisioner, 'list'>,
  lookout: Pick<Lookout, 'look' | 'leave'>,
  tell: (line: string) => void,
  pollMs: number = pollMsDefault,
): Promise<boolean> {
  const instances = await provisioner.list();
  if (instances.some((instance) => instance.id === id)) return false;
  let said = '';
  let silentLooks = 0;
  for (;;) {
    const { topology, problems } = await lookout.look();
    silentLooks = topology === undefined ? silentLooks + 1 : 0;
    if (silentLooks === silentLooksMax) throw new Error(`no member answers: ${problems.join('; ')}`);
    if (topology !== undefined && !topology.members.some((member) => member.id === id)) {
      tell(`${id} has left`);
      return true;
    }
    const words = topology === undefined ? 'no member answers' : await nextStep(id, topology, lookout);
    if (words !== said) tell(words);
    said = words;
    await delay(pollMs);
  }
}

async function nextStep(
  id: string,
  {
    phase,
    change,
  }: {
    readonly phase: string;
    readonly change?: { readonly kind: string; readonly nodes: readonly string[] };
  },
  lookout: Pick<Lookout, 'leave'>,
): Promise<string> {
  if (phase !== 'steady') {
    const who = change === undefined ? 'a change' : `${change.kind} of ${change.nodes.join(', ')}`;
    return `${who} is under way`;
  }
  try {
    await lookout.leave(id);
    return `${id} leaves`;
  } catch (error) {
    return (error as Error).message;
  }
}
