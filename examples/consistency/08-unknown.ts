/**
 * The third kind of answer. A write that was sent, and whose acknowledgements do not come, is neither done nor not
 * done as far as anybody can tell. An honest store says so.
 *
 * `npx node examples/consistency/08-unknown.ts`
 */

import { Lab } from './lab.ts';

const policies = { 'session:': 'PA/EC', 'seat:': 'PC/EC' };

await Lab.run({ policies }, async (lab) => {
  const read = (node: number, key: string): Promise<unknown> => lab.type(node, 'GET', key);

  await lab.type(1, 'SET', 'session:a', 'before');
  await lab.type(1, 'SET', 'seat:a', 'before');

  await lab.cutSilently([1, 2], [3]);
  lab.say(`Nothing arrives any more and nothing says so: until n3 has noticed, it sends as ever. Two writes, at once:
    PA/EC had sent its value when it found that nobody answers. PC/EC asks first, and had sent nothing yet.`);
  await lab.typeAtOnce([3, 'SET session:a bob'], [3, 'SET seat:a bob']);

  lab.say(
    'Now n3 has noticed, and refuses at once what it cannot do. On the other side nothing has changed.',
  );
  await lab.type(3, 'SET', 'session:a', 'eve');
  await read(1, 'session:a');
  await read(1, 'seat:a');

  await lab.heal();
  lab.say(`What was UNKNOWN came true: n3 had kept it, and handed it on. What was refused is nowhere. After UNKNOWN read
    the key, or send the same SET again, which does no harm; but not the same INCR.`);
  for (const node of [1, 2, 3]) await read(node, 'session:a');
  for (const node of [1, 2, 3]) await read(node, 'seat:a');
});
