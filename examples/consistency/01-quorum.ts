/**
 * N, R and W: how many replicas have a value when a write is acknowledged, how many a read asks, and why R+W>N
 * makes the two meet. The links of n1 are made slow, so that one can see who has a value and who has not yet.
 *
 * `npx node examples/consistency/01-quorum.ts`
 */

import { setTimeout as delay } from 'node:timers/promises';
import { Lab } from '../../test/nemesis/lab.ts';

/** What n1 sends arrives so much later, milliseconds. */
const [slowMs, slowerMs] = [250, 800];

// Nobody but the writes themselves brings a value anywhere meanwhile.
await Lab.run({ repairInterval: '10m' }, async (lab) => {
  const key = await keyFor(lab);
  const write = async (w: number, value: string): Promise<void> => {
    const { tookMs } = await lab.type(1, ...`DURE.WITH R=1 W=${w} DO SET ${key} ${value}`.split(' '));
    lab.show(`    after ${(tookMs / 1000).toFixed(1)} s`);
  };
  const read = (r: number): Promise<unknown> =>
    lab.type(3, ...`DURE.WITH R=${r} W=1 DO GET ${key}`.split(' '));

  lab.say(`Each key has N=3 replicas, here on all three nodes. From now on what n1 sends reaches n2 after
    ${slowMs} ms and n3 after ${slowerMs} ms.`);
  await lab.ask(1, 'DURE.WITH', 'R=1', 'W=3', 'DO', 'SET', key, 'zero');
  lab.slow(1, 2, slowMs);
  lab.slow(1, 3, slowerMs);

  lab.say(
    'W=1: n1 alone acknowledges. R=1 at n3 asks n3 alone, and R=2 asks n2 as well: neither has it yet.',
  );
  await write(1, 'one');
  await read(1);
  await read(2);
  await delay(slowerMs + 200);

  lab.say(`W=2: n1 and n2 have it before the answer. R=1 at n3 still misses it (R+W=3, not more than N). R=2 cannot:
    of any two replicas one is among the two that acknowledged (R+W=4).`);
  await write(2, 'two');
  await read(1);
  await read(2);
  await delay(slowerMs + 200);

  lab.say('W=3: all have it before the answer, so R=1 is enough. The write waits for the slowest.');
  await write(3, 'three');
  await read(1);
  lab.slow(1, 2, 0);
  lab.slow(1, 3, 0);
  await delay(slowerMs + 200);

  lab.say('And when a replica is away? R=2 and W=2 go on. W=3 does not, and neither does R=3.');
  await lab.kill(2);
  await lab.type(1, ...`DURE.WITH R=2 W=2 DO SET ${key} four`.split(' '));
  await lab.type(3, ...`DURE.WITH R=2 W=2 DO GET ${key}`.split(' '));
  await lab.type(1, ...`DURE.WITH R=1 W=3 DO SET ${key} five`.split(' '));
  await lab.type(3, ...`DURE.WITH R=3 W=1 DO GET ${key}`.split(' '));
});

/** A key of which n3 asks n2 before n1: the next replica on the ring comes first. */
async function keyFor(lab: Lab): Promise<string> {
  for (let i = 1; i < 100; i++) {
    const replicas = await lab.replicasOf(`key${i}`);
    if (replicas.indexOf(2) < replicas.indexOf(1)) return `key${i}`;
  }
  throw new Error('no such key');
}
