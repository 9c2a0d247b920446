/**
 * The third kind of answer. A write that was sent, and whose acknowledgements do not come, is neither done nor not
 * done as far as anybody can tell. An honest store says so.
 *
 * `npx node examples/consistency/08-unknown.ts`
 */

import { Lab } from '../../test/nemesis/lab.ts';

const policies = { 'session:': 'PA/EC', 'item:': 'PC/EL', 'seat:': 'PC/EC' };
const keys = ['session:a', 'item:a', 'seat:a'];

await Lab.run({ policies }, async (lab) => {
  const read = (node: number, key: string): Promise<unknown> => lab.type(node, 'GET', key);

  for (const key of keys) await lab.type(1, 'SET', key, 'before');

  await lab.cutSilently([1, 2], [3]);
  lab.say(`Nothing arrives any more and nothing says so: until n3 has noticed, it sends as ever. Three writes, at
    once: PA/EC and PC/EL had sent their values when they found that nobody answers. PC/EC asks first, and had
    sent nothing yet.`);
  await lab.typeAtOnce([3, 'SET session:a bob'], [3, 'SET item:a bob'], [3, 'SET seat:a bob']);

  await lab.noticed([1, 2], [3]);
  lab.say(
    `Now n3 has noticed, and refuses at once what it cannot do. On the other side nothing has changed.`,
  );
  await lab.type(3, 'SET', 'session:a', 'eve');
  for (const key of keys) await read(1, key);

  lab.say('A read with R=1 on n3 sees what was never acknowledged, and what nobody else has.');
  await read(3, 'item:a');

  await lab.heal();
  lab.say(`What was UNKNOWN came true: n3 had kept it, and handed it on. What was refused is nowhere. After UNKNOWN
    read the key, or send the same SET again, which does no harm; but not the same INCR.`);
  for (const key of keys) {
    for (const node of [1, 2, 3]) await read(node, key);
  }
});
