/**
 * What each policy does while the network is cut, found out by doing it: real nodes, links cut, a write and a
 * read on each side, and a look at what is there when the network is whole again.
 *
 * Every policy has keys of its own, so all policies go through the same cut of the same cluster. Each side writes
 * a value of its own, one side after the other, so that the last side's write is the later one.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { utf8Text } from '../../src/base/bytes.ts';
import type { RespValue } from '../../src/resp/value.ts';
import { Lab, type Side } from '../../test/nemesis/lab.ts';
import { replyText } from '../../test/nemesis/terminal.ts';

/** The policies of the table: the presets, others by number, and siblings. */
export const POLICIES: readonly string[] = [
  'PA/EL',
  'PA/EC',
  'PC/EL',
  'PC/EC',
  'R=1 W=1 STRICT',
  'R=1 W=3 SLOPPY',
  'R=3 W=1 SLOPPY',
  'R=1 W=3 STRICT',
  'R=3 W=1 STRICT',
  'PA/EL SIBLINGS',
  'PA/EC SIBLINGS',
  'PC/EC SIBLINGS',
];

/** A cut of a cluster. */
export interface Situation {
  /** As the table heads it: `2|1`. */
  readonly name: string;
  readonly nodes: number;
  readonly sides: readonly Side[];
  /** How many replicas of the key each side has. */
  readonly replicas: readonly number[];
}

export const SITUATIONS: readonly Situation[] = [
  { name: '2|1', nodes: 3, sides: [[1, 2], [3]], replicas: [2, 1] },
  { name: '1|1|1', nodes: 3, sides: [[1], [2], [3]], replicas: [1, 1, 1] },
  {
    name: '2|2 of four nodes',
    nodes: 4,
    sides: [
      [1, 2],
      [3, 4],
    ],
    replicas: [2, 1],
  },
];

/** What a side of the cut was told. */
export interface SideOutcome {
  /** `ok`, or the code of the error. */
  readonly write: string;
  /** `own`: the value this side wrote; `old`: the one from before the cut; or the code of the error. */
  readonly read: string;
}

export interface Outcome {
  readonly sides: readonly SideOutcome[];
  /** What every node shows after healing: `old`, or the side whose value it is (from 1), or several: siblings. */
  readonly healed: string;
}

/** By policy, then by the name of the situation. */
export type Measured = ReadonlyMap<string, ReadonlyMap<string, Outcome>>;

/** So many keys a policy, which lie in different places of the ring and must all come to the same. */
const keysOfPolicy = 4;
/** Candidates looked at for keys with the wanted number of replicas on each side. */
const candidatesMax = 200;
/** After writes, until all replicas that can be reached have them, also those that were not waited for. */
const pauseMs = 250;

/** Goes through all situations. Takes about half a minute. */
export async function measure(): Promise<Measured> {
  const measured = new Map<string, Map<string, Outcome>>(POLICIES.map((policy) => [policy, new Map()]));
  const policies = Object.fromEntries(POLICIES.map((policy, i) => [prefixOf(i), policy]));
  for (const nodes of new Set(SITUATIONS.map((situation) => situation.nodes))) {
    await Lab.run({ nodes, policies, print: () => {} }, async (lab) => {
      for (const situation of SITUATIONS.filter((each) => each.nodes === nodes)) {
        await goThrough(lab, situation, measured);
      }
    });
  }
  return measured;
}

function prefixOf(policy: number): string {
  return `p${policy}:`;
}

interface Trial {
  readonly policy: string;
  readonly key: string;
  readonly isSiblings: boolean;
  /** The causal context read before the cut, for siblings: what a side writes replaces what was there. */
  context: string;
  readonly sides: SideOutcome[];
}

