/**
 * Last write wins, and what it loses: of two acknowledged writes one, of two increments one, of two holders of a
 * lock the certainty of being the only one. And what to use instead.
 *
 * `npx node examples/consistency/05-last-write-wins.ts`
 */

import { Lab } from '../../test/nemesis/lab.ts';

const policies = { 'lww:': 'PA/EL', 'set:': 'PA/EL SIBLINGS', 'strict:': 'PC/EC' };

await Lab.run({ policies }, async (lab) => {
  const type = (node: number, command: string): Promise<unknown> => lab.type(node, ...command.split(' '));

  lab.say('A name, a counter and a lock under last-write-wins; and the name under two other policies.');
  for (const prefix of ['lww', 'set', 'strict']) await type(1, `SET ${prefix}:name unknown`);
  await type(1, 'SET lww:counter 10');
  const seen = await lab.typeGet(1, 'set:name');

  await lab.cut([1, 2], [3]);
  lab.say('Each side writes, and each is told OK.');
  await type(1, 'SET lww:name ann');
  await type(3, 'SET lww:name bob');
  await type(1, 'INCR lww:counter');
  await type(3, 'INCR lww:counter');
  await type(1, 'SET lww:lock ann NX');
  await type(3, 'SET lww:lock bob NX');
  lab.say('The same name under siblings, and under PC/EC.');
  await lab.type(1, 'DURE.SET', 'set:name', 'ann', 'CONTEXT', seen);
  await lab.type(3, 'DURE.SET', 'set:name', 'bob', 'CONTEXT', seen);
  await type(1, 'SET strict:name ann');
  await type(3, 'SET strict:name bob');

  await lab.heal();
  lab.say(`The later write won: ann was told OK, and her name is gone. 10 and two increments make 11. Both hold the
    lock, and only one of them can find out.`);
  await type(1, 'GET lww:name');
  await type(1, 'GET lww:counter');
  await type(1, 'GET lww:lock');
  lab.say('Siblings kept both. PC/EC accepted only one, and told bob so.');
  await lab.typeGet(1, 'set:name');
  await type(1, 'GET strict:name');
});