async function goThrough(
  lab: Lab,
  situation: Situation,
  measured: ReadonlyMap<string, Map<string, Outcome>>,
): Promise<void> {
  const trials: Trial[] = [];
  for (const [i, policy] of POLICIES.entries()) {
    for (const key of await keysFor(lab, `${prefixOf(i)}${situation.name}:`, situation)) {
      const isSiblings = policy.includes('SIBLINGS');
      trials.push({ policy, key, isSiblings, context: '', sides: [] });
    }
  }
  for (const trial of trials) {
    const { text } = await lab.ask(1, 'SET', trial.key, 'old');
    if (text !== 'OK') throw new Error(`${trial.policy}: the write before the cut: ${text}`);
  }
  await delay(pauseMs);
  for (const trial of trials) {
    if (trial.isSiblings) trial.context = (await versionsAt(lab, 1, trial.key)).context;
  }
  await lab.cut(...situation.sides);
  for (const [i, side] of situation.sides.entries()) {
    const value = `side ${i + 1}`;
    const writes: string[] = [];
    for (const trial of trials) writes.push(await writeAt(lab, trial, side, value));
    await delay(pauseMs);
    for (const [t, trial] of trials.entries()) {
      trial.sides.push({ write: writes[t]!, read: await readAt(lab, trial, side, value) });
    }
  }
  await lab.heal();
  for (const trial of trials) {
    const { policy, sides } = trial;
    const outcome = { sides, healed: await healedOf(lab, trial) };
    const known = measured.get(policy)!.get(situation.name);
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(outcome)) {
      const [a, b] = [JSON.stringify(known), JSON.stringify(outcome)];
      throw new Error(`${policy}, ${situation.name}: keys differ: ${a} and, of ${trial.key}, ${b}`);
    }
    measured.get(policy)!.set(situation.name, outcome);
  }
}

/** Keys with as many replicas on each side as the situation wants. */
async function keysFor(lab: Lab, prefix: string, situation: Situation): Promise<string[]> {
  const keys: string[] = [];
  for (let i = 0; i < candidatesMax && keys.length < keysOfPolicy; i++) {
    const key = `${prefix}${i}`;
    const replicas = await lab.replicasOf(key);
    const counts = situation.sides.map((side) => side.filter((node) => replicas.includes(node)).length);
    if (counts.every((count, side) => count === situation.replicas[side])) keys.push(key);
  }
  if (keys.length < keysOfPolicy) throw new Error(`too few keys for ${situation.name}`);
  return keys;
}

/** Writes through the side's first node. */
async function writeAt(lab: Lab, trial: Trial, side: Side, value: string): Promise<string> {
  const { key, context } = trial;
  const { code } = trial.isSiblings
    ? await lab.ask(side[0]!, 'DURE.SET', key, value, 'CONTEXT', context)
    : await lab.ask(side[0]!, 'SET', key, value);
  return code === '' ? 'ok' : code;
}

/** Reads through each node of the side: they must say the same. */
async function readAt(lab: Lab, trial: Trial, side: Side, value: string): Promise<string> {
  const reads = new Set<string>();
  for (const node of side) {
    const { code, text } = await lab.ask(node, 'GET', trial.key);
    reads.add(code !== '' ? code : text === value ? 'own' : text);
  }
  return [...reads].join(' or ');
}

/** What is there at the end, through each node; siblings all. */
async function healedOf(lab: Lab, trial: Trial): Promise<string> {
  const seen = new Set<string>();
  for (const { index } of lab.cluster.nodes) {
    const { values } = await versionsAt(lab, index + 1, trial.key);
    seen.add(values.toSorted().join(' + '));
  }
  return [...seen].join(' or ');
}

interface Versions {
  readonly values: readonly string[];
  readonly context: string;
}

async function versionsAt(lab: Lab, node: number, key: string): Promise<Versions> {
  const { reply } = await lab.ask(node, 'DURE.GET', key);
  // In RESP2 names and values come in turn: context, …, values, ….
  const [, context, , values] = Array.isArray(reply) ? (reply as RespValue[]) : [];
  if (!(context instanceof Uint8Array)) throw new Error(`DURE.GET ${key}: ${replyText(reply)}`);
  return { context: utf8Text(context), values: (values as RespValue[]).map(replyText) };
}
